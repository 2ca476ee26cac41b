"""An audit entry in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tachograph.figures import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.views.audit import Entry

_MAX_VALUE: Final = 200
"""Characters of one value that has no line of its own."""

_HEAD: Final = frozenset(
    {"timestamp", "event_type", "event_id", "session_id", "correlation_id", "trace_id", "span_id", "critical"}
)


def told(entry: Entry) -> str:
    """What an entry says beside its time, type and session: who, what, how it ended."""
    known = _TELL.get(entry["event_type"])
    return (None if known is None else known(entry)) or _anything(entry)


def _anything(entry: Entry) -> str:
    parts = []
    for key, value in entry.items():
        if key not in _HEAD and value is not None and value != "":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            parts.append(f"{key}={text[:_MAX_VALUE]}{'…' if len(text) > _MAX_VALUE else ''}")
    return " ".join(parts)


def _text(entry: Entry, *keys: str) -> str:
    return next((str(entry[key]) for key in keys if entry.get(key)), "")


def _error(entry: Entry) -> str:
    return ": ".join(filter(None, (_text(entry, "error_type"), _text(entry, "error", "error_message"))))


def _ended(entry: Entry, *more: str) -> str:
    took: Any = entry.get("duration_ms")
    outcome = entry.get("outcome")
    parts = [outcome if outcome != "ok" else "", "" if took is None else duration(took), *more]
    return ", ".join(part for part in parts if part)


def _switched(entry: Entry) -> str:
    why = entry.get("reason")
    return f"{_text(entry, 'from_agent')} → {_text(entry, 'to_agent')}" + (f" ({why})" if why else "")


def _agent_ended(entry: Entry) -> str:
    recovered = entry.get("recovered_errors")
    return f"{_text(entry, 'agent_type')}: " + _ended(
        entry, f"went on after {', '.join(map(str, recovered))}" if recovered else ""
    )


def _call_began(entry: Entry) -> str:
    counts = [
        f"{entry[key]:,} {word}"
        for key, word in (("messages_count", "messages"), ("tools_count", "tools"))
        if isinstance(entry.get(key), int)
    ]
    return f"{_text(entry, 'model')}{': ' if counts else ''}{', '.join(counts)}"


def _call_ended(entry: Entry) -> str:
    total = entry.get("total_tokens")
    tokens = f"{total:,} tokens" if isinstance(total, int) else "tokens unknown"
    return f"{_text(entry, 'model')}: " + _ended(entry, tokens, "asks for tools" if entry.get("has_tool_calls") else "")


def _requested(entry: Entry) -> str:
    by = _text(entry, "agent")
    refused = f": refused, {_error(entry)}" if entry.get("refused") else ""
    return f"{_text(entry, 'tool_name')}{f' by {by}' if by else ''}{refused}"


def _failed(entry: Entry) -> str:
    what = _text(entry, "tool_name", "agent_type", "model")
    above = ", handed up" if entry.get("handed_up") else ""
    return f"{what}: {_error(entry) or _text(entry, 'outcome')}{above}"


_TELL: Final[dict[str, Callable[[Entry], str]]] = {
    "agent_error": _failed,
    "agent_processing_completed": _agent_ended,
    "agent_processing_started": lambda entry: _text(entry, "agent_type"),
    "agent_registered": lambda entry: _text(entry, "agent_type"),
    "agent_switched": _switched,
    "llm_request_completed": _call_ended,
    "llm_request_failed": _failed,
    "llm_request_started": _call_began,
    "task_completed": lambda entry: f"{_text(entry, 'agent_type')}: {_text(entry, 'status')}",
    "task_started": lambda entry: _text(entry, "agent_type"),
    "tool_execution_completed": lambda entry: f"{_text(entry, 'tool_name')}: {_ended(entry)}",
    "tool_execution_failed": _failed,
    "tool_execution_requested": _requested,
    "tool_execution_started": lambda entry: _text(entry, "tool_name"),
}
"""Types with a line of their own; of the others every field is told."""
