"""Every name on the wire is in the tables, and the tables agree with the conventions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from opentelemetry.trace import SpanKind

from tachograph import codec, names
from tachograph.context import Scope, with_scope
from tachograph.live import Start
from tachograph.testing import TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.live import Live
    from tachograph.records import Kind
    from tachograph.testing import Capture

CONVENTIONS = json.loads((Path(__file__).parent / "data" / "conventions.json").read_text("utf-8"))
NOT_OURS = ("gen_ai.", "error.", "exception.", "session.", "user.", "server.", "db.", "http.", "url.")
TYPES = {
    "text": str,
    "anything, on spans as JSON": str,
    "whole number": int,
    "number": float,
    "yes or no": bool,
    "texts": tuple,
}


# ----------------------------------------------------------------------------------------------------- the tables
def test_attributes_of_the_conventions_have_their_types() -> None:
    """Whatever is not of our own namespace is in the conventions, and its values are of the type they give."""
    agreed = {name: TYPES[kind] for kind, listed in CONVENTIONS["attributes"].items() for name in listed}
    assert agreed == {name: attribute.type for name, attribute in names.ATTRIBUTES.items() if name.startswith(NOT_OURS)}


def test_metrics_of_the_conventions_have_their_units_buckets_and_attributes() -> None:
    """Whatever is not of our own namespace is a histogram with the unit, the buckets and the attributes agreed on."""
    agreed = {
        name: (
            "histogram",
            metric["unit"],
            [pytest.approx(first * factor**n) for n in range(count)],
            metric["attributes"],
        )
        for name, metric in CONVENTIONS["metrics"].items()
        for first, factor, count in [metric["buckets"]]
    }
    assert agreed == {
        name: (metric.instrument, metric.unit, list(metric.buckets or ()), sorted(metric.attributes))
        for name, metric in names.METRICS.items()
        if name.startswith(NOT_OURS)
    }


def test_every_other_name_is_of_our_namespace() -> None:
    """A name is agreed on by others or begins with our own name; no third kind exists."""
    for table in (names.ATTRIBUTES, names.METRICS):
        assert [name for name in table if not name.startswith((*NOT_OURS, "tachograph."))] == []
    assert names.SCOPE == "tachograph"
    assert names.EVENT_PREFIX == "tachograph."
    assert CONVENTIONS["events"] == [names.MODEL_DETAILS, names.MODEL_EXCEPTION]


def test_words_for_operations_are_those_of_the_conventions() -> None:
    """Kinds the conventions have a word for use it, each its own."""
    assert CONVENTIONS["operations"] == sorted(codec.OPERATION_NAMES.values())


def test_tables_are_whole() -> None:
    """Each name is its own key, says what it means, is lower case with dots, and points carry known attributes."""
    for table in (names.ATTRIBUTES, names.METRICS):
        for name, row in table.items():
            assert name == row.name
            assert row.brief
            assert set(name) <= set("abcdefghijklmnopqrstuvwxyz_.")
    for metric in names.METRICS.values():
        assert metric.attributes == tuple(name for name in metric.attributes if name in names.ATTRIBUTES)
        assert metric.unit in ("s", "USD") or (metric.unit[0], metric.unit[-1]) == ("{", "}")
        assert (metric.instrument == "histogram") == (metric.buckets is not None)
    assert {category for category, _ in names.EVENTS.values()} == {
        "session",
        "agent",
        "llm",
        "tool",
        "hitl",
        "task",
        "system",
    }


def test_every_constant_is_in_a_table() -> None:
    """A name that the code can use is one that the documentation shows."""
    constants = {
        value
        for word, value in vars(names).items()
        if word.isupper() and isinstance(value, str) and not word.startswith("_")
    }
    outside = {
        names.SCOPE,
        names.EVENT_PREFIX,
        names.AUDIT_HEAD,
        names.CUSTOM,
        names.MODEL_DETAILS,
        names.MODEL_EXCEPTION,
        names.LATEST,
        names.LATEST_VARIABLE,
    }
    assert constants - outside == names.ATTRIBUTES.keys() | names.METRICS.keys() | names.LATEST_METRICS.keys()


def test_the_newest_metrics_are_those_of_the_conventions() -> None:
    """The second column has the instruments, units, buckets and attributes agreed on, in the place of what is gone."""
    agreed = CONVENTIONS["latest metrics"]
    spread = {
        name: None if metric["buckets"] is None else [first * factor**n for n in range(count)]
        for name, metric in agreed["metrics"].items()
        for first, factor, count in [metric["buckets"] or (0, 0, 0)]
    }

    assert {
        name: (metric["instrument"], metric["unit"], metric["attributes"]) for name, metric in agreed["metrics"].items()
    } == {
        name: (metric.instrument, metric.unit, sorted(metric.attributes))
        for name, metric in names.LATEST_METRICS.items()
    }
    for name, metric in names.LATEST_METRICS.items():
        assert spread[name] == (None if metric.buckets is None else pytest.approx(list(metric.buckets)))
    assert agreed["instead of"] == sorted(names.REPLACED)
    newest, released = names.metrics_of(latest=True), names.metrics_of(latest=False)
    assert released == names.METRICS
    assert newest.keys() == released.keys() - names.REPLACED | names.LATEST_METRICS.keys()
    assert not names.LATEST_METRICS.keys() & released.keys()


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("", False), ("http", False), ("http,gen_ai_latest_experimental", True), (" gen_ai_latest_experimental ", True)],
)
def test_the_newest_are_asked_for_by_the_standard_variable(said: str, wanted: bool) -> None:  # noqa: FBT001 - a row
    """One word among those of other conventions asks for them; without it nothing changes."""
    assert wanted == names.latest_wanted(said)


# ------------------------------------------------------------------------------------------------------- the wire
AGENT_FACTS = {names.AGENT_NAME: "coder", names.AGENT_DESCRIPTION: "writes code"}
MODEL_FACTS: dict[str, Any] = {
    names.PROVIDER_NAME: "openai",
    names.REQUEST_MODEL: "gpt-4.1",
    names.REQUEST_STREAM: True,
    names.SERVER_ADDRESS: "model.example",
    names.SERVER_PORT: 443,
    names.STEP: 1,
}
MODEL_RESULTS: dict[str, Any] = {
    names.RESPONSE_MODEL: "gpt-4.1-mini",
    names.INPUT_TOKENS: 10,
    names.OUTPUT_TOKENS: 2,
    names.FINISH_REASONS: ("stop",),
    names.TIME_TO_FIRST_CHUNK: 0.2,
}


def work(captured: Capture) -> None:
    """A bit of every kind of operation and of everything that can become of one."""
    recorder = captured.runtime.recorder

    def begin(kind: Kind, name: str, around: Live | None, **details: Any) -> Live:
        base = with_scope(Scope("s", "r", "ada", "c")) if around is None else around.context()
        token = attach(base)
        try:
            return recorder.begin(Start(kind, name, **details))
        finally:
            detach(token)

    task = begin("task", "nightly", None, facts={names.WORKFLOW_NAME: "nightly"})
    manager = begin("agent", "manager", task)
    token = attach(manager.context())
    recorder.event("message_added", {"role": "user"})
    detach(token)
    switch = {names.SWITCH_FROM: "manager", names.SWITCH_TO: "coder", names.SWITCH_REASON: "needs code"}
    coder = begin("agent", "coder", manager, facts={**AGENT_FACTS, **switch})
    recorder.end(begin("plan", "coder", coder, facts=dict(AGENT_FACTS)))
    recorder.end(begin("model", "gpt-4.1", coder, facts=dict(MODEL_FACTS)), "ok", MODEL_RESULTS)
    recorder.end(begin("model", "gpt-4.1", coder, facts=dict(MODEL_FACTS)), "error", {}, TimeoutError("late"))
    recorder.end(begin("model", "local", coder, in_process=True), "abandoned")
    tool_facts = {names.TOOL_NAME: "search", names.TOOL_TYPE: "function", names.TOOL_CALL_ID: "call_1"}
    recorder.end(begin("tool", "search", coder, facts={**tool_facts, names.AGENT_NAME: "coder"}))
    recorder.end(begin("tool", "search", coder, facts=tool_facts), "error", {}, KeyError("x"))
    recorder.end(begin("tool", "made_up", coder, refused=True), "refused", {}, ValueError("no such tool"))
    recorder.end(begin("code", "python", coder), "ok")
    recorder.end(begin("model", "gpt-4.1", coder, facts=dict(MODEL_FACTS)), "ok", MODEL_RESULTS)
    token = attach(coder.context())
    approvals = captured.runtime.approvals
    approvals.ask({"tool_name": "search", "call_id": "call_1", "arguments": {"q": "x"}, "timeout_seconds": 60})
    edit = {"call_id": "call_1", "decision": "EDIT", "modified_args": {"q": "y"}, "decided_by": "ada"}
    approvals.decide(edit)
    detach(token)
    recorder.end(begin("other", "GET", coder))
    error = ValueError("broken")
    recorder.end(coder, "error", {names.STEPS: 3, names.RECOVERED: ("ParsingError",)}, error)
    recorder.end(manager, "error", {}, error)
    recorder.end(task, "max_steps")
    captured.runtime.guard(int, "x")


@pytest.fixture(params=["session", "correlation"])
def worked(request: pytest.FixtureRequest) -> Iterator[Capture]:
    """Everything written of that work."""
    with capture(strict=False, clock=TickingClock(), metric_keys=[request.param]) as captured:
        work(captured)
        yield captured


def test_spans_carry_what_the_table_says(worked: Capture) -> None:
    """Each attribute of a span is in the table, of the type it gives; span events are of the events' table."""
    assert worked.spans
    for span in worked.spans:
        for name, value in (span.attributes or {}).items():
            assert type(value) is names.ATTRIBUTES[name].type, name
        for copy in span.events:
            assert copy.name.removeprefix(names.EVENT_PREFIX) in names.EVENTS
            assert [name for name in copy.attributes or {} if "." in name and name not in names.ATTRIBUTES] == []


def test_spans_are_of_the_conventions_kind(worked: Capture) -> None:
    """A model behind a server is a client's call, everything else happens in this process."""
    clients = {span.name for span in worked.spans if span.kind is SpanKind.CLIENT}
    assert clients == {"chat gpt-4.1"}
    assert {span.name for span in worked.spans if span.kind is SpanKind.INTERNAL} == {
        "invoke_workflow nightly",
        "invoke_agent",
        "invoke_agent coder",
        "plan coder",
        "chat",
        "execute_tool search",
        "refused_tool",
        "execute_code",
        "approval search",
        "operation",
    }


def test_metrics_are_what_the_table_says(worked: Capture) -> None:
    """Each metric of the table is there with its instrument, unit, buckets and meaning, and there is no other."""
    kinds = {
        "histogram": Histogram,
        "counter": Sum,
        "observable_counter": Sum,
        "observable_gauge": Gauge,
    }
    assert worked.metric_reader is not None
    data = worked.metric_reader.get_metrics_data()
    assert data is not None
    (scope,) = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    assert scope.scope.name == names.SCOPE
    assert sorted(metric.name for metric in scope.metrics) == sorted(names.METRICS)
    for metric in scope.metrics:
        row = names.METRICS[metric.name]
        assert (row.unit, row.brief) == (metric.unit, metric.description)
        assert type(metric.data) is kinds[row.instrument]
        for point in metric.data.data_points:
            if isinstance(metric.data, Histogram):
                assert list(row.buckets or ()) == list(point.explicit_bounds)


def test_points_carry_what_the_table_says(worked: Capture) -> None:
    """Each attribute of a point is one that the table gives to the metric, and each it gives is carried somewhere."""
    carried: dict[str, set[str]] = {name: set() for name in names.METRICS}
    for name, attributes, _ in worked.points():
        carried[name] |= attributes.keys()
        for key, value in attributes.items():
            assert type(value) is names.ATTRIBUTES[key].type, (name, key)
    for name, metric in names.METRICS.items():
        assert carried[name] <= set(metric.attributes)
        assert set(metric.attributes) - carried[name] <= {names.CORRELATION_ID}
    keyed = names.CORRELATION_ID in carried[names.SESSION_TOKENS]
    assert keyed == (worked.runtime.config.metric_keys == ("correlation",))


def test_log_events_are_of_the_table(worked: Capture) -> None:
    """Each log event is one of the table under our prefix, or the conventions' own for a model that failed."""
    events = [log.log_record for log in worked.logs]
    assert {record.event_name for record in events} == {
        names.MODEL_EXCEPTION,
        "tachograph.agent_switched",
        "tachograph.message_added",
        "tachograph.tool_approval_required",
        "tachograph.hitl_approval_requested",
        "tachograph.hitl_decision_made",
    }
    for record in events:
        ours = (record.event_name or "").removeprefix(names.EVENT_PREFIX)
        assert ours in names.EVENTS or record.event_name == names.MODEL_EXCEPTION
        assert [name for name in record.attributes or {} if "." in name and name not in names.ATTRIBUTES] == []


def test_token_types_are_those_of_the_conventions(worked: Capture) -> None:
    """Token metrics tell what was read from what was written, in the agreed words."""
    said = {
        attributes[names.TOKEN_TYPE]
        for name, attributes, _ in worked.points()
        if name in (names.TOKEN_USAGE, names.SESSION_TOKENS)
    }
    assert sorted(said) == CONVENTIONS["token types"]
