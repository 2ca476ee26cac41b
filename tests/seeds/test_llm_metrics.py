"""Metrics of model calls: what the service's authors publish of each, and the figures they make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.records import ledger_of, operation
from support.serving import asking
from tachograph.export import session_export
from tachograph.server import create_app

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


def test_metrics_in_real_time() -> None:
    """A request under way is counted while it lasts."""
    under_way: Any = operation(1, took=None)
    metrics = ledger_of([under_way]).session_metrics("s")
    assert (1, 0) == (metrics.active_requests, metrics.total_requests)
