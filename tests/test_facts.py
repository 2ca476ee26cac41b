"""What a record means, to everybody who reads it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from support.records import event, operation
from tachograph import names
from tachograph.facts import expired, outermost, repeats_operation, switch_of


@pytest.mark.parametrize(
    ("facts", "expected"),
    [({}, True), ({names.NESTED: True}, False), ({names.TASK_ID: "t"}, False)],
    ids=["outermost", "in a run", "in a task"],
)
def test_an_outermost_run_is_in_nothing(facts: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a row
    """A run is a unit of work of its own unless it is part of another, or of a task that the program speaks of."""
    assert expected is outermost(operation(1, "agent", "a", attributes=facts))


@pytest.mark.parametrize(
    ("timeout", "after_s", "expected"),
    [(None, 10**9, False), (5.0, 5, False), (5.0, 5.1, True), (0.0, 0.1, True), (math.inf, 10**9, False)],
)
def test_an_approval_expires_after_its_time(timeout: float | None, after_s: float, expected: bool) -> None:  # noqa: FBT001
    """Its time is up when more than its timeout has passed; without one it never is."""
    asked = operation(1, "approval", "t", attributes={} if timeout is None else {names.APPROVAL_TIMEOUT: timeout})

    assert expected is expired(asked, asked.start_ns + round(after_s * 1_000_000_000))


def test_a_switch_says_from_whom_to_whom() -> None:
    """Both agents are texts, whatever the payload has for them."""
    assert ("a", "7") == switch_of({"from_agent": "a", "to_agent": 7})


def test_the_log_event_of_an_operation_is_its_repeat() -> None:
    """An event that names an operation says what the operation says; any other says something new."""
    assert repeats_operation(event(1, "message_added", **{names.OPERATION_ID: "x"}))
    assert not repeats_operation(event(1, "message_added"))
