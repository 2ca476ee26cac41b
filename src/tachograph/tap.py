"""What the ledger has kept and somebody is still to write down: each record once, in order, within a bound."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tachograph.records import Record


class Tap:
    """A queue between those who record and one who writes. Beyond its limit the oldest are dropped, and counted.

    Args:
        limit: most records waiting.
        nudge: called after each record and each start of an operation, on the thread that recorded it.
        full: called when ``batch`` records are waiting.
        batch: see ``full``.
        through: called after each record, and returns when it is written.
    """

    __slots__ = ("_batch", "_full", "_limit", "_waiting", "dropped", "nudge", "through")

    def __init__(
        self,
        limit: int,
        nudge: Callable[[], None],
        full: Callable[[], None],
        batch: int,
        through: Callable[[], None] | None = None,
    ) -> None:
        self.nudge = nudge
        self.through = through
        self.dropped = 0
        self._full = full
        self._batch = batch
        self._limit = limit
        self._waiting: deque[Record] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, record: Record) -> None:
        """One more."""
        self._waiting.append(record)
        waiting = len(self._waiting)
        if waiting == self._batch:
            self._full()
        elif waiting > self._limit:
            self._drop()

    def take(self, count: int) -> list[Record]:
        """The oldest, up to so many."""
        taken: list[Record] = []
        while self._waiting and len(taken) < count:
            taken.append(self._waiting.popleft())
        return taken

    def give_back(self, records: Iterable[Record]) -> None:
        """They could not be written: put them in front again."""
        self._waiting.extendleft(reversed([*records]))
        while len(self._waiting) > self._limit:
            self._drop()

    def clear(self) -> None:
        """Nothing of this is to be written."""
        self._waiting.clear()

    def _drop(self) -> None:
        self._waiting.popleft()
        self.dropped += 1
