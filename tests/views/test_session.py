"""What one session did and what it cost: the names and the figures of the specification."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from support.records import AGENTS, MILLISECOND, SESSIONS, History, event, histories, ledger_of, operation
from tachograph import names
from tachograph.views.session import SessionMetrics

if TYPE_CHECKING:
    from tachograph.ledger import Ledger
    from tachograph.records import Kind, Operation

FIELDS = [
    "session_id",
    "user_id",
    "status",
    "first_seen",
    "last_seen",
    "agent_runs",
    "agent_switches",
    "tool_calls",
    "processing_duration_ms",
    "errors",
    "recovered_errors",
    "total_requests",
    "successful_requests",
    "failed_requests",
    "incomplete_requests",
    "streamed_requests",
    "active_requests",
    "total_duration_ms",
    "average_duration_ms",
    "total_prompt_tokens",
    "total_completion_tokens",
    "total_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "average_tokens_per_request",
    "requests_with_tools",
    "token_efficiency",
    "tokens_by_model",
    "cost",
    "agents",
    "tools",
    "switches",
    "outcomes",
    "errors_by_agent",
    "recovered_errors_by_agent",
    "tool_errors",
    "llm_errors",
    "hitl",
    "tasks",
    "requests",
    "evicted",
    "complete",
    "reasons",
]

PRICED = {names.INPUT_TOKENS: 1_000, names.COST: 0.002}


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([operation(1, attributes=PRICED)], []),
        ([operation(1, attributes=PRICED), operation(2)], ["gpt-4.1"]),
        ([operation(1)], ["gpt-4.1"]),
        ([operation(1, attributes={names.INPUT_TOKENS: 1_000})], []),
        ([operation(1, outcome="error")], []),
        ([operation(1, attributes=PRICED), operation(2, name="homemade", attributes={names.INPUT_TOKENS: 1})], []),
    ],
    ids=["known", "partly", "unknown", "no price", "failed", "another without a price"],
)
def test_models_whose_usage_is_not_known(calls: list[Operation], expected: list[str]) -> None:
    """A model that has calls without usage is named; one without a price or whose calls failed is not."""
    assert expected == ledger_of(calls).session_metrics("s").unmetered


# Fourteen calls that went well: prompt tokens, completion tokens, milliseconds, tool calls asked for.
GOOD_CALLS = [(892, 592, 3_214, 1)] * 8 + [(894, 594, 3_214, 0)] * 5 + [(894, 594, 3_218, 0)]


def fifteen_requests() -> Ledger:
    """The example of the first specification: 15 requests, 14 of them successful, one failed without a trace."""
    calls = [
        operation(
            n,
            at=n * 4_000,
            took=took,
            session="abc-123",
            attributes={
                names.INPUT_TOKENS: prompt,
                names.OUTPUT_TOKENS: completion,
                names.RESPONSE_TOOL_CALLS: tools,
            },
        )
        for n, (prompt, completion, took, tools) in enumerate(GOOD_CALLS)
    ]
    failed = operation(99, at=60_000, took=0, session="abc-123", outcome="error", error_type="RateLimitError")
    return ledger_of([*calls, failed])


# ------------------------------------------------------------------------------------------------ the contract
def test_the_names_of_the_fields_are_fixed() -> None:
    """The Python object and the JSON have the fields of the contract, in its order, and no others."""
    nobody = SessionMetrics(session_id="x")
    assert list(nobody.to_dict()) == FIELDS
    assert nobody.to_dict() == {name: getattr(nobody, name) for name in FIELDS}
    assert {field.name for field in dataclasses.fields(SessionMetrics)} - set(FIELDS) == {"calls"}
    assert list(SessionMetrics(session_id="s").to_dict()) == FIELDS


def test_the_example_of_the_specification() -> None:
    """Averages are over the 14 successful requests: 3214.29 ms and 1485.71 tokens of 45,000 ms and 20,800 tokens."""
    expected = {
        "session_id": "abc-123",
        "total_requests": 15,
        "successful_requests": 14,
        "failed_requests": 1,
        "incomplete_requests": 0,
        "total_duration_ms": 45_000,
        "average_duration_ms": 3_214.29,
        "total_prompt_tokens": 12_500,
        "total_completion_tokens": 8_300,
        "total_tokens": 20_800,
        "average_tokens_per_request": 1_485.71,
        "requests_with_tools": 8,
        "token_efficiency": 0.664,
        "llm_errors": {"RateLimitError": 1},
    }
    figures = fifteen_requests().session_metrics("abc-123").to_dict()
    assert expected == {name: figures[name] for name in expected}


def test_a_listed_request_has_the_fields_of_the_specification() -> None:
    """Each model call is listed with its moment, its figures and how it went; a failed one with its error."""
    requests = fifteen_requests().session_metrics("abc-123").requests
    assert requests[0] == {
        "timestamp": "2026-01-17T13:00:00Z",
        "model": "gpt-4.1",
        "duration_ms": 3_214,
        "prompt_tokens": 892,
        "completion_tokens": 592,
        "total_tokens": 1_484,
        "cost": None,
        "has_tool_calls": True,
        "success": True,
        "error": None,
    }
    assert requests[-1] == {
        "timestamp": "2026-01-17T13:01:00Z",
        "model": "gpt-4.1",
        "duration_ms": 0,
        "prompt_tokens": None,
        "completion_tokens": None,
        "total_tokens": None,
        "cost": None,
        "has_tool_calls": False,
        "success": False,
        "error": "RateLimitError",
    }


def test_what_failed_and_was_billed_is_in_the_sums_and_not_in_the_averages() -> None:
    """Totals are over all finished requests, averages are sums over successful ones by successful ones."""
    metrics = ledger_of(
        [
            operation(1, took=100, attributes={names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 10}),
            operation(2, took=900, outcome="error", attributes={names.INPUT_TOKENS: 70}),
            operation(3, took=500, outcome="abandoned", attributes={names.OUTPUT_TOKENS: 10}),
        ]
    ).session_metrics("s")
    assert (
        metrics.total_duration_ms,
        metrics.total_tokens,
        metrics.average_duration_ms,
        metrics.average_tokens_per_request,
    ) == (1_500, 100, 100, 20)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, (None, None, None)),
        ({names.INPUT_TOKENS: 5}, (5, None, 5)),
        ({names.OUTPUT_TOKENS: 3}, (None, 3, 3)),
        ({names.INPUT_TOKENS: 0, names.OUTPUT_TOKENS: 0}, (0, 0, 0)),
    ],
)
def test_unknown_tokens_are_not_zero(attributes: dict[str, int], expected: tuple[int | None, ...]) -> None:
    """A listed request says None where the provider said nothing, and 0 only where it said 0."""
    (request,) = ledger_of([operation(1, attributes=attributes)]).session_metrics("s").requests
    assert expected == (request["prompt_tokens"], request["completion_tokens"], request["total_tokens"])


def test_an_error_text_is_shown_before_its_type() -> None:
    """A listed request shows what the error said, and its type only where the text is not kept."""
    requests = (
        ledger_of(
            [
                operation(1, at=1, outcome="error", error_type="E", error_message="too many"),
                operation(2, at=2, outcome="error", error_type="E"),
            ]
        )
        .session_metrics("s")
        .requests
    )
    assert [request["error"] for request in requests] == ["too many", "E"]


def test_requests_are_listed_in_order_of_their_start() -> None:
    """However their ends came in, requests are listed as they were asked."""
    requests = ledger_of([operation(n, at=at) for n, at in enumerate((30, 10, 20))]).session_metrics("s").requests
    assert [request["timestamp"][20:23] for request in requests] == ["010", "020", "030"]


def test_an_unpriced_model_is_said_to_be_unpriced() -> None:
    """Where no price is known the amount is None and never 0, and the models without a price are named."""
    metrics = ledger_of([operation(1, name="b"), operation(2, name="a")]).session_metrics("s")
    assert metrics.cost == {"amount": None, "currency": "USD", "complete": False, "unpriced_models": ["a", "b"]}


def test_the_price_of_some_calls_is_the_price_of_those() -> None:
    """Where some models have a price the amount is of their calls, and the others are named beside it."""
    metrics = ledger_of(
        [
            operation(1, name="known", attributes={names.COST: 0.25}),
            operation(2, name="known", attributes={names.COST: 0.5}),
            operation(3, name="known"),
            operation(4, name="unknown"),
            operation(5, name="free", attributes={names.COST: 0.0}),
        ]
    ).session_metrics("s")
    assert metrics.cost == {
        "amount": 0.75,
        "currency": "USD",
        "complete": False,
        "unpriced_models": ["known", "unknown"],
    }
    assert {"known": 0.75, "unknown": None, "free": 0.0} == {
        name: model["cost"] for name, model in metrics.tokens_by_model.items()
    }


def test_fields_of_the_programs_own_are_beside_ours() -> None:
    """What a program adds to a call is listed by its own name, and takes nothing of ours away."""
    fields = {f"{names.CUSTOM}cache_hit": True, f"{names.CUSTOM}model": "mine", f"{names.CUSTOM}cost": 9.0}
    (request,) = ledger_of([operation(1, attributes=fields)]).session_metrics("s").requests
    assert {"model": "gpt-4.1", "cost": None, "cache_hit": True}.items() <= request.items()


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [((), "idle"), (("model",), "active"), (("approval",), "waiting"), (("approval", "agent"), "active")],
)
def test_the_status_says_who_is_at_work(kinds: tuple[Kind, ...], expected: str) -> None:
    """A session in which only a human's decision is open waits; with nothing open it is idle."""
    open_ = [operation(number, kind, "x", took=None) for number, kind in enumerate(kinds, 2)]
    assert expected == ledger_of([operation(1), *open_]).session_metrics("s").status


def test_a_whole_session() -> None:
    """One session with a bit of everything, all of its figures at once."""
    ledger = ledger_of(
        [
            event(1, "session_created", at=-10),
            operation(
                1, "agent", "manager", at=0, took=100, user_id="ada", attributes={names.RECOVERED: ("ParsingError",)}
            ),
            operation(2, "model", "m", at=1, took=20, parent=1, attributes={names.REQUEST_STREAM: True}),
            operation(
                3,
                "agent",
                "coder",
                at=30,
                took=50,
                parent=1,
                outcome="error",
                error_type="ValueError",
                attributes={names.NESTED: True, names.SWITCH_FROM: "manager"},
            ),
            operation(4, "tool", "search", at=31, took=5, parent=3, outcome="error", error_type="KeyError"),
            operation(5, "tool", "drop", at=40, took=0, parent=3, outcome="refused"),
            operation(6, "tool", "search", at=90, took=None, parent=1),
            operation(7, "model", "m", at=95, took=None, parent=1),
        ]
    )
    assert {
        "session_id": "s",
        "user_id": "ada",
        "status": "active",
        "first_seen": "2026-01-17T12:59:59.990000Z",
        "last_seen": "2026-01-17T13:00:00.100000Z",
        "agent_runs": 2,
        "agent_switches": 1,
        "tool_calls": 3,
        "processing_duration_ms": 100,
        "errors": 1,
        "recovered_errors": 1,
        "total_requests": 1,
        "successful_requests": 1,
        "failed_requests": 0,
        "incomplete_requests": 0,
        "streamed_requests": 1,
        "active_requests": 1,
        "total_duration_ms": 20,
        "average_duration_ms": 20,
        "total_prompt_tokens": 0,
        "total_completion_tokens": 0,
        "total_tokens": 0,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "average_tokens_per_request": 0,
        "requests_with_tools": 0,
        "token_efficiency": 0,
        "tokens_by_model": {
            "m": {
                "requests": 1,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "total_tokens": 0,
                "cached_tokens": 0,
                "reasoning_tokens": 0,
                "cost": None,
            }
        },
        "cost": {"amount": None, "currency": "USD", "complete": False, "unpriced_models": ["m"]},
        "agents": {
            "coder": {"count": 1, "total_duration_ms": 50, "success_count": 0, "failure_count": 1},
            "manager": {"count": 1, "total_duration_ms": 100, "success_count": 1, "failure_count": 0},
        },
        "tools": {
            "drop": {
                "requested": 1,
                "completed": 0,
                "failed": 0,
                "refused": 1,
                "requires_approval": 0,
                "total_duration_ms": 0,
            },
            "search": {
                "requested": 2,
                "completed": 0,
                "failed": 1,
                "refused": 0,
                "requires_approval": 0,
                "total_duration_ms": 5,
            },
        },
        "switches": {"manager_to_coder": 1},
        "outcomes": {"error": 1, "ok": 1},
        "errors_by_agent": {"coder": {"ValueError": 1}},
        "recovered_errors_by_agent": {"manager": {"ParsingError": 1}},
        "tool_errors": {"KeyError": 1},
        "llm_errors": {},
        "hitl": {},
        "tasks": 1,
        "requests": ledger.session_metrics("s").requests,
        "evicted": {"requests": 0},
        "complete": True,
        "reasons": [],
    } == ledger.session_metrics("s").to_dict()


# --------------------------------------------------------------------------------------------------- its status
def test_a_session_is_unknown_active_idle_or_deleted() -> None:
    """Active while work is under way, idle when it is not, deleted when an event says so, else unknown."""
    ledger = ledger_of(
        [
            operation(1, session="active", took=None),
            operation(2, session="idle"),
            operation(3, session="deleted", took=None),
            event(4, "session_deleted", session="deleted"),
        ]
    )
    assert [ledger.session_metrics(session_id).status for session_id in ("active", "idle", "deleted", "unknown")] == [
        "active",
        "idle",
        "deleted",
        "unknown",
    ]


def test_everything_is_never_deleted() -> None:
    """The total goes on when a session is deleted."""
    ledger = ledger_of([operation(1), event(1, "session_deleted", at=1)])

    assert ("deleted", "idle") == (ledger.session_metrics("s").status, ledger.total().status)


def test_first_seen_is_the_first_start() -> None:
    """A session is seen from its first start to its last end."""
    metrics = ledger_of([operation(1, at=0, took=1_500), operation(2, at=100, took=1)]).session_metrics("s")
    assert (metrics.first_seen, metrics.last_seen) == ("2026-01-17T13:00:00Z", "2026-01-17T13:00:01.500000Z")


@settings(max_examples=50)
@given(histories())
def test_the_figures_are_json(history: History) -> None:
    """Whatever happened, every view's plain form goes through JSON and comes back as it was."""
    ledger = ledger_of(history.last())
    for plain in (
        *(ledger.session_metrics(session_id).to_dict() for session_id in SESSIONS),
        ledger.metrics().to_dict(),
        ledger.timeline().to_dict(),
        ledger.audit_log(),
    ):
        assert plain == json.loads(json.dumps(plain, allow_nan=False))


def test_the_figures_given_are_a_copy() -> None:
    """What somebody does to the figures they were given does not reach the ledger's."""
    ledger = ledger_of([operation(1, "agent", AGENTS[0], took=2 / MILLISECOND)])
    metrics = ledger.session_metrics("s")
    metrics.agents[AGENTS[0]]["count"] = 99
    metrics.outcomes.clear()
    assert (
        ledger.session_metrics("s").outcomes,
        ledger.session_metrics("s").agents[AGENTS[0]]["count"],
    ) == ({"ok": 1}, 1)


def test_what_spans_of_others_do_not_say_is_said() -> None:
    """Figures are not complete where others told of an agent's run, or of a call without its tokens."""
    theirs = {names.TOLD_BY: "gen_ai"}
    known = ledger_of([operation(1, attributes={**theirs, names.INPUT_TOKENS: 1}), operation(2)])
    unknown = ledger_of(
        [
            operation(1, attributes=theirs),
            operation(2, outcome="error", attributes=theirs),
            operation(3, "agent", "clerk", attributes=theirs),
        ]
    )

    assert (True, []) == (known.session_metrics("s").complete, known.total().reasons)
    assert not unknown.session_metrics("s").complete
    assert [
        "agent runs told of by spans of others, which do not say who was switched to or what humans decided: 1",
        "model calls told of by spans of others, which do not say how many tokens were used: 1",
    ] == unknown.total().reasons
