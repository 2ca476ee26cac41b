"""Trouble with a store is said once for each kind, and so is its end."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from tachograph.store.schema import StoreError
from tachograph.store.trouble import Trouble, is_busy, what_it_is

PATH = Path("store.db")
FULL = sqlite3.OperationalError("database or disk is full")
LOCKED = sqlite3.OperationalError("database is locked")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def trouble() -> tuple[Trouble, list[str], Clock]:
    lines, clock = [], Clock()
    return Trouble(PATH, lines.append, clock), lines, clock


def test_each_kind_is_said_once():
    """The first failure of a kind is one line, which says what to do; its end is another; then it begins anew."""
    there, lines, clock = trouble()
    assert not there
    for error in (FULL, FULL, OSError(errno.EACCES, "Permission denied", "store.db"), FULL):
        there.failed(error, dropped=1_000)
    clock.now += 12
    assert there
    there.over(dropped=2_234)
    there.over()

    assert not there
    assert 4 == there.failures
    begin = "store store.db cannot be written: "
    end = ". Recording goes on in memory, and what is recorded is stored as soon as it can be"
    assert [
        f"{begin}the disk is full; free some space{end}",
        f"{begin}Permission denied (store.db){end}",
        "store store.db is written again, after 12 s; 1,234 records were too many to wait for it and are not in it",
    ] == lines
    there.failed(FULL)
    assert 4 == len(lines)


def test_others_writing_is_no_trouble_for_a_while():
    """A locked database is tried again soon, and only worth a line when it stays so."""
    there, lines, clock = trouble()
    for _ in range(10):
        there.failed(LOCKED)
        assert 0.2 == pytest.approx(there.retry_at - clock.now)
    assert (True, False) == (there.passing, there.lasting)
    there.over()
    assert [] == lines
    assert (False, False) == (there.passing, there.lasting)

    there.failed(LOCKED)
    clock.now += 5
    there.failed(LOCKED)
    assert 1 == len(lines)
    assert "another process has it locked" in lines[0]


def test_it_is_tried_less_and_less_often():
    """The wait doubles up to half a minute."""
    there, _, clock = trouble()
    waits = []
    for _ in range(10):
        there.failed(FULL)
        waits.append(round(there.retry_at - clock.now, 1))

    assert [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] == waits


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (sqlite3.OperationalError("attempt to write a readonly database"), "it is read-only; give another path"),
        (sqlite3.OperationalError("unable to open database file"), "it cannot be opened or made there"),
        (sqlite3.DatabaseError("database disk image is malformed"), "it is damaged; move it away"),
        (sqlite3.DatabaseError("file is not a database"), "it is no database"),
        (sqlite3.OperationalError("disk I/O error"), "OperationalError: disk I/O error"),
        (StoreError("was written by a newer Tachograph"), "was written by a newer Tachograph"),
        (OSError("odd"), "odd"),
    ],
)
def test_what_is_wrong_is_said_in_words(error, words):
    """An error is told with its fix where one is known."""
    assert words in what_it_is(error)


def test_only_a_lock_is_busy():
    """A database that others write is told from one that cannot be written."""
    assert is_busy(LOCKED)
    assert not is_busy(FULL)
    assert not is_busy(OSError("locked"))
