"""Sums over time as bars: of the sessions that began in each stretch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from tachograph import figures
from tachograph.pages.markup import dollars, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tachograph.listing import Row

MOST_BARS: Final = 40

_STRETCHES: Final = (60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800, 2_419_200)
"""Seconds that a bar may stand for: from a minute to four weeks."""

_HEIGHT: Final = 100.0


@dataclass(frozen=True, slots=True)
class Column:
    """One bar, in percent of the chart, and what it says."""

    at: float
    width: float
    height: float
    when: str
    said: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A title, its sum, its bars, the moments at both ends and what the highest bar says."""

    title: str
    total: str
    columns: tuple[Column, ...]
    since: str
    until: str
    most: str


_SHOWN: Final[tuple[tuple[str, str, Callable[[Row], float], Callable[[Any], str]], ...]] = (
    ("Requests", "requests", lambda row: row.total_requests, number),
    ("Tokens", "tokens", lambda row: row.total_tokens, number),
    ("Cost", "USD", lambda row: row.cost.get("amount") or 0, dollars),
    ("Errors", "errors", lambda row: row.errors, number),
)


def charts(rows: Sequence[Row]) -> list[Chart]:
    """Requests, tokens, cost and errors of sessions, by when these began; nothing where there are none."""
    dated = [(_seconds(row.first_seen), row) for row in rows if row.first_seen is not None]
    if not dated:
        return []
    first, last = min(at for at, _ in dated), max(at for at, _ in dated)
    stretch = next((size for size in _STRETCHES if (last - first) / size < MOST_BARS - 1), _STRETCHES[-1])
    zone = datetime.fromtimestamp(first, timezone.utc).astimezone().utcoffset() or timedelta()
    shift = zone.total_seconds()  # or a day would begin in the middle of one
    start = (first + shift) // stretch * stretch - shift
    count = int((last - start) // stretch) + 1
    return [_chart(*shown, dated, start, stretch, count) for shown in _SHOWN]


def _chart(
    title: str,
    unit: str,
    figure: Callable[[Row], float],
    told: Callable[[Any], str],
    dated: list[tuple[float, Row]],
    start: float,
    stretch: float,
    count: int,
) -> Chart:
    sums = [0.0] * count
    for at, row in dated:
        sums[int((at - start) // stretch)] += figure(row)
    most = max(sums)
    wide = 100 / max(count, 12)
    columns = [
        Column(
            round(place * wide, 3),
            round(wide * 0.8, 3),
            round(max(_HEIGHT * value / most, 2.0), 2),
            _when(start + place * stretch, stretch),
            f"{told(value)} {unit}",
        )
        for place, value in enumerate(sums)
        if value
    ]
    since, until = _when(start, stretch), _when(start + (count - 1) * stretch, stretch)
    return Chart(title, told(sum(sums)), tuple(columns), since, until if count > 1 else "", told(most))


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def _when(seconds: float, stretch: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc).isoformat()
    return figures.local(moment, "%Y-%m-%d" if stretch >= _DAY else "%m-%d %H:%M")


_DAY: Final = 86_400
