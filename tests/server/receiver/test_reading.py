"""What requests tell of, as records; what has to wait for its like does."""

from __future__ import annotations

import pytest

from support.otlp_files import as_messages, requests
from support.records import event, operation
from support.sent import CHAT, as_json, request, span
from tachograph import names
from tachograph.guard import Guard
from tachograph.server.receiver.belonging import PATIENCE as OF_SPANS
from tachograph.server.receiver.copies import PATIENCE as OF_COPIES
from tachograph.server.receiver.reading import Found, Reading
from tachograph.server.receiver.wire import Sent

SWITCH = event(1, "agent_switched", inside=1, from_agent="a", to_agent="b")
COPY = {
    "name": "tachograph.agent_switched",
    "timeUnixNano": "5",
    "attributes": [{"key": "from_agent", "value": {"stringValue": "a"}}],
}


class Time:
    """Seconds, as a test says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def reading(clock) -> Reading:
    return Reading(Guard(strict=True), clock=clock)


def test_operations_and_events_are_read(reading):
    """Records that Tachograph sent come back as they were, of several requests at once."""
    records = [operation(1, "agent", "manager", trace_id=f"{1:032x}"), SWITCH]
    spans, logs = as_messages(requests(*records))

    found = reading.read([Sent("traces", is_json=False, body=spans), Sent("logs", is_json=False, body=logs)])

    assert ({record.id for record in records}, []) == ({record.id for record in found.records}, found.copies)
    assert SWITCH in found.records


def test_a_copy_of_an_event_waits(reading, clock):
    """An event on a span is told of apart, when the log event has had its time."""
    sent = as_json(request(span(1, {**CHAT, names.SESSION_ID: "a"}, events=[COPY])))

    assert 1 == len(reading.read([sent]).records)
    assert (100.0 + OF_COPIES, 1) == (reading.due, reading.stats()["waiting_events"])
    clock.now += OF_COPIES
    found = reading.read([])

    assert ([], ["agent_switched"]) == (found.records, [copy.type for copy in found.copies])
    assert reading.due is None


def test_a_span_waits_for_those_around_it(reading, clock):
    """It is seen meanwhile, and told of when nobody waits for them any more."""
    assert Found([], []) == reading.read([as_json(request(span(2, CHAT, parent=1)))])
    assert 1 == len(reading.undecided())
    assert (100.0 + OF_SPANS, 1) == (reading.due, reading.stats()["waiting_spans"])
    clock.now += OF_SPANS

    assert 1 == len(reading.read([]).records)


def test_nothing_waits_at_the_end(reading):
    """What is left is told of, spans and copies."""
    reading.read([as_json(request(span(2, CHAT, parent=1, events=[COPY])))])

    assert (1, 1) == tuple(map(len, reading.rest()))
    assert Found([], []) == reading.rest()


def test_a_request_that_cannot_be_read_costs_itself_only():
    """Those beside it are read."""
    good = as_json(request(span(1, {**CHAT, names.SESSION_ID: "a"})))

    assert 1 == len(Reading(Guard()).read([Sent("traces", is_json=False, body=b"\xff"), good]).records)
