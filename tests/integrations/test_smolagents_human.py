"""A human decides in the middle of a run: interrupted and resumed, asked by a tool, asked about a plan.

Each scenario plays under three telemetry conditions, see ``recorded``.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from smolagents import PlanningStep, Tool
from smolagents.utils import AgentError

import tachograph
from support.agents import Lookup, Say, answer, caller, code, coder
from support.figures import billed, ran, used
from tachograph.integrations.smolagents import pauses

if TYPE_CHECKING:
    from conftest import HandClock
    from tachograph.testing import Capture

LOOK = Say(calls=(("lookup", {"key": "a"}),))
DROP = Say(calls=(("drop", {"table": "users"}),))


def requests(captured: Capture) -> list[str]:
    """The request of each agent run, in order of their ends."""
    return [run.correlation_id for run in captured.ledger.records() if getattr(run, "kind", None) == "agent"]


def outcomes(captured: Capture) -> list[str]:
    """How each agent run ended, in order."""
    return [run.outcome for run in captured.ledger.records() if getattr(run, "kind", None) == "agent"]


def run(agent: Any, *, streaming: bool, **details: Any) -> Any:
    """Run an agent to the end of that run."""
    return list(agent.run("go", stream=True, **details))[-1] if streaming else agent.run("go", **details)


class Stopped:
    """Stops its agent after each step, until it is told not to."""

    def __init__(self) -> None:
        self.on = True

    def __call__(self, _: Any, agent: Any) -> None:
        if self.on:
            agent.interrupt()


def stopping(*script: Say, **details: Any) -> tuple[Any, Stopped]:
    """An agent that is stopped after its first step, and who stops it."""
    stopped = Stopped()
    return caller(*script, tools=[Lookup()], name="agent", step_callbacks=[stopped], **details), stopped


# ------------------------------------------------------------------------------------------------ one request goes on
@pytest.mark.parametrize("streaming", [False, True], ids=["run", "run-streamed"])
def test_a_run_that_keeps_its_memory_is_of_the_request_it_was_stopped_in(
    recorded: Capture,
    streaming: bool,  # noqa: FBT001
) -> None:
    """Interrupted twice and resumed twice without being told which request it is, it is one; nothing failed."""
    agent, stopped = stopping(LOOK, LOOK, answer())
    with pytest.raises(AgentError, match="interrupted"):
        run(agent, streaming=streaming)
    with pytest.raises(AgentError, match="interrupted"):
        run(agent, streaming=streaming, reset=False)
    stopped.on = False
    run(agent, streaming=streaming, reset=False)

    assert 1 == len(set(requests(recorded)))
    assert ["interrupted", "interrupted", "ok"] == outcomes(recorded)
    metrics = recorded.ledger.session_metrics(recorded.runtime.process_session(), requests(recorded)[0])
    assert (0, 0, {}) == (metrics.errors, metrics.recovered_errors, metrics.errors_by_agent)
    assert used(metrics) == billed(agent.model) == {"scripted": (3, 300, 30)}


def test_what_is_no_resumption_is_a_request_of_its_own(recorded: Capture) -> None:
    """A run with an empty memory, and one that goes on after an answer, are new requests."""
    agent, stopped = stopping(LOOK, answer(), answer(), answer())
    with pytest.raises(AgentError):
        agent.run("go")
    stopped.on = False
    for reset in (True, False, False):
        agent.run("another", reset=reset)
    assert 4 == len(set(requests(recorded)))


def test_a_request_that_is_said_counts(recorded: Capture) -> None:
    """Where the program names the request, or is in another session by now, that is what holds."""
    agent, _ = stopping(LOOK, LOOK, LOOK)
    for session_id, said in (("a", None), ("a", "mine"), ("b", None)):
        with tachograph.session(session_id, correlation_id=said), pytest.raises(AgentError):
            agent.run("go", reset=False)
    first, second, third = requests(recorded)
    assert "mine" == second
    assert 3 == len({first, second, third})


def test_a_worker_that_is_stopped_leaves_no_request_behind(recorded: Capture) -> None:
    """The request of a managed agent is its manager's: run by itself later it is in one of its own."""
    worker, stopped = stopping(LOOK, answer(), description="works")
    worker.name = "worker"
    manager = caller(Say(calls=(("worker", {"task": "go"}),)), answer(), managed_agents=[worker], name="manager")
    manager.run("go")
    stopped.on = False
    worker.run("go", reset=False)
    assert ["interrupted", "ok", "ok"] == outcomes(recorded)
    assert 2 == len(set(requests(recorded)))


def test_agents_that_were_stopped_are_not_kept() -> None:
    """What is remembered of an agent keeps nobody alive, is bounded, and is not taken for that of another."""

    class Agent:
        pass

    class Run:
        session_id, correlation_id = "s", "c"

    before = len(pauses._paused)
    agent = Agent()
    pauses.keep(agent, Run())
    known = dict(pauses._paused)[id(agent)]
    del agent
    gc.collect()
    assert known[0]() is None
    other = Agent()
    pauses._paused[id(other)] = known
    assert None is pauses.taken(other, "s")

    many = [Agent() for _ in range(1_100)]
    for one in many:
        pauses.keep(one, Run())
    assert 1_000 == len(pauses._paused)
    assert ["c"] * 1_000 == [pauses.taken(one, "s") for one in many[100:]]
    assert before >= len(pauses._paused)


# --------------------------------------------------------------------------------------------------- asked by a tool
class Drop(Tool):
    """A tool that asks a human first: it stops its agent, or waits until somebody has decided."""

    name = "drop"
    description = "Drops a table."
    inputs = {"table": {"type": "string", "description": "which"}}  # noqa: RUF012 - the framework's way
    output_type = "string"

    def __init__(self, ponder: Any = None) -> None:
        super().__init__()
        self.agent: Any = None
        self.allowed = False
        self.ponder = ponder

    def forward(self, table: str) -> str:
        if self.allowed:
            return f"{table} is gone"
        asked = tachograph.request_approval(tool_name="drop", arguments={"table": table}, call_id="c-1", reason="drops")
        if self.ponder is None:
            self.agent.interrupt()
            return "a human is asked"
        self.ponder()
        asked.decide("APPROVE", decided_by="ada")
        return f"{table} is gone"


@pytest.mark.parametrize("decision", ["APPROVE", "REJECT"])
def test_a_run_that_stops_for_a_human_waits(recorded: Capture, clock: HandClock, decision: str) -> None:
    """Stopped with a question open the run is ``waiting``, not an error; decided and resumed it is the same request."""
    tool = Drop()
    agent = tool.agent = caller(DROP, DROP, answer(), tools=[tool], name="agent")
    with tachograph.session("s", user_id="ada"):
        with pytest.raises(AgentError, match="interrupted"):
            agent.run("drop it")
        assert "waiting" == recorded.ledger.session_metrics("s").status
    clock.pass_by(3_600)
    tachograph.decide("c-1", decision, decided_by="ada")
    tool.allowed = decision == "APPROVE"
    if not tool.allowed:
        agent.model.script.pop(0)
    with tachograph.session("s"):
        agent.run("go on", reset=False)

    assert ["waiting", "ok"] == outcomes(recorded)
    assert 1 == len(set(requests(recorded)))
    (approval,) = tachograph.approvals()
    assert (requests(recorded)[0], "agent", decision) == tuple(
        approval[name] for name in ("correlation_id", "agent", "status")
    )
    assert 3_600_000 < approval["waiting_ms"] < 3_600_100
    metrics = recorded.ledger.session_metrics("s", approval["correlation_id"])
    assert (0, "idle") == (metrics.errors, metrics.status)
    assert metrics.processing_duration_ms < 1_000
    assert used(metrics) == billed(agent.model)


def test_one_who_was_asked_in_vain_is_not_waited_for(recorded: Capture, clock: HandClock) -> None:
    """A question that is answered, or whose time is up, is none that the run stopped for."""
    agent, _ = stopping(LOOK)
    with tachograph.session("s", correlation_id="c"):
        tachograph.request_approval(tool_name="t", call_id="1", timeout_seconds=5)
        tachograph.request_approval(tool_name="t", call_id="2").decide("APPROVE")
        clock.pass_by(6)
        with pytest.raises(AgentError):
            agent.run("go")
    with tachograph.session("s", correlation_id="another"):
        tachograph.request_approval(tool_name="t", call_id="3")
    assert ["interrupted"] == outcomes(recorded)
    for call_id in "13":
        tachograph.decide(call_id, "REJECT")


@pytest.mark.parametrize("streaming", [False, True], ids=["run", "run-streamed"])
@pytest.mark.parametrize("make", ["tool-calling", "code"])
def test_the_time_of_a_human_is_not_the_tools(
    recorded: Capture,
    clock: HandClock,
    make: str,
    streaming: bool,  # noqa: FBT001
) -> None:
    """A tool that waits inside its call for a decision took only its own time; its agent's run has it all."""
    tool = Drop(lambda: clock.pass_by(60))
    agent = (
        caller(DROP, answer(), tools=[tool], name="agent")
        if make == "tool-calling"
        else coder(code("drop('users')"), code("final_answer('done')"), tools=[tool], name="agent")
    )
    run(agent, streaming=streaming)

    metrics = recorded.ledger.total()
    assert (1, 1, 0, 0) == ran(metrics)["drop"]
    assert 0 < metrics.tools["drop"]["total_duration_ms"] < 1_000
    assert streaming or 60_000 < metrics.processing_duration_ms < 61_000  # a stream's is measured by another clock
    (approval,) = tachograph.approvals()
    assert 60_000 < approval["waiting_ms"] < 60_100
    took = [point[2].sum for point in recorded.points() if point[0] == "gen_ai.execute_tool.duration"]
    assert not took or max(took) < 1


# ------------------------------------------------------------------------------------------------ asked about a plan
class Reviewed:
    """Asks a human about each plan, as the framework's example of reviewed plans does."""

    def __init__(self, clock: HandClock, *decisions: str) -> None:
        self.clock = clock
        self.decisions = [*decisions]

    def __call__(self, step: Any, agent: Any) -> None:
        decision = self.decisions.pop(0)
        asked = tachograph.request_approval(tool_name="plan", arguments={"plan": step.plan})
        self.clock.pass_by(60)
        if decision == "EDIT":
            step.plan = "a better plan"
        asked.decide(decision, modified_arguments={"plan": step.plan} if decision == "EDIT" else None)
        if decision == "REJECT":
            agent.interrupt()


def test_a_plan_that_a_human_reviews(recorded: Capture, clock: HandClock) -> None:
    """Refused, the run ends as interrupted; resumed and edited it goes on; what the human took is the approval's."""
    script = Say("a plan"), LOOK, Say("another plan"), answer()
    agent = caller(
        *script,
        tools=[Lookup()],
        planning_interval=5,
        name="agent",
        step_callbacks={PlanningStep: Reviewed(clock, "REJECT", "EDIT")},
    )
    with pytest.raises(AgentError, match="interrupted"):
        agent.run("go")
    agent.run("go", reset=False)

    assert ["interrupted", "ok"] == outcomes(recorded)
    assert 1 == len(set(requests(recorded)))
    rows = tachograph.approvals()
    assert [("plan", "agent", "REJECT"), ("plan", "agent", "EDIT")] == [
        (row["tool_name"], row["agent"], row["status"]) for row in rows
    ]
    assert "a better plan" == rows[1]["changes"]["changed"]["plan"]["to"]
    assert all(60_000 < row["waiting_ms"] < 60_100 for row in rows)
    metrics = recorded.ledger.total()
    assert {"plan": 2} == {tool: counts["EDIT"] + counts["REJECT"] for tool, counts in metrics.hitl.items()}
    assert used(metrics) == billed(agent.model) == {"scripted": (4, 400, 40)}
