"""A timeline as rows with bars: what ran inside what, for how long, and what has not ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tachograph import figures
from tachograph.pages.axis import axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tachograph.pages.axis import Axis
    from tachograph.records import Operation
    from tachograph.views.audit import Entry
    from tachograph.views.timeline import Timeline, TimelineEntry

STUCK_MS: Final = 60_000
"""Milliseconds after which a call that has not ended is said to be stuck. Runs and tasks may take their time."""

DEEPEST: Final = 10
"""Nesting that is shown by indentation; what is deeper stands there too."""

_CALLS: Final = frozenset({"model", "tool", "code", "plan"})
_LEAST: Final = 0.35
"""Percent of the line that a bar takes, so that it can be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row. Places in percent of the line; ``since_ms`` is when what is under way began, since the epoch."""

    entry: TimelineEntry
    depth: int
    at: float
    width: float
    took: str
    start: str
    state: str
    since_ms: int | None = None
    switch: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """Rows in order, the line they are drawn along, and how many rows of how many are shown from which on."""

    bars: tuple[Bar, ...]
    axis: Axis
    first: int
    total: int
    left_out: int


def waterfall(
    timeline: Timeline,
    under_way: Iterable[Operation],
    switches: Iterable[Entry],
    now_ns: int,
    *,
    limit: int,
    offset: int = 0,
) -> Waterfall:
    """The rows of a timeline.

    Args:
        timeline: what happened.
        under_way: operations that have not ended, which say when they began.
        switches: entries of the audit log that mark rows.
        now_ns: the moment, in nanoseconds since the epoch.
        limit: rows at most.
        offset: rows left out first.
    """
    since = {operation.id: operation.start_ns for operation in under_way}
    marks = dict(map(_mark, switches))
    ages = {
        entry.id: max(0.0, (now_ns - since[entry.id]) / 1_000_000)
        for entry in timeline.entries
        if entry.kind != "event" and entry.duration_ms is None and entry.id in since
    }
    shown = timeline.entries[offset : offset + limit]
    ends = [entry.offset_ms + _length(entry, ages) for entry in timeline.entries]
    line = axis(_work(timeline.entries, ages), max(ends, default=0.0))
    bars = tuple(_bar(entry, line, ages, since, marks) for entry in shown)
    return Waterfall(bars=bars, axis=line, first=offset, total=len(timeline.entries), left_out=timeline.left_out)


def _mark(entry: Entry) -> tuple[str, tuple[str, str]]:
    """Which row a switch marks, that of the run it tells of or its own as an event, and its both ends."""
    row = entry["event_id"].removesuffix(f":{entry['event_type']}")
    return row, (str(entry.get("from_agent")), str(entry.get("to_agent")))


def _length(entry: TimelineEntry, ages: Mapping[str, float]) -> float:
    return ages.get(entry.id, 0.0) if entry.duration_ms is None else entry.duration_ms


def _work(entries: tuple[TimelineEntry, ...], ages: Mapping[str, float]) -> list[tuple[float, float]]:
    """When something worked: what has nothing inside it, but for what was a human's time."""
    around = {entry.parent_id for entry in entries if entry.kind not in ("event", "approval")}
    return [
        (entry.offset_ms, entry.offset_ms + _length(entry, ages))
        for entry in entries
        if entry.id not in around and entry.kind != "approval" and not entry.human_wait
    ]


def _bar(
    entry: TimelineEntry,
    line: Axis,
    ages: Mapping[str, float],
    since: Mapping[str, int],
    marks: Mapping[str, tuple[str, str]],
) -> Bar:
    age = ages.get(entry.id)
    at, end = line.place(entry.offset_ms), line.place(entry.offset_ms + _length(entry, ages))
    facts: dict[str, Any] = {"took": "" if entry.kind == "event" else figures.duration(_length(entry, ages))}
    if entry.kind != "event" and entry.duration_ms is None and age is None:
        facts["took"] = "not ended"
    return Bar(
        entry=entry,
        depth=min(entry.depth, DEEPEST),
        at=min(at, 100 - _LEAST),
        width=max(round(end - at, 3), _LEAST),
        start=figures.duration(entry.offset_ms),
        state=state_of(entry.kind, entry.outcome, age),
        since_ms=None if age is None else since[entry.id] // 1_000_000,
        switch=marks.get(entry.id),
        **facts,
    )


def state_of(kind: str, outcome: str | None, age_ms: float | None) -> str:
    """``open``, ``stuck``, ``waiting`` (for a human), ``bad``, ``odd`` (neither good nor bad) or ``good``."""
    if age_ms is not None:
        if kind == "approval":
            return "waiting"
        return "stuck" if kind in _CALLS and age_ms > STUCK_MS else "open"
    if outcome in ("error", "lost"):
        return "bad"
    return "good" if outcome in (None, "ok") else "odd"
