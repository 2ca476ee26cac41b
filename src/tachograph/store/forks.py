"""Who is told before and after a fork: SQLite does not survive one with a database open, neither here nor there."""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.guard import Guard


class Forked(Protocol):
    """Who is told."""

    def before_fork(self) -> None:
        """In the process that is about to fork."""

    def after_fork_in_parent(self) -> None:
        """In the same, afterwards."""

    def after_fork_in_child(self) -> None:
        """In the new process."""

    def close(self) -> None:
        """A child of ``multiprocessing`` ends; that is no exit like others."""


_told: weakref.WeakKeyDictionary[Forked, Guard] = weakref.WeakKeyDictionary()
_told_multiprocessing: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell(forked: Forked, guard: Guard) -> None:
    """Tell it of every fork, behind its guard, for as long as it lives."""
    _told[forked] = guard
    # In a child of a fork server, which loads the program itself, nobody will fork to be told of.
    guard(_close_at_the_end, forked)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        guard(_finalize, forked)


def _before() -> None:
    for forked, guard in list(_told.items()):
        guard(_close_at_the_end, forked)
        guard(forked.before_fork)


def _in_parent() -> None:
    for forked, guard in list(_told.items()):
        guard(forked.after_fork_in_parent)


def _in_child() -> None:
    for forked, guard in list(_told.items()):
        guard(forked.after_fork_in_child)


def _close_at_the_end(forked: Forked) -> None:
    # Children of multiprocessing run nothing of what is to be done at exit, but for what was told to it.
    util = sys.modules.get("multiprocessing.util")
    if util is not None and forked not in _told_multiprocessing:
        _told_multiprocessing.add(forked)
        util.register_after_fork(forked, _finalize)


def _finalize(forked: Forked) -> None:
    util = sys.modules["multiprocessing.util"]
    close: Callable[[], None] = forked.close
    util.Finalize(None, close, exitpriority=100)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
