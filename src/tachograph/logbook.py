"""The third writing: log events, and their copies on spans, as trace backends keep no logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber

from tachograph import codec, names

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from tachograph.content import Capturing, Content
    from tachograph.guard import Guard
    from tachograph.live import Live
    from tachograph.records import Event, Operation


class Logbook:
    """Writes log events.

    Args:
        emit: sends one.
        listened: whether they go anywhere.
        guard: around the sending.
        capturing: what of content is sent.
        copying: whether events are copied onto the current span.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        emit: Callable[[LogRecord], None],
        listened: Callable[[], bool],
        guard: Guard,
        *,
        capturing: Capturing | None,
        copying: bool,
        clock: Callable[[], int],
    ) -> None:
        self._send = emit
        self._listened = listened
        self._guard = guard.__call__
        self._capturing = capturing
        self._copying = copying
        self._clock = clock

    def event(self, event: Event, context: Context) -> None:
        """Something happened in ``context``: a log event, and a copy on the span there."""
        span = trace.get_current_span(context) if self._copying else trace.INVALID_SPAN
        copied, sent = span.is_recording(), self._listened()
        if not (copied or sent):
            return
        attributes = codec.event_attributes(event, content=self._capturing is not None)
        name = names.EVENT_PREFIX + event.type
        if sent:
            record = LogRecord(
                timestamp=event.timestamp_ns,
                context=context,
                severity_number=SeverityNumber.INFO,
                event_name=name,
                attributes=attributes,
            )
            self._guard(self._send, record)
        if copied:
            span.add_event(name, attributes, event.timestamp_ns)

    def copy(self, event: Event, span: Span) -> None:
        """A copy onto this span, and nothing else."""
        attributes = codec.event_attributes(event, content=self._capturing is not None)
        span.add_event(names.EVENT_PREFIX + event.type, attributes, event.timestamp_ns)

    def model_failed(self, call: Operation, context: Context) -> None:
        """An exception left a model call."""
        attributes = {
            names.EXCEPTION_TYPE: call.error_type,
            names.EXCEPTION_MESSAGE: call.error_message,
            names.SESSION_ID: call.session_id,
            names.CORRELATION_ID: call.correlation_id,
            names.USER_ID: call.user_id,
        }
        self._send(
            LogRecord(
                timestamp=call.end_ns,
                context=context,
                severity_number=SeverityNumber.WARN,
                event_name=names.MODEL_EXCEPTION,
                attributes={name: value for name, value in attributes.items() if value is not None},
            )
        )

    def model_details(self, live: Live, call: Operation, content: Content, context: Context) -> None:
        """What a model call was given and gave, where events carry that."""
        if self._capturing is None or not self._capturing.events:
            return
        attributes = {
            **codec.start_attributes(live.record, span_parent_id=live.record.parent_id),
            **codec.end_attributes(call.outcome or "ok", call.error_type, None, live.later),
            **content.exported,
        }
        self._send(
            LogRecord(
                timestamp=call.end_ns,
                context=context,
                severity_number=SeverityNumber.DEBUG,
                event_name=names.MODEL_DETAILS,
                attributes=attributes,
            )
        )

    def audit_head(self, writer: str, entries: int, link: str, keyed: bool) -> None:  # noqa: FBT001 - a guard's call
        """Where the store's audit chain stands, to whatever collects the logs: a witness that is not on this disk."""
        self._send(
            LogRecord(
                timestamp=self._clock(),
                severity_number=SeverityNumber.INFO,
                event_name=names.AUDIT_HEAD,
                attributes={
                    names.AUDIT_WRITER: writer,
                    names.AUDIT_COUNT: entries,
                    names.AUDIT_LINK: link,
                    names.AUDIT_KEYED: keyed,
                },
            )
        )
