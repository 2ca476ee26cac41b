"""The ledger: what happened, in memory, answering at once.

Counters are folded as records arrive (:mod:`tachograph.tally`) and cost nothing to read; detail is kept as the
newest records and folded when somebody asks (audit log, timeline). Everything is bounded: the oldest detail and
the longest-idle sessions go first, what went is counted, and the totals stay.

Thread-safe. Records may come interleaved, late and repeated: the live answer is that of the same records
replayed in any order.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.records import Event, Operation
from tachograph.tally import Tally
from tachograph.times import moment
from tachograph.views.audit import audit_view
from tachograph.views.session import SessionMetrics, session_view
from tachograph.views.timeline import Timeline, timeline_view
from tachograph.views.totals import Totals, totals_view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tachograph.records import Record
    from tachograph.views.audit import Entry

_SESSIONLESS = frozenset({"agent_registered", "system_startup", "system_shutdown"})
"""Events that make no session: they happen before anybody asked for anything."""


class Ledger:
    """Counters of sessions and the newest records.

    Args:
        max_sessions: sessions with counters of their own; further ones push out the longest idle.
        max_requests: newest model calls listed per session.
        max_records: ended operations and events kept for audit log and timeline.
        max_names: agents, tools and models listed per table.
    """

    def __init__(
        self, *, max_sessions: int = 1_000, max_requests: int = 100, max_records: int = 10_000, max_names: int = 200
    ) -> None:
        self._max_sessions = max_sessions
        self._max_requests = max_requests
        self._max_records = max_records
        self._max_names = max_names
        self._inbox: deque[Record] = deque()
        self._total = self._tally()
        self._sessions: OrderedDict[str, Tally] = OrderedDict()
        self._correlations: OrderedDict[tuple[str, str], Tally] = OrderedDict()
        self._open: dict[str, Operation] = {}
        # Who was told of the start: a tally that was made since, its session evicted or cleared, is told at the end.
        self._begun: dict[str, tuple[Tally, ...]] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._history: deque[Record] = deque()
        self._evicted = {"sessions": 0, "correlations": 0, "records": 0}
        self.after_fork()

    def after_fork(self) -> None:
        """Make the lock anew: another thread may have held it when this process was forked off."""
        # Reentrant for the moments between taking the lock and saying so in _holder.
        self._lock = threading.RLock()
        self._holder: int | None = None

    # ------------------------------------------------------------------------------------------------- writing
    def apply(self, record: Record) -> None:
        """Take a record in. Repeats of an ended operation or of an event change nothing."""
        self._inbox.append(record)
        # The garbage collector may end an abandoned stream in the middle of a fold, on the very thread that holds
        # the lock. Then the record waits in the inbox for the fold under way.
        if self._holder == threading.get_ident():
            return
        with self._lock:
            self._drain()

    def _drain(self) -> None:
        self._holder = threading.get_ident()
        try:
            while self._inbox:
                record = self._inbox.popleft()
                if isinstance(record, Event):
                    self._event(record)
                else:
                    self._operation(record)
        finally:
            self._holder = None

    def _operation(self, operation: Operation) -> None:
        if operation.id in self._known:
            return
        if operation.end_ns is None:
            if operation.id not in self._begun:
                self._open[operation.id] = operation
                self._begun[operation.id] = tallies = tuple(self._tallies(operation))
                for tally in tallies:
                    tally.started(operation)
            return
        self._open.pop(operation.id, None)
        begun = self._begun.pop(operation.id, ())
        for tally in self._tallies(operation):
            if not any(tally is told for told in begun):
                tally.started(operation)
            tally.ended(operation)
        self._keep(operation)

    def _event(self, event: Event) -> None:
        # What an operation carries is counted there; its log event is the same fact a second time.
        if event.id in self._known or names.OPERATION_ID in event.payload:
            return
        tallies = iter([self._total]) if event.type in _SESSIONLESS else self._tallies(event)
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

    def _tallies(self, record: Record) -> Iterator[Tally]:
        yield self._total
        session_id = record.session_id
        tally = self._sessions.get(session_id)
        if tally is None:
            tally = self._sessions[session_id] = self._tally()
            if len(self._sessions) > self._max_sessions:
                self._evict(self._sessions, "sessions")
        else:
            self._sessions.move_to_end(session_id)
        yield tally
        if record.correlation_id is None:
            return
        key = session_id, record.correlation_id
        tally = self._correlations.get(key)
        if tally is None:
            tally = self._correlations[key] = self._tally()
            if len(self._correlations) > self._max_sessions:
                self._evict(self._correlations, "correlations")
        else:
            self._correlations.move_to_end(key)
        yield tally

    def _evict(self, tallies: OrderedDict[Any, Tally], what: str) -> None:
        # The longest idle first; one with work under way only when the next few have work under way too, so that
        # an end seldom arrives at a tally that has not seen the start.
        oldest = list(zip(range(min(32, len(tallies) - 1)), tallies.items(), strict=False))  # not the one just made
        victim = next((key for _, (key, tally) in oldest if not tally.open), oldest[0][1][0])
        del tallies[victim]
        self._evicted[what] += 1

    def _tally(self) -> Tally:
        return Tally(max_names=self._max_names, max_requests=self._max_requests)

    def clear_session(self, session_id: str) -> bool:
        """Forget a session's counters and detail; the totals over everything stay.

        Work under way in it counts from nothing when it ends. Returns whether the session was known.
        """
        with self._reading():
            known = self._sessions.pop(session_id, None) is not None
            for key in [key for key in self._correlations if key[0] == session_id]:
                del self._correlations[key]
            for operation in [open_ for open_ in self._open.values() if open_.session_id == session_id]:
                del self._open[operation.id]
            self._history = deque(record for record in self._history if record.session_id != session_id)
            return known

    # ------------------------------------------------------------------------------------------------- reading
    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            self._drain()
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = None

    def _records(self) -> list[Record]:
        with self._reading():
            return [*self._history, *self._open.values()]

    def session_metrics(self, session_id: str, correlation_id: str | None = None) -> SessionMetrics:
        """Figures of a session, or of one request within it; zeros where nothing is known."""
        with self._reading():
            if correlation_id is None:
                tally = self._sessions.get(session_id)
            else:
                tally = self._correlations.get((session_id, correlation_id))
            return session_view(session_id, tally)

    def sessions(self) -> list[str]:
        """Ids of the sessions known, the one last active last."""
        with self._reading():
            return list(self._sessions)

    def metrics(self) -> Totals:
        """Figures over everything recorded, evicted sessions included."""
        with self._reading():
            return totals_view(self._total)

    def total(self) -> SessionMetrics:
        """Everything recorded, in the shape of one session with the id ``*``."""
        with self._reading():
            return session_view("*", self._total)

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

    def open_operations(self) -> list[Operation]:
        """What has begun and not ended, oldest first."""
        with self._reading():
            return list(self._open.values())

    def recent(self, count: int, *, correlations: bool = False) -> list[tuple[str, str | None, SessionMetrics]]:
        """The ``count`` sessions (or requests within sessions) last active, with their figures."""
        with self._reading():
            source: list[tuple[str, str | None, Tally]]
            if correlations:
                source = [(session, correlation, tally) for (session, correlation), tally in self._correlations.items()]
            else:
                source = [(session, None, tally) for session, tally in self._sessions.items()]
            newest = source[max(0, len(source) - count) :]
            return [(session, correlation, session_view(session, tally)) for session, correlation, tally in newest]

    def stats(self) -> dict[str, Any]:
        """How full the ledger is, and what its bounds have cost."""
        with self._reading():
            return {
                "sessions": len(self._sessions),
                "active_sessions": sum(1 for tally in self._sessions.values() if tally.open),
                "open_operations": len(self._open),
                "records": len(self._history),
                "evicted": {
                    **self._evicted,
                    "requests": self._total.evicted_requests,
                    "names": self._total.folded_names,
                },
            }
