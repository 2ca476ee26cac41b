"""The session of spans that do not say it: that of the nearest span around them, whenever that comes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.otlp_files import requests
from support.records import operation
from support.sent import CHAT, as_json, request, span
from tachograph import names
from tachograph.guard import Guard
from tachograph.server.receiver import belonging
from tachograph.server.receiver.belonging import PATIENCE, Belonging
from tachograph.server.receiver.wire import batches

IN = names.SESSION_ID
NOTHING = {"some": "thing"}


class Time:
    """Seconds, as a test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def belongs(clock) -> Belonging:
    return Belonging(Guard(strict=True), clock=clock)


def take(belongs, *spans, **resource):
    """Sessions of the operations that are found, by the number of their span."""
    (batch,) = batches(as_json(request(*spans, **resource)))
    return by_number(belongs.take(batch.spans, batch.resource))


def by_number(operations):
    return {int(found.id, 16): found.session_id for found in operations}


def test_the_resource_says_it_for_all_of_its_spans(belongs):
    """A span that names no session is in that of its resource; the span's own word is nearer."""
    assert {1: "a"} == take(belongs, span(1, {**CHAT, IN: "a"}, trace=1))
    assert {2: "b"} == take(belongs, span(2, CHAT, trace=2), **{IN: "b"})
    assert {3: "a"} == take(belongs, span(3, {**CHAT, IN: "a"}, trace=3), **{IN: "b"})
    assert 0 == len(belongs)


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "one by one"])
@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_the_nearest_span_around_it_says_it(belongs, apart, order):
    """In whatever order and however many requests the spans of a trace come, a call is where the nearest says."""
    spans = [
        span(1, {**NOTHING, IN: "outer"}),
        span(2, {**NOTHING, IN: "inner"}, parent=1),
        span(3, NOTHING, parent=2),
        span(4, CHAT, parent=3),
    ]
    found = {}
    for group in [[each] for each in order] if apart else [order]:
        found |= take(belongs, *(spans[each] for each in group))

    assert {4: "inner"} == found
    assert 0 == len(belongs)


def test_sessions_side_by_side_in_a_trace_stay_apart(belongs):
    """A job that runs many sessions in one trace gives each its own calls."""
    take(belongs, span(3, CHAT, parent=2), span(2, {**NOTHING, IN: "a"}, parent=1))
    take(belongs, span(5, CHAT, parent=4))
    take(belongs, span(4, {**NOTHING, IN: "b"}, parent=1))

    assert {3: "a", 5: "b"} == take(belongs, span(1, NOTHING))


def test_a_call_under_nobody_s_session_is_where_its_trace_is(belongs):
    """Where nothing around a call names a session, that which another span of the trace names is taken."""
    take(belongs, span(2, {**NOTHING, IN: "a"}, parent=1), span(3, CHAT, parent=1))

    assert {3: "a"} == take(belongs, span(1, NOTHING))


def test_where_nobody_says_it_a_call_is_unattributed_and_a_query_is_passed_over(belongs):
    """As soon as the outermost span is here and names none, no more is waited for."""
    query = span(3, {names.DB_SYSTEM: "sqlite"}, parent=1)

    assert {} == take(belongs, span(2, CHAT, parent=1), query)
    assert {2: "unattributed"} == take(belongs, span(1, NOTHING))


def test_a_span_of_another_process_is_waited_for(belongs):
    """A parent in another service, which sends its spans later, says it as one of the same service does."""
    assert {} == take(belongs, span(2, CHAT, parent=1, flags=0x300))

    assert {2: "a"} == take(belongs, span(1, {**NOTHING, IN: "a"}))


def test_a_parent_that_never_comes_is_waited_for_a_while(belongs, clock):
    """A minute after the last news of its trace a call is taken as it is."""
    assert {} == take(belongs, span(2, CHAT, parent=1))
    clock.now = 30.0
    assert {} == take(belongs, span(3, CHAT, parent=1))
    assert 30.0 + PATIENCE == belongs.due
    clock.now = PATIENCE
    assert [] == belongs.overdue()

    clock.now = 30.0 + PATIENCE
    assert {2: "unattributed", 3: "unattributed"} == by_number(belongs.overdue())
    assert (0, None) == (len(belongs), belongs.due)


def test_at_the_end_nobody_is_waited_for(belongs):
    """What still waits when the server stops is taken, in the session that its trace is known to be in."""
    take(belongs, span(2, CHAT, parent=1), span(4, {**NOTHING, IN: "a"}, parent=3))
    assert {2: "a"} == by_number(belongs.rest())
    assert 0 == len(belongs)


def test_what_waits_can_be_seen(belongs):
    """Until it is decided it is told of by what is known so far."""
    take(belongs, span(2, CHAT, parent=1))

    assert {2: "unattributed"} == by_number(belongs.undecided())
    assert 1 == len(belongs)


def test_one_that_waits_and_comes_again_waits_once(belongs):
    """A retry of what waits is known by its id."""
    for _ in range(3):
        assert {} == take(belongs, span(2, CHAT, parent=1))

    assert 1 == len(belongs)
    assert {2: "a"} == take(belongs, span(1, {**NOTHING, IN: "a"}))


def test_few_may_wait(clock, monkeypatch):
    """When too many wait, the trace of which there is no news for longest is taken as it is."""
    monkeypatch.setattr(belonging, "_MOST_WAITING", 2)
    belongs = Belonging(Guard(strict=True), clock=clock)
    for number in (1, 2):
        assert {} == take(belongs, span(number, CHAT, parent=9, trace=number))

    assert {1: "unattributed"} == take(belongs, span(3, CHAT, parent=9, trace=3))


def test_spans_that_hold_one_another_end(belongs):
    """A ring of parents is no way around: its spans wait, and are taken in the end, as one call in another is."""
    assert {} == take(belongs, span(1, CHAT, parent=2), span(2, CHAT, parent=1))
    assert 1 == len(by_number(belongs.rest()))


def test_spans_of_ours_say_it_themselves(belongs):
    """What Tachograph wrote comes back as it was, at once, and says its session to others' spans inside it."""
    ours = operation(1, "agent", "manager", session="mine", trace_id=f"{1:032x}")
    for document in requests(ours):
        for batch in batches(as_json(document)):
            assert [ours] == belongs.take(batch.spans, batch.resource)

    assert {7: "mine"} == take(belongs, span(7, CHAT, parent=int(ours.id, 16)))


def test_a_span_that_cannot_be_read_costs_itself_only(monkeypatch):
    """Whatever goes wrong with one, those beside it are read, and it is counted."""
    reading = belonging.told

    def fails(read):
        if read.name == "bad":
            raise ArithmeticError
        return reading(read)

    monkeypatch.setattr(belonging, "told", fails)
    belongs = Belonging(Guard())
    spans = [span(1, CHAT, trace=1), span(2, CHAT, trace=2, name="bad"), span(3, CHAT, trace=3)]

    assert {1: "unattributed", 3: "unattributed"} == take(belongs, *spans)
    assert 1 == belongs.failed


@given(
    parents=st.lists(st.integers(0, 6), min_size=7, max_size=7),
    named=st.dictionaries(st.integers(1, 7), st.sampled_from("ab")),
    order=st.permutations(range(1, 8)),
    cuts=st.sets(st.integers(1, 6)),
)
@settings(max_examples=200)
def test_order_and_requests_do_not_matter(parents, named, order, cuts):
    """Law: a whole tree, in which each call's session is that of the nearest around it, is read so in any order."""
    above = {number: min(parents[number - 1], number - 1) or (number > 1) for number in range(1, 8)}
    calls = {number for number in range(2, 8) if number not in above.values()}
    spans = {
        number: span(
            number,
            {**(CHAT if number in calls else NOTHING), **({IN: named[number]} if number in named else {})},
            parent=int(above[number]) or None,
        )
        for number in range(1, 8)
    }
    expected = {}
    for number in range(1, 8):  # parents have smaller numbers
        expected[number] = named.get(number) or expected.get(above[number])
    belongs, found = Belonging(Guard(strict=True)), {}
    at = [0, *sorted(cuts), 7]
    for start, end in itertools.pairwise(at):
        found |= take(belongs, *(spans[number] for number in order[start:end]))

    assert calls == found.keys()
    assert all(found[number] == expected[number] for number in calls if expected[number])
    assert 0 == len(belongs)
