"""Who did, asked and decided what, in order, with the same ids at every reading."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import (
    MILLISECOND,
    MOMENT,
    SESSIONS,
    History,
    event,
    histories,
    identifier,
    ledger_of,
    opened,
    operation,
)
from tachograph import names
from tachograph.times import moment
from tachograph.views.audit import audit_view, entries, is_critical, types_of

HEAD = {
    "timestamp",
    "event_type",
    "event_id",
    "session_id",
    "correlation_id",
    "trace_id",
    "span_id",
    "critical",
}
TRACE = f"{7:032x}"

AGENT = operation(
    1,
    "agent",
    "coder",
    at=0,
    took=90,
    outcome="error",
    error_type="ValueError",
    error_message="no such file",
    trace_id=TRACE,
    attributes={
        names.SWITCH_FROM: "manager",
        names.SWITCH_TO: "coder",
        names.SWITCH_REASON: "needs code",
        names.RECOVERED: ("ParsingError",),
    },
)
MODEL = operation(
    2,
    at=10,
    took=20,
    attributes={
        names.REQUEST_MESSAGES: 3,
        names.REQUEST_TOOLS: 2,
        names.INPUT_TOKENS: 100,
        names.OUTPUT_TOKENS: 10,
        names.RESPONSE_TOOL_CALLS: 1,
    },
)
FAILED_MODEL = operation(3, at=31, outcome="error", error_type="RateLimitError", error_message="slow down")
TOOL = operation(4, "tool", "search", at=40, took=5, agent="coder", attributes={names.TOOL_CALL_ID: "call_1"})
FAILED_TOOL = operation(
    5, "tool", "search", at=50, took=5, outcome="error", error_type="KeyError", error_message="'x'", agent="coder"
)
REFUSED_TOOL = operation(
    6,
    "tool",
    "drop_table",
    at=60,
    took=0,
    outcome="refused",
    error_type="AgentToolExecutionError",
    error_message="unknown tool",
)
CALL = {"tool_name": "search", "call_id": "call_1"}
NO_ID = {"tool_name": "search", "call_id": None}
REFUSED = {"tool_name": "drop_table", "call_id": None, "agent": None}


def seen(*records: Any, **filters: Any) -> list[tuple[str, dict[str, Any]]]:
    """Type and payload of each entry."""
    return [
        (entry["event_type"], {name: value for name, value in entry.items() if name not in HEAD})
        for entry in audit_view(records, **filters)
    ]


def types(*records: Any, **filters: Any) -> list[str]:
    return [entry["event_type"] for entry in audit_view(records, **filters)]


# ------------------------------------------------------------------------------------------------ derived entries
def test_what_an_agent_run_leaves() -> None:
    """Task around switch around processing; the error comes before the end it explains."""
    run = {"agent_type": "coder"}
    task = {"task_id": identifier(1), **run}
    assert seen(AGENT) == [
        ("task_started", task),
        ("agent_switched", {"from_agent": "manager", "to_agent": "coder", "reason": "needs code"}),
        ("agent_processing_started", run),
        (
            "agent_error",
            {**run, "error_type": "ValueError", "error_message": "no such file", "handed_up": False},
        ),
        (
            "agent_processing_completed",
            {**run, "duration_ms": 90, "success": False, "outcome": "error", "recovered_errors": ["ParsingError"]},
        ),
        ("task_completed", {**task, "status": "error"}),
    ]


def test_a_nested_run_is_no_task() -> None:
    """An agent run inside another one starts and completes no task of its own."""
    nested = operation(1, "agent", "coder", attributes={names.NESTED: True})
    assert types(nested) == ["agent_processing_started", "agent_processing_completed"]


def test_a_failure_handed_up_says_so() -> None:
    """The layers that a failure passes through are told from the run it began in."""
    run = operation(1, "agent", "manager", outcome="error", attributes={names.HANDED_UP: True})
    assert [entry["handed_up"] for entry in audit_view([run], event_type="agent_error")] == [True]


def test_what_a_model_call_leaves() -> None:
    """The request says what was sent, the completion what it used and whether tools were asked for."""
    assert seen(MODEL) == [
        ("llm_request_started", {"model": "gpt-4.1", "messages_count": 3, "tools_count": 2}),
        (
            "llm_request_completed",
            {
                "model": "gpt-4.1",
                "duration_ms": 20,
                "prompt_tokens": 100,
                "completion_tokens": 10,
                "total_tokens": 110,
                "has_tool_calls": True,
                "outcome": "ok",
            },
        ),
    ]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, (None, None, None, False)),
        ({names.INPUT_TOKENS: 3}, (3, None, 3, False)),
        ({names.OUTPUT_TOKENS: 0}, (None, 0, 0, False)),
    ],
)
def test_tokens_nobody_reported_are_none(attributes: dict[str, int], expected: tuple[Any, ...]) -> None:
    """Unknown usage is None in the log, not 0."""
    completed = audit_view([operation(1, attributes=attributes)])[-1]
    assert expected == tuple(
        completed[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens", "has_tool_calls")
    )


def test_what_a_failed_model_call_leaves() -> None:
    """A failed request has its error, and no completion."""
    assert seen(FAILED_MODEL) == [
        ("llm_request_started", {"model": "gpt-4.1", "messages_count": None, "tools_count": None}),
        ("llm_request_failed", {"model": "gpt-4.1", "error": "slow down", "error_type": "RateLimitError"}),
    ]


def test_what_a_tool_call_leaves() -> None:
    """Requested, started, completed: by its name, its call and the agent that asked."""
    assert seen(TOOL) == [
        ("tool_execution_requested", {**CALL, "agent": "coder"}),
        ("tool_execution_started", CALL),
        ("tool_execution_completed", {**CALL, "duration_ms": 5}),
    ]


def test_what_a_failed_tool_call_leaves() -> None:
    """A call that ran and did not succeed failed, with the error and the outcome."""
    assert seen(FAILED_TOOL)[2:] == [
        (
            "tool_execution_failed",
            {**NO_ID, "duration_ms": 5, "error_type": "KeyError", "error": "'x'", "outcome": "error"},
        )
    ]


def test_what_a_refused_tool_call_leaves() -> None:
    """A call that never ran was requested and nothing else, and the request says why it was refused."""
    assert seen(REFUSED_TOOL) == [
        (
            "tool_execution_requested",
            {**REFUSED, "refused": True, "error_type": "AgentToolExecutionError", "error": "unknown tool"},
        )
    ]


def test_a_waiting_tool_call_has_not_run() -> None:
    """A call that waits for a human was requested and not started."""
    assert types(operation(1, "tool", "search", outcome="waiting")) == ["tool_execution_requested"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (AGENT, ["task_started", "agent_switched", "agent_processing_started"]),
        (MODEL, ["llm_request_started"]),
        (TOOL, ["tool_execution_requested", "tool_execution_started"]),
    ],
)
def test_what_is_under_way_has_started(record: Any, expected: list[str]) -> None:
    """An open operation leaves the entries of its start, and they stay the same when it has ended."""
    begun = opened(record)
    assert types(begun) == expected
    if record is not TOOL:
        assert audit_view([begun]) == audit_view([record])[: len(expected)]


@pytest.mark.parametrize("kind", ["plan", "code", "approval", "other"])
def test_other_operations_leave_no_entry(kind: Any) -> None:
    """Only tasks, agent runs, model calls and tool calls have entries of their own."""
    assert types(operation(1, kind, "x")) == []


def test_a_task_is_started_and_completed() -> None:
    """A task has an entry for its start and one for its end, with its own id and what was noted of it."""
    facts = {
        names.TASK_ID: "t1",
        names.TASK_DESCRIPTION: "tidy up",
        names.TASK_CATEGORY: "cleaning",
        names.CODE_CHANGES: '{"files_changed":1}',
        names.ENVIRONMENT: '{"os_type":"Linux"}',
    }
    started, completed = audit_view([operation(1, "task", "chores", took=2_000, outcome="error", attributes=facts)])
    known = {"task_id": "t1", "task_name": "chores", "description": "tidy up"}
    assert {"event_type": "task_started", **known, "sop_category": "cleaning"}.items() <= started.items()
    assert {
        "event_type": "task_completed",
        **known,
        "status": "error",
        "duration_ms": 2_000.0,
        "code_changes": {"files_changed": 1},
        "environment": {"os_type": "Linux"},
    }.items() <= completed.items()


@given(histories())
def test_a_record_gives_no_entries_but_of_its_types(history: History) -> None:
    """What the types of a record are said to be covers every entry it gives, open or ended."""
    for record in history.live():
        assert {entry["event_type"] for *_, entry in entries(record)} <= types_of(record)


# ------------------------------------------------------------------------------------------------ emitted entries
def test_an_event_is_an_entry_with_its_payload() -> None:
    """The head is the event's own, and no payload can pose as it."""
    happened = event(
        1,
        "threshold_exceeded",
        inside=5,
        limit=10,
        event_id="forged",
        timestamp="1970-01-01T00:00:00Z",
        critical=False,
        span_id="forged",
    )
    assert audit_view([happened]) == [
        {
            "timestamp": "2026-01-17T13:00:00Z",
            "event_type": "threshold_exceeded",
            "event_id": "event-1",
            "session_id": "s",
            "correlation_id": "r",
            "trace_id": None,
            "span_id": identifier(5),
            "critical": True,
            "limit": 10,
        }
    ]


def test_a_type_nobody_knows_is_an_entry_all_the_same() -> None:
    """What a newer version recorded is shown, as not critical and of no category."""
    newer = event(1, "moon_landed", by="ada")

    assert [("moon_landed", False, "ada")] == [(e["event_type"], e["critical"], e["by"]) for e in audit_view([newer])]
    assert [] == audit_view([newer], category="system")


def test_the_newest_are_found_without_reading_on() -> None:
    """Of records that come latest first, no more are taken than the newest entries need."""
    records = iter([operation(number, at=-2_000 * number) for number in range(10)])

    assert 3 == len(audit_view(records, limit=3, newest_first=True))
    assert 7 == len(list(records))


def test_every_entry_has_the_whole_head() -> None:
    """Moment, type, id, session, request, trace and span are on every entry, and whether it is critical."""
    entries = audit_view([AGENT, MODEL, TOOL, event(1, "message_added")])
    assert all(entry.keys() >= HEAD for entry in entries)
    assert {(TRACE, identifier(1))} == {
        (entry["trace_id"], entry["span_id"]) for entry in entries if entry["event_id"].startswith(identifier(1))
    }
    assert {(None, None)} == {
        (entry["trace_id"], entry["span_id"]) for entry in entries if entry["event_id"].startswith(identifier(2))
    }


# ---------------------------------------------------------------------------------------------------------- order
def test_entries_of_one_moment_are_in_the_order_of_what_they_mean() -> None:
    """What took no time at all still starts before it ends, around what is inside it."""
    run = operation(
        1, "agent", "coder", took=0, outcome="error", error_type="E", attributes={names.SWITCH_FROM: "manager"}
    )
    assert types(run) == [
        "task_started",
        "agent_switched",
        "agent_processing_started",
        "agent_error",
        "agent_processing_completed",
        "task_completed",
    ]
    for outcome, last in (("ok", "tool_execution_completed"), ("error", "tool_execution_failed")):
        inner = operation(2, "tool", "search", took=0, outcome=outcome)  # type: ignore[arg-type]
        assert types(inner) == ["tool_execution_requested", "tool_execution_started", last]
        assert types(inner, run)[-4:] == [last, "agent_error", "agent_processing_completed", "task_completed"]
    assert types(operation(3, took=0)) == ["llm_request_started", "llm_request_completed"]


@settings(max_examples=100)
@given(histories())
def test_entries_are_in_the_order_of_their_moments_and_their_ids_are_their_own(history: History) -> None:
    """Oldest first, every id once, and no operation ends before it starts."""
    entries = ledger_of(history.last()).audit_log()
    moments = [moment(entry["timestamp"]) for entry in entries]
    assert sorted(moments) == moments
    ids = [entry["event_id"] for entry in entries]
    assert len(ids) == len(set(ids))
    order = {
        "task_started": 0,
        "agent_switched": 1,
        "agent_processing_started": 2,
        "agent_error": 3,
        "agent_processing_completed": 4,
        "task_completed": 5,
        "llm_request_started": 0,
        "llm_request_completed": 1,
        "llm_request_failed": 1,
        "tool_execution_requested": 0,
        "tool_execution_started": 1,
        "tool_execution_completed": 2,
        "tool_execution_failed": 2,
    }
    for work in history.works:
        own = [order[entry["event_type"]] for entry in entries if entry["event_id"].startswith(f"{work.last.id}:")]
        assert sorted(own) == own


def test_ids_of_derived_entries_come_from_the_operation() -> None:
    """Two readings of the same records, also while it is open and when it has ended, give the same ids."""
    expected = [f"{identifier(2)}:llm_request_started", f"{identifier(2)}:llm_request_completed"]
    assert [entry["event_id"] for entry in audit_view([MODEL])] == expected
    assert [entry["event_id"] for entry in audit_view([opened(MODEL)])] == expected[:1]


# -------------------------------------------------------------------------------------------------------- filters
EVERYTHING = [
    AGENT,
    MODEL,
    FAILED_MODEL,
    TOOL,
    FAILED_TOOL,
    REFUSED_TOOL,
    operation(7, at=70, session="t", request="q"),
    event(8, "message_added", at=80),
    event(9, "threshold_exceeded", at=85, session="t", request=None),
    event(10, "hitl_decision_made", at=86),
]


@settings(max_examples=200)
@given(
    session_id=st.sampled_from([None, "s", "t", "x"]),
    event_type=st.none() | st.sampled_from(sorted(names.EVENTS)),
    category=st.sampled_from([None, "session", "agent", "llm", "tool", "hitl", "task", "system"]),
    correlation_id=st.sampled_from([None, "r", "q", "x"]),
    critical=st.sampled_from([None, True, False]),
    since_ms=st.none() | st.integers(-5, 1_100),
    limit=st.none() | st.integers(0, 40),
)
def test_filters_choose_from_the_whole_log(
    session_id: str | None,
    event_type: str | None,
    category: str | None,
    correlation_id: str | None,
    critical: bool | None,  # noqa: FBT001 - Hypothesis gives it by name
    since_ms: int | None,
    limit: int | None,
) -> None:
    """Filters together leave the entries that each of them leaves, in the same order; a limit the newest of those."""
    since_ns = None if since_ms is None else MOMENT + since_ms * MILLISECOND
    chosen = audit_view(
        EVERYTHING,
        session_id=session_id,
        event_type=event_type,
        category=category,
        correlation_id=correlation_id,
        critical=critical,
        since_ns=since_ns,
        limit=limit,
    )
    expected = [
        entry
        for entry in audit_view(EVERYTHING)
        if session_id in (None, entry["session_id"])
        and event_type in (None, entry["event_type"])
        and category in (None, names.EVENTS[entry["event_type"]][0])
        and correlation_id in (None, entry["correlation_id"])
        and critical in (None, entry["critical"])
        and (since_ns is None or moment(entry["timestamp"]) >= since_ns)
    ]
    assert chosen == (expected if limit is None else expected[-limit:] if limit else [])


@pytest.mark.parametrize("limit", [0, 1, 3, 10_000])
def test_a_limit_leaves_the_newest(limit: int) -> None:
    """Of more entries than the limit the newest are given, oldest of them first."""
    entries = audit_view(EVERYTHING)
    assert audit_view(EVERYTHING, limit=limit) == entries[max(0, len(entries) - limit) :]


def test_critical_entries_are_those_of_the_table() -> None:
    """Switches, errors, approvals, decisions, deletions and exceeded thresholds are critical, all else is not."""
    assert {
        "session_deleted",
        "agent_error",
        "agent_switched",
        "tool_approval_required",
        "hitl_approval_requested",
        "hitl_decision_made",
        "threshold_exceeded",
    } == {event_type for event_type, (_, critical) in names.EVENTS.items() if critical}
    happened = [event(n, event_type) for n, event_type in enumerate(names.EVENTS)]
    assert {entry["event_type"]: entry["critical"] for entry in audit_view(happened)} == {
        event_type: critical for event_type, (_, critical) in names.EVENTS.items()
    }


@pytest.mark.parametrize(
    "since",
    [
        "2026-01-17T13:00:00.031Z",
        "2026-01-17T14:00:00.031+01:00",
        datetime(2026, 1, 17, 13, 0, 0, 31_000, tzinfo=timezone.utc),
        1_768_654_800.031,
    ],
)
def test_since_may_be_said_in_every_way(since: Any) -> None:
    """Text, datetime and seconds mean the same moment; the entry of that very moment is in."""
    log = ledger_of(EVERYTHING).audit_log(since=since, category="llm")
    assert [entry["event_id"][:16] for entry in log if entry["event_type"] == "llm_request_started"] == [
        identifier(3),
        identifier(7),
    ]


@settings(max_examples=100)
@given(histories(), st.data())
def test_an_entry_is_since_its_own_timestamp(history: History, data: st.DataObject) -> None:
    """Asking for what came since an entry's own timestamp gives that entry and all after it."""
    ledger = ledger_of(history.last())
    entries = ledger.audit_log()
    if entries:
        index = data.draw(st.integers(0, len(entries) - 1))
        later = ledger.audit_log(since=entries[index]["timestamp"])
        assert entries[len(entries) - len(later) :] == later
        assert len(entries) - index <= len(later)


@pytest.mark.parametrize(
    ("filters", "value", "choices"),
    [
        ({"event_type": "agent_switch"}, "'agent_switch'", list(names.EVENTS)),
        ({"event_type": ""}, "''", list(names.EVENTS)),
        ({"category": "tools"}, "'tools'", ["agent", "hitl", "llm", "session", "system", "task", "tool"]),
        ({"limit": -1}, "-1", ["a whole number from 0 up"]),
        ({"limit": "10"}, "'10'", ["a whole number from 0 up"]),
        ({"limit": 2.5}, "2.5", ["a whole number from 0 up"]),
        ({"limit": True}, "True", ["a whole number from 0 up"]),
        ({"since": "yesterday"}, "'yesterday'", ["2026-01-17T13:00:00Z"]),
        ({"since": float("nan")}, "nan", ["seconds since the epoch"]),
    ],
)
def test_a_filter_that_is_none_is_refused(filters: dict[str, Any], value: str, choices: list[str]) -> None:
    """A type, category, moment or limit that is none raises ValueError with the value and what there is."""
    with pytest.raises(ValueError, match=re.escape(value)) as refused:
        ledger_of([]).audit_log(**filters)
    assert [choice for choice in choices if choice not in str(refused.value)] == []


# --------------------------------------------------------------------------------- the figures from the log alone
@settings(max_examples=200)
@given(histories())
def test_the_figures_of_a_session_can_be_had_from_its_audit_log(history: History) -> None:
    """Switches, tool calls, durations and errors counted in the log are those of the session view."""
    ledger = ledger_of(history.last())
    for session_id in SESSIONS:
        log = ledger.audit_log(session_id=session_id)
        metrics = ledger.session_metrics(session_id)

        def of_type(*event_types: str, log: list[dict[str, Any]] = log) -> list[dict[str, Any]]:
            return [entry for entry in log if entry["event_type"] in event_types]

        assert metrics.agent_switches == len(of_type("agent_switched"))
        assert metrics.switches == Counter(
            f"{entry['from_agent']}_to_{entry['to_agent']}" for entry in of_type("agent_switched")
        )
        assert metrics.tool_calls == len(of_type("tool_execution_requested"))
        assert metrics.agent_runs == len(of_type("agent_processing_started"))
        assert metrics.tasks == len(of_type("task_started"))
        outermost = {entry["task_id"] for entry in of_type("task_started")}
        assert metrics.processing_duration_ms == pytest.approx(
            sum(
                entry["duration_ms"]
                for entry in of_type("agent_processing_completed")
                if entry["event_id"].partition(":")[0] in outermost
            ),
            abs=0.01,
        )
        assert metrics.errors == sum(not entry["handed_up"] for entry in of_type("agent_error"))
        assert sum(sum(kinds.values()) for kinds in metrics.errors_by_agent.values()) == len(of_type("agent_error"))
        assert metrics.recovered_errors == sum(
            len(entry["recovered_errors"]) for entry in of_type("agent_processing_completed")
        )
        assert metrics.total_requests == len(of_type("llm_request_completed", "llm_request_failed"))
        assert metrics.active_requests == len(of_type("llm_request_started")) - metrics.total_requests
        assert sum(tool["completed"] for tool in metrics.tools.values()) == len(of_type("tool_execution_completed"))
        assert sum(tool["failed"] for tool in metrics.tools.values()) == len(of_type("tool_execution_failed"))
        assert sum(tool["refused"] for tool in metrics.tools.values()) == len(
            [entry for entry in of_type("tool_execution_requested") if entry.get("refused")]
        )


@given(histories())
def test_a_record_is_critical_if_one_of_its_entries_is(history):
    """What is said of a record without making its entries is what its entries say."""
    for record in history.last():
        assert any(entry["critical"] for *_, entry in entries(record)) == is_critical(record)
