"""What a call costs: the published price list's own amounts, by hand and against the list itself."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

import tachograph
from tachograph import cost, names
from tachograph.cost import PLACES, Prices
from tachograph.testing import Capture, TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_768_654_800_000_000_000


def call(model: str | None, **facts: Any) -> dict[str, Any]:
    """Attributes of a call, by short words."""
    words = {
        "read": names.INPUT_TOKENS,
        "written": names.OUTPUT_TOKENS,
        "cached": names.CACHED_TOKENS,
        "reasoning": names.REASONING_TOKENS,
        "provider": names.PROVIDER_NAME,
        "answered": names.RESPONSE_MODEL,
        "server": names.SERVER_ADDRESS,
    }
    return {names.REQUEST_MODEL: model, **{words[word]: value for word, value in facts.items()}}


GOLDEN: dict[str, tuple[dict[str, Any], float]] = {
    # The provider's published dollars per million tokens, and the sum done by hand.
    "2 in, 8 out": (call("gpt-4.1", read=1_000, written=500, provider="openai"), 0.006),
    "2 in, 0.5 cached, 8 out": (call("gpt-4.1", read=1_000, cached=400, written=500, provider="openai"), 0.0054),
    "0.4 in, 0.1 cached, 1.6 out": (
        call("gpt-4.1-mini", read=10_000, cached=8_000, written=1_000, provider="openai"),
        0.0032,
    ),
    "1.1 in, 0.275 cached, 4.4 out, reasoning among it": (
        call("o4-mini", read=2_000, cached=1_000, written=3_000, reasoning=2_500, provider="openai"),
        0.014575,
    ),
    "2.5 in, 1.25 cached, 10 out": (call("gpt-4o", read=100, cached=40, written=10, provider="openai"), 0.0003),
    "3 in, 0.3 from cache, 15 out": (
        call("claude-sonnet-4-20250514", read=5_000, cached=4_000, written=200, provider="anthropic"),
        0.0072,
    ),
    "1.25 in, 10 out": (call("gemini-2.5-pro", read=100_000, written=1_000, provider="gcp.gemini"), 0.135),
    "2.5 in, 15 out beyond 200,000 tokens": (
        call("gemini-2.5-pro", read=300_000, written=1_000, provider="gcp.gemini"),
        0.765,
    ),
    "0.8 in, 4 out": (call("claude-3-5-haiku-latest", read=1_000, written=1_000, provider="anthropic"), 0.0048),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_call_costs_what_the_price_list_says(name: str) -> None:
    """Tokens times the published price of their kind, done by hand."""
    facts, dollars = GOLDEN[name]
    assert dollars == Prices().amount(facts, NOW)


# ------------------------------------------------------------------------------------------- against the list itself
def models() -> list[tuple[str, Any]]:
    """Every model of the price list, and its provider's id."""
    return [(provider.id, model) for provider in get_snapshot().providers for model in provider.models]


USAGES = [
    # read, written, cached, reasoning
    (0, 0, 0, 0),
    (1, 1, 0, 0),
    (1_000, 500, 300, 200),
    (127_999, 1, 127_999, 1),
    (128_001, 70, 0, 70),
    (200_000, 4_321, 199_999, 0),
    (200_001, 4_321, 5, 4_321),
    (1_000_003, 65_537, 999_999, 65_000),
]


def agree(model: Any) -> None:
    """Our amount is the list's, in every tier, at moments of all its prices."""
    for moment in ("2024-01-01T02:00:00", "2025-06-30T20:30:00", "2026-10-01T12:00:00"):
        when = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc)
        price = model.get_prices(when)
        tariff = cost.tariff(price)
        for read, written, cached, reasoning in USAGES:
            usage = Usage(
                input_tokens=read,
                output_tokens=written,
                cache_read_tokens=cached,
                output_reasoning_tokens=reasoning,
            )
            theirs = Decimal(price.calc_price(usage)["total_price"])
            ours = tariff.amount(read, written, cached, reasoning)
            assert abs(theirs - Decimal(str(ours))) <= Decimal(1).scaleb(-PLACES), (model.id, usage)


@settings(max_examples=40)
@given(st.sampled_from([model for _, model in models()]))
def test_amounts_are_those_of_the_price_list(model: Any) -> None:
    """For any model our amount for any usage is the list's, to 12 places."""
    agree(model)


@pytest.mark.long
def test_amounts_are_those_of_the_whole_price_list() -> None:
    """For every model there is our amount for any usage is the list's to 12 places."""
    for _, model in models():
        agree(model)


# ---------------------------------------------------------------------------------------------------- what is unknown
@pytest.mark.parametrize(
    "facts",
    [
        call("no-such-model-anywhere", read=1, written=1),
        call("gpt-4.1"),
        call(None, read=1, written=1),
        call("gpt-4.1", read=1, written=1, provider="my-own-gateway"),
        call("claude-sonnet-4-20250514", read=1, written=1, provider="openai"),
    ],
    ids=["model", "usage", "no model", "seller", "another's model"],
)
def test_what_is_unknown_has_no_price(facts: Mapping[str, Any]) -> None:
    """A call whose model, seller or tokens nobody knows costs None, never 0."""
    assert Prices().amount(facts, NOW) is None


@pytest.mark.parametrize(
    "facts",
    [
        call("my-alias", read=1_000, written=0, answered="gpt-4.1-2025-04-14", provider="openai"),
        call("gpt-4.1", read=1_000, written=0, answered="deployment-7", provider="openai"),
        call("gpt-4.1", read=1_000, written=0, provider="smolagents"),
        call("gpt-4.1", read=1_000, provider="my-own-gateway", server="api.openai.com"),
    ],
    ids=["what answered", "what was asked for", "whoever sells it", "the address"],
)
def test_a_model_is_found_by_whatever_tells(facts: Mapping[str, Any]) -> None:
    """The model that answered counts, else the one asked for; a known address tells the seller, whatever the class."""
    assert Prices().amount(facts, NOW) == 0.002


def test_more_cached_than_read_is_all_that_was_read() -> None:
    """Parts that are larger than their whole are cut to it: an amount is never negative, or too large."""
    prices = Prices({"m": {"input": 10, "output": 10, "cached": 1, "reasoning": 20}})
    assert prices.amount(call("m", read=1_000_000, cached=2_000_000, written=1_000_000, reasoning=9**9), NOW) == 21


# -------------------------------------------------------------------------------------------------- one's own table
def test_ones_own_table_wins() -> None:
    """A price from settings is taken before a published one; what it leaves out costs what its kind costs."""
    prices = Prices({"gpt-4.1": {"input": 1, "output": 2}})
    assert prices.amount(call("gpt-4.1", read=10**6, cached=10**6, written=10**6, reasoning=5), NOW) == 3
    assert prices.amount(call("x", read=10**6, written=0, answered="gpt-4.1", provider="whoever"), NOW) == 1


_rates = st.integers(0, 10**6).map(lambda price: price / 10_000)
_tokens = st.integers(0, 10**7)


@given(_rates, _rates, _rates, _rates, _tokens, _tokens, st.data())
def test_an_amount_is_the_sum_of_its_parts(
    read_price: float,
    cached_price: float,
    written_price: float,
    reasoning_price: float,
    read: int,
    written: int,
    data: Any,
) -> None:
    """Each token is paid for once, by the rate of its kind, and the sum is exact to the last place."""
    cached, reasoning = data.draw(st.integers(0, read)), data.draw(st.integers(0, written))
    own = {"input": read_price, "output": written_price, "cached": cached_price, "reasoning": reasoning_price}
    amount = Prices({"m": own}).amount(call("m", read=read, written=written, cached=cached, reasoning=reasoning), NOW)
    parts = (
        (read - cached, read_price),
        (cached, cached_price),
        (written - reasoning, written_price),
        (reasoning, reasoning_price),
    )
    exact = sum(Decimal(count) * Decimal(str(price)) for count, price in parts) / 1_000_000
    assert float(exact) == pytest.approx(amount, rel=1e-12, abs=1e-12)


# --------------------------------------------------------------------------------------------------- when it goes wrong
class Broken(Prices):
    """A price list that cannot be read, and says how often it was tried."""

    tried = 0

    def _find(self, *_: Any) -> Any:
        self.tried += 1
        raise ZeroDivisionError


def test_a_price_list_that_fails_costs_nothing_but_the_price() -> None:
    """A call whose look-up fails is recorded whole, unpriced; the failure is counted, and the look-up made once."""
    with capture(strict=False) as captured:
        recorder = captured.runtime.recorder
        recorder._prices = Broken()
        for _ in range(3):
            with tachograph.model("m") as handle:
                handle.usage(input_tokens=1, output_tokens=2)
    metrics = captured.ledger.total()
    assert (3, 9, ["m"]) == (metrics.total_requests, metrics.total_tokens, metrics.cost["unpriced_models"])
    assert ({"Prices.amount": 1}, 1) == (captured.runtime.guard.swallowed(), recorder._prices.tried)


class Slow(Prices):
    """A price list that takes its time to be read, by the clock of the test."""

    def __init__(self, clock: TickingClock, seconds: int) -> None:
        super().__init__()
        self._read = lambda: [clock() for _ in range(seconds * 1_000)]

    def ready(self) -> None:
        """Takes as long."""
        self._read()

    def amount(self, *_: Any) -> float:
        """Takes as long."""
        self._read()
        return 1.0


def test_looking_a_price_up_is_not_the_calls_time() -> None:
    """However long the price list takes, the duration of the call, and of the first run, has none of it."""
    clock = TickingClock()
    with capture(clock=clock) as captured:
        captured.runtime.recorder._prices = Slow(clock, seconds=5)
        with tachograph.model("m"):
            pass
        with tachograph.agent("a"):
            pass
    metrics = captured.ledger.total()
    assert (1.0, 1.0, 1.0) == (metrics.total_duration_ms, metrics.processing_duration_ms, metrics.cost["amount"])


# --------------------------------------------------------------------------------------------------- everywhere equal
def test_the_cost_is_the_same_in_every_writing(captured: Capture) -> None:
    """What a call costs is on its span, in its request, its model's row, the session, the total and the metrics."""
    with tachograph.session("s"):
        for _ in range(3):
            with tachograph.model("gpt-4.1", provider="openai") as handle:
                handle.usage(input_tokens=1_000, cached_tokens=400, output_tokens=500)
    metrics = captured.ledger.session_metrics("s")
    assert [0.0054] * 3 == [span.attributes[names.COST] for span in captured.spans]
    assert [0.0054] * 3 == [request["cost"] for request in metrics.requests]
    points = {name: point.value for name, _, point in captured.points() if "cost" in name}
    assert {names.SPENT: pytest.approx(0.0162), names.SESSION_COST: 0.0162} == points
    assert [0.0162] * 4 == [
        metrics.cost["amount"],
        metrics.tokens_by_model["gpt-4.1"]["cost"],
        captured.ledger.total().cost["amount"],
        captured.spans_only.session_metrics("s").cost["amount"],
    ]
