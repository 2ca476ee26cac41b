"""Events that come twice: copied onto a span, as trace backends keep no logs, and as the log event itself.

A copy has lost what a span cannot hold. So it waits until the log event has had the time to come, and is taken only
where that has not.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.records import Event

PATIENCE: Final = 10.0
"""Seconds that a copy waits: log events are sent every five seconds or sooner."""

_MOST: Final = 2_000
"""Copies that wait, and log events remembered."""


class _Copy(NamedTuple):
    event: Event
    until: float


class Copies:
    """Copies of events that wait for the events themselves. For one thread."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, _Copy] = OrderedDict()
        self._come: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def due(self) -> float | None:
        """When the first has waited long enough; None while none waits."""
        return next(iter(self._waiting.values())).until if self._waiting else None

    def wait(self, copies: Iterable[Event], now: float) -> list[Event]:
        """Let copies wait; gives those for which there is no room any more.

        Args:
            copies: cut to size.
            now: seconds on a clock that only grows.
        """
        for copy in copies:
            if copy.id not in self._come and copy.id not in self._waiting:
                self._waiting[copy.id] = _Copy(copy, now + PATIENCE)
        return [self._waiting.popitem(last=False)[1].event for _ in range(len(self._waiting) - _MOST)]

    def come(self, events: Iterable[Event]) -> None:
        """These are here: their copies are not needed."""
        for event in events:
            self._waiting.pop(event.id, None)
            self._come[event.id] = None
        while len(self._come) > _MOST:
            self._come.popitem(last=False)

    def patient(self, now: float) -> list[Event]:
        """Those that have waited long enough at a moment; with ``inf`` all of them."""
        found: list[Event] = []
        while self._waiting and next(iter(self._waiting.values())).until <= now:
            found.append(self._waiting.popitem(last=False)[1].event)
        return found
