"""Counters in the store: folded as the ledger folds, in the transaction that adds the records.

A row for everything, for each session and for each request within one. A writer has the counters of the last few
sessions at hand, and a row's version tells whether another writer has counted in it meanwhile.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tachograph.canonical import tally_from_text, tally_text
from tachograph.facts import SESSIONLESS
from tachograph.folds import ended
from tachograph.records import Event
from tachograph.store.schema import SCOPES, StoreError, as_stored
from tachograph.tally import Tally

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from tachograph.records import Record

_MAX_REMEMBERED: Final = 2_000
"""Sessions and requests whose counters are at hand and need not be read each time."""

Scope = tuple[int, str, str]
"""Primary key of a row of ``counters``."""

_TOTAL: Final[Scope] = SCOPES["total"], "", ""

_VERSION: Final = "SELECT version FROM counters WHERE scope = ? AND session_id = ? AND correlation_id = ?"
_ROW: Final = "SELECT version, body FROM counters WHERE scope = ? AND session_id = ? AND correlation_id = ?"
_WRITE: Final = (
    "INSERT INTO counters "
    "(scope, session_id, correlation_id, first_ns, last_ns, deleted, version, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (scope, session_id, correlation_id) DO UPDATE SET first_ns = excluded.first_ns, "
    "last_ns = excluded.last_ns, deleted = excluded.deleted, version = excluded.version, body = excluded.body"
)


class Counters:
    """The counters of a store, as one writer adds to them. After each :meth:`add` is to be said how it ended.

    Args:
        path: of the store, for messages.
        max_names: agents, tools and models counted by name in each row.
    """

    def __init__(self, path: Path, max_names: int) -> None:
        self._path = path
        self._max_names = max_names
        self._remembered: OrderedDict[Scope, tuple[int, Tally]] = OrderedDict()
        self._touched: dict[Scope, tuple[int, Tally]] = {}

    def add(self, db: sqlite3.Connection, records: Iterable[Record]) -> None:
        """Count records that are new, within the transaction that stores them.

        Raises:
            StoreError: for a row that is damaged.
            sqlite3.Error: for what SQLite cannot do.
        """
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
            rows.append((*scope, tally.first_ns, tally.last_ns, tally.hidden(), version, tally_text(tally)))
        db.executemany(_WRITE, rows)

    def remember(self) -> None:
        """The transaction was committed."""
        for scope, counters in self._touched.items():
            self._remembered[scope] = counters
            self._remembered.move_to_end(scope)
        self._touched = {}
        while len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def discard(self) -> None:
        """The transaction was rolled back: what was counted in it is to be read again."""
        for scope in self._touched:
            self._remembered.pop(scope, None)
        self._touched = {}

    def forget(self) -> None:
        """It is another database."""
        self._remembered.clear()

    def _tally(self, db: sqlite3.Connection, scope: Scope) -> Tally:
        touched = self._touched.get(scope)
        if touched is not None:
            return touched[1]
        remembered = self._remembered.get(scope)
        row = db.execute(_VERSION if remembered else _ROW, scope).fetchone()
        if remembered and row is not None:
            if row[0] == remembered[0]:
                self._touched[scope] = row[0] + 1, remembered[1]
                return remembered[1]
            row = db.execute(_ROW, scope).fetchone()
        if row is None:
            # The first version is no small number, so that a row deleted and made again is not taken for the old one.
            tally = Tally(max_names=self._max_names, max_requests=0)
            self._touched[scope] = secrets.randbits(40), tally
            return tally
        try:
            tally = tally_from_text(row[1], max_names=self._max_names, max_requests=0)
        except ValueError as error:
            what = f"session {scope[1]!r}" if scope[1] else "everything"
            raise StoreError(
                f"{self._path}: the counters of {what} are damaged ({error}); move it away and a new one is made"
            ) from None
        self._touched[scope] = row[0] + 1, tally
        return tally


def _scopes(session_id: str, correlation_id: str | None) -> list[Scope]:
    session = as_stored(session_id)
    scopes = [_TOTAL, (SCOPES["session"], session, "")]
    if correlation_id is not None:
        scopes.append((SCOPES["request"], session, as_stored(correlation_id)))
    return scopes
