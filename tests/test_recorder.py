"""From facts to the two writings: whose they are, how they end, and that neither costs the other anything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from tachograph import correlation, names, runtime, session
from tachograph.codec import operation_from_span
from tachograph.config import Config
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.live import Start
from tachograph.runtime.assembly import Runtime
from tachograph.spans import from_sdk
from tachograph.testing import TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tachograph.live import Live
    from tachograph.recorder import Recorder
    from tachograph.records import Operation
    from tachograph.testing import Capture


@contextlib.contextmanager
def inside(live: Live) -> Iterator[Live]:
    """What is done in the block is done inside an operation."""
    token = otel.attach(live.context())
    try:
        yield live
    finally:
        otel.detach(token)


@contextlib.contextmanager
def operation(recorder: Recorder, kind: Any = "agent", name: str = "a", **details: Any) -> Iterator[Live]:
    """An operation around the block, which ends as the block does."""
    live = recorder.begin(Start(kind, name, **details))
    try:
        with inside(live):
            yield live
    except BaseException as error:
        recorder.end(live, "error", error=error)
        raise
    recorder.end(live)


def ended(captured: Capture) -> dict[str, Operation]:
    """The ledger's ended operations by name."""
    return {record.name: record for record in captured.ledger._records() if hasattr(record, "kind")}


def attributes(captured: Capture, name: str) -> dict[str, Any]:
    """Attributes of the span with that name."""
    (span,) = (span for span in captured.spans if span.name == name)
    return dict(span.attributes or {})


# ------------------------------------------------------------------------------------------------- what belongs to what
def test_operations_belong_to_those_around_them(captured: Capture) -> None:
    """An operation's parent is the one it happened in, its agent the nearest run, its request the outermost's."""
    recorder = captured.runtime.recorder
    with (
        operation(recorder, "agent", "outer") as outer,
        operation(recorder, "tool", "t") as tool,
        operation(recorder, "agent", "inner") as inner,
        operation(recorder, "model", "m") as model,
    ):
        pass
    records = [live.record for live in (outer, tool, inner, model)]

    assert [None, *(record.id for record in records[:3])] == [record.parent_id for record in records]
    assert [None, "outer", "outer", "inner"] == [record.agent for record in records]
    assert 1 == len({record.correlation_id for record in records}) == len({record.trace_id for record in records})
    assert [None, None, True, None] == [record.attributes.get(names.NESTED) for record in records]
    assert [record.id for record in records] == [record.span_id for record in records]


@pytest.mark.parametrize("around", ["agent", "task", "tool"])
def test_what_begins_after_what_was_around_is_no_part_of_it(captured: Capture, around: str) -> None:
    """A run in a context that was left behind, as in timers, is nested in nothing, and of no task, that is over."""
    recorder = captured.runtime.recorder
    with operation(recorder, "task", "t"), operation(recorder, "agent", "a"):
        with operation(recorder, around, "x") as left:
            pass
        with inside(left), operation(recorder, "agent", "within") as within:
            pass
    with inside(left), operation(recorder, "agent", "after") as after:
        pass

    assert (True, None) == tuple(within.record.attributes.get(name) for name in (names.NESTED, names.TASK_ID))
    assert {} == after.record.attributes
    assert [left.record.id] * 2 == [within.record.parent_id, after.record.parent_id]


def test_what_begins_in_what_was_left_behind_holds_on_to_nothing(captured: Capture) -> None:
    """Work that puts off its own repetition, each in the context of the one before, keeps no more than a few."""
    known: list[weakref.ref[Live]] = []

    async def main() -> int:
        def go_on() -> None:
            with operation(captured.runtime.recorder) as live:
                known.append(weakref.ref(live))
                loop.call_soon(go_on if len(known) < 30 else count)

        def count() -> None:
            gc.collect()
            kept.set_result(sum(live() is not None for live in known))

        loop = asyncio.get_running_loop()
        kept: asyncio.Future[int] = loop.create_future()
        loop.call_soon(go_on)
        return await kept

    assert asyncio.run(main()) <= 3
    assert 30 == captured.ledger.total().tasks


def test_a_foreign_span_between_is_the_spans_parent_and_not_the_operations(captured: Capture) -> None:
    """The enclosing operation is spelled out where a foreign span lies between, and only there."""
    recorder = captured.runtime.recorder
    tracer = captured.runtime.providers._explicit.get_tracer("somebody.else")
    with (
        operation(recorder, "agent", "a") as agent,
        tracer.start_as_current_span("HTTP") as between,
        operation(recorder, "tool", "t", facts={names.TOOL_NAME: "t"}) as tool,
    ):
        pass

    spans = {span.name: span for span in captured.spans}
    assert between.get_span_context().span_id == spans["execute_tool t"].parent.span_id
    assert agent.record.id == tool.record.parent_id == attributes(captured, "execute_tool t")[names.PARENT_ID]
    assert names.PARENT_ID not in attributes(captured, "invoke_agent")


def test_a_foreign_span_around_everything_is_the_parent(captured: Capture) -> None:
    """Work inside a span of the program's own has that span as its parent, in span and ledger."""
    tracer = captured.runtime.providers._explicit.get_tracer("somebody.else")
    with tracer.start_as_current_span("request") as around, operation(captured.runtime.recorder) as live:
        pass

    assert f"{around.get_span_context().span_id:016x}" == live.record.parent_id
    assert names.PARENT_ID not in attributes(captured, "invoke_agent")


def test_a_parent_that_is_named_is_the_parent_in_any_thread(captured: Capture) -> None:
    """Where context was lost but the parent is known, session, request, trace and agent are the parent's."""
    recorder = captured.runtime.recorder
    found: list[Live] = []

    def elsewhere() -> None:
        found.append(recorder.begin(Start("tool", "t", parent=agent)))
        recorder.end(found[0])

    with session("s", user_id="u"), operation(recorder) as agent:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    record, parent = found[0].record, agent.record
    assert (parent.id, parent.trace_id, "s", "u", parent.correlation_id, "a") == (
        record.parent_id,
        record.trace_id,
        record.session_id,
        record.user_id,
        record.correlation_id,
        record.agent,
    )


def test_each_outermost_operation_is_a_request_of_its_own(captured: Capture) -> None:
    """The correlation id is minted by the outermost operation and kept by everything inside it."""
    recorder = captured.runtime.recorder
    seen = []
    for _ in range(2):
        with operation(recorder) as outer, operation(recorder, "tool", "t") as inner:
            seen.append((outer.record.correlation_id, inner.record.correlation_id))

    assert [True, True] == [outer == inner for outer, inner in seen]
    assert seen[0] != seen[1]


def test_all_that_is_open_is_known_by_its_kind(captured: Capture) -> None:
    """``open`` gives the operations of a kind under way, in any thread, and none that has ended."""
    recorder = captured.runtime.recorder
    with operation(recorder, "agent", "a") as agent, operation(recorder, "tool", "t") as tool:
        assert ([agent], [tool], []) == (recorder.open("agent"), recorder.open("tool"), recorder.open("model"))

    assert [] == recorder.open("agent")


# ------------------------------------------------------------------------------------------------------------ the end
def test_a_second_end_changes_nothing(captured: Capture) -> None:
    """An operation that ended stays as it ended, in span, ledger and metrics."""
    recorder = captured.runtime.recorder
    live = recorder.begin(Start("tool", "t"))
    recorder.end(live, "ok", {names.STEP: 1})
    recorder.end(live, "error", {names.STEP: 2}, ValueError("late"))
    recorder.abandon_all()

    (span,) = captured.spans
    assert (StatusCode.UNSET, 1) == (span.status.status_code, (span.attributes or {})[names.STEP])
    tool = captured.ledger.total().tools["t"]
    assert (1, 1, 0) == (tool["requested"], tool["completed"], tool["failed"])
    assert 1 == sum(point.count for name, _, point in captured.points() if name == names.TOOL_DURATION)


def test_facts_add_up(captured: Capture) -> None:
    """Facts known at the start, learned on the way and at the end are one; unknown ones take nothing back."""
    recorder = captured.runtime.recorder
    live = recorder.begin(Start("model", "m", {names.REQUEST_MODEL: "m", names.RESPONSE_ID: None}))
    live.add({names.RESPONSE_ID: "r1", names.INPUT_TOKENS: 1})
    live.add({names.RESPONSE_ID: None, names.OUTPUT_TOKENS: 0})
    recorder.end(live, "ok", {names.INPUT_TOKENS: 2, names.CACHED_TOKENS: None, names.OUTCOME: "max_steps"})

    record = ended(captured)["m"]
    assert {names.REQUEST_MODEL: "m", names.RESPONSE_ID: "r1", names.INPUT_TOKENS: 2, names.OUTPUT_TOKENS: 0} == dict(
        record.attributes
    )
    assert "max_steps" == record.outcome == attributes(captured, "chat m")[names.OUTCOME]
    assert record == operation_from_span(from_sdk(captured.spans[0]))


def test_a_clock_that_goes_back_makes_no_negative_time() -> None:
    """An operation ends no earlier than it began."""
    readings = iter((2_000, 1_000))
    with capture(clock=lambda: next(readings)) as captured:
        recorder = captured.runtime.recorder
        recorder.end(recorder.begin(Start("tool", "t")))

        assert (2_000, 2_000) == (captured.spans[0].start_time, captured.spans[0].end_time)
        assert 0 == ended(captured)["t"].duration_ns


def test_open_operations_are_bounded() -> None:
    """Beyond the bound the oldest open operation ends as lost, and stays ended."""
    with capture(max_open=2) as captured:
        recorder = captured.runtime.recorder
        lives = [recorder.begin(Start("tool", f"t{n}")) for n in range(4)]
        assert ["t2", "t3"] == [live.record.name for live in recorder.open("tool")]
        for live in lives:
            recorder.end(live)

        assert ["lost", "lost", "ok", "ok"] == [ended(captured)[f"t{n}"].outcome for n in range(4)]
        assert 4 == len(captured.spans)


def test_what_is_open_at_the_end_is_abandoned(captured: Capture) -> None:
    """``abandon_all`` ends everything open, once, in any order of begin."""
    recorder = captured.runtime.recorder
    with operation(recorder) as agent:
        live = recorder.begin(Start("tool", "t"))
        recorder.abandon_all()
    recorder.end(live)

    assert {"a": "abandoned", "t": "abandoned"} == {name: record.outcome for name, record in ended(captured).items()}
    assert agent.record.id == live.record.parent_id


@pytest.mark.parametrize(("capture_errors", "message"), [("message", "no such key=[redacted]"), ("type", None)])
def test_an_errors_text_leaves_redacted_or_not_at_all(capture_errors: str, message: str | None) -> None:
    """What an exception says is masked, or with ``capture_errors="type"`` is written nowhere."""
    with capture(capture_errors=capture_errors) as captured:
        recorder = captured.runtime.recorder
        recorder.end(recorder.begin(Start("model", "m")), "error", error=ValueError("no such key=abcdef1234"))
        message = message and "no such key=abcdef1234"

        (log,) = captured.logs
        written = repr([captured.spans[0].to_json(), log.to_json(), captured.ledger.total().to_dict()])
        assert (message in written) if message else ("abcdef" not in written)
        assert "ValueError" == ended(captured)["m"].error_type
        assert message == ended(captured)["m"].error_message == captured.spans[0].status.description


def test_an_error_without_text_is_an_error() -> None:
    """An exception whose own text raises is recorded by its type."""

    class Broken(Exception):  # noqa: N818 - its name is no matter
        def __str__(self) -> str:
            raise ZeroDivisionError("the host's")

    with capture(strict=False) as captured:
        recorder = captured.runtime.recorder
        recorder.end(recorder.begin(Start("tool", "t")), "error", error=Broken())

        assert ("Broken", None) == (ended(captured)["t"].error_type, ended(captured)["t"].error_message)
        assert StatusCode.ERROR is captured.spans[0].status.status_code
        assert {"error_text": 1} == captured.runtime.guard.swallowed()


# -------------------------------------------------------------------------------------------------- whose failure it is
def _same(inner: BaseException) -> BaseException:
    return inner


def _from(inner: BaseException) -> BaseException:
    outer = RuntimeError("outer")
    outer.__cause__ = inner
    return outer


def _while_handling(inner: BaseException) -> BaseException:
    try:
        try:
            raise inner
        except type(inner):
            raise RuntimeError("outer")  # noqa: B904 - the context is the point
    except RuntimeError as outer:
        return outer


def _from_none(inner: BaseException) -> BaseException:
    try:
        try:
            raise inner
        except type(inner):
            raise RuntimeError("outer") from None
    except RuntimeError as outer:
        return outer


def _deep(inner: BaseException) -> BaseException:
    for depth in range(40):
        inner = (_from, _while_handling)[depth % 2](inner)
    return inner


def _in_a_circle(inner: BaseException) -> BaseException:
    outer, other = RuntimeError("outer"), RuntimeError("other")
    outer.__cause__, other.__cause__, other.__context__ = other, outer, inner
    return outer


def _unrelated(_: BaseException) -> BaseException:
    return RuntimeError("outer")


def _circle_without(_: BaseException) -> BaseException:
    outer, other = RuntimeError("outer"), RuntimeError("other")
    outer.__cause__, other.__cause__ = other, outer
    return outer


def _endless(_: BaseException) -> BaseException:
    outer = RuntimeError("last")
    for _depth in range(10_000):
        outer, before = RuntimeError("outer"), outer
        outer.__cause__ = before
    return outer


@pytest.mark.parametrize("between", ["nothing", "a tool", "another run"])
@pytest.mark.parametrize(
    ("hand_up", "roots"),
    [
        (_same, 1),
        (_from, 1),
        (_while_handling, 1),
        (_from_none, 1),
        (_deep, 1),
        (_in_a_circle, 1),
        (_unrelated, 2),
        (_circle_without, 2),
        (_endless, 2),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)).strip("_"),
)
def test_a_failure_handed_up_counts_once(
    captured: Capture, hand_up: Callable[[BaseException], BaseException], roots: int, between: str
) -> None:
    """A failure that passes through several runs, as itself, as cause or as context, is one root cause."""
    recorder = captured.runtime.recorder
    inner = LookupError("inner")
    outer = hand_up(inner)
    with contextlib.suppress(RuntimeError, LookupError), operation(recorder, "agent", "outer"):
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(LookupError))
            if between == "a tool":
                stack.enter_context(operation(recorder, "tool", "t"))
            elif between == "another run":
                stack.enter_context(operation(recorder, "agent", "middle"))
            stack.enter_context(operation(recorder, "agent", "inner"))
            raise inner
        raise outer

    for ledger in (captured.ledger, captured.spans_only):
        total = ledger.total()
        layers = {"inner", "outer", "middle"} if between == "another run" else {"inner", "outer"}
        assert (roots, layers) == (total.errors, set(total.errors_by_agent))
        assert {1} == {count for types in total.errors_by_agent.values() for count in types.values()}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no task groups here")
def test_what_a_task_group_raises_is_handed_up(captured: Capture) -> None:
    """A run that fails with the group of its workers' failures has none of its own: each worker's is a root cause."""
    recorder = captured.runtime.recorder

    async def work(number: int) -> None:
        with operation(recorder, "agent", "worker"):
            raise LookupError(number)

    async def manage() -> None:
        with operation(recorder, "agent", "manager"):
            async with asyncio.TaskGroup() as group:
                for number in range(2):
                    group.create_task(work(number))

    with pytest.raises(Exception, match="unhandled errors in a TaskGroup"):
        asyncio.run(manage())

    for ledger in (captured.ledger, captured.spans_only):
        total = ledger.total()
        assert 2 == total.errors
        assert {"worker": {"LookupError": 2}, "manager": {"ExceptionGroup": 1}} == total.errors_by_agent


def test_a_failure_that_was_mended_is_not_the_next_ones(captured: Capture) -> None:
    """A run that goes on after a nested failure and fails later of its own is two root causes; a good one is one."""
    recorder = captured.runtime.recorder
    for last in (None, RuntimeError("own")):
        with contextlib.suppress(RuntimeError), operation(recorder, "agent", "outer"):
            with contextlib.suppress(LookupError), operation(recorder, "agent", "inner"):
                raise LookupError("inner")
            if last is not None:
                raise last

    assert 3 == captured.ledger.total().errors


def test_failures_are_kept_no_longer_than_the_run(captured: Capture) -> None:
    """To tell handed-up failures from own ones a run keeps a few exceptions, and lets them go when it ends."""
    recorder = captured.runtime.recorder
    with operation(recorder, "agent", "outer") as outer:
        failures = []
        for n in range(40):
            failures.append(LookupError(n))
            with contextlib.suppress(LookupError), operation(recorder, "agent", "inner"):
                raise failures[-1]
        assert 16 == len(outer.failures)
        assert failures[-16:] == outer.failures

    assert not outer.failures


# ----------------------------------------------------------------------------------------------- each write by itself
def refuse(*_: Any, **__: Any) -> Any:
    """What a part of OpenTelemetry does that raises whatever is asked of it."""
    raise ZeroDivisionError("refused")


class RefusingSpans(SpanProcessor):
    on_end = refuse


class RefusingStarts(SpanProcessor):
    on_start = refuse


class RefusingLogs(LogRecordProcessor):
    on_emit = refuse

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class RefusingTracers(trace.TracerProvider):
    get_tracer = refuse


class RefusingTracer(trace.NoOpTracer):
    start_span = refuse


class RefusingTracerProvider(trace.TracerProvider):
    def get_tracer(self, *_: Any, **__: Any) -> Any:
        return RefusingTracer()


class RefusingLedger(Ledger):
    apply = refuse


def _everything(recorder: Recorder) -> None:
    """A run inside a run that fails, a switch, a model call, an event: every write there is."""
    facts = {names.SWITCH_FROM: "outer", names.SWITCH_TO: "inner", names.AGENT_NAME: "inner"}
    with session("s", correlation_id="c"), operation(recorder, "agent", "outer"):
        recorder.event("message_added", {"role": "user"})
        inner = operation(recorder, "agent", "inner", facts=facts)
        with contextlib.suppress(TimeoutError), inner, operation(recorder, "model", "m"):
            raise TimeoutError("late")


def _writings(refused: str) -> dict[str, int]:
    """How much of :func:`_everything` arrives where, when one part refuses everything."""
    with capture() as working:
        tracing: Any = working.runtime.providers._explicit
        logging: Any = working.runtime.providers._logger_provider
        metering: Any = working.runtime.providers._meter_provider
        if refused == "exporter":
            tracing.add_span_processor(RefusingSpans())
        elif refused == "span processor":
            tracing.add_span_processor(RefusingStarts())
        elif refused == "logger":
            logging.add_log_record_processor(RefusingLogs())
        recording = Runtime(
            Config.read({}, environ={}),
            tracer_provider={"tracer provider": RefusingTracers, "tracer": RefusingTracerProvider}.get(
                refused, lambda: tracing
            )(),
            logger_provider=logging,
            meter_provider=metering,
            ledger=RefusingLedger() if refused == "ledger" else None,
            guard=Guard(),
        )
        recording.started = True
        if refused == "meter":
            for name in ("record", "add"):
                for made in recording.instruments._made.values():
                    if hasattr(made, name):
                        setattr(made, name, refuse)
        before = runtime.install(recording)
        try:
            _everything(recording.recorder)
        finally:
            runtime.install(before)
        total = recording.ledger.total()
        histograms = [point.count for _, _, point in working.points() if hasattr(point, "bucket_counts")]
        return {
            "ledger": total.agent_runs + total.total_requests + total.agent_switches + total.errors,
            "spans": len(working.spans),
            "events on spans": sum(len(span.events) for span in working.spans),
            "log events": len(working.logs),
            "durations": sum(histograms),
            "swallowed": int(bool(recording.guard.swallowed())),
        }


WHOLE = {"ledger": 5, "spans": 3, "events on spans": 2, "log events": 3, "durations": 3, "swallowed": 0}


@pytest.mark.parametrize(
    ("refused", "lost"),
    [
        ("nothing", {}),
        ("exporter", {}),
        ("span processor", {"spans": 0, "events on spans": 0}),
        ("tracer provider", {"spans": 0, "events on spans": 0}),
        ("tracer", {"spans": 0, "events on spans": 0}),
        ("logger", {}),
        ("meter", {"durations": 0}),
        ("ledger", {"ledger": 0}),
    ],
)
def test_each_write_is_guarded_by_itself(refused: str, lost: dict[str, int]) -> None:
    """Whatever part refuses, the other writings are complete, the host goes on, and the failure is counted."""
    assert {**WHOLE, **lost, "swallowed": int(refused != "nothing")} == _writings(refused)


# ---------------------------------------------------------------------------------------------- with and without an SDK
def _script(recorder: Recorder) -> None:
    """A history with every kind of operation and end, in two sessions."""
    for name in ("one", "two"):
        with session(name, correlation_id=f"c {name}", user_id="u"), operation(recorder, "agent", "boss"):
            model = recorder.begin(Start("model", "gpt", {names.REQUEST_MODEL: "gpt"}))
            recorder.end(model, "ok", {names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 3, names.RESPONSE_TOOL_CALLS: 1})
            with contextlib.suppress(LookupError), operation(recorder, "tool", "search"):
                raise LookupError("no")
            recorder.end(recorder.begin(Start("tool", "gone", refused=True)), "refused", error=ValueError("no"))
            switch = {names.SWITCH_FROM: "boss", names.SWITCH_TO: "clerk"}
            clerk = operation(recorder, "agent", "clerk", facts=switch)
            with contextlib.suppress(TimeoutError), clerk, operation(recorder, "model", "gpt"):
                raise TimeoutError("late")
            recorder.event("message_added", {"role": "user"})
            with correlation(f"d {name}"):
                recorder.end(recorder.begin(Start("code", "python")), "abandoned")


TIMELINE = ("offset_ms", "depth", "kind", "name", "duration_ms", "outcome", "error_type", "total_tokens")


def _answers(ledger: Ledger) -> Any:
    """All that a ledger answers, but for the ids that are made up."""
    made_up = ("event_id", "trace_id", "span_id", "task_id")
    audit = [{name: value for name, value in entry.items() if name not in made_up} for entry in ledger.audit_log()]
    rows = [tuple(getattr(entry, name) for name in TIMELINE) for entry in ledger.timeline().entries]
    stats = ledger.stats()
    return [
        [ledger.session_metrics(name).to_dict() for name in ledger.sessions()],
        [ledger.session_metrics("one", "c one").to_dict(), ledger.session_metrics("one", "d one").to_dict()],
        ledger.metrics().to_dict(),
        audit,
        sorted(rows, key=lambda row: row[0]),
        {name: stats[name] for name in ("sessions", "records", "open_operations")},
    ]


class EveryThird(Sampler):
    """Keeps a span in three, without a look at its parent: what it leaves has holes everywhere."""

    def __init__(self) -> None:
        self.turns = itertools.cycle([Decision.DROP, Decision.RECORD_AND_SAMPLE, Decision.RECORD_ONLY])

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        return SamplingResult(next(self.turns))

    def get_description(self) -> str:
        return "every third"


SDKS: dict[str, dict[str, Any]] = {
    "always off": {"sampler": ALWAYS_OFF},
    "every third span": {"sampler": EveryThird()},
    "hardly any trace": {"sampler": TraceIdRatioBased(2.0**-64)},
    "by the parent": {"sampler": ParentBased(ALWAYS_OFF)},
    "no SDK": {"sdk": False},
}


@pytest.mark.parametrize("sdk", SDKS)
def test_the_ledger_does_not_depend_on_what_is_exported(sdk: str) -> None:
    """Sampled out, exported nowhere or with no SDK at all: the ledger answers the same to the last figure."""
    with capture(clock=TickingClock(), sampler=ALWAYS_ON) as complete:
        _script(complete.runtime.recorder)
    with capture(clock=TickingClock(), **SDKS[sdk]) as captured:
        _script(captured.runtime.recorder)

    assert 14 == len(complete.spans)
    assert len(captured.spans) < 14 // 2
    assert _answers(complete.ledger) == _answers(captured.ledger)


REMOTE = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


@pytest.mark.parametrize("sdk", [True, False], ids=["SDK", "no SDK"])
@pytest.mark.parametrize("remote", [True, False], ids=["remote", "local"])
def test_a_parent_elsewhere_is_a_parent_and_nothing_more(*, sdk: bool, remote: bool) -> None:
    """Inside a span of another service, with or without an SDK, operations have ids and parents of their own."""
    context = SpanContext(REMOTE.trace_id, REMOTE.span_id, is_remote=remote, trace_flags=REMOTE.trace_flags)
    token = otel.attach(trace.set_span_in_context(NonRecordingSpan(context)))
    try:
        with capture(sdk=sdk) as captured:
            recorder = captured.runtime.recorder
            with operation(recorder, "agent", "outer") as outer, operation(recorder, "tool", "inner") as inner:
                pass
    finally:
        otel.detach(token)

    assert f"{REMOTE.span_id:016x}" == outer.record.parent_id
    assert outer.record.id == inner.record.parent_id
    assert 3 == len({outer.record.id, inner.record.id, f"{REMOTE.span_id:016x}"})
    assert {f"{REMOTE.trace_id:032x}" if sdk else None} == {outer.record.trace_id, inner.record.trace_id}
    assert (outer.record.id if sdk else None) == outer.record.span_id
    assert ["outer", "inner"] == [entry.name for entry in captured.ledger.timeline().entries]
    assert [0, 1] == [entry.depth for entry in captured.ledger.timeline().entries]


# ----------------------------------------------------------------------------------------------------------- events
@pytest.mark.parametrize("span_events", [True, False])
def test_an_event_is_written_three_times_or_two(*, span_events: bool) -> None:
    """An event goes to the ledger, as a log event, and onto the span around it unless that is switched off."""
    with capture(span_events=span_events) as captured:
        recorder = captured.runtime.recorder
        with session("s"), operation(recorder) as live:
            recorder.event("message_added", {"role": "user", "empty": None})
        (entry,) = captured.ledger.audit_log(event_type="message_added")
        log = next(log for log in captured.logs if log.log_record.event_name == "tachograph.message_added")

        assert ("s", "user", live.record.id) == (entry["session_id"], entry["role"], entry["span_id"])
        assert entry["event_id"] == (log.log_record.attributes or {})["tachograph.event.id"]
        assert "empty" not in (log.log_record.attributes or {})
        assert live.record.id == f"{log.log_record.span_id or 0:016x}"
        copies = [event.name for event in captured.spans[0].events]
        assert (["tachograph.message_added"] if span_events else []) == copies
        assert (1 if span_events else 0) == len(captured.spans_only.audit_log(event_type="message_added"))


def test_a_switch_is_one_fact(captured: Capture) -> None:
    """A hand-over is counted once, though operation, log event and span copy all tell of it."""
    recorder = captured.runtime.recorder
    with session("s"), operation(recorder, "agent", "boss"):
        facts = {names.SWITCH_FROM: "boss", names.SWITCH_TO: "clerk", names.SWITCH_REASON: "asked"}
        with operation(recorder, "agent", "clerk", facts=facts):
            pass

    for ledger in (captured.ledger, captured.spans_only):
        assert {"boss_to_clerk": 1} == ledger.session_metrics("s").switches
        (entry,) = ledger.audit_log(event_type="agent_switched")
        assert ("boss", "clerk", "asked") == (entry["from_agent"], entry["to_agent"], entry["reason"])
    assert ["tachograph.agent_switched"] == [log.log_record.event_name for log in captured.logs]


def test_a_failed_model_call_is_a_log_event(captured: Capture) -> None:
    """An exception that left a model call is a log event of the conventions, on the call's span; others are none."""
    recorder = captured.runtime.recorder
    with session("s", correlation_id="c"):
        live = recorder.begin(Start("model", "m"))
        recorder.end(live, "error", error=TimeoutError("late"))
        recorder.end(recorder.begin(Start("model", "m")), "interrupted", error=KeyboardInterrupt())
        recorder.end(recorder.begin(Start("tool", "t")), "error", error=TimeoutError("late"))

    (log,) = captured.logs
    assert "gen_ai.client.operation.exception" == log.log_record.event_name
    assert live.record.id == f"{log.log_record.span_id or 0:016x}"
    assert {
        "exception.type": "TimeoutError",
        "exception.message": "late",
        "session.id": "s",
        "tachograph.correlation.id": "c",
    } == dict(log.log_record.attributes or {})


def test_a_things_first_sight_is_by_identity(captured: Capture) -> None:
    """An object is new once; an equal one is another, and one that is gone is forgotten."""

    class Agent:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared")

        __hash__ = None

    recorder = captured.runtime.recorder
    one, other = Agent(), Agent()

    assert [True, False, True] == [recorder.first_sight(thing) for thing in (one, one, other)]
    del one, other
    assert 0 == len(recorder._sighted)


def test_a_forked_child_has_nothing_open(captured: Capture) -> None:
    """What was open when a process was forked ends in the parent; in the child there is nothing to end."""
    recorder = captured.runtime.recorder
    live = recorder.begin(Start("agent", "a"))
    recorder.after_fork()
    recorder.abandon_all()
    recorder.end(live)

    assert () == captured.spans
    assert [] == recorder.open("agent")


def test_providers_of_any_make_are_written_to() -> None:
    """Explicit providers are the ones written to, whatever the global ones are."""
    tracing, metering, logging = TracerProvider(), MeterProvider(), LoggerProvider()
    recording = Runtime(
        Config.read({}, environ={}),
        tracer_provider=tracing,
        meter_provider=metering,
        logger_provider=logging,
        guard=Guard(strict=True),
    )
    live = recording.recorder.begin(Start("agent", "a"))
    recording.recorder.end(live)

    assert live.span is not None
    assert live.record.trace_id is not None
    recording.stop()
    for provider in (tracing, metering, logging):
        provider.shutdown()
