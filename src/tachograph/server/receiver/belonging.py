"""Which session a span belongs to, and whether it is told of already: known when what is around it has come.

Few programs put the session's id on every span: it is on an outer one, or on the resource, which is to say on all. And
an outer span ends last, so it comes last, perhaps in another request and from another service. So spans of others wait
for those around them (:mod:`tachograph.traces`); where nothing around one names a session, it is where its trace is.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.codec import operation_from_span
from tachograph.foreign import UNATTRIBUTED, told, told_by_us
from tachograph.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tachograph.cost import Prices
    from tachograph.guard import Guard
    from tachograph.records import Operation
    from tachograph.spans import ReadSpan

PATIENCE: Final = 60.0
"""Seconds without news of a trace after which nobody waits for it any more."""

_MOST_WAITING: Final = 10_000
"""Spans that wait; none of their content does."""

_REMEMBERED: Final = 50_000
"""Traces whose session is remembered."""


class Belonging:
    """Reads spans as operations, each once and with its session. For one thread, but for what is waiting.

    Args:
        guard: around the reading of each span; one that cannot be read costs no other.
        prices: of model calls that others recorded.
        clock: seconds that only grow.
    """

    def __init__(self, guard: Guard, prices: Prices | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._traces = Traces(limit=_MOST_WAITING, patience=PATIENCE, prices=prices, clock=clock)
        self._sessions: OrderedDict[str, str] = OrderedDict()
        self.passed_over = 0
        self.failed = 0

    def __len__(self) -> int:
        return len(self._traces)

    @property
    def due(self) -> float | None:
        """When the first has waited long enough, by the clock; None while none waits."""
        due = self._traces.due
        return None if math.isinf(due) else due

    def take(self, spans: Iterable[ReadSpan], resource: Mapping[str, Any]) -> list[Operation]:
        """Spans of one resource, in any order, as operations; and those that waited for one of these.

        Args:
            spans: that have ended.
            resource: its attributes.
        """
        everywhere = resource.get(names.SESSION_ID)
        found: list[Operation] = []
        for span in spans:
            if everywhere and names.SESSION_ID not in span.attributes:
                span = span._replace(attributes={**span.attributes, names.SESSION_ID: everywhere})  # noqa: PLW2901 - the same
            operations = self._guard(self._read, span)
            if operations is None:
                self.failed += 1
            else:
                found += operations
        return found

    def overdue(self) -> list[Operation]:
        """Those that have waited long enough."""
        return self._placed(self._guard(self._traces.overdue, default=[]))

    def rest(self) -> list[Operation]:
        """All that wait, as nothing more is to come."""
        return self._placed(self._guard(self._traces.rest, default=[]))

    def undecided(self) -> list[Operation]:
        """All that wait, as they would be told of now."""
        return self._guard(self._traces.undecided, default=[])

    def _read(self, span: ReadSpan) -> list[Operation]:
        ours = operation_from_span(span)
        tale = told(span) if ours is None else told_by_us(span, ours)
        named = ours.session_id if ours is not None else tale.stamps.get(names.SESSION_ID)
        if named:
            self._sessions.setdefault(span.trace_id, named)
            if len(self._sessions) > _REMEMBERED:
                self._sessions.popitem(last=False)
        self.passed_over += ours is None and (tale.said is None or tale.said.kind is None)
        # What is around may be in another process, and still to come: only what has nothing around it is the top.
        decided = self._placed(self._traces.hear(tale, top=span.parent_id is None))
        return decided if ours is None else [ours, *decided]

    def _placed(self, operations: list[Operation]) -> list[Operation]:
        """Those that nothing around puts into a session, in that of their trace."""
        return [
            operation._replace(session_id=self._sessions.get(operation.trace_id or "", UNATTRIBUTED))
            if operation.session_id == UNATTRIBUTED
            else operation
            for operation in operations
        ]
