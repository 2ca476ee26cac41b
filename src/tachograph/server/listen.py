"""Serving on a socket: loopback unless there is a token, within bounds, until a signal or the caller stops it."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from tachograph.server.app import create_app
from tachograph.server.auth import loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from tachograph.server.checking import Verify
    from tachograph.server.exports import Export
    from tachograph.server.receiver import Receiver
    from tachograph.sources import Source

_LIMITS: Final[dict[str, Any]] = {
    "http": "h11",  # the one whose headers are bounded
    "h11_max_incomplete_event_size": 64 * 1024,  # bytes of a request's line and headers
    "limit_concurrency": 200,  # connections; further ones are told to come back
    "backlog": 128,
    "timeout_keep_alive": 5,  # seconds a connection may idle between two requests
    "timeout_graceful_shutdown": 5,  # seconds that answers under way have left when the server stops
}


class ListenError(ValueError):
    """The server cannot listen there; the message names the address and the fix."""


class Server(uvicorn.Server):
    """A server of one app, with its bounds. ``should_exit = True`` stops it.

    Args:
        app: of :func:`create_app`.
    """

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                **_LIMITS,
                ws="none",
                lifespan="off",
                log_config=None,  # the program's logging is the program's
                log_level="warning",
                access_log=False,  # addresses carry the ids of sessions
                proxy_headers=False,  # whoever asks may not say where from
                server_header=False,
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no new requests, streams end, answers under way are finished."""
        self._app.state.live.stop()
        await super().shutdown(sockets)


def serve(
    source: Source,
    host: str = "127.0.0.1",
    port: int = 8001,
    token: str | None = None,
    *,
    export: Export | None = None,
    verify: Verify | None = None,
    receiver: Receiver | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Answer what is asked about recorded sessions, until the process is told to stop (SIGINT, SIGTERM).

    Args:
        source: where the sessions are recorded. It is not closed.
        host: name or address to listen on; any but loopback needs a token.
        port: to listen on; 0 takes a free one.
        token: the secret that every request is to send.
        export: makes the export of a session; without one there is no such endpoint.
        verify: checks whether somebody has touched the audit log.
        receiver: takes OTLP in; without one nothing does. It is not closed.
        ready: called with the server's address once it listens.

    Raises:
        ListenError: for an address that cannot be listened on, or not without a token.
        ValueError: for a token that no header can carry.
    """
    if token is None and not loopback(host):
        raise ListenError(
            f"host={host!r}: others can reach that, so a token is needed; give one, or listen on 127.0.0.1"
        )
    server = Server(create_app(source, token=token, export=export, verify=verify, receiver=receiver))
    with listening(host, port) as listener:
        if ready is not None:
            ready(address(listener, host))
        with _until_told_to_stop():
            server.run(sockets=[listener])


@contextlib.contextmanager
def _until_told_to_stop() -> Iterator[None]:
    """Go on after the block when a signal has ended it: the server raises it anew, and there are things to finish."""
    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if ours else None
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ListenError: naming the address, why it cannot be, and the fix.
    """
    if type(port) is not int or not 0 <= port <= 65_535:  # noqa: PLR2004 - as many as there are
        raise ListenError(f"port={port!r}: expected a whole number from 0 to 65535; 0 takes a free one")
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # Known to be TCP, or asyncio does not send small packets at once and every answer takes some 40 ms.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            if sys.platform != "win32":  # where it means that a port may be taken from who has it
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(_LIMITS["backlog"])
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ListenError(f"{host}:{port}: cannot listen there: {reason}; give another host or port") from None
    return listener


def address(listener: socket.socket, host: str) -> str:
    """Where a browser finds what listens on a host."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
