"""Metrics say what happened: under the agreed names, with bounded keys, and the same as spans and ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, Histogram, InMemoryMetricReader, Sum

import tachograph
from tachograph import names, session
from tachograph.guard import Guard
from tachograph.instruments import Instruments
from tachograph.ledger import Ledger
from tachograph.live import Start
from tachograph.records import Operation
from tachograph.testing import TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.live import Facts, Live
    from tachograph.records import Kind, Outcome
    from tachograph.testing import Capture

SECOND = 1_000_000_000


@pytest.fixture
def ticking() -> Iterator[Capture]:
    """A capture whose clock moves on by a second each time it is read: once at a start and once at an end."""
    with capture(clock=TickingClock(step_ns=SECOND)) as captured:
        yield captured


class History:
    """Work, recorded step by step."""

    def __init__(self, captured: Capture) -> None:
        self.recorder = captured.runtime.recorder

    def begin(self, kind: Kind, name: str, facts: Facts | None = None, **details: Any) -> Live:
        """Something begins."""
        return self.recorder.begin(Start(kind, name, dict(facts or {}), **details))

    def run(
        self,
        kind: Kind,
        name: str,
        facts: Facts | None = None,
        outcome: Outcome = "ok",
        error: BaseException | None = None,
        later: Facts | None = None,
        **details: Any,
    ) -> Live:
        """Something begins and ends."""
        live = self.begin(kind, name, facts, **details)
        self.recorder.end(live, outcome, later, error)
        return live


MODEL = {
    names.REQUEST_MODEL: "gpt",
    names.PROVIDER_NAME: "openai",
    names.SERVER_ADDRESS: "api.test",
    names.SERVER_PORT: 443,
    names.STEP: 1,
}
POINT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt",
    "gen_ai.provider.name": "openai",
    "server.address": "api.test",
    "server.port": 443,
}


def scripted(captured: Capture) -> None:
    """One of everything there is a point for, and everything there is none for."""
    history = History(captured)
    with session("s", correlation_id="c"):
        used = {names.INPUT_TOKENS: 100, names.OUTPUT_TOKENS: 10, names.RESPONSE_MODEL: "gpt-1", names.COST: 0.25}
        history.run("model", "gpt", MODEL, later=used)
        history.run("model", "gpt", MODEL, later={**used, names.TIME_TO_FIRST_CHUNK: 0.25})
        history.run("model", "gpt", MODEL, "error", TimeoutError("late"), {names.INPUT_TOKENS: 7})
        history.run("model", "gpt", MODEL, "abandoned", GeneratorExit())
        tool = {names.TOOL_NAME: "search", names.TOOL_TYPE: "function", names.AGENT_NAME: "boss"}
        history.run("tool", "search", tool)
        history.run("tool", "search", tool, "error", LookupError("no"))
        history.run("tool", "search", tool, "refused", ValueError("bad"), refused=True)
        history.run("tool", "ask", {names.TOOL_NAME: "ask", names.HUMAN_WAIT: True})
        history.run("tool", "ask", {names.TOOL_NAME: "ask"}, "waiting")
        history.run("agent", "boss", {names.AGENT_NAME: "boss"})
        history.run("agent", "CodeAgent", {}, "error", KeyError("no"))
        switch = {names.SWITCH_FROM: "boss", names.SWITCH_TO: "clerk", names.AGENT_NAME: "clerk"}
        history.run("agent", "clerk", switch, "max_steps")
        history.run("plan", "boss")
        history.run("code", "python")
        history.run("task", "job")
        history.begin("model", "gpt", MODEL)
        tachograph.request_approval(tool_name="drop", call_id="1").decide("REJECT")
        tachograph.request_approval(tool_name="drop", call_id="2")


def metrics(captured: Capture) -> dict[str, Any]:
    """What a reader collects now, by name."""
    assert captured.metric_reader is not None
    data = captured.metric_reader.get_metrics_data()
    return {
        metric.name: metric
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def values(captured: Capture, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
    """The points of one metric: number of observations and their sum, or the value, by attributes."""
    return {
        frozenset(attributes.items()): (point.count, point.sum) if hasattr(point, "bucket_counts") else point.value
        for found, attributes, point in captured.points()
        if found == name
    }


def points(*rows: tuple[dict[str, Any], Any]) -> dict[frozenset[tuple[str, Any]], Any]:
    """The same, spelled out."""
    return {frozenset(attributes.items()): value for attributes, value in rows}


# ----------------------------------------------------------------------------------------------- what is emitted
def test_a_scripted_history_gives_these_points(ticking: Capture) -> None:
    """Each ended operation gives the points that are due, with these attributes and no others."""
    scripted(ticking)

    answered = {**POINT, "gen_ai.response.model": "gpt-1"}
    assert points(
        (answered, (2, 2.0)), (POINT, (1, 1.0)), ({**POINT, "error.type": "TimeoutError"}, (1, 1.0))
    ) == values(ticking, "gen_ai.client.operation.duration")
    assert points(
        ({**answered, "gen_ai.token.type": "input"}, (2, 200)),
        ({**answered, "gen_ai.token.type": "output"}, (2, 20)),
        ({**POINT, "gen_ai.token.type": "input"}, (1, 7)),
    ) == values(ticking, "gen_ai.client.token.usage")
    assert points((answered, (1, 0.25))) == values(ticking, "gen_ai.client.operation.time_to_first_chunk")
    search = {"gen_ai.tool.name": "search", "gen_ai.tool.type": "function", "gen_ai.agent.name": "boss"}
    assert points((search, (1, 1.0)), ({**search, "error.type": "LookupError"}, (1, 1.0))) == values(
        ticking, "gen_ai.execute_tool.duration"
    )
    assert points(
        ({"gen_ai.agent.name": "boss"}, (1, 1.0)),
        ({"error.type": "KeyError"}, (1, 1.0)),
        ({"gen_ai.agent.name": "clerk"}, (1, 1.0)),
    ) == values(ticking, "gen_ai.invoke_agent.duration")
    assert points(({"tachograph.switch.from": "boss", "tachograph.switch.to": "clerk"}, 1)) == values(
        ticking, "tachograph.agent.switches"
    )
    assert points(({"gen_ai.agent.name": "CodeAgent", "error.type": "KeyError"}, 1)) == values(
        ticking, "tachograph.agent.errors"
    )


def test_a_scripted_history_gives_these_figures_of_its_session(ticking: Capture) -> None:
    """The series of a session are its figures in the ledger, under its id and nothing else of high cardinality."""
    scripted(ticking)

    ids = {"session.id": "s"}
    assert points(
        ({**ids, "tachograph.outcome": "ok"}, 2),
        ({**ids, "tachograph.outcome": "error"}, 1),
        ({**ids, "tachograph.outcome": "incomplete"}, 1),
    ) == values(ticking, "tachograph.session.requests")
    assert points(({**ids, "gen_ai.token.type": "input"}, 207), ({**ids, "gen_ai.token.type": "output"}, 20)) == values(
        ticking, "tachograph.session.tokens"
    )
    for name, value in (
        ("tool_calls", 5),
        ("agent_switches", 1),
        ("errors", 1),
        ("active_requests", 1),
        ("duration", 3.0),
    ):
        assert points((ids, value)) == values(ticking, f"tachograph.session.{name}")
    assert points(({}, 1)) == values(ticking, "tachograph.sessions.active")
    assert points(({"gen_ai.tool.name": "drop"}, 1)) == values(ticking, "tachograph.approvals.pending")
    counts = {"APPROVE": 0, "EDIT": 0, "REJECT": 1, "EXPIRED": 0, "pending": 1}
    assert points(
        *(({**ids, "tachograph.approval.decision": decision}, count) for decision, count in counts.items())
    ) == values(ticking, "tachograph.session.approvals")
    assert points((ids, 0.5)) == values(ticking, "tachograph.session.cost")


def test_approvals_and_costs_are_points(ticking: Capture) -> None:
    """A decision is one approval and the time it took; what calls cost is added up by model."""
    scripted(ticking)

    decided = {"gen_ai.tool.name": "drop", "tachograph.approval.decision": "REJECT"}
    assert points((decided, 1)) == values(ticking, "tachograph.approvals")
    ((attributes, (count, seconds)),) = values(ticking, "tachograph.approval.wait.duration").items()
    assert (frozenset(decided.items()), 1, True) == (attributes, count, seconds > 0)
    of_model = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt", "gen_ai.response.model": "gpt-1"}
    assert points((of_model, 0.5)) == values(ticking, "tachograph.cost")


def test_switches_that_a_program_reports_are_points(ticking: Capture) -> None:
    """A hand-over that no agent run stands for counts like one that is a run, in the metric as in the ledger."""
    tachograph.events.agent_switched("orchestrator", "coder", session_id="s")
    tachograph.switch("debug", source="coder")

    assert points(
        ({"tachograph.switch.from": "orchestrator", "tachograph.switch.to": "coder"}, 1),
        ({"tachograph.switch.from": "coder", "tachograph.switch.to": "debug"}, 1),
    ) == values(ticking, "tachograph.agent.switches")
    assert {"orchestrator_to_coder": 1, "coder_to_debug": 1} == ticking.ledger.total().switches


def test_every_instrument_is_what_the_table_says(ticking: Capture) -> None:
    """What a reader collects has the name, kind, unit, text, buckets and attributes of its row in the table."""
    scripted(ticking)
    ticking.runtime.guard.strict = False
    ticking.runtime.guard(lambda: 1 / 0)
    collected = metrics(ticking)

    assert names.METRICS.keys() == collected.keys()
    kinds = {"histogram": Histogram, "counter": Sum, "observable_counter": Sum, "observable_gauge": Gauge}
    for name, metric in collected.items():
        row = names.METRICS[name]
        assert (row.unit, row.brief, kinds[row.instrument]) == (metric.unit, metric.description, type(metric.data))
        for point in metric.data.data_points:
            assert set(point.attributes) <= set(row.attributes), name
            if row.buckets is not None:
                assert row.buckets == tuple(point.explicit_bounds)


def test_names_of_high_cardinality_are_on_no_histogram_or_counter(ticking: Capture) -> None:
    """Session, request and user stay off everything that is not bounded to the sessions last active."""
    with session("s", user_id="u", correlation_id="c", conversation=True):
        scripted(ticking)

    ids = {names.SESSION_ID, names.CORRELATION_ID, names.USER_ID, names.CONVERSATION_ID, names.STEP}
    assert {"tachograph.session"} == {
        ".".join(name.split(".")[:2]) for name, attributes, _ in ticking.points() if ids & attributes.keys()
    }


# --------------------------------------------------------------------------------------- the same as spans and ledger
def _by_span(captured: Capture, word: str) -> dict[Any, tuple[int, float]]:
    found: dict[Any, list[float]] = defaultdict(list)
    for span in captured.spans:
        attributes = span.attributes or {}
        machine = not attributes.get(names.HUMAN_WAIT) and attributes.get(names.OUTCOME) not in ("refused", "waiting")
        if machine and attributes.get(names.OPERATION_NAME) == word:
            found[attributes.get(names.ERROR_TYPE)].append(((span.end_time or 0) - (span.start_time or 0)) / SECOND)
    return {error: (len(took), pytest.approx(sum(took))) for error, took in found.items()}


def _by_point(captured: Capture, name: str) -> dict[Any, tuple[int, float]]:
    found: dict[Any, tuple[int, float]] = {}
    for key, (number, total) in values(captured, name).items():
        error = dict(key).get("error.type")
        before = found.get(error, (0, 0.0))
        found[error] = (before[0] + number, before[1] + total)
    return found


ENDS = st.sampled_from(["ok", "error", "max_steps", "interrupted", "abandoned"])
TOKENS = st.none() | st.integers(0, 10_000)
WORK = st.one_of(
    st.tuples(st.just("model"), ENDS, st.fixed_dictionaries({names.INPUT_TOKENS: TOKENS, names.OUTPUT_TOKENS: TOKENS})),
    st.tuples(st.just("agent"), ENDS, st.just({})),
    st.tuples(
        st.just("tool"),
        ENDS | st.sampled_from(["refused", "waiting"]),
        st.fixed_dictionaries({names.HUMAN_WAIT: st.sampled_from([None, True])}),
    ),
)


@settings(max_examples=40)
@given(st.lists(WORK, max_size=12))
def test_metrics_spans_and_ledger_agree(history: list[tuple[Any, ...]]) -> None:
    """Whatever happened: durations sum up to the spans', error types are the same, tokens are the ledger's."""
    moments = (10**18 + n * n * 7_000_001 for n in count())
    with capture(clock=lambda: next(moments)) as captured:
        recorder = captured.runtime.recorder
        for n, (kind, outcome, facts) in enumerate(history):
            live = recorder.begin(Start(kind, "n", dict(facts), refused=outcome == "refused"))
            error = (ValueError, KeyError)[n % 2]("no") if outcome == "error" else None
            recorder.end(live, outcome, facts, error)
        total = captured.ledger.total()

        for word, name in (
            ("chat", "gen_ai.client.operation.duration"),
            ("execute_tool", "gen_ai.execute_tool.duration"),
            ("invoke_agent", "gen_ai.invoke_agent.duration"),
        ):
            assert _by_span(captured, word) == _by_point(captured, name)
        used: Counter[str] = Counter()
        for key, (_count, tokens) in values(captured, "gen_ai.client.token.usage").items():
            used[dict(key)["gen_ai.token.type"]] += tokens
        assert (total.total_prompt_tokens, total.total_completion_tokens) == (used["input"], used["output"])
        errors = values(captured, "tachograph.agent.errors")
        assert sum(sum(types.values()) for types in total.errors_by_agent.values()) == sum(errors.values())


# ------------------------------------------------------------------------------------------------------- the bounds
def _sessions(captured: Capture, number: int) -> None:
    for n in range(number):
        with session(f"s{n}", correlation_id=f"c{n}"):
            History(captured).run("tool", "t")


def _keys(captured: Capture) -> set[tuple[Any, Any]]:
    return {
        (attributes["session.id"], attributes.get("tachograph.correlation.id"))
        for name, attributes, _ in captured.points()
        if name.startswith("tachograph.session.")
    }


def test_series_are_those_of_the_sessions_last_active() -> None:
    """At most so many sessions have series of their own: the ones last active, whatever order they began in."""
    with capture(metric_sessions=2) as captured:
        _sessions(captured, 4)
        assert {("s2", None), ("s3", None)} == _keys(captured)
        with session("s0"):
            History(captured).run("tool", "t")

        assert {("s3", None), ("s0", None)} == _keys(captured)


def test_series_can_be_keyed_by_request() -> None:
    """On request each request within a session has series of its own, under both ids, as bounded."""
    with capture(metric_sessions=2, metric_keys=("session", "correlation")) as captured:
        _sessions(captured, 3)
        assert {("s1", "c1"), ("s2", "c2")} == _keys(captured)
        with session("s2", correlation_id="other"):
            History(captured).run("tool", "t")

        assert {("s2", "c2"), ("s2", "other")} == _keys(captured)
        assert {1} == {point.value for name, _, point in captured.points() if name == "tachograph.session.tool_calls"}


def test_a_fleet_has_no_series_of_sessions() -> None:
    """With 0 sessions there are none of these series, and everything else is there."""
    with capture(metric_sessions=0) as captured:
        _sessions(captured, 3)

        assert set() == _keys(captured)
        assert {name for name, *_ in captured.points()} >= {"tachograph.sessions.active", names.TOOL_DURATION}


def test_eviction_is_measured() -> None:
    """What the ledger's bounds have cost is a figure of Tachograph's own."""
    with capture(max_records=2, max_sessions=1) as captured:
        _sessions(captured, 4)
        evicted = captured.ledger.stats()["evicted"]

        assert evicted == {"sessions": 3, "correlations": 3, "records": 2, "requests": 0, "names": 0}
        assert points(({}, 8)) == values(captured, "tachograph.self.evicted")


def test_swallowed_failures_are_measured() -> None:
    """Failures kept from the host are counted by their site."""

    def broken() -> None:
        raise ZeroDivisionError("ours")

    with capture(strict=False) as captured:
        for _ in range(3):
            captured.runtime.guard(broken)

        site = f"{test_swallowed_failures_are_measured.__name__}.<locals>.broken"
        assert points(({"tachograph.guard.site": site}, 3)) == values(captured, "tachograph.self.swallowed")


# ------------------------------------------------------------------------------------------------- started, stopped
def test_a_stopped_runtime_falls_silent() -> None:
    """An instrument cannot be taken back from its meter: after the stop its callbacks report nothing more."""
    with capture() as captured:
        scripted(captured)
        assert _keys(captured)
        captured.runtime.stop()

        assert set() == _keys(captured)
        assert {} == values(captured, "tachograph.sessions.active")


def test_a_callback_that_fails_is_ours_alone() -> None:
    """A collection goes on where one of our callbacks fails, and the failure is counted."""

    class Broken(Ledger):
        def recent(self, count: int, *, correlations: bool = False) -> Any:
            raise ZeroDivisionError("ours")

    guard, reader = Guard(), InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    Instruments(provider.get_meter("test"), Broken(), guard, sessions=10, by_correlation=False, provider=provider)
    data = reader.get_metrics_data()

    collected = {
        metric.name
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"tachograph.sessions.active", "tachograph.self.evicted"} <= collected
    of_sessions = [name for name, metric in names.METRICS.items() if names.SESSION_ID in metric.attributes]
    assert len(of_sessions) == sum(guard.swallowed().values())
    provider.shutdown()


def test_points_are_linked_to_their_trace(captured: Capture) -> None:
    """Where the SDK keeps exemplars, a duration's exemplar is the span it was measured on."""
    live = History(captured).run("model", "gpt", MODEL)

    (point,) = (point for name, _, point in captured.points() if name == names.MODEL_DURATION)
    assert {live.record.id} == {f"{exemplar.span_id:016x}" for exemplar in point.exemplars}


def test_an_operation_without_facts_gives_a_point_all_the_same(captured: Capture) -> None:
    """What a framework does not say is absent from the point, not made up."""
    captured.runtime.instruments.ended(Operation("1", "model", "?", "s", "c", 0, SECOND, "ok"))

    assert points(({"gen_ai.operation.name": "chat"}, (1, 1.0))) == values(captured, "gen_ai.client.operation.duration")


# ------------------------------------------------------------------------------------- points wait for their reader
def _durations(reader: InMemoryMetricReader) -> int:
    """Model calls in the duration histogram that a reader sees."""
    data = reader.get_metrics_data()
    return sum(
        point.count
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == names.MODEL_DURATION
        for point in metric.data.data_points
    )


def _calls(instruments: Instruments, number: int) -> None:
    for _ in range(number):
        instruments.ended(Operation("1", "model", "m", "s", "c", 0, SECOND, "ok"))


def test_a_reader_sees_every_point(captured: Capture) -> None:
    """Whenever it collects, everything that has ended is there, each once, however much has waited."""
    seen = []
    for number in (1, 100, 0, 5_000):
        _calls(captured.runtime.instruments, number)
        seen.append(sum(point.count for name, _, point in captured.points() if name == names.MODEL_DURATION))
    assert seen == [1, 101, 101, 5_101]


def test_what_waits_is_bounded(captured: Capture) -> None:
    """Where no reader ever collects, points are handed over all the same before they become many."""
    _calls(captured.runtime.instruments, 10_000)
    assert len(captured.runtime.instruments._waiting) <= 2_048


def test_a_provider_that_is_not_the_sdks_is_given_points_at_once() -> None:
    """Only the SDK's readers are known to ask first, so for any other provider nothing waits."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)

    class Foreign(NoOpMeterProvider):
        pass

    instruments = Instruments(
        provider.get_meter("test"), Ledger(), Guard(), sessions=10, by_correlation=False, provider=Foreign()
    )
    _calls(instruments, 3)
    assert (len(instruments._waiting), _durations(reader)) == (0, 3)
    provider.shutdown()


def test_a_later_runtime_is_read_by_the_same_reader() -> None:
    """A meter keeps the callbacks of the first runtime; those of the next are answered through them."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    for session_id in ("first", "second"):
        recording = tachograph.init(meter_provider=provider)
        with session(session_id):
            recording.recorder.end(recording.recorder.begin(Start("model", "m")))
        data = reader.get_metrics_data()
        assert data is not None
        active = {
            point.attributes.get(names.SESSION_ID)
            for scope in data.resource_metrics[0].scope_metrics
            for metric in scope.metrics
            if metric.name == names.SESSION_REQUESTS
            for point in metric.data.data_points
        }
        assert session_id in active
        tachograph.shutdown()
    assert _durations(reader) == 2
    provider.shutdown()


def test_a_child_process_hands_over_its_own_points_only(captured: Capture) -> None:
    """What waited when it was forked off is the parent's."""
    _calls(captured.runtime.instruments, 3)
    captured.runtime.after_fork()
    _calls(captured.runtime.instruments, 1)
    assert [point.count for name, _, point in captured.points() if name == names.MODEL_DURATION] == [1]


# ------------------------------------------------------------------------------------------------ the newest names
def test_the_newest_conventions_have_metrics_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the standard variable a call's points have the newest names, none the released ones, with the same figures."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http,gen_ai_latest_experimental")
    used = {
        names.INPUT_TOKENS: 1_200,
        names.OUTPUT_TOKENS: 80,
        names.CACHED_TOKENS: 1_000,
        names.REASONING_TOKENS: 30,
        names.TIME_TO_FIRST_CHUNK: 0.5,
    }
    asked = {names.PROVIDER_NAME: "openai", names.REQUEST_MODEL: "gpt-4.1"}
    with capture(clock=TickingClock(step_ns=SECOND)) as captured:
        work = History(captured)
        for _ in range(2):
            work.run("model", "gpt-4.1", asked, later=used)
        work.run("model", "gpt-4.1", asked, "error", TimeoutError("late"))
        work.run("agent", "manager", {names.AGENT_NAME: "manager"})
        points = captured.points()

    point = {names.OPERATION_NAME: "chat", **asked}
    by_modality = {**point, names.TOKEN_MODALITY: "unknown"}
    found = [(name, attributes, value) for name, attributes, value in points if name in names.LATEST_METRICS]
    totals = [(name, attributes, getattr(value, "value", value)) for name, attributes, value in found]
    for name, figure in (
        (names.INFERENCE_INPUT, 2_400),
        (names.INFERENCE_OUTPUT, 160),
        (names.INFERENCE_CACHED, 2_000),
        (names.INFERENCE_REASONING, 60),
    ):
        assert [(by_modality, figure)] == [(attributes, value) for each, attributes, value in totals if each == name]
    of_calls = {
        (name, attributes.get(names.ERROR_TYPE)): (attributes, value.count, value.sum)
        for name, attributes, value in found
        if hasattr(value, "count")
    }
    assert {
        (names.CALL_INPUT, None): (point, 2, 2_400),
        (names.CALL_OUTPUT, None): (point, 2, 160),
        (names.INFERENCE_FIRST_CHUNK, None): (point, 2, 1.0),
        (names.INFERENCE_DURATION, None): (point, 2, 2.0),
        (names.INFERENCE_DURATION, "TimeoutError"): ({**point, names.ERROR_TYPE: "TimeoutError"}, 1, 1.0),
    } == of_calls
    there = {name for name, *_ in points}
    assert names.LATEST_METRICS.keys() <= there
    assert not names.REPLACED & there
    assert names.AGENT_DURATION in there
