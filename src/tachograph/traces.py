"""Traces as they come in: spans of others wait until it is known what is around them, and are told of then.

Spans end, and are exported, those inside first; which model call is the outermost, which agent a call was made by and
which session it is part of is known when what is around has ended too. Until then they can be had as
:meth:`Traces.undecided`, by what is known so far.

What waits is bounded, and holds no content. Where the bound is reached, or those around are never seen, the spans that
wait are told of by what is known: then a call may be counted as its inner span says it, though still once.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.codec import operation_from_span
from tachograph.facts import USAGE
from tachograph.foreign import UNATTRIBUTED, operation_of, priced, told, told_by_us
from tachograph.kin import NOTHING, NOWHERE, Around, Told, Within, around_those_in, told_upwards
from tachograph.same_calls import SameCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tachograph.cost import Prices
    from tachograph.records import Operation
    from tachograph.spans import ReadSpan

MAX_WAITING: Final = 10_000
"""Spans that wait, unless said otherwise."""

_SpanId = tuple[str, str]
"""Trace id and span id."""


class _Waiting:
    """Spans of one trace that wait."""

    def __init__(self) -> None:
        self.spans: dict[str, Told] = {}
        self.inside: dict[str, dict[str, None]] = {}
        self.last = 0.0

    def add(self, tale: Told) -> None:
        span = tale.span
        if span.parent_id is not None:
            self.inside.setdefault(span.parent_id, {})[span.span_id] = None
        self.spans[span.span_id] = tale

    def below(self, top: str) -> list[str]:
        """A span and all in it, each after the one it is in; beside each other in the order of their starts."""
        found, todo, seen = [], [top], {top}
        while todo:
            span_id = todo.pop()
            found.append(span_id)
            inner = {each for each in self.inside.get(span_id, ()) if each in self.spans} - seen
            seen |= inner
            todo += sorted(inner, key=self._started, reverse=True)
        return found

    def _started(self, span_id: str) -> tuple[int, str]:
        return self.spans[span_id].span.start_ns, span_id

    def tops(self) -> Iterator[str]:
        """Spans in none of the others; and one of those that are in each other."""
        done: set[str] = set()
        first = [span_id for span_id, tale in self.spans.items() if tale.span.parent_id not in self.spans]
        for span_id in (*sorted(first, key=self._started), *self.spans):
            if span_id not in done:
                top = self._above_all(span_id)
                done.update(self.below(top))
                yield top

    def _above_all(self, span_id: str) -> str:
        above, seen = span_id, set[str]()
        while above not in seen:
            seen.add(above)
            parent_id = self.spans[above].span.parent_id
            above = parent_id if parent_id in self.spans else above
        return above

    def drop(self, span_ids: Iterable[str]) -> None:
        for span_id in span_ids:
            parent_id = self.spans.pop(span_id).span.parent_id
            self.inside.pop(span_id, None)
            siblings = self.inside.get(parent_id or "")
            if siblings is not None:
                siblings.pop(span_id, None)


class Traces:
    """Spans that ended, of any traces, in any order. Thread-safe.

    Args:
        limit: spans that wait at most; of the trace that has waited longest all are told of then.
        patience: seconds after which the spans of a trace of which nothing more was heard wait no longer; by default
            they wait for as long as there is room.
        session: gives the session of what nobody has put into one.
        prices: to say what model calls cost.
        clock: seconds, to measure patience by.
    """

    def __init__(
        self,
        *,
        limit: int = MAX_WAITING,
        patience: float | None = None,
        session: Callable[[], str | None] | None = None,
        prices: Prices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._patience = patience
        self._session = session
        self._prices = prices
        self._clock = clock
        self._decided: OrderedDict[_SpanId, Around] = OrderedDict()
        self._before: OrderedDict[_SpanId, Within] = OrderedDict()
        self._calls = SameCalls()
        self.after_fork()

    def after_fork(self) -> None:
        """A child process: what waits is the parent's to tell of, and another thread may have held the lock."""
        self._lock = threading.RLock()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._count = 0
        self._known: list[Operation] | None = []

    def __len__(self) -> int:
        """Spans that wait."""
        return self._count

    @property
    def due(self) -> float:
        """When, by the clock, the first have waited as long as there is patience; infinite where none ever do."""
        with self._lock:
            waiting = next(iter(self._waiting.values()), None)
            return math.inf if waiting is None or self._patience is None else waiting.last + self._patience

    # ------------------------------------------------------------------------------------------------- taking in
    def take(self, span: ReadSpan, *, top: bool | None = None) -> list[Operation]:
        """An ended span, ours or anybody's; gives the operations of others that are decided by it.

        Args:
            span: it.
            top: whether nothing that is around it and not ours is still to come; by default it is so of a span
                without a parent in its own process.
        """
        ours = operation_from_span(span)
        if ours is None and span.scope == names.SCOPE:
            return []
        return self.hear(told(span) if ours is None else told_by_us(span, ours), top=top)

    def hear(self, tale: Told, *, top: bool | None = None) -> list[Operation]:
        """The same, of a span that is read already."""
        span = tale.span
        with self._lock:
            trace = self._waiting.get(span.trace_id)
            if trace is None:
                trace = self._waiting[span.trace_id] = _Waiting()
            self._count += span.span_id not in trace.spans
            trace.add(tale)
            self._known = None
            if top is None:
                top = span.parent_id is None or span.remote_parent
            found: list[Operation] = []
            awaited = span.parent_id in trace.spans  # it has ended, and what is around it not
            if (top and not awaited) or (span.trace_id, span.parent_id) in self._decided:
                found += self._decide(span.trace_id, span.span_id)
            if self._patience is not None:
                trace.last = self._clock()
                if trace.spans:
                    self._waiting.move_to_end(span.trace_id)
                found += self._overdue(trace.last - self._patience)
            while self._count > self._limit:
                found += self._decide_all(next(iter(self._waiting)))
            return found

    def overdue(self) -> list[Operation]:
        """What has waited longer than there is patience, told of by what is known."""
        with self._lock:
            return [] if self._patience is None else self._overdue(self._clock() - self._patience)

    def rest(self) -> list[Operation]:
        """All that waits, told of by what is known: nothing more is to come."""
        with self._lock:
            return [operation for trace_id in list(self._waiting) for operation in self._decide_all(trace_id)]

    def undecided(self) -> list[Operation]:
        """All that waits, as it would be told of now; it goes on waiting."""
        with self._lock:
            known = self._known
            if known is None:
                calls = self._calls.copy() if self._waiting else self._calls
                known = self._known = [
                    operation
                    for trace_id, trace in self._waiting.items()
                    for top in trace.tops()
                    for operation in self._resolved(trace_id, trace, top, {}, calls)
                ]
            return known

    # --------------------------------------------------------------------------------------------------- deciding
    def _overdue(self, since: float) -> list[Operation]:
        found: list[Operation] = []
        while self._waiting:
            trace_id, trace = next(iter(self._waiting.items()))
            if trace.last > since:
                break
            found += self._decide_all(trace_id)
        return found

    def _decide_all(self, trace_id: str) -> list[Operation]:
        trace = self._waiting[trace_id]
        return [operation for top in list(trace.tops()) for operation in self._decide(trace_id, top)]

    def _decide(self, trace_id: str, top: str) -> list[Operation]:
        trace = self._waiting[trace_id]
        arounds: dict[str, Around] = {}
        found = self._resolved(trace_id, trace, top, arounds, self._calls)
        above = trace.spans[top].span.parent_id
        if above is not None and (trace_id, above) not in self._decided:
            # What is around may come after all, from another process or late: then it has to know.
            self._remember(self._before, (trace_id, above), self._within(trace_id, trace, trace.below(top))[top], found)
        for span_id, around in arounds.items():
            self._decided[trace_id, span_id] = around
            self._before.pop((trace_id, span_id), None)
        trace.drop(arounds)
        self._count -= len(arounds)
        if not trace.spans:
            del self._waiting[trace_id]
        while len(self._decided) > self._limit:
            self._decided.popitem(last=False)
        self._known = None
        return found

    def _remember(
        self, table: OrderedDict[_SpanId, Within], key: _SpanId, within: Within, found: list[Operation]
    ) -> None:
        before = table.get(key, NOTHING)
        counted = any(operation.kind == "model" for operation in found)
        table[key] = Within(
            before.ours | within.ours,
            {},
            before.failures | within.failures,
            before.counted or within.counted or counted,
        )
        if len(table) > self._limit:
            table.popitem(last=False)

    def _resolved(
        self, trace_id: str, trace: _Waiting, top: str, arounds: dict[str, Around], calls: SameCalls
    ) -> list[Operation]:
        """The operations that a span and those in it tell of, in order of their ends; fills in what is around each."""
        order = trace.below(top)
        within = self._within(trace_id, trace, order)
        found: list[Operation] = []
        for span_id in order:
            tale = trace.spans[span_id]
            above = tale.span.parent_id
            around = NOWHERE
            if above is not None:
                around = arounds.get(above) or self._decided.get((trace_id, above)) or NOWHERE
            operation = operation_of(tale, around, within[span_id])
            if operation is not None and operation.kind == "model" and not calls.told(operation, tale.span.scope):
                operation = None
            if operation is not None:
                found.append(self._whole(operation))
            arounds[span_id] = around_those_in(tale, around, operation)
        return sorted(found, key=lambda operation: operation.end_ns or operation.start_ns)

    def _whole(self, operation: Operation) -> Operation:
        if operation.session_id == UNATTRIBUTED and self._session is not None:
            operation = operation._replace(session_id=self._session() or UNATTRIBUTED)
        return priced(operation, self._prices)

    def _within(self, trace_id: str, trace: _Waiting, order: list[str]) -> dict[str, Within]:
        """What happened in each span."""
        known: dict[str, Within] = {}
        for span_id in reversed(order):
            inside = trace.inside.get(span_id, ())
            parts = [told_upwards(trace.spans[inner], known[inner]) for inner in inside if inner in known]
            before = self._before.get((trace_id, span_id))
            if before is not None:
                parts.append(before)
            if not parts:
                known[span_id] = NOTHING
                continue
            call: dict[str, Any] = {}
            for part in parts:
                for name, value in part.call.items():
                    call[name] = call.get(name, 0) + value if name in USAGE else value
            known[span_id] = Within(
                frozenset().union(*(part.ours for part in parts)),
                call,
                frozenset().union(*(part.failures for part in parts)),
                any(part.counted for part in parts),
                next((part.refused for part in parts if part.refused), None),
            )
        return known
