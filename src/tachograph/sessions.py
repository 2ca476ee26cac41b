"""Which session and request the work belongs to, and taking that along where context does not go by itself."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry.context import attach, get_current

from tachograph import runtime
from tachograph.context import Scope, clean_id, current, handing_on, into_baggage, left, new_id, with_scope
from tachograph.streams import within

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from tachograph.views.audit import Entry
    from tachograph.views.session import SessionMetrics
    from tachograph.views.timeline import Timeline

_log = logging.getLogger("tachograph")

_MAX_ENTERED: Final = 10_000
"""Blocks of one binding entered at once; those never left properly would otherwise stay for ever."""

_IT: Final = "a session or correlation was left"

F = TypeVar("F", bound="Callable[..., Any]")


@dataclasses.dataclass(frozen=True, slots=True)
class Bound:
    """The ids in force inside a ``with`` block, and the figures recorded under them."""

    session_id: str
    correlation_id: str | None
    user_id: str | None

    def metrics(self) -> SessionMetrics:
        """Figures of the session."""
        return runtime.current().ledger.session_metrics(self.session_id)

    def audit_log(self, **filters: Any) -> list[Entry]:
        """Audit log of the session; filters as in :func:`tachograph.audit_log`."""
        return runtime.current().ledger.audit_log(session_id=self.session_id, **filters)

    def timeline(self) -> Timeline:
        """Timeline of the session."""
        return runtime.current().ledger.timeline(session_id=self.session_id)


_NOWHERE: Final = Bound("", None, None)
"""Where a block runs whose session could not be entered: in none of its own, but it runs."""


class Binding:
    """What :func:`session` and :func:`correlation` give: a context manager and a decorator, sync and async.

    May be entered any number of times, also at once from several threads or tasks. As a decorator it binds each
    call of its own, and the whole life of a generator, without being seen between its steps.
    """

    __slots__ = ("_entered", "_make", "_propagate")

    def __init__(self, make: Callable[[Scope], Scope], *, propagate: bool) -> None:
        self._make = make
        self._propagate = propagate
        # By the scope's identity, as threads may be in here at once: one look-up, and no position that moves.
        self._entered: dict[int, tuple[Scope, Any]] = {}

    def _context(self) -> Context:
        tachograph = runtime.current()
        if tachograph.started and tachograph.config.enabled:
            # Spans of the program's own that start in here carry the ids from the first one on.
            tachograph.guard(tachograph.providers.meet)
        scope = self._make(tachograph.recorder.scope())
        context = with_scope(scope)
        return into_baggage(scope, context) if self._propagate else handing_on(scope, context)

    def __enter__(self) -> Bound:
        return cast("Bound", runtime.current().guard(self._enter, default=_NOWHERE))

    def __exit__(self, *_: object) -> None:
        runtime.current().guard(self._exit)

    def _enter(self) -> Bound:
        context = self._context()
        scope = current(context)
        if scope is None:  # cannot be: _context put it there
            raise AssertionError
        bound = Bound(scope.session_id, scope.correlation_id, scope.user_id)
        if len(self._entered) >= _MAX_ENTERED:
            self._entered.pop(next(iter(self._entered)), None)
        self._entered[id(scope)] = scope, attach(context)
        return bound

    def _exit(self) -> None:
        key = id(current())
        if key not in self._entered:
            runtime.current().misuse(f"{_IT} where it is not in force: in another task or thread, or out of order")
            return
        _scope, token = self._entered[key]
        if left(token):
            del self._entered[key]
        else:
            runtime.current().misuse(f"{_IT} in a copy of the context it was entered in")

    async def __aenter__(self) -> Bound:
        return self.__enter__()

    async def __aexit__(self, *details: object) -> None:
        self.__exit__(*details)

    def __call__(self, function: F) -> F:
        """``function``, each call of which runs in a binding of its own."""
        guard = runtime.current().guard
        return cast("F", guard(within, function, self._context, guard, default=function))


def session(
    session_id: str | Callable[..., Any] | None = None,
    *,
    user_id: str | None = None,
    correlation_id: str | None = None,
    conversation: bool = False,
    propagate: bool = False,
) -> Any:
    """Put the work inside into a session.

    ``with session("chat-42"): …``, ``async with``, ``@session("chat-42")`` and plain ``@session`` on functions,
    coroutine functions and generators.

    Args:
        session_id: the session's id; without one each entry is a session of its own. An id that no backend could
            hold is cleaned (control characters, over 200 characters); one that is no text is replaced. Never raises.
        user_id: for whom the work is done.
        correlation_id: the user request it is; without one each outermost agent run is a request of its own.
        conversation: the id is also the conversation's, ``gen_ai.conversation.id``.
        propagate: hand the ids on to every service called, as W3C baggage. It reaches third parties.
    """
    if callable(session_id):
        return session()(session_id)
    known = runtime.current().guard(_id, session_id)

    def make(around: Scope) -> Scope:
        chosen = known or new_id()
        same = around.explicit and around.session_id == chosen
        return Scope(
            chosen,
            _id(correlation_id) or (around.correlation_id if same else None),
            _id(user_id) or around.user_id,
            chosen if conversation else None,
            operation=around.operation,
            explicit=True,
        )

    return Binding(make, propagate=propagate)


def correlation(correlation_id: str | Callable[..., Any] | None = None, *, propagate: bool = False) -> Any:
    """Make the work inside one user request, across agents and traces.

    Args:
        correlation_id: the request's id; without one each entry is a request of its own. Cleaned like a session's.
        propagate: hand the ids on to every service called, as W3C baggage. It reaches third parties.
    """
    if callable(correlation_id):
        return correlation()(correlation_id)
    known = runtime.current().guard(_id, correlation_id)

    def make(around: Scope) -> Scope:
        return around._replace(correlation_id=known or new_id(), note=None)

    return Binding(make, propagate=propagate)


def bind(function: F) -> F:
    """``function`` bound to the session, request and operation of this moment, wherever it is called.

    For plain threads, executors and callbacks, which start without context:
    ``Thread(target=tachograph.bind(work))``, ``loop.run_in_executor(None, tachograph.bind(agent.run), task)``.
    """
    context, guard = get_current(), runtime.current().guard
    return cast("F", guard(within, function, lambda: context, guard, default=function))


def _id(value: object) -> str | None:
    """A given id, cleaned; what had to be done to it is counted."""
    if value is None:
        return None
    clean = clean_id(value)
    if type(value) is not str or clean != value:
        tachograph = runtime.current()
        if not tachograph.ids_cleaned:
            _log.warning(
                "tachograph.id_cleaned: an id that was %s; give a text of 1 to 200 printable characters",
                "empty or no text, so another was taken" if clean is None else "not usable as it is was cleaned",
            )
        tachograph.ids_cleaned += 1
    return clean
