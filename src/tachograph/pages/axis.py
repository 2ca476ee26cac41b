"""Time along a line: in proportion where something works, and short where everything waits.

A session may be minutes of work in days of waiting for a human, or for the next request. Drawn in proportion, the work
would be a hair. So a long time in which nothing works is drawn as a short break, which says how long it was.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tachograph import figures

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEAST_MS: Final = 1_000
"""A break is of a second at least."""

_SHARE: Final = 0.15
"""Of the time in which something works, that a break is longer than."""

_BREAK: Final = 0.035
"""Of the line, that a break takes."""

_BREAKS: Final = 0.35
"""Of the line, that all breaks take at most."""

_APART: Final = 0.13
"""Of the line, between two labels at least."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the line, in percent of it, with what is written there."""

    at: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Axis:
    """A line of time. ``knots`` are offsets in milliseconds and their places, from 0 to 1; in between it is even."""

    knots: tuple[tuple[float, float], ...]
    ticks: tuple[Mark, ...]
    breaks: tuple[Mark, ...]

    def place(self, offset_ms: float) -> float:
        """The place of a moment, in percent of the line."""
        after = min(max(bisect_right(self.knots, (offset_ms, math.inf)), 1), len(self.knots) - 1)
        (start, low), (end, high) = self.knots[after - 1], self.knots[after]
        part = (offset_ms - start) / (end - start) if end > start else 0.0
        return round(100 * min(max(low + part * (high - low), 0.0), 1.0), 3)


def axis(work: Iterable[tuple[float, float]], end_ms: float) -> Axis:
    """The line from 0 to ``end_ms`` milliseconds on which something works during ``work``, pairs of start and end."""
    end = max(end_ms, 1.0)
    gaps = _breaks([*work], end)
    worked = end - sum(until - since for since, until in gaps)
    wide = min(_BREAK, _BREAKS / len(gaps)) if gaps else 0.0
    scale = (1 - wide * len(gaps)) / (worked or 1.0)
    knots, place, at = [(0.0, 0.0)], 0.0, 0.0
    for since, until in gaps:
        if since > at:
            place += (since - at) * scale
            knots.append((since, place))
        place += wide
        knots.append((until, place))
        at = until
    if end > at:
        knots.append((end, 1.0))
    else:
        knots[-1] = end, 1.0  # what sums of fractions leave is nothing
    line = Axis(tuple(knots), (), ())
    breaks = tuple(
        Mark((line.place(since) + line.place(until)) / 2, figures.duration(until - since)) for since, until in gaps
    )
    return Axis(line.knots, tuple(_apart(_ticks(line, gaps, end))), breaks)


def _breaks(work: list[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """The long times in which nothing works."""
    merged: list[tuple[float, float]] = []
    for since, until in sorted(work):
        if merged and since <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], until)
        else:
            merged.append((since, until))
    if not merged:
        return []
    busy = sum(until - since for since, until in merged)
    edges = [(0.0, 0.0), *merged, (end, end)]
    idle = [(before[1], after[0]) for before, after in pairwise(edges)]
    found = [gap for gap in idle if gap[1] - gap[0] > max(_LEAST_MS, _SHARE * busy)]
    # Where nothing took any time there is nothing to make room for.
    return found if end > sum(until - since for since, until in found) else []


def _ticks(line: Axis, gaps: list[tuple[float, float]], end: float) -> Iterable[Mark]:
    moments = [0.0, *(until for _, until in gaps if until < end)] if gaps else _even(end)
    for moment in moments:
        at = line.place(moment)
        yield Mark(at, figures.duration(moment), "start" if at < 100 * _APART / 2 else "middle")
    yield Mark(100.0, figures.duration(end), "end")


def _even(end: float) -> list[float]:
    rough = end / 5
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * number for number in range(int(end / step) + 1)]


def _apart(marks: Iterable[Mark]) -> list[Mark]:
    """Those that leave room for each other; the last one stays."""
    found = [*marks]
    kept: list[Mark] = []
    for mark in found[:-1]:
        before = kept[-1] if kept else None
        clear = before is None or (mark.at - before.at >= 100 * _APART and mark.label != before.label)
        if clear and found[-1].at - mark.at >= 100 * _APART:
            kept.append(mark)
    return [*kept, found[-1]]
