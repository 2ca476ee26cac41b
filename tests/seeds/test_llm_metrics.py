"""Metrics of model calls: what the service's authors publish of each, and the figures they make of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from support.records import ledger_of, operation
from support.serving import asking
from tachograph.export import session_export
from tachograph.server import create_app
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tachograph.sources import Source

HEAD = {"timestamp", "event_type", "event_id", "session_id", "correlation_id"}

SESSION = {
    "session_id": "ada",
    "total_requests": 11,
    "successful_requests": 11,
    "failed_requests": 0,
    "total_prompt_tokens": 7_344,
    "total_completion_tokens": 302,
    "total_tokens": 7_646,
    "average_tokens_per_request": 695.09,
    "requests_with_tools": 6,
}
"""A session's figures by the names of the specification; the bill of the model server, and sums of the script."""


@pytest.fixture(scope="module")
def client(service: Source) -> Iterator[httpx.Client]:
    """Asks about the service's day over a socket."""
    with asking(create_app(service, export=session_export)) as client:
        yield client


# -------------------------------------------------------------------------------------------------------- the events
def test_request_started(service: Source) -> None:
    """A request that begins says its session, request, model, and how many messages and tools it has."""
    first, second = service.audit_log(session_id="ada", event_type="llm_request_started")[:2]
    names = ("session_id", "correlation_id", "model", "messages_count", "tools_count")
    assert ("ada", "ada-1", "gpt-4.1-mini", 2, None) == tuple(first.get(name) for name in names)
    assert ("ada", "ada-1", "gpt-4.1", 2, 4) == tuple(second.get(name) for name in names)


def test_request_completed(service: Source) -> None:
    """A request that went well says its duration, its tokens, and whether the model asks for tools."""
    entry = service.audit_log(session_id="ada", event_type="llm_request_completed")[1]
    said = {"model", "duration_ms", "prompt_tokens", "completion_tokens", "total_tokens", "has_tool_calls"}
    assert HEAD | said <= entry.keys()
    assert ("gpt-4.1", 412, 40, 452, True) == tuple(
        entry[name] for name in ("model", "prompt_tokens", "completion_tokens", "total_tokens", "has_tool_calls")
    )
    assert entry["duration_ms"] > 0


def test_request_failed(service: Source) -> None:
    """A request that failed says with what."""
    (entry,) = service.audit_log(event_type="llm_request_failed")
    assert ("cleo", "cleo-1", "gpt-4.1", "InternalServerError") == tuple(
        entry[name] for name in ("session_id", "correlation_id", "model", "error_type")
    )
    assert "the model is overloaded" in entry["error"]


def test_every_request_is_started_and_ends_once(service: Source) -> None:
    """Twenty requests begin; nineteen are completed and one fails."""
    assert [20, 19, 1] == [
        len(service.audit_log(event_type=f"llm_request_{what}")) for what in ("started", "completed", "failed")
    ]


# ------------------------------------------------------------------------------------------------------- the figures
@pytest.mark.parametrize(
    ("session_id", "tokens", "requests", "failed"), [("ada", 7_646, 11, 0), ("bob", 1_894, 5, 0), ("cleo", 997, 4, 1)]
)
def test_figures_are_the_bill(service: Source, session_id: str, tokens: int, requests: int, failed: int) -> None:
    """Each session's tokens are those on its account with the service, streamed answers included."""
    metrics = service.session_metrics(session_id)
    assert (tokens, requests, failed) == (metrics.total_tokens, metrics.total_requests, metrics.failed_requests)


def test_endpoint_of_a_session(client: httpx.Client) -> None:
    """`GET /events/metrics/session/{session_id}` gives the figures by their names, and each request."""
    answer = client.get("/events/metrics/session/ada").json()
    assert SESSION == {name: answer[name] for name in SESSION}
    assert answer["average_duration_ms"] == pytest.approx(answer["total_duration_ms"] / 11, abs=0.01)
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
    } <= answer["requests"][0].keys()


def test_a_failed_request_is_listed(service: Source) -> None:
    """The request that failed is in the list, with its error and without tokens."""
    (failed,) = [request for request in service.session_metrics("cleo").requests if not request["success"]]
    assert ("gpt-4.1", None) == (failed["model"], failed["total_tokens"])
    assert "the model is overloaded" in failed["error"]


def test_endpoint_of_the_sessions(client: httpx.Client) -> None:
    """`GET /events/metrics/sessions` gives ids and their number; a deleted session is not among them."""
    answer = client.get("/events/metrics/sessions").json()
    assert ({"ada", "cleo"}, 2) == (set(answer["sessions"]), answer["count"])


def test_endpoint_of_the_stats(client: httpx.Client) -> None:
    """`GET /events/stats` says how much is kept."""
    assert 3 == client.get("/events/stats").json()["sessions"]


def test_cost_by_the_tokens(service: Source) -> None:
    """The cost of a session is its tokens by the prices: what the service's authors work out by hand."""
    prices = {"gpt-4.1": (2.0, 0.5, 8.0), "gpt-4.1-mini": (0.4, 0.1, 1.6)}  # read, read from the cache, written
    metrics = service.session_metrics("ada")
    cost = 0.0
    for model, used in metrics.tokens_by_model.items():
        read, cached, written = prices[model]
        cost += (used["prompt_tokens"] - used["cached_tokens"]) * read
        cost += used["cached_tokens"] * cached + used["completion_tokens"] * written
    assert pytest.approx(cost / 1_000_000) == metrics.cost["amount"]
    assert metrics.cost["complete"]


def test_performance(service: Source) -> None:
    """Error rate, mean duration and mean tokens can be held against limits."""
    metrics = service.session_metrics("cleo")
    assert 0.25 == metrics.failed_requests / metrics.total_requests
    assert 0 < metrics.average_duration_ms < 5_000
    assert 332.33 == metrics.average_tokens_per_request


def test_token_efficiency(service: Source) -> None:
    """Tokens written per token read."""
    assert round(302 / 7_344, 4) == service.session_metrics("ada").token_efficiency


def test_clearing_a_session() -> None:
    """One session's metrics can be forgotten; the others stay."""
    ledger = ledger_of([operation(1, session="a"), operation(2, session="b")])
    assert ledger.clear_session("a")
    assert [0, 1] == [ledger.session_metrics(session_id).total_requests for session_id in ("a", "b")]


def test_new_fields() -> None:
    """Fields of the authors' own are in each request's row, and go out with it."""
    with capture() as captured, tachograph.session("abc-123"), tachograph.model("gpt-4") as call:
        call.usage(input_tokens=850, output_tokens=420)
        call.set(cache_hit=True, response_quality_score=0.75)
    (request,) = captured.ledger.session_metrics("abc-123").requests
    assert (True, 0.75, 1_270) == tuple(request[n] for n in ("cache_hit", "response_quality_score", "total_tokens"))
    (span,) = captured.spans
    assert (True, 0.75) == tuple(
        span.attributes[f"tachograph.field.{n}"] for n in ("cache_hit", "response_quality_score")
    )


def test_the_internal_header(service: Source) -> None:
    """With a secret the endpoints answer who sends it as `x-internal-auth`, and nobody else."""
    with asking(create_app(service, export=session_export, token="secret")) as client:  # noqa: S106 - the document's own
        answers = [
            client.get("/events/stats", headers=headers).status_code
            for headers in ({}, {"x-internal-auth": "wrong"}, {"x-internal-auth": "secret"})
        ]
    assert [401, 401, 200] == answers


def test_endpoint_of_everything(client: httpx.Client) -> None:
    """`GET /events/metrics` has agents, tools and decisions over all sessions."""
    answer = client.get("/events/metrics").json()
    assert {"agent_switches", "agent_processing", "tool_executions", "hitl_decisions", "errors"} <= answer.keys()
    assert 5 == answer["agent_processing"]["coder"]["count"]


def test_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Requests are lines at INFO, in the document's words."""
    clock = iter(range(10**18, 2 * 10**18, 3_200_000_000))
    with caplog.at_level(logging.INFO), capture(clock=lambda: next(clock)), tachograph.session("abc-123"):  # noqa: SIM117
        with tachograph.model("gpt-4") as call:
            call.usage(input_tokens=850, output_tokens=420)
    assert [
        "LLM request started for session abc-123",
        "LLM request completed for session abc-123: 3200ms, 1270 tokens",
        "Session abc-123 metrics updated: 1 requests, 1270 tokens",
    ] == [record.getMessage() for record in caplog.records]


def test_limits_are_watched() -> None:
    """What the document's monitor asks for again and again is told by itself, once: slow, failing, hungry."""
    limits = {"average_duration_ms": 5_000, "error_rate": 0.1, "average_tokens_per_request": 2_000}
    clock = iter(range(10**18, 2 * 10**18, 6_000_000_000))
    with capture(clock=lambda: next(clock), thresholds=limits) as captured, tachograph.session("s"):
        for error in (None, "RateLimitError"):
            with tachograph.model("gpt-4") as call:
                call.usage(input_tokens=2_000, output_tokens=500)
                if error:
                    call.failed(error)
    assert set(limits.items()) == {
        (entry["metric"], entry["limit"]) for entry in captured.ledger.audit_log(event_type="threshold_exceeded")
    }


def test_metrics_in_real_time() -> None:
    """A request under way is counted while it lasts."""
    under_way: Any = operation(1, took=None)
    metrics = ledger_of([under_way]).session_metrics("s")
    assert (1, 0) == (metrics.active_requests, metrics.total_requests)
