"""What is under way is in every answer, whoever has it, for as long as it is."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from support.records import identifier, operation
from tachograph import names
from tachograph.ledger import Ledger

if TYPE_CHECKING:
    from tachograph.records import Operation


class Recording:
    """Somebody who has work under way."""

    def __init__(self, *open_: Operation) -> None:
        self.open = list(open_)

    def under_way(self) -> list[Operation]:
        """What it is."""
        return self.open


def test_what_is_under_way_elsewhere_is_seen() -> None:
    """Who is attended to need not tell of starts: figures, sessions, audit log and timeline show them at once."""
    ledger, begun = Ledger(), operation(1, took=None, session="s", request="r")
    recording = Recording(begun, operation(2, "tool", "look", took=None, session="s", request="r"))
    ledger.attend(recording.under_way)

    assert ledger.sessions() == ["s"]
    for metrics in (ledger.total(), ledger.session_metrics("s"), ledger.session_metrics("s", "r")):
        assert (metrics.active_requests, metrics.tool_calls, metrics.status) == (1, 1, "active")
    assert [metrics.active_requests for _, _, metrics in ledger.recent(9)] == [1]
    assert (ledger.stats()["active_sessions"], ledger.stats()["open_operations"]) == (1, 2)
    assert ledger.open_operations() == recording.open
    assert len(ledger.timeline(session_id="s").entries) == 2


def test_what_has_ended_is_under_way_no_more() -> None:
    """An end that was applied counts once, also while the start is still told."""
    ledger, recording = Ledger(), Recording(operation(1, took=None))
    ledger.attend(recording.under_way)
    ledger.apply(operation(1))

    assert (ledger.total().total_requests, ledger.total().active_requests) == (1, 0)
    assert ledger.open_operations() == []
    assert len(ledger.timeline().entries) == 1


def test_a_cleared_session_forgets_what_is_under_way_elsewhere() -> None:
    """It counts from nothing when it ends; the totals have it all the time."""
    ledger, recording = Ledger(), Recording(operation(1, took=None))
    ledger.attend(recording.under_way)

    assert ledger.clear_session("s")
    assert (ledger.session_metrics("s").active_requests, ledger.total().active_requests) == (0, 1)
    ledger.apply(operation(1))
    assert (ledger.session_metrics("s").total_requests, ledger.stats()["open_operations"]) == (1, 0)


def test_who_is_gone_is_not_asked() -> None:
    """The ledger keeps nobody alive whom it attends to."""
    ledger, recording = Ledger(), Recording(operation(1, took=None))
    ledger.attend(recording.under_way)
    del recording
    gc.collect()

    assert ledger.open_operations() == []


def test_what_may_yet_be_part_of_something_else_is_answered_for_meanwhile() -> None:
    """An ended operation that is told but not applied is in every answer, once, and gone when it is told no more."""
    failed = operation(1, outcome="error", error_type="Broken", session="s", attributes={names.INPUT_TOKENS: 7})
    run = operation(2, "agent", "clerk", outcome="error", error_type="Broken", session="s")
    ledger, recording = Ledger(), Recording(failed, run, operation(3, took=None, session="s"))
    ledger.apply(operation(4, session="s", attributes={names.INPUT_TOKENS: 5}))
    before = ledger.total()
    ledger.attend(recording.under_way)

    for _ in range(2):
        metrics = ledger.session_metrics("s")
        assert (2, 1, 12, 1, 1) == (
            metrics.total_requests,
            metrics.failed_requests,
            metrics.total_prompt_tokens,
            metrics.agent_runs,
            metrics.active_requests,
        )
        assert ({"clerk": {"Broken": 1}}, {"Broken": 1}) == (metrics.errors_by_agent, metrics.llm_errors)
    assert [identifier(3)] == [open_.id for open_ in ledger.open_operations()]
    assert 1 == ledger.stats()["open_operations"]
    assert 1 == len(ledger.audit_log(event_type="agent_error"))
    recording.open = []
    assert before == ledger.total()
    for each in (failed, run):
        ledger.apply(each)
    assert 2 == ledger.total().total_requests
