"""Whoever has asked is told before and after a fork, on both sides, for as long as it lives."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os

import pytest

from tachograph.guard import Guard
from tachograph.store import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


class Told:
    """Notes what it is told."""

    def __init__(self, *, failing: bool = False) -> None:
        self.told: list[str] = []
        self.failing = failing

    def _note(self, what: str) -> None:
        self.told.append(what)
        if self.failing:
            raise ZeroDivisionError

    def before_fork(self) -> None:
        self._note("before")

    def after_fork_in_parent(self) -> None:
        self._note("parent")

    def after_fork_in_child(self) -> None:
        self._note("child")

    def close(self) -> None:
        os.write(self.out, b"closed")  # type: ignore[attr-defined]  # set by the test that forks with it


def in_a_child(told: Told) -> list[str]:
    """Fork; what was told in the child by then."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(told.told).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return json.loads(pipe.read())


def test_both_sides_are_told():
    """Before the fork, then in the parent and in the child."""
    told = Told()
    forks.tell(told, Guard(strict=True))

    assert ["before", "child"] == in_a_child(told)
    assert ["before", "parent"] == told.told


def test_a_failure_stays_with_the_guard():
    """Whatever the told do wrong, the fork is done, and the failure counted."""
    told, guard = Told(failing=True), Guard()
    forks.tell(told, guard)

    assert ["before", "child"] == in_a_child(told)
    assert 2 == sum(guard.swallowed().values())


def test_who_is_gone_is_not_told():
    """Being told keeps nobody alive."""
    told = Told()
    notes = told.told
    forks.tell(told, Guard(strict=True))
    del told
    gc.collect()
    in_a_child(Told())

    assert [] == notes


def test_a_child_of_multiprocessing_closes():
    """Its end is no exit like others; whoever was told of the fork is closed all the same."""
    told = Told()
    forks.tell(told, Guard(strict=True))
    reading, told.out = os.pipe()  # type: ignore[attr-defined]
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    os.close(told.out)
    with os.fdopen(reading) as pipe:
        assert "closed" == pipe.read()
    assert 0 == child.exitcode
    told.out = os.open(os.devnull, os.O_WRONLY)  # for children of later tests
