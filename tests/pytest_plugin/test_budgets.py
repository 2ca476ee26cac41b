"""Budgets: who says them, which counts, and what is said of a figure that is over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import histories, ledger_of, operation
from tachograph import names
from tachograph.pytest_plugin.budgets import budget_of, exceeded, limits_of
from tachograph.pytest_plugin.figures import FIGURES

UNPRICED = ': no price is known for gpt-x; install tachograph[prices], or say it in [tool.tachograph.prices."…"]'


def marks(*limits: dict[str, Any]) -> list[Any]:
    """Marks as pytest gives them, the nearest first."""
    return [pytest.mark.tachograph_budget(**each).mark for each in limits]


def test_the_limit_nearest_to_the_test_counts() -> None:
    """For each figure the mark of the function goes before that of its class, and that before its module's."""
    assert {"tokens": 5, "errors": 0, "cost": 1.5} == budget_of(
        marks({"tokens": 5}, {"tokens": 9, "errors": 0}, {"errors": 3, "cost": 1.5}), "budget"
    )
    assert {} == budget_of([], "budget")


@pytest.mark.parametrize(
    ("limits", "wrong"),
    [
        ({"token": 1}, r"budget: 'token' is no figure; did you mean tokens\?"),
        ({"tokens": "many"}, r"budget\(tokens='many'\): expected a number from 0 up"),
        ({"cost": -1}, r"budget\(cost=-1\): expected a number from 0 up"),
        ({"errors": None}, r"budget\(errors=None\): expected a number from 0 up"),
    ],
)
def test_a_budget_that_is_none_is_refused(limits: dict[str, Any], wrong: str) -> None:
    """The error names who said it, the figure and the value."""
    with pytest.raises(ValueError, match=wrong):
        budget_of(marks(limits), "budget")
    with pytest.raises(ValueError, match=wrong):
        limits_of(limits, "budget")


def test_a_budget_without_names_is_refused() -> None:
    """Which figure a bare number is for cannot be known."""
    with pytest.raises(ValueError, match="give limits by name, such as tokens=10_000"):
        budget_of([pytest.mark.tachograph_budget(5).mark], "budget")


def test_each_figure_that_is_over_is_named() -> None:
    """Actual, allowed, by how much, and where it comes from; what is just within is not named."""
    usage = {names.INPUT_TOKENS: 100, names.OUTPUT_TOKENS: 50}
    metrics = ledger_of(
        [
            operation(1, "model", "gpt-x", attributes=usage),
            operation(2, "tool", "search"),
            operation(3, "tool", "search", outcome="error", error_type="OSError"),
            operation(4, "agent", "boss", outcome="error", error_type="OSError"),
        ]
    ).total()
    budget = {"tokens": 120, "cost": 1, "tool_calls": 1, "failed_tool_calls": 0, "errors": 0, "requests": 1}
    assert [
        "tokens             150, allowed 120, 25.0% over",
        f"cost               unknown, allowed 1.000000 USD{UNPRICED}",
        "tool_calls         2, allowed 1, 100.0% over (2 search)",
        "failed_tool_calls  1, allowed 0 (1 search)",
        "errors             1, allowed 0 (1 OSError in boss)",
    ] == exceeded(budget, metrics)


@given(histories(), st.dictionaries(st.sampled_from([*FIGURES]), st.integers(0, 50) | st.floats(0, 50)))
def test_only_what_is_over_is_named(history: Any, budget: dict[str, float]) -> None:
    """Whatever happened, a figure is named exactly where it is not known or above its limit."""
    metrics = ledger_of(history.live()).total()
    actual = {name: FIGURES[name].of(metrics) for name in budget}
    expected = [name for name, limit in budget.items() if actual[name] is None or actual[name] > limit]
    assert expected == [line.split()[0] for line in exceeded(budget, metrics)]
