"""An OpenAI-compatible chat server on the loopback interface whose answers are scripted.

It needs no key, no network and no package. It bills exactly the tokens its script declares, so that its bill can be
held against what an observer of the same requests has counted:

    with ScriptedLLM({"gpt-4.1": [Reply("Hello!", prompt_tokens=12, completion_tokens=3)]}) as llm:
        ...  # talk to llm.base_url with any OpenAI client
        assert llm.total_tokens == 15
"""

from __future__ import annotations

import itertools
import json
import logging
import operator
import re
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from socket import socket

    from typing_extensions import Self

    _Request = socket | tuple[bytes, socket]

Json = dict[str, Any]
Counts = tuple[int, int, int, int]  # prompt, completion, cached and reasoning tokens

_REQUESTS_KEPT = 1000
_RETRY_NOW = {"Retry-After": "0", "retry-after-ms": "1"}  # the openai package takes a lone 0 for "not given"
_NO_RETRY = {"x-should-retry": "false"}  # a header of OpenAI's own, which its clients obey


@dataclass(frozen=True)
class ToolCall:
    """A call the model asks for; `arguments` as text is sent verbatim, an empty `id` becomes call_1, call_2, …."""

    name: str
    arguments: Mapping[str, object] | str
    id: str = ""


@dataclass(frozen=True)
class Reply:
    """What the server answers to one request; delays are in seconds.

    A `status` other than 200 answers `error` in an OpenAI-shaped body. `break_after=n` drops the connection after n
    streamed chunks; an unstreamed answer is dropped before its body. `usage` says where a streamed answer reports its
    tokens: in a "last" chunk if asked to (as OpenAI does), nowhere ("absent"), or, asked or not, in every chunk, which
    holds its own share ("every_chunk": the shares add up) or the running total ("cumulative"). `billed=None` bills
    the declared tokens exactly when `status` is 200.
    """

    content: str = ""
    tool_calls: Sequence[ToolCall] = ()
    prompt_tokens: int = 10
    completion_tokens: int = 5
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    delay: float = 0.0
    chunk_delay: float = 0.0
    status: int = 200
    error: str = ""
    usage: Literal["last", "absent", "every_chunk", "cumulative"] = "last"
    break_after: int | None = None
    billed: bool | None = None

    def __post_init__(self) -> None:
        """Refuse token counts that no provider could report."""
        if not (0 <= self.cached_tokens <= self.prompt_tokens and 0 <= self.reasoning_tokens <= self.completion_tokens):
            msg = f"cached tokens must be part of the prompt's, reasoning tokens of the completion's: {self}"
            raise ValueError(msg)


@dataclass(frozen=True)
class Bill:
    """What one model was asked for and has charged; `failed` counts error answers and dropped connections."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens charged; cached ones are part of the prompt's and reasoning ones of the completion's."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, reply: Reply) -> Bill:
        """Return this bill with one more reply on it."""
        billed = reply.status == HTTPStatus.OK if reply.billed is None else reply.billed
        failed = reply.status != HTTPStatus.OK or reply.break_after is not None
        return Bill(
            self.requests + 1,
            self.failed + failed,
            self.prompt_tokens + billed * reply.prompt_tokens,
            self.completion_tokens + billed * reply.completion_tokens,
            self.cached_tokens + billed * reply.cached_tokens,
            self.reasoning_tokens + billed * reply.reasoning_tokens,
        )


class ScriptedLLM:
    """The server: it serves from construction until `close()` or the end of its `with` block.

    `script` maps a model id to its replies, served in order, or is a function of the parsed request body; the function
    is called on the request's own thread, so several calls may run at once. A reply is billed before its first byte is
    sent: a client that has its answer finds it on the bill, and one that hangs up early is charged in full.
    """

    def __init__(self, script: Mapping[str, Sequence[Reply]] | Callable[[Json], Reply], *, port: int = 0) -> None:
        """Bind 127.0.0.1 and start to serve; port 0 picks a free port."""
        self._ids = itertools.count(1)
        self._function = None if isinstance(script, Mapping) else script
        # Numbered here and not when served: the ids do not depend on the order in which models are asked.
        replies = script if isinstance(script, Mapping) else {}
        self._replies = {model: tuple(map(self._with_ids, replies[model])) for model in replies}
        self._lock = threading.Lock()
        self.reset()
        self._server = _Server(port, self._take, sorted(self._replies))
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        # close() waits for the next poll, by default up to half a second.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the running server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the server."""
        self.close()

    def close(self) -> None:
        """Drop all connections and wait for every thread of the server to end; may be called again."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset(self) -> None:
        """Empty the bill and the requests, and rewind the script to its start."""
        with self._lock:
            self._bills: dict[str, Bill] = {}
            self._served: Counter[str] = Counter()
            self._requests: deque[Json] = deque(maxlen=_REQUESTS_KEPT)

    def bill(self) -> dict[str, Bill]:
        """Return the bill of each model that a request has named."""
        with self._lock:
            return dict(self._bills)

    def unused(self) -> dict[str, int]:
        """Return how many scripted replies are left to each model that has any left."""
        with self._lock:
            left = {model: len(replies) - self._served[model] for model, replies in self._replies.items()}
        return {model: count for model, count in left.items() if count}

    @property
    def total_tokens(self) -> int:
        """Tokens charged to all models together."""
        return sum(bill.total_tokens for bill in self.bill().values())

    @property
    def requests(self) -> list[Json]:
        """The newest 1000 request bodies that named a model, oldest first."""
        with self._lock:
            return list(self._requests)

    def _with_ids(self, reply: Reply) -> Reply:
        calls = [call if call.id else replace(call, id=f"call_{next(self._ids)}") for call in reply.tool_calls]
        return replace(reply, tool_calls=calls)

    def _take(self, request: Json) -> Reply:
        """Return the reply to a request, entered on the bill."""
        model, reply = request["model"], None
        if self._function is not None:
            try:
                reply = self._with_ids(self._function(request))
            except Exception:
                logging.getLogger(__name__).exception("the script's function failed")
                reply = _Unscripted(status=500, error=f"the script's function failed for model {model!r}")
        with self._lock:  # one step, so that the n-th request kept is the one that gets the n-th reply
            reply = reply or self._next(model)
            self._requests.append(request)
            self._bills[model] = self._bills.get(model, Bill()).plus(reply)
        return reply

    def _next(self, model: str) -> Reply:
        replies, served = self._replies.get(model, ()), self._served[model]
        if served == len(replies):
            return _Unscripted(status=500, error=f"the script has no reply left for model {model!r} after {served}")
        self._served[model] += 1
        return replies[served]


class _Unscripted(Reply):
    """An error of the script itself, which no retry would mend."""


class _Server(ThreadingHTTPServer):
    """Keeps hold of its connections and their threads, so that closing leaves neither behind."""

    request_queue_size = 128  # the default of 5 delays a burst of connections by a second

    def __init__(self, port: int, take: Callable[[Json], Reply], models: Sequence[str]) -> None:
        self.take, self.models, self.ids = take, models, itertools.count(1)
        self._closing = threading.Event()
        self._open: dict[threading.Thread, Any] = {}  # the connection that each thread serves
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own looks the host name up, which can take seconds
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def process_request(self, request: _Request, client_address: object) -> None:
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._open = {old: connection for old, connection in self._open.items() if old.is_alive()} | {thread: request}
        thread.start()

    def handle_error(self, request: _Request, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up when it likes
            super().handle_error(request, client_address)

    def pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise ConnectionAbortedError

    def server_close(self) -> None:
        super().server_close()
        self._closing.set()
        for thread, connection in self._open.items():
            with suppress(OSError):  # already closed
                connection.shutdown(SHUT_RDWR)
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is several writes, between which Nagle's algorithm could wait 40 ms
    server: _Server

    def do_GET(self) -> None:
        if self._route() == "/models":
            models = [{"id": model, "object": "model", "created": 0, "owned_by": "-"} for model in self.server.models]
            self._send(200, {"object": "list", "data": models})
        else:
            self._fail(404, f"Invalid URL (GET {self.path})")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.send_error(411)
            return
        try:
            request = json.loads(self.rfile.read(int(length)))
        except ValueError:
            request = None
        if self._route() != "/chat/completions":
            self._fail(404, f"Invalid URL (POST {self.path})")
        elif not isinstance(request, dict):
            self._fail(400, "The body is not a JSON object.")
        elif not (isinstance(request.get("model"), str) and request["model"]):
            self._fail(400, "The body names no model.")
        else:
            self._answer(request, self.server.take(request))

    def _answer(self, request: Json, reply: Reply) -> None:
        self.server.pause(reply.delay)
        head = {"id": f"chatcmpl-{next(self.server.ids):08}", "created": int(time.time()), "model": request["model"]}
        if isinstance(reply, _Unscripted):
            self._fail(reply.status, reply.error, _NO_RETRY)
        elif reply.status != HTTPStatus.OK:
            headers = _RETRY_NOW if reply.status == HTTPStatus.TOO_MANY_REQUESTS else None
            self._fail(reply.status, reply.error or f"scripted failure {reply.status}", headers)
        elif request.get("stream"):
            options = request.get("stream_options")
            asked = isinstance(options, dict) and bool(options.get("include_usage"))
            self._stream(reply, _chunks(reply, head, asked=asked))
        else:
            self._send(200, _completion(reply, head), dropped=reply.break_after is not None)

    def log_message(self, *_: object) -> None:
        pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        # What http.server refuses by itself, such as an unknown method, gets the same shape of body.
        self._fail(code, message or explain or HTTPStatus(code).phrase, {"Connection": "close"})

    def _route(self) -> str:
        return urlsplit(self.path).path.removeprefix("/v1")

    def _fail(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        code = "rate_limit_exceeded" if status == HTTPStatus.TOO_MANY_REQUESTS else None
        error = {"message": message, "type": "requests" if code else kind, "param": None, "code": code}
        self._send(status, {"error": error}, headers)

    def _send(
        self, status: int, body: Json, headers: Mapping[str, str] | None = None, *, dropped: bool = False
    ) -> None:
        data = json.dumps(body).encode()
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})})
        if dropped:
            self.close_connection = True
        else:
            self.wfile.write(data)

    def _stream(self, reply: Reply, chunks: list[Json]) -> None:
        self._head(HTTPStatus.OK, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for sent, chunk in enumerate(chunks[: reply.break_after]):
            if sent:
                self.server.pause(reply.chunk_delay)
            self._event(json.dumps(chunk))
        if reply.break_after is None:
            self._event("[DONE]", end=b"0\r\n\r\n")
        else:
            self.close_connection = True  # without the empty last chunk of HTTP: the client sees the loss

    def _event(self, data: str, end: bytes = b"") -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n%b" % (len(event), event, end))

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _usage(reply: Reply, done: int = 1, of: int = 1) -> Counts:
    """Return what `reply` has used after `done` of its `of` chunks: prompt and reasoning come before the first."""
    if not done:
        return 0, 0, 0, 0
    written = (reply.completion_tokens - reply.reasoning_tokens) * done // of
    return reply.prompt_tokens, reply.reasoning_tokens + written, reply.cached_tokens, reply.reasoning_tokens


def _usage_body(counts: Iterable[int]) -> Json:
    prompt, completion, cached, reasoning = counts
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def _choice(reply: Reply, key: str, message: Json, *, last: bool = True) -> Json:
    finish = ("tool_calls" if reply.tool_calls else "stop") if last else None
    return {"index": 0, key: message, "logprobs": None, "finish_reason": finish}


def _call(call: ToolCall, arguments: str) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _arguments(call: ToolCall) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)


def _completion(reply: Reply, head: Json) -> Json:
    """Return the body of an answer that is not streamed."""
    message: Json = {"role": "assistant", "content": reply.content, "refusal": None}
    if reply.tool_calls:
        message["content"] = reply.content or None
        message["tool_calls"] = [_call(call, _arguments(call)) for call in reply.tool_calls]
    usage = {} if reply.usage == "absent" else {"usage": _usage_body(_usage(reply))}
    return {**head, "object": "chat.completion", "choices": [_choice(reply, "message", message)], **usage}


def _deltas(reply: Reply) -> list[Json]:
    """Split a reply as OpenAI streams it: the role, the text by words, each call's name and then its arguments."""
    deltas: list[Json] = [{"role": "assistant", "content": None if reply.tool_calls else "", "refusal": None}]
    deltas += [{"content": text} for text in re.findall(r"\s*\S+|\s+", reply.content)]
    for index, call in enumerate(reply.tool_calls):
        deltas.append({"tool_calls": [{"index": index, **_call(call, "")}]})
        for text in re.findall(r"(?s).{1,12}", _arguments(call)):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
    return [*deltas, {}]


def _chunks(reply: Reply, head: Json, *, asked: bool) -> list[Json]:
    """Return the streamed chunks of a reply; `asked` tells whether the request wants its usage."""
    head = {**head, "object": "chat.completion.chunk"}
    deltas = _deltas(reply)
    chunks: list[Json] = []
    for done, delta in enumerate(deltas, 1):
        chunk = {**head, "choices": [_choice(reply, "delta", delta, last=done == len(deltas))]}
        total, before = _usage(reply, done, len(deltas)), _usage(reply, done - 1, len(deltas))
        if reply.usage == "cumulative":
            chunk["usage"] = _usage_body(total)
        elif reply.usage == "every_chunk":
            chunk["usage"] = _usage_body(map(operator.sub, total, before))
        elif reply.usage == "last" and asked:
            chunk["usage"] = None
        chunks.append(chunk)
    if reply.usage == "last" and asked:
        chunks.append({**head, "choices": [], "usage": _usage_body(_usage(reply))})
    return chunks


if __name__ == "__main__":
    from team_script import script

    # Enough for a thousand runs of the example against one server.
    with ScriptedLLM({model: replies * 1000 for model, replies in script().items()}, port=int(sys.argv[1])) as server:
        print(server.base_url, flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
