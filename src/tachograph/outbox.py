"""What waits to be sent: bounded, counted, sent by a thread of its own, given up in time when the program ends.

One for each exporter of spans or log events that we build. The program's thread pays for one append, whatever becomes
of the sending: what does not fit is dropped and counted, and so is what an exporter could not send. Nothing is counted
twice: what was put is sent, failed, dropped or waiting.
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from tachograph.guard import Guard

TO_END: Final = 1.5
"""Seconds that the program's end waits for what is still to be sent, by all exporters together."""

_STOPPING: Final = 0.1
"""Seconds that an exporter has to notice that it is stopped."""


class Bounds(NamedTuple):
    """How much waits, how much is sent at once, and after how many seconds at the latest."""

    waiting: int = 2_048
    at_once: int = 512
    delay: float = 5.0

    @classmethod
    def of(cls, environ: Mapping[str, str], prefix: str, complain: Callable[[str], None]) -> Bounds:
        """The bounds that the standard variables set: ``OTEL_BSP_…`` for spans, ``OTEL_BLRP_…`` for log events."""
        usual = cls(delay=5.0 if prefix == "OTEL_BSP" else 1.0)

        def whole(name: str, default: int) -> int:
            said = environ.get(f"{prefix}_{name}", "").strip()
            if said.isdecimal() and int(said) > 0:
                return int(said)
            if said:
                complain(f"{prefix}_{name}={said!r} is not usable: expected a whole number from 1 up; it is {default}")
            return default

        waiting = whole("MAX_QUEUE_SIZE", usual.waiting)
        at_once = whole("MAX_EXPORT_BATCH_SIZE", usual.at_once)
        delay = whole("SCHEDULE_DELAY", round(usual.delay * 1_000))
        return cls(waiting, min(waiting, at_once), delay / 1_000)


class Outbox:
    """Things that wait for one exporter, and the thread that hands them over.

    Putting takes no lock that the sending or the end may wait for: a signal may end the program from within it, and
    the garbage collector a span.

    Args:
        exporter: of the SDK's kind: ``export`` and ``shutdown``.
        bounds: of what waits; threads that put at the same moment may each put one more.
        guard: around the exporter.
        overflowing: called when something was dropped for the first time.
    """

    def __init__(self, exporter: Any, bounds: Bounds, guard: Guard, overflowing: Callable[[], object]) -> None:
        self._exporter = exporter
        self._bounds = bounds
        self._guard = guard
        self._overflowing = overflowing
        self._until: float | None = None
        self._forget()
        self._start()
        if hasattr(os, "register_at_fork"):  # not on Windows
            forget = weakref.WeakMethod(self._forget)
            os.register_at_fork(after_in_child=lambda: (told := forget()) and told())

    def _forget(self) -> None:
        """Begin anew: a child process has its parent's things, which the parent sends, and none of its threads."""
        self._waiting: deque[Any] = deque()
        self._wake = threading.Event()
        self._hurry = False
        self._flushing: list[threading.Event] = []
        self._dropping = threading.RLock()
        self._dropped = self._left = 0
        self._moving = threading.Lock()
        self._sent = self._failed = self._handed = 0
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="tachograph-outbox", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # Python is ending and starts no more: whoever closes this sends what waits
            self._thread = None

    # ------------------------------------------------------------------------------------------- the program's thread
    def put(self, thing: Any) -> None:
        """Have this sent, unless there is too much already."""
        if self._until is not None or len(self._waiting) >= self._bounds.waiting:
            with self._dropping:
                self._dropped += 1
                first = self._dropped == 1
            if first and self._until is None:
                self._overflowing()
            return
        self._waiting.append(thing)
        if self._thread is None:
            self._guard(self._start)  # a child's, with the first thing that it records
        if len(self._waiting) >= self._bounds.at_once and not self._wake.is_set():
            self._wake.set()

    def flush(self, seconds: float) -> bool:
        """Wait until what waits now has been handed over, at most so long; whether it has."""
        if self._thread is None:
            return not self._waiting
        flushed = threading.Event()
        self._flushing.append(flushed)
        self._hurry = True
        self._wake.set()
        return flushed.wait(seconds)

    def stop(self, until: float) -> None:
        """Take nothing more in, and hand over what waits until a moment of the monotonic clock; does not wait."""
        if self._until is None:
            self._until = until
            self._wake.set()

    def close(self) -> None:
        """Wait until all has been handed over or the time is up, and stop the exporter. Closing twice is fine."""
        self.stop(time.monotonic() + TO_END)
        thread, mine = self._thread, threading.current_thread()
        if thread is None:
            self._thread = mine
            self._work()
        elif thread is not mine:
            thread.join(max(0.0, (self._until or 0.0) - time.monotonic()))
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            self._guard(exporter.shutdown)  # which ends the waiting between two tries, where there is one
            if thread not in (None, mine):
                thread.join(_STOPPING)
        self._left += len(self._taken(len(self._waiting)))

    def stats(self) -> dict[str, int]:
        """What became of what was put: sent, failed, dropped, waiting."""
        with self._moving:
            dropped, waiting = self._dropped + self._left, len(self._waiting) + self._handed
            return {"sent": self._sent, "failed": self._failed, "dropped": dropped, "waiting": waiting}

    # ----------------------------------------------------------------------------------------------------- its thread
    def _work(self) -> None:
        mine = threading.current_thread()
        with suppress_instrumentation():  # sending is nothing to be recorded
            while self._thread is mine:
                if not (self._until is not None or self._hurry or len(self._waiting) >= self._bounds.at_once):
                    self._wake.wait(self._bounds.delay)
                self._wake.clear()
                if self._until is not None and (not self._waiting or time.monotonic() >= self._until):
                    break
                self._hand_over()
                if not self._waiting:
                    self._settled()
        self._settled()

    def _hand_over(self) -> None:
        with self._moving:
            batch = self._taken(self._bounds.at_once)
            self._handed = len(batch)
        if not batch:
            return
        exporter = self._exporter
        result = None if exporter is None else self._guard(exporter.export, batch)
        with self._moving:
            if _succeeded(result):
                self._sent += len(batch)
            else:
                self._failed += len(batch)
            self._handed = 0

    def _taken(self, most: int) -> list[Any]:
        found: list[Any] = []
        with contextlib.suppress(IndexError):  # all that waits
            while len(found) < most:
                found.append(self._waiting.popleft())
        return found

    def _settled(self) -> None:
        """Nothing waits: say so to those who wait for that."""
        self._hurry = False  # before they are looked for, as they say it after they have come
        flushing, self._flushing = self._flushing, []
        for flushed in flushing:
            flushed.set()


def _succeeded(result: Any) -> bool:
    return getattr(result, "name", None) == "SUCCESS"


class SpanOutbox(SpanProcessor):
    """Puts ended spans that are sampled into an outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def on_end(self, span: ReadableSpan) -> None:
        """The SDK ended a span."""
        if span.context is not None and span.context.trace_flags.sampled:
            self.outbox.put(span)

    def shutdown(self) -> None:
        """The provider ends."""
        self.outbox.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self.outbox.flush(timeout_millis / 1_000)


class LogOutbox(LogRecordProcessor):
    """Puts log records into an outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """The SDK was given a log record."""
        record = copy.copy(log_record.log_record)  # other processors may look at its context, which may be large
        record.context = Context()
        self.outbox.put(
            ReadableLogRecord(
                record,
                log_record.resource or Resource.create({}),
                log_record.instrumentation_scope,
                log_record.limits,
            )
        )

    def shutdown(self) -> None:
        """The provider ends."""
        self.outbox.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self.outbox.flush(timeout_millis / 1_000)


class CountedMetrics(MetricExporter):
    """An exporter of metrics whose exports are counted. What one did not bring, the next one says too.

    Args:
        exporter: the one that sends.
    """

    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001 - no other way
        self._exporter = exporter
        self._counts = {"sent": 0, "failed": 0}

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Send what was collected."""
        succeeded = False
        try:
            result = self._exporter.export(metrics_data, timeout_millis, **kwargs)
            succeeded = result is MetricExportResult.SUCCESS
            return result
        finally:
            self._counts["sent" if succeeded else "failed"] += 1

    def stats(self) -> dict[str, int]:
        """Exports that arrived, and that did not."""
        return dict(self._counts)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Send what the exporter holds back."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop the exporter."""
        self._exporter.shutdown(timeout_millis, **kwargs)
