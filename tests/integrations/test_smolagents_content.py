"""Content of smolagents programs: nowhere while it is not captured; where it belongs, and bounded, when it is."""

from __future__ import annotations

import collections
import dataclasses
import functools
import gc
import json
import logging
import types
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from smolagents import OpenAIModel, Tool
from smolagents.models import ChatMessage, ChatMessageStreamDelta, MessageRole
from smolagents.utils import AgentGenerationError

from scripted_llm import Reply, ScriptedLLM, ToolCall
from support.agents import Lookup, Say, ScriptedModel, answer, caller, code, coder
from tachograph import names
from tachograph.clip import CUT_BESIDES
from tachograph.summary import session_summary
from tachograph.testing import Capture, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

# One for each place where a program has something of its own. Made so that no masking takes it for a secret.
CANARIES = {
    place: f"canaryof{place}"
    for place in (
        "task",
        "extra",
        "system",
        "argument",
        "result",
        "failure",
        "refused",
        "description",
        "answer",
        "streamed",
        "abandoned",
        "code",
        "printed",
        "plan",
        "outage",
        "image",
        "link",
        "dict",
    )
}


class Echo(Tool):
    """Gives back more than it was given."""

    name = "echo"
    description = f"Echoes. {CANARIES['description']}"
    inputs = {"word": {"type": "string", "description": CANARIES["description"]}}  # noqa: RUF012 - the framework's way
    output_type = "string"

    def forward(self, word: str) -> str:
        if word == "fail":
            raise LookupError(CANARIES["failure"])
        return f"{word} {CANARIES['result']}"


def work() -> None:
    """Agents of every kind, whose every word is one to look for."""
    c = CANARIES
    caller(
        Say(calls=(("echo", {"word": c["argument"]}), ("echo", {"word": "fail"}))),
        Say(calls=(("echo", {"unknown": c["refused"]}),)),
        answer(c["answer"]),
        tools=[Echo()],
        name="calls",
        instructions=c["system"],
    ).run(c["task"], additional_args={"more": c["extra"]}, images=[Image.new("RGB", (2, 2))])
    coder(
        Say(text=c["plan"]),
        code(f"said = echo('{c['code']}')\nprint('{c['printed']}'[:99])\nfinal_answer(said)"),
        tools=[Echo()],
        planning_interval=3,
        name="codes",
    ).run("go")
    list(caller(Say(text=c["streamed"]), answer("done"), tools=[Echo()], stream_outputs=True).run("go", stream=True))
    stream = ScriptedModel(Say(text=f"{c['abandoned']} and more")).generate_stream([])
    next(stream)
    stream.close()
    with pytest.raises(AgentGenerationError):
        caller(ConnectionError(c["outage"])).run("go")
    ScriptedModel(Say(text="a picture")).generate(
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": c["dict"]},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{c['image']}"}},
                    {"type": "image_url", "image_url": {"url": f"https://pictures.example/{c['link']}"}},
                ],
            }
        ]
    )


def strings(root: Any) -> Iterator[str]:
    """Every text and byte string that a thing holds, however deep; classes, code and modules are not its own."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, (type, types.ModuleType, types.FunctionType, types.CodeType)):
            continue
        seen.add(id(thing))
        if isinstance(thing, (str, bytes)):
            yield thing if isinstance(thing, str) else thing.decode("latin-1")
        todo += gc.get_referents(thing)
        if isinstance(thing, (dict, collections.OrderedDict)):
            todo += [*thing.keys(), *thing.values()]  # the collector leaves out what can be in no circle
        elif isinstance(thing, (list, tuple, set, frozenset, collections.deque)):
            todo += [*thing]
        elif dataclasses.is_dataclass(thing):
            todo += [getattr(thing, field.name) for field in dataclasses.fields(thing)]


def told(captured: Capture) -> dict[str, list[str]]:
    """Everything that can be read or leaves, by where it is, as texts."""
    ledger = captured.ledger
    views = [
        ledger.total().to_dict(),
        ledger.metrics().to_dict(),
        *(ledger.session_metrics(session).to_dict() for session in ledger.sessions()),
    ]
    return {
        "spans": [span.to_json() for span in captured.spans],
        "metrics": [f"{name} {attributes} {point}" for name, attributes, point in captured.points()],
        "logs": [log.to_json() for log in captured.logs],
        "ledger": [*strings(ledger)],
        "from spans": [*strings(captured.spans_only)],
        "views": [json.dumps(view) for view in views],
        "audit": [json.dumps(ledger.audit_log())],
        "timeline": [str(ledger.timeline()), repr(ledger.timeline())],
        "summary": [session_summary(ledger.total()), repr(captured.runtime.stats())],
    }


def places(captured: Capture, canary: str) -> set[str]:
    """The writings in which a word is found."""
    return {place for place, texts in told(captured).items() if any(canary in text for text in texts)}


# --------------------------------------------------------------------------------------------------------------- off
def test_nothing_is_taken_while_content_is_not_captured(caplog: pytest.LogCaptureFixture) -> None:
    """No word of a program is in a span, metric, log event, ledger, view, summary or log line."""
    caplog.set_level(logging.DEBUG)
    with capture(capture_errors="type") as captured:
        work()

        assert {} == {place: found for place, canary in CANARIES.items() if (found := places(captured, canary))}
    assert not [record for record in caplog.records if "canaryof" in record.getMessage() + str(record.exc_text)]


def test_errors_texts_are_a_setting_of_their_own() -> None:
    """What exceptions say is kept where their capture is on, which it is by default; other content is not."""
    with capture() as captured:
        work()

    assert {"failure", "outage", "argument", "refused"} >= {
        place for place, canary in CANARIES.items() if places(captured, canary)
    }
    assert places(captured, CANARIES["outage"])


class Untouchable:
    """Content that may not be looked at."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return Untouchable
        raise AssertionError(name)

    __str__ = __repr__ = __iter__ = __len__ = __bool__ = __eq__ = lambda self, *_: self.touched
    __hash__ = None


class Keeper(Tool):
    name = "keeper"
    description = "Keeps."
    inputs = {"thing": {"type": "any", "description": "a thing"}}  # noqa: RUF012 - the framework's way
    output_type = "any"

    def forward(self, thing: Any) -> Any:
        return [thing]


@pytest.mark.parametrize("where", ["no_content", "span_and_event"])
def test_a_value_that_may_not_be_touched_is_not(where: str) -> None:
    """Arguments and results are not asked for anything, captured or not; captured, they are named by their type."""
    with capture(capture_content=where) as captured:
        assert type(Keeper()(Untouchable())[0]) is Untouchable

    shown = captured.spans[0].attributes.get(names.TOOL_ARGUMENTS)
    assert (None if where == "no_content" else '{"thing":"<Untouchable>"}') == shown


# ---------------------------------------------------------------------------------------------------------------- on
IN_MESSAGES = {("chat", names.INPUT_MESSAGES), ("chat", names.OUTPUT_MESSAGES)}
SAID = {("chat", names.OUTPUT_MESSAGES)}
SENT = {("chat", names.INPUT_MESSAGES)}
AGENT_IN, AGENT_OUT = ("invoke_agent", names.INPUT_MESSAGES), ("invoke_agent", names.OUTPUT_MESSAGES)
TOOL_IN, TOOL_OUT = ("execute_tool", names.TOOL_ARGUMENTS), ("execute_tool", names.TOOL_RESULT)
CODE_IN, CODE_OUT = ("code", names.TOOL_ARGUMENTS), ("code", names.TOOL_RESULT)
EXPECTED = {
    "task": SENT | {AGENT_IN},
    "extra": SENT | {AGENT_IN},
    "system": SENT | {("invoke_agent", names.SYSTEM_INSTRUCTIONS)},
    "argument": SAID | {TOOL_IN, TOOL_OUT},
    "result": {TOOL_IN, TOOL_OUT, AGENT_OUT, CODE_OUT},
    "failure": SENT,
    "refused": SAID | {("refused", names.TOOL_ARGUMENTS)},
    "description": SENT
    | {
        ("chat", names.TOOL_DEFINITIONS),
        ("execute_tool", names.TOOL_DESCRIPTION),
        ("invoke_agent", names.SYSTEM_INSTRUCTIONS),
    },
    "answer": SAID | {TOOL_IN, TOOL_OUT, AGENT_OUT},
    "streamed": IN_MESSAGES,
    "abandoned": SAID,
    "code": SAID | {CODE_IN, TOOL_IN, TOOL_OUT, CODE_OUT, AGENT_OUT},
    "printed": SAID | {CODE_IN, CODE_OUT},
    "plan": IN_MESSAGES,
    "outage": set(),
    "image": set(),
    "link": SENT,
    "dict": SENT,
}


def attributes_with(captured: Capture, canary: str) -> set[tuple[str, str]]:
    """Kind of span and attribute of every occurrence of a word on spans."""
    found = set()
    for span in captured.spans:
        kind = span.attributes.get(names.OPERATION_NAME) or span.attributes[names.KIND]
        kind = "refused" if span.name == "refused_tool" else kind
        found |= {(kind, name) for name, value in span.attributes.items() if canary in str(value)}
    return found


@pytest.mark.parametrize("canary", CANARIES)
def test_what_is_captured_is_where_it_belongs(canary: str, worked: Capture) -> None:
    """Each word of the program is in the attributes the conventions have for it, and in no other."""
    assert EXPECTED[canary] == attributes_with(worked, CANARIES[canary])


@pytest.fixture(scope="module")
def worked() -> Capture:
    """The program's work, captured on spans and events."""
    with capture(capture_content="span_and_event", capture_errors="type", max_content=100_000) as captured:
        work()
    return captured


WHERE = {
    "span_only": {"spans", "from spans"},
    "event_only": {"logs"},
    "span_and_event": {"spans", "from spans", "logs"},
}


@pytest.mark.parametrize("where", WHERE)
def test_content_goes_where_the_setting_says(where: str) -> None:
    """Onto spans, into log events, or both; into the local ledger in any case, never into metrics or the summary."""
    with capture(capture_content=where) as captured:
        ScriptedModel(Say(text=CANARIES["answer"])).generate([ChatMessage(MessageRole.USER, CANARIES["task"])])

        for canary in (CANARIES["task"], CANARIES["answer"]):
            assert places(captured, canary) == WHERE[where] | {"ledger", "views", "audit"}


def test_the_event_has_the_calls_facts_and_its_content_structured(captured_both: Capture) -> None:
    """A model call's log event says what its span says, with messages as values rather than as JSON."""
    ScriptedModel(Say(text="hello")).generate([ChatMessage(MessageRole.USER, "hi")])

    (span,), (log,) = captured_both.spans, captured_both.logs
    event, facts = log.log_record, dict(span.attributes)
    assert (names.MODEL_DETAILS, 5) == (event.event_name, event.severity_number.value)
    assert (span.context.trace_id, span.context.span_id) == (event.trace_id, event.span_id)
    structured = json.loads(json.dumps({**event.attributes}, default=dict))
    for name in (names.INPUT_MESSAGES, names.OUTPUT_MESSAGES):
        facts[name] = json.loads(facts[name])
    assert facts == structured
    assert [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}] == structured[names.INPUT_MESSAGES]


@pytest.fixture
def captured_both() -> Iterator[Capture]:
    with capture(capture_content="span_and_event") as captured:
        yield captured


def content_of(captured: Capture, kind: str, name: str) -> list[Any]:
    """One attribute of every span of a kind, as values."""
    return [
        json.loads(span.attributes[name])
        for span in captured.spans
        if span.attributes.get(names.OPERATION_NAME) == kind and name in span.attributes
    ]


# -------------------------------------------------------------------------------------------------------- its shapes
def test_every_shape_of_a_message_is_read(captured_both: Capture) -> None:
    """ChatMessage or dict, text or parts, roles as words or as the framework's, calls and observations."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
    ScriptedModel(Say(text="fine")).generate(
        [
            {"role": "system", "content": "rules"},
            ChatMessage(MessageRole.USER, [{"type": "text", "text": "see"}, {"type": "image", "image": object()}]),
            ChatMessage(MessageRole.ASSISTANT, None, tool_calls=[call]),
            {"role": MessageRole.ASSISTANT, "content": "", "tool_calls": [call]},
            ChatMessage(MessageRole.TOOL_CALL, [{"type": "text", "text": "Calling look"}]),
            ChatMessage(MessageRole.TOOL_RESPONSE, [{"type": "text", "text": "blue"}]),
            {"role": "user", "content": [{"type": "audio", "audio": b"x"}, {"type": "novel", "data": 1}]},
            object(),
        ]
    )

    asked = {"type": "tool_call", "name": "look", "arguments": {"at": "sky"}, "id": "call_1"}
    blob = {"type": "blob", "modality": "image", "content": "", "omitted": True}
    assert content_of(captured_both, "chat", names.INPUT_MESSAGES) == [
        [
            {"role": "system", "parts": [{"type": "text", "content": "rules"}]},
            {"role": "user", "parts": [{"type": "text", "content": "see"}, blob]},
            {"role": "assistant", "parts": [asked]},
            {"role": "assistant", "parts": [asked]},
            {"role": "assistant", "parts": [{"type": "text", "content": "Calling look"}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "response": "blue"}]},
            {"role": "user", "parts": [{**blob, "modality": "audio"}, {"type": "novel", "omitted": True}]},
            {"role": "NoneType", "parts": []},
        ]
    ]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_real_clients_answer_is_the_output_message(captured_both: Capture, streaming: bool) -> None:  # noqa: FBT001
    """Text, tool calls with their arguments parsed and the finish reason, as the provider gave them."""
    reply = Reply(content="let me see", tool_calls=[ToolCall("look", {"at": "sky"}), ToolCall("look", "{broken")])
    with ScriptedLLM({"gpt": [reply]}) as server:
        model = OpenAIModel("gpt", api_base=server.base_url, api_key="-")
        sent = [ChatMessage(MessageRole.USER, "what colour?")]
        collections.deque(model.generate_stream(sent) if streaming else [model.generate(sent)], maxlen=0)

    ((message,),) = content_of(captured_both, "chat", names.OUTPUT_MESSAGES)
    words, *calls = message["parts"]
    assert ("assistant", "tool_calls") == (message["role"], message["finish_reason"])
    assert {"type": "text", "content": "let me see"} == words
    assert [("look", {"at": "sky"}), ("look", "{broken")] == [(call["name"], call["arguments"]) for call in calls]
    assert all(call["id"] for call in calls)


def test_a_stream_says_what_was_taken(captured_both: Capture) -> None:
    """Of a stream that the program leaves, that breaks, or that nobody begins, the message is what had come."""
    left = ScriptedModel(Say(text="one two three")).generate_stream([])
    next(left)
    next(left)
    left.close()
    broken = ScriptedModel(Say(text="four five", break_after=ConnectionError())).generate_stream([])
    with pytest.raises(ConnectionError):
        list(broken)
    ScriptedModel(Say(text="six")).generate_stream([]).close()

    said = content_of(captured_both, "chat", names.OUTPUT_MESSAGES)
    assert ["one two ", "four "] == [message["parts"][0]["content"] for (message,) in said]
    assert 3 == len(captured_both.spans)


def test_a_stream_is_kept_within_bounds() -> None:
    """However much streams by, what is held of it has a bound, and the message says how much is gone."""

    class Endless(ScriptedModel):
        def generate_stream(self, messages, *_: Any, **__: Any):
            for _ in range(2_000):
                yield ChatMessageStreamDelta(content="x" * 1_000)

    with capture(capture_content="span_only", max_content=1_000) as captured:
        stream = Endless().generate_stream([])
        collections.deque((next(stream) for _ in range(1_999)), maxlen=0)
        (live,) = captured.runtime.recorder.open("model")
        held = sum(map(len, live.data.said._text._parts))
        collections.deque(stream, maxlen=0)

    assert held <= 1_000 + CUT_BESIDES
    ((message,),) = content_of(captured, "chat", names.OUTPUT_MESSAGES)
    text = message["parts"][0]["content"]
    assert text.endswith(f"… [{2_000_000 - text.index('…')} more characters]")


def test_an_agents_task_and_answer(captured_both: Capture) -> None:
    """An agent run has its task and images as input, its answer as output, and its system prompt."""
    caller(answer({"n": 4}), name="agent").run(
        "count", images=[Image.new("RGB", (2, 2))], additional_args={"from": [1]}
    )

    ((task,),) = content_of(captured_both, "invoke_agent", names.INPUT_MESSAGES)
    assert "user" == task["role"]
    assert [
        {"type": "text", "content": "count"},
        {"type": "blob", "modality": "image", "content": "", "omitted": True},
        {"type": "additional_args", "content": {"from": [1]}},
    ] == task["parts"]
    ((said,),) = content_of(captured_both, "invoke_agent", names.OUTPUT_MESSAGES)
    assert {"role": "assistant", "parts": [{"type": "text", "content": '{"n":4}'}]} == said
    ((prompt,),) = content_of(captured_both, "invoke_agent", names.SYSTEM_INSTRUCTIONS)
    assert prompt["content"].startswith("You are an expert assistant")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_managed_agents_task_and_answer(captured_both: Capture, streaming: bool) -> None:  # noqa: FBT001
    """An agent that another calls has what it was asked and what it answered, streamed or not."""
    worker = caller(answer("found"), name="worker", description="works", stream_outputs=streaming)
    boss = caller(Say(calls=(("worker", {"task": "look"}),)), answer("done"), managed_agents=[worker], name="boss")
    result = boss.run("go", stream=streaming)
    collections.deque(result if streaming else (), maxlen=0)

    said = content_of(captured_both, "invoke_agent", names.OUTPUT_MESSAGES)
    assert ["found", "done"] == [message["parts"][0]["content"] for (message,) in said]
    assert "look" in content_of(captured_both, "invoke_agent", names.INPUT_MESSAGES)[0][0]["parts"][0]["content"]


def test_a_foreign_managed_agents_task_and_answer(captured_both: Capture) -> None:
    """Of a managed agent that is no smolagents agent the task and the answer are known."""

    class Foreign:
        name, description = "foreign", "answers"
        inputs = {"task": {"type": "string", "description": "what"}}  # noqa: RUF012
        output_type = "string"

        def __call__(self, task: str, **_: Any) -> str:
            return f"{task}: yes"

    caller(Say(calls=(("foreign", {"task": "really?"}),)), answer(), managed_agents=[Foreign()], name="boss").run("go")

    (asked,), _ = content_of(captured_both, "invoke_agent", names.INPUT_MESSAGES)
    (said,), _ = content_of(captured_both, "invoke_agent", names.OUTPUT_MESSAGES)
    assert ("really?", "really?: yes") == tuple(message["parts"][0]["content"] for message in (asked, said))


CALLS = {
    "by position": lambda tool: tool("a"),
    "by name": lambda tool: tool(key="a"),
    "as a dict": lambda tool: tool({"key": "a"}),
    "by position and name": lambda tool: tool("a", sanitize_inputs_outputs=True),
    "sanitized": lambda tool: tool(key="a", sanitize_inputs_outputs=True),
}


@pytest.mark.parametrize("way", CALLS)
def test_a_tools_arguments_have_their_names(captured_both: Capture, way: str) -> None:
    """However arguments are passed, they are a table by name, and the result is one too."""
    assert "value of a" == CALLS[way](Lookup())

    assert [{"key": "a"}] == content_of(captured_both, "execute_tool", names.TOOL_ARGUMENTS)
    assert [{"result": "value of a"}] == content_of(captured_both, "execute_tool", names.TOOL_RESULT)


def test_a_dict_that_is_one_argument_is_one(captured_both: Capture) -> None:
    """A lone dict is the arguments only where its keys are theirs; otherwise it is the first of them."""
    Keeper()({"nothing": 1})

    assert [{"thing": {"nothing": 1}}] == content_of(captured_both, "execute_tool", names.TOOL_ARGUMENTS)


def test_a_failed_call_has_arguments_and_no_result(captured_both: Capture) -> None:
    """What a tool or a model was given is known when it fails; what it gave is not made up."""
    with pytest.raises(LookupError):
        Lookup()(key="broken")
    with pytest.raises(ConnectionError):
        ScriptedModel(ConnectionError()).generate([ChatMessage(MessageRole.USER, "hi")])

    tool, model = captured_both.spans
    assert names.TOOL_ARGUMENTS in tool.attributes
    assert names.INPUT_MESSAGES in model.attributes
    assert not {names.TOOL_RESULT, names.OUTPUT_MESSAGES} & {*tool.attributes, *model.attributes}


def test_the_views_show_it(captured_both: Capture) -> None:
    """Audit log and list of requests have the content beside the facts it belongs to."""
    caller(Say(calls=(("lookup", {"key": "a"}),)), answer("done"), tools=[Lookup()], name="agent").run("go")

    def first(event_type: str) -> dict[str, Any]:
        return captured_both.ledger.audit_log(event_type=event_type)[0]

    assert "go" == first("agent_processing_started")["input_messages"][0]["parts"][0]["content"]
    assert "done" == first("agent_processing_completed")["output_messages"][0]["parts"][0]["content"]
    assert {"key": "a"} == first("tool_execution_requested")["arguments"]
    assert {"result": "value of a"} == first("tool_execution_completed")["result"]
    assert "system" == first("llm_request_started")["input_messages"][0]["role"]
    assert "lookup" == first("llm_request_started")["tool_definitions"][0]["name"]
    assert "tool_call" == first("llm_request_completed")["output_messages"][0]["parts"][0]["type"]
    assert all({"input_messages", "output_messages"} <= row.keys() for row in captured_both.ledger.total().requests)


# -------------------------------------------------------------------------------------------------------- its bounds
def steps(count: int) -> list[Say]:
    return [*(Say(text=f"step {n}", calls=(("lookup", {"key": f"{n} {'k' * 200}"}),)) for n in range(count)), answer()]


@functools.cache
def sizes(count: int) -> tuple[int, int]:
    """Characters of content in the ledger and on the largest attribute, for a run of so many steps."""
    with capture(capture_content="span_only", max_content=1_000_000) as captured:
        caller(*steps(count), tools=[Lookup()], max_steps=count + 1).run("go")
        records = [record for record in captured.ledger._records() if getattr(record, "kind", "") == "model"]
        kept = sum(len(record.attributes[names.INPUT_MESSAGES]) for record in records)
        sent = sum(len(span.attributes.get(names.INPUT_MESSAGES, "")) for span in captured.spans)
    return kept, sent


def test_the_ledger_grows_with_the_steps() -> None:
    """Four times the steps are four times the content kept, though the framework sends all of it with each call."""
    (few, few_sent), (many, many_sent) = sizes(50), sizes(200)

    assert 2.5 * few < many < 4.5 * few
    assert many_sent > 10 * few_sent, "the program does not resend its memory, so this proves nothing"


def test_every_message_of_a_run_is_in_the_ledger_once() -> None:
    """What is sent again is left out and counted, so that all calls together have each message once."""
    with capture(capture_content="span_only", max_content=1_000_000) as captured:
        caller(*steps(20), tools=[Lookup()], max_steps=21).run("go")

    requests = captured.ledger.total().requests
    texts = [json.dumps(message) for request in requests for message in request["input_messages"]]
    observed = [n for n in range(20) for text in texts if f"value of {n} k" in text]
    assert [*range(20)] == observed
    assert 1 == sum("New task" in text for text in texts)
    assert 20 == sum('"omitted"' in text for text in texts)
    started = captured.ledger.audit_log(event_type="llm_request_started")
    assert [True] + 20 * [False] == ["tool_definitions" in entry for entry in started]


def test_spans_stay_within_the_bound() -> None:
    """No attribute is longer than the setting says, each is valid JSON, and the newest message is among them."""
    with capture(capture_content="span_and_event", max_content=1_000) as captured:
        caller(*steps(30), tools=[Lookup()], max_steps=31).run("go " + "x" * 50_000)

    written = [
        (name, value)
        for span in captured.spans
        for name, value in span.attributes.items()
        if type(value) is str and value[:1] in ("[", "{")
    ]
    assert 150 < len(written)
    assert all(len(value) <= 1_000 and json.loads(value) for _, value in written)
    last = content_of(captured, "chat", names.INPUT_MESSAGES)[-1]
    assert "value of 29" in json.dumps(last[-1])
    assert "omitted" == last[0]["role"]
    assert all(
        len(json.dumps(log.log_record.attributes[names.INPUT_MESSAGES], default=dict)) < 1_500
        for log in captured.logs
        if log.log_record.event_name == names.MODEL_DETAILS
    )


def test_secrets_are_masked_everywhere(captured_both: Capture) -> None:
    """What looks like a credential is in no writing."""
    caller(Say(calls=(("lookup", {"key": "Bearer Zq7Zq7Zq7Zq7"}),)), answer({"password": "Zq7"}), tools=[Lookup()]).run(
        "use sk-Zq7Zq7Zq7Zq7", additional_args={"api_key": "Zq7"}
    )

    assert set() == places(captured_both, "Zq7")
    assert places(captured_both, "[redacted]") >= {"spans", "logs", "ledger", "audit"}


class Broken(ScriptedModel):
    """Its messages cannot be read."""

    def generate(self, messages, *_: Any, **__: Any):
        class Message:
            token_usage = raw = None

            def __getattr__(self, name: str) -> Any:
                raise ValueError(name)

        return Message()


def test_what_cannot_be_read_costs_the_content_and_nothing_else() -> None:
    """A message that raises when looked at has no content; the call is counted and given back as ever."""
    with capture(strict=False, capture_content="span_and_event") as captured:
        message = Broken().generate([ChatMessage(MessageRole.USER, "hi")])

    assert "Message" == type(message).__name__
    assert 1 == captured.ledger.total().successful_requests
    assert [["user"]] == [[m["role"] for m in sent] for sent in content_of(captured, "chat", names.INPUT_MESSAGES)]
    assert [] == content_of(captured, "chat", names.OUTPUT_MESSAGES)


def test_generators_are_the_programs(captured_both: Capture) -> None:
    """A tool's generator comes back unconsumed, named by its type."""
    kept = Keeper()(n for n in (1, 2))

    assert [1, 2] == list(kept[0])
    assert [{"result": ["<generator>"]}] == content_of(captured_both, "execute_tool", names.TOOL_RESULT)
    assert [{"thing": "<generator>"}] == content_of(captured_both, "execute_tool", names.TOOL_ARGUMENTS)
