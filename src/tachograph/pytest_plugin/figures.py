"""The figures of a test: what budgets limit and baselines keep."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tachograph.views.session import SessionMetrics


class Figure(NamedTuple):
    """One number that a test comes to.

    Args:
        of: takes it from the metrics; None where it is not known.
        shown: how it is written for people.
        steady: whether it is the same each time where the model's answers are.
    """

    of: Callable[[SessionMetrics], float | None]
    shown: str = "{:,}"
    steady: bool = True


def _cost(metrics: SessionMetrics) -> float | None:
    amount: float | None = metrics.cost.get("amount")
    return amount if metrics.cost.get("complete") else None


FIGURES: Final[dict[str, Figure]] = {
    "tokens": Figure(lambda metrics: metrics.total_tokens),
    "prompt_tokens": Figure(lambda metrics: metrics.total_prompt_tokens),
    "completion_tokens": Figure(lambda metrics: metrics.total_completion_tokens),
    "cached_tokens": Figure(lambda metrics: metrics.cached_tokens),
    "reasoning_tokens": Figure(lambda metrics: metrics.reasoning_tokens),
    "cost": Figure(_cost, "{:,.6f} USD"),
    "requests": Figure(lambda metrics: metrics.total_requests),
    "failed_requests": Figure(lambda metrics: metrics.failed_requests),
    "tool_calls": Figure(lambda metrics: metrics.tool_calls),
    "failed_tool_calls": Figure(lambda metrics: sum(tool["failed"] for tool in metrics.tools.values())),
    "agent_runs": Figure(lambda metrics: metrics.agent_runs),
    "agent_switches": Figure(lambda metrics: metrics.agent_switches),
    "errors": Figure(lambda metrics: metrics.errors),
    "recovered_errors": Figure(lambda metrics: metrics.recovered_errors),
    "duration": Figure(lambda metrics: metrics.processing_duration_ms / 1_000, "{:,.3f} s", steady=False),
}
"""By name. ``duration`` is seconds of outermost agent runs, ``cost`` dollars where all models have a known price."""


def shown(name: str, value: float | None) -> str:
    """A figure, for people."""
    return "unknown" if value is None else (FIGURES[name].shown if name in FIGURES else "{:,}").format(value)


def known(names: Iterable[str], where: str) -> None:
    """See that these are names of figures.

    Args:
        names: that somebody has written.
        where: for the message.

    Raises:
        ValueError: for one that is none.
    """
    for name in names:
        if name not in FIGURES:
            near = difflib.get_close_matches(name, FIGURES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(FIGURES)}"
            raise ValueError(f"{where}: {name!r} is no figure; {hint}")


def is_number(value: Any) -> bool:
    """Whether it can be a limit: a number from 0 up."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
