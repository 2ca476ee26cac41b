"""Who keeps a program's records in a store: one thread beside it, which takes what the ledger has kept and writes it.

The program pays for a look at a flag. Nothing is opened, and no thread started, before the first record. What cannot be
written waits, within a bound, and is tried again.
"""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph.store import forks
from tachograph.tap import Tap
from tachograph.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.ledger import Ledger
    from tachograph.records import Operation, Record
    from tachograph.store.chain import Head
    from tachograph.store.trouble import Trouble
    from tachograph.store.writer import Writer

MAX_WAITING: Final = 20_000
"""Records that wait while they cannot be written: some dozen MB without captured content."""

_LOCK_SECONDS: Final = 0.2
"""How long SQLite waits for other writers; after that we do, as meanwhile a fork has to wait for us."""

_FORK_SECONDS: Final = 1.0
"""How long a fork waits for a write under way."""

_HOUR: Final = 3_600.0
_ASKED_RETRY: Final = 0.1
"""Seconds until a failed write is tried again while somebody waits for it."""


class _Request(NamedTuple):
    """Somebody waits for a write, until then."""

    done: threading.Event
    until: float


class Keeper:
    """Writes what a ledger keeps into a store.

    Args:
        config: where, how often, with what key.
        ledger: whose records; those it has already, too.
        guard: around all that is done on the thread.
        complain: told, in one line each, of trouble and of its end.
        publish: sends the head of the chain to where logs go: name, count, link in hex, whether it is keyed.
        program: what to call this process in the store.
        upkeep: called on the thread with the writer, at start and hourly.
    """

    def __init__(
        self,
        config: Config,
        *,
        ledger: Ledger,
        guard: Guard,
        complain: Callable[[str], None],
        publish: Callable[[str, int, str, bool], None],
        program: str = "",
        upkeep: Callable[[Writer], object] | None = None,
    ) -> None:
        self.path = Path(config.store or "")
        self._config = config
        self._ledger = ledger
        self._guard = guard
        self._complain = complain
        self._publish = publish
        self._program = program
        self._upkeep = upkeep
        self._key = None if config.audit_key is None else config.audit_key.encode()
        self._closing: float | None = None
        self._handing_over = False
        self._anew()
        for record in ledger.records():
            if getattr(record, "end_ns", 0) is not None:
                self._tap.put(record)
        if len(self._tap):
            self._nudge()
        forks.tell(self, guard)

    def _anew(self) -> None:
        """As it is before the first record: no thread, no writer, nobody waiting."""
        through = self._through if self._config.store_flush == "through" else None
        self._tap = Tap(MAX_WAITING, self._nudge, self._ring, self._config.store_batch, through)
        self._bell: SimpleQueue[bool] = SimpleQueue()  # its put is safe wherever the garbage collector strikes
        self._awake = False
        self._thread: threading.Thread | None = None
        self._writer: Writer | None = None
        self._trouble: Trouble | None = None
        self._requests: list[_Request] = []
        self._at_work = threading.Lock()  # held while SQLite is: a fork waits for it
        self._forking = False
        self._written = self._unfit = 0
        self._flushed_ns: int | None = None
        self._published: Head | None = None
        self._publish_at = self._upkeep_at = 0.0
        self._ledger.tap(self._tap)

    # ---------------------------------------------------------------------------------------- the program's threads
    def _nudge(self) -> None:
        """Something is recorded."""
        if self._awake:
            return
        self._awake = True
        self._start()
        self._bell.put(False)  # noqa: FBT003 - it takes no names

    def _ring(self) -> None:
        """Something is to be written now."""
        self._bell.put(True)  # noqa: FBT003 - likewise

    def _start(self) -> None:
        if self._thread is None:
            self._thread = thread = threading.Thread(target=self._run, name="tachograph-store", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # none can be started as the interpreter ends; closing writes what there is
                self._thread = None

    def _through(self) -> None:
        """Wait until it is committed; not where that would wait for itself, and not while the store is in trouble."""
        if threading.current_thread() is not self._thread and not self._ledger.held and not self._trouble:
            self.flush()

    def flush(self, timeout: float = 5.0) -> bool:
        """Write everything now.

        Args:
            timeout: seconds to wait for it.

        Returns:
            Whether all that was recorded before is committed.
        """
        request = _Request(threading.Event(), time.monotonic() + timeout)
        if self._closing is not None:
            return not self._waiting()
        if self._thread is None:
            if not self._waiting():
                return True
            self._start()
        self._requests.append(request)
        self._ring()
        return request.done.wait(timeout)

    def witness(self) -> bool:
        """Write everything now, and publish the head: who is to see it is about to go."""
        self._publish_at = 0.0
        return self.flush()

    def _waiting(self) -> int:
        self._ledger.settle()
        return len(self._tap)

    def hand_over(self) -> None:
        """Close, as another keeper goes on: what is under way is that one's to tell of."""
        self._handing_over = True
        self.close()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is left, publish the head, and end the thread; a second close does nothing.

        Args:
            timeout: seconds to wait for it. What could not be written by then is not, and that is said.
        """
        if self._closing is not None:
            return
        self._closing = time.monotonic() + timeout
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._ring()
            if thread is not threading.current_thread():
                thread.join(timeout)
        elif self._waiting():
            self._run()
        self._ledger.untap(self._tap)
        left = len(self._tap)
        if left:
            why = self._trouble.error if self._trouble else "it takes too long"
            self._complain(f"store {self.path}: {left:,} records could not be written before the end: {why}")

    def stats(self) -> dict[str, Any]:
        """How it is doing: where it writes, how much it has written, what waits, what went wrong."""
        trouble = self._trouble
        idle = "idle" if self._thread is None else "writing"
        return {
            "path": str(self.path),
            "state": "closed" if self._closing is not None else "trouble" if trouble else idle,
            "written": self._written,
            "waiting": len(self._tap),
            "dropped": self._tap.dropped + self._unfit,
            "failures": 0 if trouble is None else trouble.failures,
            "last_error": None if trouble is None else trouble.last_error,
            "last_flush": None if self._flushed_ns is None else timestamp(self._flushed_ns),
        }

    # ------------------------------------------------------------------------------------------------ the thread
    def _run(self) -> None:
        while True:
            self._wait()
            self._guard(self._write)
            if self._closing is not None and (not self._trouble or time.monotonic() >= self._closing):
                self._guard(self._end)
                return

    def _wait(self) -> None:
        """Wait until it is time to write."""
        due = self._due()
        while self._closing is None or self._trouble:
            try:
                urgent = self._bell.get(timeout=max(0.0, due - time.monotonic()))
            except Empty:
                return
            if urgent:
                return
            due = min(due, time.monotonic() + self._after_a_nudge())

    def _after_a_nudge(self) -> float:
        if self._trouble or self._config.store_flush == "timer":
            return math.inf
        return self._config.store_debounce if self._config.store_flush == "events" else 0.0

    def _due(self) -> float:
        """When it is to be written though nobody rings."""
        now = time.monotonic()
        if self._trouble:
            asked = self._closing is not None or any(request.until > now for request in self._requests)
            return min(self._trouble.retry_at, now + _ASKED_RETRY if asked else math.inf)
        due = now + (self._config.store_interval if self._config.store_flush == "timer" else _HOUR)
        if self._writer is not None:
            unpublished = self._published != self._writer.head
            due = min(due, self._upkeep_at, self._publish_at if unpublished else math.inf)
        return due

    def _write(self) -> None:
        from tachograph.store.trouble import KINDS, Trouble  # noqa: PLC0415 - SQLite is loaded where a store is written

        self._awake = False  # before looking: what comes from here on rings again
        if self._trouble is None:
            self._trouble = Trouble(self.path, self._complain)
        now = time.monotonic()
        requests = [request for request in self._requests if request.until > now]
        dropped = self._tap.dropped
        try:
            self._flush()
        except KINDS as error:
            self._requests = [request for request in self._requests if request.until > now]
            self._trouble.failed(error)
            return
        self._trouble.over(dropped)
        self._flushed_ns = time.time_ns()
        for request in requests:
            request.done.set()
            self._requests.remove(request)
        self._afterwards()

    def _flush(self) -> None:
        """Write all there is, a batch at a time."""
        more = True
        while more:
            if self._forking:
                self._ring()  # again after the fork
                return
            # In this order: what ends meanwhile is told of as under way, and ends in this batch or a later one.
            under_way = self._ledger.open_operations()
            self._ledger.settle()
            batch = self._tap.take(self._config.store_batch)
            more = len(self._tap) > 0
            with self._at_work:
                try:
                    self._store(batch, None if more else under_way)
                except BaseException:
                    self._tap.give_back(batch)
                    raise

    def _store(self, batch: list[Record], under_way: list[Operation] | None) -> None:
        error = self._guard(self._attempt, batch, under_way, default=_UNFIT)
        if error is _UNFIT:
            # One of these cannot be stored; the others can, each by itself.
            for record in batch:
                error = self._guard(self._attempt, [record], None, default=_UNFIT)
                self._unfit += error is _UNFIT
                if error is not _UNFIT and error is not None:
                    raise error
            error = self._guard(self._attempt, [], under_way, default=None)
        if error is not None:
            raise error

    def _attempt(self, batch: list[Record], under_way: list[Operation] | None) -> Exception | None:
        """Append; gives what the database raises, so that a guard around it keeps only what is a record's fault."""
        from tachograph.store.trouble import KINDS  # noqa: PLC0415 - as above
        from tachograph.store.writer import Writer  # noqa: PLC0415 - as above

        try:
            if self._writer is None:
                self._writer = Writer(
                    self.path,
                    key=self._key,
                    program=self._program,
                    max_names=self._config.max_names,
                    timeout=_LOCK_SECONDS,
                )
            self._written += self._writer.append(batch, under_way)
        except KINDS as error:
            return error
        return None

    def _afterwards(self) -> None:
        """What is done beside writing: retention, and publishing the head."""
        writer, now = self._writer, time.monotonic()
        if writer is None:
            return
        if self._upkeep is not None and now >= self._upkeep_at and not self._forking:
            with self._at_work:
                self._guard(self._upkeep, writer)
        if now >= self._upkeep_at:
            self._upkeep_at = now + _HOUR
        if now >= self._publish_at:
            self._publish_head(writer)

    def _publish_head(self, writer: Writer) -> None:
        if writer.head != self._published:
            self._published, self._publish_at = writer.head, time.monotonic() + self._config.audit_interval
            self._guard(self._publish, *writer.head.words(), writer.keyed)

    def _end(self) -> None:
        from tachograph.store.trouble import KINDS  # noqa: PLC0415 - as above

        writer, self._writer = self._writer, None
        if writer is None:
            return
        with self._at_work:
            try:
                if self._handing_over:
                    writer.append((), ())
                writer.close()
            except KINDS as error:
                if self._trouble is not None:
                    self._trouble.failed(error)
        self._publish_head(writer)

    # ---------------------------------------------------------------------------------------------------- forking
    def before_fork(self) -> None:
        """Let go of the database: SQLite does not survive a fork with a file open, neither here nor there."""
        self._forking = True
        held = self._at_work.acquire(timeout=_FORK_SECONDS)
        self._held = held
        if held and self._writer is not None:
            self._writer.release()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._forking = False
        if self._held:
            self._at_work.release()

    def after_fork_in_child(self) -> None:
        """What was recorded is the parent's to write; the child begins anew, with a writer of its own."""
        writer, held = self._writer, self._held
        self._ledger.settle()  # into the old tap, which goes
        self._anew()
        if writer is not None:
            writer.forget()
        if not held and self._closing is None:
            self._closing = 0.0
            self._ledger.untap(self._tap)
            self._complain(
                f"store {self.path}: it was being written for more than {_FORK_SECONDS:.0f} s when this process was "
                "forked off, and cannot be used in it; recording goes on in memory"
            )

    _held = False


_UNFIT: Final = ValueError("a record that cannot be stored")
