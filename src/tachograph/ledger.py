"""The ledger: what happened, in memory, answering at once. A :class:`~tachograph.sources.Source` like any other.

Counters are folded as records arrive (:mod:`tachograph.tally`), a few at a time and always before anybody reads, and
cost nothing to read; detail is kept as the newest records and folded when somebody asks (audit log, timeline).
Everything is bounded: the oldest detail and the longest-idle sessions go first, what went is counted, and the totals
stay.

Thread-safe. Records may come interleaved, late and repeated: the live answer is that of the same records
replayed in any order.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import OrderedDict, defaultdict, deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tachograph.facts import SESSIONLESS, repeats_operation
from tachograph.folds import ended, now
from tachograph.guard import Guard
from tachograph.listing import NEWEST, Listing, listing, row
from tachograph.records import Event, Operation
from tachograph.tally import Tally
from tachograph.times import moment
from tachograph.views.audit import audit_view
from tachograph.views.session import EVERYTHING, SessionMetrics, session_view
from tachograph.views.timeline import Timeline, timeline_view
from tachograph.views.totals import Totals, totals_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from tachograph.listing import Wanted
    from tachograph.records import Record
    from tachograph.tap import Tap
    from tachograph.views.audit import Entry

_BATCH: Final = 64
"""Records folded together, about half a millisecond of work."""

K = TypeVar("K")


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
        self._attended: list[weakref.WeakMethod[Callable[[], list[Operation]]]] = []
        self._tap: Tap | None = None
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
        self._total = self._tally()
        self._sessions: OrderedDict[str, Tally] = OrderedDict()
        self._correlations: OrderedDict[tuple[str, str | None], Tally] = OrderedDict()
        self._newest: tuple[Any, tuple[Tally, ...]] = None, ()
        self._open: dict[str, Operation] = {}
        self._hidden: set[str] = set()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._history: deque[Record] = deque()
        self._evicted = {"sessions": 0, "correlations": 0, "records": 0}

    # ------------------------------------------------------------------------------------------------- writing
    def apply(self, record: Record) -> None:
        """Take a record in. Repeats of an ended operation or of an event change nothing."""
        # Folded with others, when somebody reads or enough have come: together they cost half.
        self._inbox.append(record)
        if len(self._inbox) >= _BATCH and self._lock.acquire(blocking=False):
            try:
                self._fold()
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
            self._tap = tap

    def untap(self, tap: Tap) -> None:
        """Give it no more; where another has taken its place, that one stays."""
        with self._reading():
            if self._tap is tap:
                self._tap = None

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
        self._attended.append(weakref.WeakMethod(under_way))

    def _fold(self) -> None:
        if self._folding:
            return
        self._folding, self._holder = True, threading.get_ident()
        try:
            while self._inbox:
                record = self._inbox.popleft()
                self._guard(self._event if isinstance(record, Event) else self._operation, record)
        finally:
            self._folding = False

    def _operation(self, operation: Operation) -> None:
        if operation.id in self._known:
            return
        tallies = self._tallies(operation)
        if operation.end_ns is None:
            if operation.id not in self._total.open:
                self._open[operation.id] = operation
                for tally in tallies:
                    tally.open[operation.id] = operation
            return
        self._open.pop(operation.id, None)
        self._hidden.discard(operation.id)
        ended(operation, tallies)
        self._keep(operation)

    def _event(self, event: Event) -> None:
        if event.id in self._known or repeats_operation(event):
            return
        tallies = (self._total,) if event.type in SESSIONLESS else self._tallies(event)
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
            self._evicted["records"] += 1
        if self._tap is not None:
            self._tap.put(record)

    def _tallies(self, record: Record) -> tuple[Tally, ...]:
        key = record.session_id, record.correlation_id
        if key == self._newest[0]:
            return self._newest[1]
        session = self._entry(self._sessions, record.session_id, "sessions")
        tallies: tuple[Tally, ...] = self._total, session
        if record.correlation_id is not None:
            tallies += (self._entry(self._correlations, key, "correlations"),)
        self._newest = key, tallies
        return tallies

    def _entry(self, tallies: OrderedDict[K, Tally], key: K, what: str) -> Tally:
        tally = tallies.get(key)
        if tally is None:
            tally = tallies[key] = self._tally()
            if len(tallies) > self._max_sessions:
                self._evict(tallies, what)
        else:
            tallies.move_to_end(key)
        return tally

    def _evict(self, tallies: OrderedDict[Any, Tally], what: str) -> None:
        # The longest idle first; one with work under way only when the next few have work under way too, so that
        # an end seldom arrives at a tally that has not seen the start.
        busy = {
            key
            for open_ in self._told(hidden=True)
            for key in (open_.session_id, (open_.session_id, open_.correlation_id))
        }
        oldest = list(zip(range(min(32, len(tallies) - 1)), tallies.items(), strict=False))  # not the one just made
        idle = (key for _, (key, tally) in oldest if not tally.open and key not in busy)
        del tallies[next(idle, oldest[0][1][0])]
        self._evicted[what] += 1

    def _tally(self) -> Tally:
        return Tally(max_names=self._max_names, max_requests=self._max_requests)

    def clear_session(self, session_id: str) -> bool:
        """Forget a session's counters and detail; the totals over everything stay.

        Work under way in it counts from nothing when it ends. Returns whether the session was known.
        """
        with self._reading():
            under_way = [open_.id for open_ in (*self._open.values(), *self._told()) if open_.session_id == session_id]
            known = self._sessions.pop(session_id, None) is not None or under_way != []
            self._newest = None, ()
            for key in [key for key in self._correlations if key[0] == session_id]:
                del self._correlations[key]
            for operation_id in under_way:
                self._open.pop(operation_id, None)
                self._hidden.add(operation_id)
            self._history = deque(record for record in self._history if record.session_id != session_id)
            return known

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

    def _told(self, *, hidden: bool = False) -> list[Operation]:
        """What those who are attended to have under way; with what was hidden when its session was cleared, or not."""
        methods = [method for reference in self._attended if (method := reference()) is not None]
        there = [open_ for method in methods for open_ in method() if open_.id not in self._known]
        return [open_ for open_ in there if hidden or open_.id not in self._hidden]

    def _records(self) -> list[Record]:
        with self._reading():
            return [*self._history, *self._open.values(), *self._told()]

    def _now(self, tally: Tally | None, under_way: list[Operation]) -> Tally | None:
        if tally is None and under_way:
            tally = self._tally()
        return None if tally is None else now(tally, under_way, self._clock())

    def session_metrics(self, session_id: str, correlation_id: str | None = None) -> SessionMetrics:
        """Figures of a session, or of one request within it; zeros where nothing is known."""
        with self._reading():
            under_way = [open_ for open_ in self._told() if open_.session_id == session_id]
            if correlation_id is None:
                tally = self._sessions.get(session_id)
            else:
                tally = self._correlations.get((session_id, correlation_id))
                under_way = [open_ for open_ in under_way if open_.correlation_id == correlation_id]
            return session_view(session_id, self._now(tally, under_way))

    def sessions(self) -> list[str]:
        """Ids of the sessions known, the one last active last."""
        return self._listed(deleted=False)

    def metrics(self) -> Totals:
        """Figures over everything recorded, evicted sessions included."""
        with self._reading():
            return totals_view(now(self._total, self._told(hidden=True), self._clock()))

    def total(self) -> SessionMetrics:
        """Everything recorded, in the shape of one session with the id ``*``."""
        with self._reading():
            return session_view(EVERYTHING, now(self._total, self._told(hidden=True), self._clock()))

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
        return timeline_view(self._records(), session_id=session_id, correlation_id=correlation_id)

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
            # By the moments in the records, not by their arrival: the same for everybody who has them.
            last = {
                id_: max([tally.last_ns, *(open_.start_ns for open_ in tally.open.values())])
                for id_, tally in self._sessions.items()
                if deleted or not tally.deleted
            }
            for open_ in self._told():
                if open_.session_id in last or open_.session_id not in self._sessions:
                    last[open_.session_id] = max(last.get(open_.session_id, 0), open_.start_ns)
            return sorted(last, key=lambda id_: (last[id_], id_))

    def records(self, session_id: str | None = None) -> Iterator[Record]:
        """The newest records, of a session or of all: ended ones in order of arrival, then open ones."""
        return (record for record in self._records() if session_id is None or record.session_id == session_id)

    def close(self) -> None:
        """Nothing to give back."""

    def open_operations(self) -> list[Operation]:
        """What has begun and not ended, oldest first."""
        with self._reading():
            told = [open_ for open_ in self._told() if open_.end_ns is None]
            return sorted([*self._open.values(), *told], key=lambda open_: (open_.start_ns, open_.id))

    def recent(self, count: int, *, correlations: bool = False) -> list[tuple[str, str | None, SessionMetrics]]:
        """The ``count`` sessions (or requests within sessions) last active, with their figures."""
        with self._reading():
            under_way = defaultdict[tuple[str, str | None], list[Operation]](list)
            for open_ in self._told():
                under_way[open_.session_id, open_.correlation_id if correlations else None].append(open_)
            known: dict[tuple[str, str | None], Tally | None]
            known = {**self._correlations} if correlations else {(id_, None): t for id_, t in self._sessions.items()}
            newest = list(_with(known, under_way).items())[max(0, len(known | under_way) - count) :]
            return [(*key, session_view(key[0], self._now(tally, under_way[key]))) for key, tally in newest]

    def stats(self) -> dict[str, Any]:
        """How full the ledger is, and what its bounds have cost."""
        with self._reading():
            told = [open_ for open_ in self._told() if open_.end_ns is None]
            busy = {session_id for session_id, tally in self._sessions.items() if tally.open}
            busy |= {open_.session_id for open_ in told}
            return {
                "sessions": len(self._sessions.keys() | busy),
                "active_sessions": len(busy),
                "open_operations": len(self._open) + len(told),
                "records": len(self._history),
                "evicted": {
                    **self._evicted,
                    "requests": self._total.evicted_requests,
                    "names": self._total.folded_names,
                },
            }


def _with(known: dict[K, Tally | None], under_way: dict[K, list[Operation]]) -> dict[K, Tally | None]:
    """What is known, the one last active last, and those of which only work under way is."""
    first = next(iter(known.values()), None)
    since = 0 if first is None else first.last_ns
    new = [key for key in under_way if key not in known]
    # What has long been under way, as what waits for a human has, is that of one whose counters were evicted.
    old = [key for key in new if max(open_.start_ns for open_ in under_way[key]) < since]
    return {**dict.fromkeys(old), **known, **dict.fromkeys(key for key in new if key not in {*old})}
