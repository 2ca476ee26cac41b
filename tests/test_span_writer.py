"""An operation's span: what kind it is, when it was, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from support.records import operation
from tachograph import names
from tachograph.content import Capturing, Content
from tachograph.guard import Guard
from tachograph.live import Start
from tachograph.span_writer import SpanWriter

if TYPE_CHECKING:
    from tachograph.testing import Capture


@pytest.mark.parametrize("outcome", ["ok", "error", "max_steps", "interrupted", "abandoned", "waiting", "lost"])
def test_only_an_error_is_an_error(captured: Capture, outcome: Any) -> None:
    """The span's status is ERROR for a failure and unset for everything else, whose outcome is an attribute."""
    recorder = captured.runtime.recorder
    recorder.end(recorder.begin(Start("tool", "t")), outcome, error=ValueError("no"))

    (span,) = captured.spans
    (ended,) = captured.ledger.records()
    if outcome == "error":
        assert (StatusCode.ERROR, "no") == (span.status.status_code, span.status.description)
        assert "ValueError" == (span.attributes or {})[names.ERROR_TYPE] == ended.error_type
    else:
        assert StatusCode.UNSET is span.status.status_code
        assert names.ERROR_TYPE not in (span.attributes or {})
    assert (None if outcome in ("ok", "error") else outcome) == (span.attributes or {}).get(names.OUTCOME)
    assert () == span.events


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (Start("model", "m"), SpanKind.CLIENT),
        (Start("model", "m", in_process=True), SpanKind.INTERNAL),
        (Start("agent", "a"), SpanKind.INTERNAL),
        (Start("tool", "t"), SpanKind.INTERNAL),
    ],
)
def test_a_model_behind_a_server_is_a_client_span(captured: Capture, start: Start, kind: SpanKind) -> None:
    """Only a call that leaves the process is a CLIENT span."""
    captured.runtime.recorder.end(captured.runtime.recorder.begin(start))

    assert kind is captured.spans[0].kind


def test_what_is_over_has_the_times_and_the_id_that_it_had() -> None:
    """A span written after the fact begins and ends when its operation did, and names an id that is not its own."""
    written, tracing = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    tracing.add_span_processor(SimpleSpanProcessor(written))
    writer, record = SpanWriter(lambda: tracing.get_tracer("t"), Guard(strict=True), None), operation(1)

    writer.end(writer.over(record, Context()), record, {}, None)

    (span,) = written.get_finished_spans()
    assert (record.start_ns, record.end_ns) == (span.start_time, span.end_time)
    assert record.id == (span.attributes or {})[names.OPERATION_ID]


def test_content_that_cannot_be_written_costs_content_alone() -> None:
    """Where content fails, the span has everything else and ends, and the failure is counted."""

    class Broken(Content):
        def written(self) -> Any:
            raise RecursionError

    written, tracing, guard = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False), Guard()
    tracing.add_span_processor(SimpleSpanProcessor(written))
    capturing = Capturing(100, spans=True, events=False)
    writer, record = SpanWriter(lambda: tracing.get_tracer("t"), guard, capturing), operation(1)

    writer.end(writer.over(record, Context()), record, {names.FINISH_REASONS: ("stop",)}, Broken())

    (span,) = written.get_finished_spans()
    assert ("stop",) == (span.attributes or {})[names.FINISH_REASONS]
    assert [1] == [*guard.swallowed().values()]
