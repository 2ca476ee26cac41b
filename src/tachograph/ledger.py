"""The ledger: what happened, in memory, answering at once. A :class:`~tachograph.sources.Source` like any other.

Counters are folded as records arrive (:mod:`tachograph.tallies`), a few at a time and always before anybody reads, and
cost nothing to read; detail is kept as the newest records and folded when somebody asks (audit log, timeline).
Everything is bounded: the oldest detail and the longest-idle sessions go first, what went is counted, and the totals
stay.

Thread-safe. Records may come interleaved, late and repeated: the live answer is that of the same records
replayed in any order. One lock is why taking in and answering are in one file: a source is asked much, each answer is
short, and every one of them is given under it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final

from tachograph.facts import SESSIONLESS, repeats_operation
from tachograph.folds import ended, now
from tachograph.guard import Guard
from tachograph.listing import NEWEST, Listing, listing, row
from tachograph.records import Event, Operation
from tachograph.tallies import Tallies
from tachograph.times import moment
from tachograph.under_way import UnderWay
from tachograph.views.audit import audit_view
from tachograph.views.session import EVERYTHING, SessionMetrics, session_view
from tachograph.views.timeline import Timeline, timeline_view
from tachograph.views.totals import Totals, totals_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from tachograph.listing import Wanted
    from tachograph.records import Record
    from tachograph.tally import Tally
    from tachograph.tap import Tap
    from tachograph.views.audit import Entry

_MAX_WAITING: Final = 2_048
"""Records that wait for a reader to be counted; some milliseconds of its work."""

_BATCH: Final = 64
"""Records counted together where they came, when more would wait; a fraction of a millisecond of work."""


class Ledger:
    """Counters of sessions and the newest records.

    Args:
        max_sessions: sessions with counters of their own; further ones push out the longest idle.
        max_requests: newest model calls listed per session.
        max_records: ended operations and events kept for audit log and timeline.
        max_names: agents, tools and models listed per table.
        guard: around the folding of each record; one it cannot fold costs no other.
        clock: nanoseconds since the epoch; tells whether an approval's time is up.
    """

    def __init__(
        self,
        *,
        max_sessions: int = 1_000,
        max_requests: int = 100,
        max_records: int = 10_000,
        max_names: int = 200,
        guard: Guard | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._max_sessions = max_sessions
        self._max_requests = max_requests
        self._max_records = max_records
        self._max_names = max_names
        self._guard = (guard or Guard()).__call__
        self._clock = clock
        self._under_way = UnderWay()
        self._tap: Tap | None = None
        self._most = _MAX_WAITING
        self.tapped = False
        """Whether somebody writes down what is kept, and so wants to be told of what begins too."""
        self.after_fork()

    @property
    def place(self) -> str:
        """What is read here, as every source says."""
        return "memory"

    def after_fork(self) -> None:
        """Begin anew, in a child process: what was recorded is the parent's, and so is a lock that is held."""
        # Reentrant, as the garbage collector may end an abandoned stream in the middle of a fold, on the very thread
        # that holds the lock. Then the record waits in the inbox for the fold under way.
        self._lock = threading.RLock()
        self._folding = False
        self._holder = 0
        self._inbox: deque[Record] = deque()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._history: deque[Record] = deque()
        self._evicted = 0
        self._under_way.after_fork(self._known)
        self._tallies = Tallies(
            self._under_way,
            max_sessions=self._max_sessions,
            max_requests=self._max_requests,
            max_names=self._max_names,
        )

    # ------------------------------------------------------------------------------------------------- writing
    def apply(self, record: Record) -> None:
        """Take a record in. Repeats of an ended operation or of an event change nothing."""
        # No work for a reader who is not there: folded when somebody reads, or with others when too many have come.
        self._inbox.append(record)
        if len(self._inbox) >= self._most and self._lock.acquire(blocking=False):
            try:
                self._fold(self._most - _BATCH)
            finally:
                self._lock.release()
        tap = self._tap
        if tap is not None:
            tap.nudge()
            if tap.through is not None:
                tap.through()

    def stir(self) -> None:
        """Say that something has begun: of that nothing is applied, but whoever writes down wants to know."""
        if self._tap is not None:
            self._tap.nudge()

    def tap(self, tap: Tap) -> None:
        """Give a tap each record that is kept from now on, once."""
        with self._reading():
            self._tap, self.tapped = tap, True
            self._most = _BATCH  # it is a reader

    def untap(self, tap: Tap) -> None:
        """Give it no more; where another has taken its place, that one stays."""
        with self._reading():
            if self._tap is tap:
                self._tap, self.tapped = None, False
                self._most = _MAX_WAITING

    @property
    def held(self) -> bool:
        """Whether the thread that asks is reading or counting here, as one is that the garbage collector strikes."""
        return self._folding and self._holder == threading.get_ident()

    def settle(self) -> None:
        """Count what has come and waits to be; a tap then has all of it."""
        with self._reading():
            pass

    def attend(self, under_way: Callable[[], list[Operation]]) -> None:
        """Ask there as well, whenever somebody reads, for what is under way; for as long as its object lives.

        Args:
            under_way: a method that gives open records, and ended ones that may yet turn out to be part of others.
                One that is given no more has ended, and was applied before if it counts.
        """
        self._under_way.attend(under_way)

    def _fold(self, leave: int = 0) -> None:
        """Count what waits, all but the newest ``leave``."""
        if self._folding:
            return
        self._folding, self._holder = True, threading.get_ident()
        try:
            while len(self._inbox) > leave:
                record = self._inbox.popleft()
                self._guard(self._event if isinstance(record, Event) else self._operation, record)
        finally:
            self._folding = False

    def _operation(self, operation: Operation) -> None:
        if operation.id in self._known:
            return
        tallies, under_way = self._tallies.of(operation), self._under_way
        if operation.end_ns is None:
            if operation.id not in self._tallies.total.open:
                under_way.open[operation.id] = operation
                for tally in tallies:
                    tally.open[operation.id] = operation
            return
        under_way.open.pop(operation.id, None)
        under_way.hidden.discard(operation.id)
        ended(operation, tallies)
        self._keep(operation)

    def _event(self, event: Event) -> None:
        if event.id in self._known or repeats_operation(event):
            return
        tallies = (self._tallies.total,) if event.type in SESSIONLESS else self._tallies.of(event)
        for tally in tallies:
            tally.event(event)
        self._keep(event)

    def _keep(self, record: Record) -> None:
        self._known[record.id] = None
        if len(self._known) > 2 * self._max_records + 1_000:
            self._known.popitem(last=False)
        self._history.append(record)
        if len(self._history) > self._max_records:
            self._history.popleft()
            self._evicted += 1
        if self._tap is not None:
            self._tap.put(record)

    def clear_session(self, session_id: str) -> bool:
        """Forget a session's counters and detail; the totals over everything stay.

        Work under way in it counts from nothing when it ends. Returns whether the session was known.
        """
        with self._reading():
            was_under_way = self._under_way.forget(session_id)
            was_counted = self._tallies.forget(session_id)
            self._history = deque(record for record in self._history if record.session_id != session_id)
            return was_counted or was_under_way

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those among the ids of records that the ledger has, of those it had last: applying them changes nothing."""
        with self._reading():
            return {id_ for id_ in ids if id_ in self._known}

    # ------------------------------------------------------------------------------------------------- reading
    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            self._fold()
            self._holder = threading.get_ident()
            within, self._folding = self._folding, True  # what the garbage collector ends meanwhile waits
            try:
                yield
            finally:
                self._folding = within

    def _records(self) -> list[Record]:
        with self._reading():
            return [*self._history, *self._under_way.open.values(), *self._under_way.told()]

    def _now(self, tally: Tally | None, under_way: list[Operation]) -> Tally | None:
        if tally is None and under_way:
            tally = self._tallies.make()
        return None if tally is None else now(tally, under_way, self._clock())

    def session_metrics(self, session_id: str, correlation_id: str | None = None) -> SessionMetrics:
        """Figures of a session, or of one request within it; zeros where nothing is known."""
        with self._reading():
            under_way = [open_ for open_ in self._under_way.told() if open_.session_id == session_id]
            if correlation_id is None:
                tally = self._tallies.sessions.get(session_id)
            else:
                tally = self._tallies.correlations.get((session_id, correlation_id))
                under_way = [open_ for open_ in under_way if open_.correlation_id == correlation_id]
            return session_view(session_id, self._now(tally, under_way))

    def sessions(self) -> list[str]:
        """Ids of the sessions known, the one last active last."""
        return self._listed(deleted=False)

    def metrics(self) -> Totals:
        """Figures over everything recorded, evicted sessions included."""
        with self._reading():
            return totals_view(now(self._tallies.total, self._under_way.told(hidden=True), self._clock()))

    def total(self) -> SessionMetrics:
        """Everything recorded, in the shape of one session with the id ``*``."""
        with self._reading():
            return session_view(EVERYTHING, now(self._tallies.total, self._under_way.told(hidden=True), self._clock()))

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
        """Who did, asked and decided what: see :func:`tachograph.views.audit.audit_view`.

        Args:
            session_id: only entries of this session.
            event_type: only entries of this type.
            category: only entries of this category: session, agent, llm, tool, hitl, task or system.
            correlation_id: only entries of this request.
            critical: only critical entries, or only the others.
            since: only entries from this moment on.
            limit: at most so many, the newest.

        Raises:
            ValueError: for a type, category, moment or limit that is none.
        """
        return audit_view(
            self._records(),
            session_id=session_id,
            event_type=event_type,
            category=category,
            correlation_id=correlation_id,
            critical=critical,
            since_ns=None if since is None else moment(since),
            limit=limit,
        )

    def timeline(self, *, session_id: str | None = None, correlation_id: str | None = None) -> Timeline:
        """What happened when, inside what, of a session, of a request or of everything."""
        return timeline_view(
            self._records(), session_id=session_id, correlation_id=correlation_id, moment_ns=self._clock()
        )

    def session_count(self, *, deleted: bool = False) -> int:
        """Sessions known; with ``deleted`` those hidden by deletion too."""
        return len(self._listed(deleted=deleted))

    def session_list(self, *, limit: int | None = None, offset: int = 0, deleted: bool = False) -> list[SessionMetrics]:
        """Figures of sessions, the one last active first, ``offset`` of them left out."""
        listed = self._listed(deleted=deleted)[::-1]
        return [self.session_metrics(known) for known in listed[offset : None if limit is None else offset + limit]]

    def session_rows(self, wanted: Wanted = NEWEST, *, limit: int | None = None, offset: int = 0) -> Listing:
        """What a list says of sessions: those wanted, in the order wanted."""
        if wanted == NEWEST:
            return Listing([*map(row, self.session_list(limit=limit, offset=offset))], self.session_count())
        return listing(map(row, self.session_list()), wanted, limit=limit, offset=offset)

    def _listed(self, *, deleted: bool) -> list[str]:
        with self._reading():
            return self._tallies.by_activity(deleted=deleted)

    def records(self, session_id: str | None = None) -> Iterator[Record]:
        """The newest records, of a session or of all: ended ones in order of arrival, then open ones."""
        return (record for record in self._records() if session_id is None or record.session_id == session_id)

    def close(self) -> None:
        """Nothing to give back."""

    def open_operations(self) -> list[Operation]:
        """What has begun and not ended, oldest first."""
        with self._reading():
            told = [open_ for open_ in self._under_way.told() if open_.end_ns is None]
            return sorted([*self._under_way.open.values(), *told], key=lambda open_: (open_.start_ns, open_.id))

    def recent(self, count: int, *, correlations: bool = False) -> list[tuple[str, str | None, SessionMetrics]]:
        """The ``count`` sessions (or requests within sessions) last active, with their figures."""
        with self._reading():
            return [
                (*key, session_view(key[0], self._now(tally, under_way)))
                for key, tally, under_way in self._tallies.newest(count, correlations=correlations)
            ]

    def stats(self) -> dict[str, Any]:
        """How full the ledger is, and what its bounds have cost."""
        with self._reading():
            told = [open_ for open_ in self._under_way.told() if open_.end_ns is None]
            busy = {session_id for session_id, tally in self._tallies.sessions.items() if tally.open}
            busy |= {open_.session_id for open_ in told}
            return {
                "sessions": len(self._tallies.sessions.keys() | busy),
                "active_sessions": len(busy),
                "open_operations": len(self._under_way.open) + len(told),
                "records": len(self._history),
                "evicted": {
                    **self._tallies.evicted,
                    "records": self._evicted,
                    "requests": self._tallies.total.evicted_requests,
                    "names": self._tallies.total.folded_names,
                },
            }
