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
        (
            operation(1, "task", "report", attributes={names.TASK_DESCRIPTION: "write it"}),
            {"task_started": "report: write it", "task_completed": "report: ok, 1.00 s"},
        ),
        (event(1, "agent_registered", agent_type="boss"), {"agent_registered": "boss"}),
    ],
)
def test_what_operations_tell(record, expected):
    """Each derived entry has a line of its own."""
    assert expected == lines(record)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"arguments": {"path": "a.py"}, "reason": "it writes"}, 'write_file (c-1) {"path": "a.py"}: it writes'),
        ({"arguments_names": ["path", "text"]}, 'write_file (c-1) ["path", "text"]'),
        ({"arguments": {"text": "x" * 300}}, f'write_file (c-1) {{"text": "{"x" * 190}…'),
        ({"call_id": None}, "write_file"),
        ({"tool_name": None, "by": "somebody"}, "call_id=c-1 by=somebody"),
    ],
)
def test_what_a_human_is_asked(fields, expected):
    """A question names the tool, the call to decide by, what it would be given, and why it is asked."""
    for kind in ("tool_approval_required", "hitl_approval_requested"):
        assert {kind: expected} == lines(event(1, kind, **{"tool_name": "write_file", "call_id": "c-1", **fields}))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"decision": "APPROVE"}, "write_file: APPROVE"),
        ({"decision": "REJECT", "decided_by": "ada", "waiting_ms": 1_500}, "write_file: REJECT by ada after 1.50 s"),
        ({"decision": "APPROVE", "late": True}, "write_file: APPROVE, too late"),
        (
            {"decision": "EDIT", "changes": {"added": {"mode": 1}, "changed": {"path": {"from": "a", "to": "b"}}}},
            "write_file: EDIT, changed mode, path",
        ),
        ({"decision": "EDIT", "changes": "[redacted]"}, "write_file: EDIT"),
        ({"decision": None}, "tool_name=write_file"),
    ],
)
def test_what_a_human_decided(fields, expected):
    """A decision names the tool, what was decided, who did, how long they took, and what they changed."""
    assert {"hitl_decision_made": expected} == lines(event(1, "hitl_decision_made", tool_name="write_file", **fields))


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
