"""What happened when, inside what?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.facts import settled
from tachograph.records import Event, Operation
from tachograph.redact import printable
from tachograph.times import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tachograph.records import Record

_BAR_WIDTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One operation or event. Offsets from the first start, durations: milliseconds.

    ``depth`` counts enclosing operations; ``duration_ms`` is None while an operation is open, and for events.
    ``human_wait`` says that the duration is a human's; ``decision`` is what became of an approval.
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
    human_wait: bool = False
    decision: str | None = None

    @property
    def human(self) -> str | None:
        """What a human has to do with it: what was decided, or that one is or was waited for."""
        if self.decision or not self.human_wait:
            return self.decision
        return "waiting for a human" if self.duration_ms is None else "waited for a human"


@dataclass(frozen=True, slots=True)
class Timeline:
    """Operations and events in order of start, each below what it happened in.

    ``left_out`` counts those that are kept but too many to show; they are the oldest.
    """

    entries: tuple[TimelineEntry, ...]
    left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {"entries": [dataclasses.asdict(entry) for entry in self.entries], "left_out": self.left_out}

    def __str__(self) -> str:
        """A waterfall for a terminal."""
        if not self.entries:
            return "nothing recorded"
        length = max(entry.offset_ms + (entry.duration_ms or 0) for entry in self.entries) or 1
        places = max(7, len(f"{length:,.0f}"))
        before = [f"{self.left_out:,} earlier ones are left out"] if self.left_out else []
        return "\n".join([*before, *(_line(entry, length, places) for entry in self.entries)])


def timeline_view(
    records: Iterable[Record],
    *,
    session_id: str | None = None,
    correlation_id: str | None = None,
    left_out: int = 0,
    moment_ns: int = 0,
) -> Timeline:
    """The timeline of a session, of one request within it, or of everything; ``left_out`` are not among ``records``.

    ``moment_ns`` is when that is, in nanoseconds since the epoch; until then approvals may have expired.
    """
    chosen = [
        settled(record, moment_ns) if isinstance(record, Operation) else record
        for record in records
        if (session_id is None or record.session_id == session_id)
        and (correlation_id is None or record.correlation_id == correlation_id)
    ]
    if not chosen:
        return Timeline((), left_out)
    chosen.sort(key=_order)
    operations = {record.id for record in chosen if isinstance(record, Operation)}
    origin = _start(chosen[0])
    children: dict[str | None, list[Record]] = {}
    for record in chosen:
        parent_id = record.parent_id if isinstance(record, Operation) else record.span_id
        children.setdefault(parent_id if parent_id in operations else None, []).append(record)
    placed: set[str] = set()

    def below(root: Record) -> Iterator[tuple[Record, int]]:
        todo = [(root, 0)]  # no recursion: nesting is the program's, and may be deeper than Python allows
        while todo:
            record, depth = todo.pop()
            if record.id not in placed:
                placed.add(record.id)
                yield record, depth
                inside = children.get(record.id, ()) if isinstance(record, Operation) else ()
                todo += [(child, depth + 1) for child in reversed(inside)]

    # After the roots come those that none of them holds: operations that are each other's parents.
    parts = [list(below(root)) for root in (*children.get(None, ()), *chosen) if root.id not in placed]
    parts.sort(key=lambda part: _order(part[0][0]))
    return Timeline(tuple(_entry(record, origin, depth) for part in parts for record, depth in part), left_out)


def _order(record: Record) -> tuple[int, str]:
    return _start(record), record.id


def _start(record: Record) -> int:
    return record.start_ns if isinstance(record, Operation) else record.timestamp_ns


def _entry(record: Record, origin: int, depth: int) -> TimelineEntry:
    if isinstance(record, Event):
        return TimelineEntry(
            offset_ms=milliseconds(record.timestamp_ns - origin),
            duration_ms=None,
            depth=depth,
            kind="event",
            name=f"{record.type} {_about(record)}".rstrip(),
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
        human_wait=bool(facts.get(names.HUMAN_WAIT)),
        decision=facts.get(names.APPROVAL_DECISION),
    )


def _about(event: Event) -> str:
    """Who or what an event is about, for the row it has."""
    handed_over = event.type == "agent_switched"
    fields = ("from_agent", "to_agent") if handed_over else ("agent_type", "tool_name", "decision")
    about = [str(event.payload[key]) for key in fields if event.payload.get(key)]
    return (" → " if handed_over else " ").join(about) + (" too late" if event.payload.get("late") else "")


def _line(entry: TimelineEntry, length: float, places: int) -> str:
    first = min(_BAR_WIDTH - 1, int(entry.offset_ms / length * _BAR_WIDTH))
    if entry.kind == "event":
        bar, took = "·", ""
    elif entry.duration_ms is None:
        bar, took = "▒" * (_BAR_WIDTH - first), "running"
    else:
        last = min(_BAR_WIDTH, max(first + 1, round((entry.offset_ms + entry.duration_ms) / length * _BAR_WIDTH)))
        bar, took = "█" * (last - first), f"{entry.duration_ms:,.0f} ms"
    bar = (" " * first + bar).ljust(_BAR_WIDTH)
    name = printable(entry.name)
    what = name if entry.kind in ("agent", "event", "other") else f"{entry.kind} {name}".rstrip()
    tokens = f"  {entry.total_tokens:,} tokens" if entry.total_tokens is not None else ""
    human = f"  {entry.human}" if entry.human else ""
    ending = (
        ""
        if entry.outcome in (None, "ok")
        else f"  {entry.outcome}" + (f" {entry.error_type}" if entry.error_type else "")
    )
    when = f"{entry.offset_ms:>{places + 1},.0f} ms {took:>{places + 3}}"
    return f"{when}  {bar}  {'  ' * entry.depth}{what}{tokens}{human}{ending}".rstrip()
