"""The counters that records make."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tachograph.folds import ended, now
from tachograph.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.records import Record


def tally_of(records: Iterable[Record], **bounds: int) -> Tally:
    """The tally that was told of each operation's start and end, and of each event."""
    tally = Tally(**bounds)
    for record in records:
        if hasattr(record, "payload"):
            tally.event(record)
            continue
        if record.end_ns is None:
            tally.open[record.id] = record
        else:
            ended(record, [tally])
    return tally


def changes(*records: Record) -> dict[str, Any]:
    """The counters that are no longer as in a new tally; times, names and lists aside."""
    tally = now(tally_of(records))
    fresh = dataclasses.asdict(Tally()) | {"open": 0}
    told = dataclasses.asdict(tally) | {"open": len(tally.open)}
    aside = {"first_ns", "last_ns", "begun_ns", "user_ns", "tokens", "models", "agents", "tools", "requests"}
    return {name: value for name, value in told.items() if value != fresh[name] and name not in aside}
