"""Which sessions and requests have counters of their own, and in which order they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.records import ledger_of, operation
from tachograph.ledger import Ledger

if TYPE_CHECKING:
    from tachograph.records import Operation


# ---------------------------------------------------------------------------------------------------- the last active
def test_the_session_last_active_is_last() -> None:
    """Sessions are listed by their last moment, and the most recent ones are the end of that list."""
    ledger = ledger_of(
        [operation(n, at=n, session=session, request=f"of-{session}") for n, session in enumerate("abca")]
    )
    assert ledger.sessions() == ["b", "c", "a"]
    assert [session_id for session_id, _, _ in ledger.recent(2)] == ["c", "a"]
    assert [(session_id, request) for session_id, request, _ in ledger.recent(2, correlations=True)] == [
        ("c", "of-c"),
        ("a", "of-a"),
    ]
    assert ledger.recent(0) == []


def test_a_session_is_where_its_moments_put_it() -> None:
    """The list is in order of what happened, work under way included, not of what was heard last."""
    late = [operation(1, at=9, session="late"), operation(2, at=0, session="early")]
    ledger = ledger_of([*late, operation(3, at=5_000, took=None, session="at work"), operation(4, session="b")])

    assert ledger.sessions() == ["b", "early", "late", "at work"]
    assert [found.session_id for found in ledger.session_list(limit=2, offset=1)] == ["late", "early"]


def test_what_has_long_been_waiting_is_not_what_is_newest() -> None:
    """A session whose counters were evicted while a human is being waited for is listed before those active since."""
    waiting = [
        operation(number, "approval", "t", at=number * 1_000, took=None, session=f"s{number}") for number in range(1, 5)
    ]

    class Waiting:
        def under_way(self) -> list[Operation]:
            return waiting

    ledger, there = Ledger(max_sessions=2), Waiting()
    ledger.attend(there.under_way)
    for number in range(1, 5):
        ledger.apply(operation(100 + number, at=number * 1_000, session=f"s{number}"))
    assert ["s3", "s4"] == [session_id for session_id, *_ in ledger.recent(2)]
    assert ["s1", "s2", "s3", "s4"] == ledger.sessions()


# ---------------------------------------------------------------------------------------------------- the bound
def test_the_longest_idle_session_goes_first() -> None:
    """A session too many pushes out the one that was idle longest; that is counted, and the totals stay."""
    ledger = ledger_of(
        [operation(n, session=session) for n, session in enumerate(["a", "b", "a", "c", "d"])], max_sessions=3
    )
    assert ledger.sessions() == ["a", "c", "d"]
    assert ledger.session_metrics("b").total_requests == 0
    assert (ledger.total().total_requests, ledger.stats()["evicted"]["sessions"]) == (5, 1)


def test_a_session_at_work_stays_while_an_idle_one_can_go() -> None:
    """Older but with work under way, a session outlives a younger one that is idle."""
    ledger = ledger_of(
        [
            operation(1, session="a", took=None),
            operation(2, session="b"),
            operation(3, session="c"),
        ],
        max_sessions=2,
    )
    assert ledger.sessions() == ["a", "c"]


def test_a_session_that_has_just_come_is_not_the_one_to_go() -> None:
    """Where all the others are at work the oldest goes, never the one that the record belongs to."""
    ledger = ledger_of(
        [operation(n, session=session, took=None) for n, session in enumerate("abc")] + [operation(9, session="d")],
        max_sessions=2,
    )
    assert ledger.sessions() == ["c", "d"]
    assert ledger.session_metrics("d").total_requests == 1


def test_requests_too_many_go_first_in_first_out() -> None:
    """Of more requests within sessions than the bound the oldest lose their own counters, not the session's."""
    ledger = ledger_of([operation(n, request=f"r{n}") for n in range(5)], max_sessions=3)
    assert [ledger.session_metrics("s", f"r{n}").total_requests for n in range(5)] == [0, 0, 1, 1, 1]
    assert (ledger.session_metrics("s").total_requests, ledger.stats()["evicted"]["correlations"]) == (5, 2)


def test_work_that_outlives_its_evicted_session_counts_whole() -> None:
    """An operation that ends after its session was pushed out is in the new figures from start to end."""
    ledger = ledger_of(
        [
            operation(1, "tool", "search", session="a", took=None),
            operation(2, session="b", took=None),
            operation(3, session="c", took=None),
            operation(1, "tool", "search", session="a"),
        ],
        max_sessions=2,
    )
    metrics = ledger.session_metrics("a")
    assert (metrics.status, metrics.tool_calls, metrics.tools["search"]["completed"]) == ("idle", 1, 1)
    assert (ledger.total().tool_calls, ledger.total().tools["search"]["requested"]) == (1, 1)
