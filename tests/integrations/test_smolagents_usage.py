"""Tokens and requests of smolagents programs against what the server, or the model itself, has billed.

Each scenario plays under three telemetry conditions, see ``recorded``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from smolagents import OpenAIModel, ToolCallingAgent
from smolagents.memory import ActionStep, PlanningStep
from smolagents.models import ChatMessage, ChatMessageStreamDelta, MessageRole, Model
from smolagents.monitoring import TokenUsage
from smolagents.utils import AgentGenerationError

import tachograph
from scripted_llm import Reply, ScriptedLLM, ToolCall
from support.agents import Lookup, Say, ScriptedModel, answer, caller, code, coder, quiet
from support.figures import billed, charged, ran, tokens, used
from tachograph import names

if TYPE_CHECKING:
    from tachograph.testing import Capture

LOOK = Reply(
    tool_calls=[ToolCall("lookup", {"key": "a"})],
    prompt_tokens=120,
    completion_tokens=30,
    cached_tokens=64,
    reasoning_tokens=12,
)
DONE = Reply(
    tool_calls=[ToolCall("final_answer", {"answer": "done"})],
    prompt_tokens=200,
    completion_tokens=20,
    cached_tokens=128,
)
HELLO = [ChatMessage(role=MessageRole.USER, content="hello")]


def model(llm: ScriptedLLM, model_id: str = "gpt", *, retries: int = 0) -> OpenAIModel:
    """A model class of the framework on the scripted server; a wait before its own retries would only cost time."""
    made = OpenAIModel(model_id, api_base=llm.base_url, api_key="-", client_kwargs={"max_retries": retries})
    made.retryer.wait_seconds = 0
    return made


def agent(llm: ScriptedLLM, **details: Any) -> ToolCallingAgent:
    return ToolCallingAgent(tools=[Lookup()], model=model(llm), logger=quiet(), name="agent", **details)


def with_usage(usage: str, *replies: Reply) -> list[Reply]:
    return [Reply(**{**vars(reply), "usage": usage}) for reply in replies]


# ------------------------------------------------------------------------------------------------- the server's bill
class TestServerBill:
    @pytest.mark.parametrize("usage", ["last", "every_chunk", "cumulative"])
    @pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
    def test_tokens_of_each_kind(self, recorded: Capture, usage: str, streaming: bool) -> None:  # noqa: FBT001
        """Prompt, completion, cached and reasoning tokens are the bill, wherever a stream reports them."""
        with ScriptedLLM({"gpt": with_usage(usage, LOOK, DONE)}) as llm:
            agent(llm, stream_outputs=streaming).run("go")

            assert tokens(recorded.ledger.total()) == charged(llm) == {"gpt": (320, 50, 192, 12)}

    @pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
    def test_text_in_many_chunks(self, recorded: Capture, streaming: bool) -> None:  # noqa: FBT001
        """An answer of many chunks, each with its share, adds up to the bill."""
        reply = Reply("a b c d e f g h", prompt_tokens=90, completion_tokens=41, cached_tokens=7, reasoning_tokens=13)
        for usage in ("every_chunk", "cumulative", "last"):
            with ScriptedLLM({usage: with_usage(usage, reply)}) as llm:
                one = model(llm, usage)
                list(one.generate_stream(HELLO)) if streaming else one.generate(HELLO)

                assert tokens(recorded.ledger.total())[usage] == charged(llm)[usage]

    def test_usage_is_absent(self, recorded: Capture) -> None:
        """What a streaming server does not report is unknown on the request, and no tokens in the sums."""
        with ScriptedLLM({"gpt": with_usage("absent", Reply("hello"))}) as llm:
            list(model(llm).generate_stream(HELLO))

        metrics = recorded.ledger.total()
        (request,) = metrics.requests
        assert (request["prompt_tokens"], request["completion_tokens"], request["total_tokens"]) == (None, None, None)
        assert (metrics.total_requests, metrics.total_tokens) == (1, 0)

    @pytest.mark.parametrize("status", [429, 500])
    @pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
    def test_failure_then_success(self, recorded: Capture, status: int, streaming: bool) -> None:  # noqa: FBT001
        """A call whose client tried again is one successful request, with the tokens of the answer, once."""
        with ScriptedLLM({"gpt": [Reply(status=status), Reply("hello", prompt_tokens=12, cached_tokens=4)]}) as llm:
            one = model(llm, retries=1)
            list(one.generate_stream(HELLO)) if streaming else one.generate(HELLO)

            metrics = recorded.ledger.total()
            assert llm.bill()["gpt"].requests == 2
            assert (metrics.successful_requests, metrics.failed_requests) == (1, 0)
            assert tokens(metrics) == charged(llm)

    def test_failure_for_good(self, recorded: Capture) -> None:
        """A call that fails in all its attempts is one failed request of one failed run, and bills nothing."""
        with ScriptedLLM({"gpt": [Reply(status=429)] * 3}) as llm:
            with pytest.raises(AgentGenerationError):
                agent(llm).run("go")

            assert llm.bill()["gpt"].requests == 3
        metrics = recorded.ledger.total()
        assert (metrics.total_requests, metrics.failed_requests, metrics.total_tokens) == (1, 1, 0)
        assert metrics.llm_errors == {"RateLimitError": 1}
        assert metrics.errors_by_agent == {"agent": {"AgentGenerationError": 1}}

    def test_stream_that_is_cut_off(self, recorded: Capture) -> None:
        """A stream that the server drops is a failed request; the tokens it had reported until then count."""
        reply = Reply("a b c d", usage="cumulative", prompt_tokens=50, completion_tokens=60, break_after=3)
        with ScriptedLLM({"gpt": [reply]}) as llm, pytest.raises(Exception, match=r"onnection|peer closed"):
            list(model(llm).generate_stream(HELLO))

        metrics = recorded.ledger.total()
        assert (metrics.failed_requests, metrics.total_prompt_tokens, metrics.total_completion_tokens) == (1, 50, 30)

    def test_two_models(self, recorded: Capture) -> None:
        """Each model of a team has its own tokens, as on the bill."""
        work = Reply(tool_calls=[ToolCall("worker", {"task": "look"})], prompt_tokens=70, completion_tokens=7)
        with ScriptedLLM({"big": [work, DONE], "small": [LOOK, DONE]}) as llm:
            worker = ToolCallingAgent(
                tools=[Lookup()], model=model(llm, "small"), logger=quiet(), name="worker", description="works"
            )
            ToolCallingAgent(
                tools=[], model=model(llm, "big"), managed_agents=[worker], logger=quiet(), name="boss"
            ).run("go")

            metrics = recorded.ledger.total()
            assert tokens(metrics) == charged(llm)
            assert metrics.total_tokens == llm.total_tokens
            assert metrics.total_requests == sum(bill.requests for bill in llm.bill().values()) == 4

    def test_streamed_calls_without_ids(self, recorded: Capture) -> None:
        """Streamed tool calls without ids collapse into the last one: that one ran, and the request stands."""
        agent = caller(
            Say(calls=(("lookup", '{"key": "a"}', ""), ("lookup", '{"key": "b"}', ""))),
            answer(),
            tools=[Lookup()],
            stream_outputs=True,
            name="agent",
        )
        agent.run("go")

        metrics = recorded.ledger.total()
        assert ran(metrics)["lookup"][0] == agent.tools["lookup"].ran == 1
        assert used(metrics) == billed(agent.model)


# ------------------------------------------------------------------------------------------- the framework's records
def in_memory(agent: Any) -> tuple[int, int]:
    """Tokens by the steps in an agent's memory."""
    usages = [step.token_usage for step in agent.memory.steps if isinstance(step, (ActionStep, PlanningStep))]
    return sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages)


class TestFrameworkRecords:
    def test_monitor_and_memory(self, recorded: Capture) -> None:
        """Where the framework's counters are right, ours agree with them: one agent, one run, no plan."""
        agent = caller(
            Say(calls=(("lookup", {"key": "a"}),)), answer(prompt=7, completion=3), tools=[Lookup()], name="agent"
        )
        result = agent.run("go", return_full_result=True)

        metrics = recorded.ledger.total()
        ours = (metrics.total_prompt_tokens, metrics.total_completion_tokens)
        assert ours == (agent.monitor.total_input_token_count, agent.monitor.total_output_token_count)
        assert ours == (result.token_usage.input_tokens, result.token_usage.output_tokens)
        assert ours == in_memory(agent)

    def test_plans_are_in_memory_but_not_in_the_monitor(self, recorded: Capture) -> None:
        """A plan's tokens, which the framework's monitor leaves out, count."""
        agent = caller(Say("a plan", prompt=50, completion=5), answer(), planning_interval=3, name="agent")
        agent.run("go")

        metrics = recorded.ledger.total()
        ours = (metrics.total_prompt_tokens, metrics.total_completion_tokens)
        assert ours == in_memory(agent) == (150, 15)
        assert agent.monitor.total_input_token_count == 100
        assert used(metrics) == billed(agent.model)

    def test_plan_streamed_in_pieces(self, recorded: Capture) -> None:
        """A streamed plan whose chunks each report a share, which the framework adds up wrongly, is on the bill."""
        agent = caller(
            Say("a plan of five words", usage="each"),
            answer(),
            planning_interval=3,
            stream_outputs=True,
            name="agent",
        )
        agent.run("go")

        metrics = recorded.ledger.total()
        assert used(metrics) == billed(agent.model)
        assert in_memory(agent) != (metrics.total_prompt_tokens, metrics.total_completion_tokens)

    def test_worker_called_twice_with_plans_and_no_answer(self, recorded: Capture) -> None:
        """A worker called twice, plans, and the extra call at max_steps: the sum is that of all calls."""
        worker = caller(
            *(Say("a plan"), answer("one"), Say("a plan"), answer("two")),
            name="worker",
            description="works",
            planning_interval=2,
        )
        boss = coder(
            *(Say("a plan"), code("worker(task='a')"), code("worker(task='b')"), Say("sorry")),
            managed_agents=[worker],
            planning_interval=3,
            max_steps=2,
            name="boss",
        )
        boss.run("go")

        metrics = recorded.ledger.total()
        assert used(metrics) == billed(boss.model, worker.model) == {"scripted": (8, 800, 80)}
        assert metrics.switches == {"boss_to_worker": 2}
        assert metrics.outcomes == {"max_steps": 1, "ok": 2}
        assert worker.monitor.total_input_token_count == 100  # of its last run only

    def test_no_attributes_add_up_twice(self, recorded: Capture) -> None:
        """Usage over all spans sums up to the bill: no span but a model call's has any."""
        worker = caller(answer("found"), name="worker", description="works")
        boss = coder(code("final_answer(worker(task='a'))"), managed_agents=[worker], name="boss")
        boss.run("go")

        prompt = sum(span.attributes.get(names.INPUT_TOKENS, 0) for span in recorded.spans)
        assert prompt == (200 if recorded.spans else 0)
        assert recorded.ledger.total().total_prompt_tokens == 200


# ------------------------------------------------------------------------------------------------ the user's classes
class Delegating(Model):
    """A wrapper that passes every call on to another model."""

    def __init__(self, inner: Any, model_id: str | None = None) -> None:
        super().__init__(model_id=model_id or inner.model_id)
        self.inner = inner

    def generate(self, messages, **more: Any):
        return self.inner.generate(messages, **more)

    def generate_stream(self, messages, **more: Any):
        yield from self.inner.generate_stream(messages, **more)


class Deep(ScriptedModel):
    def generate(self, *args: Any, **kwargs: Any):
        return super().generate(*args, **kwargs)

    def generate_stream(self, *args: Any, **kwargs: Any):
        yield from super().generate_stream(*args, **kwargs)


class Deeper(Deep):
    def generate(self, *args: Any, **kwargs: Any):
        return super().generate(*args, **kwargs)

    def generate_stream(self, *args: Any, **kwargs: Any):
        return super().generate_stream(*args, **kwargs)


class Collecting(ScriptedModel):
    """Answers by reading its own stream to the end."""

    def generate(self, messages, **more: Any):
        deltas = list(self.generate_stream(messages, **more))
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content="".join(delta.content or "" for delta in deltas),
            token_usage=deltas[-1].token_usage,
        )


class Proxy:
    """No model at all, but what it does not have itself its model has."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class TestUserModels:
    @pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
    @pytest.mark.parametrize(
        "make",
        [
            Deeper,
            lambda *script: Delegating(ScriptedModel(*script)),
            lambda *script: Delegating(Delegating(ScriptedModel(*script))),
            lambda *script: Proxy(ScriptedModel(*script)),
            lambda *script: Delegating(Proxy(ScriptedModel(*script))),
            Collecting,
        ],
        ids=["super-chain", "wrapper", "wrapper-of-wrapper", "proxy", "wrapper-of-proxy", "reads-its-own-stream"],
    )
    def test_layers_are_one_call(self, recorded: Capture, make: Any, streaming: bool) -> None:  # noqa: FBT001
        """However many layers a model call passes through, it is one request with one bill."""
        layered = make(code("1 + 1"), code("final_answer(1)"))
        agent = coder(stream_outputs=streaming, name="agent")
        agent.model = layered
        if streaming:
            agent.stream_outputs = True
        agent.run("go")

        innermost = layered
        while hasattr(innermost, "inner"):
            innermost = innermost.inner
        metrics = recorded.ledger.total()
        assert used(metrics) == billed(innermost) == {"scripted": (2, 200, 20)}
        assert metrics.streamed_requests == (2 if streaming else 0)

    def test_wrapper_has_a_name_of_its_own(self, recorded: Capture) -> None:
        """A wrapper owns the call: the tokens are under its id, not under that of the model inside."""
        agent = caller(name="agent")
        agent.model = Delegating(ScriptedModel(answer()), model_id="router")
        agent.run("go")

        assert used(recorded.ledger.total()) == {"router": (1, 100, 10)}

    @pytest.mark.parametrize("way", ["block", "afterwards"])
    def test_program_reports_the_call_too(self, recorded: Capture, way: str) -> None:
        """A model that reports its calls by hand as well is counted once."""

        class Reporting(ScriptedModel):
            def generate(self, messages: Any, **details: Any) -> Any:
                if way == "block":
                    with tachograph.model("by-hand") as call:
                        message = super().generate(messages, **details)
                        call.usage(input_tokens=100, output_tokens=10)
                else:
                    message = super().generate(messages, **details)
                    tachograph.record_llm_call("by-hand", 100, 10)
                return message

        agent = caller(name="agent")
        agent.model = Reporting(answer())
        agent.run("go")

        assert used(recorded.ledger.total()) == billed(agent.model) == {"scripted": (1, 100, 10)}

    def test_model_without_id(self, recorded: Capture) -> None:
        """A model without an id is tabulated by its class."""
        agent = caller(name="agent")
        agent.model = ScriptedModel(answer(), model_id=None)
        agent.run("go")

        assert used(recorded.ledger.total()) == billed(agent.model) == {"ScriptedModel": (1, 100, 10)}

    def test_calling_is_overridden(self, recorded: Capture) -> None:
        """A model whose ``__call__`` is its own, and in the end generates, is one request when called."""

        class Loud(ScriptedModel):
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return super().__call__(*args, **kwargs)

        model = Loud(Say("hello"))
        model(HELLO)

        assert used(recorded.ledger.total()) == billed(model)

    def test_usage_in_the_style_of_local_models(self, recorded: Capture) -> None:
        """The prompt with the first delta and one token with each: as local models report it."""

        class Local(Model):
            def generate_stream(self, messages, **_: Any):
                for n, word in enumerate(("one", "two", "three")):
                    yield ChatMessageStreamDelta(content=word, token_usage=TokenUsage(0 if n else 11, 1))

        list(Local(model_id="local").generate_stream([]))

        assert used(recorded.ledger.total()) == {"local": (1, 11, 3)}

    @pytest.mark.parametrize("counts", [(None, "many"), (-1, True), (2**63, 10**12)])
    def test_usage_that_makes_no_sense(self, recorded: Capture, counts: tuple[Any, Any]) -> None:
        """Counts that no call can have are unknown; the call and the answer are as they are."""

        class Odd(Model):
            def generate(self, messages, **_: Any):
                usage = TokenUsage(0, 0)
                usage.input_tokens, usage.output_tokens = counts
                return ChatMessage(role=MessageRole.ASSISTANT, content="hello", token_usage=usage)

        assert Odd(model_id="odd").generate([]).content == "hello"

        (request,) = recorded.ledger.total().requests
        assert (request["model"], request["total_tokens"]) == ("odd", None)

    def test_parameters_that_no_backend_can_hold(self, recorded: Capture) -> None:
        """A number that is too large for backends is left out, and the call is recorded with the others."""
        ScriptedModel(Say("hello")).generate(HELLO, seed=2**64, temperature=10**400, max_tokens=5)

        (call,) = [record for record in recorded.ledger.records() if record.kind == "model"]
        assert {names.REQUEST_MAX_TOKENS: 5} == {
            name: call.attributes[name]
            for name in (names.REQUEST_SEED, names.REQUEST_TEMPERATURE, names.REQUEST_MAX_TOKENS)
            if name in call.attributes
        }

    def test_tokens_of_a_failed_step_count(self, recorded: Capture) -> None:
        """An answer that cannot be parsed has been paid for all the same."""
        agent = coder(Say(text="no code"), code("final_answer(1)"), name="agent")
        agent.run("go")

        metrics = recorded.ledger.total()
        assert used(metrics) == billed(agent.model) == {"scripted": (2, 200, 20)}
        assert (metrics.successful_requests, metrics.recovered_errors) == (2, 1)

    def test_sessions_share_nothing(self, recorded: Capture) -> None:
        """The tokens of one model object used in two sessions are counted in each for what was used in it."""
        model = ScriptedModel(answer(), answer(prompt=1, completion=1))
        for session in ("one", "two"):
            with tachograph.session(session):
                ToolCallingAgent(tools=[], model=model, logger=quiet(), name="agent").run("go")

        ledger = recorded.ledger
        assert [ledger.session_metrics(name).total_tokens for name in ("one", "two")] == [110, 2]
        assert used(ledger.total()) == billed(model)
