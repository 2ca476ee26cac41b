"""Figures by session, and the same figures made from the audit log: the proposal of the service's authors."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from support.records import History, histories, ledger_of
from support.serving import asking
from tachograph.export import session_export
from tachograph.server import create_app

if TYPE_CHECKING:
    from tachograph.sources import Source

PROPOSED = ("agent_switches", "tool_calls", "processing_duration_ms", "errors")

DAY = {"ada": (3, 6, 1), "bob": (2, 2, 0), "cleo": (1, 0, 1)}
"""Switches, tool calls and errors of each user."""


@pytest.mark.parametrize("session_id", DAY)
def test_metrics_of_a_session(service: Source, session_id: str) -> None:
    """Switches, tool calls, processing time and errors are counted for each session by itself."""
    metrics = service.session_metrics(session_id)
    assert DAY[session_id] == (metrics.agent_switches, metrics.tool_calls, metrics.errors)
    assert metrics.processing_duration_ms > 0


def test_metrics_of_an_unknown_session(service: Source) -> None:
    """A session that nobody has heard of has zeros."""
    metrics = service.session_metrics("nobody")
    assert [0, 0, 0, 0] == [getattr(metrics, name) for name in PROPOSED]


def test_metrics_of_all_sessions(service: Source) -> None:
    """Every session has figures of its own, and together they are those of everything."""
    every = {metrics.session_id: metrics for metrics in service.session_list(deleted=True)}
    total = service.total()
    assert DAY.keys() == every.keys()
    for name in (*PROPOSED, "total_requests", "total_tokens"):
        assert getattr(total, name) == pytest.approx(
            sum(getattr(metrics, name) for metrics in every.values()), abs=0.01
        )


def test_endpoint(service: Source) -> None:
    """`GET /events/metrics/session/{session_id}` answers with session_id, metrics and timestamp."""
    with asking(create_app(service, export=session_export)) as client:
        answer = client.get("/events/metrics/session/ada").json()
    assert ("ada", 3, 6, 1) == (answer["session_id"], *(answer["metrics"][name] for name in PROPOSED if name[0] != "p"))
    assert set(PROPOSED) == answer["metrics"].keys()
    assert answer["timestamp"].endswith("Z")


def test_endpoint_of_the_audit_log(service: Source) -> None:
    """`GET /events/audit-log?session_id=…` gives the entries of a session, from which the figures can be made."""
    with asking(create_app(service, export=session_export)) as client:
        answer = client.get("/events/audit-log", params={"session_id": "ada", "limit": 1_000}).json()
    assert service.audit_log(session_id="ada") == answer["entries"]


# -------------------------------------------------------------------------------------- the alternative: recomputed
def recomputed(log: list[dict[str, Any]]) -> dict[str, Any]:
    """A session's figures, made from its audit log alone."""
    count = Counter(entry["event_type"] for entry in log)

    def tally(event_type: str, field: str) -> dict[str, int]:
        return dict(Counter(entry[field] for entry in log if entry["event_type"] == event_type))

    switches = Counter(
        f"{entry['from_agent']}_to_{entry['to_agent']}" for entry in log if entry["event_type"] == "agent_switched"
    )
    decided = Counter(
        (entry["tool_name"], entry["decision"])
        for entry in log
        if entry["event_type"] == "hitl_decision_made" and not entry.get("late")
    )
    return {
        "agent_switches": count["agent_switched"],
        "switches": dict(switches),
        "tool_calls": count["tool_execution_requested"],
        "tools": tally("tool_execution_requested", "tool_name"),
        "completed": tally("tool_execution_completed", "tool_name"),
        "agents": tally("agent_processing_started", "agent_type"),
        "agent_ms": sum(entry["duration_ms"] for entry in log if entry["event_type"] == "agent_processing_completed"),
        "errors": sum(entry["event_type"] == "agent_error" and not entry["handed_up"] for entry in log),
        "successful_requests": sum(
            entry["event_type"] == "llm_request_completed" and entry["outcome"] == "ok" for entry in log
        ),
        "failed_requests": count["llm_request_failed"],
        "total_tokens": sum(
            entry["total_tokens"] or 0 for entry in log if entry["event_type"] == "llm_request_completed"
        ),
        "tasks": count["task_started"],
        "approvals": tally("hitl_approval_requested", "tool_name"),
        "decided": dict(decided),
    }


def viewed(source: Source, session_id: str, *, approvals: bool = True) -> dict[str, Any]:
    """The same, as the session view has it."""
    metrics = source.session_metrics(session_id)
    decisions = {
        (tool, word): times
        for tool, words in metrics.hitl.items()
        for word, times in words.items()
        if times and word in ("APPROVE", "EDIT", "REJECT")
    }
    asked = {tool: int(known["requires_approval"]) for tool, known in metrics.tools.items()}
    return {
        "agent_switches": metrics.agent_switches,
        "switches": metrics.switches,
        "tool_calls": metrics.tool_calls,
        "tools": {tool: known["requested"] for tool, known in metrics.tools.items() if known["requested"]},
        "completed": {tool: known["completed"] for tool, known in metrics.tools.items() if known["completed"]},
        "agents": {agent: known["count"] for agent, known in metrics.agents.items() if known["count"]},
        "agent_ms": pytest.approx(sum(known["total_duration_ms"] for known in metrics.agents.values()), abs=0.05),
        "errors": metrics.errors,
        "successful_requests": metrics.successful_requests,
        "failed_requests": metrics.failed_requests,
        "total_tokens": metrics.total_tokens,
        "tasks": metrics.tasks,
        "approvals": {tool: times for tool, times in asked.items() if times} if approvals else {},
        "decided": decisions if approvals else {},
    }


@pytest.mark.parametrize("session_id", DAY)
def test_service_recomputed(service: Source, session_id: str) -> None:
    """Of each user's session the audit log gives the figures that the session view has."""
    assert viewed(service, session_id) == recomputed(service.audit_log(session_id=session_id))


def test_command_line_recomputed(command_line: Source) -> None:
    """Of a session of smolagents too."""
    (session_id,) = command_line.sessions()
    assert viewed(command_line, session_id) == recomputed(command_line.audit_log(session_id=session_id))


@given(history=histories())
def test_anything_recomputed(history: History) -> None:
    """Whatever happened, in any order: what the audit log gives is what the session view has."""
    ledger = ledger_of(history.live())
    for session_id in [metrics.session_id for metrics in ledger.session_list(deleted=True)]:
        log = ledger.audit_log(session_id=session_id)
        # These histories have approvals and events of approvals that know nothing of each other,
        # and calls that failed may have used tokens, which no entry says.
        ours, theirs = (
            viewed(ledger, session_id, approvals=False),
            recomputed([entry for entry in log if not entry["event_type"].startswith("hitl_")]),
        )
        del ours["total_tokens"], theirs["total_tokens"]
        assert ours == theirs
