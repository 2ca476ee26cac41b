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
from typing import TYPE_CHECKING, Final

from tachograph.canonical import record_from_text, record_text
from tachograph.facts import repeats_operation
from tachograph.records import OUTLIVING, Event, Operation
from tachograph.store.chain import Head, SealedWriter, digest, first_link, link, seal
from tachograph.store.counters import Counters
from tachograph.store.presence import Presence, is_alive
from tachograph.store.schema import as_stored, connect, damaged, transaction
from tachograph.store.trouble import is_busy
from tachograph.views.audit import is_critical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tachograph.records import Record

_ITS_OWN: Final = " ".join(f"""AND NOT instr(body, '"kind":"{kind}"')""" for kind in sorted(OUTLIVING))
"""Of what a writer has open, what ends with it: a human is waited for beyond that."""

_IDS: Final = 500
"""Ids asked for at once; SQLite before 3.32 takes no more than 999."""


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
        self._timeout = timeout
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._presence: Presence | None = None
        self._id = 0
        self._head = Head("", 0, b"")  # until the constructor appends
        self._under_way: set[str] = set()
        self._counters = Counters(path, max_names)
        try:
            self.append(())
        except BaseException:
            self.release()
            self._absent()
            raise

    @property
    def path(self) -> Path:
        """Of the store."""
        return self._path

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
    def append(self, records: Iterable[Record], under_way: Iterable[Operation] | None = ()) -> int:
        """Store what ended and happened, and what is under way now, in one transaction.

        Args:
            records: ended operations and events. What is stored already is left out, and so is the log event of what
                an operation carries.
            under_way: everything that has begun and not ended. What was told before and is not here any more is
                forgotten. None: as told before, but for what ended.

        Returns:
            How many records are new.

        Raises:
            StoreError, sqlite3.Error, OSError: as the constructor does; then nothing of this is stored.
            ValueError, TypeError, OverflowError: for a record that cannot be stored; likewise.
        """
        told = list(records)
        going_on = None if under_way is None else {operation.id: operation for operation in under_way}
        try:
            db = self._ready()
            try:
                with transaction(db):
                    new, head, open_now = self._append(db, told, going_on, stored=False)
            except sqlite3.IntegrityError:
                # Something is stored already. That is rare, and to ask first each time costs a tenth of it all.
                self._counters.discard()
                with transaction(db):
                    new, head, open_now = self._append(db, told, going_on, stored=True)
        except BaseException as error:
            self._counters.discard()
            if isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError)) and not is_busy(error):
                self.release()  # a connection that has failed is not to be trusted; the next call opens another
            if isinstance(error, UnicodeDecodeError):
                raise damaged(self._path, error) from None
            raise
        self._counters.remember()
        self._head, self._under_way = head, open_now
        return new

    def _append(
        self, db: sqlite3.Connection, told: list[Record], going_on: dict[str, Operation] | None, *, stored: bool
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
        db.executemany(INSERT, rows)
        self._counters.add(db, fresh)
        open_now = self._note(db, going_on, {record.id for record in told})
        # What outlives its process may be ended by another.
        ended = [
            (as_stored(record.id),) for record in fresh if isinstance(record, Operation) and record.kind in OUTLIVING
        ]
        if ended:
            db.executemany("DELETE FROM open WHERE id = ?", ended)
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
                asked = {as_stored(id_): id_ for id_ in ids[at : at + _IDS]}
                marks = ",".join("?" * len(asked))
                query = f"SELECT id FROM records WHERE id IN ({marks})"  # noqa: S608 - only marks
                for (id_,) in db.execute(query, [*asked]):
                    found.pop(asked[id_], None)
        return list(found.values())

    # --------------------------------------------------------------------------------------------------- under way
    def _note(self, db: sqlite3.Connection, going_on: dict[str, Operation] | None, ended_ids: set[str]) -> set[str]:
        wanted = (self._under_way if going_on is None else going_on.keys()) - ended_ids
        gone = self._under_way - wanted
        if gone:
            db.executemany("DELETE FROM open WHERE id = ? AND writer = ?", [(as_stored(id_), self._id) for id_ in gone])
        new = [of for id_, of in (going_on or {}).items() if id_ in wanted and id_ not in self._under_way]
        if new:
            db.executemany(
                "INSERT OR REPLACE INTO open (id, writer, session_id, correlation_id, start_ns, body) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(as_stored(of.id), self._id, *_place(of), of.start_ns, record_text(of)) for of in new],
            )
        return set(wanted)

    def _lost(self, db: sqlite3.Connection) -> list[Record]:
        """What writers that have died left open, ended; they are closed."""
        lost: list[Record] = []
        for writer, name, seen_ns in db.execute(
            "SELECT writer, name, seen_ns FROM writers WHERE closed_ns IS NULL AND writer <> ?", (self._id,)
        ).fetchall():
            if not is_alive(self._path, name):
                lost += self._left_open(db, writer, seen_ns)
                db.execute(f"DELETE FROM open WHERE writer = ? {_ITS_OWN}", (writer,))  # noqa: S608 - our own text
                db.execute("UPDATE writers SET closed_ns = seen_ns WHERE writer = ?", (writer,))
        return lost

    @staticmethod
    def _left_open(db: sqlite3.Connection, writer: int, end_ns: int) -> list[Operation]:
        """What a writer has open, ended as lost."""
        lost = []
        rows = db.execute(f"SELECT body FROM open WHERE writer = ? {_ITS_OWN} ORDER BY start_ns", (writer,))  # noqa: S608 - our own text
        for (body,) in rows.fetchall():
            with contextlib.suppress(ValueError):  # a damaged one cannot be told of, and is not to stop the others
                begun = record_from_text(body)
                if isinstance(begun, Operation):
                    lost.append(begun.over(end_ns, "lost", None, None, begun.attributes))
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
        self._counters.forget()
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
            if _identity(self._path) != self._file:
                return  # it was moved away, and nothing is to be made in its place
            if self._under_way:
                self.append(self._left_open(self._ready(), self._id, self._clock()), under_way=None)
            db = self._ready()
            with transaction(db):
                db.execute(
                    "UPDATE writers SET closed_ns = ? WHERE writer = ? AND name = ?",
                    (self._clock(), self._id, self.head.writer),
                )
        finally:
            self.release()
            self._absent()


INSERT: Final = (
    "INSERT INTO records "
    "(writer, number, id, kind, session_id, correlation_id, start_ns, end_ns, critical, body, link) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
"""How a record is stored, all of it."""


def _columns(number: int, record: Record) -> tuple[int, str, str, str, str | None, int, int, int]:
    if isinstance(record, Event):
        kind, start_ns, end_ns = record.type, record.timestamp_ns, record.timestamp_ns
    elif record.end_ns is None:
        raise ValueError(f"operation {record.id!r} has not ended; give it as under way")
    else:
        kind, start_ns, end_ns = record.kind, record.start_ns, record.end_ns
    return number, as_stored(record.id), kind, *_place(record), start_ns, end_ns, int(is_critical(record))


def _place(record: Record) -> tuple[str, str | None]:
    correlation_id = record.correlation_id
    return as_stored(record.session_id), None if correlation_id is None else as_stored(correlation_id)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
