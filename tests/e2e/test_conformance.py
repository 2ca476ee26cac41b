"""Everything that real programs make us emit, held against the conventions and against our own table of names.

What each kind of span is to have, and when, is in data/conventions.json; names, types and metrics are in ``names``,
which test_names.py holds against the same data. Here is what comes out in the end.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import StatusCode, format_span_id
from smolagents import OpenAIModel, ToolCallingAgent
from smolagents.default_tools import UserInputTool

import tachograph
from scripted_llm import Reply, ScriptedLLM, ToolCall
from support.agents import Lookup, Say, ScriptedModel, answer, caller, code, coder, quiet
from tachograph import names
from tachograph.approvals import ASKED, DECIDED
from tachograph.testing import capture
from team_script import script as team_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from tachograph.testing import Capture

CONVENTIONS = json.loads((Path(__file__).parents[1] / "data" / "conventions.json").read_text("utf-8"))
IDENTITY = {names.SESSION_ID, names.USER_ID, names.CONVERSATION_ID, names.CORRELATION_ID}
OUR_SPANS = {
    "execute_code": "code",
    "refused_tool": "tool",
    "approval": "approval",
}
"""Spans that the conventions have no word for, and the kind of operation that they say they are."""

OUTCOMES = {"max_steps", "interrupted", "abandoned", "refused"}
"""What ``tachograph.outcome`` says on a span of these programs; ok and error have the span's status for it."""

SESSION_OUTCOMES = {"ok", "error", "incomplete"}

NEVER_HERE = {
    names.EXPORT_GAPS: "only in exported files, which test_export.py has",
    **dict.fromkeys(
        (names.AUDIT_WRITER, names.AUDIT_COUNT, names.AUDIT_LINK, names.AUDIT_KEYED),
        "only where a store is kept, which test_store.py has",
    ),
    names.ATTEMPTS: "smolagents retries below what is hooked",
    **dict.fromkeys(
        (names.DB_SYSTEM, names.DB_OPERATION, names.DB_COLLECTION, names.HTTP_METHOD, names.URL, names.COUNTED),
        "on others' spans, which test_foreign.py has",
    ),
    names.REMOTE: "needs a remote executor, and so a network",
    **{row.name: "kept here and never sent" for row in names.ATTRIBUTES.values() if row.local},
    names.SAMPLER: "only where spans are left out, which test_processors.py has",
    names.TOKEN_MODALITY: "only by the newest conventions, which test_instruments.py has",
    names.PARENT_ID: "only where the program's own spans are around, which test_codec.py has",
}
"""Attributes that are declared and that these programs do not bring about, and why."""


class Seeing(Sampler):
    """Samples everything, and remembers what it could have decided by."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        self.seen.append((name, dict(attributes or {})))
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        """Its name."""
        return ALWAYS_ON.get_description()


class TransformersModel(ScriptedModel):
    """A model in this very process, by its name."""


def by_hand() -> None:
    """What a program reports itself, and a human decides."""
    with tachograph.task("nightly", id="t1", description="what a user wants", category="cleaning"):
        with tachograph.model("gpt-4.1", provider="openai") as call:
            call.usage(input_tokens=10, output_tokens=2)
            call.set(cache_hit=True)
        asked = tachograph.request_approval(
            tool_name="drop", arguments={"table": "users"}, reason="it deletes", timeout_seconds=600
        )
        asked.decide("EDIT", modified_arguments={"table": "logs"}, decided_by="bob")
        tachograph.request_approval(tool_name="drop", timeout_seconds=0).decide("APPROVE")
        with tachograph.tool("drop"):
            tachograph.request_approval(tool_name="drop").decide("REJECT")
        tachograph.record_tool_usage("drop", 0.5)


def work(url: str) -> None:
    """A program that does everything there is to do, and in which everything goes wrong that can."""
    import team  # noqa: PLC0415 - it imports tachograph.auto, which is to find the capture running

    with tachograph.session("normal", user_id="ada", conversation=True):
        team.main()
        by_hand()
        parameters = {"temperature": 0.5, "top_p": 1, "seed": 7, "max_tokens": 99}
        penalties = {"frequency_penalty": 0.1, "presence_penalty": 0.2}
        model = OpenAIModel("careful", api_base=url, api_key="none", **parameters, **penalties)
        ToolCallingAgent(tools=[], model=model, name="careful", logger=quiet()).run("go")
        caller(
            Say(calls=(("user_input", {"question": "why?"}),)), answer(), tools=[UserInputTool()], name="asking"
        ).run("go")
        local = coder(name="local")
        local.model = TransformersModel(code("final_answer('x')"))
        local.run("go")

    with tachograph.session("failing"):
        inner = caller(*[ValueError("the model is gone")] * 2, name="inner", description="fails")
        outer = coder(
            code("inner(task='go')"), RuntimeError("and so is this one"), managed_agents=[inner], name="outer"
        )
        with pytest.raises(Exception, match="and so is this one"):
            outer.run("go")
        reviewed = caller(answer(), name="reviewed", step_callbacks=[lambda step, agent: inner.run("review")])
        with pytest.raises(Exception, match="the model is gone"):
            reviewed.run("go")
        lookups = (("lookup", {"key": "broken"}), ("nothing", {"made": "up"}), ("lookup", {"wrong": "argument"}))
        for call in lookups:
            caller(Say(calls=(call,)), answer(), tools=[Lookup()], name="clumsy").run("go")
        caller(*[Say(calls=(("lookup", {"key": "a"}),))] * 2, Say("x"), tools=[Lookup()], name="slow", max_steps=2).run(
            ""
        )
        interrupted = caller(
            Say(calls=(("lookup", {"key": "a"}),)),
            answer(),
            tools=[Lookup()],
            step_callbacks=[lambda step, agent: agent.interrupt()],
        )
        with pytest.raises(Exception, match="interrupted"):
            interrupted.run("go")
        left = caller(answer(), stream_outputs=True, name="left").run("go", stream=True)
        with contextlib.suppress(RuntimeError):  # smolagents yields on being closed
            next(left)
            left.close()
        coder(code("1 / 0"), code("final_answer('x')"), name="dividing").run("go")


@pytest.fixture(scope="module")
def sampler() -> Seeing:
    """What the sampler saw of the spans."""
    return Seeing()


@pytest.fixture(scope="module", params=["no_content", "span_and_event"])
def worked(sampler: Seeing, request: pytest.FixtureRequest) -> Iterator[Capture]:
    """Everything emitted in that program, without its content and with it."""
    sampler.seen.clear()
    replies = {model: list(each) for model, each in team_script().items()}
    done = ToolCall("final_answer", {"answer": "x"})
    replies["careful"] = [Reply(tool_calls=[done], cached_tokens=3, reasoning_tokens=2)]
    with (
        pytest.MonkeyPatch.context() as patch,
        ScriptedLLM(replies) as llm,
        capture(sampler=sampler, strict=False, capture_content=request.param) as captured,
    ):
        patch.setenv("OPENAI_BASE_URL", llm.base_url)
        patch.setenv("OPENAI_API_KEY", "none")
        patch.setattr("builtins.input", lambda *_: "because")
        work(llm.base_url)
        assert captured.runtime.guard.swallowed() == {}
        captured.runtime.guard(int, "x")  # one failure of ours, for the metric that counts them
        yield captured


def word(span: ReadableSpan) -> str:
    return str(span.attributes.get(names.OPERATION_NAME, span.name.partition(" ")[0]))


def with_content(captured: Capture) -> bool:
    return captured.runtime.config.capture_content != "no_content"


def rules(span: ReadableSpan) -> dict[str, Any]:
    return CONVENTIONS["spans"][word(span)]


def of_conventions(captured: Capture) -> list[ReadableSpan]:
    return [span for span in captured.spans if names.OPERATION_NAME in span.attributes]


# ------------------------------------------------------------------------------------------------------------ spans
def test_spans_are_of_the_kinds_known(worked: Capture) -> None:
    """A span has the name and kind that the conventions give it, or is one of the few of our own."""
    seen = set()
    for span in worked.spans:
        seen.add(word(span))
        if word(span) in OUR_SPANS:
            assert names.OPERATION_NAME not in span.attributes
            assert OUR_SPANS[word(span)] == span.attributes[names.KIND]
            assert span.kind.name == "INTERNAL"
        else:
            subject = span.attributes.get(rules(span)["named by"])
            assert span.name == (f"{word(span)} {subject}" if subject else word(span))
            assert span.kind.name in rules(span)["kinds"]
            assert (span.kind.name == "CLIENT") == (
                word(span) == "chat" and span.attributes[names.PROVIDER_NAME] != "transformers"
            )
    assert {*OUR_SPANS, *CONVENTIONS["spans"]} == seen


def test_attributes_are_declared_with_their_types(worked: Capture) -> None:
    """Each attribute of a span is declared, of the type it is declared with."""
    for span in worked.spans:
        for name, value in span.attributes.items():
            if name.startswith(names.CUSTOM):
                continue  # the program's own
            assert name in names.ATTRIBUTES, f"{name} of {span.name}"
            assert type(value) is names.ATTRIBUTES[name].type, name


def test_attributes_are_of_their_kind_of_span(worked: Capture) -> None:
    """An attribute of the conventions is on no span that they do not give it to; usage is on model calls only."""
    for span in of_conventions(worked):
        allowed = {*rules(span)["always"], *rules(span)["where known"], *rules(span)["may"], *IDENTITY}
        allowed |= {*rules(span)["content"]} if with_content(worked) else set()
        others = {name for name in span.attributes if not name.startswith("tachograph.")} - allowed
        # The message of an outcome that is no error has no place in the span's status.
        assert others <= ({names.EXCEPTION_MESSAGE} if names.OUTCOME in span.attributes else set()), span.name
    for span in worked.spans:
        assert word(span) == "chat" or [name for name in span.attributes if name.startswith("gen_ai.usage.")] == []


def test_required_attributes_are_there(worked: Capture) -> None:
    """Each span has what it is always to have, and what it is to have where it is known."""
    known = {
        names.CONVERSATION_ID: lambda span: span.attributes[names.SESSION_ID] == "normal",
        names.ERROR_TYPE: lambda span: span.status.status_code is StatusCode.ERROR,
        names.SERVER_PORT: lambda span: names.SERVER_ADDRESS in span.attributes,
        names.REQUEST_STREAM: lambda span: names.TIME_TO_FIRST_CHUNK in span.attributes,
        names.REQUEST_SEED: lambda span: word(span) == "chat" and span.name == "chat careful",
        names.REQUEST_MODEL: lambda span: True,
        names.WORKFLOW_NAME: lambda span: True,
        names.AGENT_NAME: lambda span: names.SUBJECT not in span.attributes and word(span) != "execute_tool",
        names.AGENT_DESCRIPTION: lambda span: span.name in DESCRIBED,
    }
    for span in of_conventions(worked):
        for name in (*rules(span)["always"], *(n for n in rules(span)["where known"] if known[n](span))):
            assert span.attributes.get(name) not in (None, "", ()), f"{name} of {span.name}"
        for name in rules(span)["where known"]:
            if name in (names.ERROR_TYPE, names.CONVERSATION_ID, names.REQUEST_SEED, names.AGENT_DESCRIPTION):
                assert known[name](span) == (name in span.attributes), f"{name} of {span.name}"


DESCRIBED = {"invoke_agent researcher", "invoke_agent analyst", "invoke_agent inner"}
"""Spans of the agents that say what they are for."""


def test_every_span_says_whose_work_it_is(worked: Capture) -> None:
    """Session and request are on every span, the user where one is named."""
    for span in worked.spans:
        assert span.attributes[names.SESSION_ID] in ("normal", "failing")
        assert span.attributes[names.CORRELATION_ID]
        assert (span.attributes[names.SESSION_ID] == "normal") == (span.attributes.get(names.USER_ID) == "ada")


def test_a_sampler_sees_what_it_is_to_decide_by(worked: Capture, sampler: Seeing) -> None:
    """What the conventions want known at the start is known to the sampler, and so are the ids."""
    assert len(sampler.seen) == len(worked.spans)
    ended = {}
    for span in worked.spans:
        early = IDENTITY | set(CONVENTIONS["spans"].get(word(span), {}).get("at start", ()))
        key = span.name, *(sorted((name, v) for name, v in span.attributes.items() if name in early))
        ended[key] = ended.get(key, 0) + 1
    for name, attributes in sampler.seen:
        early = IDENTITY | set(CONVENTIONS["spans"].get(attributes.get(names.OPERATION_NAME), {}).get("at start", ()))
        key = name, *(sorted((name, v) for name, v in attributes.items() if name in early))
        ended[key] = ended.get(key, 0) - 1
    assert set(ended.values()) == {0}


def test_words_are_those_agreed_on(worked: Capture) -> None:
    """Attributes with a list of words have one of them."""
    said: dict[str, set[Any]] = {name: set() for name in (*CONVENTIONS["words"], names.OUTCOME, names.KIND)}
    for attributes in (
        *(span.attributes for span in worked.spans),
        *(attributes for name, attributes, _ in worked.points() if name.startswith("gen_ai.")),
    ):
        for name in said.keys() & attributes.keys():
            said[name].add(attributes[name])
    for name, agreed in CONVENTIONS["words"].items():
        assert said[name] <= set(agreed)
        assert said[name]
    assert said[names.OUTCOME] == OUTCOMES
    assert said[names.KIND] == set(OUR_SPANS.values())


def test_only_an_error_is_a_spans_error(worked: Capture) -> None:
    """A span has the status ERROR, with ``error.type``, or no status at all; other outcomes are an attribute."""
    for span in worked.spans:
        failed = span.status.status_code is StatusCode.ERROR
        assert span.status.status_code in (StatusCode.UNSET, StatusCode.ERROR)
        assert failed <= (names.ERROR_TYPE in span.attributes)
        assert not (failed and names.OUTCOME in span.attributes)
        assert failed or names.ERROR_TYPE not in span.attributes or span.attributes[names.OUTCOME] == "refused"


# ---------------------------------------------------------------------------------------------------------- metrics
DURATIONS = {"chat": names.MODEL_DURATION, "invoke_agent": names.AGENT_DURATION, "execute_tool": names.TOOL_DURATION}


def test_durations_and_error_types_are_those_of_the_spans(worked: Capture) -> None:
    """For each operation the metric has its span's duration, but for a human's, and the same ``error.type`` or none."""
    by_metric = {metric: CONVENTIONS["spans"][kind]["named by"] for kind, metric in DURATIONS.items()}

    def key(metric: str, attributes: Any) -> tuple[Any, ...]:
        return metric, attributes.get(by_metric[metric]), attributes.get(names.ERROR_TYPE)

    spans: dict[tuple[Any, ...], list[float]] = {}
    for span in of_conventions(worked):
        if word(span) in DURATIONS and names.HUMAN_WAIT not in span.attributes:
            took = (span.end_time - span.start_time) / 1e9 - span.attributes.get(names.HUMAN_SECONDS, 0.0)
            spans.setdefault(key(DURATIONS[word(span)], span.attributes), []).append(took)
    points: dict[tuple[Any, ...], list[float]] = {}
    for metric, attributes, point in worked.points():
        if metric in by_metric:
            sums = points.setdefault(key(metric, attributes), [0, 0.0])
            sums[0] += point.count
            sums[1] += point.sum

    assert {point: [len(took), pytest.approx(sum(took))] for point, took in spans.items()} == points
    for metric in by_metric:
        assert {error for name, _, error in points if name == metric} > {None}


def test_metrics_are_declared_and_all_there(worked: Capture) -> None:
    """Each metric is declared with unit, instrument, buckets and attributes, and each that is declared is there."""
    instruments = {
        "Histogram": ("histogram",),
        "Sum": ("counter", "observable_counter"),
        "Gauge": ("observable_gauge",),
    }
    data = worked.metric_reader.get_metrics_data()
    found = [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]
    assert sorted(names.METRICS) == sorted(metric.name for metric in found)
    for metric in found:
        row = names.METRICS[metric.name]
        assert metric.unit == row.unit
        assert row.instrument in instruments[type(metric.data).__name__]
        for point in metric.data.data_points:
            assert set(point.attributes) <= set(row.attributes), metric.name
            assert tuple(getattr(point, "explicit_bounds", ())) == (row.buckets or ())
            for name, value in point.attributes.items():
                assert type(value) is names.ATTRIBUTES[name].type
            if metric.name.startswith("gen_ai.client."):
                assert {names.OPERATION_NAME, names.PROVIDER_NAME} <= set(point.attributes)
            if metric.name == names.SESSION_REQUESTS:
                assert point.attributes[names.OUTCOME] in SESSION_OUTCOMES
        # Only what is meant to be read by session has one.
        by_session = {names.SESSION_ID in point.attributes for point in metric.data.data_points}
        assert by_session == {metric.name.startswith("tachograph.session.")}


# ----------------------------------------------------------------------------------------------------------- events
def test_log_events_are_declared(worked: Capture) -> None:
    """Each log event is one of the table, with ids and payload; a failed model call has the conventions' own."""
    records = [log.log_record for log in worked.logs]
    details = {names.MODEL_DETAILS} if with_content(worked) else set()
    ours = {"agent_registered", "agent_switched", *ASKED, DECIDED}
    assert {names.MODEL_EXCEPTION, *(names.EVENT_PREFIX + event for event in ours), *details} == {
        record.event_name for record in records
    }
    failed = {
        format_span_id(span.context.span_id): span
        for span in worked.spans
        if word(span) == "chat" and span.status.status_code is StatusCode.ERROR
    }
    for record in records:
        for name, value in record.attributes.items():
            if record.event_name == names.MODEL_DETAILS and name in CONVENTIONS["spans"]["chat"]["content"]:
                assert type(value) is tuple, name  # structured, as only an event can have it
            elif "." in name:
                assert type(value) is names.ATTRIBUTES[name].type, name
            else:  # the payload of an audit entry, whose words are not attributes
                assert record.event_name.removeprefix(names.EVENT_PREFIX) in names.EVENTS
        assert record.attributes[names.SESSION_ID]
        if record.event_name == names.MODEL_EXCEPTION:
            span = failed.pop(format_span_id(record.span_id))
            assert record.severity_number.value == CONVENTIONS["severity"][names.MODEL_EXCEPTION]
            assert record.attributes[names.EXCEPTION_TYPE] == span.attributes[names.ERROR_TYPE]
            assert record.attributes[names.EXCEPTION_MESSAGE]
    assert failed == {}


def test_what_is_declared_is_emitted(worked: Capture) -> None:
    """Each declared attribute is emitted somewhere, but for a list with reasons, which has no other."""
    emitted: set[str] = set()
    for attributes in (
        *(span.attributes for span in worked.spans),
        *(event.attributes for span in worked.spans for event in span.events),
        *(attributes for _, attributes, _ in worked.points()),
        *(log.log_record.attributes for log in worked.logs),
    ):
        emitted |= attributes.keys()
    content = {name for rule in CONVENTIONS["spans"].values() for name in rule["content"]}
    assert names.ATTRIBUTES.keys() - emitted == NEVER_HERE.keys() | (set() if with_content(worked) else content)
