"""From facts to the two writings: an OpenTelemetry span with its metrics and log events, and a ledger record.

The only place that decides what an operation belongs to, and that knows an operation ends exactly once. Each write is
guarded by itself, so a failing exporter does not cost the ledger a record.
"""

from __future__ import annotations

import os
import re
import time
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from tachograph import beside, moments, names
from tachograph.attendant import Attendance
from tachograph.clip import as_text
from tachograph.content import capturing
from tachograph.context import SCOPE_KEY, Scope, clean_id, current, from_baggage, here, holds, new_id
from tachograph.cost import Prices
from tachograph.facts import expired, switch_of
from tachograph.live import Live, hand_up, known, run_of
from tachograph.loading import loading
from tachograph.logbook import Logbook
from tachograph.records import Event, Operation
from tachograph.redact import error_text
from tachograph.span_writer import SpanWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry._logs import LogRecord
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from tachograph.config import Config
    from tachograph.content import Content
    from tachograph.guard import Guard
    from tachograph.instruments import Instruments
    from tachograph.ledger import Ledger
    from tachograph.live import Facts, Start
    from tachograph.records import Kind, Outcome

_WORD = re.compile(r"[\w.:-]{1,100}")
_WHOLE = True  # an operation that is told of at once, beginning and end


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
        around: gives the operation around work that no context places, if there is one.
        listened: whether log events go anywhere.
        clock: nanoseconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 - it is where everything meets
        self,
        *,
        tracer: Callable[[], Tracer],
        emit: Callable[[LogRecord], None],
        instruments: Instruments,
        ledger: Ledger,
        guard: Guard,
        config: Config,
        process_session: Callable[[], str],
        around: Callable[[], Live | None] = lambda: None,
        listened: Callable[[], bool] = lambda: True,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._ledger = ledger
        self.guard = guard
        self._guard = guard.__call__
        self._config = config
        self.capturing = capturing(config)
        self.logbook = self._logbook = Logbook(
            emit, listened, guard, capturing=self.capturing, copying=config.span_events, clock=clock
        )
        self._spans = SpanWriter(tracer, guard, self.capturing)
        self._prices = Prices(config.prices)
        self._process_session = process_session
        self._around = around
        self.now = self._clock = clock
        self._open: dict[str, Live] = {}
        self.attendance = Attendance()
        self.carried: dict[str, Callable[[str, Mapping[str, Any], Scope | None], object]] = {}
        self._ready = False
        self._newest_trace: tuple[int, str] = 0, ""
        ledger.attend(self.under_way)
        self._sighted: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    # ---------------------------------------------------------------------------------------------------- scope
    def scope(self, context: Context | None = None) -> Scope:
        """What holds around the code that runs now; the process session where nothing else does."""
        if context is None:
            context = here()
        scope = current(context) or (from_baggage(context) if context else None)
        if scope is None:
            return Scope(self._process_session())
        if not scope.session_id:
            return Scope(self._process_session(), scope.correlation_id, scope.user_id)
        return scope

    def _placed(self, base: Context) -> tuple[Scope, Context]:
        """What holds in ``base``; work that no context places is in the operation there is around such work, if any."""
        scope = self.scope(base)
        around = self._around() if scope.operation is None else None
        if around is None or (scope.explicit and scope.session_id != around.record.session_id):
            return scope, base
        base = around.context(base)
        return self.scope(base), base

    def open(self, kind: Kind) -> list[Live]:
        """The operations of a kind under way, in any thread."""
        return [live for live in list(self._open.values()) if live.kind == kind]

    def under_way(self) -> list[Operation]:
        """Records of what has begun and not ended."""
        return [live.record for live in list(self._open.values())]

    def waits_for_human(self, record: Operation) -> bool:
        """Whether somebody has been asked to decide something in the request of ``record``, and still may."""
        now = self._clock()
        return any(
            asked.kind == "approval"
            and (asked.session_id, asked.correlation_id) == (record.session_id, record.correlation_id)
            and not expired(asked, now)
            for asked in self._ledger.open_operations()
        )

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
            with loading():
                self._guard(self._tracer)  # before the clock is read: the first time, providers are to be built
                self._guard(self._prices.ready)  # and prices to be read
            self._ready = True
        if start.parent is not None:
            base = start.parent.context(base)
        elif base is None:
            base = here()
        scope: Any = base.get(SCOPE_KEY)
        if scope is None or scope.operation is None:
            scope, base = self._placed(base)
        parent: Live | None = scope.operation
        agent = parent if parent is None or parent.kind == "agent" else parent.agent  # run_of(), which takes longer
        facts = known(start, scope, agent)
        if parent is None:
            self._guard(self.attendance.look)
        if parent is not None and parent.span is not None and holds(base, parent.span):
            around_id: str | None = parent.record.id
        else:
            around = trace.get_current_span(base).get_span_context()
            around_id = format_span_id(around.span_id) if around.is_valid else None
        run = None if agent is None else agent.record.name
        above = around_id if parent is None else parent.record.id
        kind, name, session, user = start.kind, start.name, scope.session_id, scope.user_id
        request, now = scope.correlation_id or start.correlation_id or new_id(), self._clock()
        # Past the named tuple's own constructor and written out, as that takes half the time. The ids are the span's.
        fields = "", kind, name, session, request, now, None, None, None, None, run, above, None, user, facts
        span, span_id, trace_id, sampled = self._started(start, tuple.__new__(Operation, fields), base, around_id)
        begun = span_id, kind, name, session, request, now, None, None, None, None, run, above, trace_id, user, facts
        record = tuple.__new__(Operation, begun)
        live = Live(record, span, agent, start, scope, base)
        live.sampled = sampled
        if start.kind == "model" and beside.listening():
            live.claim = self._guard(beside.claim)
        self._open[record.id] = live
        if self._ledger.tapped:
            self._guard(self._ledger.stir)
        if len(self._open) > self._config.max_open:
            self.end(next(iter(self._open.values())), "lost")
        for began in self.attendance.began[start.kind] if not start.refused else ():
            self._guard(began, live)
        if names.SWITCH_FROM in facts:
            self._guard(self._switched, record, base)
        return live

    def _started(
        self, start: Start, record: Operation, base: Context, around_id: str | None
    ) -> tuple[Span | None, str, str | None, bool]:
        """The span, its id and that of its trace, and whether it is exported; an id too where there is no span."""
        span = self._guard(self._spans.start, start, record, base, around_id)
        if span is not None:
            # A tuple, and its properties are functions.
            in_trace, number, _, flags, _, valid = span.get_span_context()
            span_id = number.to_bytes(8, "big").hex()
            # Else no SDK is at work: the API hands the surrounding span back, or an empty one.
            if valid and span_id != around_id:
                trace_id, text = self._newest_trace
                if trace_id != in_trace:  # else its operations share a text
                    trace_id, text = self._newest_trace = in_trace, format_trace_id(in_trace)
                return span, span_id, text, bool(flags & trace.TraceFlags.SAMPLED)
        return None, os.urandom(8).hex(), None, False

    def end(
        self,
        live: Live,
        outcome: Outcome = "ok",
        facts: Mapping[str, Any] | None = None,
        error: BaseException | None = None,
    ) -> None:
        """An operation ends; a second end changes nothing."""
        begun, end_ns = live.record, self._clock()
        try:
            live.once.pop()
        except IndexError:
            return
        later = live.learned(facts)
        error_type = error_message = None
        if later:
            outcome = later.pop(names.OUTCOME, outcome)
            error_type, error_message = later.pop(names.ERROR_TYPE, None), later.pop(names.EXCEPTION_MESSAGE, None)
        if error is not None and outcome in ("error", "refused"):
            error_type, error_message = type(error).__name__, self._message(error)
            hand_up(live, outcome, error)
        live.failures = ()
        if live.waits:
            later[names.HUMAN_SECONDS] = live.wait_seconds(end_ns)
        content, attributes = live.content, begun.attributes
        if later:
            attributes = {**attributes, **later}
        if content is not None:
            attributes = {**attributes, **self._guard(content.kept, default={})}
        if begun.kind == "model":
            amount = self._guard(self._prices.amount, attributes, begun.start_ns)
            if amount is not None:
                later[names.COST] = amount
                attributes = {**attributes, names.COST: amount}
        for ending in self.attendance.ending[begun.kind]:
            attributes = {**attributes, **(self._guard(ending, live) or {})}
        record = begun.over(end_ns, outcome, error_type, error_message, attributes)
        self._guard(self._ledger.apply, record)
        for ended in self.attendance.ended[begun.kind]:
            self._guard(ended, record, outcome == "refused")
        self._open.pop(begun.id, None)
        self._write_end(live, record, content)
        live.end()

    def _write_end(self, live: Live, record: Operation, content: Content | None) -> None:
        """The other writing of an end: span, metrics, log events."""
        if live.span is not None:
            self._guard(self._spans.end, live.span, record, live.later, content)
        self._guard(self._instruments.ended, record if live.sampled else record.with_ids(record.id, None))
        if record.kind == "model":
            if record.outcome == "error":
                self._guard(self._logbook.model_failed, record, live.context(live.base))
            if content is not None:
                self._guard(self._logbook.model_details, live, record, content, live.context(live.base))

    def _message(self, error: BaseException) -> str | None:
        return self._guard(error_text, error) if self._config.capture_errors == "message" else None

    def after_fork(self) -> None:
        """A child process: what is open goes on in the parent, and ends there."""
        for live in self._open.values():
            live.once.clear()
        self._open.clear()

    def abandon_all(self) -> None:
        """End whatever is still open: the process is about to."""
        for live in list(self._open.values()):
            self.end(live, "abandoned")

    def failure(self, error: Any) -> Facts:
        """What is known of an error that is told of rather than raised: its type and what it says.

        A text that is one word is a type, as are an exception's class and a number; of any other the type is not known.
        """
        if isinstance(error, BaseException):
            return {names.ERROR_TYPE: type(error).__name__, names.EXCEPTION_MESSAGE: self._message(error)}
        said = error.__name__ if issubclass(type(error), type) else as_text(error) or clean_id(error)
        if said is None:
            return {names.ERROR_TYPE: "error"}
        if _WORD.fullmatch(said):
            return {names.ERROR_TYPE: said}
        return {names.ERROR_TYPE: "error", names.EXCEPTION_MESSAGE: self._message(Exception(said))}

    def over(self, start: Start, start_ns: int, end_ns: int, error: BaseException | str | None = None) -> None:
        """An operation that is over, told after the fact."""
        scope, base = self._placed(here())
        inside: Live | None = scope.operation
        run = run_of(inside)
        facts = dict(known(start, scope, run))
        around = trace.get_current_span(base).get_span_context()
        around_id = format_span_id(around.span_id) if around.is_valid else None
        failure = {} if error is None else self.failure(error)
        record = Operation(
            "",
            start.kind,
            start.name,
            scope.session_id,
            scope.correlation_id or new_id(),
            start_ns,
            end_ns,
            "ok" if error is None else "error",
            failure.get(names.ERROR_TYPE),
            failure.get(names.EXCEPTION_MESSAGE),
            agent=None if run is None else run.record.name,
            parent_id=around_id if inside is None else inside.record.id,
            user_id=scope.user_id,
            attributes=facts,
        )
        if start.kind == "model":
            amount = self._guard(self._prices.amount, facts, start_ns)
            if amount is not None:
                facts[names.COST] = amount
        self.write(record, base)

    @property
    def prices(self) -> Prices:
        """Of model calls."""
        return self._prices

    def foreign(self, record: Operation) -> None:
        """What a span of another instrumentation tells of: to the ledger alone."""
        self._guard(self._ledger.apply, record)
        self._guard(self.attendance.look)
        for ended in self.attendance.ended[record.kind]:
            self._guard(ended, record, _WHOLE)

    def learn(self, record: Operation) -> None:
        """What another process has ended and written, to our ledger alone."""
        self._guard(self._ledger.apply, record)

    def write(self, record: Operation, base: Context, events: Sequence[Event] = ()) -> Operation:
        """An operation that is over, in both writings at once; its span has these events on it.

        Gives the record as it was written, by the ids of its trace; one without an id has its span's.
        """
        span = self._guard(self._spans.over, record, base)
        around = trace.get_current_span(base).get_span_context()
        written = around if span is None else span.get_span_context()
        if not written.is_valid or written.span_id == around.span_id:
            span, point = None, record.id or os.urandom(8).hex()
        else:
            record = record._replace(trace_id=format_trace_id(written.trace_id))
            point = format_span_id(written.span_id)
        record = record if record.id else record._replace(id=point)
        self._guard(self._ledger.apply, record)
        self._guard(self.attendance.look)
        for ended in self.attendance.ended[record.kind]:
            self._guard(ended, record, _WHOLE)
        if span is not None:
            for event in events:
                self._guard(self._logbook.copy, event, span)
            self._guard(self._spans.end, span, record, {}, None)
        sampled = span is not None and written.trace_flags.sampled
        self._guard(self._instruments.ended, record.with_ids(point, record.trace_id if sampled else None))
        return record

    def tell(self, event: Event, base: Context) -> None:
        """An event to the ledger, as a log event, and onto the span of where it happened."""
        self._guard(self._ledger.apply, event)
        self._guard(self.attendance.look)
        for happened in self.attendance.happened:
            self._guard(happened, event)
        self._guard(self._logbook.event, event, base)

    def event(self, event_type: str, payload: Mapping[str, Any], scope: Scope | None = None) -> None:
        """Something happened: to the ledger, as a log event, and onto the current span.

        Args:
            event_type: one of :data:`tachograph.names.EVENTS`. What an operation carries goes to that operation.
            payload: the fields of that type; of content only an outline is kept, unless it is captured.
            scope: whose it is; by default that of the code that runs now.
        """
        if event_type in self.carried:
            self.carried[event_type](event_type, payload, scope)
            return
        base = here()
        whose = scope or self.scope(base)
        moment_ns = self._clock()
        event = moments.reported(event_type, payload, whose, base=base, moment_ns=moment_ns, capturing=self.capturing)
        if event_type == "agent_switched":
            self._guard(self._instruments.switched, *switch_of(event.payload), base)
        self.tell(event, base)

    def _switched(self, run: Operation, base: Context) -> None:
        event = moments.switched(run, base)
        self._guard(self._instruments.switched, *switch_of(event.payload), base)
        self._logbook.event(event, base)
