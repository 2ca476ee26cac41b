"""One session as a whole, in JSON.

The structure is the one that session files of single-run agent programs have: environment, tasks with their agents,
tools and model calls, tokens by model; and beside it everything the views say.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.facts import outermost
from tachograph.records import Operation
from tachograph.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.records import Kind
    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics

_STATUS: Final = {None: "running", "ok": "completed", "error": "failed"}
"""Status of a task by the outcome of its run; the other outcomes are their own words."""

_LISTS: Final = {"agent": "agents", "tool": "tools", "model": "llm_calls"}


def session_export(source: Source, session_id: str) -> dict[str, Any]:
    """A session as plain JSON values: moments as ISO 8601 in UTC, durations in seconds.

    Tasks are those the program speaks of, and the outermost agent runs in none of these. ``total_duration`` is the time
    that agents worked, that of parallel tasks added up.
    ``environment`` and ``code_changes`` are None where nothing was recorded: they are never this machine's. What
    happened outside of any task is in ``outside_tasks``. Everything under ``metrics``, ``audit_log`` and ``timeline``
    is as the views have it, in milliseconds. ``reasons`` say why what is here is not ``complete``.

    Raises:
        LookupError: for a session that the source does not know.
    """
    metrics = source.session_metrics(session_id)
    if metrics.first_seen is None:
        raise LookupError(f"session {session_id!r}: there is none in {source.place}; ask sessions() which there are")
    operations = [record for record in source.records(session_id) if isinstance(record, Operation)]
    reasons = [*metrics.reasons, *_evicted(metrics, operations)]
    tasks, outside = _tasks(sorted(operations, key=lambda operation: (operation.start_ns, operation.id)))
    return {
        "session_id": session_id,
        "user_id": metrics.user_id,
        "start_time": metrics.first_seen,
        "end_time": None if metrics.status == "active" else metrics.last_seen,
        "environment": _environment(operations),
        "tasks": tasks,
        "outside_tasks": outside,
        "total_tokens": _tokens(metrics),
        "total_duration": _seconds(metrics.processing_duration_ms * 1_000_000),
        "metrics": metrics.to_dict(),
        "audit_log": source.audit_log(session_id=session_id),
        "timeline": source.timeline(session_id=session_id).to_dict(),
        "complete": not reasons,
        "reasons": reasons,
    }


def _evicted(metrics: SessionMetrics, operations: list[Operation]) -> list[str]:
    """Why the lists are shorter than the counters say, if they are."""
    kinds = Counter(operation.kind for operation in operations)
    counted: dict[Kind, int] = {
        "agent": metrics.agent_runs,
        "tool": metrics.tool_calls,
        "model": metrics.total_requests + metrics.active_requests,
    }
    gone = sum(max(0, count - kinds[kind]) for kind, count in counted.items())
    return [f"evicted from tasks, audit log and timeline, and only counted: {gone:,} operations"] if gone else []


# --------------------------------------------------------------------------------------------------------- tasks
def _tasks(operations: list[Operation]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The tasks, and what is in none, in order of start."""
    found = _outermost(operations)
    tasks = {id_: _task(operation) for id_, operation in found.items()}
    outside: dict[str, Any] = {name: [] for name in _LISTS.values()}
    around = _Around(operations, found)
    for operation in operations:
        if operation.kind in _LISTS:
            task = tasks.get(around.task_of(operation) or "", outside)
            task[_LISTS[operation.kind]].append(_SHOWN[operation.kind](operation))
    return list(tasks.values()), outside


def _outermost(operations: Iterable[Operation]) -> dict[str, Operation]:
    return {
        operation.id: operation
        for operation in operations
        if operation.kind == "task" or (operation.kind == "agent" and outermost(operation))
    }


class _Around:
    """Which task an operation belongs to: the one it is inside of.

    Where the way up from inside an agent is broken, as what is in between is not there, it is the only task of the same
    request.
    """

    def __init__(self, operations: Iterable[Operation], tasks: dict[str, Operation]) -> None:
        self._parents = {operation.id: operation.parent_id for operation in operations}
        self._tasks = tasks
        self._of_request: dict[str, str | None] = {}
        for id_, task in tasks.items():
            request = task.correlation_id
            self._of_request[request] = None if request in self._of_request else id_

    def task_of(self, operation: Operation) -> str | None:
        above: str | None = operation.id
        passed: set[str] = set()
        while above is not None and above in self._parents and above not in passed:
            if above in self._tasks:
                return above
            passed.add(above)
            above = self._parents[above]
        return None if operation.agent is None else self._of_request.get(operation.correlation_id)


def _task(run: Operation) -> dict[str, Any]:
    facts = run.attributes
    return {
        "task_id": facts.get(names.TASK_ID) or run.id,
        "description": facts.get(names.TASK_DESCRIPTION) or _described(run),
        **_when(run),
        "status": _STATUS.get(run.outcome, run.outcome),
        "sop_category": facts.get(names.TASK_CATEGORY),
        "agents": [],
        "tools": [],
        "llm_calls": [],
        "code_changes": _noted(facts.get(names.CODE_CHANGES)),
    }


def _environment(operations: Iterable[Operation]) -> dict[str, Any] | None:
    """What the session ran in, as its first outermost operation noted it."""
    notes = (_noted(operation.attributes.get(names.ENVIRONMENT)) for operation in operations)
    return next((note for note in notes if note is not None), None)


def _noted(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def _described(run: Operation) -> str | None:
    """The text of what an agent was asked for; None where content was not captured."""
    try:
        messages = json.loads(run.attributes.get(names.INPUT_MESSAGES) or "[]")
        parts = [part for message in messages for part in message["parts"] if part.get("type") == "text"]
        return "\n".join(str(part["content"]) for part in parts) or None
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):  # cut on its way, or of another shape
        return None


def _agent(run: Operation) -> dict[str, Any]:
    facts = run.attributes
    return {
        "agent_type": run.name,
        "agent_name": run.name,
        "nested": bool(facts.get(names.NESTED)),
        "steps": facts.get(names.STEPS),
        **_ended(run),
    }


def _tool(call: Operation) -> dict[str, Any]:
    return {
        "tool_name": call.name,
        "call_id": call.attributes.get(names.TOOL_CALL_ID),
        "agent": call.agent,
        **_ended(call),
    }


def _llm_call(call: Operation) -> dict[str, Any]:
    facts = call.attributes
    prompt, completion = facts.get(names.INPUT_TOKENS), facts.get(names.OUTPUT_TOKENS)
    unknown = prompt is None and completion is None
    return {
        "model": call.name,
        "cost": facts.get(names.COST),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": None if unknown else (prompt or 0) + (completion or 0),
        "agent": call.agent,
        **_ended(call),
    }


_SHOWN: Final = {"agent": _agent, "tool": _tool, "model": _llm_call}


def _when(operation: Operation) -> dict[str, Any]:
    open_ = operation.end_ns is None
    return {
        "start_time": timestamp(operation.start_ns),
        "end_time": None if operation.end_ns is None else timestamp(operation.end_ns),
        "duration": None if open_ else _seconds(operation.duration_ns),
    }


def _ended(operation: Operation) -> dict[str, Any]:
    return {
        **_when(operation),
        "success": operation.outcome == "ok",
        "outcome": operation.outcome,
        "error": operation.error_message or operation.error_type,
    }


# -------------------------------------------------------------------------------------------------------- figures
def _tokens(metrics: SessionMetrics) -> dict[str, Any]:
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {
        "prompt_tokens": metrics.total_prompt_tokens,
        "completion_tokens": metrics.total_completion_tokens,
        "total_tokens": metrics.total_tokens,
        "model_breakdown": {
            model: {**{name: used[name] for name in counts}, "model_breakdown": {}, "cost_estimate": used["cost"]}
            for model, used in metrics.tokens_by_model.items()
        },
        "cost_estimate": metrics.cost.get("amount"),
    }


def _seconds(nanoseconds: float) -> float:
    return round(nanoseconds / 1_000_000_000, 6)
