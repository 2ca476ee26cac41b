"""Sessions from Jaeger, by its query API: the figures, log and timeline that spans can give, rebuilt from them.

What is asked of one session or request is found by its id, in any number of traces; what is asked of all is read
from all traces of the time that the place names, :data:`MAX_SPANS` spans at most, the newest. Whatever has been read
answers for some seconds. A span store cannot know everything, and ``reasons`` say what:

- events that had no span;
- what was sampled out before it came there, and what happened before the time that is read;
- what had not ended, as a span is sent when it ends;
- what was too much to read.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.listing import NEWEST
from tachograph.sources import SourceError
from tachograph.sources.jaeger.api import Api, Found, TooLongError
from tachograph.sources.jaeger.place import place_of
from tachograph.sources.otlp.told import ToldLedger
from tachograph.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from tachograph.guard import Guard
    from tachograph.listing import Listing, Wanted
    from tachograph.records import Operation, Record
    from tachograph.spans import Batch
    from tachograph.views.audit import Entry
    from tachograph.views.session import SessionMetrics
    from tachograph.views.timeline import Timeline
    from tachograph.views.totals import Totals

MAX_SPANS: Final = 100_000
"""Spans that are read to answer a question; some hundred megabytes."""

PAGE: Final = 50
"""Traces asked for at once. Where there are more, each half of the time is asked about."""

_SHORTEST_NS: Final = 1_000_000
_MOST: Final = 10_000
"""Traces asked for of a time that is too short to halve, in nanoseconds."""

_FRESH: Final = 2.0
_PATIENCE: Final = 10
"""Seconds for which what was read answers; as many times as long as the reading took, if that is more."""

_REMEMBERED: Final = 16
_SAMPLED: Final = "read from a store of spans: what was sampled out on the way there is not known"


class JaegerSource:
    """The sessions that a Jaeger has spans of. Thread-safe; sees what comes there meanwhile.

    Every question may raise :class:`~tachograph.sources.SourceError` when Jaeger cannot be asked.

    Args:
        place: ``jaeger://host:port``, ``jaeger+https://…``, with ``?since=``, ``&until=`` and ``&service=``.
        headers: sent with each question, for whoever stands before Jaeger.
        guard: around the folding of each record.

    Raises:
        SourceError: for a place that cannot be understood.
    """

    def __init__(self, place: str, *, headers: Mapping[str, str] | None = None, guard: Guard | None = None) -> None:
        self._place = place_of(place)
        self._api = Api(self._place, headers or {})
        self._guard = guard
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[str, str] | None, tuple[_Read, float]] = OrderedDict()

    @property
    def place(self) -> str:
        """The place, as it was given."""
        return self._place.written

    def check(self) -> None:
        """Ask whether it is a Jaeger that answers.

        Raises:
            SourceError: naming why it cannot be asked, and the fix.
        """
        with self._lock:
            self._api.services()

    def close(self) -> None:
        """Close the connection, and forget what was read. Closing twice is fine."""
        with self._lock:
            self._read.clear()
            self._api.close()

    # ------------------------------------------------------------------------------------------------ what is read
    def _told(self, session_id: str | None = None, correlation_id: str | None = None) -> _Read:
        """A ledger that has everything of a session, or of a request, or of all."""
        wanted = None
        if session_id is not None:
            wanted = names.SESSION_ID, session_id
        elif correlation_id is not None:
            wanted = names.CORRELATION_ID, correlation_id
        with self._lock:
            for key in (None, wanted):
                read, until = self._read.get(key, (None, 0.0))
                if read is not None and time.monotonic() < until:
                    return read
            begun = time.monotonic()
            services = self._place.services or self._api.services()
            read = _Read(self._api, services, self._place.window(), wanted, self._guard)
            now = time.monotonic()
            self._read[wanted] = read, now + max(_FRESH, _PATIENCE * (now - begun))
            self._read.move_to_end(wanted)
            while len(self._read) > _REMEMBERED:
                self._read.popitem(last=False)
            return read

    # --------------------------------------------------------------------------------------------------- questions
    def session_count(self, *, deleted: bool = False) -> int:
        """Sessions there are; with ``deleted`` those hidden by deletion too."""
        return self._told().session_count(deleted=deleted)

    def session_list(self, *, limit: int | None = None, offset: int = 0, deleted: bool = False) -> list[SessionMetrics]:
        """Figures of sessions, the one last active first, ``offset`` of them left out."""
        return self._told().session_list(limit=limit, offset=offset, deleted=deleted)

    def session_rows(self, wanted: Wanted = NEWEST, *, limit: int | None = None, offset: int = 0) -> Listing:
        """What a list says of sessions: those wanted, in the order wanted."""
        return self._told().session_rows(wanted, limit=limit, offset=offset)

    def sessions(self) -> list[str]:
        """Ids of all sessions that are not deleted, the one last active last."""
        return self._told().sessions()

    def session_metrics(self, session_id: str, correlation_id: str | None = None) -> SessionMetrics:
        """Figures of a session, or of one request within it; zeros where nothing is known."""
        return self._told(session_id).session_metrics(session_id, correlation_id)

    def metrics(self) -> Totals:
        """Figures over everything that was read."""
        return self._told().metrics()

    def total(self) -> SessionMetrics:
        """Everything that was read, in the shape of one session with the id ``*``."""
        return self._told().total()

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
        return self._told(session_id, correlation_id).audit_log(
            session_id=session_id,
            event_type=event_type,
            category=category,
            correlation_id=correlation_id,
            critical=critical,
            since=since,
            limit=limit,
        )

    def timeline(self, *, session_id: str | None = None, correlation_id: str | None = None) -> Timeline:
        """What happened when, inside what, of a session, of a request or of everything."""
        told = self._told(session_id, correlation_id)
        return told.timeline(session_id=session_id, correlation_id=correlation_id)

    def records(self, session_id: str | None = None) -> Iterator[Record]:
        """What the answers are made from, of a session or of all, in the order of their ends."""
        return self._told(session_id).records(session_id)

    def open_operations(self) -> list[Operation]:
        """Nothing: a span is sent when it ends."""
        return self._told().open_operations()

    def stats(self) -> dict[str, Any]:
        """How much was read."""
        return self._told().stats()


class _Read(ToldLedger):
    """What was read at once.

    Args:
        api: to be asked.
        services: whose traces.
        window: from when to when, in nanoseconds.
        wanted: only traces in which a span has this attribute.
        guard: around the folding of each record.
    """

    def __init__(
        self,
        api: Api,
        services: tuple[str, ...] | list[str],
        window: tuple[int, int],
        wanted: tuple[str, str] | None,
        guard: Guard | None,
    ) -> None:
        self._api = api
        self._window = window
        self._traces: set[str] = set()
        self._spans = 0
        self._faults = 0
        self._too_much: dict[str, None] = {}
        each = (self._of(service, wanted) for service in services)
        super().__init__(chain.from_iterable(each), guard=guard)

    def _of(self, service: str, wanted: tuple[str, str] | None) -> Iterator[Batch]:
        if wanted is None:
            for found in self._paged(lambda *page: self._api.traces(service, *page)):
                yield from self._new(found)
            return
        for found in self._paged(lambda *page: self._api.search(service, *wanted, *page)):
            for trace_id in sorted(found.traces - self._traces):
                yield from self._new(self._trace(trace_id))

    def _trace(self, trace_id: str) -> Found:
        try:
            return self._api.trace(trace_id)
        except TooLongError:
            self._too_much[f"a trace too long to read: {trace_id}"] = None
            return Found(frozenset())

    def _paged(self, find: Callable[[int, int, int], Found]) -> Iterator[Found]:
        """What is found in the whole time, the newest first, a bounded part at a time."""
        times = [self._window]
        while times and self._spans < MAX_SPANS:
            start, end = times.pop()
            shortest = end - start <= _SHORTEST_NS
            limit = _MOST if shortest else PAGE
            try:
                found = find(start, end, limit)
                more = len(found.traces) >= limit
            except TooLongError:
                found, more = None, True
            if more and not shortest:
                middle = (start + end) // 2
                times += [(start, middle), (middle, end)]
                continue
            if more:
                self._too_much[f"more at {timestamp(start)} than can be read at once"] = None
            if found is not None:
                yield found
        if times:
            self._too_much[f"more than {MAX_SPANS:,} spans; only the newest were read: read a shorter time"] = None

    def _new(self, found: Found) -> Iterator[Batch]:
        # A trace that is in two times, or of two services, is found in both.
        new = found.traces - self._traces
        self._traces |= new
        for batch in found.batches:
            spans = [span for span in batch.spans if span.trace_id in new]
            self._spans += len(spans)
            self._faults += len(batch.faults)
            yield batch._replace(spans=spans)

    def _unknown(self, session_id: str | None) -> list[str]:
        damaged = [f"could not be read: {self._faults:,} spans"] if self._faults else []
        since = f"read from {timestamp(self._window[0])} on: what was before is not known"
        return [*super()._unknown(session_id), _SAMPLED, since, *damaged, *self._too_much]

    def stats(self) -> dict[str, Any]:
        """How much was read."""
        return {**super().stats(), "traces": len(self._traces), "bad": self._faults}


def open_jaeger(place: str, headers: Mapping[str, str]) -> JaegerSource:
    """A source over a Jaeger that answers.

    Raises:
        SourceError: for one that does not, and for a place that cannot be understood.
    """
    source = JaegerSource(place, headers=headers)
    try:
        source.check()
    except SourceError:
        source.close()
        raise
    return source
