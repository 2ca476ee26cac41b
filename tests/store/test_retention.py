"""Bounds of a store: the oldest goes, in slices, with the chains whole and the totals as they were."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import MILLISECOND, MOMENT, deliveries, event, histories, opened, operation
from support.stores import Delivery, fill, told_to, work
from tachograph.sources.sqlite import SqliteSource
from tachograph.store import retention
from tachograph.store.deletion import delete_session
from tachograph.store.retention import Pruned, foresee, prune
from tachograph.store.verification import verify
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.views.session import SessionMetrics

DAY = 86_400_000
"""Milliseconds."""

NOW = MOMENT + 100 * DAY * MILLISECOND


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    with closing(Writer(path)) as found:
        yield found


@pytest.fixture
def source(path: Path) -> Iterator[SqliteSource]:
    with closing(SqliteSource(path)) as found:
        yield found


def whole(writer: Writer, key: bytes | None = None) -> bool:
    return verify(writer.connection, key=key).problems == ()


def ids(source: SqliteSource) -> list[int]:
    """Numbers of the operations that are there."""
    return [int(record.id, 16) for record in source.records()]


# ---------------------------------------------------------------------------------------------------------- the bounds
def test_no_bound_takes_nothing(writer: Writer, source: SqliteSource) -> None:
    """Without bounds, or within them, everything stays."""
    writer.append([operation(number) for number in (1, 2)])

    assert Pruned() == prune(writer)
    assert Pruned() == prune(writer, max_age_days=1, max_sessions=1, max_records=2, max_bytes=10**9, now_ns=MOMENT)
    assert [1, 2] == ids(source)


def test_what_is_too_old_goes(writer: Writer, source: SqliteSource) -> None:
    """What was stored before the first record that is young enough goes, and with it the sessions it was all of."""
    writer.append([operation(n, at=n * DAY, session=f"s{n // 2}", request=f"r{n}") for n in (1, 2, 3, 4, 5)])

    pruned = prune(writer, max_age_days=97, now_ns=NOW)
    assert (2, 1, True) == (pruned.records, pruned.sessions, pruned.finished)
    assert ([3, 4, 5], ["s1", "s2"]) == (ids(source), source.sessions())
    assert (2, 0, 1) == tuple(source.session_metrics("s1", request).total_requests for request in (None, "r2", "r3"))
    assert 5 == source.total().total_requests
    assert whole(writer)


def test_a_clock_that_was_wrong_keeps_nothing_for_ever(writer: Writer, source: SqliteSource) -> None:
    """A record from the far future goes with those it was stored with."""
    writer.append([operation(1, at=1), operation(2, at=10_000 * DAY), operation(3, at=2), operation(4, at=99 * DAY)])

    assert 3 == prune(writer, max_age_days=30, now_ns=NOW).records
    assert [4] == ids(source)
    assert 1 == prune(writer, max_age_days=0.5, now_ns=NOW).records


def test_more_records_than_wanted_go(writer: Writer, source: SqliteSource) -> None:
    """The newest so many stay, in order of storing."""
    writer.append([operation(number, at=100 - number) for number in range(1, 8)])

    assert 4 == prune(writer, max_records=3).records
    assert [5, 6, 7] == ids(source)
    assert whole(writer)


def test_more_sessions_than_wanted_go(writer: Writer, source: SqliteSource) -> None:
    """The sessions that were stored to last stay, whatever their times; of them the oldest records may go."""
    writer.append([event(9, "agent_registered", session="process", request=None)])
    writer.append([operation(n, at=-n, session=session) for n, session in enumerate("abacbdd", start=1)])

    pruned = prune(writer, max_sessions=2)
    assert (5, 2) == (pruned.records, pruned.sessions)
    assert (["b", "d"], [5, 6, 7]) == (sorted(source.sessions()), ids(source))
    assert 2 == source.session_metrics("b").total_requests
    assert whole(writer)


@pytest.mark.parametrize(
    ("hidden", "most", "left"),
    [
        ("a", 2, ["b", "c"]),  # b is older than the deletion of a
        ("a", 1, ["c"]),
        ("b", 2, ["a", "c"]),  # stored between what stays, it stays too, and hidden
        ("c", 2, ["a", "b"]),
        ("c", 1, ["b"]),
        ("abc", 2, []),
    ],
)
def test_hidden_sessions_go_first(
    hidden: str, most: int, left: list[str], writer: Writer, source: SqliteSource
) -> None:
    """No visible session goes for the sake of one that is hidden, however late that was deleted."""
    writer.append([operation(number, session="aabbcc"[number - 1]) for number in range(1, 7)])
    for session_id in hidden:
        delete_session(writer, session_id)
    foreseen = foresee(writer.connection, max_sessions=most)

    assert foreseen.records == prune(writer, max_sessions=most).records
    assert left == sorted(source.sessions())
    for session_id in left:
        assert 2 == len([*source.records(session_id)])
    kept = [record.session_id for record in source.records() if not hasattr(record, "payload")]
    assert ("a" in kept) == ("a" in left)
    assert whole(writer)


def test_a_store_that_is_too_big_shrinks(writer: Writer, path: Path, source: SqliteSource) -> None:
    """The file is as small as was asked for, and what is left is the newest."""
    fill(writer, work(20_000, 200))
    bound = path.stat().st_size // 2

    pruned = prune(writer, max_bytes=bound)
    assert path.stat().st_size <= bound
    assert pruned.bytes > bound // 2
    assert pruned.sessions > 0
    assert source.stats()["records"] + pruned.records == 20_000 + source.total().agent_switches - 2_000
    assert source.session_count() + pruned.sessions == 200
    assert 0 == path.with_name(path.name + "-wal").stat().st_size
    assert whole(writer)


def test_a_bound_that_nothing_meets_takes_what_there_is(writer: Writer, source: SqliteSource) -> None:
    """Even an empty store takes some bytes: the rest goes, and that is that."""
    writer.append([operation(number) for number in range(1, 20)])

    assert (19, True) == (prune(writer, max_bytes=1).records, prune(writer, max_bytes=1).finished)
    assert ([], [], 19) == (ids(source), source.sessions(), source.total().total_requests)
    assert whole(writer)


@pytest.mark.parametrize("bounds", [{"max_records": 300}, {"max_sessions": 3}, {"max_age_days": 99.9999}])
def test_what_is_foreseen_is_what_goes(bounds: dict[str, Any], writer: Writer) -> None:
    """What would go is said beforehand, and nothing is taken by that."""
    fill(writer, work(1_000, 40))
    foreseen = foresee(writer.connection, **bounds, now_ns=NOW)

    pruned = prune(writer, **bounds, now_ns=NOW)
    assert (pruned.records, pruned.sessions) == (foreseen.records, foreseen.sessions)
    assert pruned.records > 0


# ------------------------------------------------------------------------------------------------------ what is spared
def test_what_is_under_way_stays(writer: Writer, source: SqliteSource) -> None:
    """Work under way keeps its session's figures, though all its records are gone, and ends as if they were not."""
    writer.append([operation(1), operation(2, session="t")], [opened(operation(3))])

    pruned = prune(writer, max_age_days=1, now_ns=NOW)
    assert (2, 1) == (pruned.records, pruned.sessions)
    metrics = source.session_metrics("s")
    assert ([opened(operation(3))], "active", 1) == (
        source.open_operations(),
        metrics.status,
        metrics.total_requests,
    )
    writer.append([operation(3)])
    assert (2, 3) == (source.session_metrics("s").total_requests, source.total().total_requests)
    assert whole(writer)


def test_a_session_that_comes_back_begins_anew(writer: Writer, path: Path, source: SqliteSource) -> None:
    """Figures that went with their records are not resumed, whoever remembers them; the totals are."""
    with closing(Writer(path)) as other:
        for one, number in ((writer, 1), (other, 2)):
            one.append([operation(number)])
        prune(writer, max_age_days=1, now_ns=NOW)
        assert ([], 0) == (source.sessions(), source.session_metrics("s").total_requests)
        for one, number in ((writer, 3), (other, 4)):
            one.append([operation(number)])

    assert (2, 4) == (source.session_metrics("s").total_requests, source.total().total_requests)
    assert whole(writer)


@pytest.mark.parametrize("hard", [False, True])
def test_deleted_sessions_go_in_their_turn(hard: bool, writer: Writer, source: SqliteSource) -> None:  # noqa: FBT001
    """A deleted session goes like any other, and at no slice is the chain anything but whole."""
    writer.append([operation(number) for number in range(1, 6)])
    delete_session(writer, "s", hard=hard)
    writer.append([operation(9, session="t")])
    for left in range(7, -1, -1):
        prune(writer, max_records=max(left, 1))
        assert whole(writer)

    assert (["t"], 1) == ([m.session_id for m in source.session_list(deleted=True)], source.stats()["records"])


# --------------------------------------------------------------------------------------------------------- the chains
@pytest.mark.parametrize("key", [None, b"key"])
def test_chains_of_all_writers_are_whole(key: bytes | None, path: Path) -> None:
    """Whoever wrote, ended or not, with a key or none: what is left of each chain is whole, and is written on."""
    with closing(Writer(path, key=key)) as writer, closing(Writer(path)) as other:
        for number in range(1, 40):
            (writer, other)[number % 2].append([operation(number)])
        with closing(Writer(path)) as third:
            third.append([operation(99)])
        assert 37 == prune(writer, max_records=3).records
        for one, number in ((writer, 201), (other, 202)):
            one.append([operation(number)])

        assert whole(writer, key)
        assert 37 == writer.connection.execute("SELECT sum(pruned) FROM writers").fetchone()[0]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("UPDATE writers SET count = count + 1 WHERE name = ?", "the seal of writer .* does not hold"),
        ("DELETE FROM records WHERE (writer, number) = (1, 2) AND ? <> ''", "entries of writer .* are missing"),
        ("DELETE FROM writers WHERE name = ?", "writer #1 is not in the store"),
    ],
)
def test_a_chain_that_is_broken_is_left_alone(harm: str, why: str, path: Path) -> None:
    """Sealing it anew would hide what was done to it: it is named, stays as it is, and the others are pruned."""
    with closing(Writer(path)) as victim:
        victim.append([operation(number) for number in (1, 2, 3)])
        name = victim.head.writer
    with closing(Writer(path)) as writer:
        writer.append([operation(number) for number in (4, 5)])
        writer.connection.execute(harm, (name,))
        before = verify(writer.connection).problems
        pruned = prune(writer, max_age_days=1, now_ns=NOW)

        assert (2, True) == (pruned.records, pruned.finished)
        assert [True] == [re.search(why, told) is not None for told in pruned.left_alone]
        assert before == verify(writer.connection).problems != ()


def test_a_chain_with_a_key_is_left_alone_without_it(path: Path) -> None:
    """Who has not the key cannot seal, so takes nothing away."""
    with closing(Writer(path, key=b"key")) as keyed:
        keyed.append([operation(1)])
        with closing(Writer(path)) as writer:
            writer.append([operation(2)])
            pruned = prune(writer, max_age_days=1, now_ns=NOW)

            assert (1, 1) == (pruned.records, len(pruned.left_alone))
            assert "recorded with a key" in pruned.left_alone[0]
            assert whole(writer, b"key")


# --------------------------------------------------------------------------------------------------------- in slices
def test_it_is_told_how_far_it_is_and_may_be_stopped(writer: Writer, source: SqliteSource) -> None:
    """After each slice somebody is told; who raises there, or gave no time, finds all whole and goes on later."""
    count = 2 * retention.SLICE + 10
    fill(writer, (operation(number) for number in range(1, count + 1)))

    def enough(gone: int) -> None:
        assert gone == retention.SLICE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(writer, max_records=10, progress=enough)
    assert count - retention.SLICE == source.stats()["records"]
    assert Pruned(finished=False) == prune(writer, max_records=10, seconds=0)
    assert whole(writer)
    told: list[int] = []
    assert retention.SLICE == prune(writer, max_records=10, progress=told.append).records
    assert [retention.SLICE] == told
    assert whole(writer)


@pytest.mark.parametrize(
    "bound",
    [{"max_age_days": -1}, {"max_age_days": float("nan")}, {"max_age_days": "7"}, {"max_age_days": True}]
    + [{name: bad} for name in ("max_sessions", "max_records", "max_bytes") for bad in (-1, 1.5, True, "1", 2**62)],
)
def test_a_bound_that_is_none_is_refused(bound: dict[str, Any], writer: Writer, source: SqliteSource) -> None:
    """A bound that is negative or no number raises an error that names it, and takes nothing."""
    writer.append([operation(1)])
    with pytest.raises(ValueError, match=f"{next(iter(bound))}=.*expected a"):
        prune(writer, **bound)

    assert [1] == ids(source)


@pytest.mark.parametrize("days", [1e300, float("inf"), 40_000])
def test_an_age_may_be_as_great_as_one_likes(days: float, writer: Writer) -> None:
    """Nothing is older than for ever."""
    writer.append([operation(1)])

    assert Pruned() == prune(writer, max_age_days=days, now_ns=NOW)


# ------------------------------------------------------------------------------------------------------------ the law
@settings(max_examples=40)
@given(data=st.data())
def test_what_stays_is_as_it_was(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Totals and what is under way stay, so does every figure of the sessions that stay, and every chain is whole."""
    records = data.draw(deliveries(data.draw(histories())))
    path = tmp_path_factory.mktemp("store") / "store.db"
    half = len(records) // 2
    halves = [Delivery(0, tuple(records[:half])), Delivery(1, tuple(records[half:]))]
    with told_to(path, halves) as writers, closing(SqliteSource(path)) as source:
        totals, under_way, kept = source.metrics(), source.open_operations(), [*source.records()]
        before = {found.session_id: figures(found) for found in source.session_list(deleted=True)}
        bounds = st.integers(0, 12)
        pruned = prune(writers[0], max_records=data.draw(bounds), max_sessions=data.draw(bounds))

        assert (totals, under_way) == (source.metrics(), source.open_operations())
        assert kept[pruned.records :] == [*source.records()]
        after = source.session_list(deleted=True)
        assert pruned.sessions == len(before) - len(after)
        assert [before[found.session_id] for found in after] == [figures(found) for found in after]
        assert whole(writers[0])


def figures(metrics: SessionMetrics) -> dict[str, Any]:
    """A session's figures, without the list that goes with the records."""
    return {name: value for name, value in metrics.to_dict().items() if name not in ("requests", "evicted")}
