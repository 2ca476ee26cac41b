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
from tachograph.dialects import SESSIONS, of_agents, telling
from tachograph.dialects.gen_ai import is_model_call
from tachograph.live import run_of
from tachograph.open_spans import OpenSpans
from tachograph.spans import from_sdk
from tachograph.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadWriteLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from tachograph.cost import Prices
    from tachograph.guard import Guard
    from tachograph.live import Live
    from tachograph.records import Operation


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
    """Stamps spans of others when they start, and hands on what those that are worth a place tell of.

    That is when they end; where spans of others are still open around them, and may yet turn out to be of the same
    call, when those do. What the program has set itself stays.

    Args:
        guard: around everything, as the program's own thread starts and ends spans.
        hear: given the operations that spans of others tell of.
        process_session: gives the session of what nobody put into one.
        prices: of model calls.
        beside: one on another provider, spans of which may be around those of this one.
    """

    def __init__(
        self,
        guard: Guard,
        hear: Callable[[Operation], None] | None = None,
        process_session: Callable[[], str] | None = None,
        prices: Prices | None = None,
        beside: SpanStamp | None = None,
    ) -> None:
        self._guard = guard
        self._hear = hear
        self._process_session = process_session
        self.open: OpenSpans = OpenSpans() if beside is None else beside.open
        self.traces: Traces = Traces(session=self._session, prices=prices) if beside is None else beside.traces
        self.active = True
        self._ours: Any = object()  # the scope of spans of ours, once one was seen: a tracer has one for all of them
        self.sampler: str | None = None
        """Who leaves spans out of the provider it is on, if anybody does: said on spans of ours."""

    def deafen(self) -> None:
        """Stamp on, perhaps, but hand nothing on any more: a provider outlives who listened."""
        self.settle()
        self._hear = self._process_session = None

    def settle(self) -> None:
        """Hand on what still waits, by what is known."""
        for operation in self.traces.rest():
            self._told(operation)

    def undecided(self) -> list[Operation]:
        """What waits, by what is known so far."""
        return [] if self._hear is None else self.traces.undecided()

    def after_fork(self) -> None:
        """A child process: spans that are open or wait are the parent's."""
        self.open.after_fork()
        self.traces.after_fork()

    def _is_ours(self, scope: Any) -> bool:
        ours: bool = getattr(scope, "name", None) == names.SCOPE
        if ours:
            self._ours = scope
        return ours

    def _session(self) -> str | None:
        return None if self._process_session is None else self._process_session()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """The SDK started a span."""
        if self.active:
            scope = span.instrumentation_scope
            ours = scope is self._ours or self._guard(self._is_ours, scope)
            if ours and not self.open.spans and self.sampler is None:
                return  # at every step of an agent: no span of others is around
            self._guard(self._claim if ours else self._stamp, span, parent_context)

    def _claim(self, span: Span, parent_context: Context | None) -> None:
        """A model call of ours within somebody else's span of the same call: ours counts."""
        if self.sampler is not None:
            span.set_attribute(names.SAMPLER, self.sampler)
        around = trace.get_current_span(parent_context)
        if is_model_call(span.attributes or {}) and is_model_call(_of_others(around)):
            around.set_attributes({names.COUNTED: True})
        theirs = self.open.get(around.get_span_context().span_id)
        if theirs is not None:
            theirs.awaited = True
            theirs.await_all()

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
        begun = self.open.begun(
            span.get_span_context().span_id,
            around.get_span_context().span_id,
            session=names.SESSION_ID in stamps or not SESSIONS.isdisjoint(present),
        )
        if names.SESSION_ID not in stamps:
            if names.SESSION_ID in theirs and (in_their_call or of_agents(present)):
                stamps[names.SESSION_ID] = theirs[names.SESSION_ID]
            elif self._process_session is not None and not begun.session and of_agents(present):
                stamps[names.SESSION_ID] = self._process_session()
                begun.session = True
        for name, value in stamps.items():
            if name not in present:
                span.set_attribute(name, value)

    def on_end(self, span: ReadableSpan) -> None:
        """The SDK ended a span."""
        if self.open.spans or span.instrumentation_scope is not self._ours:
            self._guard(self._ended, span)

    def _ended(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None:
            return
        if self._is_ours(span.instrumentation_scope):
            # Ours are told of elsewhere; spans of others that are around one are to know of it.
            if span.parent is not None and self.open.get(span.parent.span_id) is not None and self._listens():
                self._take(span, top=False)
            return
        begun = self.open.ended(context.span_id)
        tells = telling(span.attributes or {})
        if not self._listens() or not (tells or (begun is not None and begun.awaited)):
            return
        above = None if begun is None else begun.around()
        if begun is not None and above is not None:
            begun.await_all()
        self._take(span, top=above is None)

    def _listens(self) -> bool:
        return self.active and self._hear is not None

    def _take(self, span: ReadableSpan, *, top: bool) -> None:
        read = from_sdk(span)
        if read is not None:
            for operation in self.traces.take(read, top=top):
                self._told(operation)

    def _told(self, operation: Operation) -> None:
        hear = self._hear
        if hear is not None:
            self._guard(hear, operation)

    def shutdown(self) -> None:
        """The provider ends, and with it what waits."""
        self._guard(self.settle)

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
