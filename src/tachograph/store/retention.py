"""Keeping a store within bounds: the oldest records go, in order of storing.

So it is the beginnings of chains that go, and each writer's seal says up to where. A chain that is broken already is
left alone: to seal it anew would hide that. Work is done in slices of a transaction each, so that programs can record
meanwhile.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tachograph.store.chain import SealedWriter, seal
from tachograph.store.schema import HIDDEN, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from tachograph.store.writer import Writer

SLICE: Final = 2_000
"""Records taken in one transaction, some 50 milliseconds of work; pages given back likewise."""

_DAY: Final = 86_400_000_000_000
_MOST: Final = 2**62
_AGES: Final = 36_500
"""Days that are as good as for ever; more do not fit into a number of SQLite's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What retention took away: records, the counters of sessions that are wholly gone, bytes given back to the disk.

    ``left_alone`` says of which writers' records none were taken, and why; ``finished`` is False where more is to go
    than there was time for.
    """

    records: int = 0
    sessions: int = 0
    bytes: int = 0
    left_alone: tuple[str, ...] = ()
    finished: bool = True


def prune(
    writer: Writer,
    *,
    max_age_days: float = 0,
    max_sessions: int = 0,
    max_records: int = 0,
    max_bytes: int = 0,
    now_ns: int | None = None,
    progress: Callable[[int], None] | None = None,
    seconds: float = math.inf,
) -> Pruned:
    """Take the oldest records away, in order of storing, until all bounds are kept; 0 is no bound.

    The totals stay, and so does what is under way. The counters of a session stay for as long as any of its records do,
    or anything of it is under way.

    Args:
        writer: whose connection and key are used.
        max_age_days: what ended longer ago goes.
        max_sessions: of more sessions those go whose last record was stored first; before them hidden ones, as far as
            nothing goes with them of what stays visible.
        max_records: records that stay.
        max_bytes: size of the database; what runs ahead of it in its log is not counted.
        now_ns: the moment, nanoseconds since the epoch.
        progress: told how many records are gone, after each slice.
        seconds: to do it in, about; what is left is for the next time.

    Raises:
        ValueError: for a bound that is negative or no number.
        StoreError, sqlite3.Error, OSError: as :class:`~tachograph.store.writer.Writer` does.
    """
    for name, value in (("max_sessions", max_sessions), ("max_records", max_records), ("max_bytes", max_bytes)):
        if type(value) is not int or not 0 <= value < _MOST:
            raise ValueError(f"{name}={value!r}: expected a whole number from 0, which is no bound, to {_MOST:,}")
    if isinstance(max_age_days, bool) or not isinstance(max_age_days, (int, float)) or not max_age_days >= 0:
        raise ValueError(f"max_age_days={max_age_days!r}: expected a number of days from 0, which is no bound")
    db = writer.connection
    before = _size(db)
    retention = _Retention(db, writer._key)  # noqa: SLF001 - the seals are to be made with the same
    last = max(
        _last_too_old(db, max_age_days, time.time_ns() if now_ns is None else now_ns),
        _last_of_records(db, max_records),
        _last_of_sessions(db, max_sessions),
    )
    until, more = time.monotonic() + seconds, True
    while more and time.monotonic() < until:
        too_big = bool(max_bytes) and _size(db, in_use=True) > max_bytes
        more = retention.slice(last) or (too_big and retention.slice(None))
        if more and progress is not None:
            progress(retention.records)
    _give_back(db, until)
    return Pruned(
        records=retention.records,
        sessions=retention.sessions,
        bytes=max(0, before - _size(db)),
        left_alone=tuple(retention.left_alone.values()),
        finished=not more,
    )


def foresee(
    db: sqlite3.Connection,
    *,
    max_age_days: float = 0,
    max_sessions: int = 0,
    max_records: int = 0,
    max_bytes: int = 0,
    now_ns: int | None = None,
) -> Pruned:
    """What :func:`prune` would take away, as far as can be told without doing it.

    Bytes, and records that go for the sake of bytes, are estimates by the mean size of a record; chains that would be
    left alone are not looked at.
    """
    last = max(
        _last_too_old(db, max_age_days, time.time_ns() if now_ns is None else now_ns),
        _last_of_records(db, max_records),
        _last_of_sessions(db, max_sessions),
    )
    count = "SELECT count(*) FROM records"
    all_, records = (db.execute(query).fetchone()[0] for query in (count, f"{count} WHERE seq <= {int(last)}"))
    each = _size(db, in_use=True) / max(all_, 1)
    if max_bytes:
        records = max(records, min(all_, math.ceil(all_ - max_bytes / max(each, 1))))
    row = db.execute("SELECT seq FROM records ORDER BY seq LIMIT 1 OFFSET ?", (max(records - 1, 0),)).fetchone()
    last = row[0] if records else 0
    sessions: int = db.execute(
        """
        SELECT count(*) FROM (SELECT max(seq) AS last FROM records
        WHERE session_id IN (SELECT session_id FROM counters WHERE scope = 1)
        AND session_id NOT IN (SELECT session_id FROM open) GROUP BY session_id) WHERE last <= ?
        """,
        (last,),
    ).fetchone()[0]
    return Pruned(records=records, sessions=sessions, bytes=round(records * each))


def _last_too_old(db: sqlite3.Connection, days: float, now_ns: int) -> int:
    """Number of the last record before the first that is young enough; 0 for none."""
    if not days:
        return 0
    # What a clock that was wrong has put into the future is as old as what was stored with it, or would stay for ever.
    young = "+end_ns >= ? AND +end_ns <= ?"
    found = db.execute(
        f"SELECT min(seq) - 1 FROM (SELECT seq FROM records WHERE {young} ORDER BY seq LIMIT 1)",  # noqa: S608
        (now_ns - int(min(days, _AGES) * _DAY), now_ns + _DAY),
    ).fetchone()[0]
    return _newest(db) if found is None else int(found)


def _last_of_records(db: sqlite3.Connection, most: int) -> int:
    """Number of the last record before the newest so many; 0 for none."""
    excess = db.execute("SELECT count(*) FROM records").fetchone()[0] - most if most else 0
    if excess <= 0:
        return 0
    return int(db.execute("SELECT seq FROM records ORDER BY seq LIMIT 1 OFFSET ?", (excess - 1,)).fetchone()[0])


def _last_of_sessions(db: sqlite3.Connection, most: int) -> int:
    """Number of the last record of those sessions that are too many; 0 for none."""
    if not most or db.execute("SELECT count(*) FROM counters WHERE scope = 1").fetchone()[0] <= most:
        return 0
    query = f"""
        SELECT first, last, (
            SELECT {HIDDEN} FROM counters WHERE scope = 1 AND counters.session_id = found.session_id
        ) AS hidden
        FROM (SELECT session_id, min(seq) AS first, max(seq) AS last FROM records GROUP BY session_id) AS found
        WHERE hidden IS NOT NULL ORDER BY hidden, last DESC
    """  # noqa: S608 - our own text
    rows = db.execute(query).fetchall()
    last_visible, last_hidden = (
        max((last for _, last, hidden in rows[most:] if hidden == which), default=0) for which in (0, 1)
    )
    first_to_stay = min((first for first, _, hidden in rows[:most] if not hidden), default=_MOST)
    return max(last_visible, min(last_hidden, first_to_stay - 1))


def _newest(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0])


class _Retention:
    """The taking away, a slice at a time.

    Args:
        db: of the store.
        key: of the HMACs, where there is one.
    """

    def __init__(self, db: sqlite3.Connection, key: bytes | None) -> None:
        self._db = db
        self._key = key
        self.records = 0
        self.sessions = 0
        self.left_alone = dict(self._unsealable())

    def _unsealable(self) -> Iterator[tuple[int, str]]:
        """Writers whose seal does not hold: a new one would hide it."""
        for writer, name, keyed in self._db.execute("SELECT writer, name, keyed FROM writers").fetchall():
            sealed, mark = self._sealed(writer)
            if keyed and self._key is None:
                yield writer, f"writer {name} recorded with a key, which is needed to seal its chain anew"
            elif seal(sealed, self._key if keyed else None) != mark:
                yield writer, f"the seal of writer {name} does not hold; `tachograph audit --verify` says more"

    def _sealed(self, writer: int) -> tuple[SealedWriter, bytes]:
        *sealed, mark = self._db.execute(
            "SELECT name, count, head, pruned, pruned_head, keyed, seal FROM writers WHERE writer = ?", (writer,)
        ).fetchone()
        return SealedWriter(*sealed), mark

    def slice(self, last: int | None) -> bool:
        """Take the oldest records, up to that number if one is given; whether there were any."""
        with transaction(self._db):
            rows = self._oldest(last)
            taken: list[_Row] = []
            for writer in {row.writer for row in rows}:
                taken += self._shorten(writer, [row for row in rows if row.writer == writer])
            self._db.executemany("DELETE FROM records WHERE seq = ?", [(row.seq,) for row in taken])
            # What ended in one process after a fork, and is under way by the word of another, is not to begin again.
            self._db.executemany("DELETE FROM open WHERE id = ?", [(row.id,) for row in taken])
            gone = sum(map(self._tidy, sorted({row.session_id for row in taken})))
            for session_id, correlation_id in {(row.session_id, row.correlation_id) for row in taken}:
                if correlation_id is not None:
                    self._tidy(session_id, correlation_id)
        self.records += len(taken)
        self.sessions += gone
        return bool(rows)

    def _oldest(self, last: int | None) -> list[_Row]:
        but = ",".join("?" * len(self.left_alone))
        rows = self._db.execute(
            f"""
            SELECT seq, writer, number, link, id, session_id, correlation_id FROM records
            WHERE seq <= ? AND writer NOT IN ({but}) ORDER BY seq LIMIT {SLICE}
            """,  # noqa: S608 - our own texts
            (_newest(self._db) if last is None else last, *self.left_alone),
        )
        return [_Row(*row) for row in rows]

    def _shorten(self, writer: int, rows: list[_Row]) -> list[_Row]:
        """Seal that a writer's chain begins after these, its first ones; none of them where it is broken."""
        row = self._db.execute("SELECT name FROM writers WHERE writer = ?", (writer,)).fetchone()
        if row is None:
            self.left_alone[writer] = f"writer #{writer} is not in the store; `tachograph audit --verify` says more"
            return []
        sealed, _ = self._sealed(writer)
        if [row.number for row in rows] != [*range(sealed.pruned + 1, sealed.pruned + 1 + len(rows))]:
            self.left_alone[writer] = (
                f"entries of writer {sealed.name} are missing; `tachograph audit --verify` says more"
            )
            return []
        sealed = sealed._replace(pruned=rows[-1].number, pruned_head=rows[-1].link)
        self._db.execute(
            "UPDATE writers SET pruned = ?, pruned_head = ?, seal = ? WHERE writer = ?",
            (sealed.pruned, sealed.pruned_head, seal(sealed, self._key if sealed.keyed else None), writer),
        )
        return rows

    def _tidy(self, session_id: str, correlation_id: str | None = None) -> bool:
        """Take away the counters of a session, or of a request, of which nothing is left; whether they were there."""
        # A request is found by its id: the plus keeps SQLite from going through the whole session.
        which = "session_id = ?" if correlation_id is None else "+session_id = ? AND correlation_id = ?"
        values = [session_id] if correlation_id is None else [session_id, correlation_id]
        left = self._db.execute(
            f"SELECT EXISTS (SELECT 1 FROM records WHERE {which}) OR EXISTS (SELECT 1 FROM open WHERE {which})",  # noqa: S608
            values * 2,
        ).fetchone()[0]
        if left:
            return False
        scope = "scope IN (1, 2)" if correlation_id is None else "scope = 2"
        where = f"{scope} AND {which.replace('+', '')}"
        return self._db.execute(f"DELETE FROM counters WHERE {where}", values).rowcount > 0  # noqa: S608 - likewise


class _Row(NamedTuple):
    seq: int
    writer: int
    number: int
    link: bytes
    id: str
    session_id: str
    correlation_id: str | None


def _size(db: sqlite3.Connection, *, in_use: bool = False) -> int:
    """Bytes of the database, or of what of it is in use."""
    pages, free, size = (db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "freelist_count", "page_size"))
    return int((pages - free if in_use else pages) * size)


def _give_back(db: sqlite3.Connection, until: float) -> None:
    """Give free pages back to the disk, and shorten the log if nobody is at it."""
    free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
    while free and time.monotonic() < until:
        db.execute(f"PRAGMA incremental_vacuum({SLICE})").fetchall()  # a page with each row that is fetched
        left = int(db.execute("PRAGMA freelist_count").fetchone()[0])
        free = left if left < free else 0
    patience = db.execute("PRAGMA busy_timeout").fetchone()[0]
    db.execute("PRAGMA busy_timeout = 100")  # who waits for readers holds up the writers
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {patience}")
