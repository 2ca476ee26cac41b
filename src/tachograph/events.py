"""Public functions for what only the program knows: its sessions, messages, switches, approvals, thresholds.

Each is an entry of the audit log, a log event ``tachograph.<name>``, and a copy on the current span. The session and
the request are those of the code that calls, unless given. ``fields`` are the program's own. Of ``content``,
``arguments`` and the like only names and a digest are kept, unless content is captured. Nothing here raises into the
program; a call that makes no sense is counted in ``stats()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph import names, runtime
from tachograph.context import Scope, clean_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.recorder import Recorder


def emit(
    event_type: str,
    payload: Mapping[str, Any] | None = None,
    *,
    session_id: str | None = None,
    correlation_id: str | None = None,
    user_id: str | None = None,
) -> None:
    """Report an event of any type.

    Args:
        event_type: one of the audit log's types.
        payload: the fields that belong to it.
        session_id: whose it is; by default that of the code that calls.
        correlation_id: likewise.
        user_id: likewise.

    Raises:
        ValueError: for a type that does not exist.
    """
    if event_type not in names.EVENTS:
        raise ValueError(f"event_type={event_type!r}: no such type; there are: {', '.join(names.EVENTS)}")
    tachograph = runtime.current()
    if not tachograph.enabled:
        return
    if session_id is correlation_id is user_id is None:
        tachograph.guard(tachograph.recorder.event, event_type, payload or {})
    else:
        tachograph.guard(_report, tachograph.recorder, event_type, payload or {}, session_id, correlation_id, user_id)


def _report(recorder: Recorder, event_type: str, payload: Mapping[str, Any], *ids: str | None) -> None:
    session_id, correlation_id, user_id = (None if given is None else clean_id(given) for given in ids)
    around = recorder.scope()
    if session_id is not None and session_id != around.session_id:
        scope = Scope(session_id, correlation_id, user_id, explicit=True)
    else:
        scope = around._replace(
            correlation_id=correlation_id or around.correlation_id,
            user_id=user_id or around.user_id,
            explicit=around.explicit or session_id is not None,
        )
    recorder.event(event_type, payload, scope)


# ---------------------------------------------------------------------------------------------------------- sessions
def session_created(session_id: str, **fields: Any) -> None:
    """A session has begun, such as a conversation."""
    emit("session_created", fields, session_id=session_id)


def session_updated(session_id: str, **fields: Any) -> None:
    """A session's data has changed."""
    emit("session_updated", fields, session_id=session_id)


def session_deleted(session_id: str, **fields: Any) -> None:
    """A session was deleted. Critical."""
    emit("session_deleted", fields, session_id=session_id)


def message_added(
    session_id: str | None = None, *, role: str | None = None, content: Any = None, **fields: Any
) -> None:
    """A message was added to a session."""
    emit("message_added", {"role": role, "content": content, **fields}, session_id=session_id)


# ------------------------------------------------------------------------------------------------------------ agents
def agent_registered(agent_type: str, **fields: Any) -> None:
    """An agent is there and can be given work."""
    emit("agent_registered", {"agent_type": agent_type, **fields})


def agent_switched(
    from_agent: str | None,
    to_agent: str,
    reason: str | None = None,
    *,
    session_id: str | None = None,
    correlation_id: str | None = None,
    **fields: Any,
) -> None:
    """Work was handed over from one agent to another. Critical. ``confidence`` and the like are fields."""
    payload = {"from_agent": from_agent, "to_agent": to_agent, "reason": reason, **fields}
    emit("agent_switched", payload, session_id=session_id, correlation_id=correlation_id)


# --------------------------------------------------------------------------------------------------------- approvals
def tool_approval_required(
    tool_name: str,
    call_id: str | None = None,
    *,
    arguments: Any = None,
    reason: str | None = None,
    timeout_seconds: float | None = None,
    **ids: str | None,
) -> None:
    """A tool is not to run before a human agrees. Critical. With the same call id it is the same approval as others."""
    payload = {"tool_name": tool_name, "call_id": call_id, "arguments": arguments, "reason": reason}
    emit("tool_approval_required", {**payload, "timeout_seconds": timeout_seconds}, **ids)


def hitl_approval_requested(
    call_id: str | None = None,
    tool_name: str | None = None,
    *,
    arguments: Any = None,
    reason: str | None = None,
    timeout_seconds: float | None = None,
    **ids: str | None,
) -> None:
    """A human was asked. Critical. See :func:`tachograph.request_approval` for the same with a handle."""
    payload = {"call_id": call_id, "tool_name": tool_name, "arguments": arguments, "reason": reason}
    emit("hitl_approval_requested", {**payload, "timeout_seconds": timeout_seconds}, **ids)


def hitl_decision_made(
    call_id: str,
    decision: str,
    *,
    tool_name: str | None = None,
    original_args: Any = None,
    modified_args: Any = None,
    decided_by: str | None = None,
    **ids: str | None,
) -> None:
    """A human has decided: ``APPROVE``, ``EDIT`` or ``REJECT``. Critical."""
    payload = {
        "call_id": call_id,
        "decision": decision,
        "tool_name": tool_name,
        "original_args": original_args,
        "modified_args": modified_args,
        "decided_by": decided_by,
    }
    emit("hitl_decision_made", payload, **ids)


# ------------------------------------------------------------------------------------------------------------ system
def system_startup(**fields: Any) -> None:
    """The program is ready for work."""
    emit("system_startup", fields)


def system_shutdown(**fields: Any) -> None:
    """The program takes no more work."""
    emit("system_shutdown", fields)


def threshold_exceeded(
    metric: str, value: float, limit: float, *, session_id: str | None = None, **fields: Any
) -> None:
    """A figure is above what it is to be. Critical."""
    emit("threshold_exceeded", {"metric": metric, "value": value, "limit": limit, **fields}, session_id=session_id)
