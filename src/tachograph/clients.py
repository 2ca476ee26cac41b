"""Instrumentations of model clients, switched on for programs that use a client without a framework.

They are the official ones, and their spans are what the ledger takes calls from (:mod:`tachograph.foreign`). They are
switched on only where nobody else has, give way to whoever does so later, and are switched off again at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import Span

    from tachograph.guard import Guard


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
        """Switch an instrumentation on, unless somebody has; gives whether it is ours.

        Args:
            instrumentor: a ``BaseInstrumentor``, of which there is one in a process.

        Raises:
            Exception: what it raises: ``DependencyConflictError`` for a version of the client it does not support.
        """
        before = vars(instrumentor).get("instrument")
        if isinstance(before, _SwitchedOn):
            if before.clients is self:
                return True
            before.take_back()
        elif instrumentor.is_instrumented_by_opentelemetry:
            self.meet()  # its spans are heard of all the same, from the provider it was given
            return False
        instrumentor.instrument(raise_exception_on_conflict=True, **self._given)
        self._on.append(_SwitchedOn(self, instrumentor, before if isinstance(before, _SwitchedOn) else None))
        return True

    def forget(self, switched_on: _SwitchedOn) -> None:
        """It is somebody else's now."""
        if switched_on in self._on:
            self._on.remove(switched_on)

    def close(self) -> None:
        """Switch off what was switched on here; where it was another runtime's before, that one goes on with it."""
        self.closed = True
        for switched_on in list(self._on):
            self.guard(switched_on.take_back)
            before = switched_on.before
            if before is not None and not before.clients.closed:
                self.guard(before.clients.switch_on, switched_on.instrumentor)


class _SwitchedOn:
    """Stands in for the ``instrument`` of an instrumentation that we switched on: whoever calls it shall have it.

    Without it the program's own call would be refused, with a warning, and with it what the program says.
    """

    def __init__(self, clients: Clients, instrumentor: Any, before: _SwitchedOn | None) -> None:
        self.clients = clients
        self.instrumentor = instrumentor
        self.before = before
        vars(instrumentor)["instrument"] = self

    def take_back(self) -> None:
        """Switch it off, and leave nothing on it."""
        self.clients.forget(self)
        if vars(self.instrumentor).get("instrument") is self:
            del vars(self.instrumentor)["instrument"]
            if self.instrumentor.is_instrumented_by_opentelemetry:  # else the program has switched it off already
                self.instrumentor.uninstrument()

    def __call__(self, **given: Any) -> Any:
        """The program, or who started it, switches it on."""
        self.clients.guard(self.take_back)
        result = self.instrumentor.instrument(**given)
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
