"""What a test is told of its agents: entries in a few words, and lists that stay readable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from support.records import histories, ledger_of
from tachograph import names
from tachograph.pytest_plugin import recorded
from tachograph.testing import Capture, capture


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"event_type": "agent_switched", "from_agent": "a", "to_agent": "b"}, "agent_switched a -> b"),
        ({"event_type": "tool_execution_started", "tool_name": "t", "call_id": "c"}, "tool_execution_started t"),
        ({"event_type": "agent_error", "agent_type": "a", "error_type": "E"}, "agent_error a"),
        ({"event_type": "task_started", "task_name": "chores", "task_id": "1"}, "task_started chores"),
        ({"event_type": "system_startup"}, "system_startup"),
    ],
)
def test_an_entry_in_a_few_words(entry: dict[str, Any], expected: str) -> None:
    """Its type, and what it is about where it says so."""
    assert expected == recorded.described(entry)


@given(histories())
def test_everything_that_happened_has_its_words(history: Any) -> None:
    """Whatever happened, each entry begins with a type that may be asked for."""
    entries = ledger_of(history.live()).audit_log()
    assert [entry["event_type"] for entry in entries] == [
        recorded.described(entry).partition(" ")[0] for entry in entries
    ]
    assert {entry["event_type"] for entry in entries} <= names.EVENTS.keys()


def test_long_histories_are_shown_around_the_place() -> None:
    """Of many events sixty are shown, those around where a step is missing; the place is marked, also at the end."""
    happened = [f"tool_execution_requested {number}" for number in range(500)]
    for at, first in ((0, 1), (250, 221), (499, 441), (500, 441)):
        lines = recorded._listed(happened, at).splitlines()
        assert f"{first}" in lines[0].split()
        marked = [line for line in lines if line.startswith(">")]
        assert [f">{at + 1:6}  tool_execution_requested {at}"] == marked or (at == 500) == ("after" in marked[0])
    assert "  nothing" == recorded._listed([], 0)


def test_settings_said_in_code_go_for_tests() -> None:
    """All but those of where it is kept, in which session, whether at all, and what is printed at the end."""
    with capture(max_records=7, session_id="s", thresholds={"cost": 1}) as captured:
        assert isinstance(captured, Capture)
        assert {"max_records": 7, "thresholds": {"cost": 1.0}} == recorded._given(captured.runtime.config)
