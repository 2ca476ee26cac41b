"""Everything together: figures, how they came about over time, who hands over to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph import figures
from tachograph.pages.charts import charts
from tachograph.pages.markup import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.pages.frame import Frame
    from tachograph.sources import Source

_AGENTS: Final = 16
"""Agents in the matrix: those with most hand-overs."""

_SHADES: Final = 5


def page(source: Source, frame: Frame) -> str:
    """The figures over all sessions.

    Raises:
        SourceError, OSError, sqlite3.Error: where the source cannot be read.
    """
    total, metrics = source.total(), source.metrics()
    listed = source.session_rows()
    return render(
        "totals.html",
        frame=frame,
        total=total,
        metrics=metrics,
        sessions=listed.total,
        hidden=source.session_count(deleted=True) - source.session_count(),
        charts=charts(listed.rows),
        matrix=matrix(metrics.agent_switches, metrics.agent_processing),
        most_tokens=max((model["total_tokens"] for model in total.tokens_by_model.values()), default=0),
        most_time=max((agent["total_duration_ms"] for agent in metrics.agent_processing.values()), default=0),
    )


def matrix(switches: Mapping[str, int], agents: Mapping[str, Any]) -> dict[str, Any] | None:
    """Who hands over to whom: agents, for each the counts to each as pairs of a count and its shade, and the rest.

    None where nobody hands over.
    """
    pairs = [(*figures.parted(pair, agents), count) for pair, count in switches.items()]
    if not pairs:
        return None
    weight: dict[str, int] = {}
    for source, target, count in pairs:
        weight[source] = weight.get(source, 0) + count
        weight[target] = weight.get(target, 0) + count
    shown = sorted(sorted(weight), key=lambda agent: -weight[agent])[:_AGENTS]
    counts: dict[tuple[str, str], int] = {}
    for source, target, count in pairs:
        counts[source, target] = counts.get((source, target), 0) + count
    most = max(counts.values())
    return {
        "agents": shown,
        "rows": [
            (source, [(count := counts.get((source, target), 0), -(-_SHADES * count // most)) for target in shown])
            for source in shown
        ],
        "left_out": sum(count for (source, target), count in counts.items() if {source, target} - {*shown}),
    }
