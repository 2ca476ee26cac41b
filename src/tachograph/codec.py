"""One codec: record to span or log event, and back.

The recorder writes with the functions here, and :func:`operation_from_span`, :func:`events_from_span` and
:func:`event_from_log` read what it wrote, from wherever it was kept, so that a session can be had from spans and log
events. A round-trip test keeps the writings equal.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from tachograph import names
from tachograph.clip import MAX_FIELD, as_json, clipped
from tachograph.content import outlined
from tachograph.records import Event, Kind, Operation, Outcome
from tachograph.spans import typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tachograph.spans import ReadLog, ReadSpan

OPERATION_NAMES: Final[dict[str, str]] = {
    "task": "invoke_workflow",
    "agent": "invoke_agent",
    "plan": "plan",
    "model": "chat",
    "tool": "execute_tool",
}
"""``gen_ai.operation.name`` of the kinds the GenAI conventions have a word for."""

_SPAN_WORDS: Final = {**OPERATION_NAMES, "code": "execute_code", "approval": "approval", "other": "operation"}
_KINDS: Final = {word: kind for kind, word in OPERATION_NAMES.items()}
_SUBJECTS: Final[dict[str, str]] = {
    "task": names.WORKFLOW_NAME,
    "agent": names.AGENT_NAME,
    "plan": names.AGENT_NAME,
    "model": names.REQUEST_MODEL,
    "tool": names.TOOL_NAME,
    "approval": names.TOOL_NAME,
}
_BY_AGENT: Final = frozenset({"plan", "tool"})
"""Kinds whose ``gen_ai.agent.name``, known from the start, is the run they are in unless another is given."""

_FIELDS: Final = frozenset(
    {
        names.CORRELATION_ID,
        names.ERROR_TYPE,
        names.EXCEPTION_MESSAGE,
        names.KIND,
        names.OPERATION_ID,
        names.OPERATION_NAME,
        names.OUTCOME,
        names.PARENT_ID,
        names.RUN_BY,
        names.SAMPLER,
        names.SESSION_ID,
        names.SUBJECT,
        names.USER_ID,
    }
)
"""Attributes that are fields of the record or about the span alone, so not among the record's ``attributes``."""

_EVENT_FIELDS: Final = (names.EVENT_ID, names.SESSION_ID, names.CORRELATION_ID, names.USER_ID)
_ALL_KINDS: Final = get_args(Kind)
_ID: Final = re.compile(r"[0-9a-f]{16}")

_WITH_LOCAL: Final = frozenset({"task", "approval"})
"""Kinds of which something is known from the start that is never sent."""

_LOCAL: Final = frozenset(attribute.name for attribute in names.ATTRIBUTES.values() if attribute.local)


def start_attributes(operation: Operation, *, span_parent_id: str | None, refused: bool = False) -> dict[str, Any]:
    """Attributes a span is started with: the ids, and whatever a sampler may want to see.

    Args:
        operation: the open record.
        span_parent_id: id of the span's parent; the enclosing operation is spelled out only where it is another.
        refused: the call will not run.
    """
    kind = operation.kind
    attributes: dict[str, Any] = {
        names.SESSION_ID: operation.session_id,
        names.CORRELATION_ID: operation.correlation_id,
        **(sendable(operation.attributes) if kind in _WITH_LOCAL else operation.attributes),
    }
    # A refused call ran nothing: it must not look like an execution to whoever counts execute_tool spans.
    if kind in OPERATION_NAMES and not refused:
        attributes[names.OPERATION_NAME] = OPERATION_NAMES[kind]
    else:
        attributes[names.KIND] = kind
    if attributes.get(_SUBJECTS.get(kind, "")) != operation.name:
        attributes[names.SUBJECT] = operation.name
    if operation.user_id is not None:
        attributes[names.USER_ID] = operation.user_id
    if operation.agent != (attributes.get(names.AGENT_NAME) if kind in _BY_AGENT else None):
        attributes[names.RUN_BY] = operation.agent or ""
    if operation.parent_id is not None and operation.parent_id != span_parent_id:
        attributes[names.PARENT_ID] = operation.parent_id
    return attributes


def sendable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes without those that are kept here and never sent."""
    return {name: value for name, value in attributes.items() if name not in _LOCAL}


def end_attributes(
    outcome: Outcome, error_type: str | None, error_message: str | None, facts: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Attributes the end adds: the facts, and how it ended. A failure's message is the span's status instead."""
    if outcome == "ok" and error_type is None:
        return facts
    attributes = dict(facts)
    if error_type is not None:
        attributes[names.ERROR_TYPE] = error_type
    if outcome not in ("ok", "error"):
        attributes[names.OUTCOME] = outcome
        if error_message is not None:
            attributes[names.EXCEPTION_MESSAGE] = error_message
    return attributes


def span_name(operation: Operation, *, refused: bool = False) -> str:
    """The span's name: ``invoke_agent manager``, ``chat gpt-4.1``, ``execute_code`` and the like."""
    if refused:
        return "refused_tool"  # without the name, which the model made up: span names are to be few
    subject = operation.attributes.get(_SUBJECTS.get(operation.kind, ""))
    word = _SPAN_WORDS[operation.kind]
    return f"{word} {subject}" if subject else word


def operation_from_span(span: ReadSpan) -> Operation | None:
    """The record a span of ours was written from; None for anybody else's span."""
    if span.scope != names.SCOPE:
        return None
    facts = typed(span.attributes)
    kind = facts.get(names.KIND) or _KINDS.get(facts.get(names.OPERATION_NAME, ""))
    if kind not in _ALL_KINDS:
        return None
    session_id, correlation_id = facts.get(names.SESSION_ID, ""), facts.get(names.CORRELATION_ID, "")
    ended = span.end_ns is not None
    told = span.status_text if span.failed else facts.get(names.EXCEPTION_MESSAGE)
    outcome = facts.get(names.OUTCOME) or ("error" if span.failed else "ok")
    return Operation(
        id=own_id if _ID.fullmatch(own_id := facts.get(names.OPERATION_ID, "")) else span.span_id,
        kind=cast("Kind", kind),
        name=facts.get(names.SUBJECT, facts.get(_SUBJECTS.get(str(kind), ""), "")),
        session_id=session_id,
        correlation_id=correlation_id,
        start_ns=span.start_ns,
        end_ns=None if span.end_ns is None else max(span.start_ns, span.end_ns),
        outcome=cast("Outcome", outcome) if ended else None,
        error_type=facts.get(names.ERROR_TYPE),
        error_message=told or None,  # to a span, no message and an empty one are the same
        agent=facts.get(names.RUN_BY, facts.get(names.AGENT_NAME) if kind in _BY_AGENT else None) or None,
        parent_id=facts.get(names.PARENT_ID) or span.parent_id,
        trace_id=None if span.trace_id == stand_in_trace(session_id, correlation_id) else span.trace_id,
        user_id=facts.get(names.USER_ID),
        attributes={name: value for name, value in facts.items() if name not in _FIELDS},
    )


def event_attributes(event: Event, *, content: bool = False, nested: bool = False) -> dict[str, Any]:
    """Attributes of an event's log record, and of its copy on a span: ids and payload, what is absent left out.

    Args:
        event: what happened.
        content: whether prompts, arguments and results are sent; else only the names of their parts and a digest.
        nested: whether values may be tables and lists, as they can in a log record, but not on a span.
    """
    attributes = {
        names.EVENT_ID: event.id,
        names.SESSION_ID: event.session_id,
        names.CORRELATION_ID: event.correlation_id,
        names.USER_ID: event.user_id,
    }
    payload = event.payload if content else outlined(event.payload)
    for name, value in payload.items():
        kind = type(value)
        plain = nested or (-_TOO_LARGE <= value < _TOO_LARGE if kind is int else kind in _SENT_AS_IS)
        attributes[name] = value if plain else _sent(value)
    return {name: value for name, value in attributes.items() if value is not None}


_SENT_AS_IS: Final = (str, float, bool, type(None))
_TOO_LARGE: Final = 2**63
"""A whole number that is larger breaks the exporter, and with it all that is sent together."""


def _sent(value: Any) -> Any:
    """A value as spans can hold one too: a list of texts stays one, anything else is JSON."""
    if isinstance(value, (list, tuple)) and all(type(part) is str for part in value):
        return list(value)
    return as_json(clipped(value, MAX_FIELD))


def events_from_span(span: ReadSpan) -> Iterator[Event]:
    """The events that were copied onto a span."""
    # Those on an approval's span happened where it was asked for.
    asked = span.attributes.get(names.KIND) == "approval" and names.APPROVAL_DECISION in span.attributes
    trace_id = span.trace_id if not asked or span.parent_id is not None else None
    span_id = span.parent_id if asked else span.span_id
    for copy in span.events:
        event = _event(copy.name, copy.timestamp_ns, trace_id, span_id, copy.attributes)
        if event is not None:
            yield event


def event_from_log(log: ReadLog) -> Event | None:
    """The event a log record of ours is; None for any other log record."""
    return _event(log.event_name, log.timestamp_ns, log.trace_id, log.span_id, log.attributes)


def _event(
    name: str, timestamp_ns: int, trace_id: str | None, span_id: str | None, attributes: Mapping[str, Any]
) -> Event | None:
    event_type = name.removeprefix(names.EVENT_PREFIX)
    if event_type not in names.EVENTS or event_type == name:
        return None
    ids = typed({name: attributes[name] for name in _EVENT_FIELDS if name in attributes})
    session_id, correlation_id = ids.get(names.SESSION_ID, ""), ids.get(names.CORRELATION_ID)
    payload = {
        name: list(value) if type(value) is tuple else value
        for name, value in attributes.items()
        if name not in _EVENT_FIELDS
    }
    if trace_id == stand_in_trace(session_id, correlation_id):
        trace_id = None
    return Event(
        # One that lost its id on the way gets one by what it says, so that its copies are one event all the same.
        id=ids.get(names.EVENT_ID) or _digest(event_type, timestamp_ns, trace_id, span_id, sorted(payload.items())),
        type=event_type,
        session_id=session_id,
        correlation_id=correlation_id,
        timestamp_ns=timestamp_ns,
        trace_id=trace_id,
        span_id=span_id,
        user_id=ids.get(names.USER_ID),
        payload=payload,
    )


def stand_in_trace(session_id: str, correlation_id: str | None) -> str:
    """The trace id under which records of a request are written that never had a trace: no SDK was there.

    Reading such a span or log event gives back a record without one.
    """
    return _digest("no trace", session_id, correlation_id)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:32]
