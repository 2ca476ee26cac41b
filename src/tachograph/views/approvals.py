"""What was a human asked, what did they decide, how long did it take, and what came of it?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.facts import EXPIRED, PENDING, settled
from tachograph.records import Operation
from tachograph.times import milliseconds, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.records import Record


def approvals_view(
    records: Iterable[Record], now_ns: int, *, session_id: str | None = None, pending: bool | None = None
) -> list[dict[str, Any]]:
    """Approvals, oldest first.

    ``status`` is ``pending``, the decision, or ``EXPIRED``; of one that expired ``late_decision`` is what was decided
    afterwards, and ``waiting_ms`` the time that there was. ``changes`` is what an EDIT changed; ``execution`` the call
    it allowed, by its call id.

    Args:
        records: operations; others are passed over.
        now_ns: the moment, in nanoseconds since the epoch.
        session_id: only those of this session.
        pending: only those that wait for a decision, or only the others.
    """
    asked: dict[str, Operation] = {}
    calls: dict[tuple[str, Any], list[Operation]] = {}
    for record in records:
        if isinstance(record, Operation) and session_id in (None, record.session_id):
            if record.kind == "approval":
                asked[record.id] = record
            elif record.kind == "tool" and names.TOOL_CALL_ID in record.attributes:
                calls.setdefault((record.session_id, record.attributes[names.TOOL_CALL_ID]), []).append(record)
    found = [
        _approval(record, now_ns, calls.get((record.session_id, record.attributes.get(names.TOOL_CALL_ID)), []))
        for record in sorted(asked.values(), key=lambda record: (record.start_ns, record.id))
    ]
    return [one for one in found if pending is None or (one["status"] == PENDING) == pending]


def _approval(record: Operation, now_ns: int, calls: list[Operation]) -> dict[str, Any]:
    facts = record.attributes
    asked = settled(record, now_ns)
    status = PENDING if asked.end_ns is None else asked.attributes.get(names.APPROVAL_DECISION) or EXPIRED
    original, modified = facts.get(names.APPROVAL_ARGUMENTS), facts.get(names.APPROVAL_EDITED)
    return {
        "id": record.id,
        "call_id": facts.get(names.TOOL_CALL_ID),
        "tool_name": record.name,
        "session_id": record.session_id,
        "correlation_id": record.correlation_id,
        "user_id": record.user_id,
        "agent": record.agent,
        "status": status,
        "reason": facts.get(names.APPROVAL_REASON),
        "timeout_seconds": facts.get(names.APPROVAL_TIMEOUT),
        "requested_at": timestamp(record.start_ns),
        "decided_at": None if record.end_ns is None else timestamp(record.end_ns),
        "waiting_ms": milliseconds((asked.end_ns or max(now_ns, asked.start_ns)) - asked.start_ns),
        "decided_by": facts.get(names.APPROVAL_BY),
        "late_decision": facts.get(names.APPROVAL_LATE),
        "arguments": _read(original),
        "modified_arguments": _read(modified),
        "changes": changes(original, modified),
        "argument_names": list(facts.get(names.APPROVAL_NAMES, ())),
        "arguments_digest": facts.get(names.APPROVAL_DIGEST),
        "modified_digest": facts.get(names.APPROVAL_EDITED_DIGEST),
        "execution": _execution([call for call in calls if _allowed(call, record)]),
    }


def _allowed(call: Operation, approval: Operation) -> bool:
    """Whether a call ran after the decision; one that asked for it itself was under way, and went on."""
    if approval.end_ns is None or call.outcome in ("refused", "waiting"):
        return False
    return call.start_ns >= approval.end_ns or call.id == approval.parent_id


def _execution(calls: list[Operation]) -> dict[str, Any] | None:
    if not calls:
        return None
    call = min(calls, key=lambda call: (call.start_ns, call.id))
    return {
        "id": call.id,
        "started_at": timestamp(call.start_ns),
        "outcome": call.outcome,
        "duration_ms": None if call.end_ns is None else milliseconds(call.duration_ns),
    }


def changes(original: str | None, modified: str | None) -> dict[str, dict[str, Any]] | None:
    """What an edit changed, from the JSON of both versions: what is ``added``, ``removed``, ``changed``."""
    before, after = _read(original), _read(modified)
    if modified is None:
        return None
    if not isinstance(before, dict) or not isinstance(after, dict):
        return {} if before == after else {"changed": {"": {"from": before, "to": after}}}
    parts = {
        "added": {key: after[key] for key in after if key not in before},
        "removed": {key: before[key] for key in before if key not in after},
        "changed": {
            key: {"from": before[key], "to": after[key]} for key in before if key in after and before[key] != after[key]
        },
    }
    return {name: part for name, part in parts.items() if part}


def _read(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
