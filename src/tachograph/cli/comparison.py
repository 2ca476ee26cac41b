"""Two sessions, figure by figure: how much more, how much less, and what grew by more than it may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph import figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics

Compared = dict[str, "float | None"]
"""``a``, ``b``, their ``difference`` and that ``relative`` to ``a``; None where it is not known."""


class Figure(NamedTuple):
    """One figure of a session that is compared."""

    name: str
    value: Callable[[SessionMetrics], float | None]
    shown: Callable[[float], str]
    worse: bool = True
    """Whether more of it is worse."""


_ROUNDING: Final = 1e-9
"""From 100 to 115 is no more than 15%, whatever floats say."""


def count_text(value: float) -> str:
    """A whole number."""
    return f"{value:,.0f}"


def _cost(metrics: SessionMetrics) -> float | None:
    # Part of a cost cannot be compared: which part it is may differ.
    return metrics.cost.get("amount") if metrics.cost.get("complete") else None


FIGURES: Final = (
    Figure("requests", lambda m: m.total_requests, count_text),
    Figure("failed", lambda m: m.failed_requests, count_text),
    Figure("tokens", lambda m: m.total_tokens, count_text),
    Figure("prompt", lambda m: m.total_prompt_tokens, count_text),
    Figure("cached", lambda m: m.cached_tokens, count_text, worse=False),
    Figure("completion", lambda m: m.total_completion_tokens, count_text),
    Figure("reasoning", lambda m: m.reasoning_tokens, count_text),
    Figure("cost", _cost, lambda value: f"{value:,.4f}"),
    Figure("duration", lambda m: m.processing_duration_ms, figures.duration),
    Figure("model_time", lambda m: m.total_duration_ms, figures.duration),
    Figure("agent_runs", lambda m: m.agent_runs, count_text),
    Figure("switches", lambda m: m.agent_switches, count_text),
    Figure("tool_calls", lambda m: m.tool_calls, count_text),
    Figure("errors", lambda m: m.errors, count_text),
    Figure("recovered", lambda m: m.recovered_errors, count_text),
)

OF_ALL: Final = ("tokens", "cost", "duration", "errors")
"""Figures that a limit without a name is for."""

TITLES: Final = {
    "failed": "failed requests",
    "prompt": "  prompt",
    "cached": "    of it cached",
    "completion": "  completion",
    "reasoning": "    of it reasoning",
    "duration": "agent time",
    "model_time": "model time",
    "agent_runs": "agent runs",
    "tool_calls": "tool calls",
    "recovered": "recovered errors",
}
"""How a figure is called in the text, where not by its name; indented below what it is part of."""


class Side(NamedTuple):
    """One of the two sessions."""

    metrics: SessionMetrics
    path: list[str]
    """The agents that had the work, in order."""


def side(source: Source, session_id: str) -> Side:
    """One side, as a source tells it."""
    path: list[str] = []
    for entry in source.audit_log(session_id=session_id, event_type="agent_switched"):
        path += [str(entry.get(end)) for end in ("from_agent", "to_agent") if [str(entry.get(end))] != path[-1:]]
    return Side(source.session_metrics(session_id), path)


def comparison(a: Side, b: Side, limits: Sequence[tuple[str, float]] = ()) -> dict[str, Any]:
    """Both sides of every figure, as plain JSON values; ``exceeded`` says in words which grew too much."""
    rows = {figure.name: _compared(figure.value(a.metrics), figure.value(b.metrics)) for figure in FIGURES}
    return {
        "a": a.metrics.session_id,
        "b": b.metrics.session_id,
        "figures": rows,
        "switch_path": {"a": a.path, "b": b.path, "same": a.path == b.path},
        "tokens_by_model": _tables(a.metrics.tokens_by_model, b.metrics.tokens_by_model, "total_tokens"),
        "agents": _tables(a.metrics.agents, b.metrics.agents, "count"),
        "agent_time_ms": _tables(a.metrics.agents, b.metrics.agents, "total_duration_ms"),
        "tools": _tables(a.metrics.tools, b.metrics.tools, "requested"),
        "failed_tools": _tables(a.metrics.tools, b.metrics.tools, "failed"),
        "errors": _tables(_errors(a.metrics), _errors(b.metrics), "count"),
        "exceeded": [*_exceeded(rows, limits)],
    }


def _compared(a: float | None, b: float | None) -> Compared:
    if a is None or b is None:
        return {"a": a, "b": b, "difference": None, "relative": None}
    share = (b - a) / a if a else None if b else 0.0
    return {"a": a, "b": b, "difference": round(b - a, 6), "relative": None if share is None else round(share, 6)}


def _tables(a: Mapping[str, Mapping[str, float]], b: Mapping[str, Mapping[str, float]], key: str) -> dict[str, Any]:
    ordered = sorted({*a, *b})
    rows = {name: _compared(*(side.get(name, {}).get(key, 0) for side in (a, b))) for name in ordered}
    return {name: row for name, row in rows.items() if row["a"] or row["b"]}


def _errors(metrics: SessionMetrics) -> dict[str, dict[str, float]]:
    by_agent = [f"{kind} in {name}" for name, kinds in metrics.errors_by_agent.items() for kind in kinds]
    counts = [count for kinds in metrics.errors_by_agent.values() for count in kinds.values()]
    found = dict(zip(by_agent, counts, strict=True))
    for where, table in (("a tool", metrics.tool_errors), ("a model", metrics.llm_errors)):
        found |= {f"{kind} in {where}": count for kind, count in table.items()}
    return {name: {"count": count} for name, count in found.items()}


def _exceeded(rows: dict[str, Compared], limits: Sequence[tuple[str, float]]) -> Iterator[str]:
    # What is said of one figure counts for it, what is said of all for the others.
    asked = {name: share for every, share in limits if not every for name in OF_ALL}
    named = {name: share for name, share in limits if name}
    shown = {figure.name: figure.shown for figure in FIGURES}
    for name, share in {**asked, **named}.items():
        a, b = rows[name]["a"], rows[name]["b"]
        title = TITLES.get(name, name).strip()
        if a is None or b is None:
            if name in named:
                yield f"{title} is not known on both sides, so nobody can say that it grew by {share * 100:g}% at most"
        elif b - a > a * (share + _ROUNDING):
            grew = f"{(b - a) / a:+.1%}" if a else "from nothing"
            yield f"{title} grew {grew}: from {shown[name](a)} to {shown[name](b)}; {share * 100:g}% is allowed"
