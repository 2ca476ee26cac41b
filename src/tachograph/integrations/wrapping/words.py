"""The words of a table: which there are for each ``as``, what may stand for them, and when it has to be known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph import names
from tachograph.integrations.wrapping import values

if TYPE_CHECKING:
    from collections.abc import Callable


class Word(NamedTuple):
    """One word.

    Args:
        read: makes the value, or nothing, of what was found.
        slot: where the value goes: an attribute, for most.
        early: it has to be known when the call begins.
    """

    read: Callable[[Any], Any]
    slot: str
    early: bool = False


MANY: Final = "*"
"""The slot of a word that fills several."""

IDS: Final = {
    "session_id": Word(values.identifier, "session_id", early=True),
    "correlation_id": Word(values.identifier, "correlation_id", early=True),
    "user_id": Word(values.identifier, "user_id", early=True),
}

IF: Final = Word(values.whole, "if", early=True)

_OUTCOME: Final = {"outcome": Word(values.outcome, names.OUTCOME)}

WORDS: Final[dict[str, dict[str, Word]]] = {
    "agent": {
        "name": Word(values.word, names.AGENT_NAME, early=True),
        "description": Word(values.text, names.AGENT_DESCRIPTION),
        **_OUTCOME,
    },
    "model": {
        "model": Word(values.word, names.REQUEST_MODEL, early=True),
        "usage": Word(values.usage, MANY),
        "provider": Word(values.word, names.PROVIDER_NAME),
        "messages": Word(values.count, names.REQUEST_MESSAGES),
        "tools": Word(values.count, names.REQUEST_TOOLS),
        "stream": Word(values.flag, names.REQUEST_STREAM, early=True),
        "input_tokens": Word(values.count, names.INPUT_TOKENS),
        "output_tokens": Word(values.count, names.OUTPUT_TOKENS),
        "cached_tokens": Word(values.count, names.CACHED_TOKENS),
        "reasoning_tokens": Word(values.count, names.REASONING_TOKENS),
        "tool_calls": Word(values.count, names.RESPONSE_TOOL_CALLS),
        "response_id": Word(values.identifier, names.RESPONSE_ID),
        "response_model": Word(values.word, names.RESPONSE_MODEL),
        **_OUTCOME,
    },
    "tool": {
        "name": Word(values.word, names.TOOL_NAME, early=True),
        "call_id": Word(values.identifier, names.TOOL_CALL_ID),
        "refused": Word(values.flag, "refused", early=True),
        **_OUTCOME,
    },
    "task": {
        "name": Word(values.word, names.WORKFLOW_NAME, early=True),
        "id": Word(values.identifier, names.TASK_ID),
        "description": Word(values.text, names.TASK_DESCRIPTION),
        "category": Word(values.word, names.TASK_CATEGORY),
        "folder": Word(values.folder, names.TASK_FOLDER, early=True),
        **_OUTCOME,
    },
    "event": {},
}
"""By ``as``. The first word of an operation is its name."""

CONTENT: Final = {
    "tool": {
        "arguments": Word(values.whole, names.TOOL_ARGUMENTS),
        "result": Word(values.whole, names.TOOL_RESULT),
    }
}
"""Looked at only where content is captured."""

SWITCH: Final = {
    "from": Word(values.word, names.SWITCH_FROM, early=True),
    "to": Word(values.word, names.SWITCH_TO, early=True),
    "reason": Word(values.text, names.SWITCH_REASON, early=True),
}

SUMS: Final = (
    names.INPUT_TOKENS,
    names.OUTPUT_TOKENS,
    names.CACHED_TOKENS,
    names.REASONING_TOKENS,
    names.RESPONSE_TOOL_CALLS,
)
"""What each item of a stream may report a share of."""

ADDED: Final = (*SUMS, names.RESPONSE_ID, names.RESPONSE_MODEL)
"""What a model call inside of another adds to that, which is the one that counts."""

EMITTED: Final[dict[str, tuple[str, ...]]] = {
    "session_created": (),
    "session_updated": (),
    "session_deleted": (),
    "database_query_executed": (),
    "message_added": (),
    "agent_registered": (),
    "agent_switched": ("from_agent", "to_agent"),
    "tool_approval_required": ("tool_name",),
    "hitl_approval_requested": ("tool_name",),
    "hitl_decision_made": ("call_id", "decision"),
    "system_startup": (),
    "system_shutdown": (),
    "threshold_exceeded": (),
}
"""Events that a table may tell of, and what of their payload has to be known for that."""

DERIVED: Final = {"agent": "agent", "llm": "model", "tool": "tool", "task": "task"}
"""The other events are the start or end of an operation: by their category, the ``as`` that gives them."""

_FIELDS: Final = {
    "from_agent": values.word,
    "to_agent": values.word,
    "agent_type": values.word,
    "tool_name": values.word,
    "call_id": values.identifier,
    "reason": values.text,
    "role": values.word,
    "decision": values.decision,
    "decided_by": values.identifier,
}
RESERVED: Final = (*IDS, "timestamp", "event_type", "event_id", "trace_id", "span_id", "critical")
"""What every entry of the audit log has; the ids are words of the table itself."""

WHENS: Final = ("before", "after", "error", "item")
STYLES: Final = ("total", "delta")
UNTILS: Final = ("returned", "exhausted")

OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "agent": ("switch", "fields", "if", "until"),
    "model": ("usage_style", "fields", "if", "until"),
    "tool": ("arguments", "result", "fields", "if", "until"),
    "task": ("fields", "if", "until"),
    "event": ("event", "payload", "when", "if", "until"),
}
"""Words of a table that are more than one value found."""


def field(name: str) -> Word:
    """A field of an event's payload."""
    return Word(_FIELDS.get(name, values.plain), name)


def custom(name: str) -> Word:
    """A field of the program's own."""
    return Word(values.scalar, names.CUSTOM + name)
