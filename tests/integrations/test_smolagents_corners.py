"""Corners of smolagents programs where an observer is tempted to guess.

Each scenario plays under three telemetry conditions, see ``recorded``.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from smolagents import Tool
from smolagents.memory import ActionStep, FinalAnswerStep
from smolagents.models import ChatMessage, ChatMessageStreamDelta, Model
from smolagents.monitoring import TokenUsage
from smolagents.utils import AgentGenerationError

import tachograph
from support.agents import Lookup, Say, ScriptedModel, answer, caller, code, coder
from support.figures import billed, ran, tree, used

if TYPE_CHECKING:
    from conftest import HandClock
    from tachograph.testing import Capture

ASK = Say(calls=(("lookup", {"key": "a"}),))


def elsewhere(work: Any) -> None:
    """Does it in a thread that has no context at all."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


class TestWhoseWork:
    def test_tool_used_by_somebody_else_meanwhile(self, recorded: Capture) -> None:
        """A tool that a run has, used meanwhile in another session, is in that session and not in the run."""
        lookup = Lookup()

        class Meanwhile(Lookup):
            name = "meanwhile"

            def forward(self, key: str) -> str:
                elsewhere(somebody_else)
                return key

        def somebody_else() -> None:
            with tachograph.session("else"):
                lookup("b")

        agent = caller(Say(calls=(("meanwhile", {"key": "a"}),)), answer(), tools=[lookup, Meanwhile()], name="agent")
        with tachograph.session("run"):
            agent.run("go")

        ledger = recorded.ledger
        assert ran(ledger.session_metrics("else")) == {"lookup": (1, 1, 0, 0)}
        assert "lookup" not in ran(ledger.session_metrics("run"))

    def test_worker_used_by_somebody_else_meanwhile(self, recorded: Capture) -> None:
        """A worker run in another session while its manager is at work is a run of that session, and no switch."""
        worker = caller(answer("found"), name="worker", description="works")

        class Meanwhile(Lookup):
            def forward(self, key: str) -> str:
                elsewhere(somebody_else)
                return key

        def somebody_else() -> None:
            with tachograph.session("else"):
                worker.run("look")

        with tachograph.session("run"):
            caller(ASK, answer(), tools=[Meanwhile()], managed_agents=[worker], name="boss").run("go")

        ledger = recorded.ledger
        assert ledger.session_metrics("else").agent_runs == 1
        assert ledger.total().agent_switches == 0

    def test_worker_whose_context_was_lost(self, recorded: Capture) -> None:
        """A worker that its only manager under way runs in a bare thread is that manager's, and a switch."""
        worker = caller(answer("found"), name="worker", description="works")

        class Threaded(Lookup):
            def forward(self, key: str) -> str:
                elsewhere(lambda: worker("look"))
                return key

        with tachograph.session("s"):
            caller(ASK, answer(), tools=[Threaded()], managed_agents=[worker], name="boss").run("go")

        metrics = recorded.ledger.session_metrics("s")
        assert metrics.switches == {"boss_to_worker": 1}
        assert metrics.tasks == 1

    @pytest.mark.parametrize("manager", ["tool-calling", "code"])
    def test_worker_that_a_tool_runs(self, recorded: Capture, manager: str) -> None:
        """A tool that runs a worker of the very manager that called the tool makes a nested run, not a switch."""
        worker = caller(answer("found"), name="worker", description="works")

        class Ask(Lookup):
            def forward(self, key: str) -> str:
                return worker(key)

        if manager == "code":
            boss = coder(code("final_answer(lookup('a'))"), tools=[Ask()], managed_agents=[worker], name="boss")
        else:
            boss = caller(ASK, answer(), tools=[Ask()], managed_agents=[worker], name="boss")
        boss.run("go")

        metrics = recorded.ledger.total()
        assert (metrics.agent_runs, metrics.agent_switches, metrics.tasks) == (2, 0, 1)
        lines = [line.strip() for line in tree(recorded)]
        assert lines[lines.index("agent worker") - 1] == "tool lookup"

    def test_ambiguous_tool_is_not_guessed_at(self, recorded: Capture) -> None:
        """A tool called without context while two runs have it belongs to neither, and is counted all the same."""
        lookup = Lookup()
        inner = caller(ASK, answer(), tools=[lookup], name="inner")

        class Twice(Lookup):
            name = "twice"

            def forward(self, key: str) -> str:
                stream = inner.run("go", stream=True)
                next(stream)
                elsewhere(lambda: lookup("b"))
                list(stream)
                return key

        outer = caller(Say(calls=(("twice", {"key": "a"}),)), answer(), tools=[lookup, Twice()], name="outer")
        with tachograph.session("s"):
            outer.run("go")

        ledger = recorded.ledger
        assert ran(ledger.total())["lookup"] == (2, 2, 0, 0)
        assert ran(ledger.session_metrics("s"))["lookup"] == (1, 1, 0, 0)

    def test_ambiguous_worker_is_not_guessed_at(self, recorded: Capture) -> None:
        """A worker called without context while two of its managers are at work is nobody's switch, and a run."""
        worker = caller(answer("found"), name="worker", description="works")

        class Threaded(Lookup):
            def forward(self, key: str) -> str:
                elsewhere(lambda: worker("look"))
                return key

        second = caller(ASK, answer(), tools=[Threaded()], managed_agents=[worker], name="second")

        class Ask(Lookup):
            def forward(self, key: str) -> str:
                return second.run(key)

        caller(ASK, answer(), tools=[Ask()], managed_agents=[worker], name="first").run("go")

        metrics = recorded.ledger.total()
        assert (metrics.agent_runs, metrics.agent_switches, metrics.tasks) == (3, 0, 2)

    def test_consumer_runs_an_agent_between_steps(self, recorded: Capture) -> None:
        """What the consumer of a stream runs between two steps is its own task, not part of the streamed run."""
        other = caller(*[answer()] * 2, name="other")
        agent = caller(ASK, answer(), tools=[Lookup()], name="agent")
        for step in agent.run("go", stream=True):
            if isinstance(step, ActionStep):
                other.run("meanwhile")

        metrics = recorded.ledger.total()
        assert (metrics.tasks, metrics.agent_runs, metrics.agent_switches) == (3, 3, 0)
        assert used(metrics) == billed(agent.model, other.model)

    def test_session_opened_inside_a_tool(self, recorded: Capture) -> None:
        """What a tool does in a session of its own is in that session, and the run goes on in its own."""
        model = ScriptedModel(Say("hello"), model_id="helper")

        class Switching(Lookup):
            def forward(self, key: str) -> str:
                with tachograph.session("inner"):
                    model.generate([])
                return key

        agent = caller(ASK, answer(), tools=[Switching()], name="agent")
        with tachograph.session("outer"):
            agent.run("go")

        ledger = recorded.ledger
        assert used(ledger.session_metrics("inner")) == billed(model)
        assert used(ledger.session_metrics("outer")) == billed(agent.model)


class TestOutcomes:
    @pytest.mark.parametrize("streaming", [False, True], ids=["run", "run-streamed"])
    def test_callback_raises_at_the_very_end(self, recorded: Capture, streaming: bool) -> None:  # noqa: FBT001
        """A callback that raises over the final answer is an error of the run, even if the run was out of steps."""

        def complain(step: Any) -> None:
            raise ValueError("not like this")

        for script in ((ASK, Say("sorry")), (answer(),)):
            agent = caller(
                *script, tools=[Lookup()], max_steps=1, step_callbacks={FinalAnswerStep: complain}, name="agent"
            )
            with pytest.raises(ValueError, match="not like this"):
                list(agent.run("go", stream=True)) if streaming else agent.run("go")

        metrics = recorded.ledger.total()
        assert metrics.outcomes == {"error": 2}
        assert metrics.errors_by_agent == {"agent": {"ValueError": 2}}

    def test_consumer_stops_at_the_answer_given_at_max_steps(self, recorded: Capture) -> None:
        """A consumer that has the answer and leaves does not make an exhausted run a fine one."""
        stream = caller(ASK, Say("sorry"), tools=[Lookup()], max_steps=1, name="agent").run("go", stream=True)
        assert next(step for step in stream if isinstance(step, FinalAnswerStep)).output
        stream.close()

        assert recorded.ledger.total().outcomes == {"max_steps": 1}

    def test_worker_is_interrupted(self, recorded: Capture) -> None:
        """An interrupted worker is no error of its own; its manager goes on after a failed call."""
        worker = caller(
            ASK,
            tools=[Lookup()],
            step_callbacks=[lambda step, agent: agent.interrupt()],
            name="worker",
            description="works",
        )
        boss = caller(Say(calls=(("worker", {"task": "look"}),)), answer(), managed_agents=[worker], name="boss")
        boss.run("go")

        metrics = recorded.ledger.total()
        assert metrics.outcomes == {"interrupted": 1, "ok": 1}
        assert metrics.errors == 0
        assert metrics.recovered_errors_by_agent == {"boss": {"AgentToolExecutionError": 1}}

    def test_model_stream_breaks_in_a_streamed_run(self, recorded: Capture) -> None:
        """A model stream that breaks fails its request and its run; what it had reported is billed."""
        agent = caller(
            Say("one two", usage="each", break_after=ConnectionError("cut")), stream_outputs=True, name="agent"
        )
        with pytest.raises(AgentGenerationError):
            list(agent.run("go", stream=True))

        metrics = recorded.ledger.total()
        assert metrics.outcomes == {"error": 1}
        assert (metrics.failed_requests, metrics.llm_errors) == (1, {"ConnectionError": 1})
        assert used(metrics) == billed(agent.model)

    def test_hung_call_can_be_seen(self, recorded: Capture) -> None:
        """While a tool hangs, the run, the tool and nothing else are open, and the session is active."""
        seen: list[Any] = []

        class Look(Lookup):
            def forward(self, key: str) -> str:
                seen.extend(operation.kind for operation in recorded.ledger.open_operations())
                seen.append(recorded.ledger.session_metrics("s").status)
                return key

        with tachograph.session("s"):
            caller(ASK, answer(), tools=[Look()], name="agent").run("go")

        assert seen == ["agent", "tool", "active"]
        assert recorded.ledger.session_metrics("s").status == "idle"


class TestShapes:
    def test_model_of_a_mixin(self, recorded: Capture) -> None:
        """A model that has ``generate`` from a class that is no model is recorded when an agent runs on it."""

        class Mixin:
            def generate(self, messages: Any, **_: Any) -> Any:
                return ScriptedModel(answer()).generate(messages)

        class Mixed(Mixin, Model):
            pass

        agent = caller(name="agent")
        agent.model = Mixed(model_id="mixed")
        agent.run("go")

        assert used(recorded.ledger.total()) == {"mixed": (1, 100, 10)}

    @pytest.mark.parametrize("kind", [staticmethod, classmethod])
    def test_generate_that_knows_no_object(self, recorded: Capture, kind: Any) -> None:
        """A static method, or one of the class, is tabulated by the model's class, as it cannot know a model's name."""

        class Fixed(Model):
            generate = kind(lambda *args, **_: ScriptedModel(answer()).generate(args))

        agent = caller(name="agent")
        agent.model = Fixed(model_id="unknown to it")
        agent.run("go")

        assert used(recorded.ledger.total()) == {"Fixed": (1, 100, 10)}

    def test_tool_of_a_mixin(self, recorded: Capture) -> None:
        """A tool that has ``__call__`` from a class that is no tool is recorded when an agent has it."""

        class Mixin:
            def __call__(self, *args: Any, sanitize_inputs_outputs: bool = False, **kwargs: Any) -> Any:
                return self.forward(*args, **kwargs)

        class Mixed(Mixin, Lookup):
            pass

        for agent in (
            caller(ASK, answer(), tools=[Mixed()], name="caller"),
            coder(code("final_answer(lookup(key='a'))"), tools=[Mixed()], name="coder"),
        ):
            agent.run("go")
            assert agent.tools["lookup"].ran == 1

        assert ran(recorded.ledger.total())["lookup"] == (2, 2, 0, 0)

    def test_classes_whose_ancestor_tells_nobody_of_them(self, recorded: Capture) -> None:
        """A subclass is recorded also where an ``__init_subclass__`` above it calls none above itself."""

        class QuietModel(ScriptedModel):
            def __init_subclass__(cls) -> None:
                pass

        class QuietTool(Lookup):
            def __init_subclass__(cls) -> None:
                pass

        class MyModel(QuietModel):
            def generate(self, messages: Any, **_: Any) -> Any:
                return ChatMessage(role="assistant", tool_calls=calls.pop(), token_usage=TokenUsage(7, 1))

        class MyTool(QuietTool):
            def __call__(self, *args: Any, sanitize_inputs_outputs: bool = False, **kwargs: Any) -> Any:
                return self.forward(*args, **kwargs)

        calls = [ScriptedModel(say).generate([]).tool_calls for say in (answer(), ASK)]
        agent = caller(tools=[MyTool()], name="agent")
        agent.model = MyModel(model_id="mine")
        with tachograph.session("quiet"):
            agent.run("go")

        metrics = recorded.ledger.session_metrics("quiet")
        assert used(metrics) == {"mine": (2, 14, 2)}
        assert ran(metrics)["lookup"] == (1, 1, 0, 0)

    def test_method_that_the_program_puts_in_its_place(self, recorded: Capture) -> None:
        """A method that a program puts in the place of a hooked one is recorded from the next run on."""

        class Patched(ScriptedModel):
            def generate(self, messages: Any, **_: Any) -> Any:
                return super().generate(messages)

        def later(_: Any, messages: Any, **__: Any) -> Any:
            return ChatMessage(role="assistant", tool_calls=call, token_usage=TokenUsage(7, len(messages)))

        call = ScriptedModel(answer()).generate([]).tool_calls
        agent = caller(name="agent")
        agent.model = Patched(answer(), model_id="patched")
        with tachograph.session("patched"):
            agent.run("go")
            Patched.generate = later
            agent.run("go")

        assert used(recorded.ledger.session_metrics("patched")) == {"patched": (2, 107, 12)}

    def test_method_that_the_program_puts_above(self, recorded: Capture) -> None:
        """What a program puts above a hooked method counts no call twice, and stays."""

        class Above(ScriptedModel):
            def generate(self, messages: Any, **_: Any) -> Any:
                return super().generate(messages)

        ours = vars(Above)["generate"]

        def above(self: Any, messages: Any, **_: Any) -> Any:
            return ours.__get__(self)(messages)

        agent = caller(name="agent")
        agent.model = Above(answer(), answer())
        agent.run("go")
        Above.generate = above
        agent.run("go")

        assert used(recorded.ledger.total()) == billed(agent.model) == {"scripted": (2, 200, 20)}
        assert vars(Above)["generate"] is above

    def test_properties_of_a_model_are_the_programs(self, recorded: Capture) -> None:
        """A client that a model makes when asked for it is not made for our sake, and one that fails fails nobody."""
        made: list[str] = []

        class Lazy(ScriptedModel):
            @property
            def client(self) -> Any:
                made.append("client")
                raise RuntimeError("not connected")

            @property
            def api_base(self) -> Any:
                made.append("api_base")
                raise RuntimeError("not connected")

        agent = caller(name="agent")
        agent.model = Lazy(answer())
        agent.run("go")

        assert made == []
        assert used(recorded.ledger.total()) == billed(agent.model)

    @pytest.mark.parametrize("streaming", [False, True])
    def test_model_that_asks_in_a_thread_of_its_own(self, recorded: Capture, streaming: bool) -> None:  # noqa: FBT001
        """What an overriding method calls in a thread, to limit its time, is part of its call; another call is not."""
        other = ScriptedModel(answer("theirs"), model_id="other")

        class Timed(ScriptedModel):
            def generate(self, *args: Any, **kwargs: Any) -> ChatMessage:
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(other.generate, []).result(5)
                    return pool.submit(super().generate, *args, **kwargs).result(5)

            def generate_stream(self, *args: Any, **kwargs: Any) -> Any:
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(other.generate, []).result(5)
                    yield from pool.submit(super().generate_stream, *args, **kwargs).result(5)

        agent = caller(name="agent", stream_outputs=streaming)
        agent.model = model = Timed(answer("done"), model_id="timed")
        with tachograph.session("s"):
            agent.run("go")

        assert used(recorded.ledger.total()) == billed(model, other)

    def test_properties_that_fail(self, recorded: Capture) -> None:
        """The calls of a model whose name cannot be asked for are recorded all the same."""

        class Nameless(ScriptedModel):
            def __getattribute__(self, name: str) -> Any:
                if name == "model_id":
                    raise RuntimeError("not yet")
                return super().__getattribute__(name)

        Nameless(answer()).generate([])

        assert used(recorded.ledger.total()) == {"Nameless": (1, 100, 10)}

    def test_first_runs_at_once(self, recorded: Capture) -> None:
        """Several runs that are the first to meet a class hook it once."""

        class Mixin:
            def __call__(self, *args: Any, sanitize_inputs_outputs: bool = False, **kwargs: Any) -> Any:
                return self.forward(*args, **kwargs)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(10):
                tool = type("Mixed", (type("Fresh", (Mixin,), {"__call__": Mixin.__call__}), Lookup), {})
                agents = [caller(ASK, answer(), tools=[tool()], name="agent") for _ in range(4)]
                with ThreadPoolExecutor(len(agents)) as threads:
                    list(threads.map(lambda agent: agent.run("go"), agents))
        finally:
            sys.setswitchinterval(interval)

        assert ran(recorded.ledger.total())["lookup"] == (40, 40, 0, 0)

    def test_stream_that_is_a_list(self, recorded: Capture) -> None:
        """A model that streams by returning all its deltas at once is one request, with their tokens."""

        class AtOnce(Model):
            def generate_stream(self, messages: Any, **_: Any) -> Any:
                return [
                    ChatMessageStreamDelta(content="<code>final_answer('done')</code>"),
                    ChatMessageStreamDelta(content="", token_usage=TokenUsage(7, 3)),
                ]

        agent = coder(name="agent")
        agent.model, agent.stream_outputs = AtOnce(model_id="once"), True
        agent.run("go")

        assert used(recorded.ledger.total()) == {"once": (1, 7, 3)}

    def test_stream_that_is_an_iterator(self, recorded: Capture) -> None:
        """A model that streams by an iterator of its own is one request, with the tokens of what it yields."""

        class Own(Model):
            def generate_stream(self, messages: Any, **_: Any) -> Any:
                return iter(
                    [
                        ChatMessageStreamDelta(content="<code>final_answer('done')</code>"),
                        ChatMessageStreamDelta(content="", token_usage=TokenUsage(7, 3)),
                    ]
                )

        agent = coder(name="agent")
        agent.model, agent.stream_outputs = Own(model_id="own"), True
        agent.run("go")

        assert used(recorded.ledger.total()) == {"own": (1, 7, 3)}

    def test_human_asked_by_a_tool_of_that_name(self, recorded: Capture, clock: HandClock) -> None:
        """A tool by the name of the framework's own way to ask a human asks a human."""

        class Ask(Tool):
            name = "user_input"
            description = "Asks elsewhere."
            inputs = {"question": {"type": "string", "description": "what"}}  # noqa: RUF012 - the framework's way
            output_type = "string"

            def forward(self, question):
                clock.pass_by(60)
                return "blue"

        caller(Say(calls=(("user_input", {"question": "?"}),)), answer(), tools=[Ask()], name="agent").run("go")

        assert ran(recorded.ledger.total())["user_input"] == (1, 1, 0, 0)
        assert recorded.ledger.total().tools["user_input"]["total_duration_ms"] == 0
