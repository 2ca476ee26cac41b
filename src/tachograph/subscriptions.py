"""Subscriptions: handlers that are told of what happens, in order, in threads of their own.

The program's thread pays for putting a record into a queue; entries are made and handlers called elsewhere. Each
subscription has its own queue and thread, so a slow or failing handler holds up nobody. A queue that is full drops its
oldest, which is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.attendant import Attendant
from tachograph.records import Event
from tachograph.views.audit import check_filters, entries, types_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        types: event types it wants to hear of.
        session_id: only entries of this session.
        guard: around the handler; what it raises is counted and goes no further.
    """

    def __init__(
        self, handler: Callable[[Entry], Any], types: frozenset[str], session_id: str | None, guard: Guard
    ) -> None:
        self._handler = handler
        self._types = types
        self._session_id = session_id
        self._guard = guard
        self._waiting: deque[_News | threading.Event] = deque()
        self._ready = threading.Event()
        self._hurry = threading.Event()
        self._lock = threading.Lock()
        call = getattr(handler, "__call__", None)  # noqa: B004 - an object may have one that is a coroutine function
        self._deferred = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)
        self._site = getattr(handler, "__qualname__", None) or type(handler).__qualname__
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        self.delivered = 0
        self.dropped = 0
        self._thread = threading.Thread(target=guard, args=(self._work,), name="tachograph-subscription", daemon=True)
        self._thread.start()

    def put(self, news: _News) -> None:
        """Something happened."""
        record = news.record
        if self._session_id not in (None, record.session_id) or self._types.isdisjoint(types_of(record)):
            return
        waiting = self._waiting
        if len(waiting) >= MAX_WAITING:
            self._make_room()
        waiting.append(news)
        if not self._ready.is_set():
            self._ready.set()

    def _make_room(self) -> None:
        with self._lock, contextlib.suppress(IndexError):  # the handler has caught up
            oldest = self._waiting.popleft()
            if isinstance(oldest, threading.Event):
                oldest.set()
            else:
                self.dropped += 1

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything so far is delivered; whether it was within ``timeout`` seconds.

        Within the handler there is nothing to wait for: False.
        """
        if threading.current_thread() is self._thread:
            return False
        reached = threading.Event()
        self._waiting.append(reached)
        self._hurry.set()
        self._ready.set()
        if not self._thread.is_alive():
            return not self._waiting or self._waiting[0] is reached
        return reached.wait(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what waits, for at most ``timeout`` seconds, and end. Closing twice is fine."""
        self.end()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def end(self) -> None:
        """Take nothing more, and end once what waits is delivered."""
        self.closed = True
        self._hurry.set()
        self._ready.set()

    def __enter__(self) -> Subscription:  # noqa: PYI034 - typing.Self is of Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- in its own thread
    def _work(self) -> None:
        try:
            while self._wait():
                if not self._deferred:
                    self._deliver()
                else:
                    self._loop = self._loop or asyncio.new_event_loop()
                    self._loop.run_until_complete(self._deliver_on_loop())
        finally:
            # Also where a handler has ended the thread: whoever waits for it is not to wait for ever.
            self.closed = True
            for left in list(self._waiting):
                if isinstance(left, threading.Event):
                    left.set()
            if self._loop is not None:
                self._guard(_end, self._loop)

    def _wait(self) -> bool:
        """Whether there is something to deliver; False once it is closed and nothing is."""
        while not self._waiting:
            if self.closed:
                return False
            self._ready.wait()
            self._hurry.wait(_GATHER)
            self._ready.clear()
        return True

    def _next(self) -> Iterator[Entry]:
        """The entries that wait and are wanted."""
        waiting, types = self._waiting, self._types
        while waiting:
            try:
                news = waiting.popleft()
            except IndexError:  # the last one had to make room
                return
            if isinstance(news, threading.Event):
                self._hurry.clear()
                news.set()
                continue
            for entry in self._guard(news.entries, default=()):
                if entry["event_type"] in types:
                    self.delivered += 1
                    yield entry.copy()  # as others are told of the same

    def _deliver(self) -> None:
        handler = self._handler
        for entry in self._next():
            try:
                handler(entry)
            except Exception as error:  # noqa: BLE001, PERF203 - handed to the guard, which counts it
                self._guard.keep(self._site, error)

    async def _deliver_on_loop(self) -> None:
        handler = self._handler
        for entry in self._next():
            try:
                await handler(entry)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001, PERF203 - handed to the guard, which counts it
                self._guard.keep(self._site, error)
        await asyncio.sleep(0)  # what handlers have started gets its turn


def _end(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_until_complete(_cancel_all())
    loop.close()


async def _cancel_all() -> None:
    """Cancel what handlers have left running on their loop."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class Subscriptions(Attendant):
    """All that is subscribed to.

    Args:
        guard: around handlers.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._all: tuple[Subscription, ...] = ()
        self._over = {"delivered": 0, "dropped": 0}
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
        types = frozenset(
            name for name, (kind, _) in names.EVENTS.items() if event_type in (None, name) and category in (None, kind)
        )
        subscription = Subscription(handler, types, session_id, self._guard)
        with self._lock:
            self._forget_closed()
            self._all = (*self._all, subscription)
        return subscription

    def _forget_closed(self) -> None:
        for known in self._all:
            if known.closed:
                self._over["delivered"] += known.delivered
                self._over["dropped"] += known.dropped
        self._all = tuple(known for known in self._all if not known.closed)

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
        news = _News(record, whole)
        for subscription in self._all:
            if not subscription.closed:
                subscription.put(news)

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what waits, for at most ``timeout`` seconds in all, and end all."""
        for subscription in self._all:
            subscription.end()
        until = time.monotonic() + timeout
        for subscription in self._all:
            self._guard(subscription.close, max(0.0, until - time.monotonic()))

    def inherit(self, before: Subscriptions) -> None:
        """Those of another one are told from here from now on."""
        with before._lock, self._lock:
            self._all, before._all = (*before._all, *self._all), ()
            self._over = {name: count + before._over[name] for name, count in self._over.items()}

    def after_fork(self) -> None:
        """A child process has none of the threads."""
        for subscription in self._all:
            subscription.closed = True
        self._all = ()
        self._lock = threading.Lock()

    def stats(self) -> dict[str, int]:
        """How many listen, and what they were told and missed."""
        known = self._all
        return {
            "active": sum(not subscription.closed for subscription in known),
            "delivered": self._over["delivered"] + sum(subscription.delivered for subscription in known),
            "dropped": self._over["dropped"] + sum(subscription.dropped for subscription in known),
        }


class _News:
    """A record as it happened, and the entries that are new with it: made once, by the first who needs them."""

    __slots__ = ("_entries", "_whole", "record")

    def __init__(self, record: Record, whole: bool) -> None:  # noqa: FBT001 - there is one for each record
        self.record = record
        self._whole = whole
        self._entries: list[Entry] | None = None

    def entries(self) -> list[Entry]:
        """See :func:`news`."""
        made = self._entries
        if made is None:
            made = self._entries = news(self.record, self._whole)
        return made


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
