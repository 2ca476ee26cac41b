"""Batches are stored whole, and a record that cannot be stored costs no other."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.records import operation
from support.stores import checked, opened
from tachograph.config import Config
from tachograph.guard import Guard
from tachograph.store.batches import Batches
from tachograph.store.schema import connect

if TYPE_CHECKING:
    from pathlib import Path

UNFIT = operation(99)._replace(start_ns=2**70, end_ns=2**70)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def ids(path: Path, table: str = "records") -> list[str]:
    with opened(path) as db:
        return [id_ for (id_,) in db.execute(f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608 - ours


def test_nothing_is_made_before_the_first_batch(path):
    """The file is made when there is something to store; closing without any makes none."""
    batches = Batches(Config(store=str(path)), Guard(strict=True), "test")
    assert not path.exists()
    batches.close(hand_over=False)
    assert not path.exists()

    batches.store([operation(1)], [])
    batches.close(hand_over=False)
    assert [operation(1).id] == ids(path)
    assert 1 == batches.written


def test_what_is_unfit_costs_only_itself(path):
    """A record that no database holds is left out and counted, whether it has ended or is under way."""
    guard = Guard()
    batches = Batches(Config(store=str(path), audit_key="k"), guard, "test")
    batches.store([operation(1), UNFIT, operation(2)], [operation(3, took=None)])
    batches.store([operation(4)], [UNFIT._replace(end_ns=None, outcome=None)])

    assert [operation(number).id for number in (1, 2, 4)] == ids(path)
    assert (3, 1) == (batches.written, batches.unfit)
    assert {"Batches._attempt": 4} == guard.swallowed()
    assert checked(path, key=b"k").ok
    batches.close(hand_over=False)


def test_a_strict_guard_says_it(path):
    """In our own tests a record that cannot be stored is an error."""
    batches = Batches(Config(store=str(path)), Guard(strict=True), "test")
    with pytest.raises(OverflowError):
        batches.store([UNFIT], [])


def test_trouble_is_raised_and_nothing_stored(path):
    """What the database raises is raised, whole: the batch is stored by a later call."""
    guard = Guard()
    batches = Batches(Config(store=str(path)), guard, "test")
    with closing(connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            batches.store([operation(1), operation(2)], [])
        db.execute("ROLLBACK")
    batches.store([operation(1), operation(2)], [])

    assert 2 == len(ids(path))
    assert {} == guard.swallowed()
    batches.close(hand_over=False)


@pytest.mark.parametrize(("hand_over", "lost"), [(False, [operation(1).id]), (True, [])])
def test_closing_ends_what_is_under_way(path, hand_over, lost):
    """What is still under way at the end is lost, but where another goes on with it."""
    batches = Batches(Config(store=str(path)), Guard(strict=True), "test")
    batches.store([], [operation(1, took=None)])
    batches.close(hand_over=hand_over)

    assert (lost, []) == (ids(path), ids(path, "open"))
