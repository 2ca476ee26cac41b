"""What requests tell of, as records: operations in their sessions, and events once. For one thread.

Some of it waits for its like in a later request: spans for those around them, copies of events for the events.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tachograph.codec import event_from_log, events_from_span
from tachograph.facts import repeats_operation
from tachograph.server.receiver.belonging import Belonging
from tachograph.server.receiver.copies import Copies
from tachograph.server.receiver.fitting import fit_event, fit_operation
from tachograph.server.receiver.wire import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tachograph.cost import Prices
    from tachograph.guard import Guard
    from tachograph.records import Event, Operation, Record
    from tachograph.server.receiver.wire import Sent
    from tachograph.spans import Batch, ReadLog, ReadSpan


class Found(NamedTuple):
    """Records, and copies of events of which the events themselves have not come."""

    records: list[Record]
    copies: list[Record]


class Reading:
    """Reads requests that were checked.

    Args:
        guard: around each request, span and log record; one that cannot be read costs no other.
        prices: of model calls that others recorded.
        clock: seconds that only grow.
    """

    def __init__(self, guard: Guard, prices: Prices | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._clock = clock
        self._belonging = Belonging(guard, prices, clock)
        self._copies = Copies()

    @property
    def due(self) -> float | None:
        """When something has waited long enough, by the clock; None while nothing waits."""
        return min(filter(None, (self._belonging.due, self._copies.due)), default=None)

    def read(self, requests: Iterable[Sent]) -> Found:
        """What requests tell of, and what need not wait any more."""
        found = Found([], [])
        for sent in requests:
            for batch in self._guard(batches, sent, default=()):
                self._add(batch, found)
        found.records.extend(map(fit_operation, self._belonging.overdue()))
        found.copies.extend(self._copies.patient(self._clock()))
        return found

    def rest(self) -> Found:
        """All that waits, as nothing more is to come."""
        return Found([*map(fit_operation, self._belonging.rest())], [*self._copies.patient(math.inf)])

    def undecided(self) -> list[Operation]:
        """Operations that wait for those around them, as they would be told of now."""
        return [fit_operation(operation) for operation in self._belonging.undecided()]

    def stats(self) -> dict[str, Any]:
        """What could not be read, what is worth no place, what waits."""
        return {
            "failed": self._belonging.failed,
            "passed_over": self._belonging.passed_over,
            "waiting_spans": len(self._belonging),
            "waiting_events": len(self._copies),
        }

    def _add(self, batch: Batch, found: Found) -> None:
        found.records.extend(map(fit_operation, self._belonging.take(batch.spans, batch.resource)))
        events = [event for log in batch.logs for event in self._guard(_of_log, log, default=())]
        self._copies.come(events)
        found.records.extend(events)
        on_spans = [event for span in batch.spans for event in self._guard(_on_span, span, default=())]
        found.copies.extend(self._copies.wait(on_spans, self._clock()))


def _of_log(log: ReadLog) -> list[Event]:
    return _worth_keeping([event_from_log(log)])


def _on_span(span: ReadSpan) -> list[Event]:
    return _worth_keeping(events_from_span(span))


def _worth_keeping(events: Iterable[Event | None]) -> list[Event]:
    return [fit_event(event) for event in events if event is not None and not repeats_operation(event)]
