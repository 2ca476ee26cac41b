"""What happens, as it happens, to a real client on a real socket."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from support.records import event, ledger_of, operation
from support.serving import asking, serving
from tachograph.ledger import Ledger
from tachograph.server import create_app
from tachograph.server.broadcast import Broadcast
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from tachograph.sources import Source


class Told(NamedTuple):
    """One server-sent event."""

    id: str
    event: str
    data: Any


def events(answer: httpx.Response) -> Iterator[Told]:
    """The events of a stream, as a browser would read them."""
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            found[name] = value
        elif not line and "data" in found:
            yield Told(found.get("id", ""), found.get("event", "message"), json.loads(found["data"]))
            found = {}


def app_of(source: Source, **bounds: float) -> FastAPI:
    """An app that looks often, so that tests need not wait."""
    app = create_app(source)
    app.state.live = Broadcast(source, **{"every": 0.01, **bounds})
    return app


@contextlib.contextmanager
def listening_to(client: httpx.Client, **asked: Any) -> Iterator[httpx.Response]:
    """Listen, from the first byte on."""
    headers = {"last-event-id": asked.pop("last")} if "last" in asked else {}
    with client.stream("GET", "/events/live", params=asked, headers=headers) as answer:
        yield answer


def test_new_entries_are_told():
    """A client is told each new entry of the audit log, by its id, and nothing of what was before."""
    ledger = ledger_of([operation(1)])
    with asking(app_of(ledger)) as client, listening_to(client) as answer:
        told = events(answer)
        ledger.apply(operation(2, at=2000))
        found = [next(told), next(told)]
        ledger.apply(operation(3, at=4000))
        found += [next(told), next(told)]

    assert 200 == answer.status_code
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    assert ("no-store", "nosniff") == (answer.headers["cache-control"], answer.headers["x-content-type-options"])
    assert [Told(entry["event_id"], "message", entry) for entry in ledger.audit_log()[2:]] == found


def test_filters():
    """A client that asks for some is told those alone."""
    ledger = Ledger()
    with (
        asking(app_of(ledger)) as client,
        listening_to(client, session_id="b", event_type="llm_request_started") as answer,
    ):
        for number, session in enumerate("aabab"):
            ledger.apply(operation(number + 1, at=number, session=session))
        told = events(answer)
        found = [next(told), next(told)]

    assert ledger.audit_log(session_id="b", event_type="llm_request_started") == [event.data for event in found]


def test_of_a_store(tmp_path):
    """What another process stores meanwhile is told as well."""
    path = tmp_path / "sessions.db"
    with contextlib.closing(Writer(path)) as writer, contextlib.closing(SqliteSource(path)) as source:
        writer.append([operation(1)])
        with asking(app_of(source)) as client, listening_to(client) as answer:
            told = events(answer)
            for number in (2, 3):
                writer.append([operation(number, at=number * 2_000)])
                assert [f"{number:016x}:llm_request_started", f"{number:016x}:llm_request_completed"] == [
                    next(told).id,
                    next(told).id,
                ]


def test_coming_back():
    """A client that was cut off and says what it saw last is told what it has missed, once, and what comes then."""
    ledger = Ledger()
    with asking(app_of(ledger)) as client:
        with listening_to(client) as answer:
            ledger.apply(operation(1))
            seen = next(events(answer))
        ledger.apply(operation(2, at=2000))
        with listening_to(client, last=seen.id) as answer:
            told = events(answer)
            found = [next(told), next(told), next(told)]
            ledger.apply(operation(3, at=4000))
            found += [next(told), next(told)]

    assert [entry["event_id"] for entry in ledger.audit_log()[1:]] == [event.id for event in found]


def test_coming_back_to_another_server():
    """It makes no difference if the server was started anew meanwhile."""
    ledger = ledger_of([operation(1), operation(2, at=2000)])
    with asking(app_of(ledger)) as client, listening_to(client, last=ledger.audit_log()[1]["event_id"]) as answer:
        told = events(answer)
        assert [entry["event_id"] for entry in ledger.audit_log()[2:]] == [next(told).id, next(told).id]


@pytest.mark.parametrize("last", ["nobody-knows", "\xff", "x" * 5_000])
def test_coming_back_too_late(last):
    """Where what it saw last is not known any more a client is told that it has a gap."""
    ledger = Ledger()
    with asking(app_of(ledger)) as client, listening_to(client, last=last.encode("latin-1")) as answer:
        told = events(answer)
        assert Told("", "gap", {"last_event_id": last}) == next(told)
        ledger.apply(operation(1))
        assert ledger.audit_log()[0] == next(told).data


def test_heartbeat():
    """A stream on which nothing happens is kept alive by comments."""
    with asking(app_of(Ledger(), heartbeat=0.02)) as client, listening_to(client) as answer:
        lines = answer.iter_lines()
        while next(lines) != ":":
            pass


def test_everybody_listens():
    """Ten clients at once are told the same."""
    ledger = Ledger()
    with asking(app_of(ledger)) as client, contextlib.ExitStack() as stack:
        answers = [stack.enter_context(listening_to(client)) for _ in range(10)]
        ledger.apply(operation(1))
        found = [next(events(answer)).id for answer in answers]

    assert {ledger.audit_log()[0]["event_id"]} == set(found)


def test_no_more_than_may():
    """One more than may listen is told to come later, and may when another goes."""
    app = app_of(Ledger(), clients=2)
    with asking(app) as client:
        with listening_to(client), listening_to(client):
            refused = client.get("/events/live")
            assert (503, "5") == (refused.status_code, refused.headers["retry-after"])
            assert "try again later" in refused.json()["detail"]
        _until(lambda: not app.state.live.full)
        with listening_to(client) as answer:
            assert 200 == answer.status_code


def test_who_goes_leaves_nothing():
    """A client that goes, however rudely, is forgotten."""
    app = app_of(Ledger(), heartbeat=0.02)
    with serving(app) as url:
        host, port = httpx.URL(url).host, httpx.URL(url).port
        raws = [socket.create_connection((host, port), timeout=30) for _ in range(5)]
        for raw in raws:
            raw.sendall(b"GET /events/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert raw.recv(10).startswith(b"HTTP/1.1")
        assert 5 == len(app.state.live._clients)
        for raw in raws:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of a farewell
            raw.close()
        _until(lambda: not app.state.live._clients)


def test_one_that_reads_nothing_is_dropped():
    """A client that reads nothing costs a bounded amount and is dropped; one that reads is told everything."""
    ledger = Ledger()
    app = app_of(ledger, waiting=200)
    with asking(app) as client, contextlib.ExitStack() as stack:
        idle = socket.socket()
        stack.callback(idle.close)
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        idle.connect((client.base_url.host, client.base_url.port))
        idle.sendall(b"GET /events/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _until(lambda: len(app.state.live._clients) == 1)
        told = events(stack.enter_context(listening_to(client)))
        wanted = 0
        while len(app.state.live._clients) == 2:
            assert wanted < 5_000
            for _ in range(25):
                wanted += 1
                ledger.apply(operation(wanted, at=wanted, name="m" * 1_000))
            for _ in range(50):
                next(told)
        ledger.apply(operation(wanted + 1, at=wanted + 1))
        assert f"{wanted + 1:016x}:llm_request_started" == next(told).id


def test_the_server_stops():
    """When the server stops all streams end properly and soon, and nothing of them is left."""
    ledger = Ledger()
    app = app_of(ledger)
    before = set(threading.enumerate())
    with contextlib.ExitStack() as stack:
        with serving(app) as url:
            client = stack.enter_context(httpx.Client(base_url=url, timeout=30))
            answers = [stack.enter_context(listening_to(client)) for _ in range(3)]
            ledger.apply(operation(1))
            tellings = [events(answer) for answer in answers]
            assert 3 == len([next(told) for told in tellings])
            began = time.monotonic()
        took = time.monotonic() - began
        for told in tellings:
            assert 1 == len(list(told))  # the other entry, and then the end, without an error
    gc.collect()

    assert took < 4
    assert not app.state.live._clients
    assert before >= set(threading.enumerate())


class Failing(Ledger):
    """A ledger whose log cannot be read while it says so."""

    wrong = False

    def audit_log(self, **filters):
        if self.wrong:
            raise OSError("gone")
        return super().audit_log(**filters)


def test_a_source_that_fails_meanwhile():
    """Where the source cannot be read any more streams end, and who comes back is told why."""
    ledger = Failing()
    with asking(app_of(ledger)) as client:
        with listening_to(client) as answer:
            ledger.wrong = True
            assert [] == list(events(answer))
        assert 503 == client.get("/events/live").status_code
        ledger.wrong = False
        with listening_to(client) as answer:
            assert 200 == answer.status_code


@pytest.mark.parametrize("event_id", ["a\nid: b\ndata: forged", "", "a\0", "a\r\n\r\nevent: x"])
def test_an_id_of_many_lines(event_id):
    """An entry whose id would be lines of its own is told without one, and forges nothing."""
    ledger = Ledger()
    with asking(app_of(ledger)) as client, listening_to(client) as answer:
        ledger.apply(event(1, "message_added")._replace(id=event_id))
        assert Told("", "message", ledger.audit_log()[0]) == next(events(answer))


def _until(done: Any) -> None:
    """Wait for what another thread will have done; there is no event to wait for."""
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)
