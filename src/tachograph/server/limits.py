"""How much a request may send. Nothing here reads more of it than that into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from tachograph.server.answers import problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES: Final = 64 * 1024
"""A body of more is refused: questions have none."""


def path_of(scope: Scope) -> str:
    """The path that is asked for, as an app knows it that may be mounted into another."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


_DIGITS: Final = 15
"""A length of more digits is not even read as a number."""


class BodyLimit:
    """Refuses bodies that are too large, by what they say they are and by what they are.

    Args:
        app: what answers.
        size: bytes a body may have.
        elsewhere: paths with bounds of their own.
    """

    def __init__(self, app: ASGIApp, size: int = BODY_BYTES, elsewhere: Collection[str] = ()) -> None:
        self._app = app
        self._size = size
        self._elsewhere = frozenset(elsewhere)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http" or path_of(scope) in self._elsewhere:
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "0")
        if len(said) > _DIGITS or not said.isdecimal() or int(said) > self._size:
            # The rest of it is not waited for.
            await problem(413, self._detail, {"Connection": "close"})(scope, receive, send)
            return
        received, started = 0, False

        async def receive_within() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received <= self._size:
                return message
            if started:  # too late to say so
                return {"type": "http.disconnect"}
            raise HTTPException(413, self._detail, {"Connection": "close"})

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        await self._app(scope, receive_within, send_noting)

    @property
    def _detail(self) -> str:
        return f"a request may have a body of {self._size:,} bytes at most; send less"
