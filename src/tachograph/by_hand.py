"""Operations that a program reports itself: home-made agents, models, tools and tasks.

Each of :func:`task`, :func:`agent`, :func:`model` and :func:`tool` is a decorator (of functions, coroutine functions,
generators and async generators) and a context manager (sync and async)::

    @tachograph.tool
    def search(query: str) -> str: ...

    with tachograph.model("gpt-4.1", provider="openai") as call:
        answer = client.ask(prompt)
        call.usage(input_tokens=answer.used.prompt, output_tokens=answer.used.completion)

What cannot be put around the work is reported by id (:func:`begin`, :func:`end`) or after the fact (:func:`record`).
Nothing here raises into the program but what it is given wrong by name.
"""

from __future__ import annotations

import inspect
import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args

from opentelemetry.context import attach, detach

from tachograph import names, runtime
from tachograph.clip import MAX_FIELD, clipped
from tachograph.context import clean_id, current
from tachograph.live import Start
from tachograph.probes import Probe, outcome_of, stand_in
from tachograph.records import Outcome
from tachograph.times import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from tachograph.live import Facts, Live
    from tachograph.probes import Call
    from tachograph.records import Kind

F = TypeVar("F", bound="Callable[..., Any]")

_SUBJECTS: Final[dict[str, str]] = {
    "task": names.WORKFLOW_NAME,
    "agent": names.AGENT_NAME,
    "model": names.REQUEST_MODEL,
    "tool": names.TOOL_NAME,
}
_MAX_BLOCKS: Final = 10_000
_MAX_FIELDS: Final = 100
_TOO_LARGE: Final = 2**63  # for backends


class Handle:
    """An operation under way, to say more about it. Every method may be called any number of times, from any thread."""

    __slots__ = ("_live",)

    def __init__(self, live: Live | None) -> None:
        self._live = live

    @property
    def id(self) -> str | None:
        """The operation's id in the ledger; None where nothing is recorded."""
        return None if self._live is None else self._live.record.id

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        reasoning_tokens: int | None = None,
    ) -> None:
        """What a model call used; cached tokens are among the input, reasoning tokens among the output."""
        self._add(
            {
                names.INPUT_TOKENS: _count(input_tokens),
                names.OUTPUT_TOKENS: _count(output_tokens),
                names.CACHED_TOKENS: _count(cached_tokens),
                names.REASONING_TOKENS: _count(reasoning_tokens),
            }
        )

    def tool_calls(self, count: int) -> None:
        """How many tool calls the model's answer has."""
        self._add({names.RESPONSE_TOOL_CALLS: _count(count) or None})

    def answered(self, *, model: str | None = None, response_id: str | None = None, reason: str | None = None) -> None:
        """What the provider says of its answer: the model that answered, its id, why it stopped."""
        self._add(
            {
                names.RESPONSE_MODEL: _text(model),
                names.RESPONSE_ID: _text(response_id),
                names.FINISH_REASONS: None if _text(reason) is None else (_text(reason),),
            }
        )

    def set(self, **fields: str | float) -> None:
        """Fields of the program's own: they are part of the record, of ``requests`` and of what is exported.

        Values are texts, numbers and truths; others are left out, and long texts cut.
        """
        self._add(_custom(fields))

    def outcome(self, outcome: Outcome) -> None:
        """How it is going to end, where no exception says so, such as ``waiting`` or ``interrupted``.

        Raises:
            ValueError: for a word that is no outcome.
        """
        self._add({names.OUTCOME: _outcome(outcome)})

    def failed(self, error: BaseException | str) -> None:
        """It ends as an error that no exception will say.

        Args:
            error: an exception, the name of an error's type, or what went wrong in words.
        """
        tachograph = runtime.current()
        self._add({names.OUTCOME: "error", **tachograph.guard(tachograph.recorder.failure, error, default={})})

    def _add(self, facts: Facts) -> None:
        if self._live is not None:
            self._live.add(facts)


class Block:
    """What :func:`task`, :func:`agent`, :func:`model` and :func:`tool` give: a context manager and a decorator."""

    __slots__ = ("_begin", "_entered", "_kind", "_name")

    def __init__(self, kind: Kind, name: str | None, begin: Callable[[str], Start]) -> None:
        self._kind = kind
        self._name = name
        self._begin = begin
        # By the identity of the operation that is current inside: threads and tasks may be in here at once.
        self._entered: OrderedDict[int, tuple[Live, Any]] = OrderedDict()

    def start(self) -> Start:
        """What an operation of this kind starts with."""
        return self._begin(self._name or self._kind)

    # ---------------------------------------------------------------------------------------------- with, async with
    def __enter__(self) -> Handle:
        tachograph = runtime.current()
        return Handle(tachograph.guard(self._enter, tachograph) if tachograph.enabled else None)

    def _enter(self, tachograph: runtime.Runtime) -> Live:
        live = tachograph.recorder.begin(self.start())
        if len(self._entered) >= _MAX_BLOCKS:
            self._entered.popitem(last=False)
        self._entered[id(live)] = live, attach(live.context())
        return live

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runtime.current().guard(self._exit, error)

    def _exit(self, error: BaseException | None) -> None:
        scope = current()
        inside = None if scope is None else scope.operation
        while inside is not None and id(inside) not in self._entered:
            inside = inside.outer.operation  # something in here was not left
        tachograph = runtime.current()
        if inside is not None:
            live, token = self._entered.pop(id(inside))
            detach(token)
        elif self._entered:
            # In another context than it was entered in, as the halves of a fixture are, or after what it was entered
            # in was left: then it is the one entered last, and nothing of it is current here.
            live, _ = self._entered.popitem()[1]
            tachograph.misused += 1
        else:
            return
        tachograph.recorder.end(live, *_ending(error))

    async def __aenter__(self) -> Handle:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    # --------------------------------------------------------------------------------------------------- decorator
    def __call__(self, function: F) -> F:
        """``function``, each call of which is such an operation: same name, signature, kind, results and exceptions."""
        plain = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
        if isinstance(plain, type) or not callable(plain):
            raise TypeError(f"@{self._kind}: {plain!r:.80} is no function; decorate a function or method")
        name = self._name or _text(getattr(plain, "__name__", None)) or self._kind
        guard = runtime.current().guard
        deferred = guard(_worked_off_later, plain, default=False)

        def began(_: Call) -> Start:
            return self._begin(name)._replace(deferred=deferred)

        probe = Probe(function, name, began=began)
        return cast("F", guard(stand_in, function, probe, lambda: runtime.current().hooks, default=function))


_WORKED_OFF_LATER: Final = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def _worked_off_later(function: Any) -> bool:
    """Whether it gives a coroutine or a generator, also where it is an object, or a plain wrapper of what does."""
    made = inspect.unwrap(function)
    call = made if inspect.isroutine(made) else made.__call__
    return any(kind(seen) for seen in (made, call) for kind in _WORKED_OFF_LATER)


def _block(kind: Kind, name: str | Callable[..., Any] | None, facts: Mapping[str, Any]) -> Any:
    if callable(name) or isinstance(name, (classmethod, staticmethod)):
        return _block(kind, None, facts)(name)

    def begin(called: str) -> Start:
        return Start(kind, called, {_SUBJECTS[kind]: called, **facts})

    return Block(kind, _text(name), begin)


# ------------------------------------------------------------------------------------------------- around the work
def task(
    name: str | Callable[..., Any] | None = None,
    *,
    id: str | None = None,  # noqa: A002 - what everybody calls it
    description: str | None = None,
    category: str | None = None,
) -> Any:
    """One unit of work asked for: agents that run inside are its parts, and it is what is counted as a task.

    Args:
        name: what kind of work it is, such as ``repo_analysis``; a decorated function's own name by default.
        id: the program's own id of it.
        description: what is to be done. Kept here, redacted and cut, and never sent.
        category: what kind of procedure it follows, such as an SOP's category.
    """
    facts = {
        names.TASK_ID: clean_id(id),
        names.TASK_DESCRIPTION: _text(description),
        names.TASK_CATEGORY: _text(category),
    }
    return _block("task", name, facts)


def agent(name: str | Callable[..., Any] | None = None, *, description: str | None = None) -> Any:
    """One run of an agent.

    Args:
        name: of the agent; a decorated function's own name by default.
        description: what the agent is for.
    """
    return _block("agent", name, {names.AGENT_DESCRIPTION: _text(description)})


def model(
    name: str | Callable[..., Any] | None = None,
    *,
    provider: str | None = None,
    messages: int | None = None,
    tools: int | None = None,
    stream: bool = False,
) -> Any:
    """One call of a model; say what it used by the handle.

    Args:
        name: of the model; a decorated function's own name by default.
        provider: who serves it, by the names of the conventions: ``openai``, ``aws.bedrock``, …
        messages: how many are sent.
        tools: how many are offered.
        stream: whether the answer is streamed.
    """
    facts = {
        names.PROVIDER_NAME: _text(provider),
        names.REQUEST_MESSAGES: _count(messages),
        names.REQUEST_TOOLS: _count(tools),
        names.REQUEST_STREAM: stream or None,
    }
    return _block("model", name, facts)


def tool(name: str | Callable[..., Any] | None = None, *, call_id: str | None = None) -> Any:
    """One call of a tool.

    Args:
        name: of the tool; a decorated function's own name by default.
        call_id: the model's id of the call.
    """
    return _block("tool", name, {names.TOOL_TYPE: "function", names.TOOL_CALL_ID: clean_id(call_id)})


def switch(to: str, *, source: str | None = None, reason: str | None = None, **fields: str | float) -> None:
    """Work is handed over from one agent to another.

    Args:
        to: the agent that goes on.
        source: the one that did; by default the agent that is running.
        reason: why.
        fields: whatever else the audit log is to have, such as ``confidence``.
    """
    tachograph = runtime.current()
    if tachograph.enabled:
        tachograph.guard(_switch, tachograph, to, source, reason, fields)


def _switch(
    tachograph: runtime.Runtime, to: str, source: str | None, reason: str | None, fields: Mapping[str, Any]
) -> None:
    inside = tachograph.recorder.scope().operation
    running = None if inside is None else inside.record.name if inside.kind == "agent" else inside.record.agent
    payload = {"from_agent": source or running, "to_agent": to, "reason": reason, **fields}
    tachograph.recorder.event("agent_switched", payload)


# ----------------------------------------------------------------------------------------------- by id, after the fact
def start_task(
    task_id: str,
    description: str | None = None,
    *,
    name: str | None = None,
    category: str | None = None,
) -> Handle:
    """A task begins; what is recorded until :func:`end_task`, and that no other operation is around, is its part.

    Args:
        task_id: the program's id, to end it by. A task of this id that is under way ends, as abandoned.
        description: what is to be done. Kept here, redacted and cut, and never sent.
        name: what kind of work it is.
        category: what kind of procedure it follows.
    """
    start = task(name or "task", id=task_id, description=description, category=category)
    tachograph = runtime.current()
    return Handle(tachograph.guard(_start_task, tachograph, task_id, start) if tachograph.enabled else None)


def _start_task(tachograph: runtime.Runtime, task_id: str, block: Block) -> Live:
    live = tachograph.recorder.begin(block.start())
    room = tachograph.begun.add(clean_id(task_id) or "", live)
    if room is not None:
        tachograph.recorder.end(room, "abandoned")
    return live


_STATUSES: Final[dict[str, Outcome]] = {
    **{outcome: outcome for outcome in get_args(Outcome)},
    "completed": "ok",
    "success": "ok",
    "failed": "error",
    "cancelled": "interrupted",
    "canceled": "interrupted",
}


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
    outcome = _outcome(status)
    tachograph = runtime.current()
    live = tachograph.begun.take(clean_id(task_id) or "")
    if live is not None:
        tachograph.guard(tachograph.recorder.end, live, outcome if error is None else "error", None, error)
    return live is not None


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
        error: what it failed with; its type is recorded, or the text as one.
        ended_at: when, by default now: ISO 8601 text, a datetime or seconds since the epoch.
        fields: the program's own.

    Raises:
        ValueError: for a moment or duration that is none.
    """
    facts = {
        names.REQUEST_MODEL: _text(model) or "unnamed",
        names.PROVIDER_NAME: _text(provider),
        names.INPUT_TOKENS: _count(prompt_tokens),
        names.OUTPUT_TOKENS: _count(completion_tokens),
        names.CACHED_TOKENS: _count(cached_tokens),
        names.REASONING_TOKENS: _count(reasoning_tokens),
        names.RESPONSE_TOOL_CALLS: _count(tool_calls) or None,
    }
    _over("model", duration, ended_at, error, {**facts, **_custom(fields)})


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
        error: what it failed with.
        ended_at: when, by default now.
        fields: the program's own.

    Raises:
        ValueError: for a moment or duration that is none.
    """
    name, kind = _text(agent_name), _text(agent_type)
    facts = {names.AGENT_NAME: name or kind or "unnamed", names.CUSTOM + "agent_type": kind if name else None}
    _over("agent", duration, ended_at, error, {**facts, **_custom(fields)})


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
        error: what it failed with.
        ended_at: when, by default now.
        fields: the program's own.

    Raises:
        ValueError: for a moment or duration that is none.
    """
    facts = {
        names.TOOL_NAME: _text(tool_name) or "unnamed",
        names.TOOL_TYPE: "function",
        names.TOOL_CALL_ID: clean_id(call_id),
    }
    _over("tool", duration, ended_at, error, {**facts, **_custom(fields)})


def _over(
    kind: Kind,
    seconds: float,
    ended_at: str | datetime | float | None,
    error: BaseException | str | None,
    facts: Mapping[str, Any],
) -> None:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < _YEAR:
        raise ValueError(f"duration={seconds!r}: expected seconds, from 0 up to a year's")
    tachograph = runtime.current()
    end_ns = tachograph.recorder.now() if ended_at is None else moment(ended_at)
    if not _YEAR * _SECOND <= end_ns < _LAST:
        raise ValueError(f"ended_at={ended_at!r}: expected a moment between the years 1972 and 9000")
    if tachograph.enabled:
        known = {fact: value for fact, value in facts.items() if value is not None}
        start = Start(kind, known[_SUBJECTS[kind]], known)
        tachograph.guard(tachograph.recorder.over, start, end_ns - round(float(seconds) * _SECOND), end_ns, error)


_SECOND: Final = 1_000_000_000
_YEAR: Final = 366 * 86_400
_LAST: Final = 7_000 * _YEAR * _SECOND


# ------------------------------------------------------------------------------------------------------ given values
def _ending(error: BaseException | None) -> tuple[Outcome, None, BaseException | None]:
    return "ok" if error is None else outcome_of(error), None, error


def _outcome(status: Any) -> Outcome:
    for word in (status, getattr(status, "value", None), getattr(status, "name", None)):
        if type(word) is str and word.lower() in _STATUSES:
            return _STATUSES[word.lower()]
    raise ValueError(f"{status!r} is no status; there are: {', '.join(_STATUSES)}")


def _custom(fields: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in itertools.islice(fields.items(), _MAX_FIELDS):
        if isinstance(value, str):
            found[names.CUSTOM + name] = clipped(value, MAX_FIELD)
        elif type(value) in (float, bool) or _is_whole(value):
            found[names.CUSTOM + name] = value
    return found


def _text(value: Any) -> str | None:
    """A text that any backend can hold, without credentials; None for what is no text, or an empty one."""
    return clipped(value, MAX_FIELD) if type(value) is str and value else None


def _count(value: Any) -> int | None:
    return value if _is_whole(value) and value >= 0 else None


def _is_whole(value: Any) -> bool:
    return type(value) is int and -_TOO_LARGE <= value < _TOO_LARGE
