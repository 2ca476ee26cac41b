"""The store at one moment: its rows as records and counters, without folding what was folded when they were written.

Walks go from the newest record back along an index, as far as somebody asks. Which index that is, is said here and not
left to SQLite, which has no figures to choose by: a unary plus takes a condition out of its choice.
"""

from __future__ import annotations

import heapq
import time
from array import array
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from tachograph.canonical import record_from_text, tally_from_text
from tachograph.folds import ended, now
from tachograph.records import OUTLIVING, Kind, Operation
from tachograph.store.presence import is_alive
from tachograph.store.schema import HIDDEN, SCOPES, StoreError, as_stored
from tachograph.tally import Tally
from tachograph.views.audit import last_moment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tachograph.records import Record

MAX_REQUESTS: Final = 100
"""Newest model calls listed per session."""

_OPERATIONS: Final = frozenset(get_args(Kind))
_OPEN: Final = "open WHERE NOT EXISTS (SELECT 1 FROM records WHERE records.id = open.id)"
"""Rows of what is under way: after a fork, one process may tell the end of what another has open."""


class Look:
    """One moment of a store.

    Args:
        db: in a transaction.
        path: of the store.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._lives: dict[int, tuple[bool, int]] = {}

    # ------------------------------------------------------------------------------------------------ the counters
    def tally(
        self, session_id: str | None = None, correlation_id: str | None = None, *, calls: bool = True
    ) -> Tally | None:
        """The counters of everything, of a session, or of a request within it, as of now; None where nothing is known.

        Its ``requests`` are the newest model calls; without ``calls``, which take longer than all the rest, none.
        """
        scope = "total" if session_id is None else "session" if correlation_id is None else "request"
        row = self._db.execute(
            "SELECT body, first_ns, last_ns FROM counters WHERE scope = ? AND session_id = ? AND correlation_id = ?",
            (SCOPES[scope], as_stored(session_id or ""), as_stored(correlation_id or "")),
        ).fetchone()
        under_way = self.under_way(session_id=session_id, correlation_id=correlation_id)
        if row is None and not under_way:
            return None
        if row is None:
            tally = Tally(max_requests=MAX_REQUESTS)
        else:
            tally = self._tally(row[0])
            if calls:
                # None are listed yet; they are kept as records.
                newest = min(tally.evicted_requests, MAX_REQUESTS)
                tally.requests.extend(self._calls(newest, row[1:], session_id, correlation_id))
        for operation in under_way:
            if operation.end_ns is not None:
                ended(operation, (tally,))
        return now(tally, [operation for operation in under_way if operation.end_ns is None], time.time_ns())

    def _calls(
        self, count: int, span: tuple[int | None, int], session_id: str | None, correlation_id: str | None
    ) -> list[Operation]:
        """The newest model calls, the last one last; there are so many, within that span of time, unless pruned."""
        where, values = _where(session_id=session_id, correlation_id=correlation_id, since_ns=span[0], kinds=["model"])
        rows = self._db.execute(
            f"SELECT body FROM records {where} AND end_ns <= ? ORDER BY end_ns DESC, seq DESC LIMIT ?",  # noqa: S608
            (*values, span[1], count),
        )
        return [cast("Operation", self._record(body)) for (body,) in rows][::-1]

    # --------------------------------------------------------------------------------------------------- the lists
    def newest_sessions(self, limit: int | None, offset: int, *, deleted: bool) -> list[str]:
        """Ids of sessions, the one last active first, ``offset`` of them left out."""
        busy = self._busy(deleted=deleted)
        # Those at work stand where their work puts them, so not where the index has them: they are merged in. Any
        # of them may come before the page, which then begins so many places earlier in the index.
        low = max(0, offset - len(busy))
        rows = self._db.execute(
            f"""
            SELECT last_ns, session_id FROM counters WHERE scope = 1 {"" if deleted else "AND deleted = 0"}
            AND session_id NOT IN (SELECT session_id FROM {_OPEN})
            ORDER BY last_ns DESC, session_id DESC LIMIT ? OFFSET ?
            """,  # noqa: S608 - of our own texts
            (-1 if limit is None else offset - low + limit, low),
        )
        merged = [session_id for _, session_id in heapq.merge(rows, busy, reverse=True)]
        return merged[offset - low :][:limit]

    def versions(self) -> dict[str, int]:
        """Of each session that is kept and not deleted the version of its counters, which changes whenever they do."""
        return dict(self._db.execute("SELECT session_id, version FROM counters WHERE scope = 1 AND deleted = 0"))

    def session_count(self, *, deleted: bool) -> int:
        """Sessions there are; with ``deleted`` those hidden by deletion too."""
        known: int = self._db.execute(
            f"SELECT count(*) FROM counters WHERE scope = 1 {'' if deleted else 'AND deleted = 0'}"  # noqa: S608
        ).fetchone()[0]
        counted = "" if deleted else f"AND (deleted = 0 OR {HIDDEN})"
        new: int = self._db.execute(
            f"""
            SELECT count(DISTINCT session_id) FROM {_OPEN}
            AND NOT EXISTS (SELECT 1 FROM counters WHERE scope = 1 AND counters.session_id = open.session_id {counted})
            """  # noqa: S608 - of our own texts
        ).fetchone()[0]
        return known + new

    def _busy(self, *, deleted: bool) -> list[tuple[int, str]]:
        """Last moments and ids of the sessions with something under way, the last one first."""
        last: dict[str, int] = {}
        for session_id, writer, start_ns in self._db.execute(
            f"SELECT session_id, writer, max(start_ns) FROM {_OPEN} GROUP BY session_id, writer"  # noqa: S608
        ).fetchall():
            lives, seen_ns = self._life(writer)
            last[session_id] = max(last.get(session_id, 0), start_ns if lives else max(start_ns, seen_ns))
        for session_id in list(last):
            last_ns, hidden = self._db.execute(
                f"SELECT max(last_ns), max({HIDDEN}) FROM counters WHERE scope = 1 AND session_id = ?",  # noqa: S608 - likewise
                (session_id,),
            ).fetchone()
            last[session_id] = max(last[session_id], last_ns or 0)
            if hidden and not deleted:
                del last[session_id]
        return sorted(((last_ns, session_id) for session_id, last_ns in last.items()), reverse=True)

    # -------------------------------------------------------------------------------------------------- the detail
    def under_way(self, *, session_id: str | None = None, correlation_id: str | None = None) -> list[Operation]:
        """What has begun and not ended, the oldest first; what a dead writer had open has ended, as ``lost``.

        But for approvals, which wait for a human and not for a process.
        """
        found = []
        for writer, body in self._db.execute(
            f"""
            SELECT writer, body FROM {_OPEN}
            AND (:session IS NULL OR session_id = :session) AND (:request IS NULL OR correlation_id = :request)
            ORDER BY start_ns, id
            """,  # noqa: S608 - of our own texts
            {"session": session_id and as_stored(session_id), "request": correlation_id and as_stored(correlation_id)},
        ).fetchall():
            operation = cast("Operation", self._record(body))
            lives, seen_ns = self._life(writer)
            if not lives and operation.kind not in OUTLIVING:
                operation = operation.over(seen_ns, "lost", None, None, operation.attributes)
            found.append(operation)
        return found

    def ended(self, operation_id: str) -> Record | None:
        """The record with this id, if it is stored and was not deleted for good."""
        row = self._db.execute("SELECT body FROM records WHERE id = ?", (as_stored(operation_id),)).fetchone()
        return None if row is None or row[0] is None else self._record(row[0])

    def newest(
        self,
        *,
        session_id: str | None = None,
        correlation_id: str | None = None,
        since_ns: int | None = None,
        kinds: Sequence[str] | None = None,
        critical: bool = False,
        amiss: bool = False,
        under_way: bool = True,
    ) -> Iterator[Record]:
        """Records by their last moment, the latest first.

        Args:
            session_id: only those of this session.
            correlation_id: only those of this request.
            since_ns: only those that ended from this moment on.
            kinds: only of these kinds of operations and types of events.
            critical: only those with a critical entry.
            amiss: only those that did not end well.
            under_way: what is under way in the session or request too, of whatever kind.
        """
        walks: list[Iterator[Record]] = []
        if under_way:
            open_ = self.under_way(session_id=session_id, correlation_id=correlation_id)
            walks.append(iter(sorted(open_, key=last_moment, reverse=True)))
        # An index is in order of time within one kind only: several are walked side by side.
        apart = _index(session_id, correlation_id, kinds, critical=critical, amiss=amiss) == "kind"
        for together in [[kind] for kind in kinds or ()] if apart else [kinds]:
            condition, values = _where(
                session_id=session_id,
                correlation_id=correlation_id,
                since_ns=since_ns,
                kinds=together,
                critical=critical,
                amiss=amiss,
            )
            walk = f"SELECT body FROM records {condition} ORDER BY end_ns DESC, seq DESC"  # noqa: S608 - our own text
            walks.append(self._record(body) for (body,) in self._db.execute(walk, values))
        return heapq.merge(*walks, key=last_moment, reverse=True)

    def count(self, *, session_id: str | None = None, correlation_id: str | None = None) -> int:
        """Records there are, those without a text included."""
        condition, values = _where(session_id=session_id, correlation_id=correlation_id, with_text=False)
        found: int = self._db.execute(f"SELECT count(*) FROM records {condition}", values).fetchone()[0]  # noqa: S608
        return found

    def numbers(self, session_id: str | None) -> Sequence[int]:
        """Numbers of the records of a session or of all, in order of storing; there may be gaps."""
        if session_id is None:
            first, last = self._db.execute("SELECT min(seq), max(seq) FROM records").fetchone()
            return range(first or 0, (last or -1) + 1)
        rows = self._db.execute("SELECT seq FROM records WHERE session_id = ? ORDER BY seq", (as_stored(session_id),))
        return array("q", (seq for (seq,) in rows))

    def numbered(self, numbers: Sequence[int]) -> list[Record]:
        """The records with these numbers that are there and have a text."""
        marks = ",".join("?" * len(numbers))
        rows = self._db.execute(
            f"SELECT body FROM records WHERE seq IN ({marks}) AND body IS NOT NULL ORDER BY seq",  # noqa: S608
            list(numbers),
        )
        return [self._record(body) for (body,) in rows]

    def stats(self) -> dict[str, Any]:
        """How much there is, in the shape of a ledger's."""
        under_way = [operation for operation in self.under_way() if operation.end_ns is None]
        total = self.tally() or Tally()
        records, pruned = self._db.execute(
            "SELECT coalesce(sum(count - pruned), 0), coalesce(sum(pruned), 0) FROM writers"
        ).fetchone()
        return {
            "sessions": self.session_count(deleted=True),
            "active_sessions": len({operation.session_id for operation in under_way}),
            "open_operations": len(under_way),
            "records": records,
            "evicted": {
                "sessions": 0,
                "correlations": 0,
                "records": pruned,
                "requests": total.evicted_requests,
                "names": total.folded_names,
            },
        }

    # -------------------------------------------------------------------------------------------------------- rows
    def _life(self, writer: int) -> tuple[bool, int]:
        """Whether a writer lives, and when it was last heard of."""
        known = self._lives.get(writer)
        if known is None:
            row = self._db.execute(
                "SELECT name, closed_ns, seen_ns FROM writers WHERE writer = ?", (writer,)
            ).fetchone()
            known = row is not None and row[1] is None and is_alive(self._path, row[0]), row[2] if row else 0
            self._lives[writer] = known
        return known

    def _record(self, body: str) -> Record:
        try:
            return record_from_text(body)
        except ValueError as error:
            raise self._damaged(error) from error

    def _tally(self, body: str) -> Tally:
        try:
            return tally_from_text(body, max_requests=MAX_REQUESTS)
        except ValueError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: ValueError) -> StoreError:
        return StoreError(f"{self._path}: {error}; somebody changed it: `tachograph audit --verify` says what else")


def _index(  # what a walk goes along: the condition that is likely to leave least
    session_id: str | None, correlation_id: str | None, kinds: Sequence[str] | None, *, critical: bool, amiss: bool
) -> str:
    if correlation_id is not None:
        return "correlation_id"
    if session_id is not None:
        return "session_id"
    # Operations are many and critical ones few; of events that are critical each is.
    few = amiss or not critical or not _OPERATIONS & {*(kinds or _OPERATIONS)}
    return "kind" if kinds is not None and few else "critical"


def _where(
    *,
    session_id: str | None = None,
    correlation_id: str | None = None,
    since_ns: int | None = None,
    kinds: Sequence[str] | None = None,
    critical: bool = False,
    amiss: bool = False,
    with_text: bool = True,
) -> tuple[str, list[Any]]:
    """A condition on records, and its values."""
    index = _index(session_id, correlation_id, kinds, critical=critical, amiss=amiss)
    conditions, values = ["body IS NOT NULL" if with_text else "1"], list[Any]()
    if correlation_id is not None:
        conditions.append("correlation_id = ?")
        values.append(as_stored(correlation_id))
    if session_id is not None:
        conditions.append(f"{'' if index == 'session_id' else '+'}session_id = ?")
        values.append(as_stored(session_id))
    if critical:
        conditions.append(f"{'' if index == 'critical' else '+'}critical")
    if kinds is not None:
        conditions.append(f"{'' if index == 'kind' else '+'}kind IN ({','.join('?' * len(kinds))})")
        values += kinds
    if amiss:
        conditions.append("""NOT instr(body, '"outcome":"ok"')""")  # as the index has it
    if since_ns is not None:
        conditions.append("end_ns >= ?")
        values.append(since_ns)
    return f"WHERE {' AND '.join(conditions)}", values
