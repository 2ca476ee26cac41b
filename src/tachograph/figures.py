"""Figures as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE


def duration(ms: float) -> str:
    """Milliseconds in the unit that suits them: ``12 ms``, ``0.99 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if 0 < ms < 1:
        return "<1 ms"
    if ms < 100:  # noqa: PLR2004 - a tenth of a second
        return f"{ms:.0f} ms"
    if round(ms, -1) < _MINUTE:
        return f"{ms / 1_000:.2f} s"
    seconds = round(ms / 1_000)
    if ms < _HOUR:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3_600:,} h {seconds // 60 % 60:02} min"


def cost(told: Mapping[str, Any]) -> str:
    """What a session cost, as far as prices are known."""
    amount = told.get("amount")
    if not amount and told.get("complete"):
        return "-"
    if amount is None:
        return "unknown"
    return f"{'' if told.get('complete') else '≥ '}{amount:,.4f} {told.get('currency', '')}".rstrip()


def price(name: str, model: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """What the calls of one model cost, as far as prices are known, without the currency.

    Args:
        name: of the model.
        model: its row among the tokens by model.
        told: what all of them cost, which says of whose calls it is not known.
    """
    return cost({"amount": model.get("cost"), "complete": name not in told.get("unpriced_models", ())})


def tokens(count: int, *, whole: bool) -> str:
    """Tokens, as far as calls have said what they used; ``whole`` where all have."""
    return f"{count:,}" if whole else f"≥ {count:,}" if count else "-"


def size(count: float) -> str:
    """Bytes, as disks are sold: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:  # noqa: PLR2004 - a thousand of one is one of the next
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1_000
    return f"{count:,.1f} TB"


def counted(count: int, word: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def cut_short(outcomes: Mapping[str, int]) -> str:
    """The runs that neither ended well nor failed, by how they did: ``1 interrupted, 2 max_steps``."""
    return ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items() if outcome not in ("ok", "error"))


def local(timestamp: str | None, layout: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A moment of a view in local time."""
    if timestamp is None:
        return "-"
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).astimezone().strftime(layout)


def parted(pair: str, agents: Iterable[str]) -> tuple[str, str]:
    """``a_to_b`` as ``a`` and ``b``, whatever the names have in them."""
    known = set(agents)
    parts = pair.split("_to_")
    splits = [("_to_".join(parts[:at]), "_to_".join(parts[at:])) for at in range(1, len(parts))]
    return max(splits, key=lambda split: sum(name in known for name in split), default=(pair, ""))


def handover(pair: str, agents: Iterable[str]) -> str:
    """``a_to_b`` as ``a → b``, whatever the names have in them."""
    return " → ".join(filter(None, parted(pair, agents)))
