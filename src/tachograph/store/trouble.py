"""What keeps a store from being written: said once for each kind, and once when it is over; and when to try again."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final

from tachograph.store.schema import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS: Final = (sqlite3.Error, OSError)
"""What the database and the file system raise; anything else is a record's fault, or ours."""

_LOCKED_SECONDS: Final = 5.0
"""Others may be writing for so long before it is worth a line."""

_FIRST_RETRY, _LAST_RETRY = 0.2, 30.0
"""Seconds until it is tried again: at first, and at most."""

_FIXES: Final = {
    "full": "the disk is full; free some space",
    "readonly": "it is read-only; give another path with TACHOGRAPH_STORE, or the right to write",
    "unable to open": "it cannot be opened or made there; give another path with TACHOGRAPH_STORE",
    "locked": "another process has it locked; see who does",
    "malformed": "it is damaged; move it away and a new one is made",
    "not a database": "it is no database or a damaged one; move it away and a new one is made",
}


class Trouble:
    """The trouble there is, if any.

    Args:
        path: of the store, for the lines.
        complain: told the lines.
        clock: seconds that only grow.
    """

    def __init__(
        self, path: Path, complain: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._complain = complain
        self._clock = clock
        self._since = 0.0
        self._dropped = 0
        self._wait = _FIRST_RETRY
        self._told: set[str] = set()
        self.error: str | None = None
        self.last_error: str | None = None
        self.failures = 0
        self.retry_at = 0.0

    def __bool__(self) -> bool:
        return self.error is not None

    @property
    def passing(self) -> bool:
        """Whether it is only that others are writing."""
        return self.error == _FIXES["locked"]

    @property
    def lasting(self) -> bool:
        """Whether it is more than that."""
        return self.error is not None and not self.passing

    def failed(self, error: Exception, dropped: int = 0) -> None:
        """A write has failed so; ``dropped`` records were given up so far, over all time."""
        now = self._clock()
        if self.error is None:
            self._since, self._wait, self._dropped = now, _FIRST_RETRY, dropped
        self.error = self.last_error = said = what_it_is(error)
        self.failures += 1
        self.retry_at = now + self._wait
        locked = self.passing
        # Others who write are a trouble only once it takes long, and are worth trying again soon.
        self._wait = _FIRST_RETRY if locked else min(2 * self._wait, _LAST_RETRY)
        if said not in self._told and (not locked or now - self._since >= _LOCKED_SECONDS):
            self._told.add(said)
            self._complain(
                f"store {self._path} cannot be written: {said}. Recording goes on in memory, "
                "and what is recorded is stored as soon as it can be"
            )

    def over(self, dropped: int = 0) -> None:
        """A write has succeeded; ``dropped`` as in :meth:`failed`."""
        if self.error is None:
            return
        self.error = None
        if self._told:
            self._told.clear()
            count = dropped - self._dropped
            lost = f"; {count:,} records were too many to wait for it and are not in it" if count else ""
            self._complain(f"store {self._path} is written again, after {self._clock() - self._since:.0f} s{lost}")


def what_it_is(error: Exception) -> str:
    """An error of the database or the file system, and its fix, in a few words."""
    text = str(error)
    if isinstance(error, sqlite3.Error):
        return next((fix for sign, fix in _FIXES.items() if sign in text), f"{type(error).__name__}: {text}")
    if isinstance(error, StoreError):
        return text
    return f"{error.strerror or text} ({error.filename})" if isinstance(error, OSError) else text


def is_busy(error: BaseException) -> bool:
    """Whether others are writing, and it is only to be tried again."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
