"""Operations that a program reports itself: home-made agents, models, tools and tasks.

Each of :func:`task`, :func:`agent`, :func:`model` and :func:`tool` is a decorator (of functions, coroutine functions,
generators and async generators) and a context manager (sync and async)::

    @tachograph.tool
    def search(query: str) -> str: ...

    with tachograph.model("gpt-4.1", provider="openai") as call:
        answer = client.ask(prompt)
        call.usage(input_tokens=answer.used.prompt, output_tokens=answer.used.completion)

What they cannot be put around is told of otherwise: :mod:`tachograph.told`. Nothing here raises into the program but
what it is given wrong by name.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry.context import attach, get_current

from tachograph import given, names, runtime
from tachograph.context import current, left
from tachograph.live import Start, part
from tachograph.probes import Probe, outcome_of, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike
    from types import TracebackType

    from tachograph.live import Facts, Live
    from tachograph.probes import Call, Hooks
    from tachograph.records import Kind, Outcome
    from tachograph.runtime.assembly import Runtime

F = TypeVar("F", bound="Callable[..., Any]")

_MAX_BLOCKS: Final = 10_000


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
        self._say(given.usage, input_tokens, output_tokens, cached_tokens, reasoning_tokens)

    def tool_calls(self, count: int) -> None:
        """How many tool calls the model's answer has."""
        self._say(given.tool_calls, count)

    def answered(self, *, model: str | None = None, response_id: str | None = None, reason: str | None = None) -> None:
        """What the provider says of its answer: the model that answered, its id, why it stopped."""
        self._say(given.answer, model, response_id, reason)

    def set(self, **fields: str | float) -> None:
        """Fields of the program's own: they are part of the record, of ``requests`` and of what is exported.

        Values are texts, numbers and truths; others are left out, and long texts cut.
        """
        self._say(given.custom, fields)

    def outcome(self, outcome: Outcome) -> None:
        """How it is going to end, where no exception says so, such as ``waiting`` or ``interrupted``.

        Raises:
            ValueError: for a word that is no outcome.
        """
        word = given.outcome(outcome)
        self._say(lambda: {names.OUTCOME: word})

    def failed(self, error: BaseException | str) -> None:
        """It ends as an error that no exception will say.

        Args:
            error: an exception, the name of an error's type, or what went wrong in words.
        """
        self._say(_failure, error)

    def _say(self, facts: Callable[..., Facts], *values: Any) -> None:
        if self._live is not None:
            runtime.current().guard(_add, self._live, facts, *values)


def _add(live: Live, facts: Callable[..., Facts], *values: Any) -> None:
    live.add(facts(*values))


def _failure(error: BaseException | str) -> Facts:
    return {names.OUTCOME: "error", **runtime.current().recorder.failure(error)}


class Block:
    """What :func:`task`, :func:`agent`, :func:`model` and :func:`tool` give: a context manager and a decorator."""

    __slots__ = ("_entered", "_facts", "_kind", "_name")

    def __init__(self, kind: Kind, name: str | None, facts: Callable[[], Facts]) -> None:
        self._kind = kind
        self._name = name
        self._facts = facts
        # By the identity of the operation that is current inside: threads and tasks may be in here at once.
        self._entered: OrderedDict[int, tuple[Live, Any]] = OrderedDict()

    def start(self, called: str | None = None, *, deferred: bool = False) -> Start:
        """What an operation of this kind starts with.

        Args:
            called: its name, if the block has none.
            deferred: what it gives is worked off later.
        """
        name = given.text(self._name) or given.text(called) or self._kind
        return Start(self._kind, name, {given.SUBJECTS[self._kind]: name, **self._facts()}, deferred=deferred)

    # ---------------------------------------------------------------------------------------------- with, async with
    def __enter__(self) -> Handle:
        tachograph = runtime.current()
        return Handle(tachograph.guard(self._enter, tachograph) if tachograph.enabled else None)

    def _enter(self, tachograph: Runtime) -> Live:
        around = call_around(tachograph) if self._kind == "model" else None
        if around is None:
            live = tachograph.recorder.begin(self.start())
        else:
            live = part(around, self.start(), tachograph.recorder.scope(), get_current())
        if len(self._entered) >= _MAX_BLOCKS:
            self._entered.popitem(last=False)
        self._entered[id(live)] = live, attach(live.context())
        return live

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runtime.current().guard(self._exit, error)

    def _exit(self, error: BaseException | None) -> None:
        live = self._left()
        if live is not None and live.part_of is not None:
            live.part_of.add_part({name: said for name, said in live.learned(None).items() if name not in _OF_THE_END})
        elif live is not None:
            outcome: Outcome = "ok" if error is None else outcome_of(error)
            runtime.current().recorder.end(live, outcome, None, error)

    def _left(self) -> Live | None:
        """The operation that is left, with what was current around it current again."""
        scope = current()
        inside = None if scope is None else scope.operation
        while inside is not None and id(inside) not in self._entered:
            inside = inside.outer.operation  # something in here was not left
        if inside is None:
            return self._left_elsewhere()
        live, token = self._entered.pop(id(inside))
        if not left(token):
            runtime.current().misuse(f"{self._it()} was left in a copy of the context it was entered in")
        return live

    def _it(self) -> str:
        return f"the {self._kind} block"

    def _left_elsewhere(self) -> Live | None:
        # In another context than it was entered in, as the halves of a fixture are, or after what it was entered in was
        # left: then it is the one entered last, and nothing of it is current here.
        if not self._entered:
            return None
        runtime.current().misuse(f"{self._it()} was left where it is not in force: in another task, or out of order")
        return self._entered.popitem()[1][0]

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
        return cast("F", runtime.current().guard(self._decorated, function, plain, default=function))

    def _decorated(self, function: Any, plain: Any) -> Any:
        called, deferred = getattr(plain, "__name__", None), _worked_off_later(plain)

        def began(_: Call) -> Start | None:
            if self._kind == "model" and call_around(runtime.current()) is not None:
                return None
            return self.start(called, deferred=deferred)

        return stand_in(function, Probe(function, str(called), began=began), _hooks)


def call_around(tachograph: Runtime) -> Live | None:
    """The model call that a model call is part of, as it is made inside of it: the outermost is the one that counts."""
    around: Live | None = tachograph.recorder.scope().operation
    return around if around is not None and around.kind == "model" and around.once else None


_OF_THE_END: Final = frozenset({names.OUTCOME, names.ERROR_TYPE, names.EXCEPTION_MESSAGE})
"""What a part of a call says of its own end, which is not that of the call."""


def _hooks() -> Hooks:
    return runtime.current().hooks


_WORKED_OFF_LATER: Final = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def _worked_off_later(function: Any) -> bool:
    """Whether it gives a coroutine or a generator, also where it is an object, or a plain wrapper of what does."""
    made = inspect.unwrap(function)
    call = made if inspect.isroutine(made) else made.__call__
    return any(kind(seen) for seen in (made, call) for kind in _WORKED_OFF_LATER)


def _block(kind: Kind, name: str | Callable[..., Any] | None, facts: Callable[[], Facts]) -> Any:
    if callable(name) or isinstance(name, (classmethod, staticmethod)):
        return Block(kind, None, facts)(name)
    return Block(kind, name, facts)


# ------------------------------------------------------------------------------------------------- around the work
def task(
    name: str | Callable[..., Any] | None = None,
    *,
    id: str | None = None,  # noqa: A002 - what everybody calls it
    description: str | None = None,
    category: str | None = None,
    folder: str | PathLike[str] | None = None,
) -> Any:
    """One unit of work asked for: agents that run inside are its parts, and it is what is counted as a task.

    Args:
        name: what kind of work it is, such as ``repo_analysis``; a decorated function's own name by default.
        id: the program's own id of it.
        description: what is to be done. Kept here, redacted and cut, and never sent.
        category: what kind of procedure it follows, such as an SOP's category.
        folder: where its changes of code are looked for, where these are noted; by default the working directory.
            Never sent.
    """
    return _block("task", name, functools.partial(given.task, id, description, category, folder))


def agent(name: str | Callable[..., Any] | None = None, *, description: str | None = None) -> Any:
    """One run of an agent.

    Args:
        name: of the agent; a decorated function's own name by default.
        description: what the agent is for.
    """
    return _block("agent", name, functools.partial(given.agent, description))


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
    return _block("model", name, functools.partial(given.model, provider, messages, tools, stream))


def tool(name: str | Callable[..., Any] | None = None, *, call_id: str | None = None) -> Any:
    """One call of a tool.

    Args:
        name: of the tool; a decorated function's own name by default.
        call_id: the model's id of the call.
    """
    return _block("tool", name, functools.partial(given.tool, call_id))


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


def _switch(tachograph: Runtime, to: str, source: str | None, reason: str | None, fields: Mapping[str, Any]) -> None:
    inside = tachograph.recorder.scope().operation
    running = None if inside is None else inside.record.name if inside.kind == "agent" else inside.record.agent
    payload = {"from_agent": source or running, "to_agent": to, "reason": reason, **fields}
    tachograph.recorder.event("agent_switched", payload)
