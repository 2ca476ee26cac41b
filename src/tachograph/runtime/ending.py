"""The end of a child of ``multiprocessing``, which runs nothing of what other processes run at exit."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Ending:
    """Has a child of ``multiprocessing`` end as any other process does, so that what it recorded is sent.

    Args:
        at_exit: a method that does what is to be done then, for as long as its object lives.
    """

    def __init__(self, at_exit: Callable[[], None]) -> None:
        self._at_exit = weakref.WeakMethod(at_exit)

    def before_fork(self) -> None:
        """Nothing is to be done then."""

    def after_fork_in_parent(self) -> None:
        """Nothing is to be done then."""

    def after_fork_in_child(self) -> None:
        """That is done for every process, by whatever it is forked off."""

    def close(self) -> None:
        """The child ends."""
        at_exit = self._at_exit()
        if at_exit is not None:
            at_exit()
