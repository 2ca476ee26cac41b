"""Approvals: one record of request and decision, whoever decides, wherever and in whatever order."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace

import tachograph
from tachograph import events, names
from tachograph.approvals import decision_of
from tachograph.records import Event, Operation
from tachograph.sources import open_source
from tachograph.testing import Capture, TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = 1_000


class HandClock(TickingClock):
    """A ticking clock that a test can put forward."""

    ahead_ns = 0

    def __call__(self) -> int:
        return super().__call__() + self.ahead_ns


@pytest.fixture
def clock() -> HandClock:
    """The clock of ``recorded``."""
    return HandClock()


@pytest.fixture
def recorded(clock: HandClock) -> Iterator[Capture]:
    """Everything recorded, and at the end what spans say is what the ledger has, but for what is never sent."""
    with capture(clock=clock) as captured:
        yield captured
        local = {name for name, row in names.ATTRIBUTES.items() if row.local}

        def sent(record: Any) -> Any:
            if isinstance(record, Event):
                return record._replace(payload={})
            return record._replace(attributes={k: v for k, v in record.attributes.items() if k not in local})

        written, read = (
            {record.id: sent(record) for record in each.records()} for each in (captured.ledger, captured.spans_only)
        )
        pending = {record.id for record in captured.runtime.approvals.under_way()}
        ended = {id_ for id_, record in written.items() if isinstance(record, Operation) and id_ not in pending}
        assert {id_: written[id_] for id_ in ended} == {id_: read[id_] for id_ in ended & read.keys()}
        assert {id_: read[id_] for id_ in read} == {id_: written[id_] for id_ in read}


def approval(captured: Capture) -> Operation:
    """The one approval there is."""
    (found,) = [r for r in captured.ledger.records() if isinstance(r, Operation) and r.kind == "approval"]
    return found


def test_an_edit_is_one_record(recorded: Capture, clock: HandClock) -> None:
    """Request, decision, both versions, who and how long are one record, one span and one row of the list."""
    with tachograph.session("s", user_id="ada"), tachograph.agent("coder"):
        asked = tachograph.request_approval(
            tool_name="write_file",
            arguments={"path": "a.py", "mode": "w", "text": "x"},
            reason="it writes",
            timeout_seconds=60,
            call_id="call_1",
        )
        clock.ahead_ns += 5_000_000_000
        asked.decide("EDIT", modified_arguments={"path": "b.py", "mode": "w", "owner": "me"}, decided_by="bob")
        with tachograph.tool("write_file", call_id="call_1"):
            pass

    (row,) = tachograph.approvals()
    execution = row.pop("execution")
    assert execution["outcome"] == "ok"
    digests = row.pop("arguments_digest"), row.pop("modified_digest")
    assert [64, 64] == [len(digest) for digest in digests]
    moments = row.pop("requested_at"), row.pop("decided_at")
    assert moments[0] < moments[1] <= execution["started_at"]
    assert row == {
        "id": asked.id,
        "call_id": "call_1",
        "tool_name": "write_file",
        "session_id": "s",
        "correlation_id": approval(recorded).correlation_id,
        "user_id": "ada",
        "agent": "coder",
        "status": "EDIT",
        "reason": "it writes",
        "timeout_seconds": 60.0,
        "waiting_ms": row["waiting_ms"],
        "decided_by": "bob",
        "late_decision": None,
        "arguments": {"path": "a.py", "mode": "w", "text": "x"},
        "modified_arguments": {"path": "b.py", "mode": "w", "owner": "me"},
        "changes": {
            "added": {"owner": "me"},
            "removed": {"text": "x"},
            "changed": {"path": {"from": "a.py", "to": "b.py"}},
        },
        "argument_names": ["path", "mode", "text"],
    }
    assert 5_000 < row["waiting_ms"] < 5_010

    (span,) = [span for span in recorded.spans if span.name == "approval write_file"]
    (run,) = [span for span in recorded.spans if span.name == "invoke_agent coder"]
    assert (span.end_time - span.start_time) / 1_000_000 == row["waiting_ms"]
    assert span.parent.span_id == run.context.span_id
    assert span.status.status_code is trace.StatusCode.UNSET
    assert {
        names.APPROVAL_DECISION: "EDIT",
        names.APPROVAL_BY: "bob",
        names.APPROVAL_NAMES: ("path", "mode", "text"),
        names.APPROVAL_EDITED_NAMES: ("owner", "path", "text"),
    }.items() <= span.attributes.items()
    hitl = recorded.ledger.session_metrics("s").hitl["write_file"]
    assert {"APPROVE": 0, "EDIT": 1, "REJECT": 0, "EXPIRED": 0, "pending": 0} == hitl
    assert [
        "tool_approval_required",
        "hitl_approval_requested",
        "hitl_decision_made",
    ] == [entry["event_type"] for entry in recorded.ledger.audit_log(critical=True)]


def test_nothing_of_the_arguments_leaves(recorded: Capture) -> None:
    """With content off the arguments are in the local record, without credentials, and nowhere else."""
    secret = "canary-text"  # noqa: S105 - it is none
    asked = tachograph.request_approval(tool_name="send", arguments={"body": secret, "password": "hunter22"})
    asked.decide("EDIT", modified_arguments={"body": secret + "!", "token": "hunter33"})
    everything = [
        *(json.dumps(dict(span.attributes or {}), default=str) for span in recorded.spans),
        *(json.dumps(dict(copy.attributes or {}), default=str) for span in recorded.spans for copy in span.events),
        *(json.dumps(dict(log.log_record.attributes or {}), default=str) for log in recorded.logs),
        str(recorded.points()),
    ]
    assert [] == [text for text in everything if secret in text or "hunter" in text]
    (row,) = tachograph.approvals()
    assert ({"body": secret, "password": "[redacted]"}, {"body": secret + "!", "token": "[redacted]"}) == (
        row["arguments"],
        row["modified_arguments"],
    )


def test_a_decision_is_found_by_its_call_id(recorded: Capture) -> None:
    """Another thread, in no session, decides by the call id alone; the record is the one that was asked for."""
    with tachograph.session("s"):
        tachograph.request_approval(tool_name="drop", call_id="call_1")
    thread = threading.Thread(target=tachograph.decide, args=("call_1", "reject"))
    thread.start()
    thread.join()
    assert ("s", "REJECT") == (
        approval(recorded).session_id,
        approval(recorded).attributes[names.APPROVAL_DECISION],
    )


def test_an_event_of_a_decision_is_the_decision(recorded: Capture) -> None:
    """``hitl_decision_made`` decides what was asked for, from outside of its session too."""
    with tachograph.session("s"):
        events.tool_approval_required("drop", "call_1", arguments={"table": "users"})
        events.hitl_approval_requested("call_1", "drop", reason="it deletes")
    events.hitl_decision_made("call_1", "APPROVE", decided_by="ada")
    record = approval(recorded)
    assert ("s", "drop", "it deletes", "APPROVE", "ada") == (
        record.session_id,
        record.name,
        *(record.attributes[name] for name in (names.APPROVAL_REASON, names.APPROVAL_DECISION, names.APPROVAL_BY)),
    )


def test_a_call_id_means_the_session_that_is_said(recorded: Capture) -> None:
    """Where call ids repeat the session said counts, then the one the caller is in, then the newest."""
    for session_id in ("a", "b", "c", "d"):
        with tachograph.session(session_id):
            tachograph.request_approval(tool_name="t", call_id="call_1")
    tachograph.decide("call_1", "APPROVE", session_id="b")
    with tachograph.session("a"):
        tachograph.decide("call_1", "APPROVE")
    tachograph.decide("call_1", "APPROVE")
    assert ["c"] == [row["session_id"] for row in tachograph.approvals(pending=True)]
    tachograph.decide("call_1", "REJECT", session_id="nobody")
    assert ["c"] == [row["session_id"] for row in tachograph.approvals(pending=True)]
    assert ["REJECT"] == [row["status"] for row in tachograph.approvals(session_id="nobody")]


def test_a_decision_that_nobody_asked_for_is_kept(recorded: Capture) -> None:
    """A decision on an unknown call id is a record of its own, with what it says of the request."""
    events.hitl_decision_made("call_9", "EDIT", tool_name="drop", original_args={"a": 1}, modified_args={"a": 2})
    (row,) = tachograph.approvals()
    assert ("call_9", "drop", "EDIT", {"a": 1}, {"a": 2}) == tuple(
        row[name] for name in ("call_id", "tool_name", "status", "arguments", "modified_arguments")
    )


def test_a_decision_by_an_unknown_id_is_told(recorded: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """Who decides by an id that nobody asked under is told: it may be misspelt, or asked in a store not looked into."""
    assert tachograph.decide("call_9", "APPROVE")
    (line,) = caplog.messages
    assert "approval of call 'call_9': nobody is known to have asked for it in this process, and no store" in line
    assert "this APPROVE is kept, but nobody waits for it" in line
    caplog.clear()
    events.hitl_decision_made("call_10", "REJECT", tool_name="drop")
    assert [] == caplog.messages


def test_asked_twice_is_asked_once(recorded: Capture) -> None:
    """Requests of the same call id are one approval while it is pending, and tell more of it; later it is another."""
    first = tachograph.request_approval(tool_name="drop", call_id="c")
    second = tachograph.request_approval(tool_name="drop", call_id="c", reason="it deletes", arguments={"a": 1})
    assert first.id == second.id
    second.decide("APPROVE")
    third = tachograph.request_approval(tool_name="drop", call_id="c")
    assert third.id != first.id
    assert {"hitl_approval_requested": 2, "hitl_decision_made": 1, "tool_approval_required": 2} == Counter(
        entry["event_type"] for entry in recorded.ledger.audit_log()
    )
    assert ["it deletes", None] == [row["reason"] for row in tachograph.approvals()]
    third.decide("REJECT")


def test_what_is_decided_stays_so(recorded: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """Who decides what was decided already, by the approval or by its call id, is told; nothing counts twice."""
    with tachograph.session("s"):
        asked = tachograph.request_approval(tool_name="drop", call_id="c")
    assert [True, False, False] == [
        asked.decide("REJECT", decided_by="ada"),
        asked.decide("APPROVE", decided_by="bob"),
        tachograph.decide("c", "EDIT"),
    ]
    assert [("REJECT", "ada")] == [(row["status"], row["decided_by"]) for row in tachograph.approvals()]
    assert {"APPROVE": 0, "EDIT": 0, "REJECT": 1, "EXPIRED": 0, "pending": 0} == (
        recorded.ledger.session_metrics("s").hitl["drop"]
    )
    assert 1 == len(recorded.ledger.audit_log(event_type="hitl_decision_made"))
    (line, _) = caplog.messages
    assert "approval of call 'c' in session 's': was decided already (REJECT by ada, " in line
    assert "this APPROVE changes nothing" in line


def test_of_those_who_decide_at_once_one_does(recorded: Capture) -> None:
    """Several threads decide on the same call at the same moment: one of them is told that it did, and is recorded."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(40):
            tachograph.request_approval(tool_name="write_file", call_id=f"c-{number}")
            together, told = threading.Barrier(4), list[bool]()

            def decide(word: str, call_id: str, together: threading.Barrier, told: list[bool]) -> None:
                together.wait()
                told.append(tachograph.decide(call_id, word))

            threads = [
                threading.Thread(target=decide, args=(word, f"c-{number}", together, told))
                for word in ("APPROVE", "REJECT", "APPROVE", "REJECT")
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [False, False, False, True] == sorted(told)
    finally:
        sys.setswitchinterval(interval)

    hitl = recorded.ledger.total().hitl
    assert ["write_file"] == list(hitl)
    assert 40 == hitl["write_file"]["APPROVE"] + hitl["write_file"]["REJECT"]


def test_time_that_is_up_is_expired(recorded: Capture, clock: HandClock) -> None:
    """An approval nobody decided in time is expired when looked at, and by a late decision, which is kept."""
    with tachograph.session("s"):
        late = tachograph.request_approval(tool_name="drop", call_id="late", timeout_seconds=10)
    assert "pending" == tachograph.approvals()[0]["status"]
    clock.ahead_ns += 11_000_000_000
    assert "EXPIRED" == tachograph.approvals()[0]["status"]
    assert not late.decide("APPROVE", decided_by="ada")
    (row,) = tachograph.approvals()
    assert ("EXPIRED", "APPROVE", "ada") == (row["status"], row["late_decision"], row["decided_by"])
    assert 1 == recorded.ledger.session_metrics("s").hitl["drop"]["EXPIRED"]
    (entry,) = recorded.ledger.audit_log(event_type="hitl_decision_made")
    assert ("APPROVE", True) == (entry["decision"], entry["late"])


def test_a_pause_is_no_error(recorded: Capture) -> None:
    """A run that stops for a human, and its session, have no error, and wait."""
    with tachograph.session("s"):
        with tachograph.agent("a") as run:
            tachograph.request_approval(tool_name="t", call_id="c")
            run.outcome("waiting")
        metrics = recorded.ledger.session_metrics("s")
        assert ("waiting", 0, {"waiting": 1}, {}) == (
            metrics.status,
            metrics.errors,
            metrics.outcomes,
            metrics.errors_by_agent,
        )
        tachograph.decide("c", "APPROVE")
    assert "idle" == recorded.ledger.session_metrics("s").status


def test_the_call_that_asks_is_the_call_that_runs(recorded: Capture) -> None:
    """A tool that asks from within, and goes on, is the execution the decision allowed."""
    with tachograph.tool("drop", call_id="c") as call:
        tachograph.request_approval(tool_name="drop", call_id="c").decide("APPROVE")
    assert call.id == tachograph.approvals()[0]["execution"]["id"]


def test_a_decision_after_its_trace_has_ended_says_nothing_in_the_hosts_log(
    recorded: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """A span that ended long ago is not written to."""
    with tachograph.agent("a"):
        asked = tachograph.request_approval(tool_name="t", call_id="c")
    caplog.clear()
    asked.decide("APPROVE")
    assert [] == caplog.messages


@pytest.mark.parametrize(
    "arguments",
    [
        {1: "a", "b": {2, 3}},
        {"x": math.nan, "y": 10**400, "z": "\ud800"},
        {"deep": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]},
        {"object": object(), "bytes": b"\xff"},
        "not even a table",
        [1, 2],
    ],
)
def test_any_arguments_can_be_asked_about(recorded: Capture, arguments: Any) -> None:
    """Whatever the arguments are, the request and the decision are recorded."""
    tachograph.request_approval(tool_name="t", arguments=arguments, call_id="c").decide(
        "EDIT", modified_arguments=arguments
    )
    (row,) = tachograph.approvals()
    assert ("EDIT", {}, row["arguments_digest"]) == (row["status"], row["changes"], row["modified_digest"])


def test_arguments_that_hold_themselves_can_be_asked_about(recorded: Capture) -> None:
    """A table that is its own part ends where it is too deep."""
    table: dict[str, Any] = {}
    table["self"] = table
    tachograph.request_approval(tool_name="t", arguments=table, call_id="c").decide("APPROVE")
    assert ["APPROVE"] == [row["status"] for row in tachograph.approvals()]


@pytest.mark.parametrize("call_id", [7, "x" * 500, " c\n"])
def test_any_id_finds_its_approval(recorded: Capture, call_id: Any) -> None:
    """Call ids are cleaned alike when asking and when deciding."""
    tachograph.request_approval(tool_name="t", call_id=call_id)
    tachograph.decide(call_id, "APPROVE")
    assert ["APPROVE"] == [row["status"] for row in tachograph.approvals()]


def test_a_child_process_has_nothing_pending(recorded: Capture) -> None:
    """After a fork what was asked for is the parent's."""
    asked = tachograph.request_approval(tool_name="t", call_id="c")
    pending = dict(recorded.runtime.approvals._asked)
    recorded.runtime.approvals.after_fork()
    assert [] == recorded.runtime.approvals.under_way()
    recorded.runtime.approvals._asked.update(pending)
    asked.decide("APPROVE")


def test_whoever_hears_of_a_question_finds_it_in_the_store(tmp_path: Path) -> None:
    """When the question has been put it is stored, whenever else is; who decides at once elsewhere decides on it."""
    with capture(store=str(tmp_path / "s.db"), store_debounce=60) as captured, tachograph.session("s"):
        asked = tachograph.request_approval(tool_name="t", call_id="c-1")
        with contextlib.closing(open_source(tmp_path / "s.db")) as elsewhere:
            assert ["c-1"] == [row["call_id"] for row in tachograph.approvals(source=elsewhere)]
            events.tool_approval_required("t", "c-2")
            assert ["c-1", "c-2"] == [row["call_id"] for row in tachograph.approvals(source=elsewhere)]
        asked.decide("APPROVE")
        assert {"APPROVE": 1, "pending": 1} == {
            word: count for word, count in captured.ledger.session_metrics("s").hitl["t"].items() if count
        }


@pytest.mark.parametrize(
    ("given", "expected"), [("approve", "APPROVE"), ("Edit", "EDIT"), ("maybe", None), (None, None), (3, None)]
)
def test_a_decision_is_one_of_three_words(given: Any, expected: str | None) -> None:
    """A decision is said in any case; another word is none."""
    assert expected == decision_of(given)


# ----------------------------------------------------------------------------------------------------------- the law
_acts = st.lists(
    st.tuples(st.sampled_from(["ask", "require", "request", "APPROVE", "EDIT", "REJECT"]), st.integers(0, 2)),
    max_size=12,
)


@settings(max_examples=60)
@given(_acts)
def test_in_whatever_order_each_decision_is_one_approval(acts: list[tuple[str, int]]) -> None:
    """Each request is decided once, each decision nobody asked for counts too, and all writings count the same."""
    expected: Counter[str] = Counter()
    open_: set[str] = set()
    settled: set[str] = set()
    with capture(clock=TickingClock()) as captured, tachograph.session("s"):
        for what, number in acts:
            call_id = f"call_{number}"
            if what == "ask":
                tachograph.request_approval(tool_name="t", call_id=call_id)
                open_.add(call_id)
            elif what == "require":
                events.tool_approval_required("t", call_id)
                open_.add(call_id)
            elif what == "request":
                events.hitl_approval_requested(call_id, "t")
                open_.add(call_id)
            else:
                events.hitl_decision_made(call_id, what, tool_name="t")
                expected[what] += call_id not in settled
                settled |= {call_id} & open_
                open_.discard(call_id)
            settled -= open_
        decided = +expected
        expected = decided + Counter(pending=len(open_))
        hitl = captured.ledger.session_metrics("s").hitl.get("t", {})
        assert expected == {word: count for word, count in hitl.items() if count}
        assert expected == Counter(row["status"] for row in tachograph.approvals())
        assert decided == {
            word: count for word, count in captured.spans_only.session_metrics("s").hitl.get("t", {}).items() if count
        }
        assert sum(decided.values()) == len([span for span in captured.spans if span.name == "approval t"])
