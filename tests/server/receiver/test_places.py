"""Where what arrives is kept: each record once, in memory and in a store alike."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from support.otlp_files import requests, source, write
from support.records import event, operation
from tachograph.config import Config
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.server.receiver.places import InMemory, InStore, Outcome, place_of
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.schema import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.sources import Source

CALLS = [operation(number, session="a") for number in range(1, 4)]
SWITCH = event(1, "agent_switched", session="a", from_agent="a", to_agent="b")


@pytest.fixture(params=["memory", "store"])
def kept_in(request, tmp_path) -> Iterator[Source]:
    if request.param == "memory":
        yield Ledger()
        return
    connect(tmp_path / "store.db").close()
    store = SqliteSource(tmp_path / "store.db")
    yield store
    store.close()


def test_each_record_is_kept_once(kept_in):
    """What comes again, in the same request or a later one, is known and changes nothing."""
    place = place_of(kept_in, Config(), Guard(strict=True))

    assert Outcome(4, 1) == place.keep([*CALLS, SWITCH, CALLS[0]])
    assert Outcome(1, 2) == place.keep([CALLS[2], operation(4, session="a"), SWITCH])
    assert Outcome(0, 0) == place.keep([])
    place.close()

    assert (4, 1) == (kept_in.session_metrics("a").total_requests, kept_in.session_metrics("a").agent_switches)


def test_the_kind_of_source_says_where(tmp_path):
    """A ledger keeps in memory, a store on disk; to files of OTLP nothing can be added."""
    connect(tmp_path / "store.db").close()
    file = source(write(tmp_path, *requests(operation(1))))

    assert isinstance(place_of(Ledger(), Config(), Guard()), InMemory)
    assert isinstance(place_of(SqliteSource(tmp_path / "store.db"), Config(), Guard()), InStore)
    assert place_of(file, Config(), Guard()) is None


def test_a_store_that_cannot_be_written_says_so_and_keeps_nothing(tmp_path):
    """Trouble with the database is raised, for whoever waits and tries again; afterwards all is kept."""
    path = tmp_path / "store.db"
    connect(path).close()
    place = InStore(path, Config(), Guard(strict=True))
    other = connect(path)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(sqlite3.OperationalError):
        place.keep(CALLS)
    other.rollback()
    other.close()

    assert Outcome(3, 0) == place.keep(CALLS)
    place.close()


def test_a_record_that_cannot_be_stored_costs_itself_only(tmp_path):
    """It is counted as unfit, and those beside it are kept."""
    path = tmp_path / "store.db"
    connect(path).close()
    place = InStore(path, Config(), Guard())

    assert Outcome(3, 0, 1) == place.keep([*CALLS, operation(9)._replace(end_ns=2**70)])
    place.close()


def test_a_store_is_kept_within_its_bounds(tmp_path):
    """Retention by the settings is done where the store is written, as by any program that records."""
    path = tmp_path / "store.db"
    connect(path).close()
    place = InStore(path, Config(store_max_sessions=1), Guard(strict=True))
    for number, session in enumerate("abc", 1):
        place.keep([operation(number, at=number * 10, session=session)])

    place.tidy()
    place.close()

    store = SqliteSource(path)
    assert ["c"] == store.sessions()
    store.close()
