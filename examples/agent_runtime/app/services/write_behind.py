"""Writing to the database behind the user's back: what has changed is written every few seconds, and at the end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod


class WriteBehind(ABC):
    """Something that keeps its state in memory and writes what has changed from time to time."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._changed: set[str] = set()
        self._stopping = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._writer = asyncio.create_task(self._background_writer())

    async def stop(self) -> None:
        """Write what is left and end."""
        self._stopping.set()
        if self._writer is not None:
            await self._writer

    async def flush(self) -> int:
        """Write the sessions that have changed since the last time and return how many they were."""
        changed, self._changed = sorted(self._changed), set()
        for session_id in changed:
            await self._write(session_id)
        return len(changed)

    async def _background_writer(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), self._interval_seconds)
            except asyncio.TimeoutError:  # noqa: PERF203 - a round takes seconds
                await self.flush()
        await self.flush()

    @abstractmethod
    async def _write(self, session_id: str) -> None:
        """Write one session's state."""
