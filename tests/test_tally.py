"""The counters: what an event and a moment change in them, and their bound."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from support.records import event, operation
from support.tallies import changes, tally_of
from tachograph import names
from tachograph.folds import now
from tachograph.tally import OTHER, Tally

if TYPE_CHECKING:
    from tachograph.records import Record


def test_events_count_what_they_alone_report() -> None:
    """A switch reported by an event is a switch, a deletion marks the session, and other events count nothing."""
    assert changes(event(1, "agent_switched", from_agent="a", to_agent="b")) == {
        "agent_switches": 1,
        "switches": {"a_to_b": 1},
    }
    deletion = event(1, "session_deleted")
    assert changes(deletion) == {"deleted": deletion.timestamp_ns}
    others = names.EVENTS.keys() - {"agent_switched", "session_deleted"}
    assert changes(*(event(n, event_type) for n, event_type in enumerate(sorted(others)))) == {}


def test_what_begins_later_brings_a_deleted_session_back() -> None:
    """A session is hidden from its last deletion until an operation begins in it or it is created, in any order."""
    deletions = [event(1, "session_deleted", at=20), event(2, "session_deleted", at=10)]
    records: list[Record] = [operation(1, at=5, took=100), event(3, "message_added", at=50)]
    for deletion in deletions:
        assert deletion.timestamp_ns == tally_of([*records, deletion]).hidden()
    for later in (operation(2, at=21), operation(2, at=21, took=None), event(4, "session_created", at=21)):
        for order in itertools.permutations([*records, *deletions, later]):
            assert not now(tally_of(order)).hidden()
    for order in itertools.permutations([*records, *deletions, operation(2, at=15)]):
        assert deletions[0].timestamp_ns == tally_of(order).hidden()


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
