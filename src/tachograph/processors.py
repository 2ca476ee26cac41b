"""Ids on everything: foreign spans and log events inside a session carry its ids from their start.

And where they belong, so that those worth a place (:mod:`tachograph.foreign`) find it, here and wherever they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import format_span_id

from tachograph import names
from tachograph.context import Scope, current, from_baggage
from tachograph.foreign import is_model_call, telling
from tachograph.live import run_of
from tachograph.spans import from_sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from tachograph.guard import Guard
    from tachograph.live import Live
    from tachograph.spans import ReadSpan


def _stamps(scope: Scope | None) -> dict[str, str]:
    """Ids to stamp: where somebody named the session, or an operation of ours is around."""
    if scope is None or not (scope.explicit or scope.operation):
        return {}
    stamps = {
        names.SESSION_ID: scope.session_id or None,
        names.CORRELATION_ID: scope.correlation_id,
        names.USER_ID: scope.user_id,
        names.CONVERSATION_ID: scope.conversation_id,
    }
    return {name: value for name, value in stamps.items() if value is not None}


def _around(context: Context | None) -> Scope | None:
    """What is around: here, or where the request came from that is served, if that says so in its baggage."""
    return current(context) or from_baggage(context)


class SpanStamp(SpanProcessor):
    """Stamps spans of others when they start, and hands those on that may be worth a place when they end.

    What the program has set itself stays.

    Args:
        guard: around everything, as the program's own thread starts and ends spans.
        hear: given a span that ended.
        process_session: gives the session of a model call that nobody put into one.
    """

    def __init__(
        self,
        guard: Guard,
        hear: Callable[[ReadSpan], None] | None = None,
        process_session: Callable[[], str] | None = None,
    ) -> None:
        self._guard = guard
        self._hear = hear
        self._process_session = process_session
        self.active = True
        self.sampler: str | None = None
        """Who leaves spans out of the provider it is on, if anybody does: said on spans of ours."""

    def deafen(self) -> None:
        """Stamp on, perhaps, but hand nothing on any more: a provider outlives who listened."""
        self._hear = self._process_session = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """The SDK started a span."""
        if self.active:
            ours = getattr(span.instrumentation_scope, "name", None) == names.SCOPE
            self._guard(self._claim if ours else self._stamp, span, parent_context)

    def _claim(self, span: Span, parent_context: Context | None) -> None:
        """A model call of ours within somebody else's span of the same call: ours counts."""
        if self.sampler is not None:
            span.set_attribute(names.SAMPLER, self.sampler)
        if is_model_call(span.attributes or {}):
            around = trace.get_current_span(parent_context)
            if is_model_call(_of_others(around)):
                around.set_attributes({names.COUNTED: True})

    def _stamp(self, span: Span, parent_context: Context | None) -> None:
        present = span.attributes or {}
        scope = _around(parent_context)
        operation: Live | None = None if scope is None else scope.operation
        around = trace.get_current_span(parent_context)
        theirs = _of_others(around)
        in_their_call = is_model_call(theirs) or names.COUNTED in theirs
        stamps: dict[str, Any] = dict(_stamps(scope))
        if operation is not None:
            stamps |= _place(operation, None if in_their_call else around)
        if in_their_call or (operation is not None and operation.kind == "model"):
            stamps[names.COUNTED] = True
        if names.SESSION_ID not in stamps:
            if in_their_call and names.SESSION_ID in theirs:
                stamps[names.SESSION_ID] = theirs[names.SESSION_ID]
            elif self._process_session is not None and is_model_call(present):
                stamps[names.SESSION_ID] = self._process_session()
        for name, value in stamps.items():
            if name not in present:
                span.set_attribute(name, value)

    def on_end(self, span: ReadableSpan) -> None:
        """The SDK ended a span."""
        hear = self._hear
        if hear is not None and self.active:
            self._guard(self._ended, span, hear)

    @staticmethod
    def _ended(span: ReadableSpan, hear: Callable[[ReadSpan], None]) -> None:
        if getattr(span.instrumentation_scope, "name", None) != names.SCOPE and telling(span.attributes or {}):
            read = from_sdk(span)
            if read is not None:
                hear(read)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back; where that is not said, older SDKs flush no processor that comes after."""
        return True


def _of_others(span: trace.Span) -> Any:
    """Attributes of somebody else's span that is being recorded; of any other none."""
    if getattr(getattr(span, "instrumentation_scope", None), "name", names.SCOPE) == names.SCOPE:
        return {}
    return getattr(span, "attributes", None) or {}


def _place(operation: Live, around: trace.Span | None) -> dict[str, str]:
    """The operation a span is in, unless the span around it says so, and the agent it works for."""
    run = run_of(operation)
    place = {} if run is None else {names.RUN_BY: run.record.name}
    if around is not None and format_span_id(around.get_span_context().span_id) != operation.record.id:
        place[names.PARENT_ID] = operation.record.id
    return place


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
        for name, value in _stamps(_around(record.context)).items():
            if attributes is not None and name not in attributes:
                attributes[name] = value  # type: ignore[index]  # the SDK makes it a mutable mapping

    def shutdown(self) -> None:
        """Nothing to give back."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back."""
        return True
