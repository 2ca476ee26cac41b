"""A session as a whole, in the structure that session files of agent programs have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

import tachograph
from scripted_llm import ScriptedLLM
from support.agents import answer, caller
from support.records import History, histories, ledger_of, opened, operation
from tachograph import names
from tachograph.environment import environment
from tachograph.export import session_export
from tachograph.testing import capture
from team_script import script

if TYPE_CHECKING:
    from tachograph.testing import Capture


def placed(exported: dict[str, Any]) -> list[tuple[str | None, list[str], list[str], int]]:
    """Each task with its agents, its tools and the number of its model calls."""
    return [
        (
            task.get("task_id"),
            [agent["agent_name"] for agent in task["agents"]],
            [tool["tool_name"] for tool in task["tools"]],
            len(task["llm_calls"]),
        )
        for task in (*exported["tasks"], exported["outside_tasks"])
    ]


def test_a_team_at_work_as_one_file(captured: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real run is one task with its agents, tools, calls and the bill, and says what it ran in."""
    import team  # noqa: PLC0415 - it imports tachograph.auto, which is to find the capture running

    with ScriptedLLM(script()) as llm:
        monkeypatch.setenv("OPENAI_BASE_URL", llm.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        with tachograph.session("quickstart", user_id="ada"):
            team.main()

    exported = session_export(captured.ledger, "quickstart")

    assert exported == json.loads(json.dumps(exported))
    metrics = captured.ledger.session_metrics("quickstart")
    (task,) = exported["tasks"]
    assert ("quickstart", "ada", environment()) == (
        exported["session_id"],
        exported["user_id"],
        exported["environment"],
    )
    assert ["manager", "researcher", "analyst"] == [agent["agent_name"] for agent in task["agents"]]
    assert (13, 10, "completed") == (len(task["tools"]), len(task["llm_calls"]), task["status"])
    assert (None, None, None) == (task["description"], task["sop_category"], task["code_changes"])
    assert {"agents": [], "tools": [], "llm_calls": []} == exported["outside_tasks"]
    assert llm.total_tokens == exported["total_tokens"]["total_tokens"]
    assert {model: bill.total_tokens for model, bill in llm.bill().items()} == {
        model: used["total_tokens"] for model, used in exported["total_tokens"]["model_breakdown"].items()
    }
    assert metrics.cost["amount"] == exported["total_tokens"]["cost_estimate"] == pytest.approx(0.024, abs=0.001)
    assert exported["total_duration"] == pytest.approx(task["duration"], abs=1e-6)
    assert metrics.to_dict() == exported["metrics"]
    assert captured.ledger.audit_log(session_id="quickstart") == exported["audit_log"]
    assert captured.ledger.timeline(session_id="quickstart").to_dict() == exported["timeline"]
    assert (True, []) == (exported["complete"], exported["reasons"])
    assert (metrics.first_seen, metrics.last_seen) == (exported["start_time"], exported["end_time"])


def test_a_task_is_described_where_content_was_captured() -> None:
    """What the agent was asked for is the task's description, if the program let it be recorded."""
    with capture(capture_content="no_content") as silent, tachograph.session("s"):
        caller(answer(), name="clerk").run("price of tea?")
    with capture(capture_content="span_only") as captured, tachograph.session("s"):
        caller(answer(), name="clerk").run("price of tea?")

    described = [session_export(each.ledger, "s")["tasks"][0]["description"] for each in (silent, captured)]

    assert [None, "price of tea?"] == described


@pytest.mark.parametrize("messages", ["[", "[" * 100_000, "[1]", '[{"parts":[1]}]', '[{"parts":[]}]', '{"a":1}', "3"])
def test_content_of_another_shape_describes_nothing(messages: str) -> None:
    """Content that was cut on its way, or is no list of messages, is no description and no error."""
    run = operation(1, "agent", "a", attributes={names.INPUT_MESSAGES: messages})

    assert session_export(ledger_of([run]), "s")["tasks"][0]["description"] is None


def test_what_happened_in_no_task_is_kept_beside_them() -> None:
    """Calls around and between tasks belong to none, not even those of a task's request."""
    ledger = ledger_of(
        [
            operation(1, "agent", "first"),
            operation(2, "agent", "inner", parent=1, agent="first", attributes={names.NESTED: True}),
            operation(3, "tool", "search", parent=2, agent="inner"),
            operation(4, parent=2, agent="inner"),
            operation(5),
            operation(6, parent=999),
            operation(7, "agent", "second", request="other"),
            operation(8, "tool", "search", parent=999, agent="second", request="other"),
        ]
    )

    assert [
        ("0000000000000001", ["first", "inner"], ["search"], 1),
        ("0000000000000007", ["second"], ["search"], 0),
        (None, [], [], 2),
    ] == placed(session_export(ledger, "s"))


def test_what_lost_its_way_up_belongs_to_no_task_when_there_are_two() -> None:
    """Where a request has two tasks, what is not seen to be in one of them is not guessed to be."""
    ledger = ledger_of(
        [operation(1, "agent", "a"), operation(2, "agent", "b"), operation(3, parent=999, agent="a")],
    )

    assert (None, [], [], 1) == placed(session_export(ledger, "s"))[-1]


@pytest.mark.parametrize(
    ("outcome", "status"), [("ok", "completed"), ("error", "failed"), ("max_steps", "max_steps"), ("lost", "lost")]
)
def test_a_task_has_a_status(outcome: Any, status: str) -> None:
    """Completed and failed are the two words of old; other outcomes say themselves how it ended."""
    exported = session_export(ledger_of([operation(1, "agent", "a", outcome=outcome)]), "s")

    assert [status] == [task["status"] for task in exported["tasks"]]


def test_a_session_at_work_has_no_end_yet() -> None:
    """While something is under way the session has no end, its task is running, and unknown figures are None."""
    run, call = operation(1, "agent", "a"), operation(2, parent=1, agent="a")
    exported = session_export(ledger_of([opened(run), opened(call)]), "s")

    (task,) = exported["tasks"]
    assert (None, None, None, "running") == (exported["end_time"], task["end_time"], task["duration"], task["status"])
    assert (None, None, False) == tuple(task["llm_calls"][0][name] for name in ("total_tokens", "duration", "success"))


def test_what_was_evicted_is_said() -> None:
    """Where a bound has pushed records out, the lists are shorter than the counters, and the file says so."""
    calls = [operation(number) for number in range(1, 6)]
    exported = session_export(ledger_of([operation(9, "agent", "a"), *calls], max_records=2), "s")

    assert (5, 2) == (exported["metrics"]["total_requests"], len(exported["outside_tasks"]["llm_calls"]))
    assert not exported["complete"]
    assert ["evicted from tasks, audit log and timeline, and only counted: 4 operations"] == exported["reasons"]


def test_a_session_nobody_knows_is_an_error() -> None:
    """There is no file of a session that does not exist; the error names it and where it was looked for."""
    with pytest.raises(LookupError, match=r"session 'nobody': there is none in memory"):
        session_export(ledger_of([operation(1)]), "nobody")


@settings(max_examples=100)
@given(histories())
def test_nothing_is_listed_twice_or_not_at_all(history: History) -> None:
    """Of any history each run, tool and model call is in exactly one place, and the whole is plain JSON."""
    ledger = ledger_of(history.live())
    for session_id in ledger.sessions():
        if ledger.session_metrics(session_id).first_seen is None:
            continue
        exported = session_export(ledger, session_id)
        kinds = [work.last.kind for work in history.works if work.last.session_id == session_id]
        parts = [*exported["tasks"], exported["outside_tasks"]]

        assert exported == json.loads(json.dumps(exported))
        assert {"agents": kinds.count("agent"), "tools": kinds.count("tool"), "llm_calls": kinds.count("model")} == {
            name: sum(len(part[name]) for part in parts) for name in ("agents", "tools", "llm_calls")
        }
        assert len(exported["tasks"]) == exported["metrics"]["tasks"]
