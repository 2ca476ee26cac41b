"""One session on a page: its figures, what ran when, what was decided, what it was made of."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from tachograph import figures
from tachograph.facts import settled
from tachograph.pages.differences import differences
from tachograph.pages.markup import render
from tachograph.pages.sessions import whole
from tachograph.pages.waterfall import state_of, waterfall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tachograph.pages.frame import Frame
    from tachograph.records import Operation
    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics

ROWS: Final = 300
"""Rows of the timeline on a page."""

_DECISIONS: Final = 100
_SWITCHES: Final = 10_000


class UnknownSessionError(LookupError):
    """There is no such session."""


def page(source: Source, frame: Frame, asked: Mapping[str, str], session_id: str) -> str:
    """One session, or by ``correlation_id`` one request within it; from row ``offset`` of its timeline on.

    Raises:
        UnknownSessionError: for a session or request that nothing is known of.
        SourceError, OSError, sqlite3.Error: where the source cannot be read.
    """
    correlation_id = asked.get("correlation_id") or None
    facts = told(source, session_id, correlation_id, rows=ROWS, offset=whole(asked.get("offset"), 0))
    return render("session.html", frame=frame, **facts)


def told(
    source: Source, session_id: str, correlation_id: str | None = None, *, rows: int, offset: int = 0
) -> dict[str, Any]:
    """What the page of a session says, for its template.

    Raises:
        UnknownSessionError: for a session or request that nothing is known of.
        SourceError, OSError, sqlite3.Error: where the source cannot be read.
    """
    metrics = source.session_metrics(session_id, correlation_id)
    if metrics.first_seen is None:
        raise UnknownSessionError(f"session {session_id!r}: there is none in {source.place}")
    now_ns = time.time_ns()
    under_way = [
        operation
        for operation in source.open_operations()
        if operation.session_id == session_id
        and correlation_id in (None, operation.correlation_id)
        and settled(operation, now_ns).end_ns is None
    ]
    within: dict[str, Any] = {"session_id": session_id, "correlation_id": correlation_id}
    switches = (
        source.audit_log(**within, event_type="agent_switched", limit=_SWITCHES) if metrics.agent_switches else []
    )
    human = source.audit_log(**within, category="hitl", limit=_DECISIONS)
    decided = [entry for entry in human if entry["event_type"] == "hitl_decision_made"]
    fall = waterfall(source.timeline(**within), under_way, switches, now_ns, limit=rows, offset=offset)
    return {
        "metrics": metrics,
        "correlation_id": correlation_id,
        "timeline": fall,
        "rows": rows,
        "under_way": [_open(operation, now_ns) for operation in under_way],
        "decisions": [{**entry, "differences": differences(entry.get("changes"))} for entry in reversed(decided)],
        "switched": _ordered(
            (*figures.parted(pair, metrics.agents), count) for pair, count in metrics.switches.items()
        ),
        "troubles": [*_troubles(metrics)],
        "most_tokens": max((model["total_tokens"] for model in metrics.tokens_by_model.values()), default=0),
        "most_time": max((agent["total_duration_ms"] for agent in metrics.agents.values()), default=0),
    }


def _ordered(pairs: Iterable[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


def _open(operation: Operation, now_ns: int) -> dict[str, Any]:
    age_ms = max(0.0, (now_ns - operation.start_ns) / 1_000_000)
    return {
        "id": operation.id,
        "kind": operation.kind,
        "name": operation.name,
        "agent": operation.agent,
        "since_ms": operation.start_ns // 1_000_000,
        "age_ms": age_ms,
        "state": state_of(operation.kind, None, age_ms),
    }


def _troubles(metrics: SessionMetrics) -> Iterable[tuple[str, str, str, int, str]]:
    """Whose error, of what type, how often, and what came of it: what it is, its name, the type, times, the end."""
    for by_agent, ending in (
        (metrics.errors_by_agent, "ended the run"),
        (metrics.recovered_errors_by_agent, "went on after it"),
    ):
        for agent, types in by_agent.items():
            for error_type, count in types.items():
                yield "agent", agent, error_type, count, ending
    for what, types in (("tools", metrics.tool_errors), ("models", metrics.llm_errors)):
        for error_type, count in types.items():
            yield what, "", error_type, count, ""
