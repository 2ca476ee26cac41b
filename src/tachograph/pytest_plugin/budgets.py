"""Budgets: what the agents in a test may use at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.pytest_plugin.figures import FIGURES, is_number, known, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tachograph.views.session import SessionMetrics


def budget_of(marks: Iterable[Any], name: str) -> dict[str, float]:
    """The limits that marks of a test say, the one nearest to the test first: for each figure that one counts.

    Args:
        marks: of pytest.
        name: theirs, for the message.

    Raises:
        ValueError: for what is no figure, or no limit.
    """
    budget: dict[str, float] = {}
    for mark in marks:
        if mark.args:
            raise ValueError(f"{name}{mark.args}: give limits by name, such as tokens=10_000, cost=0.05, errors=0")
        budget = {**limits_of(mark.kwargs, name), **budget}
    return budget


def limits_of(said: Mapping[str, float], name: str) -> dict[str, float]:
    """Limits by the names of figures.

    Args:
        said: the limits.
        name: of who says them, for the message.

    Raises:
        ValueError: for what is no figure, or no limit.
    """
    known(said, name)
    for figure, limit in said.items():
        if not is_number(limit):
            raise ValueError(f"{name}({figure}={limit!r}): expected a number from 0 up")
    return dict(said)


def exceeded(budget: Mapping[str, float], metrics: SessionMetrics) -> list[str]:
    """A line for each figure that is over its limit, or that has one and is not known: actual and allowed."""
    lines = []
    width = max(map(len, budget), default=0)
    for name, limit in budget.items():
        actual = FIGURES[name].of(metrics)
        if actual is None or actual > limit:
            allowed = shown(name, limit)
            over = f", {actual / limit - 1:.1%} over" if actual is not None and limit else ""
            lines.append(f"{name:{width}}  {shown(name, actual)}, allowed {allowed}{over}{_why(name, actual, metrics)}")
    return lines


def _why(name: str, actual: float | None, metrics: SessionMetrics) -> str:
    if name == "cost" and actual is None:
        models = ", ".join(metrics.cost.get("unpriced_models", ()))
        return (
            f': no price is known for {models}; install tachograph[prices], or say it in [tool.tachograph.prices."…"]'
        )
    if name == "errors":
        causes = (
            f"{count} {kind} in {agent}"
            for agent, kinds in metrics.errors_by_agent.items()
            for kind, count in kinds.items()
        )
        return f" ({', '.join(causes)})"
    if name in ("tool_calls", "failed_tool_calls"):
        of = "requested" if name == "tool_calls" else "failed"
        calls = (f"{counts[of]:.0f} {tool}" for tool, counts in metrics.tools.items() if counts[of])
        return f" ({', '.join(calls)})"
    return ""
