"""smolagents' traps: everything in how it works that makes an observer count wrong, one test each.

Each scenario plays under three telemetry conditions, see ``recorded``. The framework alone decides what happens; the
figures are held against what the models and tools counted themselves.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from smolagents import CodeAgent, OpenAIModel, PlanningStep, Tool, local_python_executor
from smolagents.local_python_executor import CodeOutput
from smolagents.memory import ActionStep
from smolagents.models import ChatMessage, MessageRole, Model
from smolagents.remote_executors import RemotePythonExecutor
from smolagents.tools import BaseTool
from smolagents.utils import AgentGenerationError

import tachograph
from scripted_llm import Reply, ScriptedLLM
from support.agents import Lookup, OverridingAgent, Say, ScriptedModel, answer, caller, code, coder, quiet
from support.figures import billed, charged, ran, tokens, tree, used
from tachograph import names

if TYPE_CHECKING:
    from conftest import HandClock
    from tachograph.testing import Capture

ASK = Say(calls=(("lookup", {"key": "a"}),))
"""The model asks for a lookup."""


def look() -> Any:
    """A ToolCallingAgent that looks one thing up and answers: two steps."""
    return caller(ASK, answer(), tools=[Lookup()], name="agent")


def outcomes(recorded: Capture) -> dict[str, int]:
    return recorded.ledger.total().outcomes


# ------------------------------------------------------------------------------------- generators and context
class TestStreamedRuns:
    def test_stream_that_nobody_iterates(self, recorded: Capture) -> None:
        """A streamed run that nobody iterates is one abandoned run without steps or calls, and leaves nothing open."""
        stream = look().run("go", stream=True)
        del stream
        gc.collect()

        assert tree(recorded) == ["agent agent abandoned"]

    def test_stream_runs_in_its_consumers_context(self, recorded: Capture, caplog: pytest.LogCaptureFixture) -> None:
        """Between two steps the consumer's context is its own; what the run sees of it is what the consumer set."""
        caplog.set_level(logging.DEBUG, logger="opentelemetry.context")
        mine = contextvars.ContextVar("mine", default="unset")
        seen = []

        class Peek(Lookup):
            def forward(self, key: str) -> str:
                seen.append(mine.get())
                return key

        before = otel_context.get_current()
        mine.set("set before")
        stream = caller(ASK, ASK, answer(), tools=[Peek()], name="agent").run("go", stream=True)
        for step in stream:
            assert otel_context.get_current() is before
            if isinstance(step, ActionStep):
                mine.set(f"set after step {step.step_number}")

        assert seen == ["set before", "set after step 1"]
        assert "Failed to detach" not in caplog.text

    def test_stream_closed_in_mid_step_raises_by_itself(self, recorded: Capture) -> None:
        """What smolagents raises when it is closed in mid-step comes through, and the run is abandoned, not fine."""
        stream = look().run("go", stream=True)
        next(stream)

        with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
            stream.close()

        assert outcomes(recorded) == {"abandoned": 1}

    def test_failed_step_comes_before_its_exception(self, recorded: Capture) -> None:
        """A consumer that stops at the failed step, before the exception is raised, leaves a failed run."""
        stream = caller(ConnectionError("gone"), name="agent").run("go", stream=True)
        assert isinstance(next(step for step in stream if isinstance(step, ActionStep)), ActionStep)
        stream.close()

        assert outcomes(recorded) == {"error": 1}
        assert recorded.ledger.total().errors_by_agent == {"agent": {"AgentGenerationError": 1}}

    def test_consumers_time_is_not_the_runs(self, recorded: Capture, clock: HandClock) -> None:
        """What a consumer does between two steps takes none of the run's or its requests' time."""
        for _ in look().run("go", stream=True):
            clock.pass_by(60)

        metrics = recorded.ledger.total()
        assert metrics.processing_duration_ms < 60_000
        assert metrics.total_duration_ms < 60_000

    def test_max_steps_yields_its_last_step_twice(self, recorded: Capture) -> None:
        """At max_steps the last step is yielded twice, and is one step."""
        stream = caller(ASK, ASK, Say("sorry"), tools=[Lookup()], max_steps=2, name="agent").run("go", stream=True)
        steps = [step for step in stream if isinstance(step, ActionStep)]

        assert [step.step_number for step in steps] == [1, 2, 2]
        assert [entry.step for entry in recorded.ledger.timeline().entries if entry.kind == "tool"] == [1, 2]
        assert outcomes(recorded) == {"max_steps": 1}
        for span in recorded.spans:
            if span.name == "invoke_agent agent":
                assert span.attributes[names.STEPS] == 2


class TestThreads:
    def test_generated_code_runs_in_a_thread_without_context(self, recorded: Capture) -> None:
        """Generated code has the session of its run, and still sees no context variable of the caller's."""
        mine = contextvars.ContextVar("mine", default="unset")
        seen = []

        class Peek(Lookup):
            def forward(self, key: str) -> str:
                seen.append(mine.get())
                return key

        mine.set("set")
        with tachograph.session("s"):
            coder(code("final_answer(lookup('a'))"), tools=[Peek()], name="agent").run("go")

        assert ran(recorded.ledger.session_metrics("s")) == {"final_answer": (1, 1, 0, 0), "lookup": (1, 1, 0, 0)}
        assert seen == ["unset"]

    def test_managed_agent_is_called_from_the_code_thread(self, recorded: Capture) -> None:
        """A worker that generated code calls is inside that code, in its manager's session, and a switch."""
        worker = caller(answer("found"), name="worker", description="works")
        boss = coder(code("final_answer(worker(task='look'))"), managed_agents=[worker], name="boss")

        with tachograph.session("s"):
            boss.run("go")

        assert tree(recorded) == [
            "agent boss",
            "  model scripted",
            "  code python",
            "    agent worker",
            "      model scripted",
            "      tool final_answer",
            "    tool final_answer",
        ]
        assert recorded.ledger.session_metrics("s").switches == {"boss_to_worker": 1}


# --------------------------------------------------------------------------------------------------- the models
class Own(Model):
    """A user's model, complete in itself."""

    asked = 0

    def generate(self, messages, **_: Any):
        type(self).asked += 1
        return ScriptedModel(answer(prompt=7, completion=3)).generate(messages)


def on(model: Any, **details: Any) -> Any:
    """An agent on a model of the test's own."""
    agent = caller(name="agent", **details)
    agent.model = model
    return agent


class TestModelLayer:
    def test_model_class_made_by_the_user(self, recorded: Capture) -> None:
        """A user's class, one made after the hooks, and an object that is no Model each count as any other."""

        class Later(Own):
            asked = 0

            def generate(self, messages, **more: Any):
                return super().generate(messages, **more)

        class Duck:
            model_id = "duck"

            def generate(self, messages, **_: Any):
                return ScriptedModel(answer(prompt=7, completion=3)).generate(messages)

        for model in (Own(model_id="own"), Later(model_id="later"), Duck()):
            on(model).run("go")

        assert used(recorded.ledger.total()) == dict.fromkeys(("own", "later", "duck"), (1, 7, 3))
        assert Later.asked == 1

    def test_model_called_by_name_and_by_call(self, recorded: Capture) -> None:
        """Agents call ``generate``, tools call the model itself: each call is one request, nested ones too."""
        helper = ScriptedModel(Say("so it is"), model_id="helper")

        class Consult(Lookup):
            def forward(self, key: str) -> str:
                return helper([ChatMessage(role=MessageRole.USER, content=key)]).content

        agent = caller(ASK, answer(), tools=[Consult()], name="agent")
        agent.run("go")

        assert used(recorded.ledger.total()) == billed(agent.model, helper)
        assert tree(recorded)[2:4] == ["  tool lookup", "    model helper"]

    @pytest.mark.parametrize("stream", [False, True], ids=["run", "run-streamed"])
    @pytest.mark.parametrize("outputs", [False, True], ids=["generate", "generate_stream"])
    def test_model_streams_whether_or_not_the_run_does(
        self,
        recorded: Capture,
        stream: bool,  # noqa: FBT001
        outputs: bool,  # noqa: FBT001
    ) -> None:
        """Whichever of run and model streams, requests and tokens are the same."""
        agent = caller(ASK, answer(), tools=[Lookup()], stream_outputs=outputs, name="agent")
        result = agent.run("go", stream=stream)
        if stream:
            list(result)

        metrics = recorded.ledger.total()
        assert used(metrics) == billed(agent.model) == {"scripted": (2, 200, 20)}
        assert metrics.streamed_requests == (2 if outputs else 0)
        assert metrics.requests_with_tools == 2

    def test_usage_comes_with_each_delta(self, recorded: Capture) -> None:
        """Where every delta has its share of the usage, the shares add up to the bill."""
        agent = coder(code("final_answer(1 + 1)", usage="each"), stream_outputs=True, name="agent")
        agent.run("go")

        assert used(recorded.ledger.total()) == billed(agent.model)

    def test_usage_is_not_there(self, recorded: Capture) -> None:
        """Usage that a model does not give is unknown: no failure, and no zero on the request."""

        class Bare(Model):
            def generate(self, messages, **_: Any):
                message = ScriptedModel(answer(usage="absent")).generate(messages)
                del message.token_usage
                return message

        on(ScriptedModel(answer(usage="absent"), model_id="silent")).run("go")
        Bare(model_id="bare").generate([])

        requests = recorded.ledger.total().requests
        assert [(request["model"], request["total_tokens"]) for request in requests] == [
            ("silent", None),
            ("bare", None),
        ]

    def test_retries_inside_a_call(self, recorded: Capture) -> None:
        """A call that the model class itself tries three times is one request, with the tokens of the one answer."""
        script = [Reply(status=429), Reply(status=429), Reply("yes", prompt_tokens=12, completion_tokens=3)]
        with ScriptedLLM({"gpt": script}) as llm:
            model = OpenAIModel("gpt", api_base=llm.base_url, api_key="-", client_kwargs={"max_retries": 0})
            model.retryer.wait_seconds = 0

            model.generate([ChatMessage(role=MessageRole.USER, content="well?")])

            assert llm.bill()["gpt"].requests == 3
            assert tokens(recorded.ledger.total()) == charged(llm)
        metrics = recorded.ledger.total()
        assert (metrics.total_requests, metrics.failed_requests) == (1, 0)

    def test_client_below_the_model_is_instrumented_too(self, recorded: Capture) -> None:
        """A span that another instrumentation opens for the same call is inside ours, and is no second request."""

        class Instrumented(ScriptedModel):
            def generate(self, messages, **more: Any):
                tracer = recorded.runtime.providers.tracer()
                with tracer.start_as_current_span("chat gpt", attributes={"gen_ai.usage.input_tokens": 100}):
                    return super().generate(messages, **more)

        model = Instrumented(answer())
        on(model).run("go")

        metrics = recorded.ledger.total()
        assert used(metrics) == billed(model)
        for foreign in recorded.spans:
            if foreign.name == "chat gpt":
                assert foreign.parent is not None

    def test_extra_call_at_max_steps_fails_silently(self, recorded: Capture) -> None:
        """The extra call at max_steps, whose failure becomes the text of the answer, is a failed request."""
        agent = caller(ASK, ConnectionError("gone"), tools=[Lookup()], max_steps=1, name="agent")

        assert "gone" in str(agent.run("go"))

        metrics = recorded.ledger.total()
        assert (metrics.outcomes, metrics.errors) == ({"max_steps": 1}, 0)
        assert (metrics.failed_requests, metrics.llm_errors) == (1, {"ConnectionError": 1})
        assert used(metrics) == billed(agent.model)

    def test_failing_plan_leaves_run_without_a_step(self, recorded: Capture) -> None:
        """A planning call that fails leaves ``run`` as it is, with no step anywhere: an error of that very type."""
        agent = caller(ConnectionError("gone"), planning_interval=1, name="agent")

        with pytest.raises(ConnectionError):
            agent.run("go")

        assert tree(recorded) == ["agent agent error", "  plan agent error", "    model scripted error"]
        assert recorded.ledger.total().errors_by_agent == {"agent": {"ConnectionError": 1}}


# --------------------------------------------------------------------------------------------------- the agents
NEVER_RAISED = {
    "AgentParsingError": (lambda: coder(Say(text="no code at all"), code("final_answer(1)"), name="agent"), 0),
    "AgentExecutionError": (lambda: coder(code("1 / 0"), code("final_answer(1)"), name="agent"), 0),
    "AgentToolCallError": (
        lambda: caller(Say(calls=(("lookup", {"no": 1}),)), answer(), tools=[Lookup()], name="agent"),
        0,
    ),
    "AgentToolExecutionError": (
        lambda: caller(Say(calls=(("lookup", {"key": "broken"}),)), answer(), tools=[Lookup()], name="agent"),
        1,
    ),
    "AgentError": (
        lambda: caller(
            answer("bad"), answer("good"), name="agent", final_answer_checks=[lambda given, *_, **__: given == "good"]
        ),
        0,
    ),
}
"""Errors that smolagents keeps in a step and goes on after: an agent that meets one, and its tools' failures."""


class TestAgentLayer:
    @pytest.mark.parametrize("error", NEVER_RAISED)
    def test_error_that_never_leaves_run(self, recorded: Capture, error: str) -> None:
        """An error that smolagents keeps in a step is recovered from, by its type; the run is fine."""
        make, failures = NEVER_RAISED[error]
        agent = make()
        agent.run("go")

        metrics = recorded.ledger.total()
        (step,) = [step for step in agent.memory.steps if getattr(step, "error", None)]
        assert metrics.recovered_errors_by_agent == {"agent": {type(step.error).__name__: 1}} == {"agent": {error: 1}}
        assert (metrics.recovered_errors, metrics.errors, metrics.outcomes) == (1, 0, {"ok": 1})
        assert sum(metrics.tool_errors.values()) == failures

    def test_generation_error_is_in_no_step(self, recorded: Capture) -> None:
        """A model's failure is raised and kept in no step: an error of the run, recovered by nobody."""
        agent = caller(ASK, ConnectionError("gone"), tools=[Lookup()], name="agent")

        with pytest.raises(AgentGenerationError):
            agent.run("go")

        metrics = recorded.ledger.total()
        assert not any(getattr(step, "error", None) for step in agent.memory.steps)
        assert (metrics.errors, metrics.recovered_errors) == (1, 0)
        assert metrics.errors_by_agent == {"agent": {"AgentGenerationError": 1}}

    @pytest.mark.parametrize(
        ("manager", "top"), [("tool-calling", "AgentToolExecutionError"), ("code", "AgentExecutionError")]
    )
    def test_one_root_cause_several_records(self, recorded: Capture, manager: str, top: str) -> None:
        """A failure shows up at each layer under that layer's type, and is one error."""
        worker = caller(ConnectionError("gone"), name="worker", description="works")
        make, first, last = {
            "tool-calling": (caller, Say(calls=(("worker", {"task": "look"}),)), answer()),
            "code": (coder, code("worker(task='look')"), code("final_answer(1)")),
        }[manager]
        make(first, last, managed_agents=[worker], name="boss").run("go")

        metrics = recorded.ledger.total()
        assert metrics.llm_errors == {"ConnectionError": 1}
        assert metrics.errors_by_agent == {"worker": {"AgentGenerationError": 1}}
        assert metrics.recovered_errors_by_agent == {"boss": {top: 1}}
        assert metrics.errors == 1
        assert metrics.tool_errors == {}
        assert list(metrics.tools) == ["final_answer"]  # a delegation that failed was no refused tool call

    def test_interrupt_after_a_plan_lets_the_step_run(self, recorded: Capture) -> None:
        """A run interrupted after its plan still takes that step; if it answers in it, the run went well."""
        agent = caller(
            Say("a plan"),
            answer(),
            planning_interval=2,
            name="agent",
            step_callbacks={PlanningStep: lambda step, agent: agent.interrupt()},
        )

        assert agent.run("go") == "done"

        assert outcomes(recorded) == {"ok": 1}
        assert ran(recorded.ledger.total()) == {"final_answer": (1, 1, 0, 0)}

    def test_memory_kept_makes_the_monitor_cumulative(self, recorded: Capture) -> None:
        """With reset=False the framework's own counters run on; each run has its own tokens all the same."""
        agent = caller(answer(), answer(prompt=5, completion=1), name="agent")
        with tachograph.session("one"):
            agent.run("go")
        with tachograph.session("two"):
            agent.run("on", reset=False)

        assert used(recorded.ledger.session_metrics("one")) == {"scripted": (1, 100, 10)}
        assert used(recorded.ledger.session_metrics("two")) == {"scripted": (1, 5, 1)}
        assert agent.monitor.total_input_token_count == recorded.ledger.total().total_prompt_tokens == 105

    def test_one_agent_object_runs_twice_at_once(self, recorded: Capture) -> None:
        """Runs of one object that overlap, and overwrite its memory and step number, keep their own figures."""

        class Again(Lookup):
            def forward(self, key: str) -> str:
                if self.ran == 0:
                    self.ran = 1
                    thread = threading.Thread(target=other)
                    thread.start()
                    thread.join()
                return key

        def other() -> None:
            with tachograph.session("two"):
                agent.run("another")

        agent = caller(ASK, answer(), ASK, answer("well"), tools=[Again()], name="agent")
        with tachograph.session("one"):
            agent.run("go")

        one, two = (recorded.ledger.session_metrics(session) for session in ("one", "two"))
        assert used(one) == {"scripted": (3, 300, 30)}
        assert ran(one) == {"final_answer": (1, 1, 0, 0), "lookup": (2, 2, 0, 0)}
        assert (used(two), ran(two)) == ({"scripted": (1, 100, 10)}, {"final_answer": (1, 1, 0, 0)})
        # The framework has mixed them up.
        assert agent.monitor.total_input_token_count not in (one.total_prompt_tokens, two.total_prompt_tokens)

    def test_subclass_overrides_run(self, recorded: Capture) -> None:
        """An agent class that overrides ``run`` and calls the framework's, and one with steps of its own, run once."""

        class OwnSteps(OverridingAgent):
            def _step_stream(self, memory_step):
                yield from super()._step_stream(memory_step)

        agent = OwnSteps(tools=[Lookup()], model=ScriptedModel(ASK, answer()), logger=quiet(), name="agent")
        agent.run("go")

        metrics = recorded.ledger.total()
        assert (metrics.agent_runs, used(metrics)) == (1, billed(agent.model))
        assert ran(metrics) == {"final_answer": (1, 1, 0, 0), "lookup": (1, 1, 0, 0)}

    def test_exceptions_of_every_kind_leave_run(self, recorded: Capture) -> None:
        """Ctrl-C in a tool, and what a user's callback raises, come through and end everything that was open."""

        class Stop(Lookup):
            def forward(self, key: str) -> str:
                raise KeyboardInterrupt

        def complain(step: Any) -> None:
            raise RuntimeError("not like this")

        with pytest.raises(KeyboardInterrupt):
            caller(ASK, tools=[Stop()], name="stopped").run("go")
        agent = caller(ASK, tools=[Lookup()], step_callbacks=[complain], name="complained")
        with pytest.raises(RuntimeError, match="not like this"):
            agent.run("go")

        metrics = recorded.ledger.total()
        assert metrics.outcomes == {"error": 1, "interrupted": 1}
        assert metrics.errors_by_agent == {"complained": {"RuntimeError": 1}}
        assert not any(isinstance(step, ActionStep) for step in agent.memory.steps)
        assert used(metrics) == {"scripted": (2, 200, 20)}

    def test_callbacks_of_one_and_two_parameters(self, recorded: Capture) -> None:
        """Callbacks of either signature are called as without us, and the agent has no others than its own."""
        seen: list[str] = []

        def one(step: Any) -> None:
            seen.append("one")

        def two(step: Any, agent: Any) -> None:
            seen.append(agent.name)

        agent = caller(answer(), step_callbacks=[one, two], name="agent")
        agent.run("go")

        assert seen == ["one", "agent"]
        assert agent.step_callbacks._callbacks[ActionStep] == [one, two, agent.monitor.update_metrics]
        assert outcomes(recorded) == {"ok": 1}


# ---------------------------------------------------------------------------------------------------- the tools
class TestTools:
    def test_failing_step_keeps_no_tool_calls(self, recorded: Capture) -> None:
        """Of three parallel calls one fails and memory forgets them all: two completed, one failed."""
        calls = tuple(("lookup", {"key": key}, key) for key in ("a", "broken", "c"))
        lookup = Lookup()
        agent = caller(Say(calls=calls), answer(), tools=[lookup], name="agent")
        agent.run("go")

        assert agent.memory.steps[1].tool_calls is None
        assert ran(recorded.ledger.total())["lookup"] == (3, 2, 1, 0)
        assert lookup.ran == 3

    def test_generated_code_swallows_a_tools_error(self, recorded: Capture) -> None:
        """A tool error that generated code swallows is in no step: a failed call, and nothing else."""
        source = "try:\n    lookup('broken')\nexcept Exception:\n    pass\nfinal_answer(1)"
        coder(code(source), tools=[Lookup()], name="agent").run("go")

        metrics = recorded.ledger.total()
        assert ran(metrics)["lookup"] == (1, 0, 1, 0)
        assert metrics.tool_errors == {"LookupError": 1}
        assert (metrics.errors, metrics.recovered_errors) == (0, 0)

    def test_final_answer_leaves_code_as_an_exception(self, recorded: Capture) -> None:
        """final_answer is a tool that completes; the exception by which it leaves generated code is no error."""
        coder(code("final_answer('done')"), name="agent").run("go")

        assert tree(recorded) == ["agent agent", "  model scripted", "  code python", "    tool final_answer"]
        assert ran(recorded.ledger.total()) == {"final_answer": (1, 1, 0, 0)}

    def test_same_call_id_twice(self, recorded: Capture) -> None:
        """Of two calls with one id only the last is executed, and only that is a tool call."""
        lookup = Lookup()
        calls = (("lookup", {"key": "a"}, "same"), ("lookup", {"key": "broken"}, "same"))
        agent = caller(Say(calls=calls), answer(), tools=[lookup], name="agent")
        agent.run("go")

        assert lookup.ran == 1
        assert ran(recorded.ledger.total())["lookup"] == (1, 0, 1, 0)
        asked = recorded.ledger.audit_log(event_type="tool_execution_requested")
        assert [entry["call_id"] for entry in asked if entry["tool_name"] == "lookup"] == ["same"]

    def test_tools_and_members_that_are_no_tool_class(self, recorded: Capture) -> None:
        """A tool with a ``__call__`` of its own, a bare BaseTool and any callable as a worker are one call each."""

        class Loud(Lookup):
            name = "loud"

            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return super().__call__(*args, **kwargs).upper()

        class Bare(BaseTool):
            name = "bare"
            description = "Is bare."
            inputs = {"key": {"type": "string", "description": "the key"}}  # noqa: RUF012 - the framework's way
            output_type = "string"

            def __call__(self, key: str) -> str:
                return key

            def to_code_prompt(self) -> str:
                return "def bare(key: str) -> str: ..."

        class Remote:
            name = "remote"
            description = "Works elsewhere."

            def __call__(self, task: str, **_: Any) -> str:
                return "found"

        source = "final_answer(loud(key='a') + bare(key='b') + remote(task='c'))"
        agent = coder(code(source), tools=[Loud(), Bare()], managed_agents=[Remote()], name="boss")

        assert agent.run("go") == "VALUE OF Abfound"

        metrics = recorded.ledger.total()
        assert ran(metrics) == {"bare": (1, 1, 0, 0), "final_answer": (1, 1, 0, 0), "loud": (1, 1, 0, 0)}
        assert metrics.switches == {"boss_to_remote": 1}

    def test_tool_outlives_its_deadline(self, recorded: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tool that ends after the code's deadline has completed; the code and its step have failed."""
        too_late = threading.Event()

        class Announced(local_python_executor.ExecutionTimeoutError):
            def __init__(self, *args: object) -> None:
                super().__init__(*args)
                too_late.set()

        monkeypatch.setattr(local_python_executor, "ExecutionTimeoutError", Announced)

        class Slow(Lookup):
            def forward(self, key: str) -> str:
                assert too_late.wait(10)
                return key

        agent = coder(
            code("lookup('a')"),
            code("final_answer(1)"),
            tools=[Slow()],
            name="agent",
            executor_kwargs={"timeout_seconds": 0.001},
        )
        agent.step_callbacks.register(ActionStep, lambda step: setattr(agent.python_executor, "timeout_seconds", 10))
        agent.run("go")

        metrics = recorded.ledger.total()
        assert ran(metrics) == {"final_answer": (1, 1, 0, 0), "lookup": (1, 1, 0, 0)}
        assert metrics.recovered_errors_by_agent == {"agent": {"AgentExecutionError": 1}}
        assert tree(recorded)[2] == "  code python error"

    def test_remote_executor(self, recorded: Capture) -> None:
        """Code that runs elsewhere is a code execution; its tool calls are out of sight, and it says so."""

        class Sandbox(RemotePythonExecutor):
            def __init__(self) -> None:
                super().__init__([], quiet())

            def run_code_raise_errors(self, code: str) -> CodeOutput:
                return CodeOutput(output="done", logs="", is_final_answer="final_answer('done')" in code)

        class Elsewhere(CodeAgent):
            def create_python_executor(self) -> Any:
                return Sandbox()

        agent = Elsewhere(tools=[], model=ScriptedModel(code("final_answer('done')")), logger=quiet(), name="agent")

        assert agent.run("go") == "done"

        assert tree(recorded) == ["agent agent", "  model scripted", "  code python"]
        for span in recorded.spans:
            assert span.attributes.get(names.REMOTE) is (True if span.name == "execute_code" else None)
        # smolagents has put its own exception into this tool, and its own class.
        assert type(agent.tools["final_answer"]).__name__ == "_FinalAnswerTool"

    def test_tool_whose_work_is_done_in_an_event_loop(self, recorded: Capture) -> None:
        """A tool of a class made on the spot, working in a loop on another thread, as adapters of MCP servers do."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        helper = ScriptedModel(Say("so it is"), model_id="helper")

        def adapted(name: str) -> Tool:
            async def call(key: str) -> str:
                return helper.generate([]).content + " (an error, said in a text)"

            class MCPAdaptTool(Lookup):
                def __init__(self) -> None:
                    super().__init__()
                    self.name = name

                def forward(self, key: str) -> str:
                    return asyncio.run_coroutine_threadsafe(call(key), loop).result(10)

            return MCPAdaptTool()

        try:
            with tachograph.session("s"):
                coder(code("final_answer(far_away(key='a'))"), tools=[adapted("far_away")], name="agent").run("go")
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

        assert tree(recorded)[2:5] == ["  code python", "    tool far_away", "      model helper"]
        assert ran(recorded.ledger.session_metrics("s"))["far_away"] == (1, 1, 0, 0)

    def test_hostile_values(self, recorded: Capture) -> None:
        """Arguments and results that fail at every touch reach the tool and come back as the same objects."""
        touched: list[str] = []

        def touch(name: str) -> Any:
            def method(self: Any, *_: Any) -> Any:
                touched.append(name)
                raise RuntimeError(name)

            return method

        dunders = ("__str__", "__repr__", "__eq__", "__bool__", "__len__", "__iter__", "__getattr__", "__format__")
        hostile = type("Hostile", (), {name: touch(name) for name in dunders} | {"__hash__": None})()
        circular: dict[str, Any] = {}
        circular["self"] = circular
        given: list[Any] = []

        class Keep(Tool):
            name = "keep"
            description = "Keeps what it gets."
            inputs = {"thing": {"type": "any", "description": "anything"}}  # noqa: RUF012 - the framework's way
            output_type = "string"  # which is not what it returns

            def forward(self, thing):
                given.append(thing)
                return thing

        keep = Keep()
        for value in (hostile, circular, (n for n in range(3)), {"a": object()}):
            assert keep(thing=value) is value
            assert given.pop() is value

        assert touched == []
        assert ran(recorded.ledger.total()) == {"keep": (4, 4, 0, 0)}

    def test_secrets_in_additional_arguments(self, recorded: Capture) -> None:
        """What additional arguments put into the task's text is in no span, event, audit entry or timeline."""
        agent = caller(ASK, answer("canary"), tools=[Lookup()], name="agent")
        agent.run("a canary", additional_args={"password": "canary"})

        assert "canary" in agent.task
        ledger = recorded.ledger
        written = [
            *(span.to_json() for span in recorded.spans),
            *(log.to_json() for log in recorded.logs),
            ledger.audit_log(),
            ledger.timeline(),
            ledger.total(),
        ]
        assert "canary" not in str(written)
