"""Whether anybody has touched the audit log, looked into in the background."""

from __future__ import annotations

import threading

import pytest

from support.stores import opened, undone, written
from tachograph.server.checking import Checking
from tachograph.store.schema import StoreError
from tachograph.store.verification import Verification, verify


def after(checking: Checking):
    """What is known when a check has ended."""
    checking.start().join(30)
    return checking.known


def test_of_a_store(tmp_path):
    """A store as it was written is whole; one in which somebody changed an entry is broken, and where is said."""
    written(tmp_path / "s.db")
    with opened(tmp_path / "s.db") as db:
        whole = after(checking := Checking(lambda: verify(db)))
        with undone(db):
            db.execute("UPDATE records SET body = replace(body, 'search', 'seek') WHERE number = 3")
            broken = after(checking)

    assert ("whole", "6 entries in 1 chain: none changed, removed, reordered or cut.") == (whole.state, whole.said)
    assert whole.limits
    assert ("broken", ["changed"]) == (broken.state, [problem.what for problem in broken.problems])


def test_one_at_a_time():
    """While a check is under way the state says so, and no second one begins."""
    go_on = threading.Event()

    def slow() -> Verification:
        go_on.wait(30)
        return Verification(entries=1, writers=1)

    checking = Checking(slow)
    assert "unchecked" == checking.known.state
    thread = checking.start()
    assert ("running", None) == (checking.known.state, checking.start())
    go_on.set()
    thread.join(30)
    assert "whole" == checking.known.state


def test_a_store_that_cannot_be_read():
    """Where the store cannot be read the state says why, and another check may be begun."""

    def fails() -> Verification:
        raise StoreError("s.db: no such file")

    checking = Checking(fails)
    assert ("failed", "s.db: no such file") == (after(checking).state, checking.known.said)
    assert "failed" == after(checking).state


def test_nothing_to_check():
    """Where there is no chain nothing is known, and nothing begins."""
    checking = Checking(None)

    assert (None, None) == (checking.known, checking.start())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault():
    """A fault of ours leaves no check under way for ever."""

    def fault() -> Verification:
        raise KeyError("ours")

    assert "failed" == after(Checking(fault)).state
