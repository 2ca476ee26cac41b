"""smolagents, the real one: what it does is recorded, exactly."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
import wrapt
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode
from smolagents import CodeAgent, Tool, ToolCallingAgent, tool
from smolagents.agents import MultiStepAgent
from smolagents.local_python_executor import PythonExecutor
from smolagents.memory import ActionStep, FinalAnswerStep
from smolagents.models import ChatMessage, MessageRole, Model
from smolagents.monitoring import TokenUsage
from smolagents.tools import BaseTool
from smolagents.utils import AgentGenerationError

import tachograph
from support.agents import Lookup, Say, ScriptedModel, answer, caller, code, coder, overriding
from support.figures import sent, tree, without_times
from tachograph import names
from tachograph.probes import descendants
from tachograph.testing import Capture, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {
    "tool-calling": lambda: caller(Say(calls=(("lookup", {"key": "a"}),)), answer(), tools=[Lookup()], name="agent"),
    "code": lambda: coder(code("print(lookup('a'))"), code("final_answer('done')"), tools=[Lookup()], name="agent"),
    "overriding": lambda: overriding(Say(calls=(("lookup", {"key": "a"}),)), answer(), tools=[Lookup()], name="agent"),
}


@pytest.fixture
def captured() -> Iterator[Capture]:
    """Everything recorded during the test; whatever it was, a ledger that sees only the spans says the same."""
    with capture() as everything:
        yield everything
        assert everything.spans_only.metrics() == everything.ledger.metrics()
        for session_id in everything.ledger.sessions():
            from_spans = everything.spans_only.session_metrics(session_id).to_dict()
            assert from_spans == everything.ledger.session_metrics(session_id).to_dict()


@pytest.fixture
def detach_errors(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, in which nobody may complain of a context that cannot be detached."""
    caplog.set_level(logging.DEBUG, logger="opentelemetry.context")
    return caplog


# ------------------------------------------------------------------------------------------------ a whole run
class TestRun:
    def test_tree(self, captured: Capture) -> None:
        """A run is an agent operation with its model and tool calls inside."""
        KINDS["tool-calling"]().run("go")

        assert tree(captured) == [
            "agent agent",
            "  model scripted",
            "  tool lookup",
            "  model scripted",
            "  tool final_answer",
        ]

    def test_code_agent_tree(self, captured: Capture) -> None:
        """What generated code calls is inside the code's execution, although it runs in another thread."""
        KINDS["code"]().run("go")

        assert tree(captured) == [
            "agent agent",
            "  model scripted",
            "  code python",
            "    tool lookup",
            "  model scripted",
            "  code python",
            "    tool final_answer",
        ]
        assert {span.context.trace_id for span in captured.spans} == {1}

    @pytest.mark.parametrize("kind", KINDS)
    def test_bill(self, captured: Capture, kind: str) -> None:
        """Requests and tokens are the model's own bill."""
        agent = KINDS[kind]()

        agent.run("go")

        metrics = captured.ledger.total()
        bill = agent.model.bill
        assert metrics.total_requests == bill.calls
        assert (metrics.total_prompt_tokens, metrics.total_completion_tokens) == (bill.prompt, bill.completion)
        assert metrics.tools["lookup"]["completed"] == agent.tools["lookup"].ran

    def test_no_usage_on_agents(self, captured: Capture) -> None:
        """Token usage is on model spans only, so that it sums up to the bill."""
        agent = KINDS["code"]()

        agent.run("go")

        carriers = [span for span in captured.spans if names.INPUT_TOKENS in span.attributes]
        assert {span.attributes[names.OPERATION_NAME] for span in carriers} == {"chat"}
        assert sum(span.attributes[names.INPUT_TOKENS] for span in carriers) == agent.model.bill.prompt

    def test_ids_at_start(self) -> None:
        """Session, correlation, user and conversation are among the attributes a sampler sees."""
        seen: list[dict[str, Any]] = []

        class Spy(ParentBased):
            def should_sample(self, context, trace_id, name, kind=None, attributes=None, links=None):
                seen.append(dict(attributes or {}))
                return super().should_sample(context, trace_id, name, kind, attributes, links)

        session = tachograph.session("s", user_id="u", correlation_id="c", conversation=True)
        with capture(sampler=Spy(ALWAYS_ON)), session:
            KINDS["code"]().run("go")

        ids = (names.SESSION_ID, names.CORRELATION_ID, names.USER_ID, names.CONVERSATION_ID)
        assert {tuple(a[name] for name in ids) for a in seen} == {("s", "c", "u", "s")}
        assert len(seen) == 7

    @pytest.mark.parametrize("streaming", [False, True])
    def test_same_from_spans(self, captured: Capture, streaming: bool) -> None:  # noqa: FBT001
        """A ledger that only sees the spans gives the recorder's answer."""
        worker = caller(answer("found"), name="worker", description="works", stream_outputs=streaming)
        agent = coder(
            Say(text="a plan"),
            code("print(worker(task='look'))\nprint(lookup('broken'))"),
            code("final_answer('done')"),
            tools=[Lookup()],
            managed_agents=[worker],
            planning_interval=5,
            name="boss",
        )
        with tachograph.session("s", user_id="u"):
            agent.run("go")

        assert captured.spans_only.session_metrics("s").to_dict() == captured.ledger.session_metrics("s").to_dict()
        assert captured.spans_only.metrics() == captured.ledger.metrics()
        assert str(captured.spans_only.timeline(session_id="s")) == str(captured.ledger.timeline(session_id="s"))
        assert captured.spans_only.audit_log(session_id="s") == sent(captured.ledger.audit_log(session_id="s"))

    def test_correlation(self, captured: Capture) -> None:
        """Each outermost run is a request of its own; a given correlation id makes two runs one."""
        with tachograph.session("s"):
            KINDS["code"]().run("go")
            KINDS["code"]().run("go")
            with tachograph.correlation("c"):
                KINDS["code"]().run("go")
                KINDS["code"]().run("go")

        requests = [entry["correlation_id"] for entry in captured.ledger.audit_log(event_type="task_started")]
        assert len(set(requests)) == 3
        assert captured.ledger.session_metrics("s", "c").agent_runs == 2

    def test_unnamed_agent(self, captured: Capture) -> None:
        """An agent without a name is shown by its class, and its span claims no name."""
        caller(answer()).run("go")

        assert list(captured.ledger.total().agents) == ["ToolCallingAgent"]
        (run,) = [span for span in captured.spans if span.name.startswith("invoke_agent")]
        assert run.name == "invoke_agent"
        assert names.AGENT_NAME not in run.attributes

    def test_registered(self, captured: Capture) -> None:
        """An agent is announced once, when it is made, or at its first run where it was made before."""
        agent = KINDS["code"]()
        agent.run("go")
        with capture() as later:
            agent.model.script = [code("final_answer('again')")]
            agent.run("go")

        (entry,) = captured.ledger.audit_log(event_type="agent_registered")
        assert (entry["agent_type"], entry["agent_class"], entry["tools"]) == (
            "agent",
            "CodeAgent",
            ["lookup", "final_answer"],
        )
        assert len(later.ledger.audit_log(event_type="agent_registered")) == 1


# -------------------------------------------------------------------------------------------------- delegation
class TestDelegation:
    @pytest.mark.parametrize("manager", ["tool-calling", "code"])
    def test_switch(self, captured: Capture, manager: str) -> None:
        """A delegation to a managed agent is one switch in one trace, under both kinds of manager."""
        worker = caller(answer("found"), name="worker", description="works")
        if manager == "code":
            boss = coder(code("x = worker(task='look')"), code("final_answer(x)"), managed_agents=[worker], name="boss")
        else:
            boss = caller(Say(calls=(("worker", {"task": "look"}),)), answer(), managed_agents=[worker], name="boss")

        boss.run("go")

        metrics = captured.ledger.total()
        assert metrics.switches == {"boss_to_worker": 1}
        assert (metrics.agent_runs, metrics.tasks) == (2, 1)
        assert len({span.context.trace_id for span in captured.spans}) == 1
        (event,) = [log.log_record for log in captured.logs if log.log_record.event_name == "tachograph.agent_switched"]
        assert (event.attributes["from_agent"], event.attributes["to_agent"]) == ("boss", "worker")

    def test_ids_on_events(self, captured: Capture) -> None:
        """Every log event carries session, correlation and user."""
        worker = caller(ConnectionError("gone"), name="worker", description="works")
        boss = coder(code("worker(task='look')"), code("final_answer('well')"), managed_agents=[worker], name="boss")

        with tachograph.session("s", user_id="u", correlation_id="c"):
            boss.run("go")

        events = {log.log_record.event_name: log.log_record.attributes for log in captured.logs}
        ids = (names.SESSION_ID, names.CORRELATION_ID, names.USER_ID)
        for event in ("tachograph.agent_switched", names.MODEL_EXCEPTION):
            assert tuple(events[event][name] for name in ids) == ("s", "c", "u")

    def test_agent_inside_tool(self, captured: Capture) -> None:
        """An agent that a tool runs is a nested run, not a switch."""
        inner = caller(answer("found"), name="inner")

        @tool
        def ask(question: str) -> str:
            """Asks.

            Args:
                question: what to ask.
            """
            return inner.run(question)

        caller(Say(calls=(("ask", {"question": "?"}),)), answer(), tools=[ask], name="outer").run("go")

        metrics = captured.ledger.total()
        assert (metrics.agent_runs, metrics.agent_switches, metrics.tasks) == (2, 0, 1)

    def test_failure_handed_up(self, captured: Capture) -> None:
        """A failure that a worker hands up and the manager passes on is one error with two layers."""
        worker = caller(ConnectionError("gone"), name="worker", description="works")

        @tool
        def ask(question: str) -> str:
            """Asks.

            Args:
                question: what to ask.
            """
            return worker.run(question)

        class Strict(type(caller(answer()))):
            def execute_tool_call(self, tool_name, arguments):
                try:
                    return super().execute_tool_call(tool_name, arguments)
                except Exception as error:
                    raise AgentGenerationError("strict", self.logger) from error

        boss = Strict(
            tools=[ask],
            model=ScriptedModel(Say(calls=(("ask", {"question": "?"}),))),
            name="boss",
            logger=worker.logger,
        )
        with pytest.raises(AgentGenerationError):
            boss.run("go")

        metrics = captured.ledger.total()
        assert metrics.errors == 1
        assert metrics.errors_by_agent == {
            "boss": {"AgentGenerationError": 1},
            "worker": {"AgentGenerationError": 1},
        }

    @pytest.mark.parametrize("manager", ["tool-calling", "code"])
    def test_failure_recovered(self, captured: Capture, manager: str) -> None:
        """A worker's failure that the manager goes on after is an error of the worker, recovered by the manager."""
        worker = caller(ConnectionError("gone"), name="worker", description="works")
        if manager == "code":
            boss = coder(
                code("worker(task='look')"), code("final_answer('well')"), managed_agents=[worker], name="boss"
            )
            recovered = "AgentExecutionError"
        else:
            boss = caller(Say(calls=(("worker", {"task": "look"}),)), answer(), managed_agents=[worker], name="boss")
            recovered = "AgentToolExecutionError"

        boss.run("go")

        metrics = captured.ledger.total()
        assert (metrics.errors, metrics.recovered_errors) == (1, 1)
        assert metrics.errors_by_agent == {"worker": {"AgentGenerationError": 1}}
        assert metrics.recovered_errors_by_agent == {"boss": {recovered: 1}}
        assert metrics.llm_errors == {"ConnectionError": 1}

    def test_foreign_managed_agent(self, captured: Capture) -> None:
        """A managed agent that is no smolagents agent is a switch and a run all the same."""

        class Remote:
            name = "remote"
            description = "Works elsewhere."

            def __call__(self, task: str, **_: Any) -> str:
                return "found"

        boss = coder(code("x = remote(task='look')"), code("final_answer(x)"), managed_agents=[Remote()], name="boss")

        boss.run("go")

        assert captured.ledger.total().switches == {"boss_to_remote": 1}
        assert "    agent remote" in tree(captured)


# ------------------------------------------------------------------------------------------------------ models
class TestModels:
    def test_super_chain(self, captured: Capture) -> None:
        """A chain of super() calls is one request."""

        class Middle(ScriptedModel):
            def generate(self, *args, **kwargs):
                return super().generate(*args, **kwargs)

        class Outer(Middle):
            def generate(self, *args, **kwargs):
                return super().generate(*args, **kwargs)

        agent = caller(answer())
        agent.model = Outer(answer())
        agent.run("go")

        assert captured.ledger.total().total_requests == 1

    def test_fallback(self, captured: Capture) -> None:
        """A model that falls back to another inside its own call is one request, with the tokens it reports."""

        class Fallback(ScriptedModel):
            def generate(self, *args, **kwargs):
                with contextlib.suppress(ConnectionError):
                    return ScriptedModel(ConnectionError("gone")).generate(*args, **kwargs)
                return ScriptedModel(answer(prompt=7, completion=3)).generate(*args, **kwargs)

        agent = caller()
        agent.model = Fallback()
        agent.run("go")

        metrics = captured.ledger.total()
        assert (metrics.total_requests, metrics.failed_requests, metrics.total_tokens) == (1, 0, 10)

    def test_duck_typed(self, captured: Capture) -> None:
        """A model that is no Model is recorded as soon as an agent runs on it."""

        class Duck:
            model_id = "duck"

            def generate(self, messages, **_):
                return ScriptedModel(answer()).generate(messages)

        agent = caller()
        agent.model = Duck()
        agent.run("go")

        assert list(captured.ledger.total().tokens_by_model) == ["duck"]

    def test_called_directly(self, captured: Capture) -> None:
        """A model called by the program itself is one request, whichever way it is called."""
        model = ScriptedModel(Say("hello"), Say("hello"))
        message = [ChatMessage(role=MessageRole.USER, content="hi")]

        model(message)
        model.generate(message)

        assert captured.ledger.total().total_requests == 2

    def test_unknown_usage(self, captured: Capture) -> None:
        """Usage that nobody reports is unknown, not 0."""
        caller(answer(usage="absent")).run("go")

        (request,) = captured.ledger.total().requests
        assert (request["prompt_tokens"], request["completion_tokens"], request["total_tokens"]) == (None, None, None)

    @pytest.mark.parametrize("usage", ["last", "each", "cumulative"])
    def test_streamed_usage(self, captured: Capture, usage: str) -> None:
        """However a stream reports its usage, the sum is the bill."""
        model = ScriptedModel(Say("one two three four", usage=usage))

        assert len(list(model.generate_stream([]))) >= 4

        metrics = captured.ledger.total()
        assert (metrics.total_prompt_tokens, metrics.total_completion_tokens) == (
            model.bill.prompt,
            model.bill.completion,
        )
        assert metrics.streamed_requests == 1

    def test_broken_stream(self, captured: Capture) -> None:
        """A stream that breaks is a failed request; the tokens reported until then count."""
        model = ScriptedModel(Say("one two", usage="each", break_after=ConnectionError("cut")))

        with pytest.raises(ConnectionError, match="cut"):
            list(model.generate_stream([]))

        metrics = captured.ledger.total()
        assert (metrics.failed_requests, metrics.total_tokens) == (1, 101)
        (span,) = captured.spans
        assert (span.status.status_code, span.attributes[names.ERROR_TYPE]) == (StatusCode.ERROR, "ConnectionError")

    def test_later_subclass(self, captured: Capture) -> None:
        """A model class defined after the hooks is hooked, without an agent too."""

        class Later(Model):
            def generate(self, messages, **_):
                return ChatMessage(role=MessageRole.ASSISTANT, content="hi", token_usage=TokenUsage(1, 2))

        Later(model_id="later").generate([])

        assert captured.ledger.total().tokens_by_model["later"]["total_tokens"] == 3


# ------------------------------------------------------------------------------------------------------- tools
class TestTools:
    def test_failed_and_recovered(self, captured: Capture) -> None:
        """A tool that raises has failed; the agent that goes on has recovered."""
        lookup = Lookup()
        agent = caller(Say(calls=(("lookup", {"key": "broken"}),)), answer(), tools=[lookup], name="agent")

        agent.run("go")

        metrics = captured.ledger.total()
        assert metrics.tools["lookup"]["failed"] == lookup.ran == 1
        assert metrics.tool_errors == {"LookupError": 1}
        assert (metrics.errors, metrics.recovered_errors_by_agent) == (0, {"agent": {"AgentToolExecutionError": 1}})

    @pytest.mark.parametrize(
        ("call", "error"),
        [(("nothing", {}), "AgentToolExecutionError"), (("lookup", {"wrong": 1}), "AgentToolCallError")],
    )
    def test_refused(self, captured: Capture, call: tuple[str, dict[str, Any]], error: str) -> None:
        """A call of an unknown tool, or with arguments that do not fit, was requested and never ran."""
        lookup = Lookup()

        caller(Say(calls=(call,)), answer(), tools=[lookup]).run("go")

        metrics = captured.ledger.total()
        expected = {"requested": 1, "completed": 0, "failed": 0, "refused": 1, "requires_approval": 0}
        assert metrics.tools[call[0]] | {"total_duration_ms": 0} == expected | {"total_duration_ms": 0}
        assert lookup.ran == 0
        (entry,) = [e for e in captured.ledger.audit_log(event_type="tool_execution_requested") if e.get("refused")]
        assert entry["error_type"] == error
        assert not [span for span in captured.spans if span.name == f"execute_tool {call[0]}"]

    def test_call_ids(self, captured: Capture) -> None:
        """Each tool call carries the id the model gave it, also in parallel."""
        calls = tuple(("lookup", {"key": str(n)}, f"id-{n}") for n in range(8))

        caller(Say(calls=calls), answer(), tools=[Lookup()]).run("go")

        asked = captured.ledger.audit_log(event_type="tool_execution_requested")
        assert {entry["call_id"] for entry in asked if entry["tool_name"] == "lookup"} == {c[2] for c in calls}

    def test_swallowed_by_code(self, captured: Capture) -> None:
        """A tool error that generated code swallows is a failed tool in a fine step."""
        source = "try:\n    lookup('broken')\nexcept Exception:\n    pass\nfinal_answer('fine')"

        coder(code(source), tools=[Lookup()]).run("go")

        metrics = captured.ledger.total()
        assert (metrics.tools["lookup"]["failed"], metrics.recovered_errors) == (1, 0)

    def test_super_chain(self, captured: Capture) -> None:
        """A tool whose class overrides __call__ and calls super() ran once."""

        class Loud(Lookup):
            def __call__(self, *args, **kwargs):
                return super().__call__(*args, **kwargs)

        Loud()("a")

        assert captured.ledger.total().tools["lookup"]["requested"] == 1

    @pytest.mark.parametrize("overriding", [False, True])
    def test_a_tool_that_calls_itself(self, captured: Capture, overriding: bool) -> None:  # noqa: FBT001
        """A tool that calls itself anew, to try again or to go on, is called once more each time."""

        class Persistent(Lookup):
            def forward(self, key: str) -> str:
                return self(key[1:]) if len(key) > 1 else key

        class Loud(Persistent):
            def __call__(self, *args, **kwargs):
                return super().__call__(*args, **kwargs)

        assert "c" == (Loud if overriding else Persistent)()("abc")

        tools = captured.ledger.total().tools
        assert (3, 3) == (tools["lookup"]["requested"], tools["lookup"]["completed"])

    def test_generator_result(self, captured: Capture) -> None:
        """A generator that a tool returns is handed over untouched."""

        class Lazy(Tool):
            name = "lazy"
            description = "Counts later."
            inputs = {}  # noqa: RUF012 - the framework's way
            output_type = "any"

            def forward(self):
                return made

        made = (n for n in range(3))

        assert Lazy()() is made
        assert list(made) == [0, 1, 2]


# --------------------------------------------------------------------------------------------------- outcomes
class TestOutcomes:
    def test_failed_run(self, captured: Capture) -> None:
        """A failing run raises the same exception, is an ERROR span, and leaves nothing current."""
        agent = caller(ConnectionError("gone"), name="agent")
        before = otel_context.get_current()

        with pytest.raises(AgentGenerationError) as raised:
            agent.run("go")

        assert isinstance(raised.value.__cause__, ConnectionError)
        assert otel_context.get_current() is before
        run = captured.spans[-1]
        assert (run.name, run.status.status_code) == ("invoke_agent agent", StatusCode.ERROR)
        assert run.attributes[names.ERROR_TYPE] == "AgentGenerationError"
        agent.model.script = [answer()]
        agent.run("go")
        again = captured.spans[-1]
        assert again.parent is None
        assert again.context.trace_id != run.context.trace_id
        assert captured.ledger.open_operations() == []

    def test_max_steps(self, captured: Capture) -> None:
        """A run that gave up is neither fine nor failed, and its extra model call counts."""
        agent = caller(
            Say(calls=(("lookup", {"key": "a"}),)), Say("sorry"), tools=[Lookup()], max_steps=1, name="agent"
        )

        agent.run("go")

        metrics = captured.ledger.total()
        assert metrics.outcomes == {"max_steps": 1}
        assert (metrics.errors, metrics.total_requests) == (0, agent.model.bill.calls)
        assert metrics.agents["agent"]["success_count"] == metrics.agents["agent"]["failure_count"] == 0
        assert captured.spans[-1].status.status_code is StatusCode.UNSET

    def test_interrupted(self, captured: Capture) -> None:
        """A run stopped by interrupt() is no error."""
        agent = caller(
            Say(calls=(("lookup", {"key": "a"}),)),
            answer(),
            tools=[Lookup()],
            step_callbacks=[lambda step, agent: agent.interrupt()],
        )

        with pytest.raises(Exception, match=r"Agent interrupted\."):
            agent.run("go")

        metrics = captured.ledger.total()
        assert (metrics.outcomes, metrics.errors) == ({"interrupted": 1}, 0)

    def test_keyboard_interrupt(self, captured: Capture) -> None:
        """Ctrl-C passes through as itself and ends everything that was open."""

        class Stop(Lookup):
            def forward(self, key: str) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            caller(Say(calls=(("lookup", {"key": "a"}),)), tools=[Stop()]).run("go")

        assert captured.ledger.open_operations() == []
        assert captured.ledger.total().outcomes == {"interrupted": 1}

    def test_planning(self, captured: Capture) -> None:
        """A planning step is an operation around its model call."""
        caller(Say("a plan"), answer(), planning_interval=3, name="agent").run("go")

        assert tree(captured)[:3] == ["agent agent", "  plan agent", "    model scripted"]

    def test_planning_fails(self, captured: Capture) -> None:
        """A failing planning call fails the plan and the run, with the model's own exception."""
        with pytest.raises(ConnectionError):
            caller(ConnectionError("gone"), planning_interval=3, name="agent").run("go")

        assert tree(captured) == ["agent agent error", "  plan agent error", "    model scripted error"]
        assert captured.ledger.total().errors == 1

    def test_final_answer_check(self, captured: Capture) -> None:
        """An answer that a check turns down is a recovered error."""
        turned_down = iter([False, True])
        agent = caller(answer("bad"), answer("good"), final_answer_checks=[lambda *_, **__: next(turned_down)])

        assert agent.run("go") == "good"

        assert captured.ledger.total().recovered_errors_by_agent == {"ToolCallingAgent": {"AgentError": 1}}

    def test_steps(self, captured: Capture) -> None:
        """What happens in a step carries its number, and the run their count."""
        KINDS["tool-calling"]().run("go")

        steps = [entry.step for entry in captured.ledger.timeline().entries if entry.kind in ("model", "tool")]
        assert steps == [1, 1, 2, 2]
        assert captured.spans[-1].attributes[names.STEPS] == 2


# ---------------------------------------------------------------------------------------------------- streams
def read_to_the_end(stream: Any) -> None:
    list(stream)


def break_off(stream: Any) -> None:
    for _ in stream:
        break
    stream.close()


def close_mid_step(stream: Any) -> None:
    next(stream)
    with contextlib.suppress(RuntimeError):  # smolagents yields inside a finally
        stream.close()


def drop(stream: Any) -> None:
    next(stream)
    del stream
    gc.collect()


def never_iterate(stream: Any) -> None:
    del stream
    gc.collect()


class TestStreams:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("where", ["here", "thread", "task"])
    @pytest.mark.parametrize(
        ("ending", "outcome"),
        [
            (read_to_the_end, "ok"),
            (break_off, "abandoned"),
            (close_mid_step, "abandoned"),
            (drop, "abandoned"),
            (never_iterate, "abandoned"),
        ],
    )
    def test_endings(
        self,
        captured: Capture,
        detach_errors: pytest.LogCaptureFixture,
        kind: str,
        where: str,
        ending: Any,
        outcome: str,
    ) -> None:
        """However a streamed run ends, and wherever, it is one ended operation with the right outcome."""
        streams = [KINDS[kind]().run("go", stream=True)]
        before = otel_context.get_current()

        def end() -> None:
            around = otel_context.get_current()
            with contextlib.suppress(RuntimeError):
                ending(streams.pop())
            assert otel_context.get_current() is around

        if where == "here":
            end()
        elif where == "thread":
            thread = threading.Thread(target=end)
            thread.start()
            thread.join()
        else:

            async def ended_in_task() -> None:
                end()

            async def run() -> None:
                await asyncio.create_task(ended_in_task())

            asyncio.run(run())

        gc.collect()
        assert captured.ledger.open_operations() == []
        assert captured.ledger.total().outcomes == {outcome: 1}
        assert len([span for span in captured.spans if span.name == "invoke_agent agent"]) == 1
        assert otel_context.get_current() is before
        assert "Failed to detach" not in detach_errors.text

    @pytest.mark.parametrize("kind", KINDS)
    def test_exception(self, captured: Capture, detach_errors: pytest.LogCaptureFixture, kind: str) -> None:
        """A streamed run that fails is an error, and the exception is the framework's own."""
        agent = KINDS[kind]()
        agent.model.script = [ConnectionError("gone")]
        stream = agent.run("go", stream=True)

        with pytest.raises(AgentGenerationError):
            list(stream)

        assert captured.ledger.total().outcomes == {"error": 1}
        assert captured.spans[-1].status.status_code is StatusCode.ERROR
        assert "Failed to detach" not in detach_errors.text

    def test_stopped_before_the_exception(self, captured: Capture) -> None:
        """A consumer that stops at the failed step, before the exception comes, leaves a failed run."""
        agent = caller(ConnectionError("gone"), name="agent")

        for step in agent.run("go", stream=True):
            if isinstance(step, ActionStep):
                break
        gc.collect()

        metrics = captured.ledger.total()
        assert metrics.outcomes == {"error": 1}
        assert metrics.errors_by_agent == {"agent": {"AgentGenerationError": 1}}

    def test_stopped_after_the_answer(self, captured: Capture) -> None:
        """A consumer that stops once it has the answer leaves a run that went well."""
        for step in KINDS["code"]().run("go", stream=True):
            if isinstance(step, FinalAnswerStep):
                break
        gc.collect()

        assert captured.ledger.total().outcomes == {"ok": 1}

    def test_interleaved(self, captured: Capture) -> None:
        """Two interleaved streams stay two traces, and the consumer's spans are nobody's children."""
        tracer = captured.runtime.providers._explicit.get_tracer("host")
        one, two = KINDS["code"]().run("go", stream=True), KINDS["tool-calling"]().run("go", stream=True)
        for _pair in zip(one, two, strict=False):
            tracer.start_span("host").end()
        for rest in (one, two):
            list(rest)

        hosts = [span for span in captured.spans if span.name == "host"]
        assert hosts
        assert all(span.parent is None for span in hosts)
        runs = [span.context.trace_id for span in captured.spans if span.name == "invoke_agent agent"]
        assert len(set(runs)) == 2

    def test_same_steps(self, captured: Capture) -> None:
        """The consumer sees the same types of steps as without us."""
        seen = [type(step).__name__ for step in KINDS["code"]().run("go", stream=True)]
        captured.runtime.hooks.uninstall()

        assert [type(step).__name__ for step in KINDS["code"]().run("go", stream=True)] == seen

    @pytest.mark.parametrize("kind", KINDS)
    def test_stream_outputs(self, captured: Capture, kind: str) -> None:
        """stream_outputs makes streamed requests whose tokens are the bill, also in a run that is not streamed."""
        agent = KINDS[kind]()
        agent.stream_outputs = True

        agent.run("go")

        metrics = captured.ledger.total()
        assert metrics.streamed_requests == metrics.total_requests == agent.model.bill.calls
        assert metrics.total_prompt_tokens == agent.model.bill.prompt


# ------------------------------------------------------------------------------- sampling, no SDK, concurrency
def busy_day() -> tuple[int, int]:
    """A manager, a worker, a plan, a failing tool; gives the calls and tokens of the bill."""
    worker = caller(
        Say(calls=(("lookup", {"key": "broken"}),)),
        answer("found"),
        tools=[Lookup()],
        name="worker",
        description="works",
    )
    boss = coder(
        Say(text="a plan"),
        code("x = worker(task='look')"),
        code("final_answer(x)"),
        managed_agents=[worker],
        planning_interval=5,
        name="boss",
    )
    with tachograph.session("s"):
        boss.run("go")
    bills = (worker.model.bill, boss.model.bill)
    return sum(bill.calls for bill in bills), sum(bill.prompt + bill.completion for bill in bills)


class TestSampling:
    @pytest.mark.parametrize(
        "settings",
        [{"sampler": ALWAYS_ON}, {"sampler": TraceIdRatioBased(0.01)}, {"sampler": ALWAYS_OFF}, {"sdk": False}],
        ids=["all", "one-percent", "off", "no-sdk"],
    )
    def test_same_totals(self, settings: dict[str, Any]) -> None:
        """Sampled out or without an SDK, the figures are those of 100 %."""
        with capture() as everything:
            busy_day()
        with capture(**settings) as captured:
            calls, tokens = busy_day()

        metrics = captured.ledger.session_metrics("s")
        assert (metrics.total_requests, metrics.total_tokens) == (calls, tokens)
        expected = without_times(everything.ledger.session_metrics("s").to_dict())
        assert without_times(metrics.to_dict()) == expected
        types = [entry["event_type"] for entry in everything.ledger.audit_log()]
        assert sorted(entry["event_type"] for entry in captured.ledger.audit_log()) == sorted(types)
        assert tree(captured) == tree(everything)


class TestConcurrency:
    def test_one_agent_many_runs(self, captured: Capture) -> None:
        """Eight runs of one agent object at once are eight runs, each with its own calls inside."""

        class Fixed(Model):
            def generate(self, messages, **_):
                return ScriptedModel(answer()).generate(messages)

        agent = caller(name="agent")
        agent.model = Fixed(model_id="fixed")

        def work(n: int) -> None:
            with tachograph.session(f"s{n}"):
                agent.run("go")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        per_session = [captured.ledger.session_metrics(f"s{n}") for n in range(8)]
        assert [(m.agent_runs, m.total_requests, m.tool_calls) for m in per_session] == [(1, 1, 1)] * 8

    def test_to_thread_and_bound(self, captured: Capture) -> None:
        """asyncio.to_thread keeps the session by itself, an executor keeps it through bind."""

        async def work() -> None:
            loop = asyncio.get_running_loop()
            with tachograph.session("s"):
                await asyncio.to_thread(caller(answer()).run, "go")
                await loop.run_in_executor(None, tachograph.bind(caller(answer()).run), "go")
            await loop.run_in_executor(None, caller(answer()).run, "go")

        asyncio.run(work())

        assert captured.ledger.session_metrics("s").agent_runs == 2
        assert captured.ledger.total().agent_runs == 3

    def test_lost_context(self, captured: Capture) -> None:
        """A tool called in a thread without context belongs to the only run under way that has it."""

        class Threaded(Tool):
            name = "threaded"
            description = "Looks up in a thread of its own."
            inputs = {}  # noqa: RUF012 - the framework's way
            output_type = "string"

            def forward(self):
                found: list[str] = []
                thread = threading.Thread(target=lambda: found.append(lookup("a")))
                thread.start()
                thread.join()
                return found[0]

        lookup = Lookup()
        with tachograph.session("s"):
            caller(Say(calls=(("threaded", {}),)), answer(), tools=[Threaded(), lookup], name="agent").run("go")

        assert captured.ledger.session_metrics("s").tools["lookup"]["completed"] == 1
        assert len({span.context.trace_id for span in captured.spans}) == 1

    def test_foreign_span_in_tool(self, captured: Capture) -> None:
        """A span the program opens inside a tool is a child of the tool and carries the session."""

        class Traced(Lookup):
            def forward(self, key: str) -> str:
                captured.runtime.providers._explicit.get_tracer("host").start_span("host").end()
                assert trace.get_current_span().get_span_context().is_valid
                return "value"

        with tachograph.session("s"):
            coder(code("final_answer(lookup('a'))"), tools=[Traced()]).run("go")

        (host,) = [span for span in captured.spans if span.name == "host"]
        (lookup,) = [span for span in captured.spans if span.name == "execute_tool lookup"]
        assert host.parent.span_id == lookup.context.span_id
        assert host.attributes[names.SESSION_ID] == "s"


# ------------------------------------------------------------------------------------------------------ restore
def _by_hand(original: Any) -> Any:
    def foreign(self: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, *args, **kwargs)

    return foreign


def _closure(original: Any) -> Any:
    @functools.wraps(original)
    def foreign(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    return foreign


FOREIGN = {
    "plain function": _by_hand,
    "functools.wraps": _closure,
    "wrapt": lambda original: wrapt.FunctionWrapper(original, lambda called, _, args, kwargs: called(*args, **kwargs)),
}
"""How others patch the same methods: by hand, and as OpenInference and the official packages do."""


def _state(classes: list[type]) -> dict[type, Any]:
    """What a class is: its very attributes, which are kept, its ancestry, and what it does with subclasses."""
    return {
        cls: (
            {name: id(value) for name, value in vars(cls).items() if not name.startswith("_abc")},
            cls.__mro__,
            cls.__init_subclass__.__func__ if hasattr(cls.__init_subclass__, "__func__") else None,
        )
        for cls in classes
    }


class TestRestore:
    WATCHED = (MultiStepAgent, ToolCallingAgent, CodeAgent, Model, ScriptedModel, Tool, BaseTool, PythonExecutor)

    def watched(self) -> list[type]:
        """Classes that are patched, and those that inherit from them."""
        families = (Model, BaseTool, PythonExecutor)
        return list(dict.fromkeys([*self.WATCHED, *(cls for family in families for cls in descendants(family))]))

    def test_classes_are_as_before(self) -> None:
        """After uninstrumenting, however often, every patched class holds exactly what it held."""
        watched = self.watched()
        kept = [dict(vars(cls)) for cls in watched]  # so that no new object can have an old one's identity
        before = _state(watched)

        for _ in range(3):
            with capture():
                assert before != _state(watched)
                KINDS["tool-calling"]().run("go")
            assert before == _state(watched)
        assert len(kept) == len(watched)

    @pytest.mark.parametrize("foreign", FOREIGN)
    def test_a_foreign_patch_below_ours_stays(self, monkeypatch: pytest.MonkeyPatch, foreign: str) -> None:
        """What somebody has patched before us is called by us, and is what is there again when we go."""
        patch = FOREIGN[foreign](vars(MultiStepAgent)["run"])
        monkeypatch.setattr(MultiStepAgent, "run", patch)
        for _ in range(2):
            with capture() as captured:
                assert "done" == KINDS["tool-calling"]().run("go")
                assert 1 == captured.ledger.total().agent_runs
            assert vars(MultiStepAgent)["run"] is patch

    @pytest.mark.parametrize("foreign", FOREIGN)
    def test_a_foreign_patch_above_ours_stays(self, monkeypatch: pytest.MonkeyPatch, foreign: str) -> None:
        """What somebody patches after us stays when we go, works, and each further start counts a run once."""
        monkeypatch.setattr(MultiStepAgent, "run", vars(MultiStepAgent)["run"])  # to be put back at the end
        with capture() as captured:
            patch = FOREIGN[foreign](vars(MultiStepAgent)["run"])
            MultiStepAgent.run = patch
            assert "done" == KINDS["tool-calling"]().run("go")
            assert 1 == captured.ledger.total().agent_runs
        for _ in range(3):
            assert vars(MultiStepAgent)["run"] is patch
            assert "done" == KINDS["tool-calling"]().run("go")
            with capture() as captured:
                assert "done" == KINDS["tool-calling"]().run("go")
                assert 1 == captured.ledger.total().agent_runs
