"""Which session a span belongs to that does not say so itself.

Few programs put the session's id on every span: it is on an outer one, or on the resource, which is to say on all. And
an outer span ends last, so it comes last, perhaps in another request and from another service. Who does not say it
belongs where the nearest span around it does; else where its trace does. Until that is known it waits: what a session
was given is stored for good.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph import names
from tachograph.codec import operation_from_span
from tachograph.foreign import UNATTRIBUTED, operation_from_foreign, telling
from tachograph.server.receiver.fitting import weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tachograph.cost import Prices
    from tachograph.guard import Guard
    from tachograph.records import Operation
    from tachograph.spans import ReadSpan

PATIENCE: Final = 60.0
"""Seconds without news of a trace after which nobody waits for it any more."""

_REMEMBERED: Final = 50_000
"""Spans whose place is remembered for those inside them."""

_MOST_WAITING: Final = 5_000
_WEIGHTIEST: Final = 32 * 1024 * 1024
"""Spans that wait, and about how many characters they have."""

_DEEPEST: Final = 200
"""Spans inside one another that are looked through."""

_HEAVY: Final = 1024 * 1024
_FAILED: Final[Any] = object()


class _Place(NamedTuple):
    """Where a span is, and the session it named, if it did."""

    parent_id: str | None
    session_id: str | None


class _Trace:
    """The spans of one trace that wait, and for which span each does: one around it that has not come."""

    def __init__(self) -> None:
        self.spans: dict[str, ReadSpan] = {}
        self.inside: dict[str, list[str]] = {}
        self.until = 0.0


class Belonging:
    """Reads spans as operations, each with its session. For one thread.

    Args:
        guard: around the reading of each span; one that cannot be read costs no other.
        prices: of model calls that others recorded.
    """

    def __init__(self, guard: Guard, prices: Prices | None = None) -> None:
        self._guard = guard
        self._prices = prices
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()
        self._waiting: OrderedDict[str, _Trace] = OrderedDict()
        self._count = 0
        self._weight = 0
        self.passed_over = 0
        self.again = 0
        self.failed = 0

    def __len__(self) -> int:
        return self._count

    @property
    def due(self) -> float | None:
        """When the first has waited long enough; None while none waits."""
        return next(iter(self._waiting.values())).until if self._waiting else None

    def take(self, spans: Iterable[ReadSpan], resource: Mapping[str, Any], now: float) -> list[Operation]:
        """Spans of one resource, as operations; and those that waited for one of these.

        Args:
            spans: in any order.
            resource: its attributes.
            now: seconds on a clock that only grows.
        """
        everywhere = resource.get(names.SESSION_ID)
        found: list[Operation] = []
        for span in spans:
            if everywhere and names.SESSION_ID not in span.attributes:
                span = _in_session(span, everywhere)  # noqa: PLW2901 - the same span
            operation = self._guard(self._read, span, default=_FAILED)
            if operation is _FAILED:
                self.failed += 1
                continue
            said = _said(span, operation)
            self._remember(span, said)
            if operation is not None and said is not None:
                found.append(operation)
            elif operation is not None or telling(span.attributes):
                found += self._settled(span)
            else:
                self.passed_over += 1
            if span.trace_id in self._waiting:
                found += self._news(span, now)
        while self._count > _MOST_WAITING or self._weight > _WEIGHTIEST:
            found += self._give_up(next(iter(self._waiting)))
        return found

    def patient(self, now: float) -> list[Operation]:
        """Those that have waited long enough at a moment; with ``inf`` all of them."""
        found: list[Operation] = []
        while self._waiting and next(iter(self._waiting.values())).until <= now:
            found += self._give_up(next(iter(self._waiting)))
        return found

    # ---------------------------------------------------------------------------------------------------- reading
    def _read(self, span: ReadSpan) -> Operation | None:
        return operation_from_span(span) or operation_from_foreign(span, self._prices)

    def _read_in(self, span: ReadSpan, session_id: str | None) -> list[Operation]:
        placed = span if session_id is None else _in_session(span, session_id)
        operation = self._guard(self._read, placed)  # that it can be read has been seen
        self.passed_over += operation is None
        return [] if operation is None else [operation]

    # ------------------------------------------------------------------------------------------------ remembering
    def _remember(self, span: ReadSpan, session_id: str | None) -> None:
        key = span.trace_id, span.span_id
        self._places[key] = _Place(span.parent_id, session_id)
        self._places.move_to_end(key)
        if len(self._places) > _REMEMBERED:
            self._places.popitem(last=False)
        if session_id is not None:
            self._sessions.setdefault(span.trace_id, session_id)
            if len(self._sessions) > _REMEMBERED:
                self._sessions.popitem(last=False)

    def _around(self, span: ReadSpan) -> tuple[str | None, str | None]:
        """The session that the nearest span around one names; or the span around it that would have to come first."""
        parent_id = span.parent_id
        for _ in range(_DEEPEST):
            if parent_id is None:
                return self._sessions.get(span.trace_id), None
            place = self._places.get((span.trace_id, parent_id))
            if place is None or place.session_id is not None:
                return (None, parent_id) if place is None else (place.session_id, None)
            parent_id = place.parent_id
        return None, parent_id  # in a ring there is no end to it

    # ---------------------------------------------------------------------------------------------------- waiting
    def _settled(self, span: ReadSpan) -> list[Operation]:
        """A span that does not say its session, if that is known; else it waits."""
        session_id, missing = self._around(span)
        if missing is None:
            return self._read_in(span, session_id)
        trace = self._waiting.setdefault(span.trace_id, _Trace())
        if span.span_id in trace.spans:
            self.again += 1
        else:
            trace.spans[span.span_id] = span
            trace.inside.setdefault(missing, []).append(span.span_id)
            self._count += 1
            self._weight += weight(span.attributes, _HEAVY)
        return []

    def _news(self, come: ReadSpan, now: float) -> list[Operation]:
        """What waited for a span that has come, if that is all it waited for. The others wait for a while longer."""
        trace = self._waiting[come.trace_id]
        found: list[Operation] = []
        for span_id in trace.inside.pop(come.span_id, ()):
            span = trace.spans.pop(span_id)
            self._forget(span)
            found += self._settled(span)
        if trace.spans:
            trace.until = now + PATIENCE
            self._waiting.move_to_end(come.trace_id)
        else:
            del self._waiting[come.trace_id]
        return found

    def _forget(self, span: ReadSpan) -> None:
        self._count -= 1
        self._weight -= weight(span.attributes, _HEAVY)

    def _give_up(self, trace_id: str) -> list[Operation]:
        """Wait for nobody in this trace any more: its session is that which any of its spans has named."""
        known = self._sessions.get(trace_id)
        found: list[Operation] = []
        for span in self._waiting.pop(trace_id).spans.values():
            self._forget(span)
            found += self._read_in(span, self._around(span)[0] or known)
        return found


def _said(span: ReadSpan, operation: Operation | None) -> str | None:
    """The session that a span names, in whatever words."""
    if operation is not None and operation.session_id not in ("", UNATTRIBUTED):
        return operation.session_id
    named = span.attributes.get(names.SESSION_ID)
    return str(named) if named else None


def _in_session(span: ReadSpan, session_id: Any) -> ReadSpan:
    return span._replace(attributes={**span.attributes, names.SESSION_ID: session_id})
