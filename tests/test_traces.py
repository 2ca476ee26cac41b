"""Traces as they come in: what waits, what is decided when, and that each call is counted once in any order."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.foreign_spans import CHAT, identifier, span
from tachograph import names
from tachograph.canonical import record_text
from tachograph.cost import Prices
from tachograph.foreign import UNATTRIBUTED
from tachograph.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.records import Operation
    from tachograph.spans import ReadSpan

RUN = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk", "gen_ai.usage.input_tokens": 999}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "price"}
FLOW = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "shop"}
PLAIN = {"rpc.system": "grpc"}
INNER = {"gen_ai.operation.name": "chat", "gen_ai.usage.cache_read.input_tokens": 40, "gen_ai.usage.input_tokens": 100}
OURS: dict[str, Any] = {names.SESSION_ID: "ours", names.CORRELATION_ID: "c", names.REQUEST_MODEL: "gpt-4.1"}


def ours(number: int, kind: str, *, parent: int | None = None, **more: Any) -> ReadSpan:
    """A span of our own scope."""
    attributes = {**OURS, names.KIND: kind, names.SUBJECT: "it", **more}
    return span(number, attributes, parent=parent, scope=names.SCOPE)


def taken(traces: Traces, spans: Iterable[ReadSpan]) -> list[Operation]:
    return [operation for each in spans for operation in traces.take(each)]


def told(*spans: ReadSpan) -> dict[int, Operation]:
    """The operations that spans tell of when they come in order of their end, by number."""
    traces = Traces()
    found = [*taken(traces, sorted(spans, key=lambda each: -each.start_ns)), *traces.rest()]
    assert len(found) == len({operation.id for operation in found})
    return {int(operation.id, 16): operation for operation in found}


# -------------------------------------------------------------------------------------------------------- one call once
def test_the_outermost_call_is_the_call() -> None:
    """Of a chat span in a chat span in a chat span, the outer one counts, whatever lies between."""
    found = told(span(1, CHAT), span(2, PLAIN, parent=1), span(3, CHAT, parent=2, scope="sdk"), span(4, CHAT, parent=3))

    assert [1] == list(found)


def test_what_the_call_does_not_say_those_in_it_fill_in() -> None:
    """Tokens of kinds that the outer span leaves out, and the model of one that failed, are those of the inner ones."""
    (call,) = told(span(1, CHAT), span(2, INNER, parent=1), span(3, INNER, parent=1)).values()
    (failed,) = told(
        span(1, {"gen_ai.operation.name": "chat"}, error="Broken"), span(2, CHAT, parent=1, error="Broken")
    ).values()

    assert (100, 80) == (call.attributes[names.INPUT_TOKENS], call.attributes[names.CACHED_TOKENS])
    assert ("gpt-4.1", "error", "Broken") == (failed.name, failed.outcome, failed.error_type)


def test_sums_on_agents_are_no_calls() -> None:
    """An agent's span may repeat the tokens of its calls: they are the calls'."""
    found = told(span(1, FLOW), span(2, RUN, parent=1), span(3, CHAT, parent=2), span(4, CHAT, parent=2))

    assert {1: "task", 2: "agent", 3: "model", 4: "model"} == {number: each.kind for number, each in found.items()}
    assert names.INPUT_TOKENS not in found[2].attributes


@pytest.mark.parametrize("kind", ["model", "agent", "tool"])
def test_ours_win_over_theirs(kind) -> None:
    """What our hooks recorded counts, be theirs around it or in it; spans of ours give nothing here."""
    theirs = {"model": CHAT, "agent": RUN, "tool": TOOL}[kind]

    around = told(span(1, theirs, scope="x.smolagents"), ours(2, kind, parent=1))
    within = told(ours(1, kind), span(2, theirs, parent=1, scope="x.smolagents"))

    assert ({}, {}) == (around, within)


def test_neighbours_of_one_answer_are_one_call() -> None:
    """A client's own span beside that of an instrumentation, in another trace even, tells of the same answer."""
    answered = {**CHAT, names.RESPONSE_ID: "a"}

    found = told(span(1, answered), span(2, answered, scope="client", trace_id="b" * 32))

    assert 1 == len(found)


# ----------------------------------------------------------------------------------------------------- where it belongs
def test_what_is_around_says_where_it_belongs() -> None:
    """Session, user, agent and the operation around are those of the nearest one that has any."""
    top = {**RUN, names.CONVERSATION_ID: "talk", names.USER_ID: "ada"}
    nested = {**RUN, "gen_ai.agent.name": "helper", names.CONVERSATION_ID: "another talk"}

    found = told(
        span(1, top),
        span(2, PLAIN, parent=1),
        span(3, TOOL, parent=2),
        span(4, nested, parent=3),
        span(5, CHAT, parent=4),
    )

    assert {("talk", "ada", "a" * 32)} == {
        (each.session_id, each.user_id, each.correlation_id) for each in found.values()
    }
    assert [None, "clerk", "clerk", "helper"] == [found[number].agent for number in (1, 3, 4, 5)]
    assert [None, 1, 3, 4] == [int(parent, 16) if (parent := found[n].parent_id) else None for n in (1, 3, 4, 5)]
    assert [False, True] == [names.NESTED in found[number].attributes for number in (1, 4)]


def test_a_span_may_say_itself_which_agent_it_works_for() -> None:
    """Where no agent's run is around, the agent that a call names is the one it was made by."""
    found = told(span(1, {**CHAT, names.AGENT_NAME: "clerk"}), span(2, {**TOOL, names.AGENT_NAME: "boss"}))

    assert ["clerk", "boss"] == [found[1].agent, found[2].agent]


def test_ours_around_say_where_theirs_belong() -> None:
    """In a run of ours, spans of others are in its session, its request and its agent's work."""
    found = told(ours(1, "agent", **{names.AGENT_NAME: "it"}), span(2, PLAIN, parent=1), span(3, CHAT, parent=2))

    call = found[3]
    assert ("ours", "c", "it", identifier(1)) == (call.session_id, call.correlation_id, call.agent, call.parent_id)


def test_nobodys_spans_are_unattributed() -> None:
    """Where no session is said it is not made up; whoever takes them in may have one to give."""
    traces = Traces(session=lambda: "process", prices=Prices({"gpt-4.1": {"input": 2, "output": 8}}))

    (call,) = told(span(1, CHAT)).values()
    (given_one,) = traces.take(span(1, CHAT))

    assert (UNATTRIBUTED, "process") == (call.session_id, given_one.session_id)
    assert 0.00036 == given_one.attributes[names.COST]


def test_a_failure_that_is_handed_up_is_one_cause() -> None:
    """An agent run that fails with what a run in it failed with has it handed up; with anything else it has not."""
    nested = span(2, {**RUN, "gen_ai.agent.name": "helper"}, parent=1, error="Broken")

    same, other = (told(span(1, RUN, error=error), nested)[1] for error in ("Broken", "Other"))

    assert [True, False] == [names.HANDED_UP in each.attributes for each in (same, other)]


def test_a_client_over_mcp_learns_what_the_server_refused() -> None:
    """A call whose server says that the tool failed has failed, though the client got its answer."""
    call = {"mcp.method.name": "tools/call"}

    found = told(
        span(1, call, kind="CLIENT", name="MCP send tools/call price"),
        span(2, {**call, names.ERROR_TYPE: "tool_error"}, parent=1, kind="SERVER", failed=True),
    )

    assert {1: ("error", "tool_error")} == {number: (each.outcome, each.error_type) for number, each in found.items()}


# ------------------------------------------------------------------------------------------------------- what waits
def test_spans_wait_for_those_around_them() -> None:
    """Nothing is decided before the outermost span has ended, and all is at once; meanwhile it can be looked at."""
    traces = Traces()

    assert [] == taken(traces, [span(3, CHAT, parent=2), span(2, CHAT, parent=1)])
    assert [identifier(2)] == [operation.id for operation in traces.undecided()]
    assert 2 == len(traces)
    decided = traces.take(span(1, CHAT))
    assert [identifier(1)] == [operation.id for operation in decided]
    assert (0, [], []) == (len(traces), traces.undecided(), traces.rest())


def test_a_remote_parent_is_not_waited_for() -> None:
    """What is around in another process may never come here; if it does after all, the call is still one."""
    traces = Traces()

    served = traces.take(span(2, CHAT, parent=1, remote_parent=True))
    around = traces.take(span(1, CHAT))

    assert ([identifier(2)], []) == ([operation.id for operation in served], around)


def test_one_that_ends_late_is_told_by_what_was_around() -> None:
    """A span that ends after the one around it is decided at once, as in that one."""
    traces = Traces()
    taken(traces, [span(1, {**RUN, names.SESSION_ID: "s"}), span(11, CHAT, trace_id="b" * 32)])

    (call,) = traces.take(span(2, CHAT, parent=1))
    repeated = traces.take(span(12, CHAT, parent=11, trace_id="b" * 32))

    assert ("s", "clerk", []) == (call.session_id, call.agent, repeated)


def test_too_many_are_decided_by_what_is_known() -> None:
    """Beyond the bound the trace that has waited longest is told of, and counts no call a second time later."""
    traces = Traces(limit=2)
    found = taken(
        traces, [span(3, CHAT, parent=2), span(2, PLAIN, parent=1), span(9, CHAT, parent=8, trace_id="b" * 32)]
    )

    assert ([identifier(3)], 1) == ([operation.id for operation in found], len(traces))
    assert [] == traces.take(span(1, CHAT))


def test_patience_ends() -> None:
    """Spans of a trace of which nothing more is heard wait for so long; each new one starts the wait anew."""
    seconds = itertools.count()
    traces = Traces(patience=3, clock=lambda: next(seconds))

    assert [] == taken(traces, [span(3, CHAT, parent=2), span(4, CHAT, parent=2)])  # at 0 and 1
    assert [] == traces.overdue()  # 2
    assert [] == traces.overdue()  # 3
    assert 2 == len(traces.overdue())  # 4
    assert ([], 0) == (traces.overdue(), len(traces))


def test_without_patience_nothing_is_overdue() -> None:
    """By default spans wait as long as there is room."""
    traces = Traces()
    traces.take(span(2, CHAT, parent=1))

    assert ([], 1) == (traces.overdue(), len(traces))


def test_what_waits_holds_no_content() -> None:
    """Attributes and events of spans that wait are let go, but for what is kept of them."""
    traces = Traces()
    traces.take(span(2, {**CHAT, "gen_ai.input.messages": "secret"}, parent=1, error="secret"))
    traces.take(ours(4, "model", parent=3, **{names.INPUT_MESSAGES: "secret"}))

    assert "gen_ai.input.messages" not in str(traces._waiting["a" * 32].spans[identifier(2) or ""])
    assert "secret" not in str(traces._waiting["a" * 32].spans[identifier(4) or ""])


# ------------------------------------------------------------------------------------------------------- any order
@st.composite
def forests(draw: st.DrawFn) -> list[ReadSpan]:
    """Spans of one trace: a few trees, or spans in each other, of any kinds and scopes, by us and by others."""
    count = draw(st.integers(1, 8))
    made = []
    for number in range(1, count + 1):
        parent = draw(st.one_of(st.none(), st.integers(1, count + 2)))
        if draw(st.integers(0, 3)) == 0:
            made.append(ours(number, draw(st.sampled_from(["model", "agent", "tool"])), parent=parent))
        else:
            attributes = draw(st.sampled_from([CHAT, INNER, RUN, TOOL, FLOW, PLAIN, {**CHAT, names.SESSION_ID: "s"}]))
            scope = draw(st.sampled_from(["a.smolagents", "b.smolagents", "mcp"]))
            made.append(span(number, attributes, parent=parent, scope=scope, error=draw(st.sampled_from([None, "E"]))))
    return made


@given(forests(), st.randoms(use_true_random=False))
def test_the_order_of_coming_does_not_matter_where_all_is_seen(spans, random) -> None:
    """Decided when all has come, the operations are the same whatever the order, repeats included."""
    told_in_order, shuffled = Traces(), Traces()
    again = [*spans, *spans[:3]]
    random.shuffle(again)
    # Spans that are in each other have no outermost one: which is taken for it is by order.
    parents = {each.span_id: each.parent_id for each in spans}
    for each in spans:
        above = each.parent_id
        for _ in spans:
            if above == each.span_id:
                return
            above = parents.get(above)

    for traces, those in ((told_in_order, spans), (shuffled, again)):
        for each in those:
            assert [] == traces.take(each, top=False)

    assert sorted(map(record_text, told_in_order.rest())) == sorted(map(record_text, shuffled.rest()))


@given(forests())
def test_no_call_is_counted_twice_or_lost(spans) -> None:
    """As spans come, each operation is told of once, all that waits is what is undecided, and it makes records."""
    traces = Traces(limit=4)
    found = []
    for each in spans:
        found += traces.take(each)
        undecided = traces.undecided()
        assert undecided == traces.undecided()
    left = traces.rest()

    assert [*map(record_text, undecided)] == [*map(record_text, left)]
    ids = [operation.id for operation in (*found, *left)]
    assert sorted(set(ids)) == sorted(ids)
    assert all(json.loads(record_text(operation)) for operation in found)
    assert 0 == len(traces)
