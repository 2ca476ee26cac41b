"""What is new in an audit log since one last looked, whatever the source.

A log is no queue: an entry of the past may turn up late. An operation shows its start only when its end arrives, if
the source hears of it no sooner; writers store what happened some moments after it did, each by its own clock. So a
follower reads again what it has just read, leaves out what it has told, and looks for the start of whatever ended
without one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.times import moment, timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from tachograph.sources import Source
    from tachograph.views.audit import Entry

OVERLAP_NS: Final = 60 * 1_000_000_000
"""Nanoseconds before the newest entry that are read again each time."""

MAX_REMEMBERED: Final = 50_000
"""Entries remembered as told. Older ones are told no more, be they new or not."""

_START_OF: Final = {
    "agent_processing_completed": "agent_processing_started",
    "llm_request_completed": "llm_request_started",
    "llm_request_failed": "llm_request_started",
    "tool_execution_completed": "tool_execution_started",
    "tool_execution_failed": "tool_execution_started",
}


class Follower:
    """Tells each entry of a source's audit log once. For one thread.

    Args:
        source: whose audit log.
        last: of what is there already the newest so many are told too, by the first :meth:`new`; None: all.
        session_id: only entries of this session.
        event_type: only entries of this type.
        category: only entries of this category.
        correlation_id: only entries of this request.
        critical: only critical entries, or only the others.
        since: only entries from this moment on.

    Raises:
        ValueError: for a type, category, moment or ``last`` that is none.
    """

    def __init__(
        self,
        source: Source,
        *,
        last: int | None = 0,
        session_id: str | None = None,
        event_type: str | None = None,
        category: str | None = None,
        correlation_id: str | None = None,
        critical: bool | None = None,
        since: str | datetime | float | None = None,
    ) -> None:
        self._source = source
        self._within: dict[str, Any] = {"session_id": session_id, "correlation_id": correlation_id}
        self._of: dict[str, Any] = {"event_type": event_type, "category": category, "critical": critical}
        self._told: OrderedDict[str, int] = OrderedDict()
        self._newest = 0
        self._past = -1 if since is None else moment(since) - 1
        for entry in source.audit_log(**self._within, limit=1):
            self._newest = moment(entry["timestamp"])
            self._past = max(self._past, self._start() - 1)
        self._take(self._read())
        # Read last, so that what comes meanwhile is either among these or told by the next reading.
        self._first: list[Entry] = source.audit_log(**self._within, **self._of, since=since, limit=last)
        self._take(self._first)

    def new(self) -> list[Entry]:
        """The entries not told so far, in order of time.

        Raises:
            SourceError: when the source can no longer be read.
        """
        first, self._first = self._first, []
        found = self._take(self._read())
        requests = {
            (entry["session_id"], entry["correlation_id"]): None for entry in found if not self._has_start(entry)
        }
        for session_id, correlation_id in requests:
            # It began before what is read again and is heard of only now: its first entries are in the same request.
            found += self._take(self._source.audit_log(session_id=session_id, correlation_id=correlation_id))
        while len(self._told) > MAX_REMEMBERED:
            _, at = self._told.popitem(last=False)
            self._past = max(self._past, at)
        return [*first, *sorted(filter(self._wanted, found), key=lambda entry: moment(entry["timestamp"]))]

    def _start(self) -> int:
        # A clock that is ahead must not hide what happens now.
        return max(0, self._past + 1, min(self._newest, time.time_ns()) - OVERLAP_NS)

    def _read(self) -> list[Entry]:
        return self._source.audit_log(**self._within, since=timestamp(self._start()))

    def _take(self, entries: list[Entry]) -> list[Entry]:
        """Those among ``entries`` that were not taken before and are not past."""
        fresh = []
        for entry in entries:
            at = moment(entry["timestamp"])
            if at > self._past and entry["event_id"] not in self._told:
                self._told[entry["event_id"]] = at
                self._newest = max(self._newest, at)
                fresh.append(entry)
        return fresh

    def _has_start(self, entry: Entry) -> bool:
        begins = _START_OF.get(entry["event_type"])
        operation = entry["event_id"].rpartition(":")[0]
        return begins is None or f"{operation}:{begins}" in self._told

    def _wanted(self, entry: Entry) -> bool:
        category, critical = names.EVENTS[entry["event_type"]]
        found = {"event_type": entry["event_type"], "category": category, "critical": critical}
        return all(wanted is None or wanted == found[what] for what, wanted in self._of.items())
