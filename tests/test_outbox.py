"""What waits to be sent is bounded and counted, costs the program nothing, and is given up in time at the end."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tachograph import outbox as module
from tachograph.guard import Guard
from tachograph.outbox import Bounds, CountedMetrics, LogOutbox, Outbox, SpanOutbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 30


class Exporter:
    """Takes what it is given, when its gate is open, and says or raises what it is told to."""

    def __init__(self, *, open_: bool = True, result: Any = SpanExportResult.SUCCESS) -> None:
        self.gate = threading.Event()
        self.busy = threading.Event()
        self.got: list[Any] = []
        self.sizes: list[int] = []
        self.result = result
        self.stopped = 0
        if open_:
            self.gate.set()

    def export(self, batch: Sequence[Any]) -> Any:
        self.busy.set()
        assert self.gate.wait(PATIENCE)
        self.sizes.append(len(batch))
        result = SpanExportResult.FAILURE if self.stopped else self.result
        if isinstance(result, Exception):
            raise result
        if result is SpanExportResult.SUCCESS:
            self.got += batch
        return result

    def shutdown(self) -> None:
        self.stopped += 1
        self.gate.set()  # as the SDK's do: what waits for a next try gives up


@contextlib.contextmanager
def outbox_of(exporter: Any, bounds: Bounds | None = None, **given: Any) -> Iterator[Outbox]:
    found = Outbox(exporter, bounds or Bounds(), given.pop("guard", Guard()), given.pop("overflowing", lambda: None))
    try:
        yield found
    finally:
        found.close()


# -------------------------------------------------------------------------------------------------------- sending
def test_what_is_put_is_sent_in_order_in_batches() -> None:
    """Things arrive once, in order, no more at once than the bound says."""
    exporter = Exporter()
    with outbox_of(exporter, Bounds(waiting=1_000, at_once=7)) as outbox:
        for number in range(100):
            outbox.put(number)
        assert outbox.flush(PATIENCE)
        assert {"sent": 100, "failed": 0, "dropped": 0, "waiting": 0} == outbox.stats()
    assert [*range(100)] == exporter.got
    assert max(exporter.sizes) <= 7


def test_what_waits_is_sent_before_long() -> None:
    """Fewer than a batch are sent when the delay is over, without anybody asking."""
    exporter = Exporter(open_=False)
    with outbox_of(exporter, Bounds(delay=0.01)) as outbox:
        outbox.put(1)
        assert exporter.busy.wait(PATIENCE)
        exporter.gate.set()
        assert outbox.flush(PATIENCE)
    assert [1] == exporter.got


def test_a_full_outbox_drops_and_counts() -> None:
    """While an exporter hangs, putting returns at once, no more waits than the bound says, and drops are told once."""
    exporter = Exporter(open_=False)
    told: list[int] = []
    with outbox_of(exporter, Bounds(waiting=50, at_once=10, delay=0.01), overflowing=lambda: told.append(1)) as outbox:
        outbox.put(0)
        assert exporter.busy.wait(PATIENCE)  # it has the first in its hands
        for number in range(1, 1_000):
            outbox.put(number)
        assert {"sent": 0, "failed": 0, "dropped": 949, "waiting": 51} == outbox.stats()
        exporter.gate.set()
        assert outbox.flush(PATIENCE)
        assert {"sent": 51, "failed": 0, "dropped": 949, "waiting": 0} == outbox.stats()
    assert [*range(51)] == exporter.got
    assert [1] == told


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, OSError("no"), None], ids=repr)
def test_what_an_exporter_does_not_send_is_counted(result: Any) -> None:
    """A failure that is said, raised or not said at all is counted, and the next batch is tried."""
    exporter, guard = Exporter(result=result), Guard()
    with outbox_of(exporter, guard=guard) as outbox:
        outbox.put(1)
        assert outbox.flush(PATIENCE)
        exporter.result = SpanExportResult.SUCCESS
        outbox.put(2)
        assert outbox.flush(PATIENCE)
        assert {"sent": 1, "failed": 1, "dropped": 0, "waiting": 0} == outbox.stats()
    assert ({"Exporter.export": 1} if isinstance(result, Exception) else {}) == guard.swallowed()


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["open", "shut", "fail", "flush"])), max_size=8),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_nothing_is_lost_without_being_counted(steps: list[tuple[int, str]], waiting: int, at_once: int) -> None:
    """Whatever an exporter does, what was put is sent, failed or dropped in the end, and sent is what arrived."""
    exporter = Exporter()
    put = 0
    with outbox_of(exporter, Bounds(waiting, min(waiting, at_once), 0.001)) as outbox:
        for count, then in steps:
            exporter.result = SpanExportResult.FAILURE if then == "fail" else SpanExportResult.SUCCESS
            (exporter.gate.clear if then == "shut" else exporter.gate.set)()
            for _ in range(count):
                outbox.put(put)
                put += 1
            if then == "flush":
                assert outbox.flush(PATIENCE)
            stats = outbox.stats()
            assert put == sum(stats.values())
            assert stats["waiting"] <= waiting + at_once
        exporter.gate.set()
        assert outbox.flush(PATIENCE)
    stats = outbox.stats()
    assert put == sum(stats.values())
    assert 0 == stats["waiting"]
    assert stats["sent"] == len(exporter.got) == len({*exporter.got})


def test_a_span_that_ends_in_the_middle_of_another_is_put() -> None:
    """The garbage collector may end an abandoned stream anywhere, also on the thread that is just putting."""
    exporter = Exporter()
    with outbox_of(exporter) as outbox:
        with outbox._moving, outbox._dropping:  # as who is in the middle of anything
            outbox.put("the stream's")
            outbox._bounds = Bounds(waiting=0)
            outbox.put("one too many")
        assert outbox.flush(PATIENCE)
        assert {"sent": 1, "failed": 0, "dropped": 1, "waiting": 0} == outbox.stats()
    assert ["the stream's"] == exporter.got


# -------------------------------------------------------------------------------------------------------- the end
def test_the_end_sends_what_waits() -> None:
    """Closing hands over what waits, stops the exporter once, and takes nothing more; twice is fine."""
    exporter = Exporter()
    with outbox_of(exporter, Bounds(at_once=3)) as outbox:
        for number in range(10):
            outbox.put(number)
        outbox.close()
        outbox.put(10)
        outbox.close()
        assert {"sent": 10, "failed": 0, "dropped": 1, "waiting": 0} == outbox.stats()
    assert ([*range(10)], 1) == (exporter.got, exporter.stopped)


def test_the_end_does_not_wait_for_an_exporter_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is up the exporter is stopped, what it had failed, and what still waited is counted as dropped."""
    monkeypatch.setattr(module, "TO_END", 0.05)
    exporter = Exporter(open_=False)
    with outbox_of(exporter, Bounds(at_once=4)) as outbox:
        for number in range(10):
            outbox.put(number)
        assert exporter.busy.wait(PATIENCE)
        outbox.close()
        stats = outbox.stats()
    assert 1 == exporter.stopped
    assert (10, 0, 6) == (sum(stats.values()), stats["sent"], stats["dropped"])


def test_outboxes_are_given_up_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several that hang cost the time of one: all are told before any is waited for."""
    exporters = [Exporter(open_=False) for _ in range(20)]
    with contextlib.ExitStack() as stack:
        outboxes = [stack.enter_context(outbox_of(exporter)) for exporter in exporters]
        until = time.monotonic() + 0.2
        for outbox in outboxes:
            outbox.put(1)
            outbox.stop(until)
        assert all(exporter.busy.wait(PATIENCE) for exporter in exporters)
        for outbox in outboxes:
            outbox.close()
    assert [0] * 20 == [outbox.stats()["sent"] for outbox in outboxes]


def test_a_child_sends_what_is_its_own() -> None:
    """A process that was forked off has nothing waiting, counts from nothing, and sends what it records itself."""
    exporter = Exporter(open_=False)
    with outbox_of(exporter) as outbox:
        outbox.put("parent's")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                before = outbox.stats()
                outbox.put("child's")
                exporter.gate.set()
                outbox.close()
                os.write(write, repr((before, exporter.got, outbox.stats())).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as said:
            told = said.read()
        os.waitpid(child, 0)
        exporter.gate.set()
        assert outbox.flush(PATIENCE)
    nothing = {"sent": 0, "failed": 0, "dropped": 0, "waiting": 0}
    assert repr((nothing, ["child's"], {**nothing, "sent": 1})) == told
    assert ["parent's"] == exporter.got


def test_where_no_thread_can_be_started_the_end_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python that is ending starts no threads: what waits is then sent by whoever closes."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    exporter = Exporter()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        outbox = Outbox(exporter, Bounds(at_once=3), Guard(strict=True), lambda: None)
        for number in range(10):
            outbox.put(number)
        outbox.close()
    assert ([*range(10)], 10) == (exporter.got, outbox.stats()["sent"])


# ------------------------------------------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("environ", "bounds", "complaints"),
    [
        ({}, Bounds(2_048, 512, 5.0), 0),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, Bounds(100, 100, 5.0), 0),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7", "OTEL_BSP_SCHEDULE_DELAY": "250"}, Bounds(2_048, 7, 0.25), 0),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "many", "OTEL_BSP_SCHEDULE_DELAY": "0"}, Bounds(2_048, 512, 5.0), 2),
        ({"OTEL_BLRP_MAX_QUEUE_SIZE": "1"}, Bounds(2_048, 512, 5.0), 0),
    ],
)
def test_bounds_are_the_standard_variables(environ: dict[str, str], bounds: Bounds, complaints: int) -> None:
    """The variables of OpenTelemetry set the bounds; one that cannot be used is named and has its default."""
    said: list[str] = []

    assert bounds == Bounds.of(environ, "OTEL_BSP", said.append)
    assert complaints == len(said)
    assert 1.0 == Bounds.of({}, "OTEL_BLRP", said.append).delay
    assert all(any(name in each and value in each for name, value in environ.items()) for each in said)


# ------------------------------------------------------------------------------------------------------ processors
def test_sampled_spans_are_put() -> None:
    """An ended span is sent where it was sampled, and not where it was not."""
    exporter = InMemorySpanExporter()
    with outbox_of(exporter) as outbox:
        for given_ in ({}, {"sampler": ALWAYS_OFF}):
            provider = TracerProvider(shutdown_on_exit=False, **given_)
            provider.add_span_processor(SpanOutbox(outbox))
            provider.get_tracer("t").start_span("work").end()
            assert provider.force_flush()
        assert ["work"] == [span.name for span in exporter.get_finished_spans()]
        provider.shutdown()
        assert 1 == outbox.stats()["sent"]


def test_log_records_are_put() -> None:
    """A log record is sent with its attributes, resource and scope, without the context it was made in."""
    exporter = InMemoryLogRecordExporter()
    with outbox_of(exporter) as outbox:
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(LogOutbox(outbox))
        provider.get_logger("l").emit(LogRecord(event_name="something", attributes={"a": 1}))
        assert provider.force_flush()
        (found,) = exporter.get_finished_logs()
        assert ("something", {"a": 1}) == (found.log_record.event_name, dict(found.log_record.attributes))
        assert provider.resource == found.resource
        assert "l" == found.instrumentation_scope.name
        assert not found.log_record.context
        provider.shutdown()


def test_exports_of_metrics_are_counted() -> None:
    """Each export that arrives or does not is counted; what an exporter raises is the reader's."""
    said: list[str] = []
    counted = CountedMetrics(ConsoleMetricExporter(formatter=lambda data: said.append("data") or ""))
    provider = MeterProvider([PeriodicExportingMetricReader(counted, 1e9)], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("c").add(1)
    assert provider.force_flush()
    provider.shutdown()

    assert ["data", "data"] == said
    assert {"sent": 2, "failed": 0} == counted.stats()
    broken = CountedMetrics(ConsoleMetricExporter(formatter=lambda _: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        broken.export(None)
    assert {"sent": 0, "failed": 1} == broken.stats()
