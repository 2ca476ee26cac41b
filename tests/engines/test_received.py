"""What the Collector received is what the conventions want: test_conformance.py's questions, asked of its file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.trace import StatusCode

from e2e import test_conformance
from support.engines import ROOT, read, wait_for
from support.otlp_files import message
from support.otlp_receiver import ReceivedLog, ReceivedPoint, ReceivedSpan, received
from support.programs import Programs
from tachograph import names

if TYPE_CHECKING:
    from support.engines import Collector

pytestmark = pytest.mark.engines

PROGRAM = f"""
    import sys
    from pathlib import Path

    sys.path[:0] = {[str(ROOT / "tests"), str(ROOT / "examples")]!r}
    import builtins, os

    import tachograph
    from e2e import test_conformance
    from scripted_llm import Reply, ScriptedLLM, ToolCall
    from tachograph import runtime
    from team_script import script

    tachograph.init()
    builtins.input = lambda *_: "because"
    replies = {{model: list(each) for model, each in script().items()}}
    replies["careful"] = [
        Reply(tool_calls=[ToolCall("final_answer", {{"answer": "x"}})], cached_tokens=3, reasoning_tokens=2)
    ]
    with ScriptedLLM(replies) as llm:
        os.environ |= {{"OPENAI_BASE_URL": llm.base_url, "OPENAI_API_KEY": "none"}}
        test_conformance.work(llm.base_url)
    assert tachograph.stats()["swallowed"] == {{}}, tachograph.stats()["swallowed"]
    runtime.current().guard(int, "x")  # one failure of ours, for the metric that counts them
    """

QUESTIONS = [
    test_conformance.test_spans_are_of_the_kinds_known,
    test_conformance.test_attributes_are_declared_with_their_types,
    test_conformance.test_attributes_are_of_their_kind_of_span,
    test_conformance.test_required_attributes_are_there,
    test_conformance.test_every_span_says_whose_work_it_is,
    test_conformance.test_words_are_those_agreed_on,
    test_conformance.test_only_an_error_is_a_spans_error,
    test_conformance.test_durations_and_error_types_are_those_of_the_spans,
    test_conformance.test_log_events_are_declared,
    test_conformance.test_what_is_declared_is_emitted,
]


class Received:
    """What the Collector wrote of a service, in the shape of a capture."""

    def __init__(self, collector: Collector, service: str) -> None:
        items = [
            item
            for document in read(collector.file)
            for item in received(message(document))
            if item.resource["service.name"] == service
        ]
        self.spans = [as_span(item) for item in items if isinstance(item, ReceivedSpan)]
        self.logs = [as_log(item) for item in items if isinstance(item, ReceivedLog)]
        # Every export has all series anew: the last state of each.
        self.metrics = list(
            {
                (item.metric, tuple(sorted(item.attributes.items()))): item
                for item in items
                if isinstance(item, ReceivedPoint)
            }.values()
        )
        self.runtime = SimpleNamespace(config=SimpleNamespace(capture_content="no_content"))

    def points(self) -> list[tuple[str, Any, Any]]:
        return [(point.metric, point.attributes, point) for point in self.metrics]


def as_span(span: ReceivedSpan) -> Any:
    return SimpleNamespace(
        name=span.name,
        kind=SimpleNamespace(name=span.kind),
        attributes=span.attributes,
        status=SimpleNamespace(status_code=StatusCode[span.status], description=span.status_message),
        start_time=span.start_ns,
        end_time=span.end_ns,
        events=span.events,
        context=SimpleNamespace(span_id=int(span.span_id, 16)),
    )


def as_log(log: ReceivedLog) -> Any:
    record = SimpleNamespace(
        event_name=log.event_name,
        attributes=log.attributes,
        span_id=int(log.span_id, 16) if log.span_id else 0,
        severity_number=SimpleNamespace(value=log.severity_number),
        body=log.body,
    )
    return SimpleNamespace(log_record=record)


def run(tmp_path: Any, collector: Collector, service: str, **settings: str) -> Received:
    programs = Programs(tmp_path)
    # It takes long enough that a reader might come by; only the one at the end is to.
    done = programs.python(
        PROGRAM,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp,
        OTEL_SERVICE_NAME=service,
        OTEL_METRIC_EXPORT_INTERVAL="600000",
        **settings,
    )
    assert done.code == 0, done.stderr
    return wait_for("all of it is in the file", lambda: _whole(collector, service))


def _whole(collector: Collector, service: str) -> Received | None:
    found = Received(collector, service)
    return found if found.metrics and found.spans and found.logs else None


@pytest.fixture(scope="module")
def collected(backends, tmp_path_factory) -> Received:
    """Everything the Collector received of the program that does everything there is to do."""
    return run(tmp_path_factory.mktemp("conformance"), backends.collector, "conformance")


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_what_arrives_conforms(collected, question):
    """What holds for what a process emits holds for what a Collector has received of it."""
    question(collected)


def test_metrics_arrive_as_they_are_declared(collected):
    """Every metric of the table arrives, with its unit, kind, buckets and attributes, and no other."""
    assert names.METRICS.keys() == {point.metric for point in collected.metrics}
    kinds = {
        "histogram": "histogram",
        "counter": "sum",
        "observable_counter": "sum",
        "observable_gauge": "gauge",
    }
    for point in collected.metrics:
        row = names.METRICS[point.metric]
        assert (row.unit, kinds[row.instrument], row.buckets or ()) == (point.unit, point.type, point.bounds)
        assert set(point.attributes) <= set(row.attributes)


def test_every_metric_is_scraped(collected, backends):
    """Prometheus has every metric of the table, under its name and with unit and kind behind."""
    for row in names.METRICS.values():
        name = row.name.replace(".", "_") + {"s": "_seconds", "USD": "_USD"}.get(row.unit, "")
        name += {"histogram": "_count", "counter": "_total", "observable_counter": "_total"}.get(row.instrument, "")
        wait_for(
            f"{name} is scraped",
            lambda name=name: backends.prometheus.query(f'{name}{{job="conformance"}}'),
            timeout=20,
        )


def test_content_ends_at_the_collector(backends, tmp_path):
    """Of a program that sends its prompts, arguments and results, the Collector passes on none of them."""
    captured = run(
        tmp_path,
        backends.collector,
        "talkative",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_AND_EVENT",
        OTEL_METRICS_EXPORTER="otlp",
    )

    content = {name for rule in test_conformance.CONVENTIONS["spans"].values() for name in rule["content"]}
    everywhere = [
        *(span.attributes for span in captured.spans),
        *(log.log_record.attributes for log in captured.logs),
    ]
    assert names.MODEL_DETAILS in {log.log_record.event_name for log in captured.logs}  # it was captured
    assert set() == {name for attributes in everywhere for name in content & attributes.keys()}
    ours = [event.attributes for span in captured.spans for event in span.events]
    assert set() == {name for attributes in ours for name in names.CONTENT_FIELDS & attributes.keys()}
    stored = [span for span in backends.jaeger.traces("talkative") if span["scope"] == names.SCOPE]
    assert not content & {pair["key"] for span in stored for pair in span["attributes"]}


KEPT = ["gen_ai.usage.input_tokens", "gen_ai.tool.name", "gen_ai.input.messages.count", "input.value.length", "message"]
OTHERS = [
    "gen_ai.completion.0.content",
    "gen_ai.prompt",
    "gen_ai.prompt.0.content",
    "input.value",
    "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.content",
    "output.value",
    "traceloop.entity.input",
    "traceloop.entity.output",
]


def pairs(*keys: str) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": "what a user said"}} for key in keys]


def test_content_is_known_by_its_name(backends):
    """Content goes from spans, their events and log events by name, ours and others'; what is like it stays."""
    ours = {name for rule in test_conformance.CONVENTIONS["spans"].values() for name in rule["content"]}
    scope = {"scope": {"name": "by hand"}}
    resource = {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "by hand"}}]}}
    span = {
        "traceId": "1" * 32,
        "spanId": "2" * 16,
        "name": "chat m",
        "kind": 3,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": pairs(*KEPT, *OTHERS, *ours),
        "events": [
            {
                "name": "tachograph.message_added",
                "timeUnixNano": "1",
                "attributes": pairs("role", *names.CONTENT_FIELDS),
            },
            {"name": "theirs", "timeUnixNano": "1", "attributes": pairs("message", "gen_ai.prompt")},
        ],
    }
    logs = [
        {"eventName": "tachograph.message_added", "attributes": pairs("role", *names.CONTENT_FIELDS)},
        {"eventName": names.MODEL_DETAILS, "attributes": pairs("gen_ai.usage.input_tokens", *ours)},
        {
            "eventName": "gen_ai.user.message",
            "body": {"stringValue": "what a user said"},
            "attributes": pairs("message"),
        },
    ]
    for path, part, inner in (
        ("traces", "resourceSpans", {"scopeSpans": [{**scope, "spans": [span]}]}),
        ("logs", "resourceLogs", {"scopeLogs": [{**scope, "logRecords": logs}]}),
    ):
        answer = httpx.post(f"{backends.collector.otlp}/v1/{path}", json={part: [{**resource, **inner}]})
        assert answer.status_code == httpx.codes.OK  # and so it is in the file

    items = [
        item
        for document in read(backends.collector.file)
        for item in received(message(document))
        if item.resource["service.name"] == "by hand"
    ]
    (found,) = [item for item in items if isinstance(item, ReceivedSpan)]
    assert {*KEPT} == found.attributes.keys()
    assert [{"role"}, {"message"}] == [event.attributes.keys() for event in found.events]
    arrived = [item for item in items if isinstance(item, ReceivedLog)]
    assert [{"role"}, {"gen_ai.usage.input_tokens"}, {"message"}] == [log.attributes.keys() for log in arrived]
    assert [None, None, ""] == [log.body for log in arrived]
