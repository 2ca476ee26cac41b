"""Programs that speak in the spans of one package each: real packages, real clients, answers of the scripted server.

Each asks models, uses a tool and fails once, as far as its package has these. ``tests/e2e/test_dialects.py`` runs them
where the packages are installed; what they sent is kept for the tests that have no such packages.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scripted_llm import Reply, ScriptedLLM, ToolCall
from support.programs import program
from support.scripted_messages import Message, ScriptedMessages

if TYPE_CHECKING:
    from pathlib import Path

    from support.programs import Programs

START = """
    import os
    from told import tell
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    import tachograph
    from kept import ToFile

    OURS = os.environ.get("OURS")
    exporter = tachograph.LedgerSpanExporter()
    provider = TracerProvider()
    for each in (exporter, ToFile("spans.jsonl")):
        provider.add_span_processor(SimpleSpanProcessor(each))
    trace.set_tracer_provider(provider)
    if OURS:
        tachograph.init(store=False)
    """
"""A provider of the program's own, whose spans the exporter reads and a file keeps; and our hooks, if wanted."""

KEPT = '''
"""Keeps spans in a file of OTLP JSON, a request a line."""

import json

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult


class ToFile(SpanExporter):
    def __init__(self, path):
        self.path = path

    def export(self, spans):
        with open(self.path, "a") as file:
            file.write(json.dumps(MessageToDict(encode_spans(spans))) + "\\n")
        return SpanExportResult.SUCCESS
'''
"""Source of the module ``kept``."""

END = """
    from tachograph import runtime

    sources = {"exporter": exporter.ledger}
    if OURS:
        sources["hooks"] = runtime.current().ledger
    tell(
        totals={name: source.total().to_dict() for name, source in sources.items()},
        sessions={name: source.sessions() for name, source in sources.items()},
        waiting=len(exporter._traces),
        swallowed=[exporter.guard.swallowed(), tachograph.stats()["swallowed"]],
    )
    """

ASK = """
    QUESTION = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "secret question"}]}
    TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


    def ask_openai():
        import openai

        client = openai.OpenAI(max_retries=0)
        client.chat.completions.create(**QUESTION)
        list(client.chat.completions.create(**QUESTION, **WITH_USAGE))
        client.chat.completions.create(**QUESTION, tools=TOOLS)
        try:
            client.chat.completions.create(**QUESTION)
        except openai.BadRequestError:
            pass


    def ask_anthropic():
        import anthropic

        client = anthropic.Anthropic(max_retries=0)
        question = {**QUESTION, "model": "claude-sonnet-4-0", "max_tokens": 9}
        client.messages.create(**question)
        list(client.messages.create(**question, stream=True))
        client.messages.create(**question)
        try:
            client.messages.create(**question)
        except anthropic.BadRequestError:
            pass
    """
"""Four calls: a plain one, a streamed one, one that asks for a tool, and one that fails."""

ASKED = {
    "gpt-4.1": (
        Reply("one", prompt_tokens=100, completion_tokens=20, cached_tokens=40, reasoning_tokens=5),
        Reply("two", prompt_tokens=200, completion_tokens=30),
        Reply("", tool_calls=[ToolCall("look", {})], prompt_tokens=300, completion_tokens=40),
        Reply(status=400, error="no"),
    )
}
MESSAGES = (
    Message("one", input_tokens=60, output_tokens=20, cached_tokens=40),
    Message("two", input_tokens=200, output_tokens=30),
    Message("", tool="look", input_tokens=300, output_tokens=40),
    Message(status=400),
)
IN_RUN = {
    "gpt-4.1": (
        Reply(
            tool_calls=[ToolCall("price", {"thing": "tea"})],
            prompt_tokens=100,
            completion_tokens=20,
            cached_tokens=40,
            reasoning_tokens=5,
        ),
        Reply("4", prompt_tokens=200, completion_tokens=30),
        Reply(status=400, error="no"),
    )
}
"""A run that uses a tool and answers, and one that fails."""


@dataclass(frozen=True)
class Speaker:
    """A program that speaks in the spans of a package.

    Args:
        packages: those whose spans it is about.
        source: what it does.
        replies: of the scripted server to each model.
        session: that it says itself it is in, if it does.
        expected: figures beside the server's bill.
        hooked: those that differ where our own hooks tell of the same.
    """

    packages: tuple[str, ...]
    source: str
    replies: dict[str, tuple[Reply, ...]] = field(default_factory=lambda: ASKED)
    messages: tuple[Message, ...] = ()
    session: str | None = None
    expected: dict[str, Any] = field(default_factory=dict)
    hooked: dict[str, Any] = field(default_factory=dict)


CALLS = {"total_requests": 4, "failed_requests": 1, "streamed_requests": 1, "requests_with_tools": 1}
RUNS = {"total_requests": 3, "failed_requests": 1, "requests_with_tools": 1, "agent_runs": 2, "tool_calls": 1}

SPEAKERS = {
    "openinference-openai": Speaker(
        packages=("openinference-instrumentation-openai",),
        source="""
            from openinference.instrumentation import using_session, using_user
            from openinference.instrumentation.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument()
            with using_session("theirs"), using_user("ada"):
                ask_openai()
            """,
        session="theirs",
        expected={**CALLS, "user_id": "ada", "llm_errors": {"openai.BadRequestError": 1}},
    ),
    "openinference-smolagents": Speaker(
        packages=("openinference-instrumentation-smolagents", "openinference-instrumentation-openai"),
        source="""
            from openinference.instrumentation import using_session
            from openinference.instrumentation.openai import OpenAIInstrumentor
            from openinference.instrumentation.smolagents import SmolagentsInstrumentor
            from smolagents import OpenAIModel, Tool, ToolCallingAgent

            SmolagentsInstrumentor().instrument()
            OpenAIInstrumentor().instrument()


            class Price(Tool):
                name = "price"
                description = "Knows what things cost."
                inputs = {"thing": {"type": "string", "description": "what to look up"}}
                output_type = "string"

                def forward(self, thing):
                    return f"{thing} costs 4"


            model = OpenAIModel("gpt-4.1", client_kwargs={"max_retries": 0}, retry=False)
            agent = ToolCallingAgent(tools=[Price()], model=model, name="clerk", description="x", verbosity_level=0)
            with using_session("theirs"):
                agent.run("price of tea?")
                try:
                    agent.run("again?")
                except Exception:
                    pass
            """,
        replies={
            "gpt-4.1": (
                IN_RUN["gpt-4.1"][0],
                Reply(tool_calls=[ToolCall("final_answer", {"answer": "4"})], prompt_tokens=200, completion_tokens=30),
                IN_RUN["gpt-4.1"][2],
            )
        },
        session="theirs",
        # The span of an agent that fails is never ended by this package.
        expected={**RUNS, "requests_with_tools": 2, "tool_calls": 2, "agent_runs": 1, "errors": 0},
        hooked={"agent_runs": 2, "errors": 1},
    ),
    "openllmetry-openai": Speaker(
        packages=("opentelemetry-instrumentation-openai",),
        source="""
            from opentelemetry.instrumentation.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument()
            ask_openai()
            """,
        expected={**CALLS, "llm_errors": {"BadRequestError": 1}},
    ),
    "openllmetry-anthropic": Speaker(
        packages=("opentelemetry-instrumentation-anthropic",),
        source="""
            from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

            AnthropicInstrumentor().instrument()
            ask_anthropic()
            """,
        replies={},
        messages=MESSAGES,
        # The client writes spans as well, beside these, and says by another word what failed.
        expected={**CALLS, "llm_errors": {"invalid_request_error": 1}},
    ),
    "traceloop": Speaker(
        packages=("traceloop-sdk", "opentelemetry-instrumentation-openai"),
        source="""
            from contextlib import redirect_stdout
            from io import StringIO

            os.environ["TRACELOOP_TELEMETRY"] = "false"
            from traceloop.sdk import Traceloop
            from traceloop.sdk.decorators import agent, task, tool, workflow
            from traceloop.sdk.instruments import Instruments

            with redirect_stdout(StringIO()):
                Traceloop.init(processor=SimpleSpanProcessor(ToFile(os.devnull)), instruments={Instruments.OPENAI})


            @tool(name="price")
            def price(thing):
                return f"{thing} costs 4"


            @task(name="step")
            def step():
                ask_openai()


            @agent(name="clerk")
            def clerk():
                price("tea")
                step()


            @workflow(name="shopping")
            def shopping():
                Traceloop.set_association_properties({"session_id": "theirs", "user_id": "ada"})
                clerk()


            shopping()
            """,
        session="theirs",
        expected={**CALLS, "user_id": "ada", "agent_runs": 1, "tool_calls": 1, "tasks": 1, "errors": 0},
    ),
    "genai-openai": Speaker(
        packages=("opentelemetry-instrumentation-genai-openai",),
        source="""
            from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

            OpenAIInstrumentor().instrument()
            ask_openai()
            """,
        expected={**CALLS, "llm_errors": {"openai.BadRequestError": 1}},
    ),
    "openai-v2": Speaker(
        packages=("opentelemetry-instrumentation-openai-v2",),
        source="""
            from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

            OpenAIInstrumentor().instrument()
            ask_openai()
            """,
        # It does not say more of tokens, nor that an answer is streamed.
        expected={**CALLS, "streamed_requests": 0, "cached_tokens": 0, "reasoning_tokens": 0},
    ),
    "pydantic-ai": Speaker(
        packages=("pydantic-ai-slim", "opentelemetry-instrumentation-genai-openai"),
        source="""
            from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
            from pydantic_ai import Agent

            OpenAIInstrumentor().instrument()
            Agent.instrument_all()
            agent = Agent("openai-chat:gpt-4.1", name="clerk")


            @agent.tool_plain
            def price(thing: str) -> str:
                return f"{thing} costs 4"


            for question in ("price of tea?", "again?"):
                try:
                    agent.run_sync(question, conversation_id="theirs")
                except Exception:
                    pass
            """,
        replies=IN_RUN,
        session="theirs",
        expected={**RUNS, "errors": 1},
    ),
    "google-adk": Speaker(
        packages=("google-adk",),
        source="""
            import asyncio

            import openai
            from google.adk.agents import LlmAgent
            from google.adk.models import BaseLlm, LlmResponse
            from google.adk.runners import InMemoryRunner
            from google.genai import types


            class OverHttp(BaseLlm):
                async def generate_content_async(self, llm_request, stream=False):
                    answer = await openai.AsyncOpenAI(max_retries=0).chat.completions.create(**QUESTION)
                    message, usage = answer.choices[0].message, answer.usage
                    if message.tool_calls:
                        call = types.FunctionCall(name="price", args={"thing": "tea"})
                        part = types.Part(function_call=call)
                    else:
                        part = types.Part(text=message.content)
                    thought = usage.completion_tokens_details.reasoning_tokens
                    counts = types.GenerateContentResponseUsageMetadata(
                        prompt_token_count=usage.prompt_tokens,
                        candidates_token_count=usage.completion_tokens - thought,
                        cached_content_token_count=usage.prompt_tokens_details.cached_tokens,
                        thoughts_token_count=thought,
                    )
                    yield LlmResponse(content=types.Content(role="model", parts=[part]), usage_metadata=counts)


            def price(thing: str) -> str:
                "Knows what things cost."
                return f"{thing} costs 4"


            async def main():
                agent = LlmAgent(name="clerk", model=OverHttp(model="gpt-4.1"), tools=[price])
                runner = InMemoryRunner(agent=agent, app_name="shop")
                await runner.session_service.create_session(app_name="shop", user_id="ada", session_id="theirs")
                for question in ("price of tea?", "again?"):
                    content = types.Content(role="user", parts=[types.Part(text=question)])
                    try:
                        async for _ in runner.run_async(user_id="ada", session_id="theirs", new_message=content):
                            pass
                    except openai.BadRequestError:
                        pass


            asyncio.run(main())
            """,
        replies=IN_RUN,
        session="theirs",
        expected={**RUNS, "requests_with_tools": 0, "errors": 1, "tasks": 2},
    ),
    "mcp": Speaker(
        packages=("mcp",),
        source="""
            import asyncio
            import sys

            from mcp.client import Client
            from mcp.client.stdio import StdioServerParameters, stdio_client
            from mcp.server import MCPServer

            server = MCPServer("shop")


            @server.tool()
            def price(thing: str) -> str:
                if thing != "tea":
                    raise ValueError(thing)
                return f"{thing} costs 4"


            if sys.argv[1:] == ["serve"]:
                server.run()
                raise SystemExit


            async def main():
                async with Client(server) as client:
                    await client.list_tools()
                    await client.call_tool("price", {"thing": "tea"})
                    await client.call_tool("price", {"thing": "milk"})
                environment = {name: value for name, value in os.environ.items() if name != "OURS"}
                parameters = StdioServerParameters(command=sys.executable, args=["app.py", "serve"], env=environment)
                async with Client(stdio_client(parameters)) as client:
                    await client.call_tool("price", {"thing": "tea"})


            asyncio.run(main())
            """,
        replies={},
        expected={"tool_calls": 3, "tool_errors": {"tool_error": 1}, "total_requests": 0},
    ),
}


@dataclass(frozen=True)
class Spoken:
    """What came of a program."""

    totals: dict[str, dict[str, Any]]
    sessions: dict[str, list[str]]
    swallowed: list[dict[str, int]]
    bill: dict[str, int]
    spans: Path


def speak(speaker: Speaker, programs: Programs, **variables: str) -> Spoken:
    """Run a program against the scripted servers; its spans are in a file and in the figures it gave."""
    programs.write("kept.py", KEPT)
    with ScriptedLLM(speaker.replies) as llm, ScriptedMessages(speaker.messages) as messages:
        done = programs.python(
            program(START, ASK, speaker.source, END),
            OPENAI_BASE_URL=llm.base_url,
            OPENAI_API_KEY="none",
            ANTHROPIC_BASE_URL=messages.base_url,
            ANTHROPIC_API_KEY="none",
            **variables,
        )
        assert done.code == 0, done.stderr
        bill = Counter(messages.bill)
        for entry in llm.bill().values():
            bill.update(vars(entry))
    told = done.told
    return Spoken(told["totals"], told["sessions"], told["swallowed"], bill, programs.directory / "spans.jsonl")


def figures(speaker: Speaker, bill: dict[str, int], *, hooked: bool = False) -> dict[str, Any]:
    """What is expected of a session: what was billed, and what happened."""
    return {
        **{name: bill.get(field, 0) for name, field in BILLED.items()},
        **speaker.expected,
        **(speaker.hooked if hooked else {}),
    }


BILLED = {
    "total_requests": "requests",
    "failed_requests": "failed",
    "total_prompt_tokens": "prompt_tokens",
    "total_completion_tokens": "completion_tokens",
    "cached_tokens": "cached_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
"""Figures of a session, and what the server calls them."""
