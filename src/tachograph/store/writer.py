"""Who writes into a store: one for each process, each with a chain of its own.

Everything here is done in the caller's thread and raises what goes wrong; :mod:`tachograph.store.keeper` is the one who
runs it beside a program. Each call is one transaction: it leaves the database as it was, or whole.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import sqlite3
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from tachograph.canonical import record_from_text, record_text, tally_from_text, tally_text
from tachograph.records import Event, Operation
from tachograph.store.chain import Head, SealedWriter, digest, first_link, link, seal
from tachograph.store.presence import Presence, is_alive
from tachograph.store.schema import SCOPES, StoreError, connect, transaction
from tachograph.tally import SESSIONLESS, Tally, ended, repeats_operation
from tachograph.views.audit import is_critical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tachograph.records import Record

_MAX_REMEMBERED: Final = 2_000
"""Sessions and requests whose counters a writer has at hand, so that it need not read them each time."""

_IDS: Final = 500
"""Ids asked for at once; SQLite before 3.32 takes no more than 999."""

_Scope = tuple[int, str, str]
"""Primary key of a row of ``counters``."""

_TOTAL: Final[_Scope] = SCOPES["total"], "", ""


class Writer:
    """Appends records to a store, their counters and what is under way, and chains them.

    Thread-compatible: one thread at a time.

    Args:
        path: of the store; made if it is not there.
        key: of the HMACs of the chain; without it they are plain hashes.
        program: what to call the process that writes.
        max_names: agents, tools and models counted by name per session.
        timeout: seconds to wait for other writers.
        clock: nanoseconds since the epoch.

    Raises:
        StoreError: where the file is no store, or a newer version's.
        sqlite3.Error: for what SQLite cannot do: disk full, read-only, locked, corrupt.
        OSError: for what the file system cannot do.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes | None = None,
        program: str = "",
        max_names: int = 200,
        timeout: float = 5.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._path = path
        self._key = key
        self._program = program
        self._max_names = max_names
        self._timeout = timeout
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._presence: Presence | None = None
        self._id = 0
        self._head = Head("", 0, b"")  # until the constructor appends
        self._under_way: set[str] = set()
        self._remembered: OrderedDict[_Scope, tuple[int, Tally]] = OrderedDict()
        self._touched: dict[_Scope, tuple[int, Tally]] = {}
        try:
            self.append(())
        except BaseException:
            self.release()
            self._absent()
            raise

    @property
    def head(self) -> Head:
        """Where the chain stands, as last committed."""
        return self._head

    @property
    def keyed(self) -> bool:
        """Whether links are HMACs."""
        return self._key is not None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, opened if need be: for upkeep, in the same thread, between calls of the others.

        Raises:
            StoreError, sqlite3.Error, OSError: as the constructor does.
        """
        return self._ready()

    # ----------------------------------------------------------------------------------------------------- append
    def append(self, records: Iterable[Record], under_way: Iterable[Operation] = ()) -> int:
        """Store what ended and happened, and what is under way now, in one transaction.

        Args:
            records: ended operations and events. What is stored already is left out, and so is the log event of what
                an operation carries.
            under_way: everything that has begun and not ended. What was told before and is not here any more is
                forgotten.

        Returns:
            How many records are new.

        Raises:
            StoreError, sqlite3.Error, OSError: as the constructor does; then nothing of this is stored.
            ValueError, TypeError, OverflowError: for a record that cannot be stored; likewise.
        """
        told = list(records)
        going_on = {operation.id: operation for operation in under_way}
        try:
            db = self._ready()
            try:
                with transaction(db):
                    new, head, open_now = self._append(db, told, going_on, stored=False)
            except sqlite3.IntegrityError:
                # Something is stored already. That is rare, and to ask first each time costs a tenth of it all.
                self._touched.clear()
                self._remembered.clear()
                with transaction(db):
                    new, head, open_now = self._append(db, told, going_on, stored=True)
        except BaseException as error:
            for scope in self._touched:  # folded into, and not written
                self._remembered.pop(scope, None)
            if isinstance(error, sqlite3.DatabaseError) and not _is_busy(error):
                self.release()  # a connection that has failed is not to be trusted; the next call opens another
            raise
        finally:
            touched, self._touched = self._touched, {}
        self._head, self._under_way = head, open_now
        for scope, counters in touched.items():
            self._remembered[scope] = counters
            self._remembered.move_to_end(scope)
        while len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return new

    def _append(
        self, db: sqlite3.Connection, told: list[Record], going_on: dict[str, Operation], *, stored: bool
    ) -> tuple[int, Head, set[str]]:
        sealed = self._sealed(db)
        if sealed is None:
            sealed = self._register(db)
            told = self._lost(db) + told
        fresh = self._fresh(db, told, stored=stored)
        count, head = sealed.entries, sealed.head
        rows = []
        for count, record in enumerate(fresh, count + 1):  # noqa: B020 - goes on counting
            text, columns = record_text(record), _columns(count, record)
            head = link(head, digest(text), columns, self._key)
            rows.append((self._id, *columns, text, head))
        db.executemany(_INSERT, rows)
        self._count(db, fresh)
        open_now = self._note(db, going_on, {record.id for record in told})
        sealed = sealed._replace(entries=count, head=head)
        db.execute(
            "UPDATE writers SET count = ?, head = ?, seal = ?, seen_ns = ? WHERE writer = ?",
            (count, head, seal(sealed, self._key), self._clock(), self._id),
        )
        return len(fresh), Head(sealed.name, count, head), open_now

    def _fresh(self, db: sqlite3.Connection, records: Iterable[Record], *, stored: bool) -> list[Record]:
        """Each record once; with ``stored`` without those that are in the store already."""
        found: dict[str, Record] = {}
        for record in records:
            if record.id not in found and not (isinstance(record, Event) and repeats_operation(record)):
                found[record.id] = record
        if stored:
            ids = list(found)
            for at in range(0, len(ids), _IDS):
                asked = {_plain(id_): id_ for id_ in ids[at : at + _IDS]}
                marks = ",".join("?" * len(asked))
                query = f"SELECT id FROM records WHERE id IN ({marks})"  # noqa: S608 - only marks
                for (id_,) in db.execute(query, [*asked]):
                    found.pop(asked[id_], None)
        return list(found.values())

    # --------------------------------------------------------------------------------------------------- counters
    def _count(self, db: sqlite3.Connection, records: Iterable[Record]) -> None:
        """Fold records into the counters they belong to, as the ledger does."""
        of_request: dict[tuple[str, str | None], tuple[Tally, ...]] = {}
        for record in records:
            if isinstance(record, Event) and record.type in SESSIONLESS:
                self._tally(db, _TOTAL).event(record)
                continue
            key = record.session_id, record.correlation_id
            tallies = of_request.get(key)
            if tallies is None:
                tallies = of_request[key] = tuple(self._tally(db, scope) for scope in _scopes(*key))
            if isinstance(record, Event):
                for tally in tallies:
                    tally.event(record)
            else:
                ended(record, tallies)
        rows = []
        for scope, (version, tally) in self._touched.items():
            # The calls themselves are kept as records, so that the list of the newest has lost none.
            tally.evicted_requests = 0
            rows.append((*scope, tally.first_ns, tally.last_ns, tally.deleted, version, tally_text(tally)))
        db.executemany(_WRITE_COUNTERS, rows)

    def _tally(self, db: sqlite3.Connection, scope: _Scope) -> Tally:
        touched = self._touched.get(scope)
        if touched is not None:
            return touched[1]
        remembered = self._remembered.get(scope)
        row = db.execute(_VERSION if remembered else _COUNTERS, scope).fetchone()
        if remembered and row is not None and row[0] == remembered[0]:
            version, tally = remembered
        else:
            if remembered and row is not None:  # another writer's doing
                row = db.execute(_COUNTERS, scope).fetchone()
            # The first version is no small number, so that a row deleted and made again is not taken for the old one.
            version, tally = (secrets.randbits(40), self._new()) if row is None else (row[0], self._read(scope, row[1]))
        self._touched[scope] = version + 1, tally
        return tally

    def _new(self) -> Tally:
        return Tally(max_names=self._max_names, max_requests=0)

    def _read(self, scope: _Scope, text: Any) -> Tally:
        try:
            return tally_from_text(text, max_names=self._max_names, max_requests=0)
        except ValueError as error:
            raise StoreError(f"{self._path}: the counters of {scope[1] or 'everything'} are damaged: {error}") from None

    # --------------------------------------------------------------------------------------------------- under way
    def _note(self, db: sqlite3.Connection, going_on: dict[str, Operation], ended_ids: set[str]) -> set[str]:
        wanted = going_on.keys() - ended_ids
        gone = self._under_way - wanted
        if gone:
            db.executemany("DELETE FROM open WHERE id = ? AND writer = ?", [(_plain(id_), self._id) for id_ in gone])
        new = [going_on[id_] for id_ in going_on if id_ in wanted and id_ not in self._under_way]
        if new:
            db.executemany(
                "INSERT OR REPLACE INTO open (id, writer, session_id, correlation_id, start_ns, body) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(_plain(of.id), self._id, *_place(of), of.start_ns, record_text(of)) for of in new],
            )
        return set(wanted)

    def _lost(self, db: sqlite3.Connection) -> list[Record]:
        """What writers that have died left open, ended; they are closed."""
        lost: list[Record] = []
        for writer, name, seen_ns in db.execute(
            "SELECT writer, name, seen_ns FROM writers WHERE closed_ns IS NULL AND writer <> ?", (self._id,)
        ).fetchall():
            if not is_alive(self._path, name):
                lost += self._end(db, writer, seen_ns)
                db.execute("UPDATE writers SET closed_ns = seen_ns WHERE writer = ?", (writer,))
        return lost

    @staticmethod
    def _end(db: sqlite3.Connection, writer: int, end_ns: int) -> list[Operation]:
        """What a writer has open, ended as lost; the rows are removed."""
        lost = []
        for (body,) in db.execute("SELECT body FROM open WHERE writer = ? ORDER BY start_ns", (writer,)).fetchall():
            with contextlib.suppress(ValueError):  # a damaged one cannot be told of, and is not to stop the others
                begun = record_from_text(body)
                if isinstance(begun, Operation):
                    lost.append(begun.over(max(end_ns, begun.start_ns), "lost", None, None, begun.attributes))
        db.execute("DELETE FROM open WHERE writer = ?", (writer,))
        return lost

    # ------------------------------------------------------------------------------------------------ the database
    def _ready(self) -> sqlite3.Connection:
        if self._db is not None and _identity(self._path) != self._file:
            self.release()  # the file was moved away, or is another by now
        if self._db is None:
            db = connect(self._path, timeout=self._timeout)
            self._db, self._file = db, _identity(self._path)
        return self._db

    def _sealed(self, db: sqlite3.Connection) -> SealedWriter | None:
        """Our row as it is; None where we have none."""
        if self._presence is None:
            return None
        row = db.execute(
            "SELECT name, count, head, pruned, pruned_head, keyed FROM writers WHERE writer = ? AND name = ?",
            (self._id, self._presence.writer),
        ).fetchone()
        return None if row is None else SealedWriter(*row)

    def _register(self, db: sqlite3.Connection) -> SealedWriter:
        """Enter ourselves, under a new name; present before anybody can see the row."""
        self._absent()
        name = secrets.token_hex(8)
        self._presence = Presence(self._path, name)
        sealed = SealedWriter(name, 0, first_link(name, self._key), 0, None, int(self.keyed))
        now, mark = self._clock(), seal(sealed, self._key)
        added = db.execute(
            "INSERT INTO writers (name, host, pid, program, started_ns, seen_ns, count, head, keyed, seal) "
            "VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
            (name, platform.node(), os.getpid(), self._program, now, now, sealed.head, sealed.keyed, mark),
        )
        self._id = added.lastrowid or 0
        self._under_way.clear()
        self._remembered.clear()
        return sealed

    def _absent(self) -> None:
        presence, self._presence = self._presence, None
        if presence is not None:
            presence.give_up()

    # ----------------------------------------------------------------------------------------------------- the end
    def release(self) -> None:
        """Close the database for now; the next call opens it again. For before a fork, and after a failure."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def forget(self) -> None:
        """In a forked child: let go of what is the parent's. The database has to have been released before the fork."""
        if self._presence is not None:
            self._presence.forget()
        self._presence = None

    def close(self) -> None:
        """Say that nothing more will come, and give everything back. What is still under way is ``lost``.

        Raises:
            StoreError, sqlite3.Error, OSError: as the constructor does; given back all the same.
        """
        try:
            if self._under_way:
                db = self._ready()
                with transaction(db):
                    left = self._end(db, self._id, self._clock())
                self._under_way.clear()
                self.append(left)
            db = self._ready()
            with transaction(db):
                db.execute(
                    "UPDATE writers SET closed_ns = ? WHERE writer = ? AND name = ?",
                    (self._clock(), self._id, self.head.writer),
                )
        finally:
            self.release()
            self._absent()


_INSERT: Final = (
    "INSERT INTO records "
    "(writer, number, id, kind, session_id, correlation_id, start_ns, end_ns, critical, body, link) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_WRITE_COUNTERS: Final = (
    "INSERT OR REPLACE INTO counters "
    "(scope, session_id, correlation_id, first_ns, last_ns, deleted, version, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_VERSION: Final = "SELECT version FROM counters WHERE scope = ? AND session_id = ? AND correlation_id = ?"
_COUNTERS: Final = "SELECT version, body FROM counters WHERE scope = ? AND session_id = ? AND correlation_id = ?"


def _columns(number: int, record: Record) -> tuple[int, str, str, str, str | None, int, int, int]:
    if isinstance(record, Event):
        kind, start_ns, end_ns = record.type, record.timestamp_ns, record.timestamp_ns
    else:
        kind, start_ns, end_ns = record.kind, record.start_ns, record.end_ns or record.start_ns
    return number, _plain(record.id), kind, *_place(record), start_ns, end_ns, int(is_critical(record))


def _place(record: Record) -> tuple[str, str | None]:
    correlation_id = record.correlation_id
    return _plain(record.session_id), None if correlation_id is None else _plain(correlation_id)


def _plain(text: str) -> str:
    """An id as SQLite can hold it: no half of a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _scopes(session_id: str, correlation_id: str | None) -> list[_Scope]:
    session = _plain(session_id)
    scopes = [_TOTAL, (SCOPES["session"], session, "")]
    if correlation_id is not None:
        scopes.append((SCOPES["request"], session, _plain(correlation_id)))
    return scopes


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
