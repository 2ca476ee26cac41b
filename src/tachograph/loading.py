"""Modules that are loaded while the program is at work: never while it forks.

A module that another thread is half-way through loading stays so in a child, which waits for that thread for ever
when it wants the module. Whoever forks waits for us instead.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE: Final = 5.0
"""Seconds that a fork waits: who loads may itself wait for something that the one who forks holds."""

_lock = threading.RLock()
_held = False


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Within the block modules are loaded; no other thread forks meanwhile."""
    with _lock:
        yield


def _before_fork() -> None:
    global _held  # noqa: PLW0603 - there is one fork at a time
    _held = _lock.acquire(timeout=_PATIENCE)


def _after_fork_in_parent() -> None:
    if _held:
        _lock.release()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - the thread that held it is no more
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
