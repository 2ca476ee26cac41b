"""Programs that use a model's client, or a database, without a framework: the figures are the server's bill.

The clients and instrumentations are real, so these tests have an environment of their own:

    pip install -e '.[test,beside]' && pytest -n 0 -m beside tests/e2e/test_model_clients.py
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from scripted_llm import Reply, ScriptedLLM, ToolCall
from support.otlp_receiver import OtlpReceiver
from support.programs import Programs, program, script
from support.scripted_messages import Message, ScriptedMessages
from tachograph import names
from tachograph.sources.sqlite import SqliteSource

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.beside

OPENAI = "opentelemetry.instrumentation.genai.openai"
START = """
    import asyncio
    import tachograph.auto
    import tachograph
    from told import tell
    """
OPENAI_WORK = """
    import openai

    MODEL = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "secret question"}]}
    TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


    async def alone(client):
        await client.chat.completions.create(**MODEL)
        return [chunk async for chunk in await client.chat.completions.create(**MODEL, **WITH_USAGE)]


    client = openai.OpenAI(max_retries=0)
    with tachograph.session("s", user_id="ada"):
        client.chat.completions.create(**MODEL)
        list(client.chat.completions.create(**MODEL, **WITH_USAGE))
        assert client.chat.completions.create(**MODEL, tools=TOOLS).choices[0].message.tool_calls
        asyncio.run(alone(openai.AsyncOpenAI(max_retries=0)))
        try:
            client.chat.completions.create(**MODEL)
        except openai.BadRequestError as error:
            raised = type(error).__name__
    """
ANTHROPIC_WORK = """
    import anthropic

    MESSAGES = [{"role": "user", "content": "secret question"}]
    MODEL = {"model": "claude-sonnet-4-0", "max_tokens": 9, "messages": MESSAGES}


    async def alone(client):
        await client.messages.create(**MODEL)
        return [event async for event in await client.messages.create(**MODEL, stream=True)]


    client = anthropic.Anthropic(max_retries=0)
    with tachograph.session("s", user_id="ada"):
        client.messages.create(**MODEL)
        list(client.messages.create(**MODEL, stream=True))
        assert client.messages.create(**MODEL).stop_reason == "tool_use"
        asyncio.run(alone(anthropic.AsyncAnthropic(max_retries=0)))
        try:
            client.messages.create(**MODEL)
        except anthropic.BadRequestError as error:
            raised = type(error).__name__
    """
END = """
    tell(
        figures=tachograph.session_metrics("s").to_dict(),
        kinds=[entry["event_type"] for entry in tachograph.audit_log(session_id="s")],
        swallowed=tachograph.stats()["swallowed"],
        integrations=tachograph.stats()["integrations"],
        raised=raised,
    )
    """
BILLED = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


def require(*packages: str) -> None:
    """Have these packages, or skip with a word on how to; where the whole truth is wanted, fail."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    missing = [package for package in packages if package not in installed]
    if missing:
        message = f"not installed here: {', '.join(missing)}; the head of this file says how"
        (pytest.fail if "CI" in os.environ else pytest.skip)(message)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def openai_script() -> dict[str, list[Reply]]:
    return {
        "gpt-4.1": [
            Reply("one", prompt_tokens=100, completion_tokens=20, cached_tokens=40, reasoning_tokens=5),
            Reply("two", prompt_tokens=200, completion_tokens=30),
            Reply("", tool_calls=[ToolCall("look", {})], prompt_tokens=300, completion_tokens=40),
            Reply("four", prompt_tokens=400, completion_tokens=50),
            Reply("five", prompt_tokens=500, completion_tokens=60),
            Reply(status=400, error="no"),
        ]
    }


def assert_is_the_bill(told: Any, model: str, bill: dict[str, int], error: str) -> None:
    """The session's figures are the bill: six calls, two streamed, one failed, one that asks for a tool."""
    figures = told["figures"]
    assert {"requests": 6, **{field: bill.get(field, 0) for field in BILLED}} == {
        field: figures["tokens_by_model"][model][field] for field in ("requests", *BILLED)
    }
    assert (6, 5, 1, 2, 1, "ada") == (
        figures["total_requests"],
        figures["successful_requests"],
        figures["failed_requests"],
        figures["streamed_requests"],
        figures["requests_with_tools"],
        figures["user_id"],
    )
    assert {error: 1} == figures["llm_errors"]
    assert figures["cost"]["complete"]
    assert figures["cost"]["amount"] > 0
    assert 5 == told["kinds"].count("llm_request_completed")
    assert 1 == told["kinds"].count("llm_request_failed")
    assert ({}, "BadRequestError") == (told["swallowed"], told["raised"])


OURS = ("auto", "opentelemetry-instrument", "tachograph run")
THEIRS = ("theirs first", "theirs later")
"""With a provider of the program's own, which exports."""


@pytest.mark.parametrize(
    ("way", "exported"),
    [*((way, exported) for way in OURS for exported in (False, True)), *((w, True) for w in THEIRS)],
)
def test_an_openai_program_is_counted(programs, way, exported) -> None:
    """Sync, async, streamed, with tools, failing: figures and, where exported, spans are the bill, however started."""
    require("opentelemetry-instrumentation-genai-openai")
    theirs = f"""
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from {OPENAI} import OpenAIInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        trace.set_tracer_provider(TracerProvider())
        trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        OpenAIInstrumentor().instrument()
        """
    start = {"theirs first": (theirs, START), "theirs later": (START, theirs)}.get(way, (START,))
    programs.write("app.py", program(*start, OPENAI_WORK, END))
    commands = {
        "opentelemetry-instrument": (script("opentelemetry-instrument"), sys.executable, "app.py"),
        "tachograph run": (script("tachograph"), "run", "app.py"),
    }
    with ScriptedLLM(openai_script()) as llm, OtlpReceiver() as receiver:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint} if exported else {}
        none = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")} if not exported else {}
        done = programs.run(
            *commands.get(way, (sys.executable, "app.py")),
            OPENAI_BASE_URL=llm.base_url,
            OPENAI_API_KEY="none",
            TACHOGRAPH_SUMMARY="0",
            **endpoint,
            **none,
        )
        assert (done.code, done.stderr) == (0, "")
        bill = vars(llm.bill()["gpt-4.1"])
        spans = [span for span in receiver.spans if span.scope == OPENAI]

    assert_is_the_bill(done.told, "gpt-4.1", bill, "openai.BadRequestError")
    assert "installed" == done.told["integrations"]["openai"]
    assert (6 if exported else 0) == len(spans)
    for field, name in (("prompt_tokens", names.INPUT_TOKENS), ("completion_tokens", names.OUTPUT_TOKENS)):
        assert not exported or bill[field] == sum(span.attributes.get(name, 0) for span in spans)
    assert {"s"} >= {span.attributes[names.SESSION_ID] for span in spans}


def test_an_anthropic_program_is_counted(programs) -> None:
    """Sync, async, streamed, with tools and failing: the session's figures are the bill."""
    require("opentelemetry-instrumentation-genai-anthropic")
    programs.write("app.py", program(START, ANTHROPIC_WORK, END))
    replies = [
        Message(input_tokens=100, output_tokens=20, cached_tokens=40),
        Message(input_tokens=200, output_tokens=30, cached_tokens=7),
        Message(tool="look", input_tokens=300, output_tokens=40),
        Message(input_tokens=400, output_tokens=50),
        Message(input_tokens=500, output_tokens=60),
        Message(status=400),
    ]
    with ScriptedMessages(replies) as server:
        done = programs.run(
            sys.executable,
            "app.py",
            ANTHROPIC_BASE_URL=server.base_url,
            ANTHROPIC_API_KEY="none",
            TACHOGRAPH_SUMMARY="0",
        )
        assert (done.code, done.stderr) == (0, "")

    assert_is_the_bill(done.told, "claude-sonnet-4-0", server.bill, "anthropic.BadRequestError")


def test_a_framework_and_a_client_in_one_program_are_counted_once(programs) -> None:
    """A model of smolagents that goes through the client is one call, and one that the program makes itself another."""
    require("opentelemetry-instrumentation-genai-openai")
    work = """
        import openai
        from smolagents import OpenAIModel, ToolCallingAgent, tool

        raised = None


        @tool
        def ask(question: str) -> str:
            '''Asks a model.

            Args:
                question: to ask.
            '''
            asked = [{"role": "user", "content": question}]
            return openai.OpenAI().chat.completions.create(model="direct", messages=asked).choices[0].message.content


        agent = ToolCallingAgent([ask], OpenAIModel("agents"), verbosity_level=0)
        with tachograph.session("s"):
            agent.run("go")
        """
    programs.write("app.py", program(START, work, END))
    replies = {
        "agents": [
            Reply(tool_calls=[ToolCall("ask", {"question": "why"})], prompt_tokens=100, completion_tokens=10),
            Reply(tool_calls=[ToolCall("final_answer", {"answer": "so"})], prompt_tokens=200, completion_tokens=20),
        ],
        "direct": [Reply("because", prompt_tokens=7, completion_tokens=3)],
    }
    with ScriptedLLM(replies) as llm:
        done = programs.run(
            sys.executable, "app.py", OPENAI_BASE_URL=llm.base_url, OPENAI_API_KEY="none", TACHOGRAPH_SUMMARY="0"
        )
        assert (done.code, done.stderr) == (0, "")
        bill = {model: (entry.requests, entry.prompt_tokens) for model, entry in llm.bill().items()}

    by_model = done.told["figures"]["tokens_by_model"]
    assert bill == {model: (entry["requests"], entry["prompt_tokens"]) for model, entry in by_model.items()}
    assert {} == done.told["swallowed"]


def test_queries_of_a_program_are_on_record_and_our_own_are_not(programs) -> None:
    """Queries of an instrumented SQLite are entries of the audit log, in the store too, which itself adds none."""
    require("opentelemetry-instrumentation-sqlite3")
    source = """
        from opentelemetry import trace
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
        from opentelemetry.sdk.trace import TracerProvider

        trace.set_tracer_provider(TracerProvider())
        SQLite3Instrumentor().instrument()
        import sqlite3
        import tachograph
        from told import tell

        tachograph.init(store="store.db")
        cursor = sqlite3.connect(":memory:").cursor()
        with tachograph.session("s"), tachograph.task("look it up"):
            cursor.execute("CREATE TABLE users (name)")
            cursor.execute("SELECT name FROM users WHERE name = 'secret'")
            try:
                cursor.execute("DELETE FROM nowhere")
            except sqlite3.OperationalError:
                pass
        tell(
            queries=tachograph.audit_log(event_type="database_query_executed"),
            timeline=str(tachograph.timeline(session_id="s")),
        )
        """
    programs.write("app.py", program(source))
    done = programs.run(sys.executable, "app.py", TACHOGRAPH_SUMMARY="0")
    assert (done.code, done.stderr) == (0, "")

    expected = [("sqlite", "CREATE", "ok"), ("sqlite", "SELECT", "ok"), ("sqlite", "DELETE", "error")]
    queries = done.told["queries"]
    assert expected == [(entry["system"], entry["operation"], entry["outcome"]) for entry in queries]
    assert "SELECT" in done.told["timeline"]
    store = SqliteSource(programs.directory / "store.db")
    assert (["s"], queries) == (store.sessions(), store.audit_log(event_type="database_query_executed"))
    store.close()
    assert b"secret" not in (programs.directory / "store.db").read_bytes()
