"""The endpoints that answer at once: what Python says, key for key, whatever is asked."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import tachograph
from support.records import event, ledger_of, opened, operation
from support.serving import asking, raw_status
from support.stores import Delivery, store_of
from tachograph import names
from tachograph.export import session_export
from tachograph.ledger import Ledger
from tachograph.server import create_app
from tachograph.server.shapes import NESTED
from tachograph.testing import capture
from tachograph.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tachograph.sources import Source

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "/etc/passwd",
    "a/b",
    "a/",
    "//a",
    "sessions",
    "session/a",
    "\0",
    "a\0b",
    "a\nb",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "%2e%2e%2f",
    "%",
    "a?b=c#d",
    "a b+c",
    "сессия-会话-🚀",
    "\u202e\ufeff",
    "x" * 10_000,
    "{session_id}",
    "null",
    "*",
]


def plain(value: object) -> object:
    """A value as it is read back from JSON: tuples are lists."""
    return json.loads(json.dumps(value))


# ------------------------------------------------------------------------------------------------------ key for key
@pytest.fixture(scope="module", params=["memory", "store"])
def both(request, quickstart, tmp_path_factory) -> Iterator[tuple[Source, httpx.Client]]:
    """The quickstart's session where it was recorded, and as a store keeps it; each with a client."""
    with ExitStack() as stack:
        source: Source = quickstart
        if request.param == "store":
            path = tmp_path_factory.mktemp("store") / "sessions.db"
            source = store_of([Delivery(0, tuple(quickstart.records()))], path, stack)
        yield source, stack.enter_context(asking(create_app(source, export=session_export)))


def test_metrics(both):
    """The totals are Python's."""
    source, client = both
    found = client.get("/events/metrics").json()

    assert plain(source.metrics().to_dict()) == found
    assert found["agent_switches"]


def test_sessions(both):
    """The sessions are Python's, in its order, with their number."""
    source, client = both

    assert {"sessions": source.sessions(), "count": 1, "next": None} == client.get("/events/metrics/sessions").json()
    assert ["quickstart"] == source.sessions()


@pytest.mark.parametrize("session_id", ["quickstart", "never heard of"])
def test_session(both, session_id):
    """A session's figures are Python's; one nobody has heard of has zeros, as there."""
    source, client = both
    asked = time.time_ns()
    answer = client.get(f"/events/metrics/session/{session_id}")
    found = answer.json()

    expected = plain(source.session_metrics(session_id).to_dict())
    assert expected == {name: found[name] for name in expected}
    assert {"metrics", "timestamp"} == found.keys() - expected.keys()
    assert {name: expected[name] for name in NESTED} == found["metrics"]
    assert asked // 1_000 * 1_000 <= moment(found["timestamp"]) <= time.time_ns()
    assert 200 == answer.status_code


def test_session_of_both_shapes(client):
    """The fields that the in-house systems know are where each of them has them."""
    found = client.get("/events/metrics/session/quickstart").json()

    assert ["agent_switches", "tool_calls", "processing_duration_ms", "errors"] == list(found["metrics"])
    assert found["metrics"]["tool_calls"] > 0
    assert {
        "session_id",
        "total_requests",
        "successful_requests",
        "failed_requests",
        "total_duration_ms",
        "average_duration_ms",
        "total_prompt_tokens",
        "total_completion_tokens",
        "total_tokens",
        "average_tokens_per_request",
        "requests_with_tools",
        "requests",
    } <= found.keys()
    assert {
        "timestamp",
        "model",
        "duration_ms",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "has_tool_calls",
        "success",
        "error",
    } <= found["requests"][0].keys()


def test_request(both):
    """The figures of each request within a session are Python's; of another session's request there are none."""
    source, client = both
    requests = {entry["correlation_id"] for entry in source.audit_log()} - {None}

    assert requests
    for request in [*requests, "never heard of"]:
        expected = plain(source.session_metrics("quickstart", request).to_dict())
        found = client.get("/events/metrics/session/quickstart", params={"correlation_id": request}).json()
        assert expected == {name: found[name] for name in expected}


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"session_id": "quickstart"},
        {"session_id": "never heard of"},
        {"event_type": "llm_request_completed"},
        {"event_type": "agent_switched", "session_id": "quickstart", "limit": 1},
        {"category": "tool"},
        {"category": "llm", "event_type": "agent_switched"},
        {"critical": True},
        {"critical": False, "limit": 3},
        {"limit": 10},
        {"since": "2001-01-01"},
        {"since": "2200-01-01T00:00:00Z"},
        {"since": 1.5},
    ],
    ids=str,
)
def test_audit_log(both, filters):
    """The audit log is Python's by every filter, all of them together."""
    source, client = both
    expected = plain(source.audit_log(**filters))
    found = client.get("/events/audit-log", params=filters).json()

    assert expected == found["entries"]
    assert len(expected) == found["count"]


def test_since(both):
    """A moment may be written as the entries write it, or as seconds since the epoch."""
    source, client = both
    middle = source.audit_log()[5]["timestamp"]
    expected = plain(source.audit_log(since=middle))

    for since in (middle, middle.replace("Z", "+00:00"), moment(middle) / 1e9):
        found = client.get("/events/audit-log", params={"since": since}).json()["entries"]
        assert abs(len(expected) - len(found)) <= (0 if isinstance(since, str) else 1)  # a float of seconds is coarse


def test_audit_log_by_request(both):
    """The audit log of a request is Python's."""
    source, client = both
    request = source.audit_log(limit=1)[0]["correlation_id"]
    found = client.get("/events/audit-log", params={"correlation_id": request}).json()

    assert plain(source.audit_log(correlation_id=request)) == found["entries"]


def test_stats(both):
    """How much is kept is what Python says."""
    source, client = both

    assert plain(source.stats()) == client.get("/events/stats").json()


def test_timeline(both):
    """The timeline of a session, of a request and of both is Python's."""
    source, client = both
    request = source.audit_log(limit=1)[0]["correlation_id"]

    for of in (
        {},
        {"session_id": "quickstart"},
        {"correlation_id": request},
        {"session_id": "x", "correlation_id": "y"},
    ):
        expected = plain(source.timeline(**of).to_dict())
        found = client.get("/events/timeline", params=of).json()
        assert {**expected, "count": len(expected["entries"]), "next": None} == found


# -------------------------------------------------------------------------------------------------------- approvals
def test_approvals():
    """What waits for a human is listed, the longest waiting first, until it is decided."""
    asked = [
        operation(
            number,
            "approval",
            "write_file",
            at=at,
            session=session,
            agent="coder",
            attributes={names.TOOL_CALL_ID: f"call_{number}"},
        )
        for number, at, session in ((1, 20, "a"), (2, 10, "a"), (3, 30, "b"), (4, 5, "b"))
    ]
    ledger = ledger_of([*map(opened, asked), asked[3], opened(operation(5, "tool", "search", session="a"))])
    with asking(create_app(ledger)) as client:
        found = client.get("/events/approvals").json()

        assert ["call_2", "call_1", "call_3"] == [approval["call_id"] for approval in found["approvals"]]
        assert ("2026-01-17T13:00:00.010000Z", "a", "write_file", "coder", "pending", asked[1].id) == tuple(
            found["approvals"][0][name] for name in ("requested_at", "session_id", "tool_name", "agent", "status", "id")
        )
        assert (3, None) == (found["count"], found["next"])

        only = client.get("/events/approvals", params={"session_id": "b", "limit": 1}).json()
        assert (["call_3"], 1) == ([approval["call_id"] for approval in only["approvals"]], only["count"])

        ledger.apply(asked[2])
        assert 0 == client.get("/events/approvals", params={"session_id": "b"}).json()["count"]


@pytest.mark.parametrize("pending", [True, False])
def test_an_approval_is_what_python_says(pending):
    """All of an approval is served: status, reason, arguments as kept, waiting time, an EDIT's diff, the call."""
    with capture() as captured, tachograph.session("s", user_id="ada"):
        asked = {"tool_name": "write_file", "arguments": {"path": "a.py", "token": "hunter22"}, "reason": "it writes"}
        edited = tachograph.request_approval(**asked, call_id="1")
        edited.decide("EDIT", modified_arguments={"path": "b.py"}, decided_by="bob")
        with tachograph.tool("write_file", call_id="1"):
            pass
        tachograph.request_approval(**asked, call_id="2", timeout_seconds=3_600)
        tachograph.request_approval(**asked, call_id="3", timeout_seconds=0)
        expected = tachograph.approvals(pending=pending)
        with asking(create_app(captured.ledger)) as client:
            found = client.get("/events/approvals", params={"pending": pending}).json()["approvals"]
        tachograph.decide("2", "REJECT")
        tachograph.decide("3", "REJECT")

    for row in (*found, *expected):
        assert row.pop("waiting_ms") >= 0  # one that is pending waits longer when asked about later
    assert plain(expected) == found
    assert (["pending"] if pending else ["EDIT", "EXPIRED"]) == [row["status"] for row in found]
    assert {"path": "a.py", "token": "[redacted]"} == found[0]["arguments"]
    assert pending or {"from": "a.py", "to": "b.py"} == found[0]["changes"]["changed"]["path"]


# ----------------------------------------------------------------------------------------------------------- paging
def pages(client: httpx.Client, path: str, rows: str, **asked) -> list[list]:
    """Every page, in the order they are given."""
    found, offset = [], 0
    while offset is not None:
        page = client.get(path, params={**asked, "offset": offset}).json()
        found.append(page[rows])
        offset = page["next"]
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20, 21, 10_000])
def test_pages_make_the_whole(limit):
    """The pages hold every row once: from the newest back for sessions and log, from the start for a timeline."""
    ledger = ledger_of([operation(number, at=number, session=f"s{number % 7}") for number in range(20)])
    with asking(create_app(ledger)) as client:
        sessions = pages(client, "/events/metrics/sessions", "sessions", limit=limit)
        log = pages(client, "/events/audit-log", "entries", limit=limit)
        timeline = pages(client, "/events/timeline", "entries", limit=limit, correlation_id="r")

    assert ledger.sessions() == [session for page in sessions[::-1] for session in page]
    assert plain(ledger.audit_log()) == [entry for page in log[::-1] for entry in page]
    assert plain(ledger.timeline().to_dict()["entries"]) == [entry for page in timeline for entry in page]
    assert all(page for page in (*sessions, *log, *timeline))


def test_a_page_beyond_the_end():
    """Behind the last page there is nothing, and nothing comes after it."""
    with asking(create_app(ledger_of([operation(1)]))) as client:
        for path in ("/events/metrics/sessions", "/events/audit-log", "/events/timeline?session_id=s"):
            page = client.get(path, params={"offset": 1_000_000, **({"session_id": "s"} if "timeline" in path else {})})
            assert page.json()["next"] is None
            assert 200 == page.status_code
            assert [] == page.json().get("entries", page.json().get("sessions"))


def test_nothing_recorded():
    """Where nothing is recorded every answer is empty, and none is an error."""
    with asking(create_app(Ledger(), export=session_export)) as client:
        for path in ("metrics", "metrics/sessions", "metrics/session/a", "audit-log", "stats", "approvals"):
            assert 200 == client.get(f"/events/{path}").status_code
        assert [] == client.get("/events/timeline?session_id=a").json()["entries"]


# -------------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("audit-log?event_type=nope", "event_type='nope': no such type; there are: session_created, "),
        ("audit-log?category=nope", "category='nope': no such category; there are: agent, hitl, llm"),
        ("audit-log?since=yesterday", "'yesterday' is no moment; write it like 2026-01-17T13:00:00Z"),
        ("audit-log?since=nan", "nan is no moment; give ISO 8601 text, a datetime or seconds since the epoch"),
        ("audit-log?since=", "'' is no moment; write it like 2026-01-17T13:00:00Z"),
        ("audit-log?limit=many", "limit='many': input should be a valid integer"),
        ("audit-log?limit=-1", "limit='-1': input should be greater than or equal to 1"),
        ("audit-log?limit=0", "limit='0': input should be greater than or equal to 1"),
        ("audit-log?limit=10001", "limit='10001': input should be less than or equal to 10000"),
        ("audit-log?limit=", "limit='': input should be a valid integer"),
        (f"audit-log?limit={'9' * 5_000}", f"limit='{'9' * 80}': "),
        ("audit-log?offset=-1", "offset='-1': input should be greater than or equal to 0"),
        ("audit-log?critical=perhaps", "critical='perhaps': input should be a valid boolean"),
        (
            "audit-log?sesion_id=a",
            "sesion_id='a': there is no such parameter here; /openapi.json lists those there are",
        ),
        ("metrics/sessions?limit=x", "limit='x': input should be a valid integer"),
        ("metrics/session/a?correlation=x", "correlation='x': there is no such parameter here"),
        ("metrics/session/", "session_id='': string should have at least 1 character"),
        ("timeline?offset=x", "offset='x': input should be a valid integer"),
        (
            "approvals?offset=x&limit=y",
            "limit='y': input should be a valid integer, unable to parse string as an integer; ",
        ),
        ("live?event_type=nope", "event_type='nope': no such type; there are: "),
        ("metrics?x=1", "x='1': there is no such parameter here"),
        ("stats?x=1", "x='1': there is no such parameter here"),
        ("live?since=2026", "since='2026': there is no such parameter here"),
    ],
)
def test_bad_input(client, path, detail):
    """What cannot be understood is status 422 with a sentence that names the value and the fix."""
    answer = client.get(f"/events/{path}")

    assert 422 == answer.status_code
    assert ["detail"] == list(answer.json())
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize("since", ["0001-01-01", "9999-12-31T23:59:59Z", "-1e300", "1e300", "-1e18", "1e18"])
def test_moments_out_of_all_bounds(both, since):
    """A moment before or after everything filters everything or nothing, however far it is."""
    source, client = both
    answer = client.get("/events/audit-log", params={"since": since})

    assert 200 == answer.status_code
    assert (len(source.audit_log()) if since[0] in "0-" else 0) == answer.json()["count"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_asking_alone(client, method):
    """Nothing can be changed: every other method is refused."""
    for path in ("/events/metrics", "/events/metrics/session/quickstart", "/events/export/quickstart", "/health"):
        assert 405 == client.request(method, path).status_code


# --------------------------------------------------------------------------------------------------------- hostile
@pytest.mark.parametrize("session_id", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_ids_of_any_text(session_id):
    """A session is found by its id whatever that is made of; no id is a path, nor another endpoint."""
    ledger = ledger_of(
        [operation(1, session=session_id), event(2, "message_added", session=session_id, text=session_id)]
    )
    with asking(create_app(ledger, export=session_export)) as client:
        encoded = quote(session_id, safe="").replace(".", "%2E")
        figures = client.get(f"/events/metrics/session/{encoded}")
        log = client.get("/events/audit-log", params={"session_id": session_id}).json()
        timeline = client.get("/events/timeline", params={"session_id": session_id}).json()
        export = client.get(f"/events/export/{encoded}").json()
        listed = client.get("/events/metrics/sessions").json()

    assert 200 == figures.status_code
    assert "application/json" == figures.headers["content-type"]
    assert (session_id, 1) == (figures.json()["session_id"], figures.json()["total_requests"])
    assert plain(ledger.audit_log()) == log["entries"]
    assert 2 == timeline["count"]
    assert session_id == export["session_id"]
    assert [session_id] == listed["sessions"]


@pytest.mark.parametrize("target", ["/events/metrics/session/../../../../etc/passwd", "/events/metrics/session/%ff%fe"])
def test_paths_that_no_client_sends(client, target):
    """A path with dots that nobody tidied up, or with bytes that are no text, is an id nobody has heard of."""
    assert 200 == raw_status(client, target)


# ---------------------------------------------------------------------------------------------------------- at once
def test_fifty_at_once(client, quickstart):
    """Fifty that ask at the same time are all told the same, which is right."""
    paths = ["metrics", "metrics/session/quickstart", "audit-log", "timeline?session_id=quickstart", "stats"] * 10
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda path: client.get(f"/events/{path}"), paths))

    assert {200} == {answer.status_code for answer in answers}
    for path, answer in zip(paths, answers, strict=True):
        if path != "metrics/session/quickstart":  # has the moment it was asked
            assert answers[paths.index(path)].json() == answer.json()


class Slow(Ledger):
    """A ledger whose totals take as long as somebody holds them up."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def metrics(self):
        self.asked.set()
        assert self.go_on.wait(30)
        return super().metrics()


def test_one_that_waits_holds_up_nobody():
    """While a source takes its time with one question, others are answered."""
    ledger = Slow()
    with asking(create_app(ledger)) as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.get, "/events/metrics")
        assert ledger.asked.wait(30)
        quick = client.get("/events/stats")
        assert not slow.done()
        ledger.go_on.set()
        assert (200, 200) == (quick.status_code, slow.result().status_code)
