"""What happened when, inside what?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.records import Event, Operation
from tachograph.times import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tachograph.records import Record

_BAR_WIDTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One operation or event. Offsets from the first start, durations: milliseconds.

    ``depth`` counts enclosing operations; ``duration_ms`` is None while an operation is open, and for events.
    """

    offset_ms: float
    duration_ms: float | None
    depth: int
    kind: str
    name: str
    outcome: str | None
    error_type: str | None
    id: str
    parent_id: str | None
    agent: str | None
    step: int | None
    total_tokens: int | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Operations and events in order of start, each below what it happened in."""

    entries: tuple[TimelineEntry, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {"entries": [dataclasses.asdict(entry) for entry in self.entries]}

    def __str__(self) -> str:
        """A waterfall for a terminal."""
        if not self.entries:
            return "nothing recorded"
        length = max(entry.offset_ms + (entry.duration_ms or 0) for entry in self.entries) or 1
        return "\n".join(_line(entry, length) for entry in self.entries)


def timeline_view(
    records: Iterable[Record], *, session_id: str | None = None, correlation_id: str | None = None
) -> Timeline:
    """The timeline of a session, of one request within it, or of everything."""
    chosen = [
        record
        for record in records
        if (session_id is None or record.session_id == session_id)
        and (correlation_id is None or record.correlation_id == correlation_id)
    ]
    if not chosen:
        return Timeline(())
    operations = {record.id: record for record in chosen if isinstance(record, Operation)}
    origin = min(_start(record) for record in chosen)
    children: dict[str | None, list[Record]] = {}
    for record in chosen:
        parent_id = record.parent_id if isinstance(record, Operation) else record.span_id
        children.setdefault(parent_id if parent_id in operations and parent_id != record.id else None, []).append(
            record
        )

    def walk(parent_id: str | None, depth: int) -> Iterator[TimelineEntry]:
        for record in sorted(children.get(parent_id, ()), key=lambda record: (_start(record), record.id)):
            yield _entry(record, origin, depth)
            if isinstance(record, Operation):
                yield from walk(record.id, depth + 1)

    return Timeline(tuple(walk(None, 0)))


def _start(record: Record) -> int:
    return record.start_ns if isinstance(record, Operation) else record.timestamp_ns


def _entry(record: Record, origin: int, depth: int) -> TimelineEntry:
    if isinstance(record, Event):
        return TimelineEntry(
            offset_ms=milliseconds(record.timestamp_ns - origin),
            duration_ms=None,
            depth=depth,
            kind="event",
            name=f"{record.type} {record.payload.get('agent_type') or ''}".rstrip(),
            outcome=None,
            error_type=None,
            id=record.id,
            parent_id=record.span_id,
            agent=None,
            step=None,
            total_tokens=None,
        )
    facts = record.attributes
    tokens = [facts.get(name) for name in (names.INPUT_TOKENS, names.OUTPUT_TOKENS)]
    return TimelineEntry(
        offset_ms=milliseconds(record.start_ns - origin),
        duration_ms=None if record.end_ns is None else milliseconds(record.end_ns - record.start_ns),
        depth=depth,
        kind=record.kind,
        name=record.name,
        outcome=record.outcome,
        error_type=record.error_type,
        id=record.id,
        parent_id=record.parent_id,
        agent=record.agent,
        step=facts.get(names.STEP),
        total_tokens=None if tokens == [None, None] else sum(count or 0 for count in tokens),
    )


def _line(entry: TimelineEntry, length: float) -> str:
    first = min(_BAR_WIDTH - 1, int(entry.offset_ms / length * _BAR_WIDTH))
    if entry.kind == "event":
        bar, took = "·", ""
    elif entry.duration_ms is None:
        bar, took = "▒" * (_BAR_WIDTH - first), "running"
    else:
        last = min(_BAR_WIDTH, max(first + 1, round((entry.offset_ms + entry.duration_ms) / length * _BAR_WIDTH)))
        bar, took = "█" * (last - first), f"{entry.duration_ms:,.0f} ms"
    bar = (" " * first + bar).ljust(_BAR_WIDTH)
    what = entry.name if entry.kind in ("agent", "event") else f"{entry.kind} {entry.name}".rstrip()
    tokens = f"  {entry.total_tokens:,} tokens" if entry.total_tokens is not None else ""
    ending = (
        ""
        if entry.outcome in (None, "ok")
        else f"  {entry.outcome}" + (f" {entry.error_type}" if entry.error_type else "")
    )
    return f"{entry.offset_ms:>8,.0f} ms {took:>10}  {bar}  {'  ' * entry.depth}{what}{tokens}{ending}".rstrip()
