"""The public way to ask a human and to say what was decided."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from tachograph.testing import capture

if TYPE_CHECKING:
    from tachograph.testing import Capture


class ByValue(enum.Enum):
    """An enumeration whose values are the words."""

    YES = "approve"


class ByName(enum.Enum):
    """An enumeration whose names are the words."""

    REJECT = 3


class Text(str, enum.Enum):
    """An enumeration of texts."""

    CHANGED = "EDIT"


@pytest.mark.parametrize(
    ("given", "expected"), [(ByValue.YES, "APPROVE"), (ByName.REJECT, "REJECT"), (Text.CHANGED, "EDIT")]
)
def test_an_enumeration_says_its_decision(captured: Capture, given: Any, expected: str) -> None:
    """A member of a program's own enumeration decides by its value or its name."""
    tachograph.request_approval(tool_name="t", call_id="c").decide(given)
    assert [expected] == [row["status"] for row in tachograph.approvals()]


@pytest.mark.parametrize("given", ["maybe", "", None, 1, "EXPIRED"])
def test_a_decision_that_is_none_is_refused(captured: Capture, given: Any) -> None:
    """The error names the value and the three words, and the approval is still pending."""
    asked = tachograph.request_approval(tool_name="t", call_id="c")
    for decide in (asked.decide, lambda word: tachograph.decide("c", word)):
        with pytest.raises(ValueError, match="expected one of: APPROVE, EDIT, REJECT"):
            decide(given)
    assert ["pending"] == [row["status"] for row in tachograph.approvals(pending=True)]


@pytest.mark.parametrize("seconds", ["10", -1, float("nan"), float("inf"), True, 10**400])
def test_a_timeout_that_is_none_is_refused(captured: Capture, seconds: Any) -> None:
    """The error names the value and what is expected, and nothing is asked."""
    with pytest.raises(ValueError, match=r"timeout_seconds=.*expected a number of seconds, from 0 up"):
        tachograph.request_approval(tool_name="t", timeout_seconds=seconds)
    assert [] == tachograph.approvals()


def test_an_approval_says_what_it_is(captured: Capture) -> None:
    """An approval has its id, its call's id, tool and session; without a call id one is made up."""
    with tachograph.session("s"):
        one, other = (tachograph.request_approval(tool_name="t") for _ in range(2))
    assert ("t", "s", f"Approval({one.call_id!r}, 't')") == (one.tool_name, one.session_id, repr(one))
    assert one.call_id != other.call_id
    assert [one.id, other.id] == [row["id"] for row in tachograph.approvals()]


def test_lists_are_of_what_is_asked_for(captured: Capture) -> None:
    """Approvals are listed oldest first, of a session or all, pending or decided or both."""
    for session_id in ("a", "b"):
        with tachograph.session(session_id):
            tachograph.request_approval(tool_name="first", call_id=f"{session_id}1").decide("APPROVE")
            tachograph.request_approval(tool_name="second", call_id=f"{session_id}2")

    def listed(**filters: Any) -> list[str]:
        return [row["call_id"] for row in tachograph.approvals(**filters)]

    assert ["a1", "a2", "b1", "b2"] == listed()
    assert ["b1", "b2"] == listed(session_id="b")
    assert ["a2", "b2"] == listed(pending=True)
    assert ["a1"] == listed(session_id="a", pending=False)


def test_nothing_is_recorded_while_disabled(captured: Capture) -> None:
    """While recording is off asking and deciding still work for the program, and leave nothing."""
    tachograph.disable()
    asked = tachograph.request_approval(tool_name="t", call_id="c")
    asked.decide("APPROVE")
    assert (None, "c", []) == (asked.id, asked.call_id, tachograph.approvals())
    tachograph.enable()
    asked.decide("APPROVE")
    assert [("t", "APPROVE")] == [(row["tool_name"], row["status"]) for row in tachograph.approvals()]


def test_our_own_failure_is_kept_from_the_program() -> None:
    """Where recording an approval fails the program has its handle, and the failure is counted."""
    with capture(strict=False) as captured:
        captured.runtime.approvals._recorder = None  # type: ignore[assignment]
        tachograph.request_approval(tool_name="t", call_id="c").decide("APPROVE")
        assert {"Approvals.ask": 1, "Approvals.decide": 1} == captured.runtime.guard.swallowed()
