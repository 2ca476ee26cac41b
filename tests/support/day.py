"""A host's day: programs on the real framework and around it that between them reach all that is ours.

Each writes down everything it can see; played with and without us the transcripts are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import gc
import inspect
import io
import logging
import pickle
import threading
import types
from typing import TYPE_CHECKING, Any

from opentelemetry import context
from PIL import Image
from smolagents import Tool, ToolCallingAgent, local_python_executor, utils
from smolagents.local_python_executor import LocalPythonExecutor
from smolagents.models import ChatMessage, MessageRole, Model
from smolagents.monitoring import TokenUsage
from smolagents.utils import AgentGenerationError

import tachograph
from support import agents as scripted
from support import hosts
from support.agents import Lookup, Say, ScriptedModel, answer, code
from support.hosts import Transcript
from tachograph import events

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    Program = Callable[[Transcript, "Surroundings"], None]

PROGRAMS: dict[str, Program] = {}


class Surroundings:
    """What a host has of OpenTelemetry: its own tracer and logger, a reader of metrics, and all that can be flushed.

    Args:
        tracer: of the host's own provider.
        logger: likewise.
        collect: reads all metrics.
        providers: to flush.
    """

    def __init__(self, tracer: Any, logger: Any, collect: Callable[[], object], providers: tuple[Any, ...]) -> None:
        self.tracer = tracer
        self.logger = logger
        self.collect = collect
        self.providers = providers


def _program(program: Program) -> Program:
    PROGRAMS[program.__name__] = program
    return program


def play(program: Program, surroundings: Surroundings) -> list[tuple[Any, ...]]:
    """Play one program; gives its transcript, with what was printed, logged and left behind."""
    log = Transcript()
    around = context.get_current()
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), _logged(log), log.unraisable():
        log.attempt("the program", program, log, surroundings)
        gc.collect()
    log("context as before", context.get_current() is around or dict(context.get_current()) == dict(around))
    log("printed", printed.getvalue())
    return log.closed()


@contextlib.contextmanager
def _logged(log: Transcript) -> Iterator[None]:
    """Write down what anybody but us logs: ours has its one line for each fault."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name != "tachograph":
                log("logged", record.name, record.getMessage())

    listener, root, own = Listener(logging.WARNING), logging.getLogger(), logging.getLogger("tachograph")
    silent = logging.NullHandler()
    root.addHandler(listener)
    own.addHandler(silent)
    own.propagate = False
    try:
        yield
    finally:
        own.propagate = True
        own.removeHandler(silent)
        root.removeHandler(listener)


# --------------------------------------------------------------------------------------------------- what it has
PROMPTS: Any = {
    "system_prompt": "work",
    "planning": {"initial_plan": "plan", "update_plan_pre_messages": "look", "update_plan_post_messages": "plan"},
    "managed_agent": {"task": "{{task}}", "report": "{{final_answer}}"},
    "final_answer": {"pre_messages": "so far", "post_messages": "answer"},
}
"""Short ones: the framework's own take longer to read than a program takes to run."""

caller = functools.partial(scripted.caller, prompt_templates=PROMPTS)
coder = functools.partial(scripted.coder, prompt_templates=PROMPTS)


class Seen:
    """An agent's whole history, in plain values."""

    def __init__(self, log: Transcript, *agents: Any) -> None:
        self.log = log
        self.agents = agents

    def __call__(self) -> None:
        for agent in self.agents:
            steps = [
                (type(step).__name__, getattr(step, "step_number", None), type(getattr(step, "error", None)).__name__)
                for step in agent.memory.steps
            ]
            bill = agent.model.bill
            self.log(agent.name, steps, bill.calls, bill.failed, bill.prompt, bill.completion)


class Client:
    """A provider's client that answers in OpenAI's shape."""

    base_url = "http://127.0.0.1:1/v1"

    def create(self) -> Any:
        usage = types.SimpleNamespace(
            prompt_tokens_details=types.SimpleNamespace(cached_tokens=3),
            completion_tokens_details=types.SimpleNamespace(reasoning_tokens=4),
        )
        choice = types.SimpleNamespace(finish_reason="stop")
        return types.SimpleNamespace(id="answer-1", model="scripted-2", usage=usage, choices=[choice])

    def stream(self) -> Iterator[Any]:
        yield self.create()


class ApiModel(ScriptedModel):
    """A model behind a client, reached through the framework's retryer."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script, model_id="openai/scripted")
        self.client = Client()
        self.kwargs = {"temperature": 0.5, "max_tokens": 10}
        self.retryer = utils.Retrying(max_attempts=1)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        message = super().generate(*args, **kwargs)
        message.raw = self.retryer(self.client.create)
        return message

    def generate_stream(self, *args: Any, **kwargs: Any) -> Any:
        list(self.retryer(self.client.stream))
        yield from super().generate_stream(*args, **kwargs)


class Reporting(Tool):
    """A tool that has spans and log events of its own."""

    name = "report"
    description = "Reports."
    inputs: dict[str, Any] = {}  # noqa: RUF012 - the framework's way
    output_type = "string"
    around: Surroundings

    def forward(self) -> str:
        from opentelemetry._logs import LogRecord  # noqa: PLC0415 - the only use

        with self.around.tracer.start_as_current_span("mine"):
            self.around.logger.emit(LogRecord(body="mine"))
        return "reported"


# ------------------------------------------------------------------------------------------------- what it plays
@_program
def a_team(log: Transcript, around: Surroundings) -> None:
    """A manager that plans, delegates, calls tools that work, fail and do not exist, and answers."""
    lookup, reporting = Lookup(), Reporting()
    reporting.around = around
    worker = coder(
        code("print(lookup('a'))"),
        code("lookup('broken')"),
        code("try:\n    lookup('broken')\nexcept Exception:\n    pass\nfinal_answer('found')"),
        tools=[lookup],
        name="worker",
        description="works",
    )
    manager = caller(
        Say("a plan"),
        Say(calls=(("lookup", {"key": "a"}, "id-1"), ("lookup", {"key": "b"}, "id-2"))),
        Say(calls=(("lookup", {"key": "broken"}),)),
        Say(calls=(("nothing", {"key": "x"}),)),
        Say(calls=(("report", {}),)),
        Say(calls=(("worker", {"task": "work"}),)),
        answer(),
        tools=[lookup, reporting],
        managed_agents=[worker],
        name="manager",
        planning_interval=6,
    )
    log.attempt("run", manager.run, "go")
    log("looked up", lookup.ran)
    Seen(log, manager, worker)()
    around.collect()
    for provider in around.providers:
        log("flushed", provider.force_flush())


@_program
def streams(log: Transcript, _: Surroundings) -> None:
    """Runs that are streamed: to the end, left midway in every manner, never begun, and failing."""

    def agent(*script: Any) -> Any:
        return caller(
            *script or (Say(calls=(("lookup", {"key": "a"}),)), answer()),
            tools=[Lookup()],
            name="agent",
            stream_outputs=True,
        )

    whole, closed, dropped, never = (agent() for _ in range(4))
    log("types", [type(step).__name__ for step in whole.run("go", stream=True)])
    stream = closed.run("go", stream=True)
    log("a", type(stream), type(next(stream)).__name__)
    log.attempt("close", stream.close)
    log.attempt("next", next, stream)
    stream = dropped.run("go", stream=True)
    next(stream)
    del stream
    gc.collect()
    never.run("go", stream=True)
    gc.collect()
    gone = log.named("gone", ConnectionError("gone"))
    failing = agent(gone)
    log.attempt("failing", list, failing.run("go", stream=True))
    cut = log.named("cut", ConnectionError("cut"))
    breaking = agent(Say("one two", usage="each", break_after=cut))
    log.attempt("breaking", breaking.run, "go")
    Seen(log, whole, closed, dropped, never, failing, breaking)()


@_program
def failures(log: Transcript, _: Surroundings) -> None:
    """A model that fails, in a run of its own and in one delegated to; Ctrl-C; too many steps."""
    gone, cause = log.named("gone", ConnectionError("gone")), log.named("cause", OSError("cause"))
    gone.__cause__ = cause
    alone = caller(gone, name="alone")
    log.attempt("alone", alone.run, "go")
    lost = log.named("lost", ConnectionError("lost"))
    worker = caller(lost, name="worker", description="works")
    source = "worker('work')"
    manager = coder(code(source), code("final_answer('anyway')"), managed_agents=[worker], name="manager")
    log.attempt("manager", manager.run, "go")
    stopped = caller(log.named("ctrl-c", KeyboardInterrupt()), name="stopped")
    log.attempt("stopped", stopped.run, "go")
    endless = caller(*[Say(calls=(("lookup", {"key": "a"}),))] * 2, answer(), tools=[Lookup()], max_steps=2)
    log.attempt("endless", endless.run, "go")
    _handed_up(log)
    Seen(log, alone, worker, manager, stopped, endless)()


def _handed_up(log: Transcript) -> None:
    worker = caller(log.named("handed up", ConnectionError("handed up")), name="worker")

    class Ask(Lookup):
        def forward(self, key: str) -> Any:
            return worker.run(key)

    class Strict(ToolCallingAgent):
        def execute_tool_call(self, tool_name: str, arguments: Any) -> Any:
            try:
                return super().execute_tool_call(tool_name, arguments)
            except Exception as error:
                raise AgentGenerationError("strict", self.logger) from error

    model = ScriptedModel(Say(calls=(("lookup", {"key": "?"}),)))
    boss = Strict(tools=[Ask()], model=model, name="boss", logger=worker.logger, prompt_templates=PROMPTS)
    log.attempt("boss", boss.run, "go")


@_program
def own_classes(log: Transcript, _: Surroundings) -> None:
    """Classes of the program's own: models and executors of no family, a foreign agent, subclasses made late."""

    class Duck:
        def __init__(self) -> None:
            self.model_id = "duck"
            self.calls = 0

        def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
            self.calls += 1
            return ChatMessage(
                role=MessageRole.ASSISTANT,
                content=code("final_answer(foreign('work'))").text,
                token_usage=TokenUsage(1, 1),
            )

    class Foreign:
        name = "foreign"
        description = "works elsewhere"
        inputs: dict[str, Any] = {}  # noqa: RUF012 - the framework's way
        output_type = "string"
        calls = 0

        def __call__(self, task: str, **kwargs: Any) -> str:
            Foreign.calls += 1
            return f"did {task}"

    class LateTool(Lookup):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    class LateExecutor(LocalPythonExecutor):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    log("late tool", LateTool()(key="a"), LateExecutor([])("1 + 1").output)

    class Late(ScriptedModel, Model):
        def generate(self, *args: Any, **kwargs: Any) -> Any:
            return super().generate(*args, **kwargs)

    agent = coder(name="agent")
    agent.model, agent.managed_agents = Duck(), {"foreign": Foreign()}
    agent.state["foreign"] = agent.managed_agents["foreign"]
    agent.python_executor.send_tools({"foreign": agent.managed_agents["foreign"], **agent.tools})
    log.attempt("duck", agent.run, "go")
    log("calls", agent.model.calls, Foreign.calls)
    late = caller(name="late")
    late.model = Late(answer())
    log.attempt("late", late.run, "go")
    log("bill", late.model.bill.calls)
    api = caller(name="api")
    api.model = ApiModel(Say(calls=(("lookup", {"key": "a"}),)), answer())
    log.attempt("api", api.run, "go")
    api.stream_outputs = True
    api.model.script = [answer()]
    log.attempt("api streamed", api.run, "go")
    Seen(log, api)()


@_program
def elsewhere(log: Transcript, _: Surroundings) -> None:
    """Tools and managed agents in threads that have no context, and what is copied and pickled."""
    worker = caller(answer("found"), name="worker", description="works")
    lookup = Lookup()

    class Spreading(Lookup):
        name = "spread"

        def forward(self, key: str) -> str:
            found: list[Any] = []
            for work in (lambda: lookup(key=key), lambda: worker.run("work")):
                thread = threading.Thread(target=lambda work=work: found.append(work()))
                thread.start()
                thread.join()
            return str(found)

    manager = caller(
        Say(calls=(("spread", {"key": "a"}),)),
        answer(),
        tools=[Spreading(), lookup],
        managed_agents=[worker],
        name="manager",
    )
    log.attempt("run", manager.run, "go")
    log("looked up", lookup.ran)
    copied = log.attempt("copy", copy.copy, lookup.__call__)
    log("copied", copied(key="b"))
    log("deeply", copy.deepcopy(lookup.forward)(key="c"), copy.deepcopy(lookup.__call__).__self__ is lookup)
    log("plainly", copy.deepcopy(type(worker).run).__name__, copy.copy(type(worker).run).__name__)
    for way in (copy.copy, copy.deepcopy):
        log(way(vars(type(lookup).__mro__[1])["__call__"])(lookup, key="d"))
    log("pickled", pickle.loads(pickle.dumps(local_python_executor.timeout)).__name__)  # noqa: S301 - our own
    log("pickled", pickle.loads(pickle.dumps(ScriptedModel.generate)).__name__)  # noqa: S301 - our own
    Seen(log, manager, worker)()


@_program
def sessions(log: Transcript, around: Surroundings) -> None:
    """A program that says which session and request its work belongs to, in all the ways there are."""
    agents = [caller(answer(n), name=f"agent_{n}") for n in range(4)]

    def body() -> None:
        with tachograph.session("chat-1", user_id="ada", conversation=True, propagate=True):
            with tachograph.correlation("request-1"):
                log.attempt("within", agents[0].run, "go")
            with around.tracer.start_as_current_span("mine", attributes={"db.system.name": "sqlite"}):
                log.attempt("in its span", caller(answer("x"), name="in_its_span").run, "go")
            thread = threading.Thread(target=tachograph.bind(lambda: log.attempt("bound", agents[1].run, "go")))
            thread.start()
            thread.join()
        with tachograph.session([]), tachograph.session("x" * 300):
            pass

        @tachograph.session("chat-2")
        def stream() -> Iterator[Any]:
            yield from agents[2].run("go", stream=True)

        log("decorated", [type(step).__name__ for step in stream()])

        @tachograph.correlation
        def decorated() -> Any:
            return agents[3].run("go")

        log.attempt("decorated", decorated)

    log.attempt("body", body)
    Seen(log, *agents)()


def _home_made() -> Any:
    """An agent without a framework: made anew, as what is decorated belongs to the recording of that moment."""

    class HomeMade:
        """An agent without a framework, that reports what it does itself."""

        @tachograph.agent("home-made")
        def run(self, task: str) -> str:
            """One run."""
            with tachograph.model("gpt-4.1", provider="openai", messages=1) as call:
                call.usage(input_tokens=10, output_tokens=2)
                call.tool_calls(1)
                call.answered(model="gpt-4.1", response_id="r", reason="stop")
                call.set(cache_hit=True, tries=2, note="ü" * 200)
                with tachograph.model("part of it") as part:
                    part.usage(reasoning_tokens=1)
            return "".join(self.stream(task))

        @tachograph.model(stream=True)
        def stream(self, task: str) -> Iterator[str]:
            """One answer, word by word."""
            yield from task.split()

        @tachograph.tool
        async def later(self, error: Exception | None = None) -> str:
            """One call of a tool."""
            if error is not None:
                raise error
            return "later"

        @tachograph.tool
        @types.coroutine
        def awaited(self, error: Exception | None = None) -> Generator[Any, Any, str]:
            """Likewise, of a generator."""
            yield from asyncio.sleep(0).__await__()
            if error is not None:
                raise error
            return "awaited"

        @tachograph.tool
        @classmethod
        def shared(cls) -> type:
            """Another."""
            return cls

    return HomeMade()


@_program
def by_hand(log: Transcript, _: Surroundings) -> None:  # noqa: PLR0915 - one of everything
    """A program that reports its agents, models, tools and tasks itself, asks a human, and says what happens."""

    async def awaiting(what: Any) -> Any:
        return await what

    def body() -> None:
        agent = _home_made()
        with tachograph.task("job", id="t1", description="do it", category="work"):
            log.attempt("run", agent.run, "to do")
        log.attempt("later", lambda: asyncio.run(agent.later()))
        log.attempt("it fails", lambda: asyncio.run(agent.later(LookupError("x"))))
        log.attempt("awaited", lambda: asyncio.run(awaiting(agent.awaited())))
        log.attempt("it fails too", lambda: asyncio.run(awaiting(agent.awaited(LookupError("x")))))
        log("shared", agent.shared() is type(agent))
        log("signature", str(inspect.signature(agent.run)), inspect.iscoroutinefunction(agent.later))

        def fails() -> None:
            with tachograph.tool("t", call_id="c") as call:
                call.outcome("error")
                raise ValueError("as it should")

        async def within() -> None:
            async with tachograph.agent("a", description="within") as run:
                run.failed("it broke")

        log.attempt("fails", fails)
        log.attempt("within", lambda: asyncio.run(within()))

    def told() -> None:
        tachograph.start_task("t2", "do it")
        tachograph.start_task("t2")
        tachograph.record_llm_call("m", 1, 2, 0.5, cached_tokens=1, ended_at="2026-01-17T13:00:00Z", error="bad luck")
        tachograph.record_agent_execution("kind", "name", 1.0)
        tachograph.record_tool_usage("t", 0.1, call_id="c", error=KeyError("x"))
        tachograph.switch("b", source="a", confidence=0.5)
        tachograph.end_task("t2", "failed", error=ValueError("x"))

    def decided() -> None:
        with tachograph.session("s", conversation=True):
            asked = tachograph.request_approval(
                tool_name="t", arguments={"a": {1, 2}, 3: "b"}, reason="why", timeout_seconds=60, call_id="c"
            )
        asked.decide("EDIT", modified_arguments={"a": 2}, decided_by="ada")
        tachograph.decide("unknown", "reject", session_id="s")
        with tachograph.tool("t"):
            tachograph.request_approval(tool_name="t", call_id="in").decide("APPROVE")
        log("asked", asked.call_id, asked.tool_name)

    def said() -> None:
        events.session_created("s")
        events.session_updated("s", odd=[1, "a", object()], big=2**70)
        events.message_added("s", role="user", content={"text": "hello"})
        events.agent_registered("a")
        events.agent_switched("a", "b", session_id="s", correlation_id="r")
        events.tool_approval_required("t", "d", arguments={"a": 1})
        events.hitl_approval_requested("d", "t")
        events.hitl_decision_made("d", "APPROVE")
        events.session_deleted("s")
        events.system_startup()
        events.threshold_exceeded("cost", 2, 1)
        events.system_shutdown()

    def off() -> None:
        tachograph.disable()
        try:
            _home_made().run("unseen")
        finally:
            tachograph.enable()

    for part in (body, told, decided, said, off):
        log.attempt(part.__name__, part)


@_program
def asking_a_human(log: Transcript, _: Surroundings) -> None:
    """An agent whose first step somebody approves, twice, and whose second waits for somebody: it goes on later."""
    asked: list[Any] = []

    def ask(_: Any, agent: Any) -> None:
        asked.append(tachograph.request_approval(tool_name="lookup", call_id=f"call-{len(asked)}"))
        if len(asked) == 1:
            asked[0].decide("APPROVE")
            tachograph.decide("call-0", "REJECT")
        elif len(asked) == 2:
            agent.interrupt()

    look = Say(calls=(("lookup", {"key": "a"}),))
    agent = caller(look, look, answer(), tools=[Lookup()], name="agent", step_callbacks=[ask])
    log.attempt("stopped", agent.run, "go")
    asked[-1].decide("APPROVE", decided_by="ada")
    log.attempt("goes on", lambda: agent.run("go", reset=False))
    Seen(log, agent)()


def shape(name: str) -> Program:
    """One of the small programs of :mod:`support.hosts` as a program of the day, probed wherever it offers that."""

    def program(log: Transcript, _: Surroundings) -> None:
        log(name, hosts.play(name, prober[-1] if prober else None))

    program.__name__ = name
    return program


prober: list[Callable[[Any, str], None]] = []
"""What puts a probe on the small programs; none while nothing of ours is at work."""


@_program
def odd_content(log: Transcript, around: Surroundings) -> None:
    """Long, odd and binary content; a worker of another kind; a tool called by a class that is no tool."""

    class Mixin:
        def __call__(self, *args: Any, sanitize_inputs_outputs: bool = False, **kwargs: Any) -> Any:
            return self.forward(*args, **kwargs)  # type: ignore[attr-defined]  # a tool's

    class Mixed(Mixin, Lookup):
        pass

    class Remote:
        name = "remote"
        description = "Works elsewhere."

        def __call__(self, task: str, **_: Any) -> Any:
            return object()

    lookup = Lookup()
    boss = coder(
        code("x = remote(task='look')"),
        code("lookup({'key': b'bytes'})"),
        code("final_answer('y' * 20_000)"),
        tools=[Mixed()],
        managed_agents=[Remote()],
        name="boss",
    )
    log(boss.run("x" * 20_000, images=[Image.new("RGB", (1, 1))], additional_args={"thing": log}))
    log(lookup({"key": "a"}), lookup(key="b"))
    parts: Any = [{"type": "text", "text": "see"}, {"type": "image", "image": Image.new("RGB", (1, 1))}]
    contents = ("x" * 9_000, *("y" * 9_000,) * 40, parts)
    messages = [ChatMessage(role=MessageRole.USER, content=content) for content in contents]
    tools: Any = [Lookup() for _ in range(500)]
    log(ScriptedModel(Say("z" * 20_000)).generate(messages, tools_to_call_from=tools).content)
