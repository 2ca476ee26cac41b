"""Connections for reading: to the file that is there, as many as are needed, and none left behind."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.records import operation
from tachograph.store.readers import MAX_IDLE, Readers, said
from tachograph.store.schema import StoreError
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator


DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with one record."""
    return written(tmp_path / "store.db", 1)


@pytest.fixture
def readers(path: Path) -> Iterator[Readers]:
    with closing(Readers(path)) as found:
        yield found


def written(path: Path, *numbers: int) -> Path:
    """A store with the operations of these numbers, and nobody writing."""
    with closing(Writer(path)) as writer:
        writer.append([operation(number) for number in numbers])
    return path


def count(readers: Readers) -> int:
    """Records there are at one look."""
    with readers.look() as db:
        return db.execute("SELECT count(*) FROM records").fetchone()[0]


def open_files(path: Path) -> int:
    """Files of a store that this process has open."""
    found = [os.path.realpath(descriptor) for descriptor in DESCRIPTORS.iterdir()]
    return sum(file.startswith(str(path)) for file in found)


def test_one_look_is_of_one_moment(readers: Readers, path: Path) -> None:
    """What others write during a look is seen by the next."""
    with readers.look() as db:
        before = db.execute("SELECT count(*) FROM records").fetchone()[0]
        written(path, 2)
        assert before == db.execute("SELECT count(*) FROM records").fetchone()[0] == 1
    assert 2 == count(readers)


def test_a_connection_is_used_again(readers: Readers) -> None:
    """Looks after each other are by one connection."""
    with readers.look() as first:
        pass
    with readers.look() as second:
        assert first is second


def test_a_store_that_is_replaced_is_read(readers: Readers, path: Path) -> None:
    """Whoever asks after the file was moved away and another put in its place is told of the other."""
    assert 1 == count(readers)
    path.rename(path.with_name("old.db"))
    with pytest.raises(StoreError, match="no such file"):
        count(readers)
    written(path, 1, 2, 3)

    assert 3 == count(readers)


def test_a_store_that_comes_later_is_read(tmp_path: Path) -> None:
    """To ask before there is a store is an error, and no reason not to ask again."""
    with closing(Readers(tmp_path / "later.db")) as readers:
        with pytest.raises(StoreError, match="no such file"):
            count(readers)
        written(tmp_path / "later.db", 1)

        assert 1 == count(readers)


def test_a_schema_that_changes_is_noticed(readers: Readers, path: Path) -> None:
    """A store that a newer version takes over is refused with what to do, and read again once it is as it was."""
    assert 1 == count(readers)
    for version, readable in ((99, False), (1, True)):
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version = {version}")
        if readable:
            assert 1 == count(readers)
        else:
            with pytest.raises(StoreError, match="upgrade Tachograph"):
                count(readers)


def test_a_failure_is_said_and_costs_the_next_look_nothing(readers: Readers, path: Path) -> None:
    """What SQLite complains of within a look names the file; what others raise there is theirs."""
    with pytest.raises(StoreError, match=f"{path}: no such table: nowhere; .*give another path"), readers.look() as db:
        db.execute("SELECT * FROM nowhere")
    with pytest.raises(KeyError), readers.look():
        raise KeyError
    assert 1 == count(readers)


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="counts files as Linux lists them")
def test_no_more_are_kept_than_needed(readers: Readers, path: Path) -> None:
    """Of many looks at once a few connections stay, and none once it is closed; those in use close after use."""
    together = threading.Barrier(MAX_IDLE + 5)

    def look() -> None:
        with readers.look():
            together.wait()

    threads = [threading.Thread(target=look) for _ in range(MAX_IDLE + 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert MAX_IDLE == len(readers._idle)
    with readers.look():
        readers.close()
        readers.close()
        assert open_files(path) > 0
    assert 0 == open_files(path)
    assert 1 == count(readers)
    assert 0 == open_files(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_reads_by_connections_of_its_own(readers: Readers) -> None:
    """A child goes on reading, and what it does to its connections does nothing to its parent's."""
    assert 1 == count(readers)
    child = os.fork()
    if child == 0:
        try:
            fine = count(readers) == 1
            readers.close()
        finally:
            os._exit(0 if fine else 1)

    assert 0 == os.waitpid(child, 0)[1]
    assert 1 == count(readers)


@pytest.mark.parametrize(
    ("complaint", "fix"),
    [
        ("database is locked", "try again"),
        ("database disk image is malformed", "damaged"),
        ("file is not a database", "damaged"),
        ("unable to open database file", "may be read"),
        ("database or disk is full", "make room"),
        ("no such column: x", "another path"),
        ("disk I/O error", "disk works"),
    ],
)
def test_every_complaint_has_a_fix(complaint: str, fix: str, tmp_path: Path) -> None:
    """What SQLite says is passed on with the file and what to do."""
    told = said(tmp_path / "store.db", sqlite3.OperationalError(complaint))

    assert told.startswith(f"{tmp_path / 'store.db'}: {complaint}; ")
    assert fix in told
