"""Work that a program tells of where nothing can be put around it: begun and ended by id, or when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph import given, runtime
from tachograph.by_hand import Handle, call_around, task
from tachograph.context import clean_id
from tachograph.live import Start
from tachograph.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from os import PathLike

    from tachograph.by_hand import Block
    from tachograph.live import Live
    from tachograph.records import Kind
    from tachograph.runtime.assembly import Runtime

_SECOND: Final = 1_000_000_000
_YEAR: Final = 366 * 86_400
_LAST: Final = 7_000 * _YEAR * _SECOND


# -------------------------------------------------------------------------------------------------------- by id
def start_task(
    task_id: str,
    description: str | None = None,
    *,
    name: str | None = None,
    category: str | None = None,
    folder: str | PathLike[str] | None = None,
) -> Handle:
    """A task begins; what is recorded until :func:`end_task`, and that no other operation is around, is its part.

    Where several are under way at once, nobody can tell whose part such work is, and it is none's.

    Args:
        task_id: the program's id, to end it by. A task of this id that is under way ends, as abandoned.
        description: what is to be done. Kept here, redacted and cut, and never sent.
        name: what kind of work it is.
        category: what kind of procedure it follows.
        folder: where its changes of code are looked for, where these are noted; by default the working directory.
            Never sent.
    """
    tachograph = runtime.current()
    if not tachograph.enabled:
        return Handle(None)
    block = task(name or "task", id=task_id, description=description, category=category, folder=folder)
    return Handle(tachograph.guard(_start_task, tachograph, task_id, block))


def _start_task(tachograph: Runtime, task_id: str, block: Block) -> Live:
    live = tachograph.recorder.begin(block.start())
    room = tachograph.begun.add(clean_id(task_id) or "", live)
    if room is not None:
        tachograph.recorder.end(room, "abandoned")
    return live


def end_task(task_id: str, status: str | Any = "completed", *, error: BaseException | None = None) -> bool:
    """A task that :func:`start_task` began has ended. Whether it was under way.

    Args:
        task_id: as it was begun.
        status: ``completed``, ``failed``, ``cancelled``, or an outcome; an enumeration's member says it by its value
            or name.
        error: why it failed.

    Raises:
        ValueError: for another status.
    """
    outcome = given.outcome(status)
    tachograph = runtime.current()
    ended: bool = tachograph.guard(_end_task, tachograph, task_id, outcome, error, default=False)
    return ended


def _end_task(tachograph: Runtime, task_id: str, outcome: Any, error: BaseException | None) -> bool:
    live = tachograph.begun.take(clean_id(task_id) or "")
    if live is not None:
        tachograph.recorder.end(live, outcome if error is None else "error", None, error)
    return live is not None


# ------------------------------------------------------------------------------------------------ after the fact
def record_llm_call(  # noqa: PLR0913 - each is a fact of its own, given by name
    model: str,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    duration: float = 0.0,
    *,
    cached_tokens: int | None = None,
    reasoning_tokens: int | None = None,
    tool_calls: int | None = None,
    provider: str | None = None,
    error: BaseException | str | None = None,
    ended_at: str | datetime | float | None = None,
    **fields: str | float,
) -> None:
    """A model call that is over.

    Args:
        model: its name.
        prompt_tokens: read, cached ones included.
        completion_tokens: written, reasoning included.
        duration: seconds it took.
        cached_tokens: of the prompt tokens those from a cache.
        reasoning_tokens: of the completion tokens those spent on reasoning.
        tool_calls: in the answer.
        provider: who serves it.
        error: what it failed with: an exception, the name of an error's type, or words.
        ended_at: when, by default now: ISO 8601 text, a datetime or seconds since the epoch.
        fields: the program's own.

    Raises:
        ValueError: for a moment or duration that is none.
    """

    def facts() -> dict[str, Any]:
        return {
            **given.model(provider, None, None, stream=None),
            **given.usage(prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens),
            **given.tool_calls(tool_calls),
        }

    _over("model", model, duration, ended_at, error, facts, fields)


def record_agent_execution(
    agent_type: str,
    agent_name: str | None = None,
    duration: float = 0.0,
    *,
    error: BaseException | str | None = None,
    ended_at: str | datetime | float | None = None,
    **fields: str | float,
) -> None:
    """An agent run that is over.

    Args:
        agent_type: what kind of agent; its name where it has no other.
        agent_name: its name.
        duration: seconds it took.
        error: what it failed with: an exception, the name of an error's type, or words.
        ended_at: when, by default now: ISO 8601 text, a datetime or seconds since the epoch.
        fields: the program's own.

    Raises:
        ValueError: for a moment or duration that is none.
    """

    def facts() -> dict[str, Any]:
        return given.custom({"agent_type": agent_type}) if agent_name else {}

    _over("agent", agent_name or agent_type, duration, ended_at, error, facts, fields)


def record_tool_usage(
    tool_name: str,
    duration: float = 0.0,
    *,
    call_id: str | None = None,
    error: BaseException | str | None = None,
    ended_at: str | datetime | float | None = None,
    **fields: str | float,
) -> None:
    """A tool call that is over.

    Args:
        tool_name: its name.
        duration: seconds it took.
        call_id: the model's id of the call.
        error: what it failed with: an exception, the name of an error's type, or words.
        ended_at: when, by default now: ISO 8601 text, a datetime or seconds since the epoch.
        fields: the program's own.

    Raises:
        ValueError: for a moment or duration that is none.
    """
    _over("tool", tool_name, duration, ended_at, error, lambda: given.tool(call_id), fields)


def _over(
    kind: Kind,
    name: Any,
    seconds: float,
    ended_at: str | datetime | float | None,
    error: BaseException | str | None,
    facts: Callable[[], dict[str, Any]],
    fields: Mapping[str, Any],
) -> None:
    tachograph = runtime.current()
    took_ns, end_ns = _nanoseconds(seconds), None if ended_at is None else _moment(ended_at)
    if tachograph.enabled:
        tachograph.guard(_write, tachograph, kind, name, took_ns, end_ns, error, facts, fields)


def _nanoseconds(seconds: float) -> int:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < _YEAR:
        raise ValueError(f"duration={seconds!r}: expected seconds, from 0 up to a year's")
    return round(float(seconds) * _SECOND)


def _moment(ended_at: str | datetime | float) -> int:
    end_ns = moment(ended_at)
    if not _YEAR * _SECOND <= end_ns < _LAST:
        raise ValueError(f"ended_at={ended_at!r}: expected a moment between the years 1972 and 9000")
    return end_ns


def _write(
    tachograph: Runtime,
    kind: Kind,
    name: Any,
    took_ns: int,
    end_ns: int | None,
    error: BaseException | str | None,
    facts: Callable[[], dict[str, Any]],
    fields: Mapping[str, Any],
) -> None:
    end_ns = tachograph.recorder.now() if end_ns is None else end_ns
    subject = given.text(name) or "unnamed"
    known = {given.SUBJECTS[kind]: subject, **facts(), **given.custom(fields)}
    around = call_around(tachograph) if kind == "model" else None
    if around is not None:
        around.add_part(known)
        return
    start = Start(kind, subject, {fact: value for fact, value in known.items() if value is not None})
    tachograph.recorder.over(start, end_ns - took_ns, end_ns, error)
