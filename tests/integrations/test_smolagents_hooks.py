"""Every hook into smolagents: what it alone finds out, and that nothing else of the framework is touched."""

from __future__ import annotations

import concurrent.futures
import contextvars
import inspect
from typing import TYPE_CHECKING, Any

import pytest
import smolagents
from smolagents import OpenAIModel, Tool, tool
from smolagents.agents import MultiStepAgent
from smolagents.models import ChatMessage, MessageRole, Model

import tachograph
from scripted_llm import Reply, ScriptedLLM
from support.agents import Lookup, Say, ScriptedModel, answer, caller, code, coder
from support.figures import ran, tree
from tachograph import names
from tachograph.probes import Carry, Glance, Hooks, Probe
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.testing import Capture


class Remote:
    """A team member that is no smolagents agent."""

    name = "remote"
    description = "Works elsewhere."

    def __call__(self, task: str, **_: Any) -> str:
        return "found"


class Duck:
    """A model that is no Model."""

    model_id = "duck"

    def __init__(self, *script: Any) -> None:
        self.model = ScriptedModel(*script)

    def generate(self, messages: Any, **_: Any) -> Any:
        return self.model.generate(messages)


class Executor:
    """An executor that is no PythonExecutor, and runs nothing."""

    def __call__(self, source: str) -> Any:
        return smolagents.local_python_executor.CodeOutput(output=source, logs="", is_final_answer=True)

    def send_tools(self, *_: Any, **__: Any) -> None:
        """Nothing to send."""

    send_variables = send_tools


class Mixin:
    """Not a tool, but what a tool does when it is called."""

    def __call__(self, *args: Any, sanitize_inputs_outputs: bool = False, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)


class Mixed(Mixin, Lookup):
    name = "mixed"


def busy_day() -> None:
    """A team at work that uses everything there is a hook for."""
    worker = caller(
        Say(calls=(("lookup", {"key": "a"}, "id-1"), ("nothing", {}, "id-2"))),
        answer("found"),
        tools=[Lookup()],
        name="worker",
        description="works",
        stream_outputs=True,
    )
    boss = coder(
        *(Say("a plan"), code("worker(task='look')"), code("final_answer(remote(task='look') + mixed('a'))")),
        tools=[Mixed()],
        managed_agents=[worker, Remote()],
        planning_interval=5,
        name="boss",
    )
    boss.run("go")
    ducks = coder(name="ducks")
    ducks.model, ducks.python_executor = Duck(code("1")), Executor()
    ducks.run("go")
    caller(name="idle")
    reply = Reply("hello", prompt_tokens=10, completion_tokens=5, cached_tokens=4, reasoning_tokens=2)
    with ScriptedLLM({"gpt": [reply, reply]}) as llm:
        model = OpenAIModel("gpt", api_base=llm.base_url, api_key="-")
        hello = [ChatMessage(role=MessageRole.USER, content="hello")]
        model.generate(hello)
        list(model.generate_stream(hello))


def called_by_code(recorded: Capture) -> list[str]:
    """What was called in generated code itself, which runs in a thread of its own."""
    entries = recorded.ledger.timeline().entries
    executions = {entry.id for entry in entries if entry.kind == "code"}
    return [
        f"{entry.kind} {entry.name}" for entry in entries if entry.parent_id in executions and entry.kind != "event"
    ]


def found(recorded: Capture) -> dict[str, Any]:
    """What the hooks have found out."""
    metrics = recorded.ledger.total()
    kinds = [line.split()[0] for line in tree(recorded)]
    asked = recorded.ledger.audit_log(event_type="tool_execution_requested")
    return {
        "runs": {agent: figures["count"] for agent, figures in metrics.agents.items()},
        "registered": [e["agent_type"] for e in recorded.ledger.audit_log(event_type="agent_registered")],
        "recovered errors": metrics.recovered_errors_by_agent,
        "plans": kinds.count("plan"),
        "call ids": {entry["call_id"] for entry in asked},
        "refused calls": ran(metrics).get("nothing"),
        "requests by model": {model: figures["requests"] for model, figures in metrics.tokens_by_model.items()},
        "streamed requests": metrics.streamed_requests,
        "tool calls": ran(metrics).get("lookup"),
        "calls of a tool of another's making": ran(metrics).get("mixed"),
        "code executions": kinds.count("code"),
        "what code called": called_by_code(recorded),
        "switches": metrics.switches,
        "cached and reasoning tokens": (metrics.cached_tokens, metrics.reasoning_tokens),
    }


EXPECTED = {
    "runs": {"boss": 1, "ducks": 1, "remote": 1, "worker": 1},
    "registered": ["worker", "boss", "ducks", "idle"],
    "recovered errors": {"worker": {"AgentToolExecutionError": 1}},
    "plans": 1,
    "call ids": {None, "call_0", "id-1", "id-2"},
    "refused calls": (1, 0, 0, 1),
    "requests by model": {"duck": 1, "gpt": 2, "scripted": 5},
    "streamed requests": 3,
    "tool calls": (1, 1, 0, 0),
    "calls of a tool of another's making": (1, 1, 0, 0),
    "code executions": 3,
    "what code called": ["agent worker", "agent remote", "tool mixed", "tool final_answer"],
    "switches": {"boss_to_remote": 1, "boss_to_worker": 1},
    "cached and reasoning tokens": (8, 4),
}

ONLY_BY = {
    "agent.run_began": "runs",
    "agent.made": "registered",
    "agent.step_finalized": "recovered errors",
    "agent.plan_began": "plans",
    "agent._foreign_run_began": "switches",
    "tool.calls_asked": "call ids",
    "tool.requested": "refused calls",
    "tool.tool_began": "tool calls",
    "tool._mixed_in_began": "calls of a tool of another's making",
    "tool.code_began": "code executions",
    "model.call_began": "requests by model",
    "model.stream_began": "streamed requests",
    "model.responded": "cached and reasoning tokens",
    "timeout": "what code called",
}
"""Every hook, and what is wrong without it."""


def hook_of(probe: Probe | Glance | Carry) -> str:
    """A hook's name: the function that finds out, or what carries the context."""
    if isinstance(probe, Carry):
        return probe.attribute
    function = probe.look if isinstance(probe, Glance) else probe.began or probe.ended
    return f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[set[str], set[str]]]:
    """The hooks that get installed, and those that shall not be: a test puts names there."""
    seen: set[str] = set()
    left_out: set[str] = set()
    install = Hooks.install

    def watched(self: Hooks, probe: Probe | Glance | Carry) -> None:
        seen.add(hook_of(probe))
        if hook_of(probe) not in left_out:
            install(self, probe)

    monkeypatch.setattr(Hooks, "install", watched)
    return seen, left_out


class TestEachHook:
    def test_all_of_them(self, installed: tuple[set[str], set[str]]) -> None:
        """With all hooks everything is found out, and each of them is in the table of this test."""
        with capture() as recorded:
            busy_day()

        assert found(recorded) == EXPECTED
        assert installed[0] == ONLY_BY.keys()

    @pytest.mark.parametrize("hook", ONLY_BY)
    def test_is_needed(self, installed: tuple[set[str], set[str]], hook: str) -> None:
        """Without this hook the figure it is there for is wrong, and the program runs as ever."""
        installed[1].add(hook)
        with capture() as recorded:
            busy_day()

        assert found(recorded)[ONLY_BY[hook]] != EXPECTED[ONLY_BY[hook]]


@tool
def double(number: int) -> int:
    """Doubles.

    Args:
        number: what to double.
    """
    return 2 * number


class TestUntouched:
    def test_what_the_framework_looks_at(self) -> None:
        """Sources, signatures and descriptions of tools and agents are the same with hooks as without."""

        def looked_at() -> list[Any]:
            agent = caller(answer(), tools=[double], name="agent")
            return [
                inspect.signature(Tool.__call__),
                inspect.signature(MultiStepAgent.run),
                inspect.getsource(MultiStepAgent.run),
                inspect.isgeneratorfunction(MultiStepAgent._generate_planning_step),
                double.to_dict(),
                sorted(vars(double)),
                {key: value for key, value in agent.to_dict().items() if key != "model"},
            ]

        before = looked_at()
        with capture():
            assert looked_at() == before

    def test_thread_pools_of_others(self) -> None:
        """Thread pools are nobody's but the program's: work in them sees no context of ours."""
        pool, submit = concurrent.futures.ThreadPoolExecutor, concurrent.futures.ThreadPoolExecutor.submit
        mine = contextvars.ContextVar("mine", default="unset")
        mine.set("set")

        with capture() as recorded, tachograph.session("s"):
            coder(code("final_answer(1)"), name="agent").run("go")
            with pool(1) as executor:
                assert executor.submit(mine.get).result() == "unset"
                executor.submit(ScriptedModel(Say("hello")).generate, []).result()

        assert concurrent.futures.ThreadPoolExecutor is pool
        assert pool.submit is submit
        assert recorded.ledger.session_metrics("s").total_requests == 1
        assert recorded.ledger.total().total_requests == 2

    def test_tools_made_of_functions(self) -> None:
        """A tool made of a function is shown by its own name, not by that of a class all of them share."""
        with capture() as recorded:
            coder(code("final_answer(double(number=21))"), tools=[double], name="agent").run("go")

        (span,) = [span for span in recorded.spans if span.attributes.get(names.TOOL_NAME) == "double"]
        assert span.name == "execute_tool double"

    def test_classes_of_the_program_are_collected(self) -> None:
        """Model classes that a program makes and drops are not kept alive by their hooks."""
        import gc  # noqa: PLC0415 - the only use
        import weakref  # noqa: PLC0415 - likewise

        with capture():

            class Dropped(Model):
                def generate(self, messages: Any, **_: Any) -> Any:
                    return ScriptedModel(Say("hello")).generate(messages)

            Dropped().generate([])
            reference = weakref.ref(Dropped)
            del Dropped
            gc.collect()

            assert reference() is None
