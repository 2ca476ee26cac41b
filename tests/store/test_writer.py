"""What a writer commits is there, counted as the ledger counts, once each, chained and sealed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import MOMENT, SECOND, History, deliveries, event, histories, ledger_of, opened, operation
from support.stores import checked
from tachograph import names
from tachograph.canonical import record_from_text, tally_from_text
from tachograph.records import Operation
from tachograph.store.schema import SCOPES, connect, connect_to_read
from tachograph.store.verification import verify
from tachograph.store.writer import Writer
from tachograph.views.session import session_view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.records import Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    with_chain = Writer(path)
    yield with_chain
    with_chain.close()


def stored(path: Path) -> list[Record]:
    """Every record of a store, in the order of storing."""
    return [record_from_text(body) for (body,) in rows(path, "SELECT body FROM records ORDER BY seq")]


def rows(path: Path, query: str) -> list[tuple]:
    db = connect_to_read(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def counters(path: Path, scope: str) -> dict[tuple[str, str], dict]:
    """The figures of each row of counters, as the views show them, without the list of calls: these are records."""
    found = rows(path, f"SELECT session_id, correlation_id, body FROM counters WHERE scope = {SCOPES[scope]}")  # noqa: S608 - ours
    return without_list(
        {
            (session, request): session_view(session or "*", tally_from_text(body)).to_dict()
            for session, request, body in found
        }
    )


def is_open(record: Record) -> bool:
    return isinstance(record, Operation) and record.end_ns is None


# ------------------------------------------------------------------------------------------------------- records
def test_what_is_appended_is_read_again(writer, path):
    """A record comes back as it was given, in the order it was given."""
    given_ = [operation(1), event(1, "message_added", content="hi"), operation(2, "tool", "search")]

    assert 3 == writer.append(given_)
    assert given_ == stored(path)


def test_a_record_is_stored_once(writer, path):
    """What is stored already, by whomever, or comes twice, is left out, and its counters with it."""
    other = Writer(path)
    writer.append([operation(1)])

    assert 1 == other.append([operation(1), operation(2), operation(2)])
    assert [operation(1), operation(2)] == stored(path)
    assert 2 == counters(path, "total")["", ""]["total_requests"]
    other.close()


def test_the_log_event_of_an_operation_is_not_stored(writer, path):
    """An event that carries an operation's id is that operation's second writing, and left out."""
    assert 0 == writer.append([event(1, "agent_switched", **{names.OPERATION_ID: "x"})])
    assert [] == stored(path)


def test_ids_that_sqlite_cannot_hold_are_kept(writer, path):
    """Half a surrogate pair in an id costs no record; its text still says the id as it was."""
    odd = operation(1, session="s\ud800", request="r\udfff")
    writer.append([odd], [opened(operation(2, session="s\ud800"))])

    assert [odd] == stored(path)
    assert [("s\\ud800", "r\\udfff")] == rows(path, "SELECT session_id, correlation_id FROM records")


def test_what_has_not_ended_is_no_record(writer, path):
    """An open operation among those that ended is an error that names it, and nothing is stored."""
    with pytest.raises(ValueError, match="has not ended; give it as under way"):
        writer.append([operation(1), operation(2, took=None)])

    assert [] == stored(path)
    assert 1 == writer.append([operation(1)])
    assert 1 == counters(path, "total")["", ""]["total_requests"]


def test_a_writer_says_who_it_is(path):
    """In the store stand the program, its process, and when it wrote last and closed."""
    ticks = iter(range(1, 100))
    one = Writer(path, program="shop", clock=lambda: next(ticks))
    one.append([operation(1)])
    one.close()

    query = "SELECT program, pid, started_ns, seen_ns, closed_ns, count, keyed FROM writers"
    assert [("shop", os.getpid(), 1, 3, 4, 1, 0)] == rows(path, query)


def test_a_failure_leaves_nothing_and_costs_nothing(writer, path):
    """What a failed call would have stored is not there, and the next call stores it, chained and counted."""
    writer.append([operation(1)])
    with pytest.raises(OverflowError):
        writer.append([operation(2), operation(3)._replace(start_ns=2**70, end_ns=2**70)])
    assert [operation(1)] == stored(path)
    writer.release()

    assert 1 == writer.append([operation(2)])
    assert 2 == counters(path, "total")["", ""]["total_requests"]
    assert checked(path).ok


# ---------------------------------------------------------------------------------------------------- under way
def under_way(path: Path) -> list[tuple[str, int]]:
    return rows(path, "SELECT id, writer FROM open ORDER BY id")


def test_what_is_under_way_is_there_until_it_ends(writer, path):
    """What begins is noted, what ends or is not told any more is not, and None leaves all as it was."""
    first, second = operation(1, took=None), operation(2, took=None)
    writer.append([], [first, second])
    assert [(first.id, 1), (second.id, 1)] == under_way(path)

    writer.append([operation(1)], None)
    assert [(second.id, 1)] == under_way(path)

    writer.append([operation(3)], [])
    assert [] == under_way(path)


def test_what_a_dead_writer_left_is_lost(path):
    """At the next start what a process that died had open has ended then, as lost, in the chain of who found it."""
    dead, alive = Writer(path, clock=lambda: MOMENT + SECOND), Writer(path)
    dead.append([operation(1)], [operation(2, took=None), operation(3, "agent", "boss", took=None, at=9_000)])
    alive.append([], [operation(4, took=None)])
    dead.release()
    dead.forget()
    finder = Writer(path)

    lost = {record.id: record for record in stored(path) if record.outcome == "lost"}
    assert {operation(2).id: MOMENT + SECOND, operation(3).id: MOMENT + 9 * SECOND} == {
        id_: record.end_ns for id_, record in lost.items()
    }
    assert [(operation(4).id, 2)] == under_way(path)
    assert [(3, 2)] == rows(path, "SELECT writer, count(*) FROM records WHERE writer = 3")
    assert [(MOMENT + SECOND,)] == rows(path, "SELECT closed_ns FROM writers WHERE writer = 1")
    assert 1 == counters(path, "session")["s", ""]["incomplete_requests"]
    assert checked(path).ok
    for one in (alive, finder):
        one.close()


def test_what_is_under_way_at_the_end_is_lost(path):
    """A writer that closes ends what is still under way."""
    one = Writer(path)
    one.append([], [operation(1, took=None)])
    one.close()

    assert ["lost"] == [record.outcome for record in stored(path)]
    assert [] == under_way(path)


def test_a_damaged_row_of_what_is_under_way_stops_nobody(path):
    """What cannot be read of a dead writer's is left out; the rest is lost as it should be."""
    dead = Writer(path)
    dead.append([], [operation(1, took=None), operation(2, took=None)])
    dead.connection.execute("UPDATE open SET body = 'x' WHERE id = ?", (operation(1).id,))
    dead.release()
    dead.forget()
    Writer(path).close()

    assert [operation(2).id] == [record.id for record in stored(path)]
    assert [] == under_way(path)


def test_a_store_that_was_taken_away_is_not_made_again_at_the_end(path):
    """Closing a writer whose file is gone makes no other."""
    one = Writer(path)
    one.append([operation(1)])
    for file in path.parent.glob("store.db*"):
        file.unlink()
    one.close()

    assert [] == list(path.parent.iterdir())


# ------------------------------------------------------------------------------------------------------ counters
@settings(max_examples=60)
@given(data=st.data())
def test_the_counters_are_the_ledgers(tmp_path_factory, data):
    """Fed in any order, in any batches, by two writers, the counters are those of a ledger given the same records."""
    history: History = data.draw(histories(still_open=False))
    told = data.draw(deliveries(history))
    path = tmp_path_factory.mktemp("store") / "store.db"
    writers = [Writer(path, key=b"k"), Writer(path)]
    while told:
        size = data.draw(st.integers(1, 8))
        batch, told = told[:size], told[size:]
        writers[data.draw(st.integers(0, 1))].append([record for record in batch if not is_open(record)])
    for one in writers:
        one.close()
    ledger = ledger_of(history.last())
    expected = {(metrics.session_id, ""): metrics.to_dict() for metrics in ledger.session_list(deleted=True)}
    requests = {
        (session, request): metrics.to_dict()
        for session, request, metrics in ledger.recent(1_000, correlations=True)
        if request is not None
    }

    assert without_list({("", ""): ledger.total().to_dict()} if history.last() else {}) == counters(path, "total")
    assert without_list(expected) == counters(path, "session")
    assert without_list(requests) == counters(path, "request")
    db = connect(path)
    assert () == verify(db, key=b"k").problems
    db.close()


def without_list(figures: dict) -> dict:
    """Figures without the list of calls, which are records in a store."""
    return {key: {**metrics, "requests": [], "evicted": {"requests": 0}} for key, metrics in figures.items()}
