"""Public test kit: a ticking clock, ids in order, and a capture of everything that is recorded.

For tests of programs that Tachograph records, and of Tachograph itself::

    with tachograph.testing.capture() as captured:
        agent.run("go")
    assert captured.ledger.total().total_requests == 3
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from tachograph import runtime
from tachograph.config import Config
from tachograph.exporters import LedgerSpanExporter
from tachograph.guard import Guard
from tachograph.runtime.assembly import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.sampling import Sampler

    from tachograph.ledger import Ledger


class TickingClock:
    """A clock that moves on by one step each time it is read.

    Args:
        start_ns: nanoseconds since the epoch of the first reading.
        step_ns: nanoseconds from one reading to the next.
    """

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000, step_ns: int = 1_000_000) -> None:
        self._readings = itertools.count(start_ns, step_ns)

    def __call__(self) -> int:
        """Nanoseconds since the epoch."""
        return next(self._readings)


class OrderedIds(IdGenerator):
    """Trace and span ids 1, 2, 3 and so on."""

    def __init__(self) -> None:
        self._spans = itertools.count(1)
        self._traces = itertools.count(1)

    def generate_span_id(self) -> int:
        """The next span id."""
        return next(self._spans)

    def generate_trace_id(self) -> int:
        """The next trace id."""
        return next(self._traces)


def _log_exporter() -> InMemoryLogRecordExporter:
    return InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's is untyped


@dataclass(slots=True)
class Capture:
    """What was recorded, in all its writings."""

    runtime: Runtime
    spans_only: Ledger
    span_exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    log_exporter: InMemoryLogRecordExporter = field(default_factory=_log_exporter)
    metric_reader: InMemoryMetricReader | None = None

    @property
    def ledger(self) -> Ledger:
        """The recorder's own writing. ``spans_only`` is the ledger read back from the spans."""
        return self.runtime.ledger

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Ended spans, in order of their end."""
        return self.span_exporter.get_finished_spans()

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        """Emitted log events."""
        return self.log_exporter.get_finished_logs()

    def points(self) -> list[tuple[str, dict[str, Any], Any]]:
        """Metric points collected now: name, attributes, point."""
        data = self.metric_reader.get_metrics_data() if self.metric_reader is not None else None
        return [
            (metric.name, dict(point.attributes or {}), point)
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]


@contextlib.contextmanager
def capture(
    *,
    strict: bool = True,
    clock: Callable[[], int] | None = None,
    sampler: Sampler | None = None,
    sdk: bool = True,
    environ: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Capture]:
    """Record what happens in the block, with providers of its own; what was recording before waits.

    What the block starts itself is stopped at its end.

    Args:
        strict: let a failure inside Tachograph raise.
        clock: gives nanoseconds since the epoch; a :class:`TickingClock` makes durations predictable.
        sampler: of the tracer provider.
        sdk: False records with no SDK at all, by the global providers, which are to be unset.
        environ: variables to read settings from; none by default.
        settings: as for :func:`tachograph.init`. There is no store unless asked for.
    """
    exporter, log_exporter, reader = InMemorySpanExporter(), _log_exporter(), InMemoryMetricReader()
    from_spans = LedgerSpanExporter()
    tracing = TracerProvider(sampler=sampler, id_generator=OrderedIds(), shutdown_on_exit=False)
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.add_span_processor(SimpleSpanProcessor(from_spans))
    metering = MeterProvider([reader], shutdown_on_exit=False)
    logging = LoggerProvider(shutdown_on_exit=False)
    logging.add_log_record_processor(SimpleLogRecordProcessor(log_exporter))
    recording = Runtime(
        Config.read({"store": False, **settings}, environ=environ or {}),
        tracer_provider=tracing if sdk else None,
        meter_provider=metering if sdk else None,
        logger_provider=logging if sdk else None,
        guard=Guard(strict=strict),
        clock=clock,
    )
    recording.started = True
    before = runtime.install(recording)
    enabled = before is not None and before.hooks.enabled
    if before is not None:
        before.hooks.enabled = False
    try:
        recording.instrument()
        yield Capture(recording, from_spans.ledger, exporter, log_exporter, reader if sdk else None)
    finally:
        recording.stop()
        started = runtime.install(before)
        if started is not None and started not in (recording, before):
            started.stop()
        if before is not None:
            before.hooks.enabled = enabled and not before.stopped
        for provider in (tracing, metering, logging):
            provider.shutdown()
