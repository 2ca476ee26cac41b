"""Stores for tests: small ones with a bit of everything, and what an enemy may do to one with any SQLite tool."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from support.records import event, operation
from tachograph import names
from tachograph.store.schema import connect
from tachograph.store.verification import Verification, verify
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.records import Record

COLUMNS = (
    *("writer", "number", "id", "kind", "session_id", "correlation_id", "start_ns", "end_ns", "critical"),
    *("body", "digest", "link"),
)
"""Of an audit entry: all but its place in the file."""


def day(first: int = 1, session: str = "s") -> list[Record]:
    """A bit of everything, in six records."""
    return [
        event(first, "session_created", session=session, request=None),
        operation(first + 1, session=session, attributes={names.INPUT_TOKENS: 3}),
        operation(first + 2, "tool", "search", session=session, outcome="error", error_type="ValueError"),
        event(first + 3, "hitl_decision_made", session=session, decision="APPROVE", text="zwölf"),
        operation(first + 4, "agent", "boss", session=session, outcome="error", error_type="KeyError"),
        operation(first + 5, session=session),
    ]


def written(path: Path, *, key: bytes | None = None, records: list[Record] | None = None, batch: int = 4) -> str:
    """A store into which one writer has put these records; gives its head."""
    writer = Writer(path, key=key)
    told = day() if records is None else records
    for at in range(0, len(told), batch):
        writer.append(told[at : at + batch])
    writer.close()
    return str(writer.head)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, to be looked at and changed."""
    db = connect(path)
    try:
        yield db
    finally:
        db.close()


def checked(path: Path, **arguments: Any) -> Verification:
    """What verification says of a store."""
    with opened(path) as db:
        return verify(db, **arguments)


def entries(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """All audit entries as stored."""
    return db.execute(f"SELECT {', '.join(COLUMNS)} FROM records NOT INDEXED ORDER BY seq").fetchall()  # noqa: S608


@contextlib.contextmanager
def undone(db: sqlite3.Connection) -> Iterator[None]:
    """What is done within is taken back."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
