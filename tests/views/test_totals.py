"""What everything adds up to: the tables and the three questions of the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from support.records import MILLISECOND, SESSIONS, History, histories, identifier, ledger_of, operation
from tachograph import names
from tachograph.views.totals import Totals

if TYPE_CHECKING:
    from tachograph.records import Record


def example() -> Totals:
    """The day of the second specification: four agents that hand over to each other, two tools, two errors."""
    records: list[Record] = []

    def run(agent: str, took: float, source: str | None = None, error: str | None = None) -> None:
        records.append(
            operation(
                len(records),
                "agent",
                agent,
                took=took,
                session=f"session-{len(records) % 7}",
                outcome="ok" if error is None else "error",
                error_type=error,
                attributes={} if source is None else {names.SWITCH_FROM: source, names.NESTED: True},
            )
        )

    for n in range(50):
        source = "orchestrator" if n < 45 else "debug"
        run("coder", 1_500, source, {0: "FileNotFoundError", 1: "ValueError"}.get(n))
    for n in range(15):
        run("debug", 1_500, "orchestrator" if n < 12 else None)
    for _ in range(3):
        run("architect", 0, "coder")
        run("coder", 0, "debug")  # the last three of debug's eight hand-overs
    for tool, completed, failed in (("write_file", 28, 2), ("read_file", 50, 0)):
        for n in range(completed + failed):
            records.append(
                operation(len(records), "tool", tool, outcome="ok" if n < completed else "error", error_type="E")
            )
    return ledger_of(records, max_sessions=3, max_records=10).metrics()


def test_the_example_of_the_specification() -> None:
    """Switches by pair, runs by agent, calls by tool and errors by agent and type, evicted sessions included."""
    assert example().to_dict() == {
        "agent_switches": {
            "coder_to_architect": 3,
            "debug_to_coder": 8,
            "orchestrator_to_coder": 45,
            "orchestrator_to_debug": 12,
        },
        "agent_processing": {
            "architect": {"count": 3, "total_duration_ms": 0, "success_count": 3, "failure_count": 0},
            "coder": {"count": 53, "total_duration_ms": 75_000, "success_count": 51, "failure_count": 2},
            "debug": {"count": 15, "total_duration_ms": 22_500, "success_count": 15, "failure_count": 0},
        },
        "tool_executions": {
            "read_file": {"requested": 50, "completed": 50, "failed": 0, "requires_approval": 0},
            "write_file": {"requested": 30, "completed": 28, "failed": 2, "requires_approval": 0},
        },
        "hitl_decisions": {},
        "errors": {"coder": {"FileNotFoundError": 1, "ValueError": 1}},
    }


def test_the_three_questions_of_the_specification() -> None:
    """Mean duration of an agent's runs, share of a tool's calls that completed, hand-overs from one to another."""
    totals = Totals(
        agent_switches={"orchestrator_to_coder": 45},
        agent_processing={"coder": {"count": 50, "total_duration_ms": 75_000, "success_count": 48, "failure_count": 2}},
        tool_executions={"write_file": {"requested": 30, "completed": 28, "failed": 2, "requires_approval": 30}},
    )
    assert totals.agent_average_duration("coder") == 1_500
    assert totals.tool_success_rate("write_file") == pytest.approx(0.933, abs=5e-4)
    assert totals.agent_switch_count("orchestrator", "coder") == 45


def test_the_three_questions_about_what_never_was() -> None:
    """An agent that never ran, a tool never asked for and a switch that never happened give 0."""
    for totals in (
        Totals(),
        Totals(
            agent_processing={"x": {"count": 0, "total_duration_ms": 0, "success_count": 0, "failure_count": 0}},
            tool_executions={"x": {"requested": 0, "completed": 0, "failed": 0, "requires_approval": 0}},
        ),
    ):
        assert (totals.agent_average_duration("x"), totals.tool_success_rate("x")) == (0, 0)
        assert totals.agent_switch_count("x", "y") == 0


@settings(max_examples=100)
@given(histories())
def test_totals_are_the_sums_of_the_sessions(history: History) -> None:
    """What the totals say of an agent, a tool or a switch is the sum of what the sessions say of it."""
    ledger = ledger_of(history.last())
    totals, sessions = ledger.metrics(), [ledger.session_metrics(session_id) for session_id in SESSIONS]
    sessionless = [
        happened
        for happened in history.events
        if happened.type == "agent_switched" and happened.session_id not in SESSIONS
    ]
    assert sessionless == []
    for pair, count in totals.agent_switches.items():
        assert count == sum(session.switches.get(pair, 0) for session in sessions)
    for agent, runs in totals.agent_processing.items():
        parts = [session.agents[agent] for session in sessions if agent in session.agents]
        assert runs["count"] == sum(part["count"] for part in parts)
        assert runs["total_duration_ms"] == pytest.approx(sum(part["total_duration_ms"] for part in parts), abs=0.01)
        assert runs["failure_count"] == sum(part["failure_count"] for part in parts)
    for tool, calls in totals.tool_executions.items():
        parts = [session.tools[tool] for session in sessions if tool in session.tools]
        assert calls == {name: sum(part[name] for part in parts) for name in calls}
    assert totals.errors.keys() == {agent for session in sessions for agent in session.errors_by_agent}


def test_the_total_in_the_shape_of_a_session() -> None:
    """Everything recorded can be had as one session by the id ``*``."""
    ledger = ledger_of([operation(n, session=identifier(n), took=1 / MILLISECOND) for n in range(4)])
    assert (ledger.total().session_id, ledger.total().total_requests) == ("*", 4)
