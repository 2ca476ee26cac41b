"""A program's own callables, recorded by what tables say of them: what is found where, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage

import tachograph
from scripted_llm import Reply, ScriptedLLM
from support.agents import Lookup, Say, answer, caller
from support.values import named
from support.written import Host, host
from tachograph import names
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.testing import Capture

BOTS = """
import asyncio, enum

class Kind(str, enum.Enum):
    CODER = "coder"

class Plain(enum.Enum):
    CODER = "coder"

class Model:
    async def ask(self, messages, model="small", tools=None):
        return {"id": "r-1", "usage": {"prompt_tokens": 10, "completion_tokens": 4}, "calls": [{}]}

    async def stream(self, *parts):
        for part in parts:
            yield part

    def retry(self, messages):
        return asyncio.run(self.ask(messages))

    def insist(self, messages):
        return [self.retry(messages) for _ in range(2)][-1]

class Bot:
    kind = Kind.CODER
    plain = Plain.CODER
    description = "writes code"

    def __init__(self, name="bot"):
        self.name = name
        self.state = "idle"

    def run(self, session_id=None, *, request=None, user=None, inside=None):
        self.state = "ran"
        return inside() if inside else "done"

    async def arun(self, session_id=None, request=None, inside=None):
        await asyncio.sleep(0)
        return await inside() if inside else "done"

    def steps(self, *items):
        yield from items
        return "over"

    def lent(self, *items):
        return iter(self.steps(*items))

    def use(self, tool, arguments=None, call_id=None):
        if tool == "broken":
            raise OSError("no")
        return {"found": 3, "ok": tool != "bad"}
"""


@pytest.fixture
def bots(tmp_path: Path) -> Iterator[Host]:
    """A module of agents, models and tools; not imported yet."""
    with host(tmp_path) as written:
        written.write(BOTS)
        yield written


def told(recorded: Capture, *event_types: str) -> list[dict[str, Any]]:
    """Entries of the audit log, without what differs each time."""
    always = ("timestamp", "event_type", "event_id", "correlation_id", "trace_id", "span_id", "critical")
    return [
        {key: value for key, value in entry.items() if key not in always}
        for entry in recorded.ledger.audit_log()
        if entry["event_type"] in event_types
    ]


def facts(operation: Any) -> dict[str, Any]:
    """Facts of an operation that are the same each time."""
    varying = (names.ACTIVE_SECONDS, names.ENVIRONMENT)
    return {name: fact for name, fact in operation.attributes.items() if name not in varying}


def operations(recorded: Capture, kind: str) -> list[Any]:
    """Ended operations of a kind, in order of their end."""
    recorded.ledger.total()  # so that everything is folded
    return [record for record in recorded.ledger._history if getattr(record, "kind", None) == kind]


# ------------------------------------------------------------------------------------------------------ operations
def test_agent(bots):
    """An agent's run has the name, description, session, request and user that the table says."""
    run = bots.table(
        "Bot.run",
        "agent",
        name="self.name",
        description="self.description",
        session_id="session_id",
        correlation_id="request.id",
        user_id="user",
    )
    with capture(wrap=[run]) as recorded:
        bots.load().Bot("ada").run("chat", request={"id": "r-1"}, user=7)

    (record,) = operations(recorded, "agent")
    assert ("ada", "chat", "r-1", "7", "ok") == (
        record.name,
        record.session_id,
        record.correlation_id,
        record.user_id,
        record.outcome,
    )
    assert {names.AGENT_NAME: "ada", names.AGENT_DESCRIPTION: "writes code"} == facts(record)
    assert "invoke_agent ada" == recorded.spans[0].name


def test_names_of_enumerations(bots, caplog):
    """A member that is a text is a name by its text; of another the value has to be asked for."""
    with capture(wrap=[bots.table("Bot.run", "agent", name=path) for path in ("self.kind",)]) as recorded:
        bots.load().Bot().run()
    with capture(wrap=[bots.table("Bot.run", "agent", name="self.plain.value")]) as by_value:
        bots.load().Bot().run()
    with capture(wrap=[bots.table("Bot.run", "agent", name="self.plain")]) as by_member:
        bots.load().Bot().run()

    found = [operations(each, "agent")[0].name for each in (recorded, by_value, by_member)]
    assert ["coder", "coder", "Bot"] == found
    assert type(found[0]) is str
    assert 'name = "self.plain": found a Plain, which does not do' in caplog.text


def test_operations_without_a_name(bots):
    """Without a name an agent is shown by its class, anything else by what it is called in the program."""
    tables = [bots.table("Bot.run", "agent"), bots.table("Bot.use", "tool"), bots.table("Model.retry", "model")]
    with capture(wrap=[*tables, bots.table("Bot.arun", "task")]) as recorded:
        loaded = bots.load()
        loaded.Bot().run(inside=lambda: loaded.Bot().use("x"))
        loaded.Model().retry([])
        asyncio.run(loaded.Bot().arun())

    assert ["Bot", "use", "retry", "arun"] == [
        operations(recorded, kind)[0].name for kind in ("agent", "tool", "model", "task")
    ]


def test_model(bots):
    """A model call has its tokens, counts and ids from wherever the table says."""
    ask = bots.table(
        "Model.ask",
        "model",
        model="model",
        provider="=acme",
        messages="messages",
        tools="tools",
        input_tokens='result["usage"]["prompt_tokens"]',
        output_tokens="result.usage.completion_tokens",
        tool_calls="result.calls",
        response_id="result.id",
        response_model="=small-2",
    )
    with capture(wrap=[ask]) as recorded:
        asyncio.run(bots.load().Model().ask([1, 2, 3], tools=["t"]))

    (call,) = operations(recorded, "model")
    assert "small" == call.name
    assert {
        names.REQUEST_MODEL: "small",
        names.PROVIDER_NAME: "acme",
        names.REQUEST_MESSAGES: 3,
        names.REQUEST_TOOLS: 1,
        names.INPUT_TOKENS: 10,
        names.OUTPUT_TOKENS: 4,
        names.RESPONSE_TOOL_CALLS: 1,
        names.RESPONSE_ID: "r-1",
        names.RESPONSE_MODEL: "small-2",
    } == facts(call)


USAGES = {
    "chat completions": {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
    "responses": {
        "input_tokens": 5,
        "output_tokens": 3,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 1},
    },
    "flat": {"input_tokens": 5, "output_tokens": 3, "cached_tokens": 2, "reasoning_tokens": 1},
}


@pytest.mark.parametrize("shape", USAGES)
def test_usage(bots, shape):
    """The path of what has the tokens is enough, where that has one of the shapes in use."""
    with capture(wrap=[bots.table("Bot.run", "model", usage="result.used")]) as recorded:
        bots.load().Bot().run(inside=lambda: {"used": USAGES[shape]})

    total = recorded.ledger.total()
    assert (5, 3, 2, 1) == (
        total.total_prompt_tokens,
        total.total_completion_tokens,
        total.cached_tokens,
        total.reasoning_tokens,
    )


@pytest.mark.parametrize("nonsense", [True, -1, 1.5, "12", 2**70, {}, object()], ids=named)
def test_tokens_are_whole_numbers(bots, nonsense, caplog):
    """What is no whole number from 0 up is no number of tokens, and that is said."""
    with capture(wrap=[bots.table("Bot.run", "model", input_tokens="result")]) as recorded:
        bots.load().Bot().run(inside=lambda: nonsense)

    assert names.INPUT_TOKENS not in operations(recorded, "model")[0].attributes
    assert "which does not do" in caplog.text


def test_unknown_usage_is_no_news(bots, caplog):
    """None is an answer: the program says that it does not know."""
    with capture(wrap=[bots.table("Bot.run", "model", usage="result.usage", input_tokens="result.n")]) as recorded:
        bots.load().Bot().run(inside=lambda: {"usage": None, "n": None})

    assert {} == operations(recorded, "model")[0].attributes
    assert {} == recorded.runtime.stats()["wraps_missed"]
    assert "" == caplog.text


def test_a_model_call_inside_of_another(bots):
    """The outermost call is the one that counts; what it does not know itself the inner one adds."""
    tables = [
        bots.table("Model.retry", "model", model="=outer", messages="messages"),
        bots.table("Model.ask", "model", model="model", usage="result.usage", response_id="result.id"),
    ]
    with capture(wrap=tables) as recorded:
        bots.load().Model().retry([1])

    (call,) = operations(recorded, "model")
    assert ("outer", 10, 4, "r-1") == (
        call.name,
        *(call.attributes[name] for name in (names.INPUT_TOKENS, names.OUTPUT_TOKENS, names.RESPONSE_ID)),
    )


def test_model_calls_inside_of_another(bots):
    """What several inner calls used is filled in as a sum."""
    tables = [
        bots.table("Model.insist", "model", model="=outer"),
        bots.table("Model.ask", "model", model="model", usage="result.usage"),
    ]
    with capture(wrap=tables) as recorded:
        bots.load().Model().insist([1])

    (call,) = operations(recorded, "model")
    assert ("outer", 20, 8) == (call.name, call.attributes[names.INPUT_TOKENS], call.attributes[names.OUTPUT_TOKENS])


def test_tool(bots):
    """A tool call has its name, id and outcome; one that raises has failed."""
    use = bots.table("Bot.use", "tool", name="tool", call_id="call_id", outcome="result.ok")
    with capture(wrap=[use]) as recorded:
        bot = bots.load().Bot()
        bot.use("good", call_id="c-1")
        bot.use("bad")
        with pytest.raises(OSError, match="no"):
            bot.use("broken")

    calls = operations(recorded, "tool")
    assert [("good", "ok", "c-1"), ("bad", "error", None), ("broken", "error", None)] == [
        (call.name, call.outcome, call.attributes.get(names.TOOL_CALL_ID)) for call in calls
    ]
    assert {"OSError": 1, "other": 1} == recorded.ledger.total().tool_errors


def test_content_of_tools(bots):
    """Arguments and result of a tool are looked at only where content is captured, and masked then."""
    use = bots.table("Bot.use", "tool", name="tool", arguments="arguments", result="result")
    for where, expected in (
        ("no_content", (None, None)),
        ("span_only", ('{"query":"a","password":"[redacted]"}', '{"found":3,"ok":true}')),
    ):
        with capture(wrap=[use], capture_content=where) as recorded:
            bots.load().Bot().use("search", {"query": "a", "password": "hunter2"})

        (call,) = operations(recorded, "tool")
        assert expected == tuple(call.attributes.get(name) for name in (names.TOOL_ARGUMENTS, names.TOOL_RESULT))


def test_task(bots):
    """A task has a name, and the program's own id, description and category."""
    arun = bots.table("Bot.arun", "task", name="=chat", id="session_id", description="=d", category="=c")
    with capture(wrap=[arun]) as recorded:
        asyncio.run(bots.load().Bot().arun("t-1"))

    (task,) = operations(recorded, "task")
    assert "chat" == task.name
    assert {
        names.WORKFLOW_NAME: "chat",
        names.TASK_ID: "t-1",
        names.TASK_DESCRIPTION: "d",
        names.TASK_CATEGORY: "c",
    } == facts(task)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_task_says_where_it_works(bots, tmp_path, kind):
    """Changes of code are those of the repository a task works in, wherever the program runs."""
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=repository, check=True)  # noqa: S607 - the git that there is
    run = bots.table("Bot.run", "task", folder="request")
    with capture(wrap=[run], code_changes=True) as recorded:
        bots.load().Bot().run(request=kind(repository), inside=(repository / "new.py").touch)

    (task,) = operations(recorded, "task")
    assert ["new.py"] == [file["path"] for file in json.loads(task.attributes[names.CODE_CHANGES])["files"]]


@pytest.mark.parametrize("folder", ["nowhere", "", 3])
def test_a_folder_that_is_none(bots, folder):
    """Of a task that works nowhere no changes are noted, or those around the program; it is recorded all the same."""
    run = bots.table("Bot.run", "task", folder="request")
    with capture(wrap=[run], code_changes=True) as recorded:
        bots.load().Bot().run(request=folder)

    (task,) = operations(recorded, "task")
    assert "ok" == task.outcome


def test_fields_of_the_programs_own(bots):
    """Fields of the program's own are part of the record, if they are plain."""
    fields = {
        "state": "self.state",
        "now": "after.self.state",
        "hit": "result.hit",
        "all": "result",
        "n": "len(result)",
    }
    with capture(wrap=[bots.table("Bot.run", "tool", fields=fields)]) as recorded:
        bots.load().Bot().run(inside=lambda: {"hit": True})

    facts = operations(recorded, "tool")[0].attributes
    found = {name.removeprefix(names.CUSTOM): fact for name, fact in facts.items() if name.startswith(names.CUSTOM)}
    assert {"state": "idle", "now": "ran", "hit": True, "n": 1} == found


def test_a_call_that_was_refused(bots):
    """A tool call that never ran is requested and refused; a condition says when that is so."""
    use = bots.table("Bot.use", "tool", name="tool", refused=True, if_={"arguments.decision": "REJECT"})
    with capture(wrap=[use]) as recorded:
        bot = bots.load().Bot()
        bot.use("write", {"decision": "REJECT"})
        bot.use("write", {"decision": "APPROVE"})

    tool = recorded.ledger.total().tools["write"]
    assert (1, 1, 0) == (tool["requested"], tool["refused"], tool["completed"])
    assert ["refused_tool"] == [span.name for span in recorded.spans]


# ----------------------------------------------------------------------------------------------------- where it is
def test_what_runs_inside_belongs_to_the_session(bots):
    """Session, request and user of a call hold for what runs inside of it, and no longer."""
    run = bots.table("Bot.run", "agent", session_id="session_id", correlation_id="request", user_id="user")
    tables = [run, bots.table("Bot.use", "tool")]
    with capture(wrap=tables, session_id="process") as recorded:
        bot = bots.load().Bot()
        bot.run("chat", request="r-1", user="ada", inside=lambda: bot.use("x"))
        bot.use("y")

    assert [("chat", "r-1", "ada"), ("process", None)] == [
        (call.session_id, call.correlation_id, call.user_id) if call.user_id else (call.session_id, call.user_id)
        for call in operations(recorded, "tool")
    ]


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_runs_inside_an_event_belongs_to_its_session(bots, when):
    """The session that an event's table names holds for what runs inside, also of a coroutine."""
    event = {"event": "session_updated", "when": when, "session_id": "session_id"}
    tables = [bots.table(f"Bot.{name}", "event", **event) for name in ("run", "arun")]
    with capture(wrap=[*tables, bots.table("Bot.use", "tool")]) as recorded:
        bot = bots.load().Bot()

        async def inside() -> None:
            await asyncio.sleep(0)
            bot.use("x")

        bot.run("one", inside=lambda: bot.use("x"))
        asyncio.run(bot.arun("two", inside=inside))

    assert ["one", "two"] == [call.session_id for call in operations(recorded, "tool")]
    assert [{"session_id": "one"}, {"session_id": "two"}] == told(recorded, "session_updated")


@pytest.mark.parametrize("kind", ["event", "agent"])
def test_another_session_is_not_handed_on(bots, kind):
    """Of a session that a table names, nothing goes to other services where another one is handed on."""
    table = {"event": "session_updated"} if kind == "event" else {}
    seen: list[dict[str, object]] = []
    with capture(wrap=[bots.table("Bot.run", kind, session_id="session_id", **table)]):
        bot = bots.load().Bot()
        with tachograph.session("a", correlation_id="r-1", propagate=True):
            for session_id in ("a", "b"):
                bot.run(session_id, inside=lambda: seen.append(dict(baggage.get_all())))

    assert [{"session.id": "a", "tachograph.correlation.id": "r-1"}, {}] == seen


def test_a_new_session_is_a_new_request(bots):
    """In another session the request is another; in the same one it goes on."""
    with capture(wrap=[bots.table("Bot.run", "agent", session_id="session_id")]) as recorded:
        bot = bots.load().Bot()
        with tachograph.session("a", correlation_id="r-1"):
            bot.run("a")
            bot.run("b")

    same, other = operations(recorded, "agent")
    assert "r-1" == same.correlation_id
    assert "r-1" != other.correlation_id


def test_ids_are_cleaned(bots):
    """An id that no backend could hold is cleaned; what can be none leaves the session as it is."""
    with capture(wrap=[bots.table("Bot.run", "agent", session_id="session_id")], session_id="process") as recorded:
        bot = bots.load().Bot()
        for given in (" a\x00b ", 12, {}, ""):
            bot.run(given)

    assert ["ab", "12", "process", "process"] == [run.session_id for run in operations(recorded, "agent")]


# --------------------------------------------------------------------------------------------------------- streams
def test_a_stream_lasts_until_it_is_exhausted(bots):
    """A call of an async generator is over when it is, and its last report of tokens is the one that counts."""
    stream = bots.table("Model.stream", "model", model="=m", usage="item.usage", tool_calls="item.calls")
    usages = [{"prompt_tokens": 5, "completion_tokens": n} for n in (1, 2, 3)]
    items = ["text", *({"usage": usage, "calls": [1]} for usage in usages), {"usage": None}]

    async def main() -> list[Any]:
        return [len(recorded.ledger.open_operations()) async for _ in loaded.Model().stream(*items)]

    with capture(wrap=[stream]) as recorded:
        loaded = bots.load()
        assert [1] * len(items) == asyncio.run(main())

    (call,) = operations(recorded, "model")
    facts = call.attributes
    assert (5, 3, 1, True) == (
        facts[names.INPUT_TOKENS],
        facts[names.OUTPUT_TOKENS],
        facts[names.RESPONSE_TOOL_CALLS],
        facts[names.REQUEST_STREAM],
    )
    assert names.TIME_TO_FIRST_CHUNK in facts


def test_shares_of_a_stream_are_added_up(bots):
    """Where each item reports a share, the shares are added up."""
    steps = bots.table("Bot.steps", "model", usage="item", usage_style="delta", tool_calls="item.calls")
    with capture(wrap=[steps]) as recorded:
        list(bots.load().Bot().steps(*({"input_tokens": 2, "output_tokens": 1, "calls": [0]},) * 3))

    facts = operations(recorded, "model")[0].attributes
    assert (6, 3, 3) == tuple(
        facts[name] for name in (names.INPUT_TOKENS, names.OUTPUT_TOKENS, names.RESPONSE_TOOL_CALLS)
    )


def test_a_stream_that_nobody_finishes(bots):
    """A stream that is closed early is abandoned, and what was used by then counts."""
    with capture(wrap=[bots.table("Bot.steps", "model", usage="item")]) as recorded:
        made = bots.load().Bot().steps({"input_tokens": 2, "output_tokens": 1}, {})
        next(made)
        made.close()

    (call,) = operations(recorded, "model")
    assert ("abandoned", 2) == (call.outcome, call.attributes[names.INPUT_TOKENS])


def test_no_item_says_it(bots, caplog):
    """What no item of a stream has is said when it is over."""
    with capture(wrap=[bots.table("Bot.steps", "model", input_tokens="item.tokens")]) as recorded:
        list(bots.load().Bot().steps("a", "b"))

    assert [1] == list(recorded.runtime.stats()["wraps_missed"].values())
    assert 'input_tokens = "item.tokens": no item has it' in caplog.text


def test_a_stream_has_no_result(bots, caplog):
    """What is looked for in the result of a generator is said to be in its items, and takes back nothing of theirs."""
    stream = bots.table("Model.stream", "model", usage="item", input_tokens="result.input")

    async def main() -> list[Any]:
        return [item async for item in bots.load().Model().stream({"input_tokens": 2, "output_tokens": 1})]

    with capture(wrap=[stream]) as recorded:
        asyncio.run(main())

    facts = operations(recorded, "model")[0].attributes
    assert (2, 1) == (facts[names.INPUT_TOKENS], facts[names.OUTPUT_TOKENS])
    assert 'input_tokens = "result.input": a stream has no result; write item.…' in caplog.text


def test_a_plain_function_that_gives_a_stream(bots, caplog):
    """A plain function is over when it returns; its result is followed where the table says so."""
    steps = bots.table("Bot.run", "tool", name="=plain")
    with capture(wrap=[steps]) as recorded:
        bot = bots.load().Bot()
        made = bot.run(inside=lambda: bot.steps(1))
        assert made.gi_code is type(bot).steps.__code__
        assert [] == recorded.ledger.open_operations()
    assert 'write until = "exhausted" to follow it' in caplog.text

    with capture(wrap=[{**steps, "until": "exhausted"}]) as recorded:
        bot = bots.load().Bot()
        made = bot.run(inside=lambda: bot.steps(1))
        assert ["plain"] == [live.name for live in recorded.ledger.open_operations()]
        assert [1] == list(made)
        assert [] == recorded.ledger.open_operations()


CLIENT = """
import openai

ASKED = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "?"}]}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


class Model:
    def __init__(self, url):
        self.now = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
        self.later = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    def ask(self, stream=True):
        return self.now.chat.completions.create(**ASKED, **(STREAM if stream else {}))

    async def ask_later(self):
        return await self.later.chat.completions.create(**ASKED, **STREAM)

    def ask_at_once(self):
        return self.later.chat.completions.create(**ASKED, **STREAM)


async def read(asked, within):
    if within:
        async with await asked as chunks:
            return [chunk async for chunk in chunks]
    return [chunk async for chunk in await asked]


async def read_each(model, ask, within):
    async with model.later:
        return [await read(ask(), within) for _ in range(2)]


def read_now(asked, within):
    if within:
        with asked as chunks:
            return list(chunks)
    return list(asked)


def read_each_now(model, ask, within):
    with model.now:
        return [read_now(ask(), within) for _ in range(2)]
"""


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("method", ["ask", "ask_later", "ask_at_once"])
def test_a_stream_of_a_model_client(tmp_path, method, within):
    """A model client's stream, given at once or awaited, is one streamed call with the tokens that were billed."""
    replies = [Reply("one two three", prompt_tokens=7 + n, completion_tokens=3, cached_tokens=n) for n in range(2)]
    with host(tmp_path) as client, ScriptedLLM({"gpt-4.1": replies}) as llm:
        client.write(CLIENT)
        table = client.table(f"Model.{method}", "model", model="=gpt-4.1", usage="item.usage")
        with capture(wrap=[table]) as recorded:
            loaded = client.load()
            model = loaded.Model(llm.base_url)
            given = model, getattr(model, method), within
            read = loaded.read_each_now(*given) if method == "ask" else asyncio.run(loaded.read_each(*given))
            assert ["one two three"] * 2 == ["".join(map(_text, chunks)) for chunks in read]
            assert [] == recorded.ledger.open_operations()

        total, bill = recorded.ledger.total(), llm.bill()["gpt-4.1"]
    assert (2, 2, 15, 6, 1) == (
        total.total_requests,
        total.streamed_requests,
        total.total_prompt_tokens,
        total.total_completion_tokens,
        total.cached_tokens,
    )
    assert (2, 15, 6, 1) == (bill.requests, bill.prompt_tokens, bill.completion_tokens, bill.cached_tokens)
    assert {"ok": 2} == Counter(call.outcome for call in operations(recorded, "model"))


def test_a_client_that_gives_a_reply_or_a_stream(tmp_path, caplog):
    """One table does for both: the tokens are in the reply, or in a chunk, and neither is missed in the other."""
    replies = [Reply("one two", prompt_tokens=7 + n, completion_tokens=3, cached_tokens=n) for n in range(3)]
    with host(tmp_path) as client, ScriptedLLM({"gpt-4.1": replies}) as llm:
        client.write(CLIENT)
        table = client.table(
            "Model.ask",
            "model",
            model="=gpt-4.1",
            usage=["result.usage", "item.usage"],
            response_id=["item.id", "result.id"],
        )
        with capture(wrap=[table]) as recorded:
            model = client.load().Model(llm.base_url)
            with model.now:
                assert [3, 3] == [model.ask(stream=False).usage.completion_tokens for _ in range(2)]
                assert "one two" == "".join(map(_text, model.ask()))

        calls, bill = operations(recorded, "model"), llm.bill()["gpt-4.1"]
        total = recorded.ledger.total()
    assert [None, None, True] == [call.attributes.get(names.REQUEST_STREAM) for call in calls]
    assert [3, 3, 3] == [call.attributes[names.OUTPUT_TOKENS] for call in calls]
    assert all(call.attributes[names.RESPONSE_ID] for call in calls)
    assert (bill.prompt_tokens, bill.cached_tokens) == (total.total_prompt_tokens, total.cached_tokens)
    assert not recorded.runtime.stats()["wraps_missed"]
    assert not caplog.text


@pytest.mark.parametrize("place", ["Bot.use", "Bot.steps"])
def test_tokens_that_are_nowhere(bots, caplog, place):
    """Tokens that may be in the result or an item, and are not, are missed once, where they could have been."""
    with capture(wrap=[bots.table(place, "model", usage=["result.usage", "item.usage"])]) as recorded:
        bot = bots.load().Bot()
        assert {"found": 3, "ok": True} == bot.use("x")
        assert ["x"] == list(bot.steps("x"))

    ((missed, times),) = recorded.runtime.stats()["wraps_missed"].items()
    assert (1, True) == (times, missed.endswith(f"{place}): usage"))
    said = {"Bot.use": 'usage = "result.usage": found nothing', "Bot.steps": 'usage = "item.usage": no item has it'}
    assert said[place] in caplog.text


def test_a_manager_is_no_stream(tmp_path, caplog):
    """A function that contextlib makes a manager of gives that at once, and no items."""
    with host(tmp_path) as written:
        written.write("import contextlib\n@contextlib.contextmanager\ndef opened():\n    yield 1\n")
        tables = [written.table("opened", "model", usage="item.usage")]
        with capture(wrap=tables), written.load().opened() as value:
            assert 1 == value

    assert "gave a _GeneratorContextManager, which is no stream" in caplog.text


def test_no_stream_to_look_into(bots, caplog):
    """Where a table looks into a stream, and there is none, that is said."""
    with capture(wrap=[bots.table("Bot.use", "model", usage="item.usage")]):
        assert {"found": 3, "ok": True} == bots.load().Bot().use("x")

    assert 'usage = "item.usage": gave a dict, which is no stream; write result.… for what is in it' in caplog.text


def _text(chunk: Any) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)


# ---------------------------------------------------------------------------------------------------------- events
def test_an_event_before_and_after(bots):
    """Before a call, an event knows what it is given; after it, also what came of it and what it has changed."""
    payload = {"state": "self.state"}
    more = {"found": "result.found", "now": "after.self.state", "nothing": "request"}
    tables = [
        bots.table("Bot.run", "event", event="session_updated", when="before", payload=payload),
        bots.table("Bot.run", "event", event="message_added", payload={**payload, **more}),
    ]
    with capture(wrap=tables, session_id="s") as recorded:
        bots.load().Bot().run(inside=lambda: {"found": 3})

    assert [{"session_id": "s", "state": "idle"}] == told(recorded, "session_updated")
    assert [{"session_id": "s", "state": "idle", "found": 3, "now": "ran"}] == told(recorded, "message_added")


def test_an_event_of_a_failure(bots):
    """A call that fails tells what is told of errors, and not what is told after it."""
    tables = [
        bots.table("Bot.use", "event", event="threshold_exceeded", when="error", payload={"why": "error.args.0"}),
        bots.table("Bot.use", "event", event="session_updated", payload={"tool": "tool"}),
    ]
    with capture(wrap=tables, session_id="s") as recorded:
        bot = bots.load().Bot()
        bot.use("good")
        with pytest.raises(OSError, match="no"):
            bot.use("broken")

    assert [{"session_id": "s", "why": "no"}] == told(recorded, "threshold_exceeded")
    assert [{"session_id": "s", "tool": "good"}] == told(recorded, "session_updated")


def test_an_event_of_an_item(bots):
    """An item of a stream that fits the condition is told, and knows nothing of the one before."""
    steps = bots.table(
        "Bot.steps",
        "event",
        event="tool_approval_required",
        when="item",
        if_={"item.type": "approval"},
        payload={"tool_name": "item.tool", "reason": "item.reason"},
    )
    asked = {"type": "approval", "tool": "rm", "reason": "danger"}
    items = ["x", asked, {"type": "a"}, {"type": "approval", "tool": "ls"}]
    with capture(wrap=[steps], session_id="s") as recorded:
        assert items == list(bots.load().Bot().steps(*items))

    asked_for = told(recorded, "tool_approval_required")
    assert all(entry.pop("call_id").startswith("approval-") for entry in asked_for)
    assert [
        {"session_id": "s", "tool_name": "rm", "reason": "danger"},
        {"session_id": "s", "tool_name": "ls"},
    ] == asked_for


CONDITIONS = [
    ("result", True, True),
    ("result", 0, False),
    ("result", "", False),
    ("result", [], False),
    ("result", {"a": 1}, True),
    ("result", None, False),
    ("result", object(), True),
    ("result.missing", {}, False),
    ({"result": 1}, 1, True),
    ({"result": 1}, True, False),
    ({"result": "a"}, "a", True),
    ({"result": "a"}, object(), False),
    ({"result.x": "a", "result.y": True}, {"x": "a", "y": True}, True),
    ({"result.x": "a", "result.y": True}, {"x": "a", "y": False}, False),
]


@pytest.mark.parametrize(("condition", "result", "holds"), CONDITIONS, ids=named)
def test_conditions(bots, condition, result, holds):
    """Something has to be there, or to be the very value: an object is never asked for its truth, nor compared."""
    with capture(wrap=[bots.table("Bot.run", "event", event="session_updated", if_=condition)]) as recorded:
        bots.load().Bot().run(inside=lambda: result)

    assert holds == bool(told(recorded, "session_updated"))


@pytest.mark.parametrize(
    ("given", "expected"), [("APPROVE", "APPROVE"), ("edit", "EDIT"), ("Reject", "REJECT"), ("maybe", None), (3, None)]
)
def test_decisions(bots, given, expected, caplog):
    """A decision is APPROVE, EDIT or REJECT, in letters of any case; without one nothing is told but in the log."""
    payload = {"decision": "arguments", "call_id": "call_id", "tool_name": "tool", "original_args": "result"}
    with capture(wrap=[bots.table("Bot.use", "event", event="hitl_decision_made", payload=payload)]) as recorded:
        bots.load().Bot().use("rm", given, "c-1")

    assert ([expected] if expected else []) == [entry["decision"] for entry in told(recorded, "hitl_decision_made")]
    assert (expected is None) == ("payload.decision" in caplog.text)


def test_an_event_belongs_to_the_call_it_is_about(bots):
    """An event of a call that is an operation too is told inside of that, in its session."""
    tables = [
        bots.table("Bot.run", "agent", session_id="session_id"),
        bots.table("Bot.run", "event", event="session_updated"),
        bots.table("Bot.run", "event", event="session_deleted", session_id="=other"),
    ]
    with capture(wrap=tables) as recorded:
        bots.load().Bot().run("chat")

    (span,) = recorded.spans
    assert ["tachograph.session_updated", "tachograph.session_deleted"] == [event.name for event in span.events]
    assert ["chat"] == [entry["session_id"] for entry in told(recorded, "session_updated")]
    assert ["other"] == [entry["session_id"] for entry in told(recorded, "session_deleted")]


def test_content_of_a_payload_is_bounded(bots):
    """A payload holds plain values only, cut and masked; objects are named by their type."""
    payload = {"given": "request"}
    given = {"password": "hunter2", "long": "x" * 100_000, "object": object()}
    with capture(wrap=[bots.table("Bot.run", "event", event="session_updated", payload=payload)]) as recorded:
        bots.load().Bot().run(request=given)

    (entry,) = told(recorded, "session_updated")
    assert ("[redacted]", "<object>") == (entry["given"]["password"], entry["given"]["object"])
    assert 10_000 > len(entry["given"]["long"])


# -------------------------------------------------------------------------------------------------------- switches
def test_a_switch_that_is_given(bots):
    """A run whose call says who had the work before begins with a switch, unless it is the same agent."""
    switch = {"from": "session_id", "to": "=coder", "reason": "request"}
    with capture(wrap=[bots.table("Bot.run", "agent", name="=coder", switch=switch)]) as recorded:
        for source in ("boss", "coder", None):
            bots.load().Bot().run(source, request="needs code")

    assert {"boss_to_coder": 1} == recorded.ledger.total().switches
    assert [("boss", "coder", "needs code")] == [
        (entry["from_agent"], entry["to_agent"], entry["reason"]) for entry in told(recorded, "agent_switched")
    ]


def test_switches_that_follow(bots):
    """On request, a switch is to an agent of another name than had the work before in the same run or task."""
    tables = [
        bots.table("Bot.run", "agent", name="self.name", switch=True),
        bots.table("Bot.arun", "task"),
        bots.table("Bot.use", "tool"),
    ]
    with capture(wrap=tables) as recorded:
        made = bots.load().Bot
        boss, coder, tester = made("boss"), made("coder"), made("tester")
        boss.run(inside=lambda: (coder.run(), coder.run(), tester.run(), coder.run()))

        async def inside() -> None:
            tester.run()
            boss.run()

        asyncio.run(boss.arun(inside=inside))

    assert {"boss_to_coder": 1, "coder_to_tester": 1, "tester_to_coder": 1, "tester_to_boss": 1} == (
        recorded.ledger.total().switches
    )


# ------------------------------------------------------------------------------------------------- classes, objects
FAMILY = """
class Base:
    def run(self, mark=None):
        return "base"

    @classmethod
    def make(cls):
        return cls()

class Child(Base):
    def run(self, mark=None):
        return super().run(mark) + " child"

class Grandchild(Child):
    def run(self, mark=None):
        return super().run(mark) + " grandchild"

class Sibling(Base):
    pass

class Caller:
    def __call__(self, mark=None):
        return mark

one, other = Caller(), Caller()
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Host]:
    """Classes of three generations."""
    with host(tmp_path) as written:
        written.write(FAMILY)
        yield written


def test_overriding_methods_are_wrapped_too(family):
    """A method is wrapped in each class that overrides it, now or later; with what they call above it is one call."""
    with capture(wrap=[family.table("Base.run", "agent")]) as recorded:
        loaded = family.load()

        class Late(loaded.Child):
            def run(self, mark: Any = None) -> Any:
                return f"{super().run(mark)} late"

        for made in (loaded.Base, loaded.Child, loaded.Grandchild, loaded.Sibling, Late):
            made().run()

    assert {"Base": 1, "Child": 1, "Grandchild": 1, "Sibling": 1, "Late": 1} == {
        agent: figures["count"] for agent, figures in recorded.ledger.total().agents.items()
    }


def test_a_method_called_again_is_a_call_of_its_own(family):
    """What a method calls by ``super()`` is part of it; what it calls anew, on the same object, is not."""
    with capture(wrap=[family.table("Base.run", "agent")]) as recorded:
        loaded = family.load()

        class Twice(loaded.Base):
            def run(self, mark: Any = None) -> Any:
                return self.run("again") if mark is None else super().run(mark)

        Twice().run()

    assert 2 == recorded.ledger.total().agents["Twice"]["count"]


def test_an_inherited_method_is_recorded_for_the_class_that_was_named(family):
    """A method that a class only inherits is recorded for that class and those below it, and for nobody else."""
    with capture(wrap=[family.table("Sibling.run", "agent")]) as recorded:
        loaded = family.load()
        for made in (loaded.Base, loaded.Child, loaded.Sibling, type("Below", (loaded.Sibling,), {})):
            made().run()

    assert {"Sibling", "Below"} == set(recorded.ledger.total().agents)


def test_the_nearest_table_is_the_one(family):
    """Where tables name a class and one above it, that of the nearer one holds for it and those below."""
    tables = [
        family.table("Base.run", "agent", name="=base"),
        family.table("Child.run", "agent", name="=child"),
        family.table("Sibling.run", "agent", name="=sibling"),
    ]
    for order in (tables, tables[::-1]):
        with capture(wrap=order) as recorded:
            loaded = family.load()
            for made in (loaded.Base, loaded.Child, loaded.Grandchild, loaded.Sibling):
                made().run()

        assert {"base": 1, "child": 2, "sibling": 1} == {
            agent: figures["count"] for agent, figures in recorded.ledger.total().agents.items()
        }


def test_class_methods_are_known_by_the_class(family):
    """A class method is recorded for the class that it is called on."""
    with capture(wrap=[family.table("Child.make", "tool", fields={"made": "cls.__name__"})]) as recorded:
        loaded = family.load()
        assert [loaded.Base, loaded.Grandchild] == [type(made.make()) for made in (loaded.Base, loaded.Grandchild)]

    assert ["Grandchild"] == [call.attributes[f"{names.CUSTOM}made"] for call in operations(recorded, "tool")]


def test_one_object_is_recorded_alone(family):
    """Of an object that is called, and of a method of an object, calls on that object are recorded."""
    tables = [family.table("one", "tool", name="=one"), family.table("other", "tool", name="mark")]
    with capture(wrap=tables) as recorded:
        loaded = family.load()
        assert [1, "2", 3] == [loaded.one(1), loaded.other("2"), loaded.Caller()(3)]

    assert ["one", "2"] == [call.name for call in operations(recorded, "tool")]


# ----------------------------------------------------------------------------------------------- start, stop, others
def test_a_module_that_is_there_and_one_that_comes(bots, family):
    """A target is hooked at once where its module is there, else as soon as it is imported."""
    loaded = bots.load()
    with capture(wrap=[bots.table("Bot.use", "tool"), family.table("Base.run", "tool")]) as recorded:
        states = list(recorded.runtime.stats()["wraps"].values())
        loaded.Bot().use("x")
        family.load().Base().run()

        assert ["hooked", "waiting"] == states
        assert ["hooked", "hooked"] == list(recorded.runtime.stats()["wraps"].values())
    assert 2 == len(operations(recorded, "tool"))


def test_nothing_is_left_behind(family):
    """After the end all is as it was, and what starts anew wraps anew."""
    loaded = family.load()
    before = {each: dict(vars(each)) for each in (loaded.Base, loaded.Child, loaded.Sibling, loaded.Caller)}
    tables = [family.table("Base.run", "agent"), family.table("Base.make", "tool"), family.table("one", "tool")]
    for _ in range(2):
        with capture(wrap=tables) as recorded:
            loaded.Child().run()
        assert 1 == len(operations(recorded, "agent"))
        assert before == {each: dict(vars(each)) for each in before}


def test_what_comes_later_takes_over(family):
    """A program that says what it wants takes over from what started by itself, and each call counts once."""
    loaded = family.load()
    tables = [family.table("Base.run", "agent")]
    try:
        tachograph.runtime.start({"wrap": tables}, automatic=True)
        tachograph.init(wrap=tables, session_id="mine")
        loaded.Child().run()
        assert 1 == tachograph.session_metrics("mine").agent_runs
    finally:
        tachograph.shutdown()
    assert "base child" == loaded.Child().run()


def test_what_an_integration_records_is_left_to_it(tmp_path, caplog):
    """What the integration of a framework hooks is not wrapped a second time, and that is said."""
    source = """
        from support.agents import Lookup
        class Own(Lookup):
            name = "own"
            def __call__(self, *args, **kwargs):
                return super().__call__(*args, **kwargs)
    """
    with host(tmp_path) as written:
        tables = [
            {"target": "smolagents.agents:MultiStepAgent.run", "as": "agent"},
            written.table("Own.__call__", "tool"),
        ]
        with capture(wrap=tables) as recorded:
            written.load(source).Own()(key="a")
            assert ["refused", "refused"] == list(recorded.runtime.stats()["wraps"].values())

    assert ["own"] == [call.name for call in operations(recorded, "tool")]
    assert "is the integration's to record; wrap what is the program's own" in caplog.text
    assert "is recorded already, by the integration of its framework" in caplog.text


def test_beside_a_framework(bots):
    """What a wrap records nests with what a framework's integration does, either way round."""

    class Search(Lookup):
        name = "search"

        def forward(self, key: str) -> str:
            return str(loaded.Bot("helper").run(inside=lambda: loaded.Bot().use("inner")))

    tables = [
        bots.table("Bot.run", "agent", name="self.name", session_id="session_id"),
        bots.table("Bot.use", "tool", name="tool"),
    ]
    with capture(wrap=tables) as recorded:
        loaded = bots.load()
        asks = Say(calls=(("search", {"key": "a"}, "c-1"),))
        agent = caller(asks, answer("done"), tools=[Search()], name="framework")
        loaded.Bot("outer").run("chat", inside=lambda: agent.run("go"))

    chat = recorded.ledger.session_metrics("chat")
    assert {"outer", "framework", "helper"} == set(chat.agents)
    assert {"search", "inner", "final_answer"} == set(chat.tools)
    parents = {record.name: record.agent for record in (*operations(recorded, "agent"), *operations(recorded, "tool"))}
    assert {"framework": "outer", "search": "framework", "helper": "framework", "inner": "helper"} == {
        name: parents[name] for name in ("framework", "search", "helper", "inner")
    }
    assert 1 == chat.tasks


# ---------------------------------------------------------------------------------------------- what is not to be found
def test_what_is_not_there_is_said_once_and_counted(bots, caplog):
    """A path that leads nowhere is said in one line, the first time, and counted each time."""
    run = bots.table("Bot.run", "agent", name="self.title", session_id="session_id.id", fields={"x": "result.nothing"})
    with capture(wrap=[run]) as recorded:
        for _ in range(3):
            bots.load().Bot().run("chat", inside=object)
        missed = recorded.runtime.stats()["wraps_missed"]

    label = f"init(wrap=…): wrap 1 ({bots.name}:Bot.run): "
    assert {f"{label}name": 3, f"{label}session_id": 3, f"{label}fields.x": 3} == missed
    assert [
        f'tachograph: {label}session_id = "session_id.id": found nothing',
        f'tachograph: {label}name = "self.title": found nothing',
        f'tachograph: {label}fields.x = "result.nothing": found nothing',
    ] == [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


KNOWING = """
class Chunks:
    def __init__(self, use):
        self.left, self.use, self.usage = iter("ab"), use, None

    def __iter__(self):
        return self

    def __next__(self):
        for chunk in self.left:
            return chunk
        self.usage = self.use
        raise StopIteration

class Later:
    def __init__(self, use):
        self.inner = Chunks(use)

    usage = property(lambda self: self.inner.usage)

    def __aiter__(self):
        return self

    async def __anext__(self):
        for chunk in self.inner:
            return chunk
        raise StopAsyncIteration

def ask(use): return Chunks(use)
async def later(use): return Later(use)
"""


@pytest.mark.parametrize("usage", ["result.usage", ["item.usage", "result.usage"]])
def test_a_stream_that_knows_more_in_the_end(tmp_path, usage, caplog):
    """What gives its items may be asked when it has given them all: it is the result of the call."""
    use = {"input_tokens": 7, "output_tokens": 3}

    async def main(module: Any) -> list[Any]:
        return [chunk async for chunk in await module.later(use)]

    with host(tmp_path) as written:
        written.write(KNOWING)
        tables = [written.table(name, "model", usage=usage, until="exhausted") for name in ("ask", "later")]
        with capture(wrap=tables) as recorded:
            module = written.load()
            assert ["a", "b"] == list(module.ask(use))
            assert ["a", "b"] == asyncio.run(main(module))

    assert [7, 7] == [call.attributes[names.INPUT_TOKENS] for call in operations(recorded, "model")]
    assert not caplog.text


INJECTED = """
import functools

def with_database(function):
    @functools.wraps(function)
    def given(*args, **kwargs):
        return function("database", *args, **kwargs)
    return given

def retried(function):
    @functools.wraps(function)
    def again(*args, **kwargs):
        return function(*args, **kwargs)
    return again

def without_request(function):
    @functools.wraps(function)
    def handled(request, *args):
        return function(*args)
    return handled

@with_database
def handle(database, session_id, message): return message

@retried
def plain(session_id, message="none", *rest, key=None): return message

@without_request
def served(session_id, message): return message
"""


def test_a_decorator_that_gives_arguments_of_its_own(tmp_path):
    """Where what was given does not fit what is known, no argument is taken for another; by its name it is known."""
    with host(tmp_path) as written:
        written.write(INJECTED)
        tables = [written.table(name, "tool", session_id="session_id") for name in ("handle", "plain", "served")]
        with capture(wrap=tables) as recorded:
            module = written.load()
            assert "secret" == module.handle("chat-1", "secret")
            assert "secret" == module.handle(session_id="chat-2", message="secret")
            assert "none" == module.plain("chat-3")
            assert "secret" == module.plain("chat-4", "secret", 1, 2, key="k")
            assert "secret" == module.served(object(), "chat-5", "secret")

        sessions = [call.session_id for call in operations(recorded, "tool")]
    assert [None, "chat-2", "chat-3", "chat-4", None] == [each if "chat" in each else None for each in sessions]


def test_alternatives(bots, caplog):
    """Of several paths the first that gives something is taken; none has to be there but one."""
    run = bots.table("Bot.run", "agent", name=["self.title", "session_id", "=nobody"])
    with capture(wrap=[run]) as recorded:
        bot = bots.load().Bot()
        bot.run("given")
        bot.run(None)

    assert ["given", "nobody"] == [each.name for each in operations(recorded, "agent")]
    assert "" == caplog.text


def test_a_property_that_raises(tmp_path):
    """A property of the program that raises costs the value, is counted, and never reaches the program."""
    source = """
        class Shy:
            @property
            def name(self):
                raise KeyError("not for you")
            def run(self):
                return "done"
    """
    with (
        host(tmp_path) as written,
        capture(
            strict=False, wrap=[written.table("Shy.run", "agent", name="self.name", description="=shy")]
        ) as recorded,
    ):
        assert "done" == written.load(source).Shy().run()
        assert {"Found._value": 1} == recorded.runtime.guard.swallowed()

    (run,) = operations(recorded, "agent")
    assert ("Shy", "shy") == (run.name, run.attributes[names.AGENT_DESCRIPTION])


def test_a_module_that_is_being_imported(tmp_path, caplog):
    """A program that starts us in the very module that is to be wrapped is told to start us before it."""
    source = """
        import tachograph.testing
        def setup(table):
            with tachograph.testing.capture(wrap=[table]):
                pass
        import sys
        setup({"target": f"{__name__}:later", "as": "tool"})
        def later(): pass
    """
    with host(tmp_path) as written:
        written.load(source)

    assert "has no later" in caplog.text
    assert "the module is still being imported: start Tachograph before it" in caplog.text


def test_values_of_other_modules(tmp_path):
    """A value may be read from a module, by its path there."""
    source = """
        class Settings:
            models = ["small", "large"]
        def ask():
            return 1
    """
    with host(tmp_path) as written:
        ask = written.table("ask", "model", model=f"{written.name}:Settings.models[-1]")
        with capture(wrap=[ask]) as recorded:
            written.load(source).ask()

    assert ["large"] == [call.name for call in operations(recorded, "model")]


def test_no_switch_off_is_needed(bots):
    """With recording off nothing is hooked."""
    with contextlib.ExitStack() as stack:
        stack.callback(tachograph.shutdown)
        runtime = tachograph.init(enabled=False, wrap=[bots.table("Bot.run", "agent")])
        assert "done" == bots.load().Bot().run()
        assert {} == runtime.stats()["wraps"]
