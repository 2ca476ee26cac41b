"""What an answer looks like: JSON that every parser reads, headers that keep it private, problems in one sentence."""

from __future__ import annotations

import json
import math
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from tachograph.sources import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PRIVATE: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer that does not say otherwise: it is for who asked, and is data, never a program."""


UNREADABLE: Final = (SourceError, OSError, sqlite3.Error)
"""What a source raises when it cannot be read: gone, locked, damaged. That is no fault of the question."""


def json_text(value: Any) -> str:
    """A value as JSON: in ASCII, so that no text breaks it; what JSON has no number for is null."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=repr)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"), default=repr)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Answer(Response):
    """A value as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return json_text(content).encode()


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that says in one sentence what is wrong and what to do."""
    return Answer({"detail": detail}, status, {**PRIVATE, **(headers or {})})


class Privately:
    """Puts the headers of :data:`PRIVATE` on every answer of an app that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_privately(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in PRIVATE.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_privately)
