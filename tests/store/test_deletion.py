"""Deleting sessions: hidden or gone, said by whom, with the chain whole."""

from __future__ import annotations

import random
import sqlite3
import string
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from support.records import event, opened, operation
from tachograph import names
from tachograph.listing import Wanted
from tachograph.sources.sqlite import SqliteSource
from tachograph.store import deletion
from tachograph.store.deletion import delete_session
from tachograph.store.readers import Readers
from tachograph.store.schema import StoreError
from tachograph.store.verification import verify
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.records import Record

TEXT = "correct horse battery staple"
MOMENT = operation(1, at=60_000).start_ns


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


def said(number: int, text: str = TEXT, **fields: Any) -> Record:
    """A model call with content."""
    return operation(number, attributes={names.INPUT_TOKENS: 10, names.INPUT_MESSAGES: text}, **fields)


def whole(writer: Writer) -> bool:
    """Whether nothing is wrong with the chains, by whoever may look."""
    return verify(writer.connection).problems == ()


def bytes_of(path: Path) -> bytes:
    """Everything that is in the files of a store."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.name.startswith(path.name))


# ---------------------------------------------------------------------------------------------------------- hiding
def test_a_deleted_session_is_hidden(writer: Writer, source: SqliteSource) -> None:
    """It leaves the lists, keeps its figures and records, has the status ``deleted``, and the log says who asked."""
    writer.append([said(1), operation(2, session="t")], [opened(operation(3))])

    assert delete_session(writer, "s", by="ada", now_ns=MOMENT)
    assert (["t"], 1, 2) == (source.sessions(), source.session_count(), source.session_count(deleted=True))
    assert ["s", "t"] == [metrics.session_id for metrics in source.session_list(deleted=True)]
    metrics = source.session_metrics("s")
    assert ("deleted", 1, 10, 1) == (
        metrics.status,
        metrics.total_requests,
        metrics.total_prompt_tokens,
        metrics.active_requests,
    )
    entry = source.audit_log(session_id="s", event_type="session_deleted")[0]
    assert (True, False, "ada", "2026-01-17T13:01:00Z") == tuple(
        entry[name] for name in ("critical", "hard", "by", "timestamp")
    )
    assert TEXT in str([*source.records("s")])
    assert [opened(operation(3))] == source.open_operations()
    assert whole(writer)


def test_what_is_deleted_is_deleted_once(writer: Writer, source: SqliteSource) -> None:
    """Deleting what nobody has heard of, or what is deleted already, changes nothing; harder it may be deleted yet."""
    writer.append([said(1)])

    asked = [("nobody's", False), ("nobody's", True), *[("s", hard) for hard in (False, False, True, True, False)]]
    assert [False, False, True, False, True, False, False] == [
        delete_session(writer, session_id, hard=hard) for session_id, hard in asked
    ]
    assert [True] == [entry["hard"] for entry in source.audit_log(event_type="session_deleted")]
    assert whole(writer)


def test_work_under_way_alone_can_be_deleted(writer: Writer, source: SqliteSource) -> None:
    """A session that has nothing but an operation under way is one."""
    writer.append([], [opened(said(1))])

    assert delete_session(writer, "s", hard=True)
    assert ([], []) == (source.sessions(), source.open_operations())
    assert whole(writer)


@pytest.mark.parametrize("hard", [False, True])
def test_what_begins_afterwards_is_there(writer: Writer, source: SqliteSource, hard: bool) -> None:  # noqa: FBT001
    """Work that begins later makes a deleted session visible again, under way and over; it can be deleted again."""
    writer.append([said(1)], [opened(said(2))])
    for at in (61_000, 63_000):
        assert delete_session(writer, "s", hard=hard, now_ns=MOMENT + (at - 60_500) * 1_000_000)
        assert ([], 0, 1) == (source.sessions(), source.session_count(), source.session_count(deleted=True))
        later = said(at, "later", at=at)
        for ended, under_way in (([], [opened(said(2)), opened(later)]), ([later], [])):
            writer.append(ended, under_way)
            assert (["s"], 1, 1) == (source.sessions(), source.session_count(), source.session_count(deleted=True))
            assert ["s"] == [row.session_id for row in source.session_rows(Wanted(order="tool_calls")).rows]
            assert source.session_metrics("s").status == ("active" if under_way else "idle")
        assert hard != (TEXT in str([*source.records("s")]))
    assert whole(writer)


def test_a_clock_that_was_ahead_does_not_keep_a_session(writer: Writer, source: SqliteSource) -> None:
    """What seems to begin after the deletion, as a clock was ahead, is hidden by it all the same."""
    writer.append([said(1, at=90_000)])

    assert delete_session(writer, "s", now_ns=MOMENT)
    assert [] == source.sessions()


@pytest.mark.parametrize("asked", [{"session_id": 7}, {"session_id": None}, {"session_id": "s", "by": 7}])
def test_what_is_no_text_is_refused(writer: Writer, asked: dict[str, Any]) -> None:
    """An id or a name that is no text raises an error that shows it, and deletes nothing."""
    writer.append([said(1)])
    with pytest.raises(ValueError, match="expected a text"):
        delete_session(writer, **asked)

    assert delete_session(writer, "s")


# --------------------------------------------------------------------------------------------------------- for good
def test_what_is_deleted_for_good_is_in_no_file(writer: Writer, path: Path, source: SqliteSource) -> None:
    """No byte of what it said, nor of who it was for, is in the database or beside it; figures and chain stay."""
    writer.append(
        [said(1, user_id="user-of-s"), event(1, "message_added", content=TEXT), said(2, "harmless", session="t")],
        [opened(said(3, user_id="user-of-s", at=5))],
    )
    assert TEXT.encode() in bytes_of(path)
    source.total()

    assert delete_session(writer, "s", hard=True, by="ada", now_ns=MOMENT)
    found = bytes_of(path)
    assert (False, False, True) == (TEXT.encode() in found, b"user-of-s" in found, b"harmless" in found)
    metrics = source.session_metrics("s")
    assert ("deleted", None, 1, 0, [], {"requests": 1}) == (
        metrics.status,
        metrics.user_id,
        metrics.total_requests,
        metrics.active_requests,
        metrics.requests,
        metrics.evicted,
    )
    assert 2 == source.total().total_requests
    assert ["session_deleted"] == [entry["event_type"] for entry in source.audit_log(session_id="s")]
    assert ["session_deleted"] == [record.type for record in source.records("s")]
    assert whole(writer)


def test_nothing_is_left_where_pages_were_split_and_freed(writer: Writer, path: Path) -> None:
    """Content of every size that was moved about, rewritten and freed on the way is gone as well."""
    chance = random.Random(7)  # noqa: S311 - the same sizes in every run

    def text() -> str:
        return TEXT + "".join(chance.choices(string.ascii_letters, k=chance.choice([10, 300, 3_000, 30_000])))

    under_way: list[Any] = []
    for number in range(300):
        session = "s" if number % 3 else "t"
        content = text() if session == "s" else "x" * 500
        done = [record._replace(end_ns=record.start_ns) for record in under_way[:2]]
        under_way = [*under_way[2:], opened(said(number, content, session=session, request=f"r{number}"))]
        under_way += [opened(said(10_000 + number, content, session=session, user_id=f"user-of-{session}"))]
        writer.append(done, under_way)
    assert TEXT.encode() in bytes_of(path)

    assert delete_session(writer, "s", hard=True)
    found = bytes_of(path)
    assert (0, 0) == (found.count(TEXT.encode()), found.count(b"user-of-s"))
    assert whole(writer)


def test_a_long_session_goes_in_slices(writer: Writer, source: SqliteSource) -> None:
    """A session of more records than go at once is gone to the last of them."""
    writer.append([said(number) for number in range(2 * deletion.SLICE + 1)])

    assert delete_session(writer, "s", hard=True)
    assert 1 == len([*source.records()])
    assert whole(writer)


def test_work_that_goes_on_is_recorded_and_can_be_deleted_too(writer: Writer, source: SqliteSource) -> None:
    """What ends after its session was deleted is stored, hidden, and goes when the session is deleted again."""
    going_on = opened(said(2))
    writer.append([said(1)], [going_on])
    delete_session(writer, "s", hard=True)
    writer.append([said(2)], [])

    assert ([], 2, 1) == (
        source.sessions(),
        source.session_metrics("s").total_requests,
        len(source.timeline().entries) - 1,
    )
    assert delete_session(writer, "s", hard=True)
    assert TEXT not in str([*source.records()])
    assert whole(writer)


def test_what_other_writers_have_under_way_goes_too(writer: Writer, path: Path, source: SqliteSource) -> None:
    """Another program's open rows of the session go, and its own writing goes on, without the user who was there."""
    with closing(Writer(path)) as other:
        other.append([said(1, user_id="ada"), said(5, session="t")], [opened(said(2)), opened(said(6, session="t"))])
        delete_session(writer, "s", hard=True)
        assert ["t"] == [found.session_id for found in source.open_operations()]
        other.append([said(3)], [opened(said(2)), opened(said(6, session="t"))])

        assert ["t"] == [found.session_id for found in source.open_operations()]
        assert (2, None) == (source.session_metrics("s").total_requests, source.session_metrics("s").user_id)
    assert whole(writer)


def test_somebody_who_reads_on_is_in_the_way(path: Path) -> None:
    """As long as a reader holds the store as it was, its bytes may be: that is said, and can be made good."""
    with closing(Writer(path, timeout=0.05)) as writer, closing(Readers(path)) as readers:
        writer.append([said(1)])
        with readers.look() as db:
            db.execute("SELECT * FROM records").fetchone()
            with pytest.raises(StoreError, match="delete it again when they are done"):
                delete_session(writer, "s", hard=True)

        assert not delete_session(writer, "s", hard=True)
        assert TEXT.encode() not in bytes_of(path)
        assert whole(writer)


def test_an_interrupted_deletion_goes_on(writer: Writer, path: Path, source: SqliteSource) -> None:
    """Where it broke off after the entry, the session is hidden and whole; deleting it again takes the rest away."""
    writer.append([said(1)])
    db = writer.connection
    db.set_authorizer(
        lambda action, table, column, *_: (
            sqlite3.SQLITE_DENY
            if (action, table, column) == (sqlite3.SQLITE_UPDATE, "records", "body")
            else sqlite3.SQLITE_OK
        )
    )
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        delete_session(writer, "s", hard=True)
    db.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
    assert ([], True) == (source.sessions(), whole(writer))

    assert delete_session(writer, "s", hard=True)
    assert TEXT.encode() not in bytes_of(path)
    assert whole(writer)
