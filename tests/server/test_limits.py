"""How much a request may send."""

from __future__ import annotations

import contextlib
import http.client
import socket
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI, Request

from support.serving import asking
from tachograph.ledger import Ledger
from tachograph.server import create_app
from tachograph.server.limits import BODY_BYTES, BodyLimit

if TYPE_CHECKING:
    from collections.abc import Iterator


async def echo(request: Request) -> int:
    return len(await request.body())


@pytest.fixture(scope="module")
def client():
    """Asks an app that reads bodies, of ten bytes at most."""
    app = FastAPI()
    app.add_middleware(BodyLimit, size=10)
    app.add_api_route("/", echo, methods=["POST"])
    with asking(create_like(app)) as asks:
        yield asks


def create_like(app: FastAPI) -> FastAPI:
    """An app with what the server looks for when it stops."""
    app.state.live = create_app(Ledger()).state.live
    return app


def chunks(count: int) -> Iterator[bytes]:
    yield from [b"x"] * count


def test_bodies_within(client):
    """A body of the size that is allowed is read."""
    assert 10 == client.post("/", content=b"x" * 10).json()
    assert 10 == client.post("/", content=chunks(10)).json()
    assert 0 == client.post("/").json()


def test_bodies_beyond(client):
    """One of more is refused, whether it says so at once or goes on."""
    for content in (b"x" * 11, chunks(11)):
        answer = client.post("/", content=content)
        assert 413 == answer.status_code
        assert {"detail": "a request may have a body of 10 bytes at most; send less"} == answer.json()


@pytest.mark.parametrize("length", ["11", "9" * 15, "9" * 20])
def test_a_length_beyond_is_not_waited_for(client, length):
    """What announces too much is refused before it has sent any of it."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", length)
        connection.endheaders()
        assert 413 == connection.getresponse().status


def test_questions_have_no_bodies():
    """The app itself refuses a large body, whoever sends it and where."""
    with asking(create_app(Ledger())) as client:
        for path in ("/events/metrics", "/nowhere"):
            assert 413 == client.request("GET", path, content=b"x" * (BODY_BYTES + 1)).status_code
        assert 200 == client.request("GET", "/events/metrics", content=b"x").status_code


def test_headers_have_a_bound():
    """A request whose headers do not end is refused, and its connection closed."""
    with (
        asking(create_app(Ledger())) as client,
        socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as raw,
    ):
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        received = b""
        with contextlib.suppress(ConnectionError):  # it does not read on
            for _ in range(100):
                raw.sendall(b"x" * 4_096)
        with contextlib.suppress(ConnectionError):
            while more := raw.recv(4_096):
                received += more
        assert b"" == received or received.startswith(b"HTTP/1.1 4")
        assert 200 == client.get("/health").status_code


def test_paths_may_have_bounds_of_their_own():
    """What is taken in elsewhere is as large as it may be there; the same under the path an app is mounted at."""
    app = FastAPI()
    app.add_middleware(BodyLimit, size=10, elsewhere={"/large"})
    app.add_api_route("/large", echo, methods=["POST"])
    outer = create_like(FastAPI())
    outer.mount("/mounted", app)
    with asking(outer) as asks:
        assert 11 == asks.post("/mounted/large", content=b"x" * 11).json()
        assert 413 == asks.post("/mounted/larger", content=b"x" * 11).status_code
