"""The endpoints, asked over a real socket: what is taken, what is refused, who may send."""

from __future__ import annotations

import gzip
import http.client
import json
import time
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from support.otlp_files import METRICS
from support.sent import CHAT, as_json, as_protobuf, request, span
from support.serving import asking
from tachograph import names
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.server import Receiver, create_app
from tachograph.server.receiver.bodies import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}
GZIP = {"content-encoding": "gzip"}
GOOD = request(span(1, {**CHAT, names.SESSION_ID: "a"}))
BAD = request(span(2, {**CHAT, names.SESSION_ID: "a"}, endTimeUnixNano="0"), span(3, {**CHAT, names.SESSION_ID: "a"}))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def receiver(ledger) -> Iterator[Receiver]:
    receiver = Receiver(ledger, guard=Guard(strict=True), waiting=2 * LARGEST)
    yield receiver
    receiver.close()


@pytest.fixture
def client(ledger, receiver) -> Iterator[httpx.Client]:
    with asking(create_app(ledger, receiver=receiver)) as client:
        yield client


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoded", [as_json, as_protobuf], ids=["json", "protobuf"])
def test_spans_become_sessions(client, receiver, encoded, packed):
    """In both encodings, packed or not, what is sent is answered in kind, and is a session of the same server."""
    sent = encoded(GOOD)
    headers = {**(JSON if sent.is_json else PROTOBUF), **(GZIP if packed else {"content-encoding": "identity"})}

    answer = client.post("/v1/traces", content=gzip.compress(sent.body) if packed else sent.body, headers=headers)

    assert (200, b"{}" if sent.is_json else b"") == (answer.status_code, answer.content)
    assert headers["content-type"] == answer.headers["content-type"]
    assert receiver.settle()
    assert 110 == client.get("/events/metrics/session/a").json()["total_tokens"]
    assert {"requests": 1, "kept": 1}.items() <= client.get("/events/stats").json()["receiver"].items()


def test_what_is_refused_is_said_and_the_rest_is_kept(client, receiver):
    """A partial success counts the spans that were not taken, in the encoding of the request."""
    in_json = client.post("/v1/traces", content=as_json(BAD).body, headers=JSON).json()
    in_protobuf = client.post("/v1/traces", content=as_protobuf(BAD).body, headers=PROTOBUF).content

    assert {"rejectedSpans": "1", "errorMessage": "span 1: has no end"} == in_json["partialSuccess"]
    assert 1 == ExportTraceServiceResponse.FromString(in_protobuf).partial_success.rejected_spans
    assert receiver.settle()
    assert 1 == client.get("/events/metrics/session/a").json()["total_requests"]
    assert {"refused": 2, "kept": 1, "duplicates": 1}.items() <= receiver.stats().items()


def test_metrics_are_answered_and_not_kept(client, receiver):
    """An exporter that sends all it has is told that its metrics are not kept, and not to send them again."""
    answer = client.post("/v1/metrics", json=METRICS)

    assert (200, "1") == (answer.status_code, answer.json()["partialSuccess"]["rejectedDataPoints"])
    assert {"refused": 1, "spans": 0, "waiting_bytes": 0}.items() <= receiver.stats().items()


REFUSED = {
    "no protobuf": (PROTOBUF, b"\xff\xff", 400),
    "no JSON": (JSON, b"{", 400),
    "damaged gzip": ({**PROTOBUF, **GZIP}, b"\xff\xff", 400),
    "a bomb": ({**PROTOBUF, **GZIP}, gzip.compress(bytes(20 * 1024 * 1024)), 413),
    "another type": ({"content-type": "text/plain"}, b"{}", 415),
    "no type": ({"content-type": ""}, b"{}", 415),
    "another packing": ({**JSON, "content-encoding": "br"}, b"{}", 415),
    "packed twice": ({**JSON, "content-encoding": "gzip, gzip"}, b"{}", 415),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_is_refused(client, receiver, case):
    """With the status the protocol has for it, a reason, and nothing left behind; the server goes on."""
    headers, body, status = REFUSED[case]

    answer = client.post("/v1/traces", content=body, headers=headers)

    assert status == answer.status_code
    message = Status.FromString(answer.content).message if headers is PROTOBUF else answer.text
    assert message
    assert {"refused_requests": 1, "requests": 0, "waiting_bytes": 0}.items() <= receiver.stats().items()
    assert 200 == client.post("/v1/traces", content=as_json(GOOD).body, headers=JSON).status_code


@pytest.mark.parametrize("said", [True, False], ids=["as it says", "in chunks"])
def test_a_body_that_is_too_large_is_refused(client, receiver, said):
    """By what comes, whether or not its length was told before, and the connection is closed."""
    body = bytes(LARGEST + 1)
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    pieces = body if said else iter([body[at : at + 2**20] for at in range(0, len(body), 2**20)])
    try:
        connection.request("POST", "/v1/traces", pieces, PROTOBUF, encode_chunked=not said)
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):  # it answered and hung up before all was sent
        status = 413
    finally:
        connection.close()

    assert 413 == status
    assert {"refused_requests": 1, "waiting_bytes": 0}.items() <= receiver.stats().items()


def test_a_length_that_lies_is_not_believed(client, receiver):
    """A sender that says it sends more than it does, and hangs up, leaves nothing behind."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    connection.putrequest("POST", "/v1/traces")
    for name, value in {**PROTOBUF, "content-length": "1000"}.items():
        connection.putheader(name, value)
    connection.endheaders(b"half of it")
    connection.close()

    deadline = time.monotonic() + 20
    while receiver.stats()["refused_requests"] == 0 and time.monotonic() < deadline:
        assert 200 == client.get("/health").status_code  # by the same loop, which hears of it soon
    assert {"refused_requests": 1, "waiting_bytes": 0}.items() <= receiver.stats().items()


def test_without_room_the_sender_is_to_come_back(client, receiver):
    """While too much waits, requests are answered by 503 and when to try again, and nothing of them is kept."""
    receiver.room.take(receiver.room.size)
    full = client.post("/v1/traces", content=as_json(GOOD).body, headers=JSON)
    receiver.room.give_back(receiver.room.size)
    again = client.post("/v1/traces", content=as_json(GOOD).body, headers=JSON)

    assert (503, "1", 14) == (full.status_code, full.headers["retry-after"], full.json()["code"])
    assert 200 == again.status_code
    assert receiver.settle()
    assert {"kept": 1, "duplicates": 0, "refused_requests": 1}.items() <= receiver.stats().items()


def test_a_server_that_stops_takes_nothing(client, receiver):
    """What comes when the receiver is closed is to be sent again, to whoever comes after."""
    receiver.close()

    answer = client.post("/v1/traces", content=as_json(GOOD).body, headers=JSON)

    assert (503, 0) == (answer.status_code, receiver.stats()["waiting_bytes"])


def test_only_who_may_ask_may_send(ledger, receiver):
    """With a token it is to be sent, in either header; without one pages of other sites send nothing."""
    with asking(create_app(ledger, receiver=receiver, token="secret")) as client:  # noqa: S106 - of a test
        sent = [
            client.post("/v1/traces", content=as_json(GOOD).body, headers={**JSON, **headers}).status_code
            for headers in (
                {},
                {"authorization": "Bearer secret"},
                {"x-internal-auth": "secret"},
                {"authorization": "x"},
            )
        ]
    assert [401, 200, 200, 401] == sent

    with asking(create_app(ledger, receiver=receiver)) as client:
        for headers in ({"origin": "http://example.com"}, {"host": "example.com"}):
            answer = client.post("/v1/traces", content=as_json(GOOD).body, headers={**JSON, **headers})
            assert 403 == answer.status_code


def test_without_a_receiver_there_is_no_such_endpoint(ledger):
    """A server that only answers says so, and its stats say nothing of what was received."""
    with asking(create_app(ledger)) as client:
        assert 404 == client.post("/v1/traces", content=as_json(GOOD).body, headers=JSON).status_code
        assert "receiver" not in client.get("/events/stats").json()


def test_other_ways_to_ask_are_refused(client):
    """Spans are posted, and to these paths."""
    assert [405, 404] == [client.get("/v1/traces").status_code, client.post("/v1/profiles").status_code]


def test_it_may_be_mounted(ledger, receiver):
    """In an app of somebody else's the endpoints are under the path it is mounted at."""
    app = FastAPI()
    inner = create_app(ledger, receiver=receiver)
    app.state.live = inner.state.live
    app.mount("/tachograph", inner)
    body = json.dumps({**GOOD, "padding": "x" * 100_000}).encode()  # more than a question may have
    with asking(app) as client:
        assert 200 == client.post("/tachograph/v1/traces", content=body, headers=JSON).status_code
    assert receiver.settle()
    assert 1 == ledger.session_metrics("a").total_requests
