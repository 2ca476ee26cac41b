"""Figures of a test: by name, for people, and which of them are steady."""

from __future__ import annotations

import pytest

from support.records import ledger_of, operation
from tachograph import names
from tachograph.pytest_plugin import figures
from tachograph.pytest_plugin.figures import FIGURES


def test_each_figure_is_that_of_the_metrics() -> None:
    """Figures are taken from the metrics of everything recorded; a cost that is not known is none."""
    usage = {names.INPUT_TOKENS: 30, names.OUTPUT_TOKENS: 12, names.CACHED_TOKENS: 7, names.REASONING_TOKENS: 5}
    ledger = ledger_of(
        [
            operation(1, "model", "m", attributes={**usage, names.COST: 0.5}),
            operation(2, "model", "m", outcome="error", error_type="E"),
            operation(3, "tool", "t", outcome="error", error_type="E"),
            operation(4, "tool", "t", outcome="refused"),
            operation(
                5, "agent", "a", took=2_000, outcome="error", error_type="E", attributes={names.RECOVERED: ("F", "G")}
            ),
        ]
    )
    metrics = ledger.total()
    assert {
        "tokens": 42,
        "prompt_tokens": 30,
        "completion_tokens": 12,
        "cached_tokens": 7,
        "reasoning_tokens": 5,
        "cost": 0.5,
        "requests": 2,
        "failed_requests": 1,
        "tool_calls": 2,
        "failed_tool_calls": 1,
        "agent_runs": 1,
        "agent_switches": 0,
        "errors": 1,
        "recovered_errors": 2,
        "duration": 2.0,
    } == {name: figure.of(metrics) for name, figure in FIGURES.items()}
    ledger.apply(operation(6, "model", "nobody knows its price", attributes=usage))
    assert None is FIGURES["cost"].of(ledger.total())
    assert ["duration"] == [name for name, figure in FIGURES.items() if not figure.steady]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("tokens", 21_826, "21,826"),
        ("cost", 0.024, "0.024000 USD"),
        ("cost", None, "unknown"),
        ("duration", 1.25, "1.250 s"),
        ("tools.search", 3, "3"),
    ],
)
def test_a_figure_is_written_for_people(name: str, value: float | None, expected: str) -> None:
    """Each figure has its unit; what is not known is said to be."""
    assert expected == figures.shown(name, value)


def test_a_name_that_is_none_is_refused() -> None:
    """The error names who said it, the name, and the one that was probably meant, or all there are."""
    figures.known(FIGURES, "here")
    with pytest.raises(ValueError, match=r"here: 'token' is no figure; did you mean tokens\?"):
        figures.known(["tokens", "token"], "here")
    with pytest.raises(ValueError, match="here: 'xyz' is no figure; there are: tokens, prompt_tokens,"):
        figures.known(["xyz"], "here")


@pytest.mark.parametrize(("value", "expected"), [(0, True), (1.5, True), (-1, False), (True, False), ("1", False)])
def test_a_limit_is_a_number_from_0_up(value: object, *, expected: bool) -> None:
    """Texts, truths and what is below 0 or without end are none."""
    assert expected == figures.is_number(value)
    assert not any(figures.is_number(float(word)) for word in ("nan", "inf"))
