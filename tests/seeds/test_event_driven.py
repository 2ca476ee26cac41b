"""Events, metrics and the audit log of the service: its authors' worked examples, on its recorded day."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from tachograph import events
from tachograph.testing import capture
from tachograph.times import moment

if TYPE_CHECKING:
    from tachograph.sources import Source

SWITCHES = {
    "architect_to_ask": 1,
    "coder_to_debug": 1,
    "debug_to_coder": 1,
    "orchestrator_to_architect": 1,
    "orchestrator_to_coder": 1,
    "orchestrator_to_universal": 1,
}
PROCESSING = {  # runs, of these successes and failures
    "architect": (1, 1, 0),
    "ask": (1, 1, 0),
    "coder": (5, 5, 0),
    "debug": (1, 0, 1),
    "orchestrator": (3, 3, 0),
    "universal": (2, 1, 1),
}
TOOLS = {  # the one refused was asked for and did not run; the one nobody decided about was not even passed on
    "calculator": {"requested": 2, "completed": 1, "failed": 1, "requires_approval": 0},
    "execute_command": {"requested": 2, "completed": 1, "failed": 0, "requires_approval": 3},
    "read_file": {"requested": 1, "completed": 1, "failed": 0, "requires_approval": 0},
    "switch_mode": {"requested": 1, "completed": 1, "failed": 0, "requires_approval": 0},
    "write_file": {"requested": 2, "completed": 2, "failed": 0, "requires_approval": 2},
}
DECISIONS = {
    "execute_command": {"APPROVE": 1, "EDIT": 0, "REJECT": 1},
    "write_file": {"APPROVE": 1, "EDIT": 1, "REJECT": 0},
}
ERRORS = {"debug": {"FileNotFoundError": 1}, "universal": {"InternalServerError": 1}}

HEAD = {"timestamp", "event_type", "event_id", "session_id", "correlation_id"}
OURS = {"trace_id", "span_id", "critical"}
"""What every entry has beside the keys of the document."""


def first(service: Source, event_type: str, **filters: Any) -> dict[str, Any]:
    """The first entry of a type."""
    return service.audit_log(event_type=event_type, **filters)[0]


def types(service: Source, correlation_id: str) -> list[str]:
    """Types of the entries of one request, in order."""
    return [entry["event_type"] for entry in service.audit_log(correlation_id=correlation_id)]


def in_order(wanted: list[str], there: list[str]) -> bool:
    """Whether all of ``wanted`` are there, in this order, whatever is between."""
    rest = iter(there)
    return all(one in rest for one in wanted)


# ------------------------------------------------------------------------------------------------------- the metrics
def test_agent_switches(service: Source) -> None:
    """Every hand-over is counted under both names."""
    assert SWITCHES == service.metrics().agent_switches


def test_agent_processing(service: Source) -> None:
    """Each agent's runs, with their time, successes and failures."""
    processing = service.metrics().agent_processing
    assert PROCESSING == {
        agent: (runs["count"], runs["success_count"], runs["failure_count"]) for agent, runs in processing.items()
    }
    assert all(runs["total_duration_ms"] > 0 for runs in processing.values())


def test_tool_executions(service: Source) -> None:
    """Each tool's calls: requested, completed, failed, and how many needed approval."""
    assert TOOLS == service.metrics().tool_executions


def test_hitl_decisions(service: Source) -> None:
    """What humans decided, by tool; a decision that came too late decided nothing."""
    assert DECISIONS == service.metrics().hitl_decisions


def test_errors(service: Source) -> None:
    """Errors by agent and type."""
    assert ERRORS == service.metrics().errors


def test_average_duration(service: Source) -> None:
    """Mean duration of an agent's runs."""
    totals = service.metrics()
    assert totals.agent_processing["coder"]["total_duration_ms"] / 5 == totals.agent_average_duration("coder")


def test_success_rate(service: Source) -> None:
    """Share of a tool's requested calls that completed."""
    totals = service.metrics()
    assert [0.5, 0.5, 1.0] == [
        totals.tool_success_rate(tool) for tool in ("execute_command", "calculator", "write_file")
    ]


def test_switch_count(service: Source) -> None:
    """Hand-overs from one agent to another."""
    totals = service.metrics()
    assert [1, 0] == [totals.agent_switch_count("orchestrator", agent) for agent in ("coder", "ask")]


# ------------------------------------------------------------------------------------------- the entries, key for key
@pytest.mark.parametrize(
    ("event_type", "filters", "expected"),
    [
        (
            "agent_switched",
            {"session_id": "ada"},
            {
                "session_id": "ada",
                "correlation_id": "ada-1",
                "from_agent": "orchestrator",
                "to_agent": "coder",
                "reason": "Code modification required",
                "confidence": "high",
            },
        ),
        (
            "tool_approval_required",
            {"session_id": "cleo"},
            {
                "session_id": "cleo",
                "correlation_id": "cleo-2",
                "tool_name": "execute_command",
                "call_id": "call_clean",
                "reason": "Command execution requires approval",
                "arguments": {"command": "rm -r backups"},
            },
        ),
        (
            "hitl_approval_requested",
            {"session_id": "cleo"},
            {
                "session_id": "cleo",
                "correlation_id": "cleo-2",
                "tool_name": "execute_command",
                "call_id": "call_clean",
                "reason": "Command execution requires approval",
                "arguments": {"command": "rm -r backups"},
                "timeout_seconds": 0.2,
            },
        ),
    ],
)
def test_an_entry_key_for_key(
    service: Source, event_type: str, filters: dict[str, str], expected: dict[str, Any]
) -> None:
    """An entry has the keys of the document and its values; only where it is in the trace, and its weight, are ours."""
    entry = first(service, event_type, **filters)
    assert expected == {name: value for name, value in entry.items() if name not in HEAD | OURS or name in expected}
    assert HEAD | OURS | expected.keys() == entry.keys()
    assert entry["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("correlation_id", "decision", "modified"),
    [("ada-1", "APPROVE", None), ("ada-2", "EDIT", {"path": "sort.py"}), ("ada-3", "REJECT", None)],
)
def test_a_decision_key_for_key(service: Source, correlation_id: str, decision: str, modified: Any) -> None:
    """A decision has the original and the modified arguments, which are none where nothing was modified."""
    entry = first(service, "hitl_decision_made", correlation_id=correlation_id)
    assert HEAD | {"call_id", "decision", "tool_name", "original_args", "modified_args"} <= entry.keys()
    assert ("ada", decision) == (entry["session_id"], entry["decision"])
    assert modified == (entry["modified_args"] and {"path": entry["modified_args"]["path"]})


@pytest.mark.parametrize(
    ("event_type", "keys"),
    [
        ("agent_processing_started", {"agent_type"}),
        ("agent_processing_completed", {"agent_type", "duration_ms", "success"}),
        ("agent_error", {"agent_type", "error_message", "error_type"}),
        ("tool_execution_requested", {"tool_name", "call_id", "agent"}),
        ("session_created", set()),
        ("message_added", {"role", "content_length", "agent_name"}),
        ("session_updated", {"update_type"}),
        ("session_deleted", {"soft_delete"}),
    ],
)
def test_the_fields_of_the_other_events(service: Source, event_type: str, keys: set[str]) -> None:
    """Every other event of the document has its fields."""
    entries = service.audit_log(event_type=event_type)
    assert HEAD | keys <= set().union(*entries)


# ------------------------------------------------------------------------------------------------ the worked examples
def test_a_switch_of_agents(service: Source) -> None:
    """A message starts the orchestrator, which completes and hands over; all of it in one request."""
    wanted = ["agent_processing_started", "agent_processing_completed", "agent_switched", "agent_processing_started"]
    assert in_order(wanted, types(service, "ada-1"))


def test_a_tool_with_a_human(service: Source) -> None:
    """A tool that needs approval: asked for, decided, run; and the agent completes after it."""
    wanted = [
        "tool_approval_required",
        "hitl_approval_requested",
        "hitl_decision_made",
        "tool_execution_requested",
        "tool_execution_completed",
        "agent_processing_completed",
    ]
    assert in_order(wanted, types(service, "ada-1"))


def test_a_session_with_messages(service: Source) -> None:
    """A session is created, and each message is added to it and updates it."""
    created, *_ = [entry["event_type"] for entry in service.audit_log(session_id="cleo", category="session")]
    added = service.audit_log(session_id="cleo", event_type="message_added")
    assert "session_created" == created
    assert [("user", 9), ("user", 22), ("assistant", 0), ("tool", 48), ("assistant", 50)] == [
        (entry["role"], entry["content_length"]) for entry in added
    ]
    assert 5 == len(service.audit_log(session_id="cleo", event_type="session_updated"))


# ------------------------------------------------------------------------------------------------------- the filters
def test_filters(service: Source) -> None:
    """By type, by session and newest ones, and errors."""
    assert 6 == len(service.audit_log(event_type="agent_switched"))
    assert 5 == len(service.audit_log(event_type="hitl_decision_made"))
    assert service.audit_log(session_id="ada")[-10:] == service.audit_log(session_id="ada", limit=10)
    assert ["debug", "universal"] == [entry["agent_type"] for entry in service.audit_log(event_type="agent_error")]


def test_critical_entries(service: Source) -> None:
    """The critical ones are those the service's authors log: switches, approvals, decisions, errors; and deletions."""
    assert {
        "agent_error",
        "agent_switched",
        "hitl_approval_requested",
        "hitl_decision_made",
        "session_deleted",
        "tool_approval_required",
    } == {entry["event_type"] for entry in service.audit_log(critical=True)}


# ---------------------------------------------------------------------------------------------------- correlation ids
@pytest.mark.parametrize(("user", "requests"), [("ada", 5), ("bob", 2), ("cleo", 2)])
def test_correlation_ids(service: Source, user: str, requests: int) -> None:
    """What happens for one request of a user has the id that came with it, across agents, tools and decisions."""
    found = {entry["correlation_id"] for entry in service.audit_log(session_id=user)} - {None}
    assert {f"{user}-{number}" for number in range(1, requests + 1)} == found


def test_timeline_of_a_request(service: Source) -> None:
    """The timeline of one request shows its agents, models, tools and humans, each when it began."""
    entries = service.timeline(correlation_id="ada-1").entries
    shown = {(entry.kind, entry.name) for entry in entries if entry.kind != "event"}
    assert {
        ("task", "message"),
        ("agent", "orchestrator"),
        ("agent", "coder"),
        ("model", "gpt-4.1-mini"),
        ("model", "gpt-4.1"),
        ("approval", "write_file"),
        ("tool", "write_file"),
    } == shown


class Moments:
    """A clock that a test sets, in milliseconds from the start."""

    at = 0.0

    def __call__(self) -> int:
        return 1_768_654_800_000_000_000 + round(self.at * 1_000_000)


def test_flow_of_events() -> None:
    """The document's timeline of one request: what happened, in this order, each at its offset, to the millisecond."""
    clock = Moments()
    with capture(clock=clock) as captured, tachograph.session("session-123", correlation_id="corr-abc-123"):
        with tachograph.agent("orchestrator"):
            clock.at = 100
            tachograph.switch("coder", reason="Code modification required")
        clock.at = 150
        with tachograph.agent("coder"):
            clock.at = 200
            with tachograph.tool("write_file", call_id="call-456") as call:
                call.outcome("waiting")  # requested; it has not run
            clock.at = 210
            events.tool_approval_required("write_file", "call-456", reason="File modification requires approval")
            clock.at = 5_000
            events.hitl_decision_made("call-456", "APPROVE")
            clock.at = 5_100
        log = captured.ledger.audit_log(correlation_id="corr-abc-123")
        timeline = captured.ledger.timeline(correlation_id="corr-abc-123")

    start = moment(log[0]["timestamp"])
    flow = [
        ((moment(entry["timestamp"]) - start) / 1_000_000, entry["event_type"], entry.get("duration_ms"))
        for entry in log
        if not entry["event_type"].startswith("task_") and entry.get("agent_type", entry.get("agent")) != "orchestrator"
    ]
    assert [
        (100, "agent_switched", None),
        (150, "agent_processing_started", None),
        (200, "tool_execution_requested", None),
        (210, "tool_approval_required", None),
        (5_000, "hitl_decision_made", None),
        (5_100, "agent_processing_completed", 4_950),
    ] == flow
    assert ("agent_processing_started", "orchestrator") == next(
        (entry["event_type"], entry["agent_type"]) for entry in log if not entry["event_type"].startswith("task_")
    )
    assert {("coder", 150.0), ("write_file", 200.0), ("write_file", 210.0)} <= {
        (entry.name, entry.offset_ms) for entry in timeline.entries
    }


def test_the_log_is_in_order(service: Source) -> None:
    """Entries come by their moment."""
    moments = [entry["timestamp"] for entry in service.audit_log(session_id="ada")]
    assert sorted(moments) == moments


# -------------------------------------------------------------------------------------------------------- subscribers
def test_a_test_sees_the_events() -> None:
    """A handler gets the events of a type as they happen, and only these."""
    received, told = [], threading.Event()

    def handler(entry: dict[str, Any]) -> None:
        received.append(entry)
        told.set()

    with capture(), tachograph.session("session-123"):
        tachograph.subscribe(handler, event_type="agent_switched")
        events.session_updated("session-123")
        events.agent_switched("orchestrator", "coder", "Code modification required", confidence="high")
        assert told.wait(10)
    assert [("agent_switched", "coder")] == [(entry["event_type"], entry["to_agent"]) for entry in received]


def test_a_notification_of_a_decision() -> None:
    """A coroutine function can be told of decisions, and says whom to notify of which tool."""
    sent, told = [], threading.Event()

    async def notify(entry: dict[str, Any]) -> None:
        sent.append((entry["session_id"], f"Your approval for {entry['tool_name']} was processed"))
        told.set()

    with capture(), tachograph.session("session-123"):
        tachograph.subscribe(notify, event_type="hitl_decision_made")
        events.tool_approval_required("write_file", "call-456", reason="File modification requires approval")
        events.hitl_decision_made("call-456", "APPROVE")
        assert told.wait(10)
    assert [("session-123", "Your approval for write_file was processed")] == sent
