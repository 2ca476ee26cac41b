"""What a span says is what the record says."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

import tachograph
from support.records import (
    COUNTED_AT_START,
    FIELD_ATTRIBUTES,
    KINDS,
    OUTCOMES,
    Written,
    events,
    facts,
    identifier,
    operation,
    payloads,
    writings,
)
from tachograph import codec, names
from tachograph.context import Scope, with_scope
from tachograph.live import Live, Start
from tachograph.records import Event
from tachograph.spans import ReadLog, from_sdk
from tachograph.testing import Capture, TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from tachograph.records import Kind
    from tachograph.spans import ReadSpan


class TheseIds(IdGenerator):
    def __init__(self, trace_id: str, span_id: str) -> None:
        self._trace_id = int(trace_id, 16)
        self._span_id = int(span_id, 16)

    def generate_trace_id(self) -> int:
        return self._trace_id

    def generate_span_id(self) -> int:
        return self._span_id


@contextmanager
def tracing(
    trace_id: str | None, span_id: str | None, scope: str = names.SCOPE
) -> Iterator[tuple[Tracer, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    ids = TheseIds(trace_id or "1", span_id or "1")
    provider = TracerProvider(id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer(scope), exporter
    provider.shutdown()


def inside(span_id: str | None, trace_id: str | None) -> Context:
    if span_id is None or trace_id is None:
        return set_span_in_context(NonRecordingSpan(SpanContext(0, 0, is_remote=False)))
    around = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(around))


def span_of(written: Written) -> ReadSpan | None:
    """Write a record as the recorder does: what is known at the start, then what the end adds."""
    record = written.record
    begun = record._replace(
        end_ns=None,
        outcome=None,
        error_type=None,
        error_message=None,
        trace_id=None,
        attributes=written.at_start,
    )
    refused = record.outcome == "refused"
    with tracing(record.trace_id, record.id) as (tracer, exporter):
        span = tracer.start_span(
            codec.span_name(begun, refused=refused),
            inside(written.span_parent_id, record.trace_id),
            attributes=codec.start_attributes(begun, span_parent_id=written.span_parent_id, refused=refused),
            start_time=record.start_ns,
        )
        span.set_attributes(
            codec.end_attributes(record.outcome or "ok", record.error_type, record.error_message, written.at_end)
        )
        if record.outcome == "error":
            span.set_status(Status(StatusCode.ERROR, record.error_message))
        span.end(record.end_ns)
        (ended,) = exporter.get_finished_spans()
    return from_sdk(ended)


def span_with(event: Event, *, name: str | None = None, scope: str = names.SCOPE) -> ReadSpan | None:
    """A span with a copy of an event on it, as the recorder puts it there."""
    with tracing(event.trace_id, event.span_id, scope) as (tracer, exporter):
        span = tracer.start_span("around", inside(None, None))
        span.add_event(name or names.EVENT_PREFIX + event.type, codec.event_attributes(event), event.timestamp_ns)
        span.end()
        (ended,) = exporter.get_finished_spans()
    return from_sdk(ended)


def log_of(event: Event, *, name: str | None = None, without: str = "") -> ReadLog:
    """A log record of an event, as the recorder sends it; one of its attributes may be lost on the way."""
    attributes = {key: value for key, value in codec.event_attributes(event).items() if key != without}
    name = names.EVENT_PREFIX + event.type if name is None else name
    return ReadLog(names.SCOPE, name, event.timestamp_ns, event.trace_id, event.span_id, attributes)


# ----------------------------------------------------------------------------------------------------- the law
@settings(max_examples=400)
@given(writings())
def test_an_operation_read_back_from_its_span_is_the_operation(written: Written) -> None:
    """Of every kind, with every outcome and any facts, the record and the span say the same."""
    assert written.record == codec.operation_from_span(span_of(written))


@settings(max_examples=200)
@given(events())
def test_an_event_read_back_from_its_span_is_the_event(event: Event) -> None:
    """An event of any type, copied onto a span, is read back with its ids, its moment and its payload."""
    assert [event] == list(codec.events_from_span(span_with(event)))


@settings(max_examples=200)
@given(events())
def test_an_event_read_back_from_its_log_record_is_the_event(event: Event) -> None:
    """An event of any type, sent as a log record, is read back with its ids, its moment and its payload."""
    assert event == codec.event_from_log(log_of(event))


def test_what_an_event_does_not_know_is_left_out() -> None:
    """A span cannot hold None, so what is absent has no attribute."""
    event = Event("e", "message_added", "s", None, 1, payload={"reason": None, "known": 1})
    assert codec.event_attributes(event) == {names.EVENT_ID: "e", names.SESSION_ID: "s", "known": 1}


# -------------------------------------------------------------------------------- through the recorder itself
Step = tuple[str, int, int, Any]
KNOWN_AT_START = {*COUNTED_AT_START, names.AGENT_NAME}
DECIDED = {names.APPROVAL_DECISION}  # which nobody but who asked for it says

programs = st.lists(
    st.tuples(st.just("begin"), st.integers(0, 20), st.integers(0, len(KINDS) - 1), facts(without=DECIDED))
    | st.tuples(
        st.just("end"), st.integers(0, 20), st.integers(0, len(OUTCOMES) - 1), facts(without=KNOWN_AT_START | DECIDED)
    )
    | st.tuples(st.just("event"), st.integers(0, 20), st.integers(0, len(names.EVENTS) - 1), payloads),
    max_size=25,
)


def perform(captured: Capture, program: list[Step]) -> None:
    """Let the recorder write what a program of nested and interleaved operations does."""
    recorder = captured.runtime.recorder
    scopes = [Scope("alpha", "r-1", "ada"), Scope("beta"), Scope("beta", "r-2", conversation_id="c")]
    lives: list[Live] = []
    for what, place, pick, details in program:
        around = lives[place] if place < len(lives) else None
        base = with_scope(scopes[place % 3]) if around is None else around.context()
        token = attach(base)
        try:
            if what == "begin":
                kind = KINDS[pick]
                start = Start(kind, f"{kind}-{place % 2}", dict(details), refused=kind == "tool" and place % 5 == 0)
                lives.append(recorder.begin(start))
            elif what == "event":
                if around is not None and around in recorder.open(around.kind):  # else no span can carry it
                    event_type = sorted(names.EVENTS)[pick]
                    asked = {"call_id": f"call-{place % 2}", "decision": "REJECT", "tool_name": "drop"}
                    recorder.event(event_type, asked if event_type in recorder.carried else details)
            elif around is not None:
                error = ValueError("token=hunter2hunter2") if place % 2 else None
                known = {name: value for name, value in details.items() if name not in around.record.attributes}
                recorder.end(around, OUTCOMES[pick], known, error)
        finally:
            detach(token)
    for pending in captured.runtime.approvals.under_way():  # until it is decided there is no span of it
        tachograph.decide(pending.attributes[names.TOOL_CALL_ID], "APPROVE", session_id=pending.session_id)
    recorder.abandon_all()


@settings(max_examples=200)
@example([("begin", 0, 0, {names.APPROVAL_DECISION: ""}), ("event", 0, 0, {})])  # no approval for all that
@given(programs)
def test_the_ledger_of_the_spans_is_the_ledger_of_the_recorder(program: list[Step]) -> None:
    """Whatever the recorder writes, sessions, totals, audit log and timeline had from the spans alone are the same."""
    with capture(clock=TickingClock(), environment=False) as captured:  # which is never sent
        perform(captured, program)
        live, read_back = captured.ledger, captured.spans_only
        assert live.total() == read_back.total()
        assert live.metrics() == read_back.metrics()
        assert live.audit_log() == read_back.audit_log()
        assert live.timeline() == read_back.timeline()
        for session_id in ("alpha", "beta"):
            assert live.session_metrics(session_id) == read_back.session_metrics(session_id)
            assert live.audit_log(session_id=session_id) == read_back.audit_log(session_id=session_id)


# ------------------------------------------------------------------------------------------------ what is what
@pytest.mark.parametrize(
    ("kind", "attributes", "expected"),
    [
        ("agent", {names.AGENT_NAME: "manager"}, "invoke_agent manager"),
        ("agent", {}, "invoke_agent"),
        ("task", {names.WORKFLOW_NAME: "nightly"}, "invoke_workflow nightly"),
        ("plan", {names.AGENT_NAME: "manager"}, "plan manager"),
        ("model", {names.REQUEST_MODEL: "gpt-4.1"}, "chat gpt-4.1"),
        ("tool", {names.TOOL_NAME: "search"}, "execute_tool search"),
        ("code", {}, "execute_code"),
        ("approval", {names.TOOL_NAME: "search"}, "approval search"),
        ("other", {}, "operation"),
    ],
)
def test_spans_are_named_after_the_operation_and_its_subject(
    kind: Kind, attributes: dict[str, str], expected: str
) -> None:
    """A span's name is the conventions' word for the kind, and the subject where an attribute says it."""
    assert expected == codec.span_name(operation(1, kind, "x", attributes=attributes))


def test_a_refused_call_does_not_look_like_an_execution() -> None:
    """A tool call that never ran has neither the operation name nor the span name of one that did."""
    refused = operation(1, "tool", "made_up", outcome="refused", attributes={names.TOOL_NAME: "made_up"})
    attributes = codec.start_attributes(refused, span_parent_id=None, refused=True)
    assert (
        codec.span_name(refused, refused=True),
        attributes.get(names.OPERATION_NAME),
        attributes[names.KIND],
    ) == ("refused_tool", None, "tool")


def test_only_a_failure_is_an_error_on_the_span() -> None:
    """Of all outcomes only ok and error need no attribute: one is the rule, the other the span's status."""
    said = {outcome: codec.end_attributes(outcome, None, "why", {}) for outcome in OUTCOMES}
    assert {
        outcome: {} if outcome in ("ok", "error") else {names.OUTCOME: outcome, names.EXCEPTION_MESSAGE: "why"}
        for outcome in OUTCOMES
    } == said


def test_the_parent_is_spelled_out_only_where_the_span_has_another() -> None:
    """An operation whose parent is its span's parent does not repeat it."""
    child = operation(2, parent=1)
    assert (None, identifier(1), identifier(1)) == tuple(
        codec.start_attributes(child, span_parent_id=around).get(names.PARENT_ID)
        for around in (identifier(1), identifier(9), None)
    )


def test_what_is_a_field_is_no_attribute() -> None:
    """The record's attributes hold nothing that its fields say, and each such attribute is in the table of names."""
    assert FIELD_ATTRIBUTES == codec._FIELDS
    assert names.ATTRIBUTES.keys() >= FIELD_ATTRIBUTES


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        ("somebody.else", {names.OPERATION_NAME: "chat"}),
        (names.SCOPE, {}),
        (names.SCOPE, {names.KIND: "no such kind"}),
        (names.SCOPE, {names.OPERATION_NAME: "embeddings"}),
    ],
)
def test_a_span_that_is_not_ours_is_no_operation(scope: str, attributes: dict[str, str]) -> None:
    """A span of another scope, or of no kind we know, is passed over."""
    with tracing("1", "1", scope) as (tracer, exporter):
        tracer.start_span("x", attributes=attributes).end()
        (span,) = exporter.get_finished_spans()
    assert codec.operation_from_span(from_sdk(span)) is None


@pytest.mark.parametrize("name", ["message_added", "tachograph.no_such_type", "exception", "tachograph."])
def test_a_span_event_that_is_not_ours_is_no_event(name: str) -> None:
    """Events of other names, even of our types without the prefix or with the prefix alone, are passed over."""
    event = Event("e", "message_added", "s", None, 1, trace_id="1", span_id="1")
    assert list(codec.events_from_span(span_with(event, name=name))) == []


def test_a_foreign_span_carries_our_events() -> None:
    """An event copied onto a span of the host's own is read back from there."""
    event = Event("e", "message_added", "s", "r", 1, trace_id=f"{1:032x}", span_id=identifier(1))
    assert [event] == list(codec.events_from_span(span_with(event, scope="host")))


@pytest.mark.parametrize("name", ["", "message_added", "tachograph.no_such_type", names.MODEL_EXCEPTION])
def test_a_log_record_that_is_none_of_our_events_is_no_event(name: str) -> None:
    """Log records of other names, an exception's among them, are passed over."""
    assert codec.event_from_log(log_of(Event("e", "message_added", "s", None, 1), name=name)) is None


def test_copies_of_an_event_without_its_id_are_one_event() -> None:
    """An event that lost its id on the way is known by what it says: repeats are the same, others are not."""
    first, second = (Event("e", "message_added", "s", "r", 1, payload={"note": note}) for note in ("a", "b"))
    found = [codec.event_from_log(log_of(event, without=names.EVENT_ID)) for event in (first, first, second)]
    assert found[0] == found[1]
    assert found[0].id != found[2].id
    assert first == found[0]._replace(id="e")


@pytest.mark.parametrize("correlation_id", ["r", None])
def test_what_never_had_a_trace_is_read_back_without_one(correlation_id: str | None) -> None:
    """Under the trace id that stands in for none, an event is written, and read back as it was."""
    event = Event("e", "message_added", "s", correlation_id, 1, span_id=identifier(1))
    written = log_of(event)._replace(trace_id=codec.stand_in_trace("s", correlation_id))
    assert event == codec.event_from_log(written)


def test_numbers_that_a_store_kept_as_text_are_numbers() -> None:
    """Attributes are of the types the table of names gives them, however they were kept."""
    written = operation(1, attributes={names.INPUT_TOKENS: 12, names.REQUEST_STREAM: True, "host.note": "7"})
    span = span_of(Written(written._replace(trace_id=f"{1:032x}"), written.attributes, {}, None))
    as_text = {name: str(value).lower() if type(value) is not str else value for name, value in span.attributes.items()}
    assert written.attributes == codec.operation_from_span(span._replace(attributes=as_text)).attributes


def test_a_span_that_has_not_ended_is_an_open_operation() -> None:
    """Without an end there is no outcome yet, and an end before the start is the start."""
    written = operation(1, trace_id=f"{1:032x}")
    span = span_of(Written(written, {}, {}, None))
    still_open = codec.operation_from_span(span._replace(end_ns=None))
    assert (None, None) == (still_open.end_ns, still_open.outcome)
    assert span.start_ns == codec.operation_from_span(span._replace(end_ns=span.start_ns - 5)).end_ns
