"""The scripted server of the examples, seen through the real `openai` package and through plain HTTP."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import scripted_llm
import team_script
from scripted_llm import Bill, Reply, ScriptedLLM, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

openai = pytest.importorskip("openai")

MODEL = "gpt-4.1"
TEXT = "  Two words,\n  and then some more.\n"
CHUNKS = 9  # the role, seven pieces of TEXT and the finish reason
COUNTS = {"prompt_tokens": 120, "completion_tokens": 37, "cached_tokens": 64, "reasoning_tokens": 11}
CALLS = (ToolCall("weather", {"city": "Århus", "days": [1, 2]}), ToolCall("clock", {}))
REQUEST = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


@contextmanager
def served(
    script: Mapping[str, Sequence[Reply]] | Callable[[dict[str, Any]], Reply], *, retries: int = 0
) -> Iterator[tuple[ScriptedLLM, Callable[..., Any]]]:
    """Yield a server and a function that asks it for a chat completion."""
    with ScriptedLLM(script) as llm, openai.OpenAI(base_url=llm.base_url, api_key="-", max_retries=retries) as client:
        yield llm, lambda **options: client.chat.completions.create(**{**REQUEST, **options})


@contextmanager
def connected(llm: ScriptedLLM) -> Iterator[http.client.HTTPConnection]:
    """Yield a plain HTTP connection to the server."""
    with closing(http.client.HTTPConnection(urlsplit(llm.base_url).netloc, timeout=10)) as connection:
        yield connection


def streamed(ask: Callable[..., Any], *, include_usage: bool = True) -> list[Any]:
    """Return the chunks of a streamed answer."""
    with ask(stream=True, stream_options={"include_usage": include_usage}) as chunks:
        return list(chunks)


def counts(usage: Any) -> dict[str, int]:
    """Return a usage object's counts under the names that Reply has for them."""
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.prompt_tokens_details.cached_tokens,
        "reasoning_tokens": usage.completion_tokens_details.reasoning_tokens,
    }


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, dict[str, Any]]:
    """Return the status and the parsed body of one exchange."""
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


# -------------------------------------------------------------------------------------------------------- answers
def test_plain_answer():
    """An unstreamed answer has OpenAI's shape and says what the script says."""
    with served({MODEL: [Reply(TEXT, **COUNTS)]}) as (_, ask):
        answer = ask()
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    assert [
        (choice.message.role, choice.message.content, choice.message.tool_calls, choice.finish_reason)
        for choice in answer.choices
    ] == [("assistant", TEXT, None, "stop")]
    assert counts(answer.usage) == COUNTS


def test_streamed_answer():
    """A streamed answer comes in pieces that add up, the last of them with the finish reason."""
    with served({MODEL: [Reply(TEXT)]}) as (_, ask):
        chunks = streamed(ask, include_usage=False)
    assert {(chunk.object, chunk.id) for chunk in chunks} == {("chat.completion.chunk", chunks[0].id)}
    assert [chunk.choices[0].delta.content for chunk in chunks] == [
        *["", "  Two", " words,", "\n  and", " then", " some", " more.", "\n"],
        None,
    ]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (CHUNKS - 1) + ["stop"]


def test_every_answer_has_an_id_of_its_own():
    """No two answers share an id."""
    with served({MODEL: [Reply()] * 3}) as (_, ask):
        assert len({ask().id for _ in range(3)}) == 3


def test_plain_tool_calls():
    """Tool calls are answered with JSON arguments, without content, and with the reason they ended the answer."""
    with served({MODEL: [Reply(tool_calls=CALLS)]}) as (_, ask):
        choice = ask().choices[0]
    assert [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls] == [
        (call.name, call.arguments) for call in CALLS
    ]
    assert (choice.message.content, choice.finish_reason) == (None, "tool_calls")


def test_streamed_tool_calls():
    """Each streamed call starts with its id and name, and the fragments of its arguments add up."""
    with served({MODEL: [Reply("Let me see.", tool_calls=CALLS)]}) as (_, ask):
        choices = [chunk.choices[0] for chunk in streamed(ask, include_usage=False)]
    deltas = [call for choice in choices for call in choice.delta.tool_calls or ()]
    for index, call in enumerate(CALLS):
        first, *fragments = [delta for delta in deltas if delta.index == index]
        assert (first.id, first.type) == (f"call_{index + 1}", "function")
        assert (first.function.name, first.function.arguments) == (call.name, "")
        assert {(delta.id, delta.function.name) for delta in fragments} == {(None, None)}
        assert json.loads("".join(delta.function.arguments for delta in fragments)) == call.arguments
    assert "".join(choice.delta.content or "" for choice in choices) == "Let me see."
    assert choices[-1].finish_reason == "tool_calls"


def test_call_ids_follow_the_script():
    """Calls without an id are numbered in the order of the script, whichever model is asked first."""
    script = {"a": [Reply(tool_calls=CALLS)], "b": [Reply(tool_calls=[ToolCall("clock", {}, id="mine"), *CALLS])]}
    with served(script) as (_, ask):
        ids = {model: [call.id for call in ask(model=model).choices[0].message.tool_calls] for model in ("b", "a")}
    assert ids == {"a": ["call_1", "call_2"], "b": ["mine", "call_3", "call_4"]}


def test_arguments_as_text_are_verbatim():
    """Arguments given as text reach the client unchanged, valid JSON or not."""
    with served({MODEL: [Reply(tool_calls=[ToolCall("f", '{"half":\n ')])] * 2}) as (_, ask):
        plain = ask().choices[0].message.tool_calls[0].function.arguments
        deltas = [chunk.choices[0].delta for chunk in streamed(ask, include_usage=False)]
    fragments = [call.function.arguments for delta in deltas for call in delta.tool_calls or ()]
    assert (plain, "".join(fragments)) == ('{"half":\n ', '{"half":\n ')


def test_delays_are_kept():
    """An answer starts no sooner than `delay`, and its chunks are `chunk_delay` apart."""
    with served({MODEL: [Reply(TEXT, delay=0.2, chunk_delay=0.02)]}) as (_, ask):
        begun = time.monotonic()
        with ask(stream=True) as chunks:
            times = [time.monotonic() - begun for _ in chunks]
    assert times[0] >= 0.2
    assert times[-1] >= 0.2 + 0.02 * (CHUNKS - 1)


# ---------------------------------------------------------------------------------------------------------- usage
def test_usage_comes_last_if_asked_for():
    """As with OpenAI, only a request that asks for usage gets it, in a last chunk without choices."""
    with served({MODEL: [Reply(TEXT, **COUNTS)] * 2}) as (_, ask):
        silent = streamed(ask, include_usage=False)
        *chunks, last = streamed(ask)
    assert {chunk.usage for chunk in [*silent, *chunks]} == {None}
    assert (last.choices, counts(last.usage)) == ([], COUNTS)


def test_usage_shares_add_up():
    """With "every_chunk" each chunk, asked or not, reports what is new in it; the prompt is new in the first."""
    with served({MODEL: [Reply(TEXT, **COUNTS, usage="every_chunk")] * 2}) as (_, ask):
        for include_usage in (True, False):
            shares = [counts(chunk.usage) for chunk in streamed(ask, include_usage=include_usage)]
            assert [share["prompt_tokens"] for share in shares] == [120] + [0] * (CHUNKS - 1)
            assert {name: sum(share[name] for share in shares) for name in COUNTS} == COUNTS
            assert min(share["completion_tokens"] for share in shares) > 0


def test_usage_totals_grow():
    """With "cumulative" each chunk, asked or not, reports the total so far."""
    with served({MODEL: [Reply(TEXT, **COUNTS, usage="cumulative")] * 2}) as (_, ask):
        for include_usage in (True, False):
            totals = [counts(chunk.usage) for chunk in streamed(ask, include_usage=include_usage)]
            completion = [total["completion_tokens"] for total in totals]
            assert [total["prompt_tokens"] for total in totals] == [120] * CHUNKS
            assert completion == sorted(set(completion))
            assert totals[-1] == COUNTS


def test_usage_can_be_absent():
    """With "absent" no answer reports usage, streamed or not, and yet it is billed."""
    with served({MODEL: [Reply(TEXT, **COUNTS, usage="absent")] * 2}) as (llm, ask):
        assert not any("usage" in answer.model_fields_set for answer in [ask(), *streamed(ask)])
        assert llm.total_tokens == 2 * 157


@pytest.mark.parametrize("impossible", [{"cached_tokens": 11}, {"reasoning_tokens": 6}, {"cached_tokens": -1}])
def test_impossible_counts_are_refused(impossible):
    """No reply can have more cached than prompt tokens, more reasoning than completion tokens, or a negative count."""
    with pytest.raises(ValueError, match="part of the prompt's"):
        Reply(prompt_tokens=10, completion_tokens=5, **impossible)


# ----------------------------------------------------------------------------------------------------------- bill
def test_bill_adds_up_by_model():
    """Each model is billed exactly what its served replies declare, and the total is that of all models."""
    with served({"a": [Reply(**COUNTS), Reply(**COUNTS)], "b": [Reply(), Reply()]}) as (llm, ask):
        ask(model="a")
        streamed(lambda **options: ask(model="a", **options))
        ask(model="b")
        assert llm.bill() == {"a": Bill(2, 0, 240, 74, 128, 22), "b": Bill(1, 0, 10, 5, 0, 0)}
        assert [bill.total_tokens for bill in llm.bill().values()] == [314, 15]
        assert llm.total_tokens == 314 + 15
        assert llm.unused() == {"b": 1}


def test_hanging_up_early_costs_the_whole_answer(capfd):
    """A client that stops reading is billed in full, as providers do, and without a word on standard error."""
    with served({MODEL: [Reply(TEXT, **COUNTS, chunk_delay=0.01)]}) as (llm, ask):
        with ask(stream=True) as chunks:
            next(iter(chunks))
        assert llm.bill() == {MODEL: Bill(1, 0, **COUNTS)}
    assert capfd.readouterr().err == ""


def test_requests_are_kept():
    """The newest 1000 request bodies are kept as they came, oldest first."""
    with ScriptedLLM(lambda _: Reply()) as llm, connected(llm) as connection:
        for number in range(1003):
            exchange(connection, "POST", "/v1/chat/completions", json.dumps({"model": "m", "n": number}).encode())
        assert llm.requests == [{"model": "m", "n": number} for number in range(3, 1003)]
        assert llm.bill()["m"].requests == 1003


def test_reset_starts_over():
    """After a reset the bill and the requests are empty and the script is at its start."""
    with served({MODEL: [Reply("first"), Reply("second")]}) as (llm, ask):
        before = ask().choices[0].message.content
        llm.reset()
        assert (llm.bill(), llm.requests, llm.total_tokens, llm.unused()) == ({}, [], 0, {MODEL: 2})
        assert (before, ask().choices[0].message.content) == ("first", "first")


def test_sixteen_clients_at_once():
    """Threads that ask at once get each reply exactly once, in their own way, and the bill is exact."""
    each, models = 25, ("a", "b", "c")
    script = {
        model: [
            Reply(f"{model}{number}", prompt_tokens=number, completion_tokens=1 + number % 7)
            for number in range(16 * each)
        ]
        for model in models
    }

    def work(number: int) -> list[str]:
        got = []
        with openai.OpenAI(base_url=llm.base_url, api_key="-", max_retries=0) as client:
            for model in models * each:
                options = {**REQUEST, "model": model}
                if number % 2:
                    got.append(client.chat.completions.create(**options).choices[0].message.content)
                else:
                    with client.chat.completions.create(**options, stream=True) as chunks:
                        got.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
        return got

    with ScriptedLLM(script) as llm, ThreadPoolExecutor(16) as pool:
        got = [content for contents in pool.map(work, range(16)) for content in contents]
        bill, unused = llm.bill(), llm.unused()
    assert Counter(got) == Counter(reply.content for replies in script.values() for reply in replies)
    assert bill == {
        model: Bill(
            requests=len(replies),
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            completion_tokens=sum(reply.completion_tokens for reply in replies),
        )
        for model, replies in script.items()
    }
    assert unused == {}


# ------------------------------------------------------------------------------------------------------- failures
@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "BadRequestError", "invalid_request_error"),
        (401, "AuthenticationError", "invalid_request_error"),
        (404, "NotFoundError", "invalid_request_error"),
        (429, "RateLimitError", "requests"),
        (500, "InternalServerError", "server_error"),
        (503, "InternalServerError", "server_error"),
    ],
)
def test_error_status(status, error, kind):
    """A scripted status raises the package's own error for it, is counted as failed, and bills nothing."""
    with served({MODEL: [Reply(status=status, error="not today"), Reply(status=status), Reply("ok")]}) as (llm, ask):
        with pytest.raises(getattr(openai, error), match="not today") as caught:
            ask()
        with pytest.raises(getattr(openai, error), match=f"scripted failure {status}"):
            ask(stream=True)
        assert ask().choices[0].message.content == "ok"
        assert (caught.value.status_code, caught.value.type) == (status, kind)
        assert llm.bill() == {MODEL: Bill(3, 2, 10, 5, 0, 0)}


def test_rate_limit_is_retried_at_once():
    """A client that retries gets past a 429 without waiting, and is billed for the answer only."""
    with served({MODEL: [Reply(status=429), Reply(status=429), Reply("ok")]}, retries=2) as (llm, ask):
        begun = time.monotonic()
        assert ask().choices[0].message.content == "ok"
        assert time.monotonic() - begun < 0.3  # the package's own wait would be at least that
        assert llm.bill() == {MODEL: Bill(3, 2, 10, 5, 0, 0)}


def test_a_failure_can_be_billed():
    """`billed` overrules what the status says about the bill, either way."""
    with served({MODEL: [Reply(status=500, **COUNTS, billed=True), Reply(**COUNTS, billed=False)]}) as (llm, ask):
        with pytest.raises(openai.InternalServerError):
            ask()
        ask()
        assert llm.bill() == {MODEL: Bill(2, 1, **COUNTS)}


@pytest.mark.parametrize("sent", [0, 1, 4, CHUNKS])
def test_broken_stream(sent):
    """A stream that breaks delivers its first chunks and then an error; it counts as failed and is billed."""
    with served({MODEL: [Reply(TEXT, **COUNTS, break_after=sent), Reply("ok", billed=False)]}) as (llm, ask):
        got = []
        with pytest.raises(openai.APIConnectionError), ask(stream=True) as chunks:
            got.extend(chunks)
        assert len(got) == sent
        assert ask().choices[0].message.content == "ok"
        assert llm.bill() == {MODEL: Bill(2, 1, **COUNTS)}


def test_broken_plain_answer():
    """An unstreamed answer that breaks is a connection error, too."""
    with served({MODEL: [Reply(TEXT, break_after=1, billed=False)]}) as (llm, ask):
        with pytest.raises(openai.APIConnectionError):
            ask()
        assert llm.bill() == {MODEL: Bill(1, 1)}


@pytest.mark.parametrize("model", [MODEL, "unheard-of"])
def test_running_out_of_script(model):
    """A model without a reply left gets one HTTP 500 that names it, which no client retries."""
    with served({MODEL: []}, retries=2) as (llm, ask):
        with pytest.raises(openai.InternalServerError, match=f"no reply left for model '{model}'"):
            ask(model=model)
        assert llm.bill() == {model: Bill(1, 1)}


def test_function_as_script():
    """A function as script chooses the reply by the parsed request."""

    def answer(request: dict[str, Any]) -> Reply:
        return Reply(request["messages"][-1]["content"].upper(), tool_calls=[ToolCall("f", {})])

    with served(answer) as (llm, ask):
        messages = [ask(messages=[{"role": "user", "content": text}]).choices[0].message for text in ("a", "b")]
        assert [(message.content, message.tool_calls[0].id) for message in messages] == [
            ("A", "call_1"),
            ("B", "call_2"),
        ]
        assert llm.bill() == {MODEL: Bill(2, 0, 20, 10, 0, 0)}


def test_failing_function(caplog):
    """A function that raises answers HTTP 500, is counted as failed, and has its traceback logged."""
    with served(lambda request: request["missing"], retries=2) as (llm, ask):
        with pytest.raises(openai.InternalServerError, match="the script's function failed"):
            ask()
        assert llm.bill() == {MODEL: Bill(1, 1)}
    assert "KeyError: 'missing'" in caplog.text


# ----------------------------------------------------------------------------------------------------------- HTTP
@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions", "/v1/chat/completions?api-version=1"])
def test_paths(path):
    """Completions are served with and without the /v1 prefix."""
    with ScriptedLLM({MODEL: [Reply("ok")]}) as llm, connected(llm) as connection:
        status, answer = exchange(connection, "POST", path, json.dumps(REQUEST).encode())
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "ok")


def test_models():
    """The scripted models are listed, with and without the /v1 prefix."""
    with ScriptedLLM({"b": [], "a": []}) as llm, connected(llm) as connection:
        for path in ("/models", "/v1/models"):
            status, answer = exchange(connection, "GET", path)
            assert (status, [model["id"] for model in answer["data"]]) == (200, ["a", "b"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"\xff", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"{}", 400),
        ("POST", "/v1/chat/completions", b'{"model": ""}', 400),
        ("POST", "/v1/chat/completions", b'{"model": ["a"]}', 400),
        ("POST", "/v1/embeddings", b'{"model": "a"}', 404),
        ("GET", "/v1/chat/completions", None, 404),
        ("GET", "/", None, 404),
        ("PUT", "/v1/models", None, 501),
    ],
)
def test_bad_requests(method, path, body, status):
    """What cannot be served is refused in OpenAI's shape, leaves no trace on the bill and does no further harm."""
    with ScriptedLLM({MODEL: [Reply()]}) as llm, connected(llm) as connection:
        got, answer = exchange(connection, method, path, body)
        assert got == status
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert (llm.bill(), llm.requests) == ({}, [])
        assert exchange(connection, "POST", "/v1/chat/completions", json.dumps(REQUEST).encode())[0] == 200


def test_body_of_unknown_length():
    """A request that does not say how long its body is is refused."""
    with ScriptedLLM({}) as llm, connected(llm) as connection:
        connection.putrequest("POST", "/v1/chat/completions")
        connection.endheaders()
        assert connection.getresponse().status == 411


def test_connection_is_kept():
    """One connection serves plain, streamed and failed answers one after the other."""
    script = {MODEL: [Reply(), Reply(TEXT), Reply(status=429), Reply()]}
    with ScriptedLLM(script) as llm, connected(llm) as connection:
        connection.connect()
        socket, statuses = connection.sock, []
        for stream in (False, True, False, False):
            connection.request("POST", "/v1/chat/completions", json.dumps({**REQUEST, "stream": stream}))
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
            assert connection.sock is socket
        assert statuses == [200, 200, 429, 200]


def test_closing_leaves_nothing_behind():
    """Closing ends every thread, an idle connection's and a slow answer's too, and frees the port; twice is fine."""
    before = set(threading.enumerate())
    llm = ScriptedLLM({MODEL: [Reply(delay=60)]})
    with connected(llm) as idle, connected(llm) as waiting:
        idle.connect()
        waiting.request("POST", "/v1/chat/completions", json.dumps(REQUEST))
        while not llm.bill():
            time.sleep(0.01)
        llm.close()
        llm.close()
        assert set(threading.enumerate()) == before
        with pytest.raises(ConnectionError):
            waiting.getresponse()
    with ScriptedLLM({}, port=int(urlsplit(llm.base_url).port or 0)) as again:
        assert again.base_url == llm.base_url


# ------------------------------------------------------------------------------------------------------- the team
def test_team_uses_up_its_script(tmp_path):
    """A run of the example team asks for every scripted reply, and is billed exactly what they declare."""
    pytest.importorskip("smolagents")
    script = team_script.script()
    with ScriptedLLM(script) as llm:
        run = subprocess.run(
            [sys.executable, Path(scripted_llm.__file__).with_name("team.py")],
            env={**os.environ, "OPENAI_BASE_URL": llm.base_url, "OPENAI_API_KEY": "-"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
    answer = "Turin first: its panels pay for themselves in 4.2 years, before Lisbon (5.1) and Oslo (15.3).\n"
    assert run.stdout == answer
    assert llm.unused() == {}
    assert llm.bill() == {
        model: Bill(
            requests=len(replies),
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            completion_tokens=sum(reply.completion_tokens for reply in replies),
            cached_tokens=sum(reply.cached_tokens for reply in replies),
            reasoning_tokens=sum(reply.reasoning_tokens for reply in replies),
        )
        for model, replies in script.items()
    }
