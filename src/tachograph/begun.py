"""Operations begun by id, to be ended by id: where nothing can be put around the work."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tachograph.live import Live

_MAX_OPEN: Final = 10_000


class Begun:
    """Operations begun by id and not ended yet."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """A child process: they are the parent's."""
        self._lock = threading.Lock()
        self._live: OrderedDict[str, Live] = OrderedDict()

    def add(self, key: str, live: Live) -> Live | None:
        """Gives one that has to make room."""
        with self._lock:
            before = self._live.pop(key, None)
            self._live[key] = live
            if before is None and len(self._live) > _MAX_OPEN:
                before = self._live.popitem(last=False)[1]
            return before

    def inherit(self, before: Begun) -> None:
        """Those of another one are ended here from now on."""
        with before._lock:
            moved, before._live = before._live, OrderedDict()
        for key, live in moved.items():
            self.add(key, live)

    def take(self, key: str) -> Live | None:
        """The one of this id."""
        with self._lock:
            return self._live.pop(key, None)

    def around(self) -> Live | None:
        """The one that is around work which no context places: a task, if only one is under way."""
        tasks = [live for live in list(self._live.values()) if live.kind == "task" and live.once]
        return tasks[0] if len(tasks) == 1 else None
