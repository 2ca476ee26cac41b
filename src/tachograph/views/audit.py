"""Who did, asked and decided what, in order?

Entries of *derived* events are made here from the operations that carry them; their ids are those of the
operation plus the event's type, so every reading of the same records gives the same ids.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.content import shown
from tachograph.facts import outermost
from tachograph.records import Event, Operation
from tachograph.times import milliseconds, timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tachograph.records import Record

Entry = dict[str, Any]
_Timed = tuple[int, int, str, Entry]  # moment, rank among equals, event id, entry


def audit_view(  # noqa: PLR0913 - what one may ask a log by
    records: Iterable[Record],
    *,
    session_id: str | None = None,
    event_type: str | None = None,
    category: str | None = None,
    correlation_id: str | None = None,
    critical: bool | None = None,
    since_ns: int | None = None,
    limit: int | None = None,
    newest_first: bool = False,
) -> list[Entry]:
    """The audit log, oldest entry first; with ``limit`` the newest so many.

    Args:
        records: what it is made from.
        session_id: only entries of this session.
        event_type: only entries of this type.
        category: only entries of this category.
        correlation_id: only entries of this request.
        critical: only critical entries, or only the others.
        since_ns: only entries from this moment on.
        limit: at most so many, the newest.
        newest_first: the records come by :func:`last_moment`, the latest first; no more are taken than it needs.

    Raises:
        ValueError: for an event type or category that does not exist, or a limit that is no whole number from 0.
    """
    check_filters(event_type, category)
    if limit is not None and (type(limit) is not int or limit < 0):
        raise ValueError(f"limit={limit!r}: expected a whole number from 0 up")
    if limit == 0:
        return []

    def wanted(moment_ns: int, entry: Entry) -> bool:
        kind, is_critical = _sort_of(entry["event_type"])
        return (
            (event_type is None or entry["event_type"] == event_type)
            and (category is None or kind == category)
            and (critical is None or is_critical == critical)
            and (since_ns is None or moment_ns >= since_ns)
        )

    found: list[tuple[int, int, str, int, Entry]] = []  # a heap of the newest so far, the oldest of them on top
    for number, record in enumerate(records):
        # No entry of a record is later than its last one, nor are those of the records that come after it.
        if newest_first and len(found) == limit and last_moment(record) < found[0][0]:
            break
        if (
            (session_id is None or record.session_id == session_id)
            and (correlation_id is None or record.correlation_id == correlation_id)
            and (since_ns is None or last_moment(record) >= since_ns)
        ):
            for moment_ns, rank, event_id, entry in entries(record):
                if wanted(moment_ns, entry):
                    heappush(found, (moment_ns, rank, event_id, number, entry))
                    if limit is not None and len(found) > limit:
                        heappop(found)
    found.sort(key=lambda timed: timed[:4])
    return [entry for *_, entry in found]


def kinds_of(event_type: str | None = None, category: str | None = None) -> list[str] | None:
    """Kinds of operations and types of events whose entries are of a type or a category; None for those of all.

    Raises:
        ValueError: for an event type or category that does not exist.
    """
    check_filters(event_type, category)
    if event_type is None and category is None:
        return None
    types = {
        name for name, (kind, _) in names.EVENTS.items() if event_type in (None, name) and category in (None, kind)
    }
    return [*(kind for kind, made in _GIVEN.items() if types & made), *sorted(types)]


def check_filters(event_type: str | None, category: str | None) -> None:
    """Refuse filters that no entry can meet.

    Raises:
        ValueError: for an event type or category that does not exist.
    """
    if event_type is not None and event_type not in names.EVENTS:
        raise ValueError(f"event_type={event_type!r}: no such type; there are: {', '.join(names.EVENTS)}")
    categories = sorted({kind for kind, _ in names.EVENTS.values()})
    if category is not None and category not in categories:
        raise ValueError(f"category={category!r}: no such category; there are: {', '.join(categories)}")


def types_of(record: Record) -> frozenset[str]:
    """Types of entries that a record may give."""
    return _OF_TYPE[record.type] if isinstance(record, Event) else _GIVEN.get(record.kind, _NONE)


def last_moment(record: Record) -> int:
    """When the last entry of a record is, in nanoseconds since the epoch."""
    return record.timestamp_ns if isinstance(record, Event) else record.end_ns or record.start_ns


def is_critical(record: Record) -> bool:
    """Whether any of the entries of a record is critical, without making them."""
    if isinstance(record, Event):
        return _sort_of(record.type)[1]
    return record.kind == "agent" and (record.outcome == "error" or names.SWITCH_FROM in record.attributes)


def _sort_of(event_type: str) -> tuple[str, bool]:
    """Category of a type, and whether it is critical; a newer version may have recorded one that we know nothing of."""
    return names.EVENTS.get(event_type, ("", False))


def entries(record: Record) -> Iterator[_Timed]:
    """The entries a record gives: moment, rank among equals, event id, entry."""
    if isinstance(record, Event):
        yield (
            record.timestamp_ns,
            2,
            record.id,
            {
                **_head(record.timestamp_ns, record.type, record.id, record),
                **_SAID_TO_BE_NONE.get(record.type, {}),
                **{key: value for key, value in record.payload.items() if key not in _HEAD},
            },
        )
    elif record.kind in _OF_KIND:
        yield from _OF_KIND[record.kind](record)


_SAID_TO_BE_NONE: dict[str, Entry] = {"hitl_decision_made": {"modified_args": None}}
"""What an event carries only where there is something, and its entry says in any case."""

_HEAD = ("timestamp", "event_type", "event_id", "session_id", "correlation_id", "trace_id", "span_id", "critical")


def _head(moment_ns: int, event_type: str, event_id: str, record: Record) -> Entry:
    return {
        "timestamp": timestamp(moment_ns),
        "event_type": event_type,
        "event_id": event_id,
        "session_id": record.session_id,
        "correlation_id": record.correlation_id,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "critical": _sort_of(event_type)[1],
    }


def _at_start(operation: Operation, rank: int, event_type: str, **payload: Any) -> _Timed:
    event_id = f"{operation.id}:{event_type}"
    moment_ns = operation.start_ns
    return moment_ns, rank, event_id, {**_head(moment_ns, event_type, event_id, operation), **payload}


def _at_end(operation: Operation, rank: int, event_type: str, /, **payload: Any) -> _Timed:
    event_id = f"{operation.id}:{event_type}"
    moment_ns = operation.end_ns or operation.start_ns
    return moment_ns, rank, event_id, {**_head(moment_ns, event_type, event_id, operation), **payload}


def _agent(run: Operation) -> Iterator[_Timed]:
    facts = run.attributes
    alone = outermost(run)
    if alone:
        yield _at_start(run, 0, "task_started", task_id=run.id, agent_type=run.name)
    if names.SWITCH_FROM in facts:
        yield _at_start(
            run,
            1,
            "agent_switched",
            from_agent=facts[names.SWITCH_FROM],
            to_agent=facts.get(names.SWITCH_TO, run.name),
            reason=facts.get(names.SWITCH_REASON),
        )
    told = shown(facts, input_messages=names.INPUT_MESSAGES, system_instructions=names.SYSTEM_INSTRUCTIONS)
    yield _at_start(run, 2, "agent_processing_started", agent_type=run.name, **told)
    if run.end_ns is None:
        return
    if run.outcome == "error":
        yield _at_end(
            run,
            5,
            "agent_error",
            agent_type=run.name,
            error_type=run.error_type,
            error_message=run.error_message,
            handed_up=bool(facts.get(names.HANDED_UP)),
        )
    yield _at_end(
        run,
        6,
        "agent_processing_completed",
        agent_type=run.name,
        duration_ms=milliseconds(run.duration_ns),
        success=run.outcome == "ok",
        outcome=run.outcome,
        recovered_errors=list(facts.get(names.RECOVERED, ())),
        **shown(facts, output_messages=names.OUTPUT_MESSAGES),
    )
    if alone:
        noted = shown(facts, environment=names.ENVIRONMENT, code_changes=names.CODE_CHANGES)
        yield _at_end(run, 7, "task_completed", task_id=run.id, agent_type=run.name, status=run.outcome, **noted)


def _model(call: Operation) -> Iterator[_Timed]:
    facts = call.attributes
    yield _at_start(
        call,
        2,
        "llm_request_started",
        model=call.name,
        messages_count=facts.get(names.REQUEST_MESSAGES),
        tools_count=facts.get(names.REQUEST_TOOLS),
        **shown(facts, input_messages=names.INPUT_MESSAGES, tool_definitions=names.TOOL_DEFINITIONS),
    )
    if call.end_ns is None:
        return
    said = shown(facts, output_messages=names.OUTPUT_MESSAGES)
    if call.outcome == "error":
        yield _at_end(
            call,
            4,
            "llm_request_failed",
            model=call.name,
            error=call.error_message,
            error_type=call.error_type,
            **said,
        )
        return
    prompt, completion = facts.get(names.INPUT_TOKENS), facts.get(names.OUTPUT_TOKENS)
    yield _at_end(
        call,
        4,
        "llm_request_completed",
        model=call.name,
        duration_ms=milliseconds(call.duration_ns),
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=None if prompt is None and completion is None else (prompt or 0) + (completion or 0),
        has_tool_calls=bool(facts.get(names.RESPONSE_TOOL_CALLS)),
        outcome=call.outcome,
        **said,
    )


def _tool(call: Operation) -> Iterator[_Timed]:
    known = {"tool_name": call.name, "call_id": call.attributes.get(names.TOOL_CALL_ID)}
    refused = call.outcome == "refused"
    why = {"refused": True, "error_type": call.error_type, "error": call.error_message} if refused else {}
    given = shown(call.attributes, arguments=names.TOOL_ARGUMENTS)
    yield _at_start(call, 2, "tool_execution_requested", **known, agent=call.agent, **why, **given)
    if refused or call.outcome == "waiting":
        return
    if call.attributes.get(names.HUMAN_WAIT):
        known["human_wait"] = True
    yield _at_start(call, 3, "tool_execution_started", **known)
    if call.end_ns is None:
        return
    took = milliseconds(call.duration_ns)
    if call.outcome == "ok":
        gave = shown(call.attributes, result=names.TOOL_RESULT)
        yield _at_end(call, 4, "tool_execution_completed", **known, duration_ms=took, **gave)
    else:
        yield _at_end(
            call,
            4,
            "tool_execution_failed",
            **known,
            duration_ms=took,
            error_type=call.error_type,
            error=call.error_message,
            outcome=call.outcome,
        )


def _task(task: Operation) -> Iterator[_Timed]:
    facts = task.attributes
    known = {
        "task_id": facts.get(names.TASK_ID) or task.id,
        "task_name": task.name,
        "description": facts.get(names.TASK_DESCRIPTION),
    }
    yield _at_start(task, 0, "task_started", **known, sop_category=facts.get(names.TASK_CATEGORY))
    if task.end_ns is not None:
        noted = shown(facts, environment=names.ENVIRONMENT, code_changes=names.CODE_CHANGES)
        took = milliseconds(task.duration_ns)
        yield _at_end(task, 7, "task_completed", **known, status=task.outcome, duration_ms=took, **noted)


def _other(other: Operation) -> Iterator[_Timed]:
    facts = other.attributes
    if names.DB_SYSTEM in facts and other.end_ns is not None:
        yield _at_end(
            other,
            4,
            "database_query_executed",
            system=facts[names.DB_SYSTEM],
            operation=facts.get(names.DB_OPERATION),
            collection=facts.get(names.DB_COLLECTION),
            agent=other.agent,
            duration_ms=milliseconds(other.duration_ns),
            outcome=other.outcome,
            error_type=other.error_type,
        )


_OF_KIND = {"agent": _agent, "model": _model, "tool": _tool, "task": _task, "other": _other}
_GIVEN = {
    kind: frozenset(types)
    for kind, types in {
        "agent": (
            "task_started",
            "agent_switched",
            "agent_processing_started",
            "agent_error",
            "agent_processing_completed",
            "task_completed",
        ),
        "model": ("llm_request_started", "llm_request_completed", "llm_request_failed"),
        "tool": (
            "tool_execution_requested",
            "tool_execution_started",
            "tool_execution_completed",
            "tool_execution_failed",
        ),
        "task": ("task_started", "task_completed"),
        "other": ("database_query_executed",),
    }.items()
}
_OF_TYPE = {name: frozenset({name}) for name in names.EVENTS}
_NONE: frozenset[str] = frozenset()
