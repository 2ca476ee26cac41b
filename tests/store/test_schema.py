"""A store opens where it can, is brought up to date from every earlier version, and leaves alone what is none."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from support.stores import day, written
from tachograph.store.schema import (
    APPLICATION_ID,
    MIGRATIONS,
    VERSION,
    StoreError,
    as_stored,
    connect,
    connect_to_read,
    transaction,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store.db"


def shape(db: sqlite3.Connection) -> list[tuple[str, str]]:
    return db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_a_new_store(path):
    """It is made with the folders above it, for its owner only, and says what it is."""
    with closing(connect(path)) as db:
        assert (APPLICATION_ID, VERSION) == tuple(
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        assert "wal" == db.execute("PRAGMA journal_mode").fetchone()[0]
        assert ["ok"] == [row[0] for row in db.execute("PRAGMA integrity_check")]
    assert {0o600, 0o700} == {stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent)} or os.name == "nt"


@pytest.mark.parametrize("version", range(VERSION))
def test_every_earlier_version_is_brought_up_to_date(path, tmp_path, version):
    """A store of any earlier version has the shape of a new one once it was opened for writing."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for migrate in MIGRATIONS[:version]:
            migrate(db)
        if version:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=f"older schema {version}" if version else "is empty"):
        connect_to_read(path)

    with closing(connect(path)) as db, closing(connect(tmp_path / "new.db")) as new:
        assert shape(new) == shape(db)
        assert VERSION == db.execute("PRAGMA user_version").fetchone()[0]


def test_many_open_a_new_store_at_once(path):
    """Who comes second waits for the first to make it, and finds it made."""
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            connect(path).close()
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failures


@pytest.mark.parametrize("opening", [connect, connect_to_read])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello, I am a letter", "is no SQLite database or a damaged one"),
        (b"SQLite format 3\x00" + b"\xff" * 4_080, "is no SQLite database or a damaged one"),
    ],
)
def test_what_is_no_database_is_said(path, opening, content, words):
    """A file of another kind is an error that names it and the fix, and stays as it is."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=words):
        opening(path)

    assert content == path.read_bytes()


@pytest.mark.parametrize("opening", [connect, connect_to_read])
def test_somebody_elses_database_is_left_alone(path, opening):
    """A database of another program is an error, and gets none of our tables."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE cakes (name)")
    with pytest.raises(StoreError, match="but no store of Tachograph"):
        opening(path)

    with closing(sqlite3.connect(path)) as db:
        assert ["cakes"] == [name for name, _ in shape(db)]


@pytest.mark.parametrize("opening", [connect, connect_to_read])
def test_a_newer_version_is_left_alone(path, opening):
    """A store of a version not known here is an error that says both and the fix."""
    with closing(connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError, match=f"schema {VERSION + 1}; this one knows up to {VERSION}"):
        opening(path)


def test_reading_what_is_not_there(path):
    """A store that is not there is an error for who reads, and none is made."""
    with pytest.raises(StoreError, match="no such file"):
        connect_to_read(path)

    assert not path.exists()


def test_what_is_no_file_is_said(tmp_path):
    """A directory, or a device, is called what it is, by who reads and who writes."""
    for opening in (connect, connect_to_read):
        with pytest.raises(StoreError, match="is a directory"):
            opening(tmp_path)
    with pytest.raises(StoreError, match="is no file"):
        connect_to_read(Path(os.devnull))


def test_reading_changes_nothing(path):
    """Who reads cannot write."""
    path.parent.mkdir()
    written(path, records=day())
    with closing(connect_to_read(path)) as db:
        assert 6 == db.execute("SELECT count(*) FROM records").fetchone()[0]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM records")


def test_a_transaction_is_all_or_nothing(path):
    """What fails within leaves nothing behind, and the connection can be used again."""
    with closing(connect(path)) as db:
        twice = [("x",), ("x",)]
        with pytest.raises(sqlite3.IntegrityError), transaction(db):
            db.executemany("INSERT INTO open VALUES (?, 1, 's', NULL, 1, '')", twice)
        with transaction(db):
            assert 0 == db.execute("SELECT count(*) FROM open").fetchone()[0]


@pytest.mark.parametrize(("text", "expected"), [("plain", "plain"), ("zwölf", "zwölf"), ("a\ud800", "a\\ud800")])
def test_ids_as_stored(text, expected):
    """An id that SQLite can hold is stored as it is; half of a surrogate pair is written out."""
    assert expected == as_stored(text)
