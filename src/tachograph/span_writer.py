"""The writing for others to read: an operation as an OpenTelemetry span. The only place that starts and ends one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, format_span_id

from tachograph import codec, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from tachograph.content import Capturing, Content
    from tachograph.guard import Guard
    from tachograph.live import Start
    from tachograph.records import Operation

_CLIENT, _INTERNAL = SpanKind.CLIENT, SpanKind.INTERNAL  # an enumeration is slow to give its members


class SpanWriter:
    """Starts and ends spans. What it does may fail; it is the recorder that guards each.

    Args:
        tracer: gives the tracer in force.
        guard: around content, which may fail by itself.
        capturing: what content is captured, if any is.
    """

    def __init__(self, tracer: Callable[[], Tracer], guard: Guard, capturing: Capturing | None) -> None:
        self._tracer = tracer
        self._guard = guard
        self._capturing = capturing

    def start(self, start: Start, record: Operation, base: Context, around_id: str | None) -> Span:
        """A span for an operation that begins.

        Args:
            start: what is said of it.
            record: of it, without ids.
            base: the context it begins in.
            around_id: of the span that is around it there.
        """
        return self._tracer().start_span(
            codec.span_name(record, refused=start.refused),
            base,
            _CLIENT if start.kind == "model" and not start.in_process else _INTERNAL,
            codec.start_attributes(record, span_parent_id=around_id, refused=start.refused),
            start_time=record.start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )

    def over(self, record: Operation, base: Context) -> Span:
        """A span for an operation that is over, to be ended by :meth:`end`; in ``base``."""
        around = trace.get_current_span(base).get_span_context()
        attributes = codec.start_attributes(
            record._replace(attributes=codec.sendable(record.attributes)),
            span_parent_id=format_span_id(around.span_id) if around.is_valid else None,
        )
        return self._tracer().start_span(
            codec.span_name(record),
            base,
            _CLIENT if record.kind == "model" else _INTERNAL,
            {**attributes, names.OPERATION_ID: record.id} if record.id else attributes,
            start_time=record.start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )

    def end(self, span: Span, record: Operation, later: Mapping[str, Any], content: Content | None) -> None:
        """End a span as its operation ended.

        Args:
            span: of the operation.
            record: of the operation, which has ended.
            later: facts that were not known at its start.
            content: what it was given and gave, where that is captured.
        """
        try:
            if span.is_recording():
                if content is not None and self._capturing is not None and self._capturing.spans:
                    self._guard(_content_onto, span, content)
                outcome = record.outcome or "ok"
                facts = codec.end_attributes(outcome, record.error_type, record.error_message, later)
                if facts:
                    span.set_attributes(facts)
                if outcome == "error":
                    span.set_status(Status(StatusCode.ERROR, record.error_message))
        finally:
            span.end(record.end_ns)


def _content_onto(span: Span, content: Content) -> None:
    span.set_attributes(content.written())
