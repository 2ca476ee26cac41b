"""The database: its tables, how it grew, how it is opened.

One SQLite file in WAL mode, which several processes write and read at once. Every record is one row and one link of
its writer's chain (:mod:`tachograph.store.chain`); counters of each session, of each request and of everything are kept
in the transaction that adds the records, so that reading them folds nothing. The tables may be read with any SQLite
tool; ``body`` is the JSON of :mod:`tachograph.canonical`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

APPLICATION_ID: Final = 0x54616368
"""``PRAGMA application_id`` of a store: "Tach"."""

SCOPES: Final = {"total": 0, "session": 1, "request": 2}
"""What a row of ``counters`` counts."""

HIDDEN: Final = """(counters.deleted AND NOT EXISTS (
  SELECT 1 FROM open AS later WHERE later.session_id = counters.session_id AND later.start_ns > counters.deleted
))"""
"""Whether a row of ``counters`` is of a deleted session in which nothing has begun since: as ``Tally.hidden()``."""


class StoreError(OSError):
    """The database cannot be used; the message names it, what is wrong, and the fix."""


def damaged(path: Path, error: Exception) -> StoreError:
    """The error for a file in which something cannot be what was written. Python has trouble reading some such text."""
    return StoreError(f"{path}: is no SQLite database or a damaged one ({error}); move it away and a new one is made")


def no_file(path: Path) -> str:
    """What is wrong with a path at which there is no file."""
    return "is a directory" if path.is_dir() else "is no file" if path.exists() else "no such file"


_TABLES: Final = """
CREATE TABLE writers (                -- one for each process (or fork) that ever wrote
  writer      INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT NOT NULL UNIQUE,   -- random; what a published head names
  host        TEXT NOT NULL,
  pid         INTEGER NOT NULL,
  program     TEXT NOT NULL,
  started_ns  INTEGER NOT NULL,
  seen_ns     INTEGER NOT NULL,       -- its last flush
  closed_ns   INTEGER,                -- NULL while it lives, and for good if it died
  count       INTEGER NOT NULL,       -- links so far
  head        BLOB NOT NULL,          -- the last link
  keyed       INTEGER NOT NULL,       -- whether links are HMACs
  seal        BLOB NOT NULL,          -- over name, count, head and what was pruned
  pruned      INTEGER NOT NULL DEFAULT 0,  -- links up to this number were taken away by retention ...
  pruned_head BLOB                    -- ... the last of which was this
);
CREATE TABLE records (
  seq            INTEGER PRIMARY KEY, -- order of storing, over all writers
  writer         INTEGER NOT NULL,
  number         INTEGER NOT NULL,    -- place in the writer's chain, from 1
  id             TEXT NOT NULL,
  kind           TEXT NOT NULL,       -- kind of an operation, type of an event
  session_id     TEXT NOT NULL,
  correlation_id TEXT,
  start_ns       INTEGER NOT NULL,
  end_ns         INTEGER NOT NULL,    -- of an event both are its one moment
  critical       INTEGER NOT NULL,    -- whether any of its audit entries is
  body           TEXT,                -- NULL once its session was deleted for good; then ...
  digest         BLOB,                -- ... this is what is left of it
  link           BLOB NOT NULL
);
CREATE UNIQUE INDEX records_by_id ON records (id);
CREATE UNIQUE INDEX records_by_chain ON records (writer, number);
CREATE INDEX records_by_session ON records (session_id, end_ns);
CREATE INDEX records_by_time ON records (end_ns);
CREATE INDEX records_by_kind ON records (kind, end_ns);
CREATE INDEX records_by_request ON records (correlation_id, end_ns);
CREATE INDEX records_amiss ON records (kind, end_ns) WHERE NOT instr(body, '"outcome":"ok"');
CREATE INDEX records_critical ON records (end_ns) WHERE critical;
CREATE TABLE counters (
  scope          INTEGER NOT NULL,    -- 0 everything, 1 a session, 2 a request within it
  session_id     TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  first_ns       INTEGER,
  last_ns        INTEGER NOT NULL,
  deleted        INTEGER NOT NULL,    -- when, if it is hidden by that; else 0
  version        INTEGER NOT NULL,    -- one more at each write: whoever remembers the row sees whether it still holds
  body           TEXT NOT NULL,
  PRIMARY KEY (scope, session_id, correlation_id)  -- beside the table: rows stay where they were made, next to others
);
CREATE INDEX counters_by_time ON counters (scope, deleted, last_ns);
CREATE TABLE open (                   -- what was under way at its writer's last flush
  id             TEXT PRIMARY KEY,
  writer         INTEGER NOT NULL,
  session_id     TEXT NOT NULL,
  correlation_id TEXT,
  start_ns       INTEGER NOT NULL,
  body           TEXT NOT NULL
)
"""


def _m001_tables(db: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";\n"):
        db.execute(statement.strip())


MIGRATIONS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_m001_tables,)
"""Each takes the schema from the version of its place to the next; ``PRAGMA user_version`` says which one is there."""

VERSION: Final = len(MIGRATIONS)


class _Connection(sqlite3.Connection):
    """Closed with whoever had it: that a failure of ours has left it open is no warning in the program."""

    def __del__(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # it has never been opened
            self.close()


def connect(path: Path, *, timeout: float = 5.0) -> sqlite3.Connection:
    """Open a store for writing: made if it is not there, brought up to date if it is older.

    The connection commits by itself; see :func:`transaction`. It may be used by one thread at a time.

    Args:
        path: of the file. Folders above it are made, readable by their owner only.
        timeout: seconds to wait for other writers.

    Raises:
        StoreError: for a file that is no store or that a newer version wrote.
        sqlite3.Error: for what SQLite cannot do: disk full, read-only, locked, corrupt.
    """
    if path.is_dir():
        raise StoreError(f"{path}: {no_file(path)}; give the path of a store")
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        # Made before SQLite makes it, so that nobody else can read it for a moment: what agents did is private.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    # Not sqlite3.connect(), which instrumentations wrap: what we ask of our own database is no query of the program's.
    db = _Connection(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        found = _version(db, path)
        if found < VERSION:
            _migrate(db, path, timeout)
        # With WAL: a crash of the machine may cost the newest, never the file.
        db.execute("PRAGMA synchronous = NORMAL")
        # What is overwritten or deleted is gone: a session deleted for good is to leave nothing in odd corners.
        db.execute("PRAGMA secure_delete = ON")
    except BaseException:
        db.close()
        raise
    return db


def connect_to_read(path: Path, *, timeout: float = 5.0) -> sqlite3.Connection:
    """Open a store that exists, for reading only; also one on a medium that cannot be written.

    Raises:
        StoreError: for a file that is not there, is no store, or is of another version.
        sqlite3.Error: for what SQLite cannot do.
    """
    if not path.is_file():
        raise StoreError(f"{path}: {no_file(path)}; give the path of a store, or record into one first")
    where = f"file:{quote(str(path.absolute()))}?mode=ro"
    db = _Connection(where, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        try:
            found = _version(db, path)
        except sqlite3.OperationalError:
            # A read-only folder has no room for the index that readers of a WAL share; where there is no WAL either,
            # nobody is writing.
            if path.with_name(path.name + "-wal").exists():
                raise
            db.close()
            db = _Connection(where + "&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
            found = _version(db, path)
        _up_to_date(found, path)
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, alone among writers."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def as_stored(text: str) -> str:
    """An id as SQLite can hold it: half of a surrogate pair is written out. For storing and for asking."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _version(db: sqlite3.Connection, path: Path) -> int:
    """The version of the schema that is there; 0 for an empty file."""
    try:
        # In one statement: between two of them somebody else may have made the store.
        row = db.execute(
            "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
            "FROM pragma_user_version, pragma_application_id"
        ).fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise damaged(path, error) from None
    version, application, tables = cast("tuple[int, int, int]", row)
    if application != APPLICATION_ID and (tables or version):
        raise StoreError(f"{path}: is a SQLite database, but no store of Tachograph; give another path")
    if version > VERSION:
        raise StoreError(
            f"{path}: was written by a newer Tachograph (schema {version}; this one knows up to {VERSION}); "
            "upgrade Tachograph or give another path"
        )
    return version


def _up_to_date(version: int, path: Path) -> None:
    if not version:
        raise StoreError(f"{path}: is empty; give the path of a store, or record into it first")
    if version < VERSION:
        raise StoreError(
            f"{path}: is of the older schema {version} and cannot be brought up to date by who only reads; "
            "let a program record into it, or run `tachograph prune` on it"
        )


def _migrate(db: sqlite3.Connection, path: Path, timeout: float) -> None:
    if not _version(db, path):
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # to be said before the first table
        _write_ahead(db, time.monotonic() + timeout)
    with transaction(db):
        for migrate in MIGRATIONS[_version(db, path) :]:  # asked again: another process may have been faster
            migrate(db)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")


def _write_ahead(db: sqlite3.Connection, until: float) -> None:
    """Write to a log first; whoever makes the same store at the same moment is waited for, as SQLite does not here."""
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:  # noqa: PERF203 - it is what is waited for
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return
