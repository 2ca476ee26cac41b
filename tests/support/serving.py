"""The real server on a real socket, for as long as a test needs it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
from typing import TYPE_CHECKING, Any

import httpx

from tachograph.server.listen import Server, address, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app; gives its address. In the end the server has stopped, and so has its thread."""
    with listening(LOOPBACK, 0) as listener:
        server = Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="serving")
        thread.start()
        try:
            yield address(listener, LOOPBACK)
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


@contextlib.contextmanager
def asking(app: FastAPI, **headers: str) -> Iterator[httpx.Client]:
    """A client of an app that is served."""
    with serving(app) as url, httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        yield client


def raw_status(client: httpx.Client, target: str) -> int:
    """The status of a request for a target that is sent as it stands, which clients would tidy up."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", target)
        return connection.getresponse().status


def asked_from(app: Any, peer: tuple[str, int] | None, path: str, **headers: str) -> httpx.Response:
    """What an app answers a machine of our choice, which a socket on loopback cannot be."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=peer, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())
