"""Ids on everything: foreign spans and log events inside a session carry its ids from their start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor

from tachograph import names
from tachograph.context import Scope, current

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import Span

    from tachograph.guard import Guard


def _stamps(scope: Scope | None) -> dict[str, str]:
    """Ids to stamp: where somebody named the session, or an operation of ours is around."""
    if scope is None or not (scope.explicit or scope.operation):
        return {}
    stamps = {
        names.SESSION_ID: scope.session_id,
        names.CORRELATION_ID: scope.correlation_id,
        names.USER_ID: scope.user_id,
        names.CONVERSATION_ID: scope.conversation_id,
    }
    return {name: value for name, value in stamps.items() if value is not None}


class SpanStamp(SpanProcessor):
    """Stamps spans when they start. What the program has set itself stays."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.active = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """The SDK started a span."""
        if self.active and getattr(span.instrumentation_scope, "name", None) != names.SCOPE:
            self._guard(self._stamp, span, parent_context)

    def _stamp(self, span: Span, parent_context: Context | None) -> None:
        present = span.attributes or {}
        for name, value in _stamps(current(parent_context)).items():
            if name not in present:
                span.set_attribute(name, value)


class LogStamp(LogRecordProcessor):
    """Stamps log records when they are emitted. Only a processor that comes before the exporter's can."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.active = True

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """The SDK was given a log record."""
        self._guard(self._stamp, log_record)

    def _stamp(self, log_record: ReadWriteLogRecord) -> None:
        if not self.active:
            return
        record = log_record.log_record
        attributes = record.attributes
        for name, value in _stamps(current(record.context)).items():
            if attributes is not None and name not in attributes:
                attributes[name] = value  # type: ignore[index]  # the SDK makes it a mutable mapping

    def shutdown(self) -> None:
        """Nothing to give back."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back."""
        return True
