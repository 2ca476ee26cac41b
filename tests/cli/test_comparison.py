"""Two sessions are compared figure by figure, and what grew by more than it may is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import event, ledger_of, operation
from tachograph import names
from tachograph.cli.comparison import FIGURES, OF_ALL, comparison, side


def tokens(number: int) -> dict[str, int]:
    return {names.INPUT_TOKENS: number, names.OUTPUT_TOKENS: 0}


LEDGER = ledger_of(
    [
        operation(1, "agent", "boss", session="a", took=1_000),
        operation(2, "model", "big", session="a", attributes=tokens(1_000)),
        operation(3, "tool", "search", session="a"),
        event(4, "agent_switched", session="a", from_agent="boss", to_agent="clerk"),
        event(5, "agent_switched", session="a", at=1, from_agent="clerk", to_agent="boss"),
        operation(11, "agent", "boss", session="b", took=1_500, outcome="error", error_type="ValueError"),
        operation(12, "model", "big", session="b", attributes=tokens(1_100)),
        operation(13, "model", "small", session="b", attributes=tokens(50), outcome="error", error_type="TimeoutError"),
        operation(14, "tool", "search", session="b", outcome="error", error_type="KeyError"),
        operation(15, "tool", "write", session="b"),
        event(16, "agent_switched", session="b", from_agent="boss", to_agent="clerk"),
        operation(21, "agent", "boss", session="idle", took=1_000),
    ]
)


def compared(a: str, b: str, *limits: tuple[str, float]):
    return comparison(side(LEDGER, a), side(LEDGER, b), limits)


def test_every_figure_has_both_sides_and_the_difference():
    """Figures come absolute and relative; what was nothing has no relative difference, and unknown stays unknown."""
    found = compared("a", "b")["figures"]

    assert [figure.name for figure in FIGURES] == [*found]
    assert {"a": 1_000, "b": 1_150, "difference": 150, "relative": 0.15} == found["tokens"]
    assert {"a": 1_000, "b": 1_500, "difference": 500, "relative": 0.5} == found["duration"]
    assert {"a": 0, "b": 1, "difference": 1, "relative": None} == found["errors"]
    assert {"a": 0, "b": 0, "difference": 0, "relative": 0} == found["reasoning"]
    assert {"a": None, "b": None, "difference": None, "relative": None} == found["cost"]


def test_tables_have_a_row_for_each_name_of_either_side():
    """Models, agents, tools and errors are compared by name; what only one side has is there too."""
    found = compared("a", "b")

    shown = {
        key: {name: (row["a"], row["b"]) for name, row in found[key].items()}
        for key in ("tokens_by_model", "agents", "agent_time_ms", "tools", "failed_tools", "errors")
    }
    assert {
        "tokens_by_model": {"big": (1_000, 1_100), "small": (0, 50)},
        "agents": {"boss": (1, 1)},
        "agent_time_ms": {"boss": (1_000, 1_500)},
        "tools": {"search": (1, 1), "write": (0, 1)},
        "failed_tools": {"search": (0, 1)},
        "errors": {"KeyError in a tool": (0, 1), "TimeoutError in a model": (0, 1), "ValueError in boss": (0, 1)},
    } == shown


def test_the_path_of_switches():
    """The agents that had the work stand in order, each hand-over once."""
    assert {
        "a": ["boss", "clerk", "boss"],
        "b": ["boss", "clerk"],
        "same": False,
    } == compared("a", "b")["switch_path"]
    assert compared("a", "a")["switch_path"]["same"]
    assert [] == compared("idle", "idle")["switch_path"]["a"]


def test_a_comparison_is_json():
    """Everything is a plain value."""
    found = compared("a", "b", ("", 0.0))

    assert found == json.loads(json.dumps(found))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([], []),
        ([("", 10.0)], ["errors grew from nothing: from 0 to 1; 1000% is allowed"]),
        ([("", 10.0), ("errors", float("inf"))], []),
        (
            [("", 0.1)],
            [
                "tokens grew +15.0%: from 1,000 to 1,150; 10% is allowed",
                "agent time grew +50.0%: from 1.00 s to 1.50 s; 10% is allowed",
                "errors grew from nothing: from 0 to 1; 10% is allowed",
            ],
        ),
        ([("tokens", 0.15)], []),
        ([("tokens", 0.125)], ["tokens grew +15.0%: from 1,000 to 1,150; 12.5% is allowed"]),
        ([("cost", 0.1)], ["cost is not known on both sides, so nobody can say that it grew by 10% at most"]),
    ],
)
def test_what_grew_too_much_is_named(limits, expected):
    """A limit for all is for four figures, one for a figure goes before it, and unknown fails only by name."""
    assert expected == compared("a", "b", *limits)["exceeded"]


def test_less_is_never_too_much():
    """The same, or less, is within every limit."""
    assert [] == compared("a", "a", ("", 0.0))["exceeded"]
    assert [] == compared("b", "idle", *((name, 0.0) for name in OF_ALL if name != "cost"))["exceeded"]


@given(before=st.integers(1, 10**6), percent=st.integers(0, 500))
def test_exactly_as_much_as_allowed_is_allowed(before, percent):
    """A growth by just the percentage that is allowed passes, and by one more it does not."""
    after, rest = divmod(before * (100 + percent), 100)
    ledger = ledger_of(
        operation(number, "model", session=session, attributes=tokens(count))
        for number, (session, count) in enumerate([("a", before), ("b", after), ("c", after + 1)])
    )
    limit = [("tokens", percent / 100)]

    a, b, c = (side(ledger, session) for session in "abc")
    assert rest or not comparison(a, b, limit)["exceeded"]
    assert comparison(a, c, limit)["exceeded"]
