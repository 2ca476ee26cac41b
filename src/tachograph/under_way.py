"""What has begun and not ended, as far as the ledger was told of it or is told when it asks."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from tachograph.records import Operation


class UnderWay:
    """Operations that were applied while open, and those of whoever is attended to.

    Not thread-safe: the ledger has the lock.
    """

    def __init__(self) -> None:
        self._attended: list[weakref.WeakMethod[Callable[[], list[Operation]]]] = []
        self.after_fork(())

    def after_fork(self, known: Container[str]) -> None:
        """Begin anew; who is attended to stays.

        Args:
            known: ids of records that have ended and are counted, whatever others still have under way.
        """
        self._known = known
        self.open: dict[str, Operation] = {}
        """What was applied while open, by id."""
        self.hidden: set[str] = set()
        """Ids of what was under way in a session when that was cleared."""

    def attend(self, under_way: Callable[[], list[Operation]]) -> None:
        """Ask there as well; see :meth:`tachograph.ledger.Ledger.attend`."""
        self._attended.append(weakref.WeakMethod(under_way))

    def told(self, *, hidden: bool = False) -> list[Operation]:
        """What those who are attended to have under way.

        Args:
            hidden: with what was hidden when its session was cleared.
        """
        methods = [method for reference in self._attended if (method := reference()) is not None]
        there = [open_ for method in methods for open_ in method() if open_.id not in self._known]
        return [open_ for open_ in there if hidden or open_.id not in self.hidden]

    def forget(self, session_id: str) -> bool:
        """Hide what is under way in a session. Returns whether anything was."""
        here = [open_.id for open_ in (*self.open.values(), *self.told()) if open_.session_id == session_id]
        for operation_id in here:
            self.open.pop(operation_id, None)
            self.hidden.add(operation_id)
        return here != []
