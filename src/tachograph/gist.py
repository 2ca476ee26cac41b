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
            parts.append(f"{key}={_value(value)}")
    return " ".join(parts)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:_MAX_VALUE] + ("…" if len(text) > _MAX_VALUE else "")


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


def _asked(entry: Entry) -> str:
    tool, call_id = _text(entry, "tool_name"), _text(entry, "call_id")
    if not tool:
        return ""
    given = entry.get("arguments") or entry.get("arguments_names")
    parts = [tool, f"({call_id})" if call_id else "", _value(given) if given else ""]
    why = _text(entry, "reason")
    return " ".join(filter(None, parts)) + (f": {why}" if why else "")


def _decided(entry: Entry) -> str:
    tool, decision = _text(entry, "tool_name", "call_id"), _text(entry, "decision")
    if not (tool and decision):
        return ""
    by, took, changes = _text(entry, "decided_by"), entry.get("waiting_ms"), entry.get("changes")
    said = [decision, f"by {by}" if by else "", f"after {duration(took)}" if isinstance(took, int | float) else ""]
    changed = [str(key) for keys in changes.values() for key in keys] if isinstance(changes, dict) else []
    more = ["too late" if entry.get("late") else "", f"changed {', '.join(changed)}" if changed else ""]
    return f"{tool}: " + ", ".join(filter(None, (" ".join(filter(None, said)), *more)))


def _task_began(entry: Entry) -> str:
    task, asked = _text(entry, "agent_type", "task_name"), _text(entry, "description")
    return f"{task}{f': {asked}' if asked else ''}" if task else ""


def _task_ended(entry: Entry) -> str:
    task, took = _text(entry, "agent_type", "task_name"), entry.get("duration_ms")
    return f"{task}: {_text(entry, 'status')}{'' if took is None else f', {duration(took)}'}" if task else ""


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
    "hitl_approval_requested": _asked,
    "hitl_decision_made": _decided,
    "llm_request_completed": _call_ended,
    "llm_request_failed": _failed,
    "llm_request_started": _call_began,
    "task_completed": _task_ended,
    "task_started": _task_began,
    "tool_approval_required": _asked,
    "tool_execution_completed": lambda entry: f"{_text(entry, 'tool_name')}: {_ended(entry)}",
    "tool_execution_failed": _failed,
    "tool_execution_requested": _requested,
    "tool_execution_started": lambda entry: _text(entry, "tool_name"),
}
"""Types with a line of their own; of the others every field is told."""
