"""A follower tells each entry once, late ones and those of long operations included."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import MILLISECOND, MOMENT, deliveries, event, histories, opened, operation
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.sources import follow
from tachograph.sources.follow import Follower

MINUTE = 60_000
"""In milliseconds, as the records of the tests are placed."""


def told(follower: Follower) -> list[str]:
    """What is new, by type."""
    return [entry["event_type"] for entry in follower.new()]


def test_what_is_there_is_told_only_as_far_as_asked_for():
    """The first reading gives the newest so many of what was there, the next ones only what has come since."""
    ledger = Ledger()
    ledger.apply(operation(1, "tool", "search"))
    ledger.apply(event(2, "threshold_exceeded", at=2_000))
    from_now, with_two, with_all = Follower(ledger), Follower(ledger, last=2), Follower(ledger, last=None)

    ledger.apply(event(3, "message_added", at=3_000))

    assert ["message_added"] == told(from_now)
    assert ["tool_execution_completed", "threshold_exceeded", "message_added"] == told(with_two)
    assert 5 == len(told(with_all))
    assert [] == told(from_now) == told(with_two) == told(with_all)


def test_an_empty_source_can_be_followed():
    """Where nothing is recorded yet, the first entries are told when they come."""
    ledger = Ledger()
    follower = Follower(ledger, last=10)
    assert [] == told(follower)

    ledger.apply(operation(1, "model"))

    assert ["llm_request_started", "llm_request_completed"] == told(follower)


def test_an_operation_under_way_is_told_in_two_parts():
    """What has begun is told at once, and its end when it comes."""
    ledger = Ledger()
    follower = Follower(ledger)
    call = operation(1, "tool", "search")

    ledger.apply(opened(call))
    assert ["tool_execution_requested", "tool_execution_started"] == told(follower)
    ledger.apply(call)
    assert ["tool_execution_completed"] == told(follower)


def test_the_start_of_a_long_operation_heard_of_at_its_end_is_told():
    """A source that hears of operations when they end tells their starts too, however long ago they were."""
    ledger = Ledger()
    ledger.apply(event(1, "message_added"))
    follower = Follower(ledger)

    ledger.apply(event(2, "message_added", at=10 * MINUTE))
    assert ["message_added"] == told(follower)
    ledger.apply(
        operation(
            3,
            "agent",
            "coder",
            at=MINUTE,
            took=9 * MINUTE,
            attributes={names.SWITCH_FROM: "boss", names.SWITCH_TO: "coder", names.NESTED: True},
        )
    )

    assert ["agent_switched", "agent_processing_started", "agent_processing_completed"] == told(follower)


def test_such_a_start_is_told_whatever_is_asked_for():
    """A filter that leaves out the end of a long operation does not hide what it began with."""
    ledger = Ledger()
    ledger.apply(event(1, "message_added"))
    critical, other = Follower(ledger, critical=True), Follower(ledger, critical=True, session_id="another")
    ledger.apply(event(2, "message_added", at=10 * MINUTE))
    assert [] == told(critical)

    switch = {names.SWITCH_FROM: "boss", names.NESTED: True}
    ledger.apply(operation(3, "agent", "coder", at=MINUTE, took=9 * MINUTE, attributes=switch))

    assert ["agent_switched"] == told(critical)
    assert [] == told(other)


def test_what_began_before_following_did_is_past():
    """The end of what was under way when following began is told; what else was in its request is not."""
    ledger = Ledger()
    run = operation(1, "agent", "boss", took=20 * MINUTE)
    ledger.apply(opened(run))
    ledger.apply(event(2, "message_added", at=10 * MINUTE))
    follower = Follower(ledger)

    ledger.apply(run)

    assert ["agent_processing_completed", "task_completed"] == told(follower)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"event_type": "message_added"}, ["message_added"]),
        ({"category": "tool"}, ["tool_execution_requested", "tool_execution_started", "tool_execution_completed"]),
        ({"critical": True}, ["threshold_exceeded"]),
        ({"session_id": "t"}, ["threshold_exceeded"]),
        ({"correlation_id": "q"}, ["message_added"]),
        ({"since": "2026-01-17T13:00:05Z"}, ["message_added", "threshold_exceeded"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_filters(filters, expected):
    """Only entries that were asked for are told, old and new alike."""
    records = (
        operation(1, "tool", "search"),
        event(2, "message_added", at=6_000, request="q"),
        event(3, "threshold_exceeded", at=7_000, session="t"),
    )
    ledger = Ledger()
    before = Follower(ledger, **filters)
    for record in records:
        ledger.apply(record)
    after = Follower(ledger, last=100, **filters)

    assert expected == told(before) == told(after)


@pytest.mark.parametrize(
    ("filters", "what"),
    [
        ({"event_type": "x"}, "event_type='x'"),
        ({"category": "x"}, "category='x'"),
        ({"since": "x"}, "'x' is no moment"),
    ],
)
def test_bad_filters_are_refused_at_once(filters, what):
    """A type, category or moment that is none is named when following begins, not later."""
    with pytest.raises(ValueError, match=what):
        Follower(Ledger(), **filters)


def test_a_clock_that_is_ahead_hides_nothing():
    """One entry from the future does not stop what happens now from being told."""
    ledger = Ledger()
    now = (time.time_ns() - MOMENT) / MILLISECOND
    ledger.apply(event(1, "threshold_exceeded", at=now + 1_000_000_000))
    follower = Follower(ledger)

    ledger.apply(event(2, "message_added", at=now))

    assert ["message_added"] == told(follower)


def test_memory_is_bounded_and_nothing_is_told_twice(monkeypatch):
    """More entries in a short time than are remembered are each told once all the same."""
    monkeypatch.setattr(follow, "MAX_REMEMBERED", 10)
    ledger = Ledger()
    follower = Follower(ledger)
    seen = []
    for number in range(100):
        ledger.apply(event(number, "message_added", at=number))
        if number % 7 == 0:
            seen += [entry["event_id"] for entry in follower.new()]
    seen += [entry["event_id"] for entry in follower.new()]

    assert [f"event-{number}" for number in range(100)] == seen
    assert len(follower._told) <= 10


@given(data=st.data(), history=histories())
def test_what_was_told_piece_by_piece_is_the_log(data, history):
    """In whatever order and pieces records arrive, the whole log was told in the end, and nothing twice.

    A tool call that turns out to wait for a human has not run: that it had started is told while it seemed so.
    """
    ledger = Ledger()
    follower = Follower(ledger)
    seen = []
    for record in data.draw(deliveries(history)):
        ledger.apply(record)
        if data.draw(st.booleans()):
            seen += follower.new()
    seen += follower.new()

    log, told_ids = {entry["event_id"] for entry in ledger.audit_log()}, [entry["event_id"] for entry in seen]
    assert set() == log - {*told_ids}
    assert len({*told_ids}) == len(told_ids)
    assert {"tool_execution_started"} >= {event_id.rpartition(":")[2] for event_id in {*told_ids} - log}
