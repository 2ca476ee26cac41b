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
    """The spans of one trace that wait."""

    def __init__(self) -> None:
        self.spans: list[ReadSpan] = []
        self.weight = 0
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
        touched: dict[str, None] = {}
        for span in spans:
            if everywhere and names.SESSION_ID not in span.attributes:
                span = _in_session(span, everywhere)  # noqa: PLW2901 - the same span
            operation = self._guard(self._read, span, default=_FAILED)
            if operation is _FAILED:
                self.failed += 1
                continue
            said = _said(span, operation)
            self._remember(span, said)
            touched[span.trace_id] = None
            if operation is not None and said is not None:
                found.append(operation)
            elif operation is not None or telling(span.attributes):
                self._wait(span)
            else:
                self.passed_over += 1
        for trace_id in touched:
            found += self._settled(trace_id, now)
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

    def _around(self, span: ReadSpan) -> tuple[str | None, bool]:
        """The session that the nearest span around one names, and whether none nearer can still come."""
        place: _Place | None = _Place(span.parent_id, None)
        for _ in range(_DEEPEST):
            if place is None:
                return None, False
            if place.session_id is not None:
                return place.session_id, True
            if place.parent_id is None:
                return self._sessions.get(span.trace_id), True
            place = self._places.get((span.trace_id, place.parent_id))
        return None, False

    # ---------------------------------------------------------------------------------------------------- waiting
    def _wait(self, span: ReadSpan) -> None:
        trace = self._waiting.setdefault(span.trace_id, _Trace())
        heavy = weight(span.attributes, _HEAVY)
        trace.spans.append(span)
        trace.weight += heavy
        self._count += 1
        self._weight += heavy

    def _settled(self, trace_id: str, now: float) -> list[Operation]:
        """Those of a trace, of which there is news, that need not wait any more."""
        trace = self._waiting.get(trace_id)
        if trace is None:
            return []
        left: list[ReadSpan] = []
        found: list[Operation] = []
        for span in trace.spans:
            session_id, certain = self._around(span)
            if certain:
                found += self._read_in(span, session_id)
            else:
                left.append(span)
        self._drop(trace_id)
        for span in left:
            self._wait(span)
        if left:
            self._waiting[trace_id].until = now + PATIENCE
        return found

    def _give_up(self, trace_id: str) -> list[Operation]:
        """Wait for nobody in this trace any more: its session is that which any of its spans has named."""
        known = self._sessions.get(trace_id)
        return [
            operation
            for span in self._drop(trace_id)
            for operation in self._read_in(span, self._around(span)[0] or known)
        ]

    def _drop(self, trace_id: str) -> list[ReadSpan]:
        trace = self._waiting.pop(trace_id)
        self._count -= len(trace.spans)
        self._weight -= trace.weight
        return trace.spans


def _said(span: ReadSpan, operation: Operation | None) -> str | None:
    """The session that a span names, in whatever words."""
    if operation is not None and operation.session_id not in ("", UNATTRIBUTED):
        return operation.session_id
    named = span.attributes.get(names.SESSION_ID)
    return str(named) if named else None


def _in_session(span: ReadSpan, session_id: Any) -> ReadSpan:
    return span._replace(attributes={**span.attributes, names.SESSION_ID: session_id})
