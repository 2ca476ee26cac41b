"""The counting rules, one owner for each fact."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import MILLISECOND, OUTCOMES, History, histories, operation
from support.tallies import changes, tally_of
from tachograph import names
from tachograph.folds import now
from tachograph.tally import OTHER

if TYPE_CHECKING:
    from tachograph.records import Kind, Operation, Outcome


TOOK = 1_000 * MILLISECOND


# ------------------------------------------------------------------------------------------------- model calls
@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("ok", {"successful": 1, "request_ns": TOOK, "successful_ns": TOOK, "successful_tokens": 5}),
        ("error", {"failed": 1, "request_ns": TOOK, "llm_errors": {"TimeoutError": 1}}),
        *((outcome, {"incomplete": 1, "request_ns": TOOK}) for outcome in OUTCOMES if outcome not in ("ok", "error")),
    ],
)
def test_a_model_call_is_successful_failed_or_incomplete(outcome: Outcome, expected: dict[str, Any]) -> None:
    """Every finished call is one of three, averages are over the successful ones, and only errors have a type."""
    call = operation(
        1,
        outcome=outcome,
        attributes={names.INPUT_TOKENS: 3, names.OUTPUT_TOKENS: 2},
        error_type="TimeoutError" if outcome == "error" else None,
    )
    assert expected == changes(call)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_tokens_count_whatever_the_outcome(outcome: Outcome) -> None:
    """A provider bills for a failed or half-read answer too."""
    facts = {names.INPUT_TOKENS: 3, names.OUTPUT_TOKENS: 2, names.CACHED_TOKENS: 1, names.REASONING_TOKENS: 1}
    tally = tally_of([operation(1, name="m", outcome=outcome, attributes=facts), operation(2, name="n")])
    counted = {
        "requests": 1,
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "cached_tokens": 1,
        "reasoning_tokens": 1,
        "cost": 0,
        "priced": 0,
        "unpriced": 1,
    }
    nothing = dict.fromkeys(counted, 0)
    assert {"m": counted, "n": {**nothing, "requests": 1, "unpriced": 1}} == {
        name: dataclasses.asdict(model) for name, model in tally.models.items()
    }
    assert {**counted, "requests": 2, "unpriced": 2} == dataclasses.asdict(tally.tokens)


@pytest.mark.parametrize(
    ("outcome", "facts", "expected"),
    [
        ("ok", {names.COST: 0.1}, (100_000_000_000, 1, 0)),
        ("error", {names.COST: 0.1}, (100_000_000_000, 1, 0)),
        ("ok", {names.COST: 0.0}, (0, 1, 0)),
        ("ok", {}, (0, 0, 1)),
        ("error", {names.OUTPUT_TOKENS: 1}, (0, 0, 1)),
        ("error", {}, (0, 0, 0)),
    ],
)
def test_a_call_is_priced_unpriced_or_used_nothing(
    outcome: Outcome, facts: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    """What a call costs is summed in whole units; a price nobody knows is counted, unless nothing was used."""
    model = tally_of([operation(1, name="m", outcome=outcome, attributes=facts)]).models["m"]
    assert expected == (model.cost, model.priced, model.unpriced)


@given(st.lists(st.integers(0, 10**9), max_size=30))
def test_costs_add_up_to_the_last_unit(microdollars: list[int]) -> None:
    """However many calls there were, the sum of what they cost is exact."""
    calls = [operation(n, attributes={names.COST: cost / 1_000_000}) for n, cost in enumerate(microdollars, 1)]
    assert sum(microdollars) * 1_000_000 == tally_of(calls).tokens.cost


@pytest.mark.parametrize(
    ("fact", "value", "counter"),
    [
        (names.REQUEST_STREAM, True, {"streamed": 1}),
        (names.REQUEST_STREAM, False, {}),
        (names.RESPONSE_TOOL_CALLS, 2, {"with_tools": 1}),
        (names.RESPONSE_TOOL_CALLS, 0, {}),
    ],
)
def test_a_call_counts_as_streamed_or_with_tools_once(fact: str, value: int, counter: dict[str, int]) -> None:
    """A streamed call, and one whose answer asks for tools, counts as such, however many tools it asks for."""
    assert {"incomplete": 1, "request_ns": TOOK, **counter} == changes(
        operation(1, outcome="abandoned", attributes={fact: value})
    )


def test_a_stream_works_only_while_it_is_read() -> None:
    """The time a consumer takes between the chunks of a stream is not the model's."""
    assert tally_of([operation(1, attributes={names.ACTIVE_SECONDS: 0.25})]).request_ns == 250 * MILLISECOND


# -------------------------------------------------------------------------------------------------- tool calls
@pytest.mark.parametrize(
    ("outcome", "ran"),
    [
        ("ok", {"completed": 1, "total_duration_ns": TOOK}),
        ("error", {"failed": 1, "total_duration_ns": TOOK}),
        ("max_steps", {"failed": 1, "total_duration_ns": TOOK}),
        ("interrupted", {"failed": 1, "total_duration_ns": TOOK}),
        ("abandoned", {"failed": 1, "total_duration_ns": TOOK}),
        ("lost", {"failed": 1, "total_duration_ns": TOOK}),
        ("refused", {"refused": 1}),
        ("waiting", {}),
    ],
)
def test_a_tool_call_is_requested_and_ran_or_not(outcome: Outcome, ran: dict[str, int]) -> None:
    """Every call was requested; completed and failed ones ran, a refused or waiting one has not."""
    call = operation(1, "tool", "search", outcome=outcome, error_type="ValueError" if outcome == "error" else None)
    tool = dataclasses.asdict(tally_of([call]).tools["search"])
    assert {**dict.fromkeys(tool, 0), "requested": 1, **ran} == tool
    errors = {"tool_errors": {"ValueError": 1}} if outcome == "error" else {}
    assert {"tool_calls": 1, **errors} == changes(call)


def test_a_human_wait_is_no_tool_time() -> None:
    """A tool that waits for a human is counted, its duration is not."""
    tool = tally_of([operation(1, "tool", "ask", attributes={names.HUMAN_WAIT: True})]).tools["ask"]
    assert (tool.requested, tool.completed, tool.total_duration_ns) == (1, 1, 0)


# -------------------------------------------------------------------------------------------------- agent runs
@pytest.mark.parametrize(
    ("outcome", "attributes", "expected"),
    [
        ("ok", {}, {"tasks": 1, "processing_ns": TOOK}),
        ("ok", {names.NESTED: True}, {}),
        ("max_steps", {}, {"tasks": 1, "processing_ns": TOOK}),
        ("interrupted", {names.NESTED: True}, {}),
        ("error", {}, {"tasks": 1, "processing_ns": TOOK, "errors": 1, "errors_by_agent": {"a": {"ValueError": 1}}}),
        ("error", {names.NESTED: True}, {"errors": 1, "errors_by_agent": {"a": {"ValueError": 1}}}),
        (
            "error",
            {names.HANDED_UP: True},
            {"tasks": 1, "processing_ns": TOOK, "errors_by_agent": {"a": {"ValueError": 1}}},
        ),
        (
            "ok",
            {names.RECOVERED: ("ValueError", "KeyError", "ValueError")},
            {
                "tasks": 1,
                "processing_ns": TOOK,
                "recovered_errors": 3,
                "recovered_by_agent": {"a": {"ValueError": 2, "KeyError": 1}},
            },
        ),
    ],
)
def test_what_an_agent_run_counts_as(outcome: Outcome, attributes: dict[str, Any], expected: dict[str, Any]) -> None:
    """Outermost runs are tasks and processing time, errors are root causes, each layer has its own table."""
    run = operation(
        1, "agent", "a", outcome=outcome, attributes=attributes, error_type="ValueError" if outcome == "error" else None
    )
    assert {"agent_runs": 1, "outcomes": {outcome: 1}, **expected} == changes(run)


def test_an_agents_figures_include_what_ran_inside_it() -> None:
    """Each agent has its runs, its successes and failures and its whole time, nested or not."""
    tally = tally_of(
        [
            operation(1, "agent", "a", took=5),
            operation(2, "agent", "a", took=2, outcome="error", attributes={names.NESTED: True}),
            operation(3, "agent", "a", took=1, outcome="max_steps"),
        ]
    )
    assert (dataclasses.asdict(tally.agents["a"])) == {
        "count": 3,
        "total_duration_ns": 8 * MILLISECOND,
        "success_count": 1,
        "failure_count": 1,
    }
    assert tally.processing_ns == 6 * MILLISECOND


@pytest.mark.parametrize(
    ("attributes", "switches"),
    [
        ({names.SWITCH_FROM: "a", names.SWITCH_TO: "c"}, {"a_to_c": 1}),
        ({names.SWITCH_FROM: "a"}, {"a_to_b": 1}),
        ({names.SWITCH_TO: "b"}, {}),
        ({names.NESTED: True}, {}),
    ],
)
def test_a_delegation_is_one_switch(attributes: dict[str, Any], switches: dict[str, int]) -> None:
    """A switch is counted where the receiving agent starts; a nested run alone is none, nor is the return."""
    tally = tally_of([operation(1, "agent", "b", attributes=attributes)])
    assert (switches, sum(switches.values())) == (tally.switches, tally.agent_switches)


def test_a_switch_counts_before_the_run_has_ended() -> None:
    """Runs, requested tools, calls in flight and switches are seen as soon as they begin."""
    begun = [
        operation(1, "agent", "b", took=None, attributes={names.SWITCH_FROM: "a"}),
        operation(2, "tool", "search", took=None),
        operation(3, took=None),
    ]
    assert changes(*begun) == {
        "open": 3,
        "agent_runs": 1,
        "agent_switches": 1,
        "switches": {"a_to_b": 1},
        "tasks": 1,
        "tool_calls": 1,
    }
    assert tally_of(begun).active == 1


# ------------------------------------------------------------------------------------------------ all the rest
@pytest.mark.parametrize("kind", ["plan", "code", "other"])
def test_what_contains_or_accompanies_work_is_no_work(kind: Kind) -> None:
    """Plans, code executions and foreign spans count nothing, whatever their attributes say."""
    facts = {names.INPUT_TOKENS: 3, names.SWITCH_FROM: "a", names.RESPONSE_TOOL_CALLS: 1, names.RECOVERED: ("E",)}
    assert changes(operation(1, kind, "x", outcome="error", error_type="E", attributes=facts)) == {}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [({}, 1), ({names.NESTED: True}, 0), ({names.TASK_ID: "t"}, 0)],
    ids=["outermost", "in a run", "in a task"],
)
def test_an_outermost_run_is_a_task(facts: dict[str, Any], expected: int) -> None:
    """An agent run counts as a task unless it is part of another run, or of a task that the program speaks of."""
    assert expected == tally_of([operation(1, "agent", "a", attributes=facts)]).tasks


def test_a_task_is_one_task() -> None:
    """A task counts as one and as nothing else."""
    assert changes(operation(1, "task", "x", outcome="error", error_type="E")) == {"tasks": 1}


@pytest.mark.parametrize(
    ("asked", "after", "expected"),
    [
        (operation(1, "approval", "t", attributes={names.APPROVAL_DECISION: "EDIT"}), 0, "EDIT"),
        (operation(1, "approval", "t"), 0, "EXPIRED"),
        (operation(1, "approval", "t", took=None), 10_000, "pending"),
        (operation(1, "approval", "t", took=None, attributes={names.APPROVAL_TIMEOUT: 5.0}), 5, "pending"),
        (operation(1, "approval", "t", took=None, attributes={names.APPROVAL_TIMEOUT: 5.0}), 5.1, "EXPIRED"),
        (operation(1, "approval", "t", took=None, attributes={names.APPROVAL_TIMEOUT: math.inf}), 10**6, "pending"),
        (operation(1, "approval", "t", took=None, attributes={names.APPROVAL_TIMEOUT: math.nan}), 10**6, "pending"),
    ],
)
def test_an_approval_is_decided_pending_or_expired(asked: Operation, after: float, expected: str) -> None:
    """An approval counts once for its tool, as what became of it, or as what it is at the moment somebody looks."""
    tally = now(tally_of([asked]), moment_ns=asked.start_ns + round(after * 1_000_000_000))
    assert ({"t": {expected: 1}}, 1) == (tally.hitl, tally.tools["t"].requires_approval)


def test_an_error_without_a_type_is_other() -> None:
    """A failure whose type nobody knows is counted all the same."""
    failures = [operation(n, kind, "x", outcome="error") for n, kind in enumerate(("model", "tool", "agent"))]
    tally = tally_of(failures)
    assert (tally.llm_errors, tally.tool_errors, tally.errors_by_agent) == ({OTHER: 1}, {OTHER: 1}, {"x": {OTHER: 1}})


def calls_of(history: History, kind: str) -> list[Operation]:
    return [work.last for work in history.works if work.last.kind == kind]


@settings(max_examples=150)
@given(histories())
def test_the_parts_add_up(history: History) -> None:
    """Whatever happens, every sum is the sum of its parts, and what is open is what has not ended."""
    tally = now(tally_of(history.last()))
    models, tools, runs = (calls_of(history, kind) for kind in ("model", "tool", "agent"))
    assert len([work for work in history.works if work.ended is None]) == len(tally.open)
    assert len([call for call in models if call.end_ns is None]) == tally.active
    assert (
        len(models)
        == tally.successful + tally.failed + tally.incomplete + tally.active
        == tally.tokens.requests + (tally.active)
    )
    for name in ("requests", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"):
        assert getattr(tally.tokens, name) == sum(getattr(model, name) for model in tally.models.values())
    assert len(tools) == tally.tool_calls == sum(tool.requested for tool in tally.tools.values())
    assert len([call for call in tools if call.outcome not in (None, "waiting")]) == sum(
        tool.completed + tool.failed + tool.refused for tool in tally.tools.values()
    )
    assert len(runs) == tally.agent_runs == sum(agent.count for agent in tally.agents.values())
    assert len([run for run in runs if run.end_ns is not None]) == sum(tally.outcomes.values())
    assert tally.outcomes.get("error", 0) == sum(sum(types.values()) for types in tally.errors_by_agent.values())
    assert tally.errors <= tally.outcomes.get("error", 0)
    assert tally.recovered_errors == sum(sum(types.values()) for types in tally.recovered_by_agent.values())
    assert tally.agent_switches == sum(tally.switches.values())
    assert tally.failed == sum(tally.llm_errors.values())
