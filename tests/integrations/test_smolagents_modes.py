"""Every way to run smolagents: sync and streamed, in threads and tasks, nested, resumed, copied, interrupted.

Each scenario plays under three telemetry conditions, see ``recorded``.
"""

from __future__ import annotations

import asyncio
import builtins
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from smolagents import PlanningStep, Tool, ToolCallingAgent, UserInputTool
from smolagents.local_python_executor import LocalPythonExecutor
from smolagents.memory import ActionStep, FinalAnswerStep
from smolagents.models import Model
from smolagents.utils import AgentError, AgentGenerationError

import tachograph
from support.agents import Lookup, OverridingAgent, Say, ScriptedModel, answer, caller, code, coder, quiet
from support.figures import billed, ran, tree, used
from tachograph import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import HandClock
    from tachograph.testing import Capture

ASK = Say(calls=(("lookup", {"key": "a"}),))


def calling(**details: Any) -> Any:
    return caller(ASK, answer(), tools=[Lookup()], name="agent", **details)


def coding(**details: Any) -> Any:
    return coder(code("lookup('a')"), code("final_answer('done')"), tools=[Lookup()], name="agent", **details)


def overriding(**details: Any) -> Any:
    model = ScriptedModel(ASK, answer())
    return OverridingAgent(tools=[Lookup()], model=model, logger=quiet(), name="agent", **details)


AGENTS = {"tool-calling": calling, "code": coding, "overriding": overriding}


# ----------------------------------------------------------------------------------------------- ways to start a run
def sync(agent: Any) -> Any:
    return agent.run("go")


def streamed(agent: Any) -> Any:
    return list(agent.run("go", stream=True))[-1].output


def to_thread(agent: Any) -> Any:
    return asyncio.run(asyncio.to_thread(agent.run, "go"))


def in_executor(agent: Any) -> Any:
    async def main() -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, tachograph.bind(agent.run), "go")

    return asyncio.run(main())


def in_plain_thread(agent: Any) -> Any:
    answers: list[Any] = []
    thread = threading.Thread(target=tachograph.bind(lambda: answers.append(agent.run("go"))))
    thread.start()
    thread.join()
    return answers[0]


def in_task(agent: Any) -> Any:
    async def main() -> Any:
        async def work() -> Any:
            return agent.run("go")

        return await asyncio.create_task(work())

    return asyncio.run(main())


def stepped_in_many_threads(agent: Any) -> Any:
    """As web front ends do: each step of the stream on whichever thread is free, none of which has a context."""
    stream, steps = agent.run("go", stream=True), []
    done = object()
    while not steps or steps[-1] is not done:
        with ThreadPoolExecutor(1) as pool:
            steps.append(pool.submit(next, stream, done).result())
    return steps[-2].output


WAYS = (sync, streamed, to_thread, in_executor, in_plain_thread, in_task, stepped_in_many_threads)


class TestWays:
    @pytest.mark.parametrize("outputs", [False, True], ids=["generate", "generate_stream"])
    @pytest.mark.parametrize("kind", AGENTS)
    @pytest.mark.parametrize("way", WAYS)
    def test_figures(self, recorded: Capture, way: Callable[[Any], Any], kind: str, outputs: bool) -> None:  # noqa: FBT001
        """Whichever way a run is started, it is one run in its session, with the models' bill and the tools' count."""
        agent = AGENTS[kind](stream_outputs=outputs)
        with tachograph.session("s"):
            assert str(way(agent)) == "done"

        metrics = recorded.ledger.session_metrics("s")
        assert used(metrics) == billed(agent.model) == {"scripted": (2, 200, 20)}
        assert ran(metrics) == {"final_answer": (1, 1, 0, 0), "lookup": (1, 1, 0, 0)}
        assert agent.tools["lookup"].ran == 1
        assert (metrics.agent_runs, metrics.tasks, metrics.outcomes) == (1, 1, {"ok": 1})
        assert (metrics.errors, metrics.recovered_errors, metrics.agent_switches) == (0, 0, 0)
        assert tree(recorded)[0] == "agent agent"

    def test_executor_without_binding(self, recorded: Capture) -> None:
        """Work in an executor that nothing was bound to is in the session of the process, and nothing is lost."""

        async def main() -> None:
            with tachograph.session("s"):
                await asyncio.get_running_loop().run_in_executor(None, calling().run, "go")

        asyncio.run(main())

        ledger = recorded.ledger
        assert (ledger.session_metrics("s").agent_runs, ledger.total().agent_runs) == (0, 1)
        assert sum(ledger.session_metrics(session).total_tokens for session in ledger.sessions()) == 220

    def test_streams_stepped_alternately(self, recorded: Capture) -> None:
        """Streams of two sessions that are stepped in turns keep their own requests, tools and tokens."""
        agents = {"one": calling(stream_outputs=True), "two": coding()}
        streams = {}
        for session, agent in agents.items():
            with tachograph.session(session):
                streams[session] = agent.run("go", stream=True)
        while streams:
            for session, stream in list(streams.items()):
                if next(stream, None) is None:
                    del streams[session]

        for session, agent in agents.items():
            metrics = recorded.ledger.session_metrics(session)
            assert used(metrics) == billed(agent.model)
            assert ran(metrics) == {"final_answer": (1, 1, 0, 0), "lookup": (1, 1, 0, 0)}
            assert metrics.outcomes == {"ok": 1}

    def test_stream_begun_in_a_session_and_read_in_another(self, recorded: Capture) -> None:
        """A stream belongs to the session it was begun in, whoever reads it, wherever."""
        agent = calling()
        with tachograph.session("begun"):
            stream = agent.run("go", stream=True)
        with tachograph.session("read"):
            list(stream)

        assert used(recorded.ledger.session_metrics("begun")) == billed(agent.model)
        assert recorded.ledger.session_metrics("read").total_requests == 0


# -------------------------------------------------------------------------------------------------------- in parallel
class TestParallel:
    def test_eight_tool_calls_at_once(self, recorded: Capture) -> None:
        """Eight calls of one step that run at the same time are eight calls inside that run."""
        together = threading.Barrier(8, timeout=10)

        class Meet(Lookup):
            def forward(self, key: str) -> str:
                together.wait()
                return key

        calls = tuple(("lookup", {"key": str(n)}, f"id-{n}") for n in range(8))
        agent = caller(Say(calls=calls), answer(), tools=[Meet()], max_tool_threads=8, name="agent")
        with tachograph.session("s"):
            agent.run("go")

        metrics = recorded.ledger.session_metrics("s")
        assert ran(metrics) == {"final_answer": (1, 1, 0, 0), "lookup": (8, 8, 0, 0)}
        entries = [entry for entry in recorded.ledger.timeline().entries if entry.name == "lookup"]
        assert {(entry.depth, entry.step, entry.agent) for entry in entries} == {(1, 1, "agent")}

    def test_eight_model_calls_at_once(self, recorded: Capture) -> None:
        """Eight runs of one agent object whose model calls are under way at the same time are on one bill."""
        together = threading.Barrier(8, timeout=10)

        class Meet(Model):
            def generate(self, messages, **_: Any):
                together.wait()
                return ScriptedModel(answer()).generate(messages)

        agent = caller(name="agent")
        agent.model = Meet(model_id="meet")

        def work(number: int) -> None:
            with tachograph.session(f"s{number}"):
                agent.run("go")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))

        ledger = recorded.ledger
        assert used(ledger.total()) == {"meet": (8, 800, 80)}
        assert [used(ledger.session_metrics(f"s{n}")) for n in range(8)] == [{"meet": (1, 100, 10)}] * 8
        assert ran(ledger.total()) == {"final_answer": (8, 8, 0, 0)}

    def test_worker_delegated_to_in_parallel(self, recorded: Capture) -> None:
        """A step that calls one worker three times at once makes three switches and three runs of it."""

        class Fixed(Model):
            def generate(self, messages, **_: Any):
                return ScriptedModel(answer("found")).generate(messages)

        worker = caller(name="worker", description="works")
        worker.model = Fixed(model_id="fixed")
        calls = tuple(("worker", {"task": str(n)}, f"id-{n}") for n in range(3))
        boss = caller(Say(calls=calls), answer(), managed_agents=[worker], name="boss")
        boss.run("go")

        metrics = recorded.ledger.total()
        assert metrics.switches == {"boss_to_worker": 3}
        assert (metrics.agent_runs, metrics.tasks) == (4, 1)
        assert used(metrics) == {"fixed": (3, 300, 30), "scripted": (2, 200, 20)}


# ------------------------------------------------------------------------------------------------- runs inside of runs
class TestNesting:
    @pytest.mark.parametrize("manager", ["tool-calling", "code"])
    @pytest.mark.parametrize("streaming", [False, True], ids=["run", "run-streamed"])
    def test_three_levels(self, recorded: Capture, manager: str, streaming: bool) -> None:  # noqa: FBT001
        """A manager's worker's worker: two switches, three runs, one task, one bill."""

        def hand_over(to: Any, **about: Any) -> Any:
            if manager == "code":
                script = (code(f"x = {to.name}(task='go')"), code("final_answer(x)"))
                return coder(*script, managed_agents=[to], **about)
            return caller(Say(calls=((to.name, {"task": "go"}),)), answer("found"), managed_agents=[to], **about)

        clerk = caller(answer("found"), name="clerk", description="works")
        worker = hand_over(clerk, name="worker", description="works")
        boss = hand_over(worker, name="boss")
        list(boss.run("go", stream=True)) if streaming else boss.run("go")

        metrics = recorded.ledger.total()
        assert metrics.switches == {"boss_to_worker": 1, "worker_to_clerk": 1}
        assert (metrics.agent_runs, metrics.tasks, metrics.outcomes) == (3, 1, {"ok": 3})
        assert used(metrics) == billed(boss.model, worker.model, clerk.model)

    @pytest.mark.parametrize("streaming", [False, True], ids=["run", "run-streamed"])
    def test_agent_in_a_tool(self, recorded: Capture, streaming: bool) -> None:  # noqa: FBT001
        """An agent that a tool runs is a nested run below that tool, and no switch."""
        inner = caller(answer("found"), name="inner")

        class Ask(Lookup):
            def forward(self, key: str) -> str:
                return list(inner.run(key, stream=True))[-1].output if streaming else inner.run(key)

        outer = caller(ASK, answer(), tools=[Ask()], name="outer")
        outer.run("go")

        metrics = recorded.ledger.total()
        assert tree(recorded)[2:4] == ["  tool lookup", "    agent inner"]
        assert (metrics.agent_runs, metrics.agent_switches, metrics.tasks) == (2, 0, 1)
        assert used(metrics) == billed(outer.model, inner.model)

    def test_agent_in_a_callback(self, recorded: Capture) -> None:
        """An agent that a step callback runs is a nested run of the run whose step it is, and no switch."""
        critic = caller(answer("fine"), name="critic")
        agent = caller(answer(), step_callbacks=[lambda step: critic.run("well?") and None], name="agent")
        agent.run("go")

        metrics = recorded.ledger.total()
        assert tree(recorded)[:1] + tree(recorded)[3:4] == ["agent agent", "  agent critic"]
        assert (metrics.agent_runs, metrics.agent_switches, metrics.tasks) == (2, 0, 1)
        assert used(metrics) == billed(agent.model, critic.model)

    def test_agent_in_an_answer_check(self, recorded: Capture) -> None:
        """An agent that judges the answer is a nested run; what it turns down is an error recovered from."""
        judge = caller(answer("no"), answer("yes"), name="judge")

        def fair(given: Any, memory: Any, **_: Any) -> bool:
            return judge.run("well?") == "yes"

        agent = caller(answer("bad"), answer("good"), final_answer_checks=[fair], name="agent")

        assert agent.run("go") == "good"

        metrics = recorded.ledger.total()
        assert metrics.recovered_errors_by_agent == {"agent": {"AgentError": 1}}
        assert (metrics.agent_runs, metrics.tasks, metrics.outcomes) == (3, 1, {"ok": 3})
        assert used(metrics) == billed(agent.model, judge.model)

    def test_worker_without_parent(self, recorded: Capture) -> None:
        """A worker that the program calls by itself is a run, and no switch."""
        worker = caller(answer("found"), name="worker", description="works")
        caller(managed_agents=[worker], name="boss")
        worker("look")

        metrics = recorded.ledger.total()
        assert (metrics.agent_runs, metrics.agent_switches, metrics.tasks) == (1, 0, 1)

    def test_worker_fails_after_its_own_worker(self, recorded: Capture) -> None:
        """Two failures in one session that do not stem from each other are two errors."""
        clerk = caller(ConnectionError("gone"), name="clerk", description="works")
        worker = caller(
            *(Say(calls=(("clerk", {"task": "go"}),)), TimeoutError("too late")),
            managed_agents=[clerk],
            name="worker",
            description="works",
        )
        boss = caller(Say(calls=(("worker", {"task": "go"}),)), answer(), managed_agents=[worker], name="boss")
        boss.run("go")

        metrics = recorded.ledger.total()
        assert metrics.errors == 2
        assert metrics.errors_by_agent == {
            "clerk": {"AgentGenerationError": 1},
            "worker": {"AgentGenerationError": 1},
        }
        assert metrics.recovered_errors_by_agent == {
            "boss": {"AgentToolExecutionError": 1},
            "worker": {"AgentToolExecutionError": 1},
        }
        assert metrics.llm_errors == {"ConnectionError": 1, "TimeoutError": 1}


# ------------------------------------------------------------------------------------------------------------ outcomes
class TestEndings:
    @pytest.mark.parametrize("streaming", [False, True], ids=["run", "run-streamed"])
    @pytest.mark.parametrize("make", [calling, coding], ids=["tool-calling", "code"])
    def test_max_steps(self, recorded: Capture, make: Any, streaming: bool) -> None:  # noqa: FBT001
        """A run out of steps makes one more call, and is neither fine nor failed."""
        agent = make(max_steps=1)
        agent.model.script[1:] = [Say("sorry")]
        list(agent.run("go", stream=True)) if streaming else agent.run("go")

        metrics = recorded.ledger.total()
        assert (metrics.outcomes, metrics.errors, metrics.recovered_errors) == ({"max_steps": 1}, 0, 0)
        assert used(metrics) == billed(agent.model) == {"scripted": (2, 200, 20)}
        assert ran(metrics) == {"lookup": (1, 1, 0, 0)}

    @pytest.mark.parametrize("streaming", [False, True], ids=["run", "run-streamed"])
    def test_interrupt(self, recorded: Capture, streaming: bool) -> None:  # noqa: FBT001
        """An interrupted run is no error: what ran until the next step counts, and what comes after did not run."""
        agent = calling(step_callbacks=[lambda step, agent: agent.interrupt()])
        with pytest.raises(AgentError, match="Agent interrupted"):
            list(agent.run("go", stream=True)) if streaming else agent.run("go")

        metrics = recorded.ledger.total()
        assert (metrics.outcomes, metrics.errors) == ({"interrupted": 1}, 0)
        assert used(metrics) == billed(agent.model) == {"scripted": (1, 100, 10)}
        assert ran(metrics) == {"lookup": (1, 1, 0, 0)}

    def test_interrupted_and_resumed(self, recorded: Capture) -> None:
        """A run that is interrupted after its plan and resumed with its memory is two runs, of one request if said."""
        agent = caller(
            *(Say("a plan"), ASK, Say("a plan"), answer()),
            tools=[Lookup()],
            planning_interval=1,
            name="agent",
            step_callbacks={PlanningStep: lambda step, agent: agent.interrupt() if not resumed else None},
        )
        resumed: list[bool] = []
        with tachograph.session("s", correlation_id="c"):
            with pytest.raises(AgentError, match="Agent interrupted"):
                agent.run("go")
            resumed.append(True)
            assert agent.run("go", reset=False) == "done"

        metrics = recorded.ledger.session_metrics("s", "c")
        assert metrics.outcomes == {"interrupted": 1, "ok": 1}
        assert used(metrics) == billed(agent.model) == {"scripted": (4, 400, 40)}
        assert sum(isinstance(step, PlanningStep) for step in agent.memory.steps) == 2

    def test_memory_kept(self, recorded: Capture) -> None:
        """With reset=False each run has its own steps from 1 on, its own calls and tokens."""
        agent = caller(ASK, answer(), answer(), tools=[Lookup()], name="agent")
        agent.run("go")
        agent.run("on", reset=False)

        steps = [entry.step for entry in recorded.ledger.timeline().entries if entry.kind == "model"]
        assert steps == [1, 2, 1]
        assert used(recorded.ledger.total()) == billed(agent.model)

    def test_callback_that_raises(self, recorded: Capture) -> None:
        """What a user's callback raises ends the run as that error; what was done until then counts."""

        def complain(step: Any) -> None:
            raise ValueError("not like this")

        agent = calling(step_callbacks=[complain])
        with pytest.raises(ValueError, match="not like this"):
            agent.run("go")

        metrics = recorded.ledger.total()
        assert metrics.errors_by_agent == {"agent": {"ValueError": 1}}
        assert used(metrics) == billed(agent.model) == {"scripted": (1, 100, 10)}

    def test_callback_that_raises_over_an_error(self, recorded: Capture) -> None:
        """A callback that raises while the model's failure is on its way replaces it: one error, of its type."""

        def complain(step: Any) -> None:
            raise ValueError("not like this")

        agent = caller(ConnectionError("gone"), step_callbacks=[complain], name="agent")
        with pytest.raises(ValueError, match="not like this"):
            agent.run("go")

        metrics = recorded.ledger.total()
        assert (metrics.errors, metrics.errors_by_agent) == (1, {"agent": {"ValueError": 1}})
        assert metrics.llm_errors == {"ConnectionError": 1}

    def test_checks_until_max_steps(self, recorded: Capture) -> None:
        """An answer that is never accepted: each refusal is recovered from, and the run is out of steps."""
        agent = caller(
            *(answer("bad"), answer("worse"), Say("sorry")),
            max_steps=2,
            final_answer_checks=[lambda *_, **__: False],
            name="agent",
        )
        agent.run("go")

        metrics = recorded.ledger.total()
        assert metrics.outcomes == {"max_steps": 1}
        assert metrics.recovered_errors_by_agent == {"agent": {"AgentError": 2}}
        assert ran(metrics) == {"final_answer": (2, 2, 0, 0)}

    def test_plans(self, recorded: Capture) -> None:
        """Each plan is an operation around its call, in the step it is made for."""
        agent = caller(
            *(Say("a plan"), ASK, Say("a new plan"), answer()), tools=[Lookup()], planning_interval=1, name="agent"
        )
        agent.run("go")

        assert tree(recorded) == [
            "agent agent",
            "  plan agent",
            "    model scripted",
            "  model scripted",
            "  tool lookup",
            "  plan agent",
            "    model scripted",
            "  model scripted",
            "  tool final_answer",
        ]
        steps = [entry.step for entry in recorded.ledger.timeline().entries if entry.kind == "plan"]
        assert steps == [1, 2]

    def test_next_run_after_a_failure(self, recorded: Capture) -> None:
        """After a failing run nothing is current: the next one is a task of its own in its own session."""
        agent = caller(ConnectionError("gone"), answer(), name="agent")
        with tachograph.session("one"), pytest.raises(AgentGenerationError):
            agent.run("go")
        with tachograph.session("two"):
            agent.run("go")

        one, two = (recorded.ledger.session_metrics(session) for session in ("one", "two"))
        assert (one.outcomes, two.outcomes) == ({"error": 1}, {"ok": 1})
        assert two.tasks == 1
        assert [line for line in tree(recorded) if line.startswith("agent")] == ["agent agent error", "agent agent"]


# ------------------------------------------------------------------------------------------------------ a human's time
class Questioner(UserInputTool):
    """A user's own way to ask."""

    name = "questioner"


class TestHumanWait:
    @pytest.mark.parametrize("kind", [UserInputTool, Questioner])
    def test_wait_is_not_the_tools_time(
        self, recorded: Capture, clock: HandClock, monkeypatch: pytest.MonkeyPatch, kind: type[Tool]
    ) -> None:
        """A call that asks a human counts as one; the human's minute is said as such and in no tool's time."""

        def ponder(question: str) -> str:
            clock.pass_by(60)
            return "blue"

        monkeypatch.setattr(builtins, "input", ponder)
        ask = Say(calls=((kind.name, {"question": "which?"}),))
        caller(ask, ASK, answer(), tools=[kind(), Lookup()], name="agent").run("go")

        metrics = recorded.ledger.total()
        assert ran(metrics)[kind.name] == (1, 1, 0, 0)
        assert metrics.tools[kind.name]["total_duration_ms"] == 0
        assert 0 < metrics.tools["lookup"]["total_duration_ms"] < 60_000
        (asked,) = [entry for entry in recorded.ledger.timeline().entries if entry.name == kind.name]
        assert asked.duration_ms > 60_000
        assert asked.human_wait
        assert f"tool {kind.name}  waited for a human" in str(recorded.ledger.timeline())
        (entry,) = [e for e in recorded.ledger.audit_log(event_type="tool_execution_completed") if e.get("human_wait")]
        assert entry["tool_name"] == kind.name
        measured = {
            point[1][names.TOOL_NAME] for point in recorded.points() if point[0] == "gen_ai.execute_tool.duration"
        }
        assert kind.name not in measured
        for span in recorded.spans:
            assert span.attributes.get(names.HUMAN_WAIT) is (True if kind.name in span.name else None)

    def test_human_gives_up(self, recorded: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
        """A human who ends the input instead of answering makes the call fail, and the agent goes on."""

        def hang_up(question: str) -> str:
            raise EOFError

        monkeypatch.setattr(builtins, "input", hang_up)
        ask = Say(calls=(("user_input", {"question": "which?"}),))
        caller(ask, answer(), tools=[UserInputTool()], name="agent").run("go")

        metrics = recorded.ledger.total()
        assert ran(metrics)["user_input"] == (1, 0, 1, 0)
        assert metrics.tool_errors == {"EOFError": 1}


# ------------------------------------------------------------------------------------------------- code and its limits
class TestCode:
    def test_deadline_off(self, recorded: Capture) -> None:
        """Without a deadline generated code runs in the caller's thread, and is recorded the same."""
        agent = coding(executor_kwargs={"timeout_seconds": None})
        agent.run("go")

        assert tree(recorded)[:4] == ["agent agent", "  model scripted", "  code python", "    tool lookup"]
        assert used(recorded.ledger.total()) == billed(agent.model)

    def test_executor_of_the_users(self, recorded: Capture) -> None:
        """Any object that can be called with code is a code execution; wrapped around the framework's it is one."""

        class Asking:
            def __init__(self, inner: Any) -> None:
                self.inner = inner

            def __call__(self, source: str) -> Any:
                return self.inner(source)

            def __getattr__(self, name: str) -> Any:
                return getattr(self.inner, name)

        agent = coding()
        agent.python_executor = Asking(agent.python_executor)
        agent.run("go")

        assert ran(recorded.ledger.total()) == {"final_answer": (1, 1, 0, 0), "lookup": (1, 1, 0, 0)}
        assert sum(line.endswith("tool lookup") for line in tree(recorded)) == 1

    def test_executor_class_of_the_users(self, recorded: Capture) -> None:
        """An executor class that overrides how it is called, and calls the framework's, is one code execution."""

        class Careful(LocalPythonExecutor):
            def __call__(self, source: str) -> Any:
                return super().__call__(source)

        agent = coding()
        agent.python_executor = Careful(additional_authorized_imports=[])
        agent.run("go")

        assert [line.strip() for line in tree(recorded)].count("code python") == 2

    def test_structured_outputs(self, recorded: Capture) -> None:
        """An agent that asks for code as JSON is recorded as any other."""
        source = '{"thought": "go on", "code": "final_answer(lookup(\'a\'))"}'
        agent = coder(Say(source), tools=[Lookup()], use_structured_outputs_internally=True, name="agent")
        agent.run("go")

        assert ran(recorded.ledger.total()) == {"final_answer": (1, 1, 0, 0), "lookup": (1, 1, 0, 0)}


# --------------------------------------------------------------------------------------- copies, subclasses, late ones
DUPLICATES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda original: pickle.loads(pickle.dumps(original)),  # noqa: S301 - our own
}


class TestCopies:
    @pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)
    def test_models_and_tools(self, recorded: Capture, duplicate: Callable[[Any], Any]) -> None:
        """A copied model and a copied tool are counted as the ones they were copied from."""
        model, lookup = duplicate(ScriptedModel(ASK, answer())), duplicate(Lookup())
        agent = caller(tools=[lookup], name="agent")
        agent.model = model
        agent.run("go")

        assert used(recorded.ledger.total()) == billed(model)
        assert ran(recorded.ledger.total())["lookup"] == (1, 1, 0, 0)

    @pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)
    @pytest.mark.parametrize("kind", AGENTS)
    def test_agents(self, recorded: Capture, duplicate: Callable[[Any], Any], kind: str) -> None:
        """A copied agent runs as itself and is announced; the one it was copied from is as it was."""
        agent = AGENTS[kind]()
        script = list(agent.model.script)
        # smolagents itself cannot copy the lock of a logger's console.
        loggers = agent.logger, agent.monitor.logger
        agent.logger = agent.monitor.logger = None
        twin = duplicate(agent)
        for one in (agent, twin):
            one.logger, one.monitor.logger = loggers
        twin.run("go")
        agent.model.script = script
        agent.run("go")

        metrics = recorded.ledger.total()
        assert (metrics.agent_runs, metrics.tasks) == (2, 2)
        assert used(metrics) == {"scripted": (4, 400, 40)}
        assert ran(metrics)["lookup"] == (2, 2, 0, 0)
        assert len(recorded.ledger.audit_log(event_type="agent_registered")) == 2

    def test_run_taken_from_an_agent(self, recorded: Capture) -> None:
        """``run`` taken from an agent before it is called, or from its class, is that agent's run."""
        one, two = caller(answer(), name="one"), caller(answer(), name="two")
        run = one.run
        run("go")
        ToolCallingAgent.run(two, "go")

        assert list(recorded.ledger.total().agents) == ["one", "two"]

    def test_classes_made_after_the_hooks(self, recorded: Capture) -> None:
        """Model, tool and agent classes that are made when the hooks are in place are recorded as all others."""

        class LateModel(ScriptedModel):
            def generate(self, *args: Any, **kwargs: Any):
                return super().generate(*args, **kwargs)

        class LateTool(Lookup):
            name = "late"

            def __call__(self, *args: Any, **kwargs: Any):
                return super().__call__(*args, **kwargs)

        class LateAgent(ToolCallingAgent):
            def run(self, task: str, **more: Any):
                return super().run(task, **more)

        model = LateModel(Say(calls=(("late", {"key": "a"}),)), answer())
        LateAgent(tools=[LateTool()], model=model, logger=quiet(), name="agent").run("go")

        metrics = recorded.ledger.total()
        assert metrics.agent_runs == 1
        assert used(metrics) == billed(model)
        assert ran(metrics) == {"final_answer": (1, 1, 0, 0), "late": (1, 1, 0, 0)}

    def test_agent_with_a_loop_of_its_own(self, recorded: Capture) -> None:
        """An agent class whose ``run`` is all its own is no run to us; its requests and tools count all the same."""

        class Single(ToolCallingAgent):
            def run(self, task: str, **_: Any):
                return self.tools["lookup"](self.model.generate([]).content)

        agent = Single(tools=[Lookup()], model=ScriptedModel(Say("a")), logger=quiet(), name="agent")

        assert agent.run("go") == "value of a"

        metrics = recorded.ledger.total()
        assert used(metrics) == billed(agent.model)
        assert ran(metrics) == {"lookup": (1, 1, 0, 0)}

    def test_worker_whose_call_is_its_own(self, recorded: Capture) -> None:
        """A managed agent that overrides how it is called is one switch and one run."""

        class Polite(ToolCallingAgent):
            def __call__(self, task: str, **more: Any):
                return super().__call__(f"Please: {task}", **more)

        worker = Polite(tools=[], model=ScriptedModel(answer()), logger=quiet(), name="worker", description="works")
        boss = coder(code("final_answer(worker(task='look'))"), managed_agents=[worker], name="boss")
        boss.run("go")

        metrics = recorded.ledger.total()
        assert metrics.switches == {"boss_to_worker": 1}
        assert metrics.agent_runs == 2

    def test_items_of_a_stream(self, recorded: Capture) -> None:
        """A streamed run yields exactly what the framework does: the same steps, the same answer."""
        steps = list(calling().run("go", stream=True))

        assert [step.step_number for step in steps if isinstance(step, ActionStep)] == [1, 2]
        assert isinstance(steps[-1], FinalAnswerStep)
        assert steps[-1].output == "done"
