"""Ids on everything: what others record inside a session or an operation of ours carries its ids from the start."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

from support.programs import Programs
from tachograph import names, runtime, session
from tachograph.context import Scope, with_scope
from tachograph.guard import Guard
from tachograph.live import Start
from tachograph.processors import LogStamp, SpanStamp
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tachograph.testing import Capture

IDS = {names.SESSION_ID: "s", names.CORRELATION_ID: "c", names.USER_ID: "u"}
"""The ids of :func:`inside`."""


class Witness(SpanProcessor):
    """A processor of the program's own, which looks at spans when they start."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.seen.append(dict(span.attributes or {}))


@contextlib.contextmanager
def inside(where: str) -> Iterator[None]:
    """Inside an explicit session, an operation in one, an operation in none, a scope nobody named, or nothing."""
    recorder = runtime.current().recorder
    with contextlib.ExitStack() as stack:
        if "session" in where:
            stack.enter_context(session("s", correlation_id="c", user_id="u"))
        if "operation" in where:
            live = recorder.begin(Start("agent", "a"))
            stack.callback(otel.detach, otel.attach(live.context()))
            stack.callback(recorder.end, live)
        if "note" in where:
            stack.callback(otel.detach, otel.attach(with_scope(Scope(runtime.current().process_session()))))
        yield


def stamped(attributes: Any) -> dict[str, Any]:
    """The ids among some attributes."""
    wanted = (names.SESSION_ID, names.CORRELATION_ID, names.USER_ID, names.CONVERSATION_ID)
    return {name: value for name, value in dict(attributes or {}).items() if name in wanted}


def foreign(captured: Capture) -> Any:
    """A tracer of somebody else's, on the provider in force."""
    return captured.runtime.providers._explicit.get_tracer("somebody.else")


# ----------------------------------------------------------------------------------------------------------- spans
@pytest.mark.parametrize("where", ["session", "session operation", "operation", "note", ""])
def test_foreign_spans_carry_the_ids_from_their_start(captured: Capture, where: str) -> None:
    """A foreign span has the ids when it starts where a session was named or an operation is around, and only there."""
    captured.runtime.providers.tracer()
    witness = Witness()
    captured.runtime.providers._explicit.add_span_processor(witness)
    with inside(where):
        foreign(captured).start_span("SELECT").end()

    ours = [span for span in captured.spans if span.name == "invoke_agent"]
    expected = {"session": IDS, "session operation": IDS, "note": {}, "": {}}.get(
        where, {name: (ours[0].attributes or {})[name] for name in list(IDS)[:2]} if ours else {}
    )
    (span,) = (span for span in captured.spans if span.name == "SELECT")
    assert expected == stamped(witness.seen[-1]) == stamped(span.attributes)


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        (ALWAYS_ON, None),
        (ParentBased(ALWAYS_ON), None),
        (TraceIdRatioBased(1), "TraceIdRatioBased{1}"),
        (ParentBased(TraceIdRatioBased(1)), "ParentBased{root:TraceIdRatioBased{1},"),
    ],
)
def test_spans_of_ours_say_who_leaves_others_out(sampler: Sampler, said: str | None) -> None:
    """Where a sampler leaves spans out those it leaves in say so, so that whoever reads them knows; theirs do not."""
    with capture(sampler=sampler) as captured:
        with session("s"):
            captured.runtime.recorder.end(captured.runtime.recorder.begin(Start("agent", "a")))
            foreign(captured).start_span("SELECT").end()
        ours, theirs = captured.spans

    found = (ours.attributes or {}).get(names.SAMPLER)
    assert found is said is None or str(found).startswith(str(said))
    assert names.SAMPLER not in (theirs.attributes or {})
    assert all(names.SAMPLER not in record.attributes for record in captured.spans_only.records())


def test_what_the_program_says_itself_stays(captured: Capture) -> None:
    """An id that the program set on its span, when it started it or later, is not overwritten."""
    captured.runtime.providers.tracer()
    with inside("session"):
        foreign(captured).start_span("own", attributes={names.SESSION_ID: "the program's"}).end()
        span = foreign(captured).start_span("later")
        span.set_attribute(names.USER_ID, "the program's")
        span.end()

    own, later = captured.spans
    assert {**IDS, names.SESSION_ID: "the program's"} == stamped(own.attributes)
    assert {**IDS, names.USER_ID: "the program's"} == stamped(later.attributes)


def test_the_context_a_span_is_started_in_decides(captured: Capture) -> None:
    """A span started with a context of its own has that context's ids, not those around the call."""
    captured.runtime.providers.tracer()
    with inside("session"):
        foreign(captured).start_span("elsewhere", context=otel.Context()).end()
        context = otel.get_current()
    foreign(captured).start_span("here", context=context).end()

    assert [{}, IDS] == [stamped(span.attributes) for span in captured.spans]


def test_a_request_from_another_service_is_stamped_by_its_baggage(captured: Capture) -> None:
    """Where nothing is named here, the span of a request that is served has the ids that came with it."""
    captured.runtime.providers.tracer()
    context = otel.Context()
    for name, value in IDS.items():
        context = baggage.set_baggage(name, value, context)
    foreign(captured).start_span("GET /", context=context).end()
    with inside("session"):
        other = baggage.set_baggage(names.SESSION_ID, "theirs")
        foreign(captured).start_span("GET /", context=other).end()

    assert [IDS, IDS] == [stamped(span.attributes) for span in captured.spans]


def test_a_foreign_span_inside_a_conversation_says_so(captured: Capture) -> None:
    """The conversation id is stamped where the session is said to be one."""
    with session("s", conversation=True):
        foreign(captured).start_span("SELECT").end()

    assert {names.SESSION_ID: "s", names.CONVERSATION_ID: "s"} == stamped(captured.spans[0].attributes)


def test_a_session_is_enough_to_be_met(captured: Capture) -> None:
    """The first foreign span of a session has its ids, though nothing of ours has happened before."""
    with inside("session"):
        foreign(captured).start_span("first").end()

    assert IDS == stamped(captured.spans[0].attributes)


def test_a_stopped_stamp_stamps_nothing() -> None:
    """After Tachograph has stopped, the program's spans and log records are its own again."""
    with capture() as captured:
        captured.runtime.providers.tracer()
        provider: Any = captured.runtime.providers._explicit
        context = with_scope(Scope("s", explicit=True))
        provider.get_tracer("somebody.else").start_span("before", context=context).end()
        captured.runtime.providers.shutdown()
        provider.get_tracer("somebody.else").start_span("after", context=context).end()

        assert [{names.SESSION_ID: "s"}, {}] == [stamped(span.attributes) for span in captured.spans]
    stamp, record = LogStamp(Guard(strict=True)), _record(context=context)
    stamp.active = False
    stamp.on_emit(record)
    assert {} == stamped(record.log_record.attributes)


def test_a_stamp_that_fails_costs_the_span_nothing() -> None:
    """A span that refuses our attributes goes its way, and the failure is counted."""

    class Refusing:
        instrumentation_scope = None
        attributes = None

        def set_attribute(self, name: str, value: Any) -> None:
            raise ZeroDivisionError(name)

    guard = Guard()
    SpanStamp(guard).on_start(Refusing(), with_scope(Scope("s", explicit=True)))

    assert {"SpanStamp._stamp": 1} == guard.swallowed()


def test_a_sampler_sees_our_ids_and_names() -> None:
    """Our own spans have ids and names among the attributes that a sampler decides by."""

    class Curious(Sampler):
        def __init__(self) -> None:
            self.seen: list[tuple[str, dict[str, Any]]] = []

        def should_sample(self, parent_context: Any, trace_id: int, name: str, *args: Any, **kwargs: Any) -> Any:
            attributes = next((arg for arg in (*args, *kwargs.values()) if isinstance(arg, dict)), {})
            self.seen.append((name, dict(attributes)))
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

        def get_description(self) -> str:
            return "curious"

    sampler = Curious()
    with capture(sampler=sampler) as captured, inside("session"):
        recorder = captured.runtime.recorder
        facts = {
            names.REQUEST_MODEL: "gpt",
            names.PROVIDER_NAME: "openai",
            names.SERVER_ADDRESS: "host",
            names.SERVER_PORT: 443,
        }
        recorder.end(recorder.begin(Start("model", "gpt", dict(facts))))
        recorder.end(recorder.begin(Start("agent", "a", {names.AGENT_NAME: "a"})))

    assert [
        ("chat gpt", {**IDS, **facts, names.OPERATION_NAME: "chat"}),
        ("invoke_agent a", {**IDS, names.AGENT_NAME: "a", names.OPERATION_NAME: "invoke_agent"}),
    ] == sampler.seen


def test_our_own_spans_are_stamped_by_nobody_else(captured: Capture) -> None:
    """The ids on our own spans are those of their record, also where the record's differ from the surroundings."""
    recorder = captured.runtime.recorder
    with session("inner"):
        inner = recorder.begin(Start("agent", "a"))
    with session("outer", user_id="u", conversation=True):
        recorder.end(recorder.begin(Start("tool", "t", parent=inner)))
        captured.runtime.providers._explicit.get_tracer(names.SCOPE).start_span("ours").end()
    recorder.end(inner)

    tool, ours, agent = (stamped(span.attributes) for span in captured.spans)
    assert ({}, agent) == (ours, tool)
    assert ("inner", {names.SESSION_ID, names.CORRELATION_ID}) == (agent[names.SESSION_ID], agent.keys())


# ------------------------------------------------------------------------------------------------------------ logs
def _record(context: Any = None, **details: Any) -> Any:
    """A log record as the SDK hands it to processors."""
    seen: list[Any] = []

    class Keep(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            seen.append(log_record)

        def shutdown(self) -> None:
            pass

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(Keep())
    provider.get_logger("somebody.else").emit(LogRecord(context=context, body="text", **details))
    return seen[0]


def _logs(emit: Callable[[LoggerProvider], None]) -> list[dict[str, Any]]:
    """The ids on what an exporter behind our stamp gets."""
    exporter: Any = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(LogStamp(Guard(strict=True)))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    emit(provider)
    provider.shutdown()
    return [stamped(log.log_record.attributes) for log in exporter.get_finished_logs()]


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("where", ["session", "session operation", "note", ""])
@pytest.mark.parametrize("attributes", [None, {}, {"own": 1}], ids=["none", "empty", "some"])
def test_log_records_carry_the_ids(where: str, attributes: Any) -> None:
    """A log record emitted inside a session or operation has its ids, with attributes of its own or without."""

    def emit(provider: LoggerProvider) -> None:
        with inside(where):
            record = LogRecord(body="text", severity_number=SeverityNumber.INFO, attributes=attributes)
            provider.get_logger("somebody.else").emit(record)

    assert [IDS if "session" in where else {}] == _logs(emit)
    assert attributes in (None, {}, {"own": 1})


@pytest.mark.usefixtures("captured")
def test_what_a_log_record_says_itself_stays() -> None:
    """An id that a log record brings along is not overwritten."""

    def emit(provider: LoggerProvider) -> None:
        with inside("session"):
            record = LogRecord(body="text", attributes={names.SESSION_ID: "its own"})
            provider.get_logger("somebody.else").emit(record)

    assert [{**IDS, names.SESSION_ID: "its own"}] == _logs(emit)


@pytest.mark.usefixtures("captured")
def test_the_context_a_log_record_names_decides() -> None:
    """A record with a context of its own has that context's ids, not those around the call."""

    def emit(provider: LoggerProvider) -> None:
        logger = provider.get_logger("somebody.else")
        with inside("session"):
            elsewhere = otel.set_value("other", 1, otel.Context())  # an empty one is none to the SDK
            logger.emit(LogRecord(body="text", context=elsewhere))
            context = otel.get_current()
        logger.emit(LogRecord(body="text", context=context))

    assert [{}, IDS] == _logs(emit)


@pytest.mark.usefixtures("captured")
@pytest.mark.filterwarnings("ignore:.*LoggingHandler.*:DeprecationWarning")
def test_the_standard_librarys_logging_is_stamped() -> None:
    """What a program logs as ever, through OpenTelemetry's handler, carries the ids as well."""
    from opentelemetry.sdk._logs import LoggingHandler  # noqa: PLC0415 - deprecated, and may go

    def emit(provider: LoggerProvider) -> None:
        logger = logging.getLogger("somebody.else")
        handler = LoggingHandler(logger_provider=provider)
        logger.addHandler(handler)
        try:
            with inside("session"):
                logger.warning("hello %s", "you")
        finally:
            logger.removeHandler(handler)

    assert [IDS] == _logs(emit)


def test_a_log_stamp_gives_nothing_back() -> None:
    """The stamp holds nothing: it can be flushed and shut down at any time."""
    stamp = LogStamp(Guard(strict=True))
    stamp.shutdown()

    assert stamp.force_flush()
    assert SpanStamp(Guard(strict=True)).force_flush()


# ------------------------------------------------------------------------------------------- before and after us
BEFORE_OR_AFTER = """
import sys
from told import tell
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()

def provide():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

when = sys.argv[1]
if when == "before":
    provide()
if "auto" in when:
    import tachograph.auto
import tachograph
if "auto" not in when:
    tachograph.init()
if when != "before":
    provide()
with tachograph.session("s"):
    trace.get_tracer("somebody.else").start_span("first").end()
trace.get_tracer("somebody.else").start_span("outside").end()
tell(spans=[dict(span.attributes) for span in exporter.get_finished_spans()])
"""


@pytest.mark.parametrize("when", ["before", "after init", "after auto"])
def test_a_provider_may_be_set_before_or_after_us(tmp_path: Path, when: str) -> None:
    """Whether a program sets its provider before or after Tachograph starts, its spans carry the ids."""
    finished = Programs(tmp_path).python(BEFORE_OR_AFTER, when)

    assert {"spans": [{names.SESSION_ID: "s"}, {}]} == finished.told


def test_a_second_provider_is_stamped_as_well() -> None:
    """A runtime given a provider of its own stamps that one; one that is no SDK's is left as it is."""
    provider = TracerProvider(shutdown_on_exit=False)
    with capture() as captured:
        captured.runtime.providers._explicit = provider
        captured.runtime.providers.tracer()
        with session("s"):
            span: Any = provider.get_tracer("somebody.else").start_span("x")

        assert {names.SESSION_ID: "s"} == stamped(span.attributes)
    provider.shutdown()


def test_a_call_in_one_on_another_provider_is_counted_once(captured: Capture) -> None:
    """Spans of several providers may be in each other: what waits, waits for all of them."""
    captured.runtime.providers.tracer()
    other = TracerProvider(shutdown_on_exit=False)
    captured.runtime.providers._stamp(other)
    call = {names.OPERATION_NAME: "chat", names.REQUEST_MODEL: "m"}
    with foreign(captured).start_as_current_span("outer") as outer:
        with other.get_tracer("sdk").start_as_current_span("inner", attributes=call):
            pass
        assert 1 == captured.ledger.total().total_requests
        outer.set_attributes(call)
    other.shutdown()

    assert 1 == captured.ledger.total().total_requests
