"""Instrumentations of model clients, switched on for programs that use a client without a framework.

They are the official ones, and their spans are what the ledger takes calls from (:mod:`tachograph.foreign`). They are
switched on only where nobody else has, give way to whoever does so later, and are switched off again at the end.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import Span

    from tachograph.guard import Guard

_LAUNCHER: Final = "opentelemetry.instrumentation.auto_instrumentation._load"
"""A module of ``opentelemetry-instrument``, which switches on all that is installed before the program begins."""


class Clients:
    """The instrumentations that are switched on by us.

    Args:
        guard: around what happens on the host's time.
        recording: gives the tracer provider their spans go to, whenever one is started.
        meet: joins the provider that the program has set, if it has.
        given: the other providers, as keywords; the global ones by default.
    """

    def __init__(
        self,
        guard: Guard,
        recording: Callable[[], trace.TracerProvider],
        meet: Callable[[], None],
        given: Mapping[str, Any],
    ) -> None:
        self.guard = guard
        self.meet = meet
        self._given = {"tracer_provider": InForce(guard, recording), **given}
        self._on: list[_SwitchedOn] = []
        self.closed = False

    def switch_on(self, instrumentor: Any) -> bool:
        """Switch an instrumentation on, unless the program has; gives whether its spans go where ours do.

        Args:
            instrumentor: a ``BaseInstrumentor``, of which there is one in a process.

        Raises:
            Exception: what it raises: ``DependencyConflictError`` for a version of the client it does not support.
        """
        before = vars(instrumentor).get("instrument")
        theirs = None
        if isinstance(before, _SwitchedOn):
            if before.clients is self:
                return True
            before.take_back()
            theirs = before.theirs
        elif instrumentor.is_instrumented_by_opentelemetry:
            self.meet()  # its spans are heard of all the same, from the provider it was given
            if _LAUNCHER not in sys.modules or hasattr(trace.get_tracer_provider(), "add_span_processor"):
                return False
            # The launcher has, and with no provider to write to: as long as there is none nobody would hear of a call.
            instrumentor.uninstrument()
            theirs = {}
        self.put_on(instrumentor, before if isinstance(before, _SwitchedOn) else None, theirs)
        return True

    def put_on(self, instrumentor: Any, before: _SwitchedOn | None, theirs: Mapping[str, Any] | None) -> None:
        """Switch it on with our providers; what others said (``theirs``) goes first."""
        instrumentor.instrument(**{"raise_exception_on_conflict": True, **self._given, **(theirs or {})})
        self._on.append(_SwitchedOn(self, instrumentor, before, theirs))

    def forget(self, switched_on: _SwitchedOn) -> None:
        """It is on no more."""
        if switched_on in self._on:
            self._on.remove(switched_on)

    def close(self) -> None:
        """Switch off what was switched on here; where others want it on, it goes on for them."""
        self.closed = True
        for switched_on in list(self._on):
            if not self.guard(switched_on.take_back, default=False):
                continue
            before, theirs = switched_on.before, switched_on.theirs
            if before is not None and not before.clients.closed:
                self.guard(before.clients.put_on, switched_on.instrumentor, before.before, theirs)
            elif theirs is not None:
                self.guard(switched_on.with_theirs)


class _SwitchedOn:
    """Stands in for the ``instrument`` of an instrumentation that we switched on: whoever calls it shall have it.

    Without it the program's own call would be refused, with a warning, and with it what the program says.
    """

    def __init__(
        self, clients: Clients, instrumentor: Any, before: _SwitchedOn | None, theirs: Mapping[str, Any] | None
    ) -> None:
        self.clients = clients
        self.instrumentor = instrumentor
        self.before = before
        self.theirs = theirs
        vars(instrumentor)["instrument"] = self

    def take_back(self) -> bool:
        """Switch it off, and leave nothing on it; gives whether it was on."""
        self.clients.forget(self)
        if vars(self.instrumentor).get("instrument") is not self:
            return False
        del vars(self.instrumentor)["instrument"]
        was_on = bool(self.instrumentor.is_instrumented_by_opentelemetry)  # else the program has switched it off
        if was_on:
            self.instrumentor.uninstrument()
        return was_on

    def with_theirs(self) -> None:
        """Switch it on again as others wanted it."""
        self.instrumentor.instrument(**(self.theirs or {}))

    def __call__(self, **given: Any) -> Any:
        """The program, or who started it, switches it on."""
        if self.theirs is not None and self.instrumentor.is_instrumented_by_opentelemetry:
            return type(self.instrumentor).instrument(self.instrumentor, **given)  # a second time: refused, as always
        self.clients.guard(self.take_back)
        result = None
        if "tracer_provider" in given:
            result = self.instrumentor.instrument(**given)
        else:  # the global provider, that is; ours goes there as well, and is heard of where there is none
            self.clients.put_on(self.instrumentor, self.before, given)
        self.clients.guard(self.clients.meet)
        return result


class InForce(trace.TracerProvider):
    """Whatever provider is in force when a span is started: the program may set its own at any time."""

    def __init__(self, guard: Guard, recording: Callable[[], trace.TracerProvider]) -> None:
        self._guard = guard
        self._recording = recording

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """A tracer that follows."""
        return _Tracer(self._in_force, args, kwargs)

    def _in_force(self) -> trace.TracerProvider:
        return cast("trace.TracerProvider", self._guard(self._recording, default=_NONE))


_NONE = trace.NoOpTracerProvider()


class _Tracer(trace.Tracer):
    def __init__(self, in_force: Callable[[], trace.TracerProvider], args: Any, kwargs: Any) -> None:
        self._in_force = in_force
        self._asked = args, kwargs
        self._known: tuple[trace.TracerProvider, trace.Tracer] | None = None

    def _tracer(self) -> trace.Tracer:
        provider, known = self._in_force(), self._known
        if known is None or known[0] is not provider:
            args, kwargs = self._asked
            known = self._known = provider, provider.get_tracer(*args, **kwargs)
        return known[1]

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return self._tracer().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._tracer().start_as_current_span(*args, **kwargs)
