"""An operation from its start to its end: what an integration says of it, and what is known while it lasts."""

from __future__ import annotations

import builtins
import itertools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.context import set_value

from tachograph import names
from tachograph.context import Scope, here, with_operation, with_scope
from tachograph.facts import USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from tachograph.content import Content
    from tachograph.records import Kind, Operation, Outcome

_MAX_FAILURES: Final = 16
_MAX_CHAIN: Final = 64
_MAX_WAITS: Final = 1_000
_GROUP: Final[Any] = getattr(builtins, "BaseExceptionGroup", None)
"""What a task group raises; from Python 3.11 on."""

Facts = dict[str, Any]
"""Attributes by the names of :mod:`tachograph.names`. ``names.OUTCOME`` among them overrides the outcome."""


class Start(NamedTuple):
    """What an integration says when an operation begins.

    Args:
        kind: of operation.
        name: what the views tabulate it by.
        facts: attributes known now.
        data: the integration's own state of this operation; nobody else looks at it.
        parent: the enclosing operation where context was lost but it is known all the same.
        in_process: a model that runs in this process rather than behind a server.
        refused: the call never ran.
        correlation_id: of the request that it goes on with, where nothing around it says one.
        deferred: the result is a generator, iterator or coroutine, and the work is done when that is consumed.
        probes: to install before the call goes on, as only now it is known what will run inside it.
        content: what it is given, where content is captured.
    """

    kind: Kind
    name: str
    facts: Mapping[str, Any] = {}
    data: Any = None
    parent: Live | None = None
    in_process: bool = False
    refused: bool = False
    deferred: bool = False
    probes: tuple[Any, ...] = ()
    content: Content | None = None
    correlation_id: str | None = None


class Live:
    """An operation under way: its record so far, its span, and the context of what runs inside it.

    ``outer`` and ``base`` are what it began in; ``sampled`` says that its span is exported, ``over`` that it has ended
    in this process; ``later`` are facts learned since; ``once`` is emptied by whoever ends it first; ``failures`` are
    those of runs inside it, to tell its own from handed-up ones; ``waits`` are the times in which a human was waited
    for; ``parts`` is what model calls inside this one say, which count for nothing themselves, and ``part_of`` the call
    that this one is such a part of.
    """

    sampled = False
    claim: tuple[str, Any] | None = None
    failures: Sequence[BaseException] = ()
    over = False
    part_of: Live | None = None
    parts: Facts | None = None
    watch: Any = None

    def __init__(
        self, record: Operation, span: Span | None, agent: Live | None, start: Start, outer: Scope, base: Context
    ) -> None:
        self.kind: Kind = start.kind
        self.record = record
        self.span = span
        self.agent = agent
        self.content = start.content
        self.data = start.data
        self.deferred = start.deferred
        self.later: Facts = {}
        self.outer = outer
        self.base = base
        self.once = [True]
        self.waits: list[tuple[int, int]] = []

    def add(self, facts: Mapping[str, Any]) -> None:
        """Facts learned on the way; unknown ones (None) take nothing back."""
        later = self.later
        for name, value in facts.items():
            if value is not None:
                later[name] = value

    def add_part(self, facts: Mapping[str, Any]) -> None:
        """What a call inside this one says, for this one to fill in what it does not say itself: tokens as a sum."""
        parts = self.parts = self.parts or {}
        for name, value in facts.items():
            if value is not None:
                parts[name] = parts.get(name, 0) + value if name in USAGE else value

    def learned(self, facts: Mapping[str, Any] | None) -> Facts:
        """All facts learned since it began, with ``facts`` and those of its parts that it does not say itself."""
        if facts:
            self.add(facts)
        if self.parts:
            said = {**self.record.attributes, **self.later}
            self.later |= {name: self.parts[name] for name in self.parts if name not in said}
        return self.later

    def context(self, base: Context | None = None) -> Context:
        """``base`` (default: the current context), with this operation as what is going on."""
        # Made when asked for: kept here it would be a circle, and an operation be left to the garbage collector.
        record, outer = self.record, self.outer
        user_id, conversation_id = outer.user_id, outer.conversation_id
        within = record.session_id, record.correlation_id, user_id, conversation_id, self, None, outer.explicit
        scope = tuple.__new__(Scope, within)  # past its own constructor, as there is one for each operation
        context = with_operation(scope, self.span, here() if base is None else base)
        return context if self.claim is None else set_value(*self.claim, context)

    def end(self) -> None:
        """It is over, and lets go what is over around it: timers may keep it for long, and more begin in it."""
        self.over, around, run = True, self.outer.operation, self.agent
        if around is not None and around.over:
            self.outer = self.outer._replace(operation=lasting(around))
            self.base = with_scope(self.outer, self.base)
        if run is not None and run.over:
            self.agent = lasting_run(run)

    def waited(self, start_ns: int, end_ns: int) -> None:
        """A human was waited for in here: tools around it did not work meanwhile. An agent's time is inclusive."""
        live: Live | None = self
        while live is not None:
            if live.kind == "tool" and len(live.waits) < _MAX_WAITS:
                live.waits.append((start_ns, end_ns))
            live = live.outer.operation

    def wait_seconds(self, end_ns: int) -> float:
        """Seconds of its time, up to its end, in which a human was waited for."""
        waited = reached = 0
        for start_ns, until_ns in sorted(self.waits):  # several may be asked at once
            begun, until = max(start_ns, reached, self.record.start_ns), min(until_ns, end_ns)
            waited += max(0, until - begun)
            reached = max(reached, until)
        return waited / 1_000_000_000


def known(start: Start, scope: Scope, run: Live | None) -> Mapping[str, Any]:
    """What is known of an operation when it begins in ``scope``, in an agent run or in none. To be read only."""
    facts = start.facts
    if None in facts.values():
        facts = {name: value for name, value in facts.items() if value is not None}
    if start.kind == "agent":
        facts = {**facts, **_place_of_run(scope.operation, run)}
    if scope.conversation_id is not None:
        facts = {**facts, names.CONVERSATION_ID: scope.conversation_id}
    return facts


def _place_of_run(inside: Live | None, run: Live | None) -> Facts:
    """Whether an agent run is part of another run, or of a task that says what it is; none is of what is over."""
    if lasting_run(run) is not None:
        return {names.NESTED: True}
    task = lasting(inside)
    while task is not None and task.kind != "task":
        task = lasting(task.outer.operation)
    return {} if task is None else {names.TASK_ID: task.record.attributes.get(names.TASK_ID) or task.record.id}


def part(around: Live, start: Start, outer: Scope, base: Context) -> Live:
    """A model call inside of ``around``, to be told of to that call and nobody else, by :meth:`Live.add_part`."""
    live = Live(around.record, around.span, around.agent, start, outer, base)
    live.part_of, live.claim = around, around.claim
    return live


def run_of(inside: Live | None) -> Live | None:
    """The agent run that what happens inside ``inside`` belongs to."""
    return inside if inside is None or inside.kind == "agent" else inside.agent


def lasting(live: Live | None) -> Live | None:
    """The nearest of an operation and those around it that is not over."""
    while live is not None and live.over:
        live = live.outer.operation
    return live


def lasting_run(run: Live | None) -> Live | None:
    """Likewise of an agent run and those it is nested in."""
    while run is not None and run.over:
        run = run.agent
    return run


def hand_up(live: Live, outcome: Outcome, error: BaseException) -> None:
    """Tell a failure of an agent run's own from one that a nested run handed up, and hand it up."""
    if live.kind != "agent" or outcome != "error":
        return
    if live.failures and _stems_from(error, live.failures):
        live.later[names.HANDED_UP] = True
    if live.agent is not None:
        # Kept only while the enclosing run lasts.
        live.agent.failures = [*live.agent.failures[1 - _MAX_FAILURES :], error]


def _stems_from(error: BaseException, earlier: Sequence[BaseException]) -> bool:
    """Whether one of ``earlier`` is among the causes and contexts of ``error``, or of those it is a group of."""
    known = {id(failure) for failure in earlier}
    todo, seen = [error], set[int]()
    for _ in itertools.repeat(None, _MAX_CHAIN):
        if not todo:
            return False
        link = todo.pop()
        if id(link) in known:
            return True
        if id(link) not in seen:
            seen.add(id(link))
            todo += [cause for cause in (link.__cause__, link.__context__) if cause is not None]
            if _GROUP is not None and issubclass(type(link), _GROUP):
                todo += _GROUP.exceptions.__get__(link)  # past what a subclass makes of it
    return False
