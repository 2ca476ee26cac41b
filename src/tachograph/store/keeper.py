"""Who keeps a program's records in a store: one thread beside it, which takes what the ledger has kept and writes it.

The program pays for a look at a flag. Nothing is opened, and no thread started, before the first record. What cannot be
written waits, within a bound, and is tried again.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from tachograph.loading import loading
from tachograph.store import forks
from tachograph.tap import Tap
from tachograph.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.ledger import Ledger
    from tachograph.store.batches import Batches
    from tachograph.store.chain import Head
    from tachograph.store.trouble import Trouble
    from tachograph.store.writer import Writer

MAX_WAITING: Final = 20_000
"""Records that wait while they cannot be written: some dozen MB without captured content."""

_FORK_SECONDS: Final = 1.0
"""How long a fork waits for a write under way."""

_HOUR: Final = 3_600.0
_SOON: Final = 2.0
"""Seconds until retention goes on that has not finished."""

_ASKED_RETRY: Final = 0.1
"""Seconds until a failed write is tried again while somebody waits for it."""


class _Request:
    """Somebody waits for a write until then, and for the head to be published, if he is to see it."""

    def __init__(self, until: float, *, witness: bool) -> None:
        self.until = until
        self.witness = witness
        self.done = threading.Event()
        self.written = False

    def answer(self, *, written: bool) -> None:
        """It is written, or will not be."""
        self.written = written
        self.done.set()


class Keeper:
    """Writes what a ledger keeps into a store.

    Args:
        config: where, how often, with what key.
        ledger: whose records; those it has already, too.
        guard: around all that is done on the thread.
        complain: told, in one line each, of trouble and of its end.
        publish: sends the head of the chain to where logs go: name, count, link in hex, whether it is keyed.
        program: what to call this process in the store.
        upkeep: called on the thread with the writer, at start and hourly; says whether it has finished.
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
        upkeep: Callable[[Writer], bool] | None = None,
    ) -> None:
        self.path = Path(config.store or "")
        self._config = config
        self._ledger = ledger
        self._guard = guard
        self._complain = complain
        self._publish = publish
        self._program = program
        self._upkeep = upkeep
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
        through = self.commit if self._config.store_flush == "through" else None
        self._tap = Tap(MAX_WAITING, self._nudge, self._ring, self._config.store_batch, through)
        self._bell: SimpleQueue[bool] = SimpleQueue()  # its put is safe wherever the garbage collector strikes
        self._awake = False
        self._thread: threading.Thread | None = None
        self._batches: Batches | None = None
        self._trouble: Trouble | None = None
        self._late = False
        self._in_hand = 0
        self._requests: list[_Request] = []
        self._at_work = threading.Lock()  # held while SQLite is: a fork waits for it
        self._forking = False
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
            run = functools.partial(self._guard, self._run)
            self._thread = thread = threading.Thread(target=run, name="tachograph-store", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # none can be started as the interpreter ends; closing writes what there is
                self._thread = None

    def commit(self) -> None:
        """Wait until all is committed; not where that would wait for itself, and not while that does not happen."""
        stuck = self._late or (self._trouble is not None and self._trouble.lasting)
        if threading.current_thread() is not self._thread and not self._ledger.held and not stuck:
            self._late = not self.flush()

    def flush(self, timeout: float = 5.0, *, witness: bool = False) -> bool:
        """Write everything now.

        Args:
            timeout: seconds to wait for it.
            witness: publish the head as well.

        Returns:
            Whether all that was recorded before is committed.
        """
        if self._closing is not None:
            return not self._waiting()
        if self._thread is None:
            if not self._waiting():
                return True
            self._start()
        thread = self._thread
        if thread is None or not thread.is_alive():
            return False
        request = _Request(time.monotonic() + timeout, witness=witness)
        self._requests.append(request)
        self._ring()
        request.done.wait(timeout)
        return request.written

    def witness(self) -> bool:
        """Write everything now, and publish the head: who is to see it is about to go."""
        return self.flush(witness=True)

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
            self._guard(self._run)
        self._ledger.untap(self._tap)
        left = len(self._tap) + self._in_hand
        if left:
            why = self._trouble.error if self._trouble else "it takes too long"
            self._complain(f"store {self.path}: {left:,} records could not be written before the end: {why}")

    def stats(self) -> dict[str, Any]:
        """How it is doing: where it writes, how much it has written, what waits, what went wrong."""
        trouble, batches = self._trouble, self._batches
        idle = "idle" if self._thread is None else "writing"
        return {
            "path": str(self.path),
            "state": "closed" if self._closing is not None else "trouble" if trouble else idle,
            "written": 0 if batches is None else batches.written,
            "waiting": len(self._tap) + self._in_hand,
            "dropped": self._tap.dropped + (0 if batches is None else batches.unfit),
            "failures": 0 if trouble is None else trouble.failures,
            "last_error": None if trouble is None else trouble.last_error,
            "last_flush": None if self._flushed_ns is None else timestamp(self._flushed_ns),
        }

    # ------------------------------------------------------------------------------------------------ the thread
    @property
    def _writer(self) -> Writer | None:
        return None if self._batches is None else self._batches.writer

    def _run(self) -> None:
        try:
            over = False
            while not over:
                self._wait()
                closing = self._closing  # before writing: what came in between is still to be written
                if not self._guard(self._write, default=False):
                    self._answer(self._requests, written=False)  # a fault of ours, for which nobody is to wait
                over = closing is not None and not self._worth_waiting(until=closing)
            self._guard(self._end)
        finally:
            self._answer(self._requests, written=False)

    def _worth_waiting(self, *, until: float) -> bool:
        """Whether at the end it is to be tried again: while others write, but not for a disk that is full."""
        return self._trouble is not None and self._trouble.passing and time.monotonic() < until

    def _answer(self, requests: list[_Request], *, written: bool) -> None:
        for request in list(requests):
            request.answer(written=written)
            self._requests.remove(request)

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
        writer = self._writer
        if writer is not None:
            unpublished = self._published != writer.head
            due = min(due, self._upkeep_at, self._publish_at if unpublished else math.inf)
        return due

    def _write(self) -> bool:
        """Write what there is; whether that went as it should, trouble included."""
        with loading():  # SQLite, where a store is written and nowhere else
            from tachograph.store.batches import Batches  # noqa: PLC0415
            from tachograph.store.trouble import KINDS, Trouble  # noqa: PLC0415

        self._awake = False  # before looking: what comes from here on rings again
        if self._trouble is None or self._batches is None:
            self._trouble = Trouble(self.path, self._complain)
            self._batches = Batches(self._config, self._guard, self._program)
        now = time.monotonic()
        requests = list(self._requests)
        dropped = self._tap.dropped
        try:
            done = self._flush(self._batches)
        except KINDS as error:
            self._answer([request for request in self._requests if request.until <= now], written=False)
            self._trouble.failed(error, dropped)
            return True
        self._trouble.over(self._tap.dropped)
        self._late = False
        self._flushed_ns = time.time_ns()
        if done:
            # In this order: who waited to be written down may want the head to be out, and nobody waits for retention.
            self._publish_in_time(asked=any(request.witness for request in requests))
            self._answer(requests, written=True)
            self._keep_up()
        return True

    def _flush(self, batches: Batches) -> bool:
        """Write all there is, a batch at a time; whether that was done, as a fork comes first."""
        more = True
        while more:
            if self._forking:
                self._ring()  # again after the fork
                return False
            # In this order: what ends meanwhile is told of as under way, and ends in this batch or a later one.
            under_way = self._ledger.open_operations()
            self._ledger.settle()
            batch = self._tap.take(self._config.store_batch)
            more = len(self._tap) > 0
            self._in_hand = len(batch)
            with self._at_work:
                try:
                    batches.store(batch, None if more else under_way)
                except BaseException:
                    self._tap.give_back(batch)
                    raise
                finally:
                    self._in_hand = 0
        return True

    def _keep_up(self) -> None:
        """Retention, when it is time; not at the end, which is waited for."""
        writer, now = self._writer, time.monotonic()
        if writer is None or now < self._upkeep_at or self._forking or self._closing is not None:
            return
        finished = True
        if self._upkeep is not None:
            with self._at_work:
                finished = self._guard(self._upkeep, writer, default=True)
        self._upkeep_at = time.monotonic() + (_HOUR if finished else _SOON)

    def _publish_in_time(self, *, asked: bool) -> None:
        writer = self._writer
        if writer is not None and (asked or time.monotonic() >= self._publish_at):
            self._publish_head(writer)

    def _publish_head(self, writer: Writer) -> None:
        if writer.head != self._published:
            self._published, self._publish_at = writer.head, time.monotonic() + self._config.audit_interval
            self._guard(self._publish, *writer.head.words(), writer.keyed)

    def _end(self) -> None:
        from tachograph.store.trouble import KINDS  # noqa: PLC0415 - as above

        writer = self._writer
        if writer is None or self._batches is None or self._trouble is None:
            return
        with self._at_work:
            try:
                self._batches.close(hand_over=self._handing_over)
            except KINDS as error:
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
        if writer is not None:
            writer.forget()
        if self._closing is not None:
            return
        self._ledger.after_fork()  # whoever is told first: tapping folds what is there
        self._anew()
        if not held:
            self._closing = 0.0
            self._ledger.untap(self._tap)
            self._complain(
                f"store {self.path}: it was being written for more than {_FORK_SECONDS:.0f} s when this process was "
                "forked off, and cannot be used in it; recording goes on in memory"
            )

    _held = False
