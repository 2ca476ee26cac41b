"""From what was sent to what is kept: a bounded queue of requests, and one thread that reads and keeps them.

A request that was taken is answered, and waits as the bytes it came in, some milliseconds as a rule. Where it cannot be
kept, because the disk is full or others write, it waits longer; and when no more can wait, senders are told to come
back. Nothing is counted twice: what is sent again is known by its id.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from tachograph.config import Config
from tachograph.cost import Prices
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.server.receiver.bodies import Room
from tachograph.server.receiver.places import Outcome, place_of
from tachograph.server.receiver.reading import Reading
from tachograph.server.receiver.wire import check
from tachograph.store.trouble import KINDS, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.records import Record
    from tachograph.server.receiver.places import Place
    from tachograph.server.receiver.wire import Checked, Sent
    from tachograph.sources import Source

_log = logging.getLogger("tachograph")

WAITING: Final = 32 * 1024 * 1024
"""Bytes of requests that are being read or wait to be kept."""

_TOGETHER: Final = 1024 * 1024
"""Bytes of requests that are kept in one go: a transaction takes a while, however little is in it."""

_COUNTED: Final = ("requests", "spans", "log_records", "refused_requests", "refused", "kept", "duplicates", "failed")


class _Mark:
    """A place in the queue: told when everything before it is kept."""

    def __init__(self, *, last: bool) -> None:
        self.last = last
        self.reached = threading.Event()


class Receiver:
    """Takes what is sent to a server, and keeps it where the server's source is.

    Its thread starts with the first request.

    Args:
        source: that is served: a ledger or a store.
        config: the settings a store is written by, and the prices of model calls that others recorded.
        guard: around the reading of each request.
        complain: told, in one line each, of trouble with the store and of its end; by default the log is.
        waiting: bytes of requests that may be read, or wait to be kept, at once.

    Raises:
        ValueError: for a source to which nothing can be added, as a file of OTLP; it names it.
    """

    def __init__(
        self,
        source: Source,
        config: Config | None = None,
        *,
        guard: Guard | None = None,
        complain: Callable[[str], None] = _log.warning,
        waiting: int = WAITING,
    ) -> None:
        self.room = Room(waiting)
        self._guard = guard or Guard()
        config = config or Config()
        place = place_of(source, config, self._guard)
        if place is None:
            raise ValueError(f"{source.place}: nothing can be added to that; serve a store, or a ledger in memory")
        self._place: Place = place
        self._trouble = Trouble(Path(source.place), complain)
        self._reading = Reading(self._guard, Prices(config.prices))
        if isinstance(source, Ledger):
            source.attend(self._reading.undecided)
        self._queue: SimpleQueue[Sent | _Mark] = SimpleQueue()
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._closing = math.inf
        self._closed = False
        self._over = threading.Event()

    # ------------------------------------------------------------------------------------------------ the server's
    def check(self, sent: Sent) -> Checked:
        """The same as by ``wire``, for large requests: one at a time, as each is thirty times its size meanwhile.

        Raises:
            UndecodableError: for one that cannot be read at all.
        """
        with self._looking:
            return check(sent)

    def put(self, sent: Sent, checked: Checked) -> bool:
        """Let a request wait to be kept; whether that is so, as nothing is taken any more once this is closed.

        Args:
            sent: a request whose body was taken from :attr:`room`.
            checked: what of it can be taken.
        """
        with self._lock:
            if self._closed:
                return False
            self._counts["requests"] += 1
            self._counts["log_records" if sent.signal == "logs" else "spans"] += checked.taken
            self._counts["refused"] += checked.refused
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tachograph-receiver", daemon=True)
                self._thread.start()
            self._queue.put(sent)
        return True

    def refused(self, checked: Checked | None = None) -> None:
        """Note a request of which nothing is taken; with ``checked`` one that is answered as taken in part."""
        with self._lock:
            if checked is None:
                self._counts["refused_requests"] += 1
            else:
                self._counts.update({"requests": 1, "refused": checked.refused})

    def settle(self, timeout: float = 20.0) -> bool:
        """Wait until everything that was put so far is kept, but for what waits for its like.

        Args:
            timeout: seconds to wait.
        """
        return self._reached(_Mark(last=False), timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Take nothing more, keep what waits, and end the thread; a second close does nothing.

        Args:
            timeout: seconds to wait for that. What is not kept by then is not, and that is said.
        """
        with self._lock:
            if self._closed:
                return
            self._closed, self._closing = True, time.monotonic() + timeout
            self._over.set()
        if not self._reached(_Mark(last=True), timeout + 1.0):
            _log.warning("tachograph serve: ended before all that was received was kept: %s", self.stats())

    def _reached(self, mark: _Mark, timeout: float) -> bool:
        with self._lock:
            if self._thread is None:
                return True
            self._queue.put(mark)
        return mark.reached.wait(timeout)

    def stats(self) -> dict[str, Any]:
        """What came, what became of it, and what waits.

        ``requests`` were taken, whole or in part, with these ``spans`` and ``log_records``; ``refused_requests`` were
        not, and neither were the ``refused`` spans, log records and data points of others. Of records ``kept`` are
        new, ``duplicates`` were sent before, ``failed`` could not be read or kept; ``passed_over`` are worth no place.
        """
        with self._lock:
            counts = {name: self._counts[name] for name in _COUNTED}
        reading = self._reading.stats()
        return {
            **counts,
            **reading,
            "failed": counts["failed"] + reading["failed"],
            "waiting_bytes": self.room.taken,
            "trouble": self._trouble.error,
        }

    # ------------------------------------------------------------------------------------------------- the thread
    def _run(self) -> None:
        last = False
        while not last:
            waiting, mark = self._next()
            last = mark is not None and mark.last
            self._guard(partial(self._take_in, waiting, last=last))
            self.room.give_back(sum(len(sent.body) for sent in waiting))
            if last:
                self._guard(self._end)
            if mark is not None:
                mark.reached.set()

    def _next(self) -> tuple[list[Sent], _Mark | None]:
        """Requests to be kept in one go, and the mark after them; neither when somebody has waited long enough."""
        due = self._reading.due
        waiting: list[Sent] = []
        size = 0
        try:
            found = self._queue.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
            while not isinstance(found, _Mark):
                waiting.append(found)
                size += len(found.body)
                if size >= _TOGETHER:
                    return waiting, None
                found = self._queue.get_nowait()
        except Empty:
            return waiting, None
        return waiting, found

    def _take_in(self, waiting: list[Sent], *, last: bool) -> None:
        """Keep what requests tell of, and what has waited long enough; the last time all that waits."""
        for found in (self._reading.read(waiting), *([self._reading.rest()] if last else [])):
            self._count(self._kept(found.records))
            # A copy of what is known is no duplicate that somebody sent.
            self._count(self._kept(found.copies)._replace(known=0))
        self._place.tidy()

    def _count(self, outcome: Outcome) -> None:
        with self._lock:
            self._counts.update({"kept": outcome.new, "duplicates": outcome.known, "failed": outcome.unfit})

    def _kept(self, records: list[Record]) -> Outcome:
        """Keep records, however long that takes; once this is closing, for as long as it may."""
        outcome = self._attempt(records) if records else Outcome(0, 0)
        while outcome is None and self._worth_waiting():
            outcome = self._attempt(records)
        return outcome or Outcome(0, 0, len(records))

    def _attempt(self, records: list[Record]) -> Outcome | None:
        try:
            outcome = self._place.keep(records)
        except KINDS as error:
            self._trouble.failed(error)
            return None
        self._trouble.over()
        return outcome

    def _worth_waiting(self) -> bool:
        """Wait until it is to be tried again; whether it is, as at the end only others who write are waited for."""
        if time.monotonic() >= self._closing or (self._closed and self._trouble.lasting):
            return False
        self._over.wait(max(0.0, self._trouble.retry_at - time.monotonic()))
        return True

    def _end(self) -> None:
        try:
            self._place.close()
        except KINDS as error:
            self._trouble.failed(error)
