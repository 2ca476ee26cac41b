"""Counters of a store are added to by several writers, and none takes its memory of them for the truth."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.records import event, operation
from tachograph.canonical import tally_from_text
from tachograph.store import counters
from tachograph.store.counters import Counters
from tachograph.store.schema import SCOPES, StoreError, connect, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "store.db")) as opened:
        yield opened


def counted(db: sqlite3.Connection, session: str = "s", request: str = "") -> int | None:
    """Model calls of a session or request."""
    scope = SCOPES["request" if request else "session" if session else "total"]
    row = db.execute(
        "SELECT body FROM counters WHERE scope = ? AND session_id = ? AND correlation_id = ?",
        (scope, session, request),
    ).fetchone()
    return None if row is None else tally_from_text(row[0]).successful


def add(db: sqlite3.Connection, to: Counters, *records: object) -> None:
    with transaction(db):
        to.add(db, records)  # type: ignore[arg-type]
    to.remember()


def test_several_count_in_one_row(db, tmp_path):
    """Two writers who both remember a row see what the other has added, because its version says so."""
    one, other = Counters(tmp_path, 200), Counters(tmp_path, 200)
    for number in range(6):
        add(db, (one, other)[number % 2], operation(number))

    assert (6, 6, 6) == (counted(db), counted(db, request="r"), counted(db, ""))


def test_what_was_rolled_back_is_not_remembered(db, tmp_path):
    """Counters of a transaction that failed are read again."""
    one = Counters(tmp_path, 200)
    add(db, one, operation(1))
    db.execute("BEGIN")
    one.add(db, [operation(2)])
    db.execute("ROLLBACK")
    one.discard()
    add(db, one, operation(3))

    assert 2 == counted(db)


def test_a_row_that_was_deleted_begins_anew(db, tmp_path):
    """Counters that somebody deleted are not brought back from memory, not even under a row made again."""
    one, other = Counters(tmp_path, 200), Counters(tmp_path, 200)
    add(db, one, operation(1), operation(2))
    db.execute("DELETE FROM counters WHERE scope <> 0")
    add(db, other, operation(3))
    add(db, one, operation(4))

    assert (2, 4) == (counted(db), counted(db, ""))


def test_memory_is_bounded(db, tmp_path, monkeypatch):
    """Counters of sessions beyond the bound are read again when they are needed."""
    monkeypatch.setattr(counters, "_MAX_REMEMBERED", 4)
    one = Counters(tmp_path, 200)
    for number in range(40):
        add(db, one, operation(number, session=f"s{number % 10}"))

    assert 4 == len(one._remembered)
    assert {4} == {counted(db, f"s{number}") for number in range(10)}


def test_events_of_no_session_make_none(db, tmp_path):
    """What happens before anybody asked for anything counts in the total alone."""
    one = Counters(tmp_path, 200)
    deletion = event(2, "session_deleted", session="t", request=None)
    add(db, one, event(1, "system_startup"), deletion)

    rows = db.execute("SELECT scope, session_id, deleted FROM counters ORDER BY scope").fetchall()
    assert [(0, ""), (1, "t")] == [row[:2] for row in rows]
    assert deletion.timestamp_ns == rows[1][2]


def test_damaged_counters_are_said(db, tmp_path):
    """Counters that cannot be read are an error that names them and the fix, not zeros."""
    add(db, Counters(tmp_path, 200), operation(1))
    db.execute("UPDATE counters SET body = '{\"nonsense\":1}' WHERE scope = 1")

    with pytest.raises(StoreError, match="the counters of session 's' are damaged"), transaction(db):
        Counters(tmp_path, 200).add(db, [operation(2)])
