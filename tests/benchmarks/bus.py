"""The yardstick for publishing: the event bus one writes oneself, on an asyncio queue, with its event loop to itself.

It does what such a bus does: an id and a time for each event, handlers by type, in order, one's failure kept from the
others. It neither redacts nor counts anything, and it keeps no event once it is delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("bus")


@dataclass
class Event:
    """What happened."""

    event_type: str
    payload: dict[str, Any]
    session_id: str | None = None
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


class EventBus:
    """Publishes to a queue; a task takes from it and calls the handlers."""

    def __init__(self, maxsize: int = 10_000) -> None:
        self._handlers: dict[str, list[Callable[[Event], Awaitable[Any]]]] = defaultdict(list)
        self._queue: asyncio.Queue[Event] = asyncio.Queue(maxsize)
        self._task: asyncio.Task[None] | None = None
        self.stats = {"published": 0, "delivered": 0, "failed": 0}

    def subscribe(self, event_type: str, handler: Callable[[Event], Awaitable[Any]]) -> None:
        """Tell ``handler`` of the events of a type."""
        self._handlers[event_type].append(handler)

    async def start(self) -> None:
        """Begin to deliver."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Deliver what waits, and end."""
        await self._queue.join()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def publish(self, event: Event) -> None:
        """Something happened."""
        self.stats["published"] += 1
        await self._queue.put(event)

    async def _work(self) -> None:
        while True:
            event = await self._queue.get()
            # All at once, so that a slow handler does not hold up the others.
            given = await asyncio.gather(
                *(handler(event) for handler in self._handlers[event.event_type]), return_exceptions=True
            )
            for outcome in given:
                if isinstance(outcome, Exception):
                    self.stats["failed"] += 1
                    log.error("handler failed", exc_info=outcome)
            self.stats["delivered"] += len(given)
            self._queue.task_done()
