"""Where what arrives is kept: in a ledger in memory, or in a store. Each record once, however often it is sent."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from tachograph.ledger import Ledger
from tachograph.sources.otlp import OtlpSource
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.batches import Batches
from tachograph.store.trouble import KINDS
from tachograph.store.upkeep import keep_within

if TYPE_CHECKING:
    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.records import Record
    from tachograph.sources import Source
    from tachograph.store.writer import Writer

_HOUR: Final = 3_600.0
_SOON: Final = 2.0
"""Seconds until retention goes on that has not finished."""


class Outcome(NamedTuple):
    """How many of some records were new, were known already, and could not be kept."""

    new: int
    known: int
    unfit: int = 0


class Place(Protocol):
    """Somewhere to keep records. For one thread."""

    def keep(self, records: list[Record]) -> Outcome:
        """Keep ended operations and events.

        Raises:
            sqlite3.Error, OSError: where they cannot be kept now; then none is.
        """

    def tidy(self) -> None:
        """Look after what is kept, if it is time."""

    def close(self) -> None:
        """Give back what keeping holds.

        Raises:
            sqlite3.Error, OSError: where that goes wrong; given back all the same.
        """


def place_of(source: Source, config: Config, guard: Guard) -> Place | None:
    """Where a source that is served keeps what arrives; None for one to which nothing can be added.

    Args:
        source: a ledger or a store; a file of OTLP is as it is.
        config: the settings a store is written by: key, retention, bounds.
        guard: around each attempt to store something.
    """
    if isinstance(source, SqliteSource):
        return InStore(Path(source.place), config, guard)
    if isinstance(source, Ledger) and not isinstance(source, OtlpSource):
        return InMemory(source)
    return None


class InMemory:
    """Keeps records in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def keep(self, records: list[Record]) -> Outcome:
        """As :class:`Place` says; never fails."""
        known = self._ledger.known(record.id for record in records)
        fresh = {record.id: record for record in records if record.id not in known}
        for record in fresh.values():
            self._ledger.apply(record)
        self._ledger.settle()
        return Outcome(len(fresh), len(records) - len(fresh))

    def tidy(self) -> None:
        """The ledger does so by itself."""

    def close(self) -> None:
        """Nothing to give back."""


class InStore:
    """Keeps records in a store, as a writer of its own."""

    def __init__(self, path: Path, config: Config, guard: Guard) -> None:
        self._config = dataclasses.replace(config, store=str(path))
        self._guard = guard
        self._batches = Batches(self._config, guard, "tachograph serve")
        self._tidy_at = 0.0

    def keep(self, records: list[Record]) -> Outcome:
        """As :class:`Place` says."""
        written, unfit = self._batches.written, self._batches.unfit
        self._batches.store(records, None)
        new, unfit = self._batches.written - written, self._batches.unfit - unfit
        return Outcome(new, len(records) - new - unfit, unfit)

    def tidy(self) -> None:
        """Prune by the settings, hourly."""
        writer = self._batches.writer
        if writer is not None and time.monotonic() >= self._tidy_at:
            finished = self._guard(self._prune, writer, default=True)
            self._tidy_at = time.monotonic() + (_HOUR if finished else _SOON)

    def _prune(self, writer: Writer) -> bool:
        try:
            return keep_within(writer, self._config).finished
        except KINDS:  # that it cannot be written is said where it is
            return True

    def close(self) -> None:
        """Say in the store that nothing more will come."""
        self._batches.close(hand_over=False)
