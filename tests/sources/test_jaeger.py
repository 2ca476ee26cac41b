"""A Jaeger as a place: how it is written, and what is said where none answers. tests/engines reads from a real one."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from support.terminal import run
from tachograph.sources import SourceError, open_source
from tachograph.sources.jaeger.place import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOPBACK = "127.0.0.1"
HOUR = 3_600 * 10**9
Answer = tuple[int, dict[str, str], bytes]


# --------------------------------------------------------------------------------------------------- how it is written
@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("jaeger://traces.example", (False, "traces.example", 16_686, "", ())),
        ("jaeger://127.0.0.1:1/jaeger/", (False, "127.0.0.1", 1, "/jaeger", ())),
        ("jaeger+https://[::1]:443", (True, "::1", 443, "", ())),
        ("JAEGER+HTTPS://h?service=a%20b&service=c", (True, "h", 16_686, "", ("a b", "c"))),
    ],
)
def test_where_it_is(written: str, where: tuple[Any, ...]) -> None:
    """Host, port, path and services are what is written; the port is that of Jaeger's page unless it says otherwise."""
    place = place_of(written)

    assert where == (place.secure, place.host, place.port, place.path, place.services)
    assert written == place.written


@pytest.mark.parametrize(
    ("times", "hours"),
    [
        ("", (24, None)),
        ("since=2h", (2, None)),
        ("since=1w&until=1d", (168, 24)),
        ("since=2026-01-17T13:00:00Z&until=2026-01-17T14:00:00Z", None),
    ],
)
def test_when_is_read(times: str, hours: tuple[int, int | None] | None) -> None:
    """Times are moments, or how long ago; without any it is the last day, and a little of what is to come."""
    start, end = place_of(f"jaeger://h?{times}" if times else "jaeger://h").window()
    now_start, now_end = place_of("jaeger://h?since=0s").window()

    if hours is None:
        assert (1_768_654_800 * 10**9, HOUR) == (start, end - start)
    else:
        since, until = hours
        assert (now_start - start) / HOUR == pytest.approx(since, abs=0.01)
        assert (now_end - end) / HOUR == pytest.approx(0 if until is None else until + 1 / 6, abs=0.01)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("jaeger://", "names no host"),
        ("jaeger://h:0x", "Port could not be cast"),
        ("jaeger://h:70000", "out of range"),
        ("jaeger://h?since", "bad query field"),
        ("jaeger://h?lookback=1h", "'lookback' is none of service, since, until"),
        ("jaeger://h?since=soon", "'soon' is no moment"),
        ("jaeger://h?since=1h&until=2h", "no time between since and until"),
        ("jaeger://[::1", "Invalid IPv6"),
    ],
)
def test_what_cannot_be_understood(written: str, said: str) -> None:
    """What is wrong is named, with what was written and how to write it."""
    with pytest.raises(SourceError, match="since") as error:
        open_source(written)
    assert said in str(error.value)
    assert written in str(error.value)


def test_a_password_is_not_repeated() -> None:
    """A user and password in a place are refused without being said: errors are logged."""
    with pytest.raises(SourceError, match="TACHOGRAPH_JAEGER_HEADERS") as error:
        open_source("jaeger://ada:secret@h")
    assert "secret" not in str(error.value)


# ------------------------------------------------------------------------------------------------------ who answers
class _Handler(BaseHTTPRequestHandler):
    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], Answer], *args: Any) -> None:
        self._answer = answer
        super().__init__(*args)

    def do_GET(self) -> None:
        status, headers, body = self._answer(self)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def answering(
    answer: Callable[[BaseHTTPRequestHandler], Answer], secured: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Somebody who answers every question like this; the place it would be as a Jaeger."""
    server = ThreadingHTTPServer((LOOPBACK, 0), partial(_Handler, answer))
    server.daemon_threads = False
    if secured is not None:
        server.socket = secured.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a bad handshake is no news
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield f"jaeger://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def page(_: BaseHTTPRequestHandler) -> Answer:
    return 200, {"Content-Type": "text/html"}, b"<!doctype html><title>Some page</title>"


def nothing(_: BaseHTTPRequestHandler) -> Answer:
    return 404, {}, b"404 page not found"


def other_json(_: BaseHTTPRequestHandler) -> Answer:
    return 200, {}, b'{"services": "many"}'


def old(request: BaseHTTPRequestHandler) -> Answer:
    """As the first Jaegers answer: their own list of services, and their page to whatever they do not know."""
    if request.path == "/api/services":
        return 200, {}, json.dumps({"data": ["shop"], "total": 1, "errors": None}).encode()
    return page(request)


def closed(_: BaseHTTPRequestHandler) -> Answer:
    return 401, {}, b"who are you?"


def broken(_: BaseHTTPRequestHandler) -> Answer:
    return 500, {}, b'{"error": {"httpCode": 500, "message": "the disk is\\nfull"}}'


def deep(_: BaseHTTPRequestHandler) -> Answer:
    return 200, {}, b"[" * 100_000


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (page, "is no Jaeger, it says '<!doctype html><title>Some page</title>'; give the address of its page"),
        (nothing, "is no Jaeger, it answers 404 to /api/v3/services; give the address of its page"),
        (other_json, "is no Jaeger, it does not list services; give the address of its page"),
        (deep, "is no Jaeger, it says"),
        (
            old,
            "this Jaeger is too old, it says '<!doctype html><title>Some page</title>'; its query API v3 is needed",
        ),
        (closed, "does not let us in (401); set the header it wants: TACHOGRAPH_JAEGER_HEADERS"),
        (broken, "cannot answer (500): 'the disk is full'"),
    ],
)
def test_who_is_no_jaeger_or_does_not_answer_is_named(who: Callable[[Any], Answer], said: str) -> None:
    """Whatever answers instead of a Jaeger that can, the place is named, what it says, and what to do."""
    with answering(who) as place, pytest.raises(SourceError) as error:
        open_source(place)
    assert f"{place}: {said}" in str(error.value)


def test_nobody_there() -> None:
    """A port that nobody listens on is named as such."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        place = f"jaeger://{LOOPBACK}:{taken.getsockname()[1]}"
        with pytest.raises(
            SourceError, match="cannot be reached: Connection refused; is a Jaeger running there"
        ) as error:
            open_source(place)
    assert place in str(error.value)


@pytest.mark.parametrize("said", [b"", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03"], ids=["nothing", "gRPC"])
def test_who_speaks_no_http_is_told_apart(said: bytes) -> None:
    """Who closes the connection, or speaks something else, as other ports of a Jaeger do, is named."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_024)
                connection.sendall(said)

        speaking = threading.Thread(target=speak)
        speaking.start()
        with pytest.raises(SourceError, match=r"does not answer as HTTP does .*16686"):
            open_source(f"jaeger://{LOOPBACK}:{server.getsockname()[1]}")
        speaking.join()


def test_no_tls_where_it_is_asked_for() -> None:
    """HTTPS asked of who has none is told from who is not there."""
    with answering(page) as place, pytest.raises(SourceError, match="no secure connection"):
        open_source(place.replace("jaeger", "jaeger+https"))


def test_https_with_an_authority_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By HTTPS the certificate is looked at; whose authority is known only here is named by the usual variable."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(LOOPBACK).configure_cert(context)

    with answering(lambda _: (200, {}, b'{"services": []}'), context) as place:
        secured = place.replace("jaeger", "jaeger+https")
        with pytest.raises(SourceError, match=r"no secure connection: .*SSL_CERT_FILE"):
            open_source(secured)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        with contextlib.closing(open_source(secured)) as source:
            assert [] == source.sessions()


# --------------------------------------------------------------------------------------------------------- headers
def test_headers_are_sent_with_every_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """The headers of the variable go with each question, decoded as OpenTelemetry's are."""
    seen: list[tuple[str | None, str | None]] = []

    def listed(request: BaseHTTPRequestHandler) -> Answer:
        seen.append((request.headers["authorization"], request.headers["x-tenant"]))
        return 200, {}, b'{"services": []}'

    monkeypatch.setenv("TACHOGRAPH_JAEGER_HEADERS", "authorization=Bearer%20secret, x-tenant=a=b,")
    with answering(listed) as place, contextlib.closing(open_source(place)) as source:
        assert [] == source.sessions()
        assert 0 == source.total().total_requests
    assert {("Bearer secret", "a=b")} == set(seen)


@pytest.mark.parametrize("listed", ["Bearer secret", "=secret", "a=b,secret", "a=sec%0Aret"])
def test_headers_that_are_none_are_said_but_not_repeated(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    """What is no list of headers is an error that does not say the secret."""
    monkeypatch.setenv("TACHOGRAPH_JAEGER_HEADERS", listed)
    with answering(page) as place, pytest.raises(SourceError, match="TACHOGRAPH_JAEGER_HEADERS") as error:
        open_source(place)
    assert "sec" not in str(error.value)


# -------------------------------------------------------------------------------------------------------- commands
@pytest.mark.parametrize(
    "command",
    [("sessions",), ("show",), ("timeline",), ("audit",), ("export", "a"), ("compare", "a", "b")],
    ids=" ".join,
)
def test_commands_say_in_a_line_that_nobody_is_there(command: tuple[str, ...]) -> None:
    """A Jaeger that cannot be asked is one line and exit code 2, as is a file that cannot be read."""
    with answering(nothing) as place:
        done = run(*command, "--from", place)

    assert (2, "", 1) == (done.code, done.stdout, len(done.stderr.splitlines()))
    assert done.stderr.startswith(f"Error: {place}: is no Jaeger")


@pytest.mark.parametrize("command", [("store",), ("store", "--json")], ids=" ".join)
def test_what_is_for_stores_says_so(command: tuple[str, ...]) -> None:
    """What only a store can do is not tried on a Jaeger."""
    done = run(*command, "--from", "jaeger://h")

    assert (2, "") == (done.code, done.stdout)
    assert "Error: jaeger://h: is a Jaeger, and this is for stores; give the path of one\n" == done.stderr
