"""A server of Anthropic's Messages API on the loopback interface whose answers are scripted."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self


@dataclass(frozen=True)
class Message:
    """What the server answers to one request; cached tokens come on top of the input's, as this API has it."""

    text: str = "hello"
    tool: str = ""
    input_tokens: int = 10
    output_tokens: int = 5
    cached_tokens: int = 0
    status: int = 200


class ScriptedMessages:
    """The server: it answers in the order of its script, and bills what it declares."""

    def __init__(self, script: Iterable[Message]) -> None:
        self.bill: Counter[str] = Counter()
        replies = deque(script)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server._answer(self, request, replies.popleft())

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler, request: dict[str, Any], reply: Message) -> None:
        self.bill["requests"] += 1
        if reply.status != HTTPStatus.OK:
            self.bill["failed"] += 1
            error = {"type": "error", "error": {"type": "invalid_request_error", "message": "scripted"}}
            _send(handler, reply.status, "application/json", json.dumps(error))
            return
        self.bill["prompt_tokens"] += reply.input_tokens + reply.cached_tokens
        self.bill["completion_tokens"] += reply.output_tokens
        self.bill["cached_tokens"] += reply.cached_tokens
        if request.get("stream"):
            lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _events(request, reply)]
            _send(handler, HTTPStatus.OK, "text/event-stream", "".join(lines))
        else:
            _send(handler, HTTPStatus.OK, "application/json", json.dumps(_message(request, reply)))


def _send(handler: BaseHTTPRequestHandler, status: int, kind: str, text: str) -> None:
    body = text.encode()
    handler.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), "x-should-retry": "false"}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _message(request: dict[str, Any], reply: Message) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "text", "text": reply.text}
    tool = {"type": "tool_use", "id": "toolu_1", "name": reply.tool, "input": {}}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [tool if reply.tool else text],
        "stop_reason": "tool_use" if reply.tool else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "cache_read_input_tokens": reply.cached_tokens,
            "cache_creation_input_tokens": 0,
        },
    }


def _events(request: dict[str, Any], reply: Message) -> list[dict[str, Any]]:
    whole = _message(request, reply)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": reply.text}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
            "usage": {"output_tokens": reply.output_tokens},
        },
        {"type": "message_stop"},
    ]
