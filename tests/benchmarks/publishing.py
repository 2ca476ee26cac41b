"""What the measure `bus` publishes, by either bus: a message of a session, to two subscribers, delivered in order."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bus import Event, EventBus

import tachograph

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 2_000


def by_asyncio() -> tuple[float, float]:
    """Seconds and CPU seconds an event takes."""
    return asyncio.run(_by_asyncio())


async def _by_asyncio() -> tuple[float, float]:
    bus, heard = EventBus(), _Heard()
    for handler in heard.handlers("payload"):
        bus.subscribe("session_updated", handler)
    await bus.start()
    began = _clocks()
    for number in range(EVENTS):
        await bus.publish(Event("session_updated", {"number": number, "role": "user"}, "chat-42"))
    await bus.stop()
    return heard.took(began)


def by_tachograph() -> tuple[float, float]:
    """Seconds and CPU seconds an event takes."""
    heard = _Heard()
    subscriptions = [tachograph.subscribe(handler, event_type="session_updated") for handler in heard.handlers()]
    began = _clocks()
    for number in range(EVENTS):
        tachograph.events.session_updated("chat-42", number=number, role="user")
    for subscription in subscriptions:
        subscription.flush()
    took = heard.took(began)
    for subscription in subscriptions:
        subscription.close()
    return took


class _Heard:
    """What two subscribers were told."""

    def __init__(self) -> None:
        self.numbers: tuple[list[int], list[int]] = [], []

    def handlers(self, attribute: str | None = None) -> list[Callable[[Any], Any]]:
        """A coroutine function for each, that reads an entry, or this attribute of an event."""

        def handler(numbers: list[int]) -> Callable[[Any], Any]:
            async def hear(event: Any) -> None:
                numbers.append((event if attribute is None else getattr(event, attribute))["number"])

            return hear

        return [handler(numbers) for numbers in self.numbers]

    def took(self, began: tuple[float, float]) -> tuple[float, float]:
        """For each event, after a look whether all were heard in order."""
        wall, cpu = ((now - then) / EVENTS for now, then in zip(_clocks(), began, strict=True))
        if self.numbers != (list(range(EVENTS)),) * 2:
            raise AssertionError(self.numbers)
        return wall, cpu


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


MODES: dict[str, Callable[[], tuple[float, float]]] = {"asyncio": by_asyncio, "tachograph": by_tachograph}
