"""Serving on a socket, as a command does; the in-house systems' own command lines against it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from support.programs import Programs, program
from support.records import ledger_of, operation
from support.serving import LOOPBACK, asking
from tachograph.ledger import Ledger
from tachograph.server import ListenError, create_app, serve
from tachograph.server.listen import address, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_HOUSE_PORT = 8001
CURL_LINES = [
    "curl http://localhost:8001/events/metrics/session/session-123",
    'curl "http://localhost:8001/events/audit-log?session_id=session-123"',
    'curl -H "x-internal-auth: secret" \\\n  http://localhost:8001/events/stats',
    'curl -H "x-internal-auth: secret" \\\n  http://localhost:8001/events/metrics/session/YOUR_SESSION_ID',
]
"""As they stand in the in-house systems' documents."""

SERVING = """
    from tachograph.ledger import Ledger
    from tachograph.records import Operation
    from tachograph.server import serve

    ledger = Ledger()
    for number in range(3):
        ledger.apply(Operation(f"{number + 1:016x}", "model", "m", "session-123", "r", 1, 2_000_001, "ok"))
    def ready(address):
        print(address, flush=True)
    serve(ledger, port=PORT, token=TOKEN, ready=ready)
    print("over", flush=True)
    """


def port_for_curl() -> int:
    """The in-house systems' port where it is free, else any."""
    try:
        listening(LOOPBACK, IN_HOUSE_PORT).close()
    except ListenError:
        return 0
    return IN_HOUSE_PORT


@contextlib.contextmanager
def served(tmp_path: Path, *, port: int = 0, token: str | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program that serves; with its address."""
    text = program(SERVING).replace("PORT", str(port)).replace("TOKEN", repr(token))
    file = tmp_path / "serving.py"
    file.write_text(text, "utf-8")
    command = [sys.executable, "-W", "error", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("token", [None, "secret"])
def test_the_in_house_command_lines(tmp_path, token):
    """What the in-house systems' people type works as they type it; with a token, where they send it."""
    with served(tmp_path, port=port_for_curl(), token=token) as (_, url):
        answers = []
        for line in CURL_LINES:
            typed = line.replace("http://localhost:8001", url.replace(LOOPBACK, "localhost"))
            command = [*shlex.split(typed.replace("\\\n", " ")), "--silent", "--noproxy", "*"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            answers.append(json.loads(done.stdout))

    session, log, stats, unknown = answers
    if token is not None:
        assert ["send the token, as `Authorization: Bearer …` or `x-internal-auth: …`"] * 2 == [
            answer["detail"] for answer in (session, log)
        ]
    else:
        assert ("session-123", 3) == (session["session_id"], session["total_requests"])
        assert {"agent_switches": 0, "tool_calls": 0, "processing_duration_ms": 0, "errors": 0} == session["metrics"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", session["timestamp"])
        assert 6 == log["count"] == len(log["entries"])
    assert 3 == stats["records"]
    assert ("YOUR_SESSION_ID", 0) == (unknown["session_id"], unknown["total_requests"])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signals(tmp_path, how):
    """A signal ends serving at once and silently, also while somebody listens; the caller goes on, to finish things."""
    with served(tmp_path) as (process, url):
        with httpx.stream("GET", url + "/events/live") as live:
            process.send_signal(how)
            list(live.iter_raw())  # it ends, and properly
        out, err = process.communicate(timeout=20)

    assert ("over\n", "", 0) == (out, err, process.returncode)


def test_a_port_that_is_taken(tmp_path):
    """Where something else listens the error names the address and the fix, and nothing was started."""
    threads = threading.active_count()
    with listening(LOOPBACK, 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ListenError, match=rf"127\.0\.0\.1:{port}: cannot listen there: .*; give another host or port"
        ):
            serve(Ledger(), port=port)

    assert threads == threading.active_count()


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "127.0.0.1.example.org"],  # noqa: S104 - is refused
)
def test_others_need_a_token(host):
    """An address that others can reach is refused without a token, before anything listens."""
    with pytest.raises(ListenError, match="others can reach that, so a token is needed; give one, or listen on"):
        serve(Ledger(), host=host, port=0, ready=pytest.fail)


@pytest.mark.parametrize("host", ["host\0name", "x" * 300, "192.0.2.1"])
def test_hosts_that_are_not_here(host):
    """A host that is not this machine is named in the error."""
    with pytest.raises(ListenError, match="cannot listen there"):
        serve(Ledger(), host=host, port=0, token="t", ready=pytest.fail)  # noqa: S106 - a test's


@pytest.mark.parametrize("port", [-1, 65_536, "8001", 1.5, True, None])
def test_ports_that_are_none(port):
    """A port that is none is named in the error."""
    with pytest.raises(ListenError, match=re.escape(f"port={port!r}: expected a whole number from 0 to 65535")):
        serve(Ledger(), port=port, ready=pytest.fail)


def test_an_unusable_token():
    """A token that no request could send is refused before anything listens."""
    with pytest.raises(ValueError, match="the token is empty"):
        serve(Ledger(), port=0, token="", ready=pytest.fail)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_address(host, expected):
    """The address that is told is one that a browser takes."""
    if ":" in host and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = listening(host, 0)
    except ListenError:
        pytest.skip("no IPv6 here")
    with listener:
        assert f"{expected}{listener.getsockname()[1]}" == address(listener, host)


def test_answers_are_sent_at_once():
    """Small packets are not held back, which would make every answer take some 40 ms."""
    with asking(create_app(Ledger())) as client:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            client.get("/health")
            took.append(time.perf_counter() - began)

    assert min(took[1:]) < 0.03


def test_garbage_is_survived():
    """Bytes that are no HTTP, and connections that say nothing, cost nobody anything."""
    with asking(create_app(ledger_of([operation(1)]))) as client, contextlib.ExitStack() as stack:
        for sent in (
            b"",
            b"\0" * 1_000,
            b"GET / HTTP/9.9\r\n\r\n",
            b"\x16\x03\x01",
            b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ):
            raw = stack.enter_context(
                socket.create_connection((client.base_url.host, client.base_url.port), timeout=30)
            )
            raw.sendall(sent)
        assert 200 == client.get("/health").status_code


def test_without_the_extra(tmp_path):
    """Where the web framework is not installed the error says what to install."""
    done = Programs(tmp_path).python(
        program(
            """
            import sys

            sys.modules["fastapi"] = None
            try:
                import tachograph.server
            except ModuleNotFoundError as error:
                print(error)
            """
        )
    )

    assert "serving needs fastapi, which is not installed; pip install 'tachograph[server]'" == done.stdout.strip()
