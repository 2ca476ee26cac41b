"""The store as a source: counters as they were kept, detail as far as an answer needs it.

No answer folds the records: the counters of a session, of a request and of everything are one row each, to which what
is under way is added as the ledger does. Logs and timelines walk from the newest record back and stop as soon as the
answer is certain.
"""

from __future__ import annotations

import contextlib
import time
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.listing import NEWEST, Listing, listing, row
from tachograph.sources import SourceError
from tachograph.store.look import Look
from tachograph.store.readers import Readers
from tachograph.store.schema import StoreError, as_stored
from tachograph.tally import Tally
from tachograph.times import moment
from tachograph.views.audit import audit_view, kinds_of
from tachograph.views.session import EVERYTHING, SessionMetrics, session_view
from tachograph.views.timeline import Timeline, timeline_view
from tachograph.views.totals import Totals, totals_view

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tachograph.listing import Row, Wanted
    from tachograph.records import Operation, Record
    from tachograph.views.audit import Entry

MAX_RECORDS: Final = 10_000
"""Newest records on a timeline."""

_PAGE: Final = 500
"""Records read at once where all are asked for."""

_AMISS: Final = frozenset({"agent_error", "llm_request_failed", "tool_execution_failed"})
"""Types that only operations which did not end well give."""


class SqliteSource:
    """What a store keeps, to be asked about. Thread-safe; sees what other processes write meanwhile.

    Every question may raise :class:`~tachograph.sources.SourceError` for a file that cannot be read.

    Args:
        path: of the store. It may come to be later, be brought up to date or be replaced: each question is put to the
            file that is there.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._readers = Readers(self._path)
        self._rows: dict[str, tuple[int, Row]] = {}

    @property
    def place(self) -> str:
        """The path."""
        return str(self._path)

    def close(self) -> None:
        """Close the files. Closing twice is fine."""
        self._readers.close()

    @contextlib.contextmanager
    def _look(self) -> Iterator[Look]:
        try:
            with self._readers.look() as db:
                yield Look(db, self._path)
        except StoreError as error:
            raise SourceError(str(error)) from error

    # ------------------------------------------------------------------------------------------------ the counters
    def session_metrics(self, session_id: str, correlation_id: str | None = None) -> SessionMetrics:
        """Figures of a session, or of one request within it; zeros where nothing is known."""
        with self._look() as now:
            return session_view(session_id, now.tally(session_id, correlation_id))

    def metrics(self) -> Totals:
        """Figures over everything recorded."""
        with self._look() as now:
            return totals_view(now.tally() or Tally())

    def total(self) -> SessionMetrics:
        """Everything recorded, in the shape of one session with the id ``*``."""
        with self._look() as now:
            return session_view(EVERYTHING, now.tally() or Tally())

    def stats(self) -> dict[str, Any]:
        """How much is kept, and what bounds have cost."""
        with self._look() as now:
            return now.stats()

    # --------------------------------------------------------------------------------------------------- the lists
    def session_count(self, *, deleted: bool = False) -> int:
        """Sessions there are; with ``deleted`` those hidden by deletion too."""
        with self._look() as now:
            return now.session_count(deleted=deleted)

    def session_list(self, *, limit: int | None = None, offset: int = 0, deleted: bool = False) -> list[SessionMetrics]:
        """Figures of sessions, the one last active first, ``offset`` of them left out."""
        with self._look() as now:
            ids = now.newest_sessions(limit, offset, deleted=deleted)
            return [session_view(session_id, now.tally(session_id)) for session_id in ids]

    def session_rows(self, wanted: Wanted = NEWEST, *, limit: int | None = None, offset: int = 0) -> Listing:
        """What a list says of sessions: those wanted, in the order wanted."""
        with self._look() as now:
            if wanted == NEWEST and limit is not None:
                ids = now.newest_sessions(limit, offset, deleted=False)
                return Listing([_row(now, session_id) for session_id in ids], now.session_count(deleted=False))
            return listing(self._all_rows(now), wanted, limit=limit, offset=offset)

    def _all_rows(self, now: Look) -> Iterator[Row]:
        """The rows of all sessions, the one last active first; those whose counters have not changed are remembered."""
        known, versions = self._rows, now.versions()  # replaced and never changed, as others may be reading it
        busy = {as_stored(operation.session_id) for operation in now.under_way()}
        rows: dict[str, tuple[int, Row]] = {}
        for session_id in now.newest_sessions(None, 0, deleted=False):
            version, before = versions.get(session_id, 0), known.get(session_id)
            holds = before is not None and before[0] == version and session_id not in busy
            rows[session_id] = before if before is not None and holds else (version, _row(now, session_id))
        self._rows = {session_id: found for session_id, found in rows.items() if session_id not in busy}
        return (row for _, row in rows.values())

    def sessions(self) -> list[str]:
        """Ids of all sessions that are not deleted, the one last active last."""
        with self._look() as now:
            return now.newest_sessions(None, 0, deleted=False)[::-1]

    # -------------------------------------------------------------------------------------------------- the detail
    def audit_log(
        self,
        *,
        session_id: str | None = None,
        event_type: str | None = None,
        category: str | None = None,
        correlation_id: str | None = None,
        critical: bool | None = None,
        since: str | datetime | float | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """Who did, asked and decided what, oldest first; with ``limit`` the newest so many.

        Args:
            session_id: only entries of this session.
            event_type: only entries of this type.
            category: only entries of this category: session, agent, llm, tool, hitl, task or system.
            correlation_id: only entries of this request.
            critical: only critical entries, or only the others.
            since: only entries from this moment on.
            limit: at most so many.

        Raises:
            ValueError: for a type, category, moment or limit that is none.
        """
        since_ns = None if since is None else moment(since)
        kinds = kinds_of(event_type, category)
        # The column says whether any entry of a record is critical, so it tells nothing of those that are not.
        with_critical = bool(critical) or (event_type is not None and names.EVENTS[event_type][1])
        with self._look() as now:
            records = now.newest(
                session_id=session_id,
                correlation_id=correlation_id,
                since_ns=since_ns,
                kinds=kinds,
                critical=with_critical,
                amiss=event_type in _AMISS,
            )
            return audit_view(
                records,
                event_type=event_type,
                category=category,
                critical=critical,
                since_ns=since_ns,
                limit=limit,
                newest_first=True,
            )

    def timeline(self, *, session_id: str | None = None, correlation_id: str | None = None) -> Timeline:
        """What happened when, inside what, of a session, of a request or of everything.

        Of more than 10,000 records the newest are shown; the timeline says how many are left out.
        """
        with self._look() as now:
            newest = now.newest(session_id=session_id, correlation_id=correlation_id, under_way=False)
            ended, left_out = list(islice(newest, MAX_RECORDS)), 0
            if len(ended) == MAX_RECORDS:
                left_out = now.count(session_id=session_id, correlation_id=correlation_id) - len(ended)
            under_way = now.under_way(session_id=session_id, correlation_id=correlation_id)
        return timeline_view([*ended, *under_way], left_out=left_out, moment_ns=time.time_ns())

    def records(self, session_id: str | None = None) -> Iterator[Record]:
        """What the answers are made from: of a session or of all, ended ones in order of arrival, then open ones.

        The open ones are those of the moment of asking.
        """
        with self._look() as now:
            numbers, under_way = now.numbers(session_id), now.under_way(session_id=session_id)
        return chain(self._numbered(numbers), under_way)

    def _numbered(self, numbers: Sequence[int]) -> Iterator[Record]:
        # Page by page, so that whoever takes long over them keeps nobody from tidying up the store.
        for start in range(0, len(numbers), _PAGE):
            with self._look() as now:
                page = now.numbered(numbers[start : start + _PAGE])
            yield from page

    def open_operations(self) -> list[Operation]:
        """What has begun and not ended, oldest first; what a writer that died had open has ended, as ``lost``."""
        with self._look() as now:
            return now.under_way()


def _row(now: Look, session_id: str) -> Row:
    return row(session_view(session_id, now.tally(session_id, calls=False)))
