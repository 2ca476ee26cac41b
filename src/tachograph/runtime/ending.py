"""The end of a child of ``multiprocessing``, which runs nothing of what others run at exit; that of an interrupt."""

from __future__ import annotations

import contextlib
import sys
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


def still_interrupted() -> None:
    """Have a process that is about to end of a ``KeyboardInterrupt`` end of it, as the last thing done at exit.

    It would end with exit code 1 otherwise: Python forgets how it ends as soon as a text is run as code, as the import
    of any module with a named tuple does.
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - so Python takes it down again
