"""From facts to the two writings: an OpenTelemetry span with its metrics and log events, and a ledger record.

The only place that starts and ends a span, that decides what an operation belongs to, and that knows an operation
ends exactly once. Each write is guarded by itself, so a failing exporter does not cost the ledger a record.
"""

from __future__ import annotations

import itertools
import os
import time
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.trace import SpanKind, Status, StatusCode, format_span_id, format_trace_id

from tachograph import beside, codec, names
from tachograph.content import capturing
from tachograph.context import Scope, current, from_baggage, here, holds, new_id
from tachograph.live import Live, run_of
from tachograph.records import Event, Operation
from tachograph.redact import error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from tachograph.config import Config
    from tachograph.content import Content
    from tachograph.guard import Guard
    from tachograph.instruments import Instruments
    from tachograph.ledger import Ledger
    from tachograph.live import Start
    from tachograph.records import Kind, Outcome

_MAX_FAILURES = 16
_MAX_CHAIN = 64
_NOT_ENDED = None, None, None, None


class Recorder:
    """Writes facts down.

    Args:
        tracer: gives the tracer in force; asked at every start, as providers may appear at any time.
        emit: sends a log event.
        instruments: for metrics.
        ledger: the other writing.
        guard: around each write.
        config: what may be captured, and the bound on open operations.
        process_session: gives the session of work nobody put into one.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        *,
        tracer: Callable[[], Tracer],
        emit: Callable[[LogRecord], None],
        instruments: Instruments,
        ledger: Ledger,
        guard: Guard,
        config: Config,
        process_session: Callable[[], str],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer = tracer
        self._send = emit
        self._instruments = instruments
        self._ledger = ledger
        self.guard = guard
        self._guard = guard.__call__
        self._config = config
        self.capturing = capturing(config)
        self._process_session = process_session
        self._clock = clock
        self._open: dict[str, Live] = {}
        self._ready = False
        ledger.attend(self.under_way)
        self._sighted: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    # ---------------------------------------------------------------------------------------------------- scope
    def scope(self, context: Context | None = None) -> Scope:
        """What holds around the code that runs now; the process session where nothing else does."""
        scope = current(context) or from_baggage(context)
        if scope is None:
            return Scope(self._process_session())
        if not scope.session_id:
            return Scope(self._process_session(), scope.correlation_id, scope.user_id)
        return scope

    def open(self, kind: Kind) -> list[Live]:
        """The operations of a kind under way, in any thread."""
        return [live for live in list(self._open.values()) if live.kind == kind]

    def under_way(self) -> list[Operation]:
        """Records of what has begun and not ended."""
        return [live.record for live in list(self._open.values())]

    def first_sight(self, thing: Any) -> bool:
        """Whether an object of the host is seen for the first time. By identity; it is neither hashed nor kept."""
        if self._sighted.get(id(thing)) is thing:
            return False
        self._sighted[id(thing)] = thing
        return True

    # ---------------------------------------------------------------------------------------------- begin, end
    def begin(self, start: Start, base: Context | None = None) -> Live:
        """An operation starts; in ``base``, by default the current context."""
        if not self._ready:
            self._guard(self._tracer)  # before the clock is read: the first time, providers are to be built
            self._ready = True
        if start.parent is not None:
            base = start.parent.context(base)
        elif base is None:
            base = here()
        scope = current(base)
        if scope is None or not scope.session_id:
            scope = self.scope(base)
        parent: Live | None = scope.operation
        agent = run_of(parent)
        facts = {name: value for name, value in start.facts.items() if value is not None}
        if start.kind == "agent" and agent is not None:
            facts[names.NESTED] = True
        if scope.conversation_id is not None:
            facts[names.CONVERSATION_ID] = scope.conversation_id
        if parent is not None and parent.span is not None and holds(base, parent.span):
            around_id: str | None = parent.record.id
        else:
            around = trace.get_current_span(base).get_span_context()
            around_id = format_span_id(around.span_id) if around.is_valid else None
        agent_name = None if agent is None else agent.record.name
        parent_id = around_id if parent is None else parent.record.id
        ids = "", start.kind, start.name, scope.session_id, scope.correlation_id or new_id()
        # By position, which is faster; nothing has ended yet, and the ids are the span's.
        record = Operation(*ids, self._clock(), *_NOT_ENDED, agent_name, parent_id, None, scope.user_id, facts)
        span = self._guard(self._start_span, start, record, base, around_id)
        started = None if span is None else span.get_span_context()
        span_id = None if started is None or not started.is_valid else format_span_id(started.span_id)
        if started is None or span_id is None or span_id == around_id:
            # No SDK is at work: the API hands the surrounding span back, or an empty one.
            span, record = None, record.with_ids(os.urandom(8).hex(), None)
        else:
            record = record.with_ids(span_id, format_trace_id(started.trace_id))
        live = Live(record, span, agent, start, scope, base)
        if start.kind == "model" and beside.listening():
            live.claim = self._guard(beside.claim)
        self._open[record.id] = live
        if len(self._open) > self._config.max_open:
            self.end(next(iter(self._open.values())), "lost")
        if names.SWITCH_FROM in facts:
            self._guard(self._switched, record, base)
        return live

    def end(
        self,
        live: Live,
        outcome: Outcome = "ok",
        facts: Mapping[str, Any] | None = None,
        error: BaseException | None = None,
    ) -> None:
        """An operation ends; a second end changes nothing."""
        begun = live.record
        try:
            live.once.pop()
        except IndexError:
            return
        if facts:
            live.add(facts)
        later = live.later
        outcome = later.pop(names.OUTCOME, outcome)
        error_type = error_message = None
        if outcome in ("error", "refused") and error is not None:
            error_type = type(error).__name__
            if self._config.capture_errors == "message":
                error_message = self._guard(error_text, error)
        if begun.kind == "agent" and outcome == "error" and error is not None:
            if live.failures and _stems_from(error, live.failures):
                later[names.HANDED_UP] = True
            if live.agent is not None:
                # Kept only while the enclosing run lasts, to tell its own failures from handed-up ones.
                live.agent.failures = [*live.agent.failures[1 - _MAX_FAILURES :], error]
        live.failures = []
        content = live.content
        kept = {} if content is None else self._guard(content.kept, default={})
        attributes = {**begun.attributes, **later, **kept} if later or kept else begun.attributes
        record = begun.over(max(self._clock(), begun.start_ns), outcome, error_type, error_message, attributes)
        self._guard(self._ledger.apply, record)
        self._open.pop(begun.id, None)
        if live.span is not None:
            self._guard(self._end_span, live.span, record, later, content)
        self._guard(self._instruments.ended, record, live.span)
        if record.kind == "model":
            if outcome == "error":
                self._guard(self._model_exception, record, live.context(live.base))
            if content is not None:
                self._guard(self._details, live, record, content, live.context(live.base))

    def after_fork(self) -> None:
        """A child process: what is open goes on in the parent, and ends there."""
        for live in self._open.values():
            live.once.clear()
        self._open.clear()

    def abandon_all(self) -> None:
        """End whatever is still open: the process is about to."""
        for live in list(self._open.values()):
            self.end(live, "abandoned")

    def event(self, event_type: str, payload: Mapping[str, Any], *, scope: Scope | None = None) -> None:
        """Something happened that no operation carries: to the ledger, as a log event, and onto the current span."""
        scope = scope or self.scope()
        around = trace.get_current_span().get_span_context()
        event = Event(
            id=new_id(),
            type=event_type,
            session_id=scope.session_id,
            correlation_id=scope.correlation_id,
            timestamp_ns=self._clock(),
            trace_id=format_trace_id(around.trace_id) if around.is_valid else None,
            span_id=format_span_id(around.span_id) if around.is_valid else None,
            user_id=scope.user_id,
            payload=payload,
        )
        self._guard(self._ledger.apply, event)
        self._guard(self._emit, event, here())

    # ----------------------------------------------------------------------------------------- OpenTelemetry
    def _start_span(self, start: Start, record: Operation, base: Context, around_id: str | None) -> Span:
        return self._tracer().start_span(
            codec.span_name(record, refused=start.refused),
            base,
            SpanKind.CLIENT if start.kind == "model" and not start.in_process else SpanKind.INTERNAL,
            codec.start_attributes(record, span_parent_id=around_id, refused=start.refused),
            start_time=record.start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )

    def _end_span(self, span: Span, record: Operation, later: Mapping[str, Any], content: Content | None) -> None:
        try:
            if span.is_recording():
                if content is not None and self.capturing is not None and self.capturing.spans:
                    self._guard(self._content_onto, span, content)
                outcome = record.outcome or "ok"
                facts = codec.end_attributes(outcome, record.error_type, record.error_message, later)
                if facts:
                    span.set_attributes(facts)
                if outcome == "error":
                    span.set_status(Status(StatusCode.ERROR, record.error_message))
        finally:
            span.end(record.end_ns)

    @staticmethod
    def _content_onto(span: Span, content: Content) -> None:
        span.set_attributes(content.written())

    def _details(self, live: Live, call: Operation, content: Content, context: Context) -> None:
        if self.capturing is None or not self.capturing.events:
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

    def _switched(self, run: Operation, base: Context) -> None:
        source, target = run.attributes[names.SWITCH_FROM], run.attributes.get(names.SWITCH_TO, run.name)
        self._guard(self._instruments.switched, source, target, base)
        around = trace.get_current_span(base).get_span_context()
        event = Event(
            id=f"{run.id}:agent_switched",
            type="agent_switched",
            session_id=run.session_id,
            correlation_id=run.correlation_id,
            timestamp_ns=run.start_ns,
            trace_id=run.trace_id,
            span_id=format_span_id(around.span_id) if around.is_valid else None,
            user_id=run.user_id,
            payload={
                "from_agent": source,
                "to_agent": target,
                "reason": run.attributes.get(names.SWITCH_REASON),
                names.OPERATION_ID: run.id,
            },
        )
        self._emit(event, base)

    def _emit(self, event: Event, context: Context) -> None:
        attributes = codec.event_attributes(event)
        name = names.EVENT_PREFIX + event.type
        record = LogRecord(
            timestamp=event.timestamp_ns,
            context=context,
            severity_number=SeverityNumber.INFO,
            event_name=name,
            attributes=attributes,
        )
        self._guard(self._send, record)
        if self._config.span_events:
            trace.get_current_span(context).add_event(name, attributes, event.timestamp_ns)

    def _model_exception(self, call: Operation, context: Context) -> None:
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


def _stems_from(error: BaseException, earlier: list[BaseException]) -> bool:
    """Whether one of ``earlier`` is among the causes and contexts of ``error``."""
    known = {id(failure) for failure in earlier}
    todo, seen = [error], set[int]()
    for _ in itertools.repeat(None, _MAX_CHAIN):
        if not todo:
            return False
        link = todo.pop()
        if id(link) in known:
            return True
        if id(link) not in seen:
            seen.add(id(link))
            todo += [cause for cause in (link.__cause__, link.__context__) if cause is not None]
    return False
