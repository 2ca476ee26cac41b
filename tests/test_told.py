"""Work that is told of by id, or when it is over."""

from __future__ import annotations

import enum
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from tachograph import names
from tachograph.records import Operation
from tachograph.testing import TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.testing import Capture


@pytest.fixture
def recorded() -> Iterator[Capture]:
    """Everything recorded by a ticking clock; afterwards nothing is open, and the spans say the same."""
    with capture(clock=TickingClock()) as captured:
        yield captured
        assert [] == captured.ledger.open_operations()
        assert captured.ledger.total().to_dict() == captured.spans_only.total().to_dict()


def operations(captured: Capture) -> list[Operation]:
    """What ended, in order of its end."""
    return [record for record in captured.ledger.records() if isinstance(record, Operation) and record.outcome]


def only(captured: Capture) -> Operation:
    """The one operation there is."""
    (found,) = operations(captured)
    return found


class Status(enum.Enum):
    """A program's own statuses."""

    COMPLETED = "completed"
    FAILED = 2
    CANCELLED = "cancelled"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("completed", "ok"),
        (Status.COMPLETED, "ok"),
        (Status.FAILED, "error"),
        (Status.CANCELLED, "interrupted"),
        ("max_steps", "max_steps"),
    ],
)
def test_a_task_is_begun_and_ended_by_id(recorded: Capture, status: Any, expected: str) -> None:
    """What runs in between, and that nothing else is around, is its part; it is one task, its agents none."""
    tachograph.start_task("t1", "look into it", name="analysis", category="research")
    with tachograph.agent("a"):
        pass
    tachograph.record_llm_call("m", 1, 2, 0.0)
    assert tachograph.end_task("t1", status)
    assert not tachograph.end_task("t1", status)
    assert (1, 3, {expected}) == (
        recorded.ledger.total().tasks,
        len(operations(recorded)),
        {record.outcome for record in operations(recorded) if record.kind == "task"},
    )
    task = operations(recorded)[-1]
    assert {task.id} == {record.parent_id for record in operations(recorded)[:-1]}
    assert ("analysis", "t1", "look into it", "research") == (
        task.name,
        *(task.attributes[name] for name in (names.TASK_ID, names.TASK_DESCRIPTION, names.TASK_CATEGORY)),
    )


def test_a_task_may_end_with_an_error(recorded: Capture) -> None:
    """An error given makes the task fail, whatever the status says."""
    tachograph.start_task(7)  # type: ignore[arg-type]
    assert tachograph.end_task(7, error=LookupError("x"))  # type: ignore[arg-type]
    assert ("error", "LookupError", "x") == (
        only(recorded).outcome,
        only(recorded).error_type,
        only(recorded).error_message,
    )


def test_a_status_that_is_none_is_refused(recorded: Capture) -> None:
    """The error names the status and those there are, and the task is still under way."""
    tachograph.start_task("t")
    with pytest.raises(ValueError, match=r"'done' is no status; there are: .*completed"):
        tachograph.end_task("t", "done")
    assert tachograph.end_task("t")


def test_a_task_begun_again_ends_the_one_before(recorded: Capture) -> None:
    """Of two tasks of one id the first is abandoned."""
    tachograph.start_task("t")
    tachograph.start_task("t")
    tachograph.end_task("t")
    assert ["abandoned", "ok"] == [record.outcome for record in operations(recorded)]


def test_a_task_is_not_around_another_session(recorded: Capture) -> None:
    """Work that somebody put into another session is no part of a task begun by id."""
    tachograph.start_task("t")
    with tachograph.session("other"), tachograph.agent("a"):
        pass
    tachograph.end_task("t")
    assert (None, 2) == (operations(recorded)[0].parent_id, recorded.ledger.total().tasks)


def test_what_is_over_is_recorded_with_its_times(recorded: Capture) -> None:
    """A call, a run and a tool that are over have the times, figures and fields that they are said to have."""
    at = datetime(2026, 1, 17, 13, 0, 1, tzinfo=timezone.utc)
    with tachograph.session("s", user_id="ada", conversation=True):
        tachograph.record_llm_call(
            "gpt-4.1",
            1_000,
            500,
            2.5,
            cached_tokens=400,
            reasoning_tokens=3,
            tool_calls=2,
            provider="openai",
            ended_at=at,
            cache_hit=True,
        )
        tachograph.record_agent_execution("supervisor", "RepoAnalysisAgent", 30.2, ended_at="2026-01-17T13:00:00Z")
        tachograph.record_tool_usage("file_reader", 0.5, call_id="c", error=OSError("gone"), ended_at=at.timestamp())
    call, run, tool = operations(recorded)
    moment = 1_768_654_800_000_000_000
    second = 1_000_000_000
    assert [
        ("model", "gpt-4.1", moment - 1_500_000_000, moment + second, "ok", None),
        ("agent", "RepoAnalysisAgent", moment - 30_200_000_000, moment, "ok", None),
        ("tool", "file_reader", moment + 500_000_000, moment + second, "error", "OSError"),
    ] == [
        (each.kind, each.name, each.start_ns, each.end_ns, each.outcome, each.error_type) for each in (call, run, tool)
    ]
    assert call.attributes == {
        names.REQUEST_MODEL: "gpt-4.1",
        names.PROVIDER_NAME: "openai",
        names.INPUT_TOKENS: 1_000,
        names.OUTPUT_TOKENS: 500,
        names.CACHED_TOKENS: 400,
        names.REASONING_TOKENS: 3,
        names.RESPONSE_TOOL_CALLS: 2,
        names.CONVERSATION_ID: "s",
        names.COST: 0.0054,
        "tachograph.field.cache_hit": True,
    }
    assert {"tachograph.field.agent_type": "supervisor"}.items() <= run.attributes.items()
    assert [each.id for each in (call, run, tool)] == [f"{span.context.span_id:016x}" for span in recorded.spans]


@pytest.mark.parametrize("duration", [-1, float("nan"), float("inf"), "2", None, True, 10**10])
def test_a_duration_that_is_none_is_refused(recorded: Capture, duration: Any) -> None:
    """The error names the value and what is expected, and nothing is recorded."""
    with pytest.raises(ValueError, match=r"duration=.*expected seconds, from 0 up to a year's"):
        tachograph.record_llm_call("m", 1, 1, duration)
    assert [] == operations(recorded)


@pytest.mark.parametrize("moment", ["yesterday", float("nan"), object(), -1, "0001-01-01T00:00:00"])
def test_a_moment_that_is_none_is_refused(recorded: Capture, moment: Any) -> None:
    """The error names the value and what is expected, and nothing is recorded."""
    with pytest.raises(ValueError, match=r"is no moment|ended_at=.*expected a moment between the years"):
        tachograph.record_tool_usage("t", ended_at=moment)
    assert [] == operations(recorded)


@pytest.mark.parametrize("name", [None, "", 3, object()])
def test_a_name_that_is_none_is_replaced(recorded: Capture, name: Any) -> None:
    """What has no name is called unnamed, and can be tabulated with all others."""
    tachograph.record_llm_call(name, 1, 1)
    tachograph.record_tool_usage(name)
    tachograph.record_agent_execution(name)
    with tachograph.model("b"):
        pass
    assert ["b", "unnamed"] == sorted(recorded.ledger.total().tokens_by_model)
    assert ["unnamed"] == list(recorded.ledger.total().tools)


class Named(str, enum.Enum):
    """A program's own names."""

    WRITER = "writer"
    BIG = "big"


def test_names_of_enumerations_are_names(recorded: Capture) -> None:
    """A member of an enumeration of texts is its text, wherever a name is given."""
    with tachograph.agent(Named.WRITER), tachograph.model(Named.BIG, provider=Named.BIG), tachograph.tool(Named.BIG):
        pass
    tachograph.record_llm_call(Named.BIG, 1, 1)
    approval = tachograph.request_approval(tool_name=Named.BIG, call_id="c", reason=Named.BIG)
    assert approval.decide("APPROVE", decided_by=Named.WRITER)

    total = recorded.ledger.total()
    assert (["big"], ["big"], ["writer"]) == (list(total.tokens_by_model), list(total.tools), list(total.agents))
    (approved,) = recorded.ledger.audit_log(event_type="hitl_decision_made")
    assert ("big", "writer") == (approved["tool_name"], approved["decided_by"])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("x"), "TimeoutError"),
        (TimeoutError, "TimeoutError"),
        ("TimeoutError", "TimeoutError"),
        (503, "503"),
        (Named.BIG, "big"),
        ("it took too long", "error"),
        (object(), "error"),
        ({}, "error"),
    ],
)
def test_an_error_of_any_kind_is_one(recorded: Capture, error: Any, kind: str) -> None:
    """Whatever is told of as an error, the call failed, and nothing that was told of it is lost."""
    tachograph.record_llm_call("m", 7, 3, error=error)
    with tachograph.tool("t") as call:
        call.failed(error)

    assert [("error", kind)] * 2 == [(record.outcome, record.error_type) for record in operations(recorded)]
    assert 10 == recorded.ledger.total().total_tokens
