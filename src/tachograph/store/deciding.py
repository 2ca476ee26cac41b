"""The store as those see it who decide on an approval: one at a time, whatever process they are in.

An approval is decided once. Whoever decides holds a lock beside the database from looking until what was decided is
stored; the operating system gives it back when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Final, cast

from tachograph import names
from tachograph.records import Operation
from tachograph.store.look import Look
from tachograph.store.presence import lock
from tachograph.store.readers import Readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_PATIENCE: Final = 5.0
"""Seconds to wait for others who decide; after that it is decided all the same, and the store takes the first."""

_AGAIN: Final = 0.01
"""Seconds until a lock that others hold is tried again: no system waits for one for so long and no longer."""


class Deciding:
    """Looks at approvals in a store, alone.

    Args:
        path: of the store.
        flush: stores what this process has recorded, now.
        commit: the same, unless nothing can be stored for the time being; by default ``flush``.
    """

    def __init__(self, path: Path, flush: Callable[[], object], commit: Callable[[], object] | None = None) -> None:
        self._path = path
        self._flush = flush
        self._commit = commit or flush

    def tell(self) -> None:
        """Whoever hears of what was asked here, and decides at once, finds it."""
        self._commit()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else decides in this block, and what it decided is stored at its end."""
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):  # where no file can be made, the store cannot be written either
                beside = self._path.with_name(f"{self._path.name}-deciding")
                descriptor = os.open(beside, os.O_CREAT | os.O_RDWR, 0o600)
                held.callback(os.close, descriptor)
                until = time.monotonic() + _PATIENCE
                while not lock(descriptor) and time.monotonic() < until:
                    time.sleep(_AGAIN)
            yield
            self._flush()

    def asked(self, call_id: str, session_id: str | None) -> Operation | None:
        """The approval asked for by this call id: one that is pending, else the newest that was decided.

        Raises:
            StoreError: for a store that cannot be read.
        """
        with self._look() as now:
            if now is None:
                return None
            pending = [one for one in now.under_way(session_id=session_id) if _is(one, call_id)]
            decided = now.newest(session_id=session_id, kinds=["approval"], under_way=False)
            found = pending[-1] if pending else next((one for one in decided if _is(one, call_id)), None)
            return cast("Operation | None", found)

    def decided(self, operation_ids: Iterable[str]) -> list[Operation]:
        """The approvals among those with these ids that are decided.

        Raises:
            StoreError: for a store that cannot be read.
        """
        with self._look() as now:
            found = [] if now is None else [now.ended(operation_id) for operation_id in operation_ids]
            return [record for record in found if isinstance(record, Operation)]

    @contextlib.contextmanager
    def _look(self) -> Iterator[Look | None]:
        if not self._path.is_file():
            yield None
            return
        readers = Readers(self._path)
        try:
            with readers.look() as db:
                yield Look(db, self._path)
        finally:
            readers.close()


def _is(record: Any, call_id: str) -> bool:
    """Whether it is an approval that somebody was asked for by this call id."""
    facts = record.attributes if isinstance(record, Operation) and record.kind == "approval" else {}
    return facts.get(names.TOOL_CALL_ID) == call_id and bool(facts.get(names.HUMAN_WAIT))
