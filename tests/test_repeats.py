"""Whether what a span tells of is told of already."""

from __future__ import annotations

import pytest

from support.foreign_spans import CHAT, span
from tachograph import names
from tachograph.foreign import told
from tachograph.kin import NOTHING, NOWHERE, Nearest, Within
from tachograph.repeats import repeats

RUN = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "price"}
FLOW = {"gen_ai.operation.name": "invoke_workflow"}
MCP = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "price"}


def is_repeated(attributes, around=NOWHERE, within=NOTHING, **changed) -> bool:
    tale = told(span(1, attributes, **changed))
    assert tale.said is not None
    return repeats(tale, tale.said, around, within)


def right_in(kind: str, name: str, scope: str = "x.smolagents") -> dict[str, Nearest]:
    return {"nearest": Nearest("1", kind, name, scope)}


@pytest.mark.parametrize(
    ("around", "within", "repeated"),
    [
        (NOWHERE, NOTHING, False),
        (NOWHERE._replace(in_call=True), NOTHING, True),
        (NOWHERE._replace(in_run=True, agent="clerk"), NOTHING, False),
        (NOWHERE, Within(ours=frozenset({"model"})), True),
        (NOWHERE, Within(ours=frozenset({"agent", "tool"})), False),
        (NOWHERE, Within(counted=True), True),
    ],
)
def test_a_model_call_in_or_around_a_counted_one(around, within, repeated) -> None:
    """The outermost call is the call, unless ours is in it, or one in it was counted before."""
    assert repeated == is_repeated(CHAT, around, within)
    assert is_repeated({**CHAT, names.COUNTED: True}, around, within)


@pytest.mark.parametrize(
    ("nearest", "repeated"),
    [
        (right_in("agent", "clerk", "y.smolagents"), True),  # by name
        (right_in("agent", "boss", "y.smolagents"), True),  # by framework
        (right_in("agent", "boss", "y.crewai"), False),
        (right_in("agent", "clerk", "x.smolagents"), False),  # it called itself
        (right_in("agent", "boss", names.SCOPE), True),  # ours tell of this framework
        (right_in("tool", "clerk", "y.smolagents"), False),
    ],
)
def test_a_run_of_which_two_instrumentations_tell(nearest, repeated) -> None:
    """One agent run right in another of the same name or framework, by somebody else, is the same."""
    assert repeated == is_repeated(RUN, NOWHERE._replace(**nearest), scope="x.smolagents")


@pytest.mark.parametrize(("scope", "repeated"), [("x.smolagents", True), ("pydantic-ai", False)])
def test_ours_win_of_the_frameworks_we_hook(scope, repeated) -> None:
    """Around an agent run of ours, a run of the same framework is the same, and one of another is not."""
    within = Within(ours=frozenset({"agent", "model"}))

    assert repeated == is_repeated(RUN, NOWHERE, within, scope=scope)


def test_work_is_asked_for_once() -> None:
    """A workflow in a workflow, or in an agent's run, is no task of its own."""
    assert [False, True, True] == [
        is_repeated(FLOW, around) for around in (NOWHERE, NOWHERE._replace(task_id="t"), NOWHERE._replace(in_run=True))
    ]


@pytest.mark.parametrize(
    ("kind", "around", "parent", "repeated"),
    [
        ("CLIENT", NOWHERE, 9, False),
        ("CLIENT", NOWHERE._replace(**right_in("tool", "look")), 9, True),
        ("CLIENT", NOWHERE._replace(**right_in("tool", "look"), served=True), 9, False),
        ("CLIENT", NOWHERE._replace(**right_in("agent", "clerk")), 9, False),
        ("SERVER", NOWHERE, None, False),
        ("SERVER", NOWHERE, 9, True),
        ("SERVER", NOWHERE._replace(**right_in("agent", "clerk")), 9, False),
        ("SERVER", NOWHERE._replace(**right_in("tool", "price", "mcp")), 9, True),
    ],
)
def test_a_call_over_mcp_is_the_tools(kind, around, parent, repeated) -> None:
    """What a tool calls to do its work is the tool's call; what a server serves is its client's, if there is one."""
    assert repeated == is_repeated(MCP, around, kind=kind, parent=parent, scope="mcp")


def test_a_tool_that_is_decorated_too() -> None:
    """A tool's call right in one of the same name by another instrumentation is the same; of the same one it is not."""
    around = NOWHERE._replace(**right_in("tool", "price", "pydantic-ai"))

    assert [True, False, False] == [
        is_repeated(TOOL, around, scope="traceloop.tracer"),
        is_repeated(TOOL, around, scope="pydantic-ai"),
        is_repeated({**TOOL, "gen_ai.tool.name": "look"}, around, scope="traceloop.tracer"),
    ]
