"""Subscriptions: handlers that are told of what happens, in order, in threads of their own.

The program's thread pays for putting a record into a queue; entries are made and handlers called elsewhere. Each
subscription has its own queue and thread, so a slow or failing handler holds up nobody. A queue that is full drops its
oldest, which is counted.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.attendant import Attendant
from tachograph.records import Event
from tachograph.views.audit import check_filters, entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.guard import Guard
    from tachograph.live import Live
    from tachograph.records import Operation, Record
    from tachograph.views.audit import Entry

MAX_WAITING: Final = 10_000
"""Records that wait for one handler."""

_GATHER: Final = 0.002
"""Seconds in which more is let come before handlers are called: threads that take turns for each record cost more."""


class Subscription:
    """One handler and what it wants to hear. A context manager that ends it.

    Args:
        handler: called with each entry of the audit log; a coroutine function is run on a loop of its own thread's.
        wanted: whether an entry is for it.
        guard: around the handler; what it raises is counted and goes no further.
    """

    def __init__(self, handler: Callable[[Entry], Any], wanted: Callable[[Entry], bool], guard: Guard) -> None:
        self._handler = handler
        self._wanted = wanted
        self._guard = guard
        self._waiting: deque[tuple[Record, bool]] = deque()
        self._ready = threading.Event()
        self._hurry = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._closed = False
        self.delivered = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="tachograph-subscription", daemon=True)
        self._thread.start()

    def put(self, record: Record, *, whole: bool) -> None:
        """Something happened; see :func:`news`."""
        waiting = self._waiting
        if len(waiting) >= MAX_WAITING:
            waiting.popleft()
            self.dropped += 1
        if self._idle.is_set():
            self._idle.clear()
        waiting.append((record, whole))
        if not self._ready.is_set():
            self._ready.set()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything so far is delivered; whether it was within ``timeout`` seconds."""
        self._hurry.set()
        try:
            return self._idle.wait(timeout)
        finally:
            self._hurry.clear()

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what waits, for at most ``timeout`` seconds, and end. Closing twice is fine."""
        self._closed = True
        self._hurry.set()
        self._ready.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def __enter__(self) -> Subscription:  # noqa: PYI034 - typing.Self is of Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- in its own thread
    def _work(self) -> None:
        call, loop = self._handler, None
        if inspect.iscoroutinefunction(call):
            loop = asyncio.new_event_loop()
            call = functools.partial(_await, loop, call)
        while self._wait():
            for entry in self._next():
                self._guard(call, entry)
                self.delivered += 1
        if loop is not None:
            loop.close()

    def _wait(self) -> bool:
        """Whether there is something to deliver; False once it is closed and nothing is."""
        while not self._waiting:
            self._idle.set()
            if self._closed:
                return False
            self._ready.wait()
            self._hurry.wait(_GATHER)
            self._ready.clear()
        return True

    def _next(self) -> list[Entry]:
        return [entry for entry in news(*self._waiting.popleft()) if self._wanted(entry)]


def _await(loop: asyncio.AbstractEventLoop, handler: Callable[[Entry], Any], entry: Entry) -> None:
    loop.run_until_complete(handler(entry))


class Subscriptions(Attendant):
    """All that is subscribed to.

    Args:
        guard: around handlers.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._all: tuple[Subscription, ...] = ()
        self._lock = threading.Lock()

    def add(
        self,
        handler: Callable[[Entry], Any],
        *,
        event_type: str | None = None,
        category: str | None = None,
        session_id: str | None = None,
    ) -> Subscription:
        """Tell ``handler`` of every entry from now on that the filters let through.

        Raises:
            ValueError: for a type or category that does not exist.
            TypeError: for a handler that cannot be called.
        """
        check_filters(event_type, category)
        if not callable(handler):
            raise TypeError(f"handler={handler!r}: expected a function of one entry")

        def wanted(entry: Entry) -> bool:
            return (
                event_type in (None, entry["event_type"])
                and category in (None, names.EVENTS[entry["event_type"]][0])
                and session_id in (None, entry["session_id"])
            )

        subscription = Subscription(handler, wanted, self._guard)
        with self._lock:
            self._all = (*(known for known in self._all if not known._closed), subscription)  # noqa: SLF001 - its own
        return subscription

    def began(self, live: Live) -> None:
        """An operation has begun."""
        self._tell(live.record, whole=False)

    def ended(self, record: Operation, whole: bool) -> None:  # noqa: FBT001 - every attendant's signature
        """An operation has ended."""
        self._tell(record, whole=whole)

    def happened(self, event: Event) -> None:
        """Something was reported."""
        self._tell(event, whole=True)

    def _tell(self, record: Record, *, whole: bool) -> None:
        for subscription in self._all:
            if not subscription._closed:  # noqa: SLF001 - its own family
                subscription.put(record, whole=whole)

    def close(self) -> None:
        """Deliver what waits, and end all."""
        for subscription in self._all:
            self._guard(subscription.close)
        self._all = ()

    def after_fork(self) -> None:
        """A child process has none of the threads."""
        self._all = ()

    def stats(self) -> dict[str, int]:
        """How many listen, and what they were told and missed."""
        return {
            "active": sum(not known._closed for known in self._all),  # noqa: SLF001 - its own
            "delivered": sum(known.delivered for known in self._all),
            "dropped": sum(known.dropped for known in self._all),
        }


def news(record: Record, whole: bool) -> list[Entry]:  # noqa: FBT001 - a pair that waited in a queue
    """The entries that are new with a record: of an operation that began its start's, of one that ended the rest.

    Args:
        record: what happened.
        whole: nothing of it was told before.
    """
    made = [entry for *_, entry in entries(record)]
    if whole or isinstance(record, Event) or record.end_ns is None:
        return made
    begun = {entry["event_type"] for *_, entry in entries(record._replace(end_ns=None, outcome=None))}
    return [entry for entry in made if entry["event_type"] not in begun]
