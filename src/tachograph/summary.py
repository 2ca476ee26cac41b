"""A session in a few lines of text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.figures import cut_short, tokens
from tachograph.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tachograph.ledger import Ledger
    from tachograph.views.session import SessionMetrics

_MAX_SESSIONS = 3
_MAX_NAMES = 6


def summary(ledger: Ledger) -> str:
    """The sessions last active, or nothing where no work was recorded."""
    worked = [
        metrics
        for session_id in ledger.sessions()
        if (metrics := ledger.session_metrics(session_id)).agent_runs or metrics.total_requests or metrics.tool_calls
    ]
    if not worked:
        return ""
    parts = [session_summary(metrics) for metrics in worked[-_MAX_SESSIONS:]]
    if len(worked) > _MAX_SESSIONS:
        total = ledger.total()
        parts.append(f"… and {len(worked) - _MAX_SESSIONS} more sessions; {total.total_tokens:,} tokens in all")
    return "\n".join(parts)


def session_summary(metrics: SessionMetrics) -> str:
    """One session: what it did, what it used, what went wrong."""
    return "\n".join(printable(line) for line in _lines(metrics))


def _lines(metrics: SessionMetrics) -> Iterator[str]:
    yield f"Tachograph · session {metrics.session_id} · {metrics.processing_duration_ms / 1000:.2f} s of agent time"
    runs = ", ".join(f"{name} {_times(int(agent['count']))}" for name, agent in _most(metrics.agents, "count"))
    switches = ", ".join(f"{pair.replace('_to_', ' → ')} {_times(n)}" for pair, n in metrics.switches.items())
    short = cut_short(metrics.outcomes)
    ended = f" · {short}" if short else ""
    yield f"  agents    {_count(metrics.agent_runs, 'run')} ({runs}){ended}" if runs else "  agents    none"
    if switches:
        yield f"  switches  {metrics.agent_switches} ({switches})"
    unhappy = [
        f"{n} {word}"
        for n, word in ((metrics.failed_requests, "failed"), (metrics.incomplete_requests, "incomplete"))
        if n
    ]
    models = ", ".join(
        f"{name} {tokens(model['total_tokens'], whole=name not in metrics.unmetered)}"
        for name, model in _most(metrics.tokens_by_model, "total_tokens")
    )
    yield (
        f"  models    {_count(metrics.total_requests, 'request')}"
        + (f", {', '.join(unhappy)}" if unhappy else "")
        + (f" · tokens by model: {models}" if models else "")
    )
    yield f"  tokens    {_tokens(metrics)} · {_cost(metrics)}"
    tools = ", ".join(
        f"{name} {_times(int(tool['requested']))}" + _troubles(tool)
        for name, tool in _most(metrics.tools, "requested")
        if tool["requested"]  # and not only asked about
    )
    yield f"  tools     {_count(metrics.tool_calls, 'call')} ({tools})" if tools else "  tools     none"
    failures = _by_type(metrics.errors_by_agent)
    recovered = _by_type(metrics.recovered_errors_by_agent)
    yield (
        f"  errors    {metrics.errors}"
        + (f" ({failures})" if failures else "")
        + (f" · recovered {metrics.recovered_errors} ({recovered})" if recovered else "")
    )


def _tokens(metrics: SessionMetrics) -> str:
    if metrics.unmetered and not metrics.total_tokens:
        return "unknown"
    parts = [f"{metrics.total_prompt_tokens:,} in", f"{metrics.total_completion_tokens:,} out"]
    if metrics.cached_tokens:
        parts[0] += f" ({metrics.cached_tokens:,} cached)"
    if metrics.reasoning_tokens:
        parts[1] += f" ({metrics.reasoning_tokens:,} reasoning)"
    return f"{tokens(metrics.total_tokens, whole=not metrics.unmetered)} = {' + '.join(parts)}"


def _cost(metrics: SessionMetrics) -> str:
    amount, unpriced = metrics.cost["amount"], metrics.cost["unpriced_models"]
    if amount is None:
        return "price unknown"
    without = f", without calls of {', '.join(unpriced[:_MAX_NAMES])} (price or tokens unknown)" if unpriced else ""
    return f"{'≥ ' if unpriced else ''}{amount:.4f} {metrics.cost['currency']}{without}"


def _troubles(tool: Mapping[str, float]) -> str:
    troubles = [f"{int(tool[word])} {word}" for word in ("failed", "refused") if tool[word]]
    return f" [{', '.join(troubles)}]" if troubles else ""


def _by_type(table: dict[str, dict[str, int]]) -> str:
    return ", ".join(f"{name}: {kind} {_times(n)}" for name, kinds in table.items() for kind, n in kinds.items())


def _most(table: Mapping[str, Mapping[str, Any]], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(table.items(), key=lambda item: (-item[1][key], item[0]))[:_MAX_NAMES]


def _times(n: int) -> str:
    return f"×{n}"  # noqa: RUF001 - the multiplication sign is meant


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"
