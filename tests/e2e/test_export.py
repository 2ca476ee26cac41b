"""Exporting over real sockets: compressed, with headers, by TLS with certificates; and whatever may go wrong there."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import ssl
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from support.otlp_receiver import OtlpReceiver, Tls
from support.programs import Programs, script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORK = """
import time
import tachograph
from told import tell

tachograph.init()


def work(count):
    slowest = 0
    with tachograph.session("chat-1"):
        for number in range(count):
            begun = time.perf_counter()
            with tachograph.correlation(f"r-{number}"), tachograph.agent("manager"):
                with tachograph.model("gpt-4.1", provider="openai") as call:
                    call.usage(input_tokens=10, output_tokens=1)
            slowest = max(slowest, time.perf_counter() - begun)
    return slowest


"""


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


# ------------------------------------------------------------------------------------------------- what it takes
@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(authority: trustme.CA, tmp_path: Path) -> Iterator[tuple[OtlpReceiver, dict[str, str]]]:
    """A receiver that wants certificates, and the variables by which a program has the right ones."""
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("agents.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    server.configure_cert(context)
    authority.configure_trust(context)
    tls = Tls(
        server.private_key_pem.bytes(),
        b"".join(part.bytes() for part in server.cert_chain_pems),
        authority.cert_pem.bytes(),
        context,
    )
    files = {name: tmp_path / f"{name}.pem" for name in ("authority", "key", "certificate")}
    authority.cert_pem.write_to_path(files["authority"])
    client.private_key_pem.write_to_path(files["key"])
    client.cert_chain_pems[0].write_to_path(files["certificate"])
    variables = {
        "REQUESTS_CA_BUNDLE": "",  # this machine's own, which the exporter would take instead
        "CURL_CA_BUNDLE": "",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(files["authority"]),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(files["key"]),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(files["certificate"]),
    }
    with OtlpReceiver(tls) as receiver:
        yield receiver, variables


def endpoint(receiver: OtlpReceiver, protocol: str) -> dict[str, str]:
    address = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


OTHER = pytest.mark.long
"""Another way to the same: the quick suite has one of each, as some have to be waited for."""

PROTOCOLS = [pytest.param("grpc", marks=OTHER), "http/protobuf"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_with_certificates_headers_and_gzip(programs, secured, protocol) -> None:
    """The standard variables have all sent compressed, with headers, to a server whose clients show who they are."""
    receiver, certificates = secured
    done = programs.python(
        f"{WORK}work(3)\ntachograph.shutdown()",
        **endpoint(receiver, protocol),
        **certificates,
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=agents,authorization=Bearer%20secret",
    )

    assert (0, "") == (done.code, done.stderr)
    assert 6 == len(receiver.spans)
    assert {"chat-1"} == {span.attributes["session.id"] for span in receiver.spans}
    assert receiver.metrics
    for headers in receiver.headers:
        assert ("agents", "Bearer secret") == (headers["x-tenant"], headers["authorization"])
        if protocol != "grpc":  # gRPC keeps that to itself
            assert "gzip" == headers["content-encoding"]


@pytest.mark.parametrize(
    "missing",
    ["OTEL_EXPORTER_OTLP_CERTIFICATE", pytest.param("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", marks=OTHER)],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_that_is_broken(programs, secured, protocol, missing) -> None:
    """Without the server's authority, or a certificate of one's own, nothing is sent, and nothing else happens."""
    receiver, certificates = secured
    del certificates[missing]
    if missing.endswith("CLIENT_CERTIFICATE"):
        del certificates["OTEL_EXPORTER_OTLP_CLIENT_KEY"]
    told, _ = unharmed(programs, **endpoint(receiver, protocol), **certificates)

    assert [] == receiver.spans
    assert 0 == told["export"]["traces"]["sent"]


# ------------------------------------------------------------------------------------------------------- what fails
HARMED = f"""{WORK}
slowest = work(600)
runtime = tachograph.runtime.current()
requests = tachograph.session_metrics("chat-1").total_requests
begun = time.monotonic()
runtime.at_exit()
tell(
    requests=requests,
    slowest=slowest,
    end=time.monotonic() - begun,
    export=runtime.stats()["export"],
    swallowed=runtime.stats()["swallowed"],
)
raise SystemExit(3)
"""


def unharmed(programs: Programs, **variables: str) -> tuple[Any, str]:
    """What a program tells that runs against a broken exporter, which does it no harm; and its standard error."""
    done = programs.python(HARMED, OTEL_BSP_MAX_QUEUE_SIZE="500", OTEL_BSP_SCHEDULE_DELAY="10", **variables)
    told = done.told

    assert 3 == done.code
    assert (600, {}) == (told["requests"], told["swallowed"])
    traces = told["export"]["traces"]
    assert 1_200 == sum(traces.values()), traces
    assert told["end"] < 20  # of the 2 s there should be: CI's machine may be busy. The SDK's own waits for minutes.
    assert told["slowest"] < 20
    return told, done.stderr


@contextlib.contextmanager
def answering(status: int, delay: threading.Event | None = None) -> Iterator[str]:
    """An endpoint that answers everything with a status; with a delay only once that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if delay is not None:
                delay.wait(60)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        if delay is not None:
            delay.set()
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nobody_there(programs, protocol) -> None:
    """With nobody at the endpoint the program is as fast, ends in time, and every span is counted as not sent."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        told, _ = unharmed(
            programs,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{bound.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        )
    assert 0 == told["export"]["traces"]["sent"]
    assert 500 <= told["export"]["traces"]["dropped"]  # it tries the first batch for ten seconds


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(HTTPStatus.BAD_REQUEST, marks=OTHER),
        pytest.param(HTTPStatus.UNAUTHORIZED, marks=OTHER),
        HTTPStatus.SERVICE_UNAVAILABLE,
    ],
)
def test_who_refuses(programs, status) -> None:
    """What is refused, for good or for now, is counted; neither repeats nor waiting are the program's time."""
    with answering(status) as address:
        told, _ = unharmed(programs, OTEL_EXPORTER_OTLP_ENDPOINT=address)
    traces = told["export"]["traces"]
    assert 0 == traces["sent"]
    assert 0 < traces["failed"] + traces["dropped"]


def test_who_is_slow(programs) -> None:
    """An endpoint that takes everything and never answers costs nothing but what does not fit, and is told once."""
    with answering(HTTPStatus.OK, threading.Event()) as address:
        told, said = unharmed(programs, OTEL_EXPORTER_OTLP_ENDPOINT=address)
    assert 0 == told["export"]["traces"]["sent"]
    assert 1 == len(re.findall(r"traces come faster than they can be sent", said))


def test_what_is_fast_loses_nothing(programs) -> None:
    """With an endpoint that answers, all that fits is sent at the end, in what is left of the time."""
    with OtlpReceiver() as receiver:
        done = programs.python(HARMED, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint)
        assert 3 == done.code
        assert {"sent": 1_200, "failed": 0, "dropped": 0, "waiting": 0} == done.told["export"]["traces"]
        assert 1_200 == len({span.span_id for span in receiver.spans})


# ------------------------------------------------------------------------------------------------------- the signal
def test_sigterm_under_run_sends_what_waits(programs) -> None:
    """A program that `tachograph run` started and that is asked to terminate sends what waited, open work included."""
    programs.write(
        "app.py",
        f"""{WORK}
work(5)
with tachograph.session("chat-2"), tachograph.agent("writer"):
    print("under way", flush=True)
    time.sleep(60)
""",
    )
    with OtlpReceiver() as receiver:
        command = script("tachograph"), "run", "app.py"
        with programs.start(*command, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint) as process:
            assert "under way\n" == process.stdout.readline()
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert -signal.SIGTERM == process.wait(60)
            assert time.monotonic() - begun < 20
        assert 11 == len(receiver.spans)
        (writer,) = (span for span in receiver.spans if span.attributes["session.id"] == "chat-2")
        assert "abandoned" == writer.attributes["tachograph.outcome"]
