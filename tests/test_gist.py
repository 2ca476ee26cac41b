"""An audit entry is one line that says who, what, and how it ended."""

from __future__ import annotations

import pytest

from support.records import event, identifier, ledger_of, operation
from tachograph import names
from tachograph.gist import told

FAILED = {"outcome": "error", "error_type": "ValueError", "error_message": "it broke"}
TOKENS = {names.INPUT_TOKENS: 1_000, names.OUTPUT_TOKENS: 234, names.RESPONSE_TOOL_CALLS: 1}


def lines(*records) -> dict[str, str]:
    """The lines of the entries that records give, by type."""
    return {entry["event_type"]: told(entry) for entry in ledger_of(records).audit_log()}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            operation(1, "agent", "boss", attributes={names.RECOVERED: ("ValueError", "KeyError")}),
            {
                "task_started": "boss",
                "agent_processing_started": "boss",
                "agent_processing_completed": "boss: 1.00 s, went on after ValueError, KeyError",
                "task_completed": "boss: ok",
            },
        ),
        (
            operation(
                1,
                "agent",
                "clerk",
                attributes={names.NESTED: True, names.SWITCH_FROM: "boss", names.SWITCH_REASON: "knows prices"},
                **FAILED,
            ),
            {
                "agent_switched": "boss → clerk (knows prices)",
                "agent_processing_started": "clerk",
                "agent_error": "clerk: ValueError: it broke",
                "agent_processing_completed": "clerk: error, 1.00 s",
            },
        ),
        (
            operation(1, "model", "big", attributes={names.REQUEST_MESSAGES: 3, names.REQUEST_TOOLS: 2, **TOKENS}),
            {
                "llm_request_started": "big: 3 messages, 2 tools",
                "llm_request_completed": "big: 1.00 s, 1,234 tokens, asks for tools",
            },
        ),
        (
            operation(1, "model", "big", outcome="abandoned"),
            {"llm_request_started": "big", "llm_request_completed": "big: abandoned, 1.00 s, tokens unknown"},
        ),
        (
            operation(1, "model", "big", **FAILED),
            {"llm_request_started": "big", "llm_request_failed": "big: ValueError: it broke"},
        ),
        (
            operation(1, "tool", "search", agent="boss"),
            {
                "tool_execution_requested": "search by boss",
                "tool_execution_started": "search",
                "tool_execution_completed": "search: 1.00 s",
            },
        ),
        (
            operation(1, "tool", "search", **{**FAILED, "outcome": "refused"}),
            {"tool_execution_requested": "search: refused, ValueError: it broke"},
        ),
        (
            operation(1, "tool", "search", outcome="interrupted"),
            {
                "tool_execution_requested": "search",
                "tool_execution_started": "search",
                "tool_execution_failed": "search: interrupted",
            },
        ),
        (event(1, "agent_registered", agent_type="boss"), {"agent_registered": "boss"}),
    ],
)
def test_what_operations_tell(record, expected):
    """Each derived entry has a line of its own."""
    assert expected == lines(record)


def test_other_entries_tell_every_field():
    """A type without a line of its own shows what it carries, long values cut and absent ones left out."""
    found = lines(
        event(1, "threshold_exceeded", figure="tokens", limit=10, about={"a": [1]}, note=None, text="x" * 300)
    )

    assert {"threshold_exceeded": f'figure=tokens limit=10 about={{"a": [1]}} text={"x" * 200}…'} == found


def test_a_known_type_without_its_fields_tells_what_there_is():
    """An entry from elsewhere that lacks what its type should say shows the rest."""
    assert {"agent_registered": "by=somebody"} == lines(event(1, "agent_registered", by="somebody"))
    assert {"task_started": f"task_id={identifier(1)}"} == {
        kind: line for kind, line in lines(operation(1, "agent", "")).items() if kind == "task_started"
    }
