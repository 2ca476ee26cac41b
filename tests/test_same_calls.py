"""Model calls that neighbours tell of."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph import names, same_calls
from tachograph.records import Operation
from tachograph.same_calls import SameCalls


def call(answer: str | None = None, **changed: Any) -> Operation:
    """A model call, failed unless it was answered."""
    made = Operation(
        id="1" * 16,
        kind="model",
        name="m",
        session_id="s",
        correlation_id="c",
        start_ns=10,
        end_ns=20,
        outcome="ok" if answer else "error",
        attributes={names.RESPONSE_ID: answer} if answer else {},
    )
    return made._replace(**changed)


def test_one_answer_is_one_call() -> None:
    """Whoever tells of an answer first has told; another answer is another call."""
    calls = SameCalls()

    assert [True, False, False, True] == [
        calls.told(call(answer), scope) for answer, scope in (("a", "x"), ("a", "y"), ("a", "z"), ("b", "y"))
    ]


def test_a_server_with_one_id_for_all_is_counted_by_whoever_says_most() -> None:
    """The same id several times in one scope is several calls, which another scope tells of again."""
    calls = SameCalls()

    assert [True, True, False, False, True] == [calls.told(call("a"), scope) for scope in "xxyyy"]


@pytest.mark.parametrize(
    ("other", "news"),
    [
        (call(), False),
        (call(start_ns=5, end_ns=25), False),
        (call(start_ns=12, end_ns=15), False),
        (call(start_ns=15, end_ns=25), True),
        (call(name="n"), True),
        (call(parent_id="p"), True),
        (call("a"), True),
        (call(outcome="interrupted"), True),
    ],
)
def test_a_failed_call_is_known_by_place_and_time(other, news) -> None:
    """Without an answer, one of the same model in the same span, one while the other lasts, is the same call."""
    calls = SameCalls()

    assert calls.told(call(), "x")
    assert news == calls.told(other, "y")


def test_each_scope_tells_of_a_failed_call_once() -> None:
    """Two failed calls at a time that one scope tells of are two, and as many for the next."""
    calls = SameCalls()

    assert [True, True, False, False, True] == [calls.told(call(), scope) for scope in "xxyyy"]


def test_a_trial_leaves_no_trace() -> None:
    """What is told to a copy is not told."""
    calls = SameCalls()
    calls.told(call("a"), "x")
    calls.told(call(), "x")
    trial = calls.copy()

    assert [False, False] == [trial.told(call("a"), "y"), trial.told(call(), "y")]
    assert [False, False] == [calls.told(call("a"), "y"), calls.told(call(), "y")]


def test_what_is_kept_in_mind_is_bounded(monkeypatch) -> None:
    """Answers of long ago are forgotten."""
    monkeypatch.setattr(same_calls, "_MOST", 2)
    calls = SameCalls()
    for answer in "abc":
        calls.told(call(answer), "x")

    assert [False, True] == [calls.told(call("c"), "y"), calls.told(call("a"), "y")]
