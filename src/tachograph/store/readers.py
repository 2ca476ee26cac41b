"""Connections for reading a store: as many as are needed at once, and always to the file that is there now.

A store may be made, brought up to date, moved away or put back while somebody reads it. So each look asks whether a
connection at hand is still to that file, and whether the schema is one that this version knows.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from tachograph.store.schema import VERSION, StoreError, connect_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_IDLE: Final = 8
"""Connections kept for the next look; each holds three files open."""

_Identity = tuple[int, ...]


class Readers:
    """Looks at one store. Thread-safe, and of use to a forked child.

    Args:
        path: of the store. Nothing is opened until somebody looks.
        timeout: seconds to wait where SQLite has to.
    """

    def __init__(self, path: Path, *, timeout: float = 5.0) -> None:
        self.path = path
        self._timeout = timeout
        self._inherited: list[object] = []
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[tuple[_Identity, sqlite3.Connection]] = []
        self._closed = False

    @contextlib.contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """The store as it is at one moment, whatever others write meanwhile.

        Raises:
            StoreError: for whatever the database cannot do, also within the block; it names the file and the fix.
        """
        try:
            identity, db = self._take()
            try:
                yield db
            except BaseException:
                db.close()  # nobody knows what state it is in
                raise
            self._give_back(identity, db)
        except sqlite3.Error as error:
            raise StoreError(said(self.path, error)) from error

    def close(self) -> None:
        """Close what is at hand, and what is in use as soon as it is not. Who looks again opens anew."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, db in idle:
            db.close()

    def _take(self) -> tuple[_Identity, sqlite3.Connection]:
        if self._process != os.getpid():
            # A connection does not survive a fork, and closing the parent's would take the parent's locks away.
            self._inherited.append((self._idle, self._lock))
            self._begin()
        identity = self._identity()
        while True:
            with self._lock:
                known, db = self._idle.pop() if self._idle else (None, None)
            if db is None:
                break
            if known == identity and self._at_a_moment(db):
                return identity, db
            db.close()
        db = connect_to_read(self.path, timeout=self._timeout)
        db.execute("BEGIN")
        return identity, db

    def _identity(self) -> _Identity:
        """Which file is there; size and time too, as SQLite does not watch a file on a medium that nobody can write."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    @staticmethod
    def _at_a_moment(db: sqlite3.Connection) -> bool:
        """Begin to read; not where the schema has changed, which is for who opens it anew to judge."""
        try:
            db.execute("BEGIN")
            version: int = db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.Error:
            return False
        return version == VERSION

    def _give_back(self, identity: _Identity, db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE:
                self._idle.append((identity, db))
                return
        db.close()


def said(path: Path, error: sqlite3.Error) -> str:
    """What SQLite complains of, with the file and what to do about it."""
    text = str(error)
    if "locked" in text or "busy" in text:
        fix = "another process holds it; try again when that is done"
    elif "malformed" in text or "not a database" in text or "disk image" in text:
        fix = "it is damaged; move it away, and take what can be read from a copy with SQLite's .recover"
    elif "unable to open" in text or "readonly" in text:
        fix = "see that the file and its folder may be read (and written, where a -wal file lies beside it)"
    elif "full" in text:
        fix = "make room on the disk"
    elif "no such table" in text or "no such column" in text:
        fix = "it is no whole store; give another path"
    else:
        fix = "see that the disk works and the file is a store of Tachograph"
    return f"{path}: {text}; {fix}"
