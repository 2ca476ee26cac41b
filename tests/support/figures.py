"""What tests compare: recorded figures as plain values, and the bills they are held against."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripted_llm import ScriptedLLM
    from support.agents import ScriptedModel
    from tachograph.testing import Capture
    from tachograph.views.session import SessionMetrics

_VARYING = ("duration_ms", "first_seen", "last_seen", "timestamp")


def tree(captured: Capture) -> list[str]:
    """Operations as an indented list: kind, name and what went wrong."""
    entries = captured.ledger.timeline().entries
    return [
        "  " * entry.depth
        + " ".join(filter(None, (entry.kind, entry.name, entry.outcome if entry.outcome != "ok" else "")))
        for entry in entries
        if entry.kind != "event"
    ]


def without_times(value: Any) -> Any:
    """A view's figures without durations, moments and ids."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if not key.endswith(_VARYING)}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def sent(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An audit log without what is kept here and never sent."""
    return [
        {name: value for name, value in entry.items() if name not in ("environment", "code_changes")} for entry in log
    ]


Used = dict[str, tuple[int, ...]]


def used(metrics: SessionMetrics) -> Used:
    """What each model was asked and used, as recorded: calls, prompt and completion tokens."""
    return {
        model: (figures["requests"], figures["prompt_tokens"], figures["completion_tokens"])
        for model, figures in metrics.tokens_by_model.items()
    }


def billed(*models: ScriptedModel) -> Used:
    """The same by the models' own count."""
    bills: dict[str, Counter[str]] = {}
    for model in models:
        bills.setdefault(model.model_id or type(model).__name__, Counter()).update(vars(model.bill))
    return {name: (bill["calls"], bill["prompt"], bill["completion"]) for name, bill in bills.items()}


def tokens(metrics: SessionMetrics) -> Used:
    """Tokens of each model as recorded: prompt, completion, cached and reasoning."""
    return {
        model: tuple(figures[f"{kind}_tokens"] for kind in ("prompt", "completion", "cached", "reasoning"))
        for model, figures in metrics.tokens_by_model.items()
    }


def charged(llm: ScriptedLLM) -> Used:
    """The same by the bill of the server."""
    return {
        model: (bill.prompt_tokens, bill.completion_tokens, bill.cached_tokens, bill.reasoning_tokens)
        for model, bill in llm.bill().items()
    }


def ran(metrics: SessionMetrics) -> Used:
    """Calls of each tool: requested, completed, failed and refused."""
    return {
        tool: tuple(int(figures[how]) for how in ("requested", "completed", "failed", "refused"))
        for tool, figures in metrics.tools.items()
    }
