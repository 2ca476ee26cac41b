"""Spans of other instrumentations: which are worth a place, what is read of them, where they belong."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from tachograph import names, runtime, session
from tachograph.canonical import record_text
from tachograph.cost import Prices
from tachograph.dialects import telling
from tachograph.foreign import operation_from_foreign
from tachograph.live import Start
from tachograph.spans import ReadEvent, ReadSpan
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tachograph.records import Operation
    from tachograph.testing import Capture

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.response.model": "gpt-4.1-2025-04-14",
    "gen_ai.response.finish_reasons": ("tool_calls",),
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "server.address": "api.openai.com",
    "server.port": 443,
}
FORMER_CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 20,
}
SELECT = {"db.system.name": "sqlite", "db.operation.name": "SELECT", "db.collection.name": "users"}
FORMER_SELECT = {"db.system": "sqlite", "db.operation": "SELECT", "db.sql.table": "users"}
GET = {"http.request.method": "GET", "server.address": "example.org", "url.full": "https://u:secret@example.org/q?k=1"}
FORMER_GET = {"http.method": "GET", "http.url": "https://u:secret@example.org/q?k=1"}
PUBLISHED = Prices()
PUBLISHED.ready()  # so that no example has to wait for it
STATEMENT = "SELECT secret FROM users"


def span(attributes: Mapping[str, Any], **changed: Any) -> ReadSpan:
    """A span of somebody else's."""
    return ReadSpan(
        scope="somebody.else",
        trace_id="a" * 32,
        span_id="b" * 16,
        parent_id="c" * 16,
        name="name",
        kind="CLIENT",
        start_ns=1_000,
        end_ns=2_000,
        failed=False,
        status_text=None,
        attributes=attributes,
    )._replace(**changed)


def read(attributes: Mapping[str, Any], **changed: Any) -> Operation:
    """What :func:`span` tells of, in a session."""
    attributes = {names.SESSION_ID: "s", **attributes}
    operation = operation_from_foreign(span(attributes, **changed), Prices({"gpt-4.1": {"input": 2, "output": 8}}))
    assert operation is not None
    return operation


# ------------------------------------------------------------------------------------------------ what is worth a place
@pytest.mark.parametrize(
    ("attributes", "changed"),
    [
        ({"rpc.system": "grpc"}, {}),
        ({"gen_ai.operation.name": "create_agent", "gen_ai.usage.input_tokens": 7}, {}),
        ({"gen_ai.operation.name": "retrieval"}, {}),
        (GET, {"kind": "SERVER"}),
        (SELECT, {"end_ns": None}),
        (CHAT, {"scope": names.SCOPE}),
        ({**CHAT, names.COUNTED: True}, {}),
    ],
    ids=["rpc", "agent made", "retrieval", "served", "under way", "ours", "counted"],
)
def test_most_spans_are_passed_over(attributes, changed) -> None:
    """What is neither a model call of its own, nor a query, nor a request, or is ours, has no place."""
    assert operation_from_foreign(span(attributes, **changed)) is None


@pytest.mark.parametrize("attributes", [CHAT, FORMER_CHAT, SELECT, FORMER_SELECT, GET, FORMER_GET])
def test_what_is_worth_a_place_is_seen_at_a_glance(attributes) -> None:
    """The first question asked of every span does not miss one that has a place."""
    assert telling(attributes)
    assert not telling({"rpc.system": "grpc"})


# ------------------------------------------------------------------------------------------------------ what is read
def test_a_model_call_is_read_as_ours_are() -> None:
    """Model, usage, provider, server, finish reasons and cost are those of an operation of kind model."""
    call = read(CHAT)

    expected = {name: value for name, value in CHAT.items() if name != names.OPERATION_NAME}
    assert ("model", "gpt-4.1", "ok") == (call.kind, call.name, call.outcome)
    expected |= {names.COST: 0.00036, names.RESPONSE_TOOL_CALLS: 1, names.TOLD_BY: "gen_ai"}
    assert expected == call.attributes


def test_former_names_say_the_same() -> None:
    """What earlier conventions called otherwise is read under today's names; today's win where both are there."""
    call = read({**FORMER_CHAT, names.OUTPUT_TOKENS: 21})

    assert ("openai", 100, 21) == tuple(
        call.attributes[name] for name in (names.PROVIDER_NAME, names.INPUT_TOKENS, names.OUTPUT_TOKENS)
    )
    assert read(SELECT) == read(FORMER_SELECT)
    assert read(GET) == read(FORMER_GET)


def test_nothing_is_guessed() -> None:
    """What a span does not say is absent: no usage, no model but the span's name, no cost, no tool calls."""
    call = read({names.OPERATION_NAME: "chat"}, name="chat")

    assert ("chat", {names.TOLD_BY: "gen_ai"}) == (call.name, call.attributes)


@pytest.mark.parametrize(
    ("attributes", "name", "expected"),
    [
        (SELECT, "whatever", ("SELECT users", "SELECT")),
        ({"db.system": "sqlite"}, "insert", ("INSERT", "INSERT")),
        ({"db.system": "sqlite"}, "SELECT main", ("SELECT", "SELECT")),
        ({"db.system": "sqlite"}, STATEMENT.removeprefix("SELECT "), ("sqlite", None)),
    ],
)
def test_a_query_is_called_by_what_was_asked_of_what(attributes, name, expected) -> None:
    """A query's name is operation and table; one whose span only has a name is called by that where it is a verb."""
    query = read(attributes, name=name)

    assert expected == (query.name, query.attributes.get(names.DB_OPERATION))


def test_a_request_is_called_by_method_and_host() -> None:
    """An HTTP request is its method and host; nothing else of the address is kept."""
    assert ("other", "GET example.org") == (read(GET).kind, read(GET).name)
    assert {
        names.HTTP_METHOD: "GET",
        names.SERVER_ADDRESS: "example.org",
        names.TOLD_BY: "http",
    } == read(FORMER_GET).attributes
    assert read({"http.method": "GET", "http.url": "http://[broken"}).name == "GET"


@pytest.mark.parametrize("attributes", [CHAT, SELECT, FORMER_SELECT, GET, FORMER_GET])
def test_no_statement_address_or_content_is_kept(attributes) -> None:
    """Whatever else a span has on it, statement, query string, message or status text, stays out of the record."""
    more = {
        "db.statement": STATEMENT,
        "db.query.text": STATEMENT,
        "db.query.summary": STATEMENT,
        "gen_ai.input.messages": "secret",
        "url.query": "secret",
    }
    told = (ReadEvent("exception", 1, {"exception.type": "Broken", "exception.message": "secret"}),)

    record = read({**attributes, **more}, failed=True, status_text="secret", events=told, name="secret")

    assert "secret" not in record_text(record)
    assert ("error", "Broken", None) == (record.outcome, record.error_type, record.error_message)


def test_the_error_is_the_one_the_span_says() -> None:
    """``error.type`` wins over the exception on the span, and counts only where the span failed."""
    told = (ReadEvent("exception", 1, {"exception.type": "Broken"}),)

    assert read({**SELECT, names.ERROR_TYPE: "timeout"}, failed=True, events=told).error_type == "timeout"
    assert read({**SELECT, names.ERROR_TYPE: "timeout"}).error_type is None
    assert read(SELECT, failed=True).error_type is None


@given(
    st.dictionaries(
        st.sampled_from([*names.ATTRIBUTES, *names.FORMER]),
        st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text()).map(tuple)),
    ),
    st.integers(min_value=-10, max_value=10),
)
def test_whatever_a_span_says_makes_a_record_or_none(attributes, end_ns) -> None:
    """Attributes of any types and times in any order give a record that can be kept, or none; never an exception."""
    operation = operation_from_foreign(span(attributes, start_ns=0, end_ns=end_ns), PUBLISHED)

    assert operation is None or json.loads(record_text(operation))["id"] == "b" * 16


# ------------------------------------------------------------------------------------------------- where they belong
@contextlib.contextmanager
def foreign(attributes: Mapping[str, Any], *, late: bool = False, scope: str = "somebody.else") -> Iterator[Any]:
    """A span of somebody else's around a block; its attributes are set when it starts, or later."""
    tracer = runtime.current().providers._explicit.get_tracer(scope)  # type: ignore[union-attr]  # capture's own
    with tracer.start_as_current_span("span", kind=SpanKind.CLIENT, attributes=None if late else attributes) as made:
        if late:
            made.set_attributes(attributes)
        yield made


@contextlib.contextmanager
def operation(kind: Any, name: str) -> Iterator[Any]:
    """An operation of ours around a block."""
    recorder = runtime.current().recorder
    live = recorder.begin(Start(kind, name, {names.REQUEST_MODEL: name} if kind == "model" else {}))
    token = otel.attach(live.context())
    try:
        yield live.record
    finally:
        otel.detach(token)
        recorder.end(live)


def records(captured: Capture) -> list[Operation]:
    """What the ledger has, the same in process and from spans."""
    ours, read_back = list(captured.ledger.records()), list(captured.spans_only.records())
    assert sorted(map(record_text, ours)) == sorted(map(record_text, read_back))
    assert captured.ledger.total() == captured.spans_only.total()
    return [record for record in ours if hasattr(record, "kind")]


@pytest.fixture
def met() -> Iterator[Capture]:
    """A capture whose provider has been joined, and that adds nothing to records that spans do not have."""
    with capture(environment=False) as captured:
        captured.runtime.providers.tracer()
        yield captured


@pytest.mark.parametrize("late", [False, True])
def test_what_others_do_in_an_agents_run_is_part_of_it(met, late) -> None:
    """A query in a run has the run's session, request and agent, lies below it, and is an entry of the audit log."""
    with session("s", correlation_id="c", user_id="u"), operation("agent", "cook") as run, foreign(SELECT, late=late):
        pass

    query, cook = records(met)
    assert ("s", "c", "u", "cook", run.id) == (
        query.session_id,
        query.correlation_id,
        query.user_id,
        query.agent,
        query.parent_id,
    )
    (entry,) = met.ledger.audit_log(event_type="database_query_executed")
    expected = {"system": "sqlite", "operation": "SELECT", "collection": "users", "agent": "cook", "outcome": "ok"}
    assert expected.items() <= entry.items()
    assert [entry] == met.ledger.audit_log(category="system")
    assert [(0, "cook"), (1, "SELECT users")] == [
        (line.depth, line.name) for line in met.ledger.timeline(session_id="s").entries
    ]
    assert "SELECT users" in str(met.ledger.timeline())
    assert cook.id == run.id


def test_what_lies_between_is_left_out(met) -> None:
    """Below a span that has no place, a query belongs to the operation of ours around both."""
    with operation("agent", "cook") as run, foreign({"rpc.system": "grpc"}), foreign(SELECT):
        pass

    query, _ = records(met)
    assert run.id == query.parent_id


def test_no_call_is_dropped_for_lack_of_a_session(met) -> None:
    """A model call outside of any session is in the process session, as ours are; a query there is nobody's."""
    with foreign(SELECT):
        pass
    with foreign(CHAT), foreign(GET):
        pass

    request, call = records(met)
    process = met.runtime.process_session()
    assert [process, process] == [request.session_id, call.session_id]
    assert call.trace_id == call.correlation_id
    assert request.parent_id == call.id


def test_a_model_call_by_others_is_counted_and_priced(met) -> None:
    """In a session's figures a call that somebody else recorded is a call like any other, its failure a failed one."""
    with session("s"):
        with foreign(CHAT, late=True):
            pass
        with foreign({names.OPERATION_NAME: "chat", names.REQUEST_MODEL: "gpt-4.1"}) as failed:
            failed.set_attribute(names.ERROR_TYPE, "RateLimitError")
            failed.set_status(Status(StatusCode.ERROR))

    figures = met.ledger.session_metrics("s")
    assert (2, 1, 1, 100, 20, 40) == (
        figures.total_requests,
        figures.successful_requests,
        figures.failed_requests,
        figures.total_prompt_tokens,
        figures.total_completion_tokens,
        figures.cached_tokens,
    )
    assert {"RateLimitError": 1} == figures.llm_errors
    assert figures.cost["complete"]
    assert figures.cost["amount"] > 0
    records(met)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("around", ["ours", "theirs in ours", "ours in theirs", "theirs"])
def test_one_call_is_counted_once(met, around, late) -> None:
    """However spans of one model call lie in each other, ours or others', it is one call."""
    with session("s"), contextlib.ExitStack() as stack:
        if around == "ours in theirs":
            stack.enter_context(foreign(CHAT))
        if around.startswith(("ours", "theirs in")):
            stack.enter_context(operation("model", "gpt-4.1"))
        if around.startswith("theirs"):
            stack.enter_context(foreign({"rpc.system": "x"} if around == "theirs in ours" else CHAT))
        if around != "ours in theirs":
            stack.enter_context(foreign(CHAT, late=late))

    assert 1 == met.ledger.session_metrics("s").total_requests
    records(met)


def test_a_call_inside_a_tool_of_theirs_counts_on_its_own(met) -> None:
    """Between our agent and their call may be a tool of theirs: each counts, below the one around it, for the agent."""
    tool = {names.OPERATION_NAME: "execute_tool"}
    with session("s"), operation("agent", "cook") as run, foreign(tool), foreign(CHAT), foreign(GET):
        pass

    found = {record.kind: record for record in records(met)}
    assert (run.id, found["tool"].id, found["model"].id) == (
        found["tool"].parent_id,
        found["model"].parent_id,
        found["other"].parent_id,
    )
    assert ["cook"] * 3 == [found[kind].agent for kind in ("tool", "model", "other")]
    assert 1 == met.ledger.session_metrics("s").total_requests


def test_nothing_is_heard_while_disabled(met) -> None:
    """With recording switched off, or stopped, others' spans leave no records."""
    met.runtime.enable(on=False)
    with foreign(CHAT), foreign(SELECT):
        pass
    met.runtime.enable(on=True)
    met.runtime.stop()
    with foreign(CHAT):
        pass

    assert [] == list(met.ledger.records())


def test_a_failure_while_listening_costs_the_program_nothing() -> None:
    """Where a span that ended cannot be taken in, the program goes on and the failure is counted."""
    with capture(strict=False) as captured:
        captured.runtime.providers.tracer()
        captured.ledger.apply = None  # type: ignore[assignment,method-assign]
        with session("s"), foreign(SELECT):
            pass
        assert trace.get_current_span() is trace.INVALID_SPAN
        assert [1] == list(captured.runtime.guard.swallowed().values())


def test_who_subscribes_hears_of_queries(met) -> None:
    """A subscription is told of a foreign query as of everything else."""
    heard: list[Any] = []
    subscription = met.runtime.subscribe(heard.append, event_type="database_query_executed")
    with session("s"), foreign(SELECT):
        pass
    subscription.close()

    assert ["database_query_executed"] == [entry["event_type"] for entry in heard]


# ------------------------------------------------------------------------------------------- what others say late
def test_a_call_known_late_for_one_is_counted_once(met) -> None:
    """Where the outer span says only at its end that it is a model call, it counts, and the inner one does not."""
    with session("s"), foreign({"rpc.system": "x"}) as outer:
        with foreign(CHAT):
            pass
        early = met.ledger.session_metrics("s")
        outer.set_attributes({**CHAT, names.INPUT_TOKENS: 101})

    assert (1, 100) == (early.total_requests, early.total_prompt_tokens)
    (call,) = records(met)
    assert 101 == call.attributes[names.INPUT_TOKENS]


def test_ours_win_where_theirs_is_known_late(met) -> None:
    """A span around ours that says at its end that it is the same call, or the same framework's run, adds nothing."""
    with session("s"), foreign({}, scope="x.smolagents") as run, operation("agent", "cook"):
        with foreign({}) as call, operation("model", "gpt-4.1"):
            call.set_attributes(CHAT)
        run.set_attributes({names.OPERATION_NAME: "invoke_agent"})

    figures = met.ledger.session_metrics("s")
    assert (1, 1) == (figures.total_requests, figures.agent_runs)
    records(met)


def test_agents_of_others_are_in_the_process_session_too(met) -> None:
    """An agent run that nobody put into a session is in that of the process, and so is what is in it."""
    with foreign({names.OPERATION_NAME: "invoke_agent", names.AGENT_NAME: "clerk"}), foreign(CHAT):
        pass

    call, run = sorted(records(met), key=lambda record: record.kind, reverse=True)
    assert [met.runtime.process_session()] * 2 == [call.session_id, run.session_id]
    assert ("clerk", run.id) == (call.agent, call.parent_id)


def test_a_conversation_is_a_session(met) -> None:
    """Where a framework says which conversation it is, that is the session; of a helper's it is that of who asked."""
    run = {names.OPERATION_NAME: "invoke_agent", names.CONVERSATION_ID: "talk"}
    with foreign(run), foreign({**run, names.CONVERSATION_ID: "another"}), foreign(CHAT):
        pass

    assert {"talk"} == {record.session_id for record in records(met)}


def test_what_waits_when_recording_stops_is_kept(met) -> None:
    """A call in a span that never ends is told of when recording stops."""
    with session("s"), foreign({"rpc.system": "x"}):
        with foreign(CHAT):
            pass
        assert [] == [record for record in met.ledger._history if record.session_id == "s"]
        met.runtime.stop()

    assert 1 == met.ledger.session_metrics("s").total_requests


def test_what_waits_at_a_fork_is_the_parents(met) -> None:
    """A child tells of its own calls alone, each as soon as nothing of its own is around it."""
    with session("s"), foreign({"rpc.system": "x"}):
        with foreign(CHAT):
            pass
        assert 1 == met.ledger.session_metrics("s").total_requests
        met.runtime.after_fork()  # all that a fork changes, but for the process
        assert 0 == met.ledger.session_metrics("s").total_requests
        with foreign(CHAT):
            pass
        met.ledger.settle()
        assert ["s"] == [record.session_id for record in met.ledger._history]
        met.runtime.stop()

    assert 1 == met.ledger.session_metrics("s").total_requests
