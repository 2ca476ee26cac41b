"""Killed, stalled, full or talking nonsense: programs go on unharmed, and every span is stored or known to be lost."""

from __future__ import annotations

import signal
import socketserver
import subprocess
import threading
import time
from typing import Any

import pytest

from support.engines import LOOPBACK, Jaeger, wait_for
from support.loaded import host
from tachograph import names

pytestmark = pytest.mark.engines


def stored(jaeger: Jaeger, service: str = "host") -> set[str]:
    return {span["spanId"] for span in jaeger.traces(service) if span["scope"] == names.SCOPE}


def all_accounted_for(jaeger: Jaeger, told: dict[str, Any], lost: int | None = None) -> None:
    """What was answered for is stored, and what is not stored is known to the program as lost; none is made up."""
    answered, counted = set(told["answered"]), {*told["given_up"], *told["never_offered"]}
    found = wait_for("what was answered for is stored", lambda: (now := stored(jaeger)) >= answered and now, timeout=90)
    assert found <= set(told["made"])
    assert found | counted == set(told["made"])
    if lost is not None:
        assert len(counted) == lost


def test_a_collector_that_is_killed_under_load_loses_nothing(engines):
    """Killed twice in the middle of work and started again: everything is stored, and the host notices nothing."""
    jaeger = engines.jaeger()
    collector = engines.collector(traces_to=jaeger.otlp)

    with host(collector.otlp, 8, 400) as running:
        for _ in range(2):
            time.sleep(2)  # of work
            collector.engine.end(signal.SIGKILL)
            collector.engine.start()
        told = running.account()

    all_accounted_for(jaeger, told, lost=0)


def test_what_waits_for_jaeger_outlives_the_collector(engines):
    """With Jaeger gone, what a Collector has answered for waits on disk, and the one that is started next sends it."""
    jaeger = engines.jaeger()
    jaeger.engine.end()
    collector = engines.collector(traces_to=jaeger.otlp)
    with host(collector.otlp, 3, 400) as running:
        told = running.account()

    collector.engine.end(signal.SIGKILL)
    jaeger.engine.start()
    assert stored(jaeger) == set()
    collector.engine.start()

    all_accounted_for(jaeger, told, lost=0)


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.long)])
def test_a_collector_that_stalls(engines, seconds):
    """Standing still it is waited for in the background; what the program then gives up on is counted by it."""
    jaeger = engines.jaeger()
    collector = engines.collector(traces_to=jaeger.otlp)

    with host(collector.otlp, seconds + 4, 400) as running:
        time.sleep(2)
        collector.engine.send(signal.SIGSTOP)
        time.sleep(seconds)
        collector.engine.send(signal.SIGCONT)
        told = running.account()

    all_accounted_for(jaeger, told, lost=0 if seconds < 10 else None)
    if seconds > 10:
        assert told["given_up"] or told["never_offered"]


@pytest.mark.long
def test_a_disk_that_is_full(engines, tmp_path):
    """A Collector whose disk is full refuses, which the program counts; what it has answered for is stored."""
    jaeger = engines.jaeger()
    jaeger.engine.end()
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=False).returncode != 0:
        pytest.skip("may not mount a disk of its own")
    try:
        collector = engines.collector(traces_to=jaeger.otlp, TACHOGRAPH_COLLECTOR_DIR=str(disk))
        with host(collector.otlp, 15, 2_000) as running:
            told = running.account()
        assert told["given_up"] or told["never_offered"]
        jaeger.engine.start()
        all_accounted_for(jaeger, told)
    finally:
        collector.engine.end(signal.SIGKILL)
        subprocess.run(["/bin/umount", str(disk)], check=True)


# ------------------------------------------------------------------------------------------------------- nonsense
GARBAGE = {
    "bytes": b"\x00\xff\xfe nonsense \r\n\r\n" * 50,
    "a page that has moved": b"HTTP/1.1 302 Found\r\nLocation: /v1/traces\r\nContent-Length: 0\r\n\r\n",
    "an answer that is no OTLP": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: text/html\r\n\r\n<garbage>",
    "a length that is a lie": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}",
    "an error with a page": b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n<html>",
    "to be tried again in a year": b"HTTP/1.1 503 Busy\r\nRetry-After: 31536000\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
}


class _Nonsense(socketserver.BaseRequestHandler):
    answer = b""

    def handle(self) -> None:
        self.request.settimeout(5)
        self.request.recv(65_536)
        self.request.sendall(self.answer)


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_nonsense_for_an_answer_harms_nobody(answer):
    """Whatever comes back from where a Collector should be: the host's results are right, and it ends."""
    handler = type("Answering", (_Nonsense,), {"answer": answer})
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            with host(
                f"http://{LOOPBACK}:{server.server_address[1]}", 1, 200, OTEL_EXPORTER_OTLP_TIMEOUT="1"
            ) as running:
                told = running.account()
        finally:
            server.shutdown()
            serving.join()

    assert len(told["made"]) == 200
    if not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3")):  # the SDK takes a redirection for success
        assert told["answered"] == []
