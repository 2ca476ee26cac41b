"""Deleting a session: hiding it, or taking away for good what it said.

The chain holds either way. That a session was deleted, and by whom, is an entry like any other; of one that is deleted
for good the digests of its records stay, and its figures without the user. What begins in it later brings it back.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from tachograph.canonical import tally_from_text, tally_text
from tachograph.records import Event
from tachograph.store.chain import digest
from tachograph.store.look import Look
from tachograph.store.schema import StoreError, as_stored, transaction

if TYPE_CHECKING:
    import sqlite3

    from tachograph.store.writer import Writer

SLICE: Final = 2_000
"""Records changed in one transaction, so that nobody waits long to record."""


def delete_session(
    writer: Writer, session_id: str, *, hard: bool = False, by: str | None = None, now_ns: int | None = None
) -> bool:
    """Delete a session; that it was, and by whom, is an entry of the audit log.

    Args:
        writer: whose chain the entry goes into.
        session_id: of the session.
        hard: for good. What its records say is overwritten; their ids, kinds, times and digests stay, and its figures
            without the user. Nothing of it is under way any more. Otherwise the session is hidden, and all is kept.
        by: who asked.
        now_ns: the moment, nanoseconds since the epoch.

    Returns:
        Whether there was anything to delete.

    Raises:
        ValueError: for an id or a name that is no text.
        StoreError: where something of a session deleted for good may still be in the files, as somebody reads them.
        sqlite3.Error, OSError: as :class:`~tachograph.store.writer.Writer` does.
    """
    for name, value in (("session_id", session_id), ("by", by)):
        if not isinstance(value, str) and (name, value) != ("by", None):
            raise ValueError(f"{name}={value!r}: expected a text")
    db, session_id = writer.connection, as_stored(session_id)
    tally = Look(db, writer.path).tally(session_id, calls=False)
    if tally is None:
        return False
    todo = not tally.hidden() or (hard and _has_content(db, session_id))
    if todo:
        payload: dict[str, Any] = {"hard": hard, **({} if by is None else {"by": by})}
        # What a clock that is ahead has recorded goes too.
        moment_ns = max(tally.begun_ns, time.time_ns() if now_ns is None else now_ns)
        event = Event(secrets.token_hex(8), "session_deleted", session_id, None, moment_ns, payload=payload)
        # First the entry: if we are interrupted, the session is hidden, and deleting it again goes on.
        writer.append([event], under_way=None)
        if hard:
            _erase(writer.connection, session_id, event.id)
    if hard:
        _forget(writer.connection, session_id)
    return todo


def _has_content(db: sqlite3.Connection, session_id: str) -> bool:
    """Whether there is anything but what says that it was deleted."""
    found: int = db.execute(
        """
        SELECT EXISTS (SELECT 1 FROM open WHERE session_id = :id) OR EXISTS (
            SELECT 1 FROM records WHERE session_id = :id AND kind <> 'session_deleted' AND body IS NOT NULL
        ) OR NOT EXISTS (
            SELECT 1 FROM records WHERE session_id = :id AND kind = 'session_deleted' AND instr(body, '"hard":true')
        )
        """,
        {"id": session_id},
    ).fetchone()[0]
    return bool(found)


def _erase(db: sqlite3.Connection, session_id: str, but: str) -> None:
    """Take away who a session was for and what is under way in it, and what its records say, ``but`` one."""
    db.create_function("digest_of", 1, digest, deterministic=True)
    with transaction(db):
        db.execute("DELETE FROM open WHERE session_id = ?", (session_id,))
        users = _without_user(db, "scope IN (1, 2) AND session_id = ?", (session_id,), None)
        # The last user of all is the last of the session, if of the session at all.
        _without_user(db, "scope = 0", (), users)
    changed = SLICE
    while changed == SLICE:
        with transaction(db):
            changed = db.execute(
                f"""
                UPDATE records SET digest = digest_of(body), body = NULL WHERE seq IN (
                    SELECT seq FROM records WHERE session_id = ? AND body IS NOT NULL AND id <> ? LIMIT {SLICE}
                )
                """,  # noqa: S608 - our own texts
                (session_id, but),
            ).rowcount


def _without_user(db: sqlite3.Connection, which: str, values: tuple[str, ...], users: set[str] | None) -> set[str]:
    """Take the user out of counters, one of ``users`` or any; which those were."""
    found = set()
    rows = db.execute(f"SELECT scope, session_id, correlation_id, body FROM counters WHERE {which}", values)  # noqa: S608
    for scope, session_id, correlation_id, body in rows.fetchall():
        tally = tally_from_text(body)
        if tally.user_id is None or (users is not None and tally.user_id not in users):
            continue
        found.add(tally.user_id)
        tally.user_id, tally.user_ns = None, 0
        db.execute(
            # Another version, so that no writer goes on with the counters that it remembers.
            "UPDATE counters SET body = ?, version = version + 1 "
            "WHERE scope = ? AND session_id = ? AND correlation_id = ?",
            (tally_text(tally), scope, session_id, correlation_id),
        )
    return found


def _forget(db: sqlite3.Connection, session_id: str) -> None:
    """Let nothing be left in the log that runs ahead of the database."""
    busy: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise StoreError(
            f"session {session_id!r} is deleted, but while somebody is reading the store, what it said may still be in "
            "its -wal file; delete it again when they are done"
        )
