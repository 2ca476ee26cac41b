"""The counters: what an event and a moment change in them, and their bound."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import event, histories, operation
from support.tallies import changes, tally_of
from tachograph import names
from tachograph.tally import OTHER, Tally

if TYPE_CHECKING:
    from support.records import History


def test_events_count_what_they_alone_report() -> None:
    """A switch reported by an event is a switch, a deletion marks the session, and other events count nothing."""
    assert changes(event(1, "agent_switched", from_agent="a", to_agent="b")) == {
        "agent_switches": 1,
        "switches": {"a_to_b": 1},
    }
    assert changes(event(1, "session_deleted")) == {"deleted": True}
    others = names.EVENTS.keys() - {"agent_switched", "session_deleted"}
    assert changes(*(event(n, event_type) for n, event_type in enumerate(sorted(others)))) == {}


def test_first_and_last_are_the_earliest_and_the_latest_moment() -> None:
    """A tally's time runs from the earliest start to the latest end or event, in whatever order they come."""
    first, last = operation(1, at=5, took=1), operation(2, at=1, took=20)
    for records in ([first, last], [last, first]):
        tally = tally_of([*records, event(3, "message_added", at=3)])
        assert (last.start_ns, last.end_ns) == (tally.first_ns, tally.last_ns)
    late = event(3, "message_added", at=99)
    assert late.timestamp_ns == tally_of([first, late]).last_ns


def test_the_user_is_the_one_last_named() -> None:
    """Of several users the one of the latest moment is shown, in whatever order records come; none changes nothing."""
    records = [
        operation(1, at=1, user_id="ada"),
        operation(2, at=5_000, user_id="bob"),
        operation(3, at=9_000),
    ]
    assert {"bob"} == {tally_of(order).user_id for order in (records, records[::-1])}


def test_a_full_table_counts_further_names_together() -> None:
    """The names that were there first keep their places; what comes after is one more, and how often is counted."""
    tally = Tally(max_names=2)
    for key in ("a", "b", "c", "a", "d"):
        tally.count(tally.tool_errors, key)

    assert ({"a": 2, "b": 1, OTHER: 2}, 2) == (tally.tool_errors, tally.folded_names)


@settings(max_examples=200, deadline=None)
@given(histories(still_open=False), st.integers(1, 3), st.data())
def test_what_is_added_counts_as_if_it_had_been_told(history: History, bound: int, data: st.DataObject) -> None:
    """A tally to which those of parts are added says what one says that was told of each record, bounds included."""
    records = [*history.last(), operation(9_999, "model", attributes={names.TOLD_BY: "somebody"})]
    first = data.draw(st.integers(0, len(history.last())))
    tally = tally_of(records[:first], max_names=bound, max_requests=bound)
    tally.add(tally_of(records[first:], max_names=sys.maxsize, max_requests=bound))

    assert tally_of(records, max_names=bound, max_requests=bound) == tally
