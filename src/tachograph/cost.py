"""What a model call costs, by published prices or by a table of one's own.

The prices are those of ``genai-prices`` (extra ``prices``), which knows tiers, cached and reasoning tokens, and prices
that depend on the day; nothing is fetched. It takes some 80 microseconds a call to say so, so its answers are taken
apart once for each model: within a tier the price is a sum of tokens times rates, and the rates are asked of it.

A model nobody knows the price of costs ``None``, never 0.
"""

from __future__ import annotations

import importlib
from bisect import bisect_left
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CURRENCY: Final = "USD"

PLACES: Final = 12
"""Decimal places an amount has; what a single token costs has at most nine."""

_MILLION: Final = 1_000_000

_SELLERS: Final[dict[str, str]] = {
    # gen_ai.provider.name: the same in genai-prices. Whoever is not here is looked up by its own name.
    "anthropic": "anthropic",
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "groq": "groq",
    "mistral_ai": "mistral",
    "openai": "openai",
    "perplexity": "perplexity",
    "x_ai": "x-ai",
}
_WHOEVER: Final = frozenset({"litellm", "smolagents"})
"""Provider names that say who calls, not who sells: the model's name alone has to tell."""


_MAX_MODELS: Final = 1_000

_FINE: Final = 10**15
"""Rates are whole numbers of 1e-15 dollars, so that nothing is lost before the amount is rounded."""

_TO_PLACES: Final = _FINE // 10**PLACES


class Rates(NamedTuple):
    """What each token costs, and the call itself, in 1e-15 dollars.

    Of the tokens read those from a cache, and of those written the ones spent on reasoning, have rates of their own.
    """

    read: int
    cached: int
    written: int
    reasoning: int
    call: int = 0


class Tariff(NamedTuple):
    """A price: beyond each of ``starts`` input tokens, the next of the ``rates`` holds for all tokens of the call."""

    rates: tuple[Rates, ...]
    starts: tuple[int, ...] = ()

    def amount(self, read: int, written: int, cached: int, reasoning: int) -> float:
        """Dollars for so many tokens, to :data:`PLACES`; the cached are among the read, reasoning among the written."""
        rates = self.rates[bisect_left(self.starts, read)]
        cached, reasoning = min(cached, read), min(reasoning, written)
        fine = (
            (read - cached) * rates.read
            + cached * rates.cached
            + (written - reasoning) * rates.written
            + reasoning * rates.reasoning
            + rates.call
        )
        return (fine + _TO_PLACES // 2) // _TO_PLACES / 10**PLACES


class Prices:
    """Prices of model calls.

    Args:
        own: dollars per million tokens by model name, each with ``input``, ``output`` and, where they differ,
            ``cached`` and ``reasoning``. They win over the published ones.
    """

    def __init__(self, own: Mapping[str, Mapping[str, float]] | None = None) -> None:
        self._own = {model: _own_tariff(prices) for model, prices in (own or {}).items()}
        self._tariffs: dict[tuple[Any, ...], Tariff | Callable[[int], Tariff] | None] = {}

    def ready(self) -> None:
        """Read the published prices, which takes a tenth of a second or more; else the first question does."""
        _published()

    def amount(self, call: Mapping[str, Any], start_ns: int) -> float | None:
        """Dollars a call costs; None where its model's price or its tokens are not known.

        Args:
            call: its attributes, by the names of :mod:`tachograph.names`.
            start_ns: when it began, in nanoseconds since the epoch.
        """
        read, written = call.get(names.INPUT_TOKENS), call.get(names.OUTPUT_TOKENS)
        if read is None and written is None:
            return None
        tariff = self._tariff(
            call.get(names.RESPONSE_MODEL),
            call.get(names.REQUEST_MODEL),
            call.get(names.PROVIDER_NAME),
            call.get(names.SERVER_ADDRESS),
        )
        if tariff is None:
            return None
        if not isinstance(tariff, Tariff):
            tariff = tariff(start_ns)
        return tariff.amount(
            read or 0, written or 0, call.get(names.CACHED_TOKENS) or 0, call.get(names.REASONING_TOKENS) or 0
        )

    def _tariff(self, *sought: str | None) -> Tariff | Callable[[int], Tariff] | None:
        try:
            return self._tariffs[sought]
        except KeyError:
            if len(self._tariffs) >= _MAX_MODELS:
                self._tariffs.clear()
            # Should the look-up fail, it is not made again: an import that fails takes its time at every call.
            self._tariffs[sought] = None
            found = self._tariffs[sought] = self._find(*sought)
            return found

    def _find(
        self, answered: str | None, asked: str | None, provider: str | None, server: str | None
    ) -> Tariff | Callable[[int], Tariff] | None:
        """The price of a model, or what gives the one of a moment; None if nobody knows it."""
        # What answered is more exact, as it has a date; but a gateway may call it what it likes.
        wanted = [model for model in (answered, asked) if model]
        own = next((self._own[model] for model in wanted if model in self._own), None)
        if own is not None:
            return own
        published = _published()
        if published is None:
            return None
        for seller, url in _sellers(provider, server):
            for model in wanted:
                try:
                    found = published.find_provider_model(model, None, seller, url)[1]
                except LookupError:
                    continue
                if not isinstance(found.prices, list):
                    return tariff(found.prices)
                return partial(_of_moment, found, {id(entry.prices): tariff(entry.prices) for entry in found.prices})
        return None


def _sellers(provider: str | None, server: str | None) -> Iterator[tuple[str | None, str | None]]:
    """By whom to look a model up, the surest first: seller and address."""
    if server is not None:  # an address that is known tells who sells, whatever class talks to it
        yield None, f"https://{server}"
    if provider is None or provider in _WHOEVER:
        yield None, None
    else:  # the same model elsewhere, or on one's own machine, has another price or none
        yield _SELLERS.get(provider, provider), None


@lru_cache(maxsize=1)
def _published() -> Any:
    """The published prices; None where they are not installed."""
    try:
        return importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    except ImportError:
        return None


def _of_moment(model: Any, tariffs: Mapping[int, Tariff], start_ns: int) -> Tariff:
    """The tariff of a model whose price depends on the day, or the hour."""
    return tariffs[id(model.get_prices(datetime.fromtimestamp(start_ns / 1_000_000_000, timezone.utc)))]


def tariff(price: Any) -> Tariff:
    """A price of ``genai-prices`` taken apart, by asking for amounts in each of its tiers."""
    usage = importlib.import_module("genai_prices").Usage
    starts = sorted({tier.start for value in vars(price).values() for tier in getattr(value, "tiers", ())})

    def total(**tokens: int) -> Decimal:
        found: Decimal = price.calc_price(usage(**tokens))["total_price"]
        return found

    def rate(dollars: Decimal, tokens: int = 1) -> int:
        return round(dollars * _FINE / tokens)

    call, rates = total(), []
    for read in (min([_MILLION, *starts[:1]]), *(start + 1 for start in starts)):
        plain = total(input_tokens=read)
        written, reasoning = (
            total(input_tokens=read, output_tokens=_MILLION, output_reasoning_tokens=spent) for spent in (0, _MILLION)
        )
        cached = total(input_tokens=read, cache_read_tokens=read)
        rates.append(
            Rates(
                rate(plain - call, read),
                rate(cached - call, read),
                rate(written - plain, _MILLION),
                rate(reasoning - plain, _MILLION),
                rate(call),
            )
        )
    return Tariff(tuple(rates), tuple(starts))


def _own_tariff(prices: Mapping[str, float]) -> Tariff:
    read, written = prices["input"], prices["output"]
    dollars = read, prices.get("cached", read), written, prices.get("reasoning", written)
    return Tariff((Rates(*(round(Decimal(str(price)) * _FINE / _MILLION) for price in dollars)),))
