"""The counters of one session, of one request within it, or of everything.

A tally is the state of a fold over records: it is told once of each operation that ended, and of each event; what
is under way is added when somebody reads. It never forgets and never grows with history: per-name tables are
bounded and everything else is a number. The :class:`~tachograph.ledger.Ledger` keeps the "once"; the views read.

The counting rules, one owner for each fact:

- The outermost model operation is the call; its tokens count whatever its outcome, as they are billed.
- ``requested`` tool calls include refused ones; ``completed + failed`` ran.
- A switch is counted where the receiving agent's run starts; the return is none.
- An approval is asked for once and decided once; one that nobody decided in time is expired, whatever comes later.
- A task is one that the program speaks of, or an outermost agent run in none of these.
- ``errors`` are root causes: agent runs that ended in an error that no nested run handed up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tachograph import names
from tachograph.cost import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tachograph.records import Event, Operation

T = TypeVar("T")

SESSIONLESS: Final = frozenset({"agent_registered", "system_startup", "system_shutdown"})
"""Events that make no session, and count in the totals alone: they happen before anybody asked for anything."""

OTHER = "other"
"""Where a table that has reached its bound counts further names."""

SMALLEST: Final = 10**PLACES
"""Units of cost in a dollar."""

_MOST: Final = 1e9
"""Dollars that no call costs."""

PENDING: Final = "pending"
EXPIRED: Final = "EXPIRED"


def outermost(run: Operation) -> bool:
    """Whether an agent run is a unit of work of its own: inside no other run, and in no task that says what it is."""
    return not run.attributes.get(names.NESTED) and names.TASK_ID not in run.attributes


def expired(asked: Operation, moment_ns: int) -> bool:
    """Whether an approval's time was up at a moment."""
    timeout = asked.attributes.get(names.APPROVAL_TIMEOUT)
    return timeout is not None and (moment_ns - asked.start_ns) / 1_000_000_000 > timeout


def switch_of(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Who handed over to whom, by the payload of an ``agent_switched``."""
    return str(payload.get("from_agent")), str(payload.get("to_agent"))


@dataclass(slots=True)
class ModelTally:
    """Calls of one model, the tokens billed for them, and what they cost.

    ``cost`` is in units of 1 / :data:`SMALLEST` dollars, so that sums are exact, and of the ``priced`` calls;
    of ``unpriced`` ones nobody knows it.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    priced: int = 0
    unpriced: int = 0


@dataclass(slots=True)
class AgentTally:
    """Runs of one agent; durations include what ran inside them."""

    count: int = 0
    total_duration_ns: int = 0
    success_count: int = 0
    failure_count: int = 0


@dataclass(slots=True)
class ToolTally:
    """Calls of one tool."""

    requested: int = 0
    completed: int = 0
    failed: int = 0
    refused: int = 0
    requires_approval: int = 0
    total_duration_ns: int = 0


@dataclass(slots=True)
class Tally:
    """Counters; see the module's text for the rules."""

    max_names: int = 200
    max_requests: int = 100
    user_id: str | None = None
    user_ns: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    open: dict[str, Operation] = field(default_factory=dict)
    """What is under way, by id."""
    deleted: bool = False
    agent_runs: int = 0
    agent_switches: int = 0
    tool_calls: int = 0
    processing_ns: int = 0
    errors: int = 0
    recovered_errors: int = 0
    successful: int = 0
    failed: int = 0
    incomplete: int = 0
    streamed: int = 0
    request_ns: int = 0
    successful_ns: int = 0
    successful_tokens: int = 0
    with_tools: int = 0
    tasks: int = 0
    models: dict[str, ModelTally] = field(default_factory=dict)
    agents: dict[str, AgentTally] = field(default_factory=dict)
    tools: dict[str, ToolTally] = field(default_factory=dict)
    switches: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    errors_by_agent: dict[str, dict[str, int]] = field(default_factory=dict)
    recovered_by_agent: dict[str, dict[str, int]] = field(default_factory=dict)
    tool_errors: dict[str, int] = field(default_factory=dict)
    llm_errors: dict[str, int] = field(default_factory=dict)
    hitl: dict[str, dict[str, int]] = field(default_factory=dict)
    unsaid: dict[str, int] = field(default_factory=dict)
    """How often spans of others have not said something."""
    requests: deque[Operation] = field(default_factory=deque)
    evicted_requests: int = 0
    folded_names: int = 0

    @property
    def active(self) -> int:
        """Model calls under way."""
        return sum(operation.kind == "model" for operation in self.open.values())

    @property
    def tokens(self) -> ModelTally:
        """The calls of all models and their tokens."""
        return ModelTally(
            **{count.name: sum(getattr(m, count.name) for m in self.models.values()) for count in fields(ModelTally)}
        )

    # ------------------------------------------------------------------------------------------------ the fold
    def now(self, more: Iterable[Operation] = (), moment_ns: int = 0) -> Tally:
        """The counters of this moment, those of what is under way, here and in ``more``, included. To be read only.

        Args:
            more: what is under way elsewhere; or has ended, and may yet turn out to be part of something else.
            moment_ns: when that is, in nanoseconds since the epoch; until then approvals may have expired.
        """
        under_way = {**self.open, **{operation.id: operation for operation in more}}
        over = [operation for operation in under_way.values() if operation.end_ns is not None]
        if not under_way:
            return self
        # A copy, as the end of an operation will count it whole.
        tally = replace(
            self,
            open={id_: operation for id_, operation in under_way.items() if operation.end_ns is None},
            agents={name: replace(agent) for name, agent in self.agents.items()},
            tools={name: replace(tool) for name, tool in self.tools.items()},
            switches=dict(self.switches),
            hitl={tool: dict(decisions) for tool, decisions in self.hitl.items()},
        )
        if over:
            tally = _copied(tally)
            for operation in over:
                ended(operation, (tally,))
        for operation in tally.open.values():
            tally.began(operation)
            if operation.kind == "approval":
                tally.decided(operation.name, EXPIRED if expired(operation, moment_ns) else PENDING)
        return tally

    def event(self, event: Event) -> None:
        """Something was reported that no operation carries. Once for each."""
        self.seen(event.timestamp_ns, event.user_id)
        if event.type == "agent_switched":
            self._switch(*switch_of(event.payload))
        elif event.type == "session_deleted":
            self.deleted = True

    def began(self, operation: Operation) -> None:
        """What an operation counts from its start on."""
        self.seen(operation.start_ns, operation.user_id)
        kind = operation.kind
        if kind == "tool":
            self.tool_requested(operation)
        elif kind == "agent":
            self.run_began(operation)
        elif kind == "task":
            self.tasks += 1
        elif kind == "approval":
            self.approval_asked(operation)

    def approval_asked(self, asked: Operation) -> None:
        """One call of a tool more that a human is asked about."""
        self.entry(self.tools, asked.name, ToolTally).requires_approval += 1

    def tool_requested(self, call: Operation) -> ToolTally:
        """One call of a tool more; gives the tool's counters."""
        self.tool_calls += 1
        tool = self.tools.get(call.name) or self.entry(self.tools, call.name, ToolTally)
        tool.requested += 1
        return tool

    def run_began(self, run: Operation) -> AgentTally:
        """One run of an agent more; gives the agent's counters."""
        attributes = run.attributes
        self.agent_runs += 1
        agent = self.entry(self.agents, run.name, AgentTally)
        agent.count += 1
        if outermost(run):
            self.tasks += 1
        if names.SWITCH_FROM in attributes:
            self._switch(attributes[names.SWITCH_FROM], attributes.get(names.SWITCH_TO, run.name))
        return agent

    # ----------------------------------------------------------------------------------------------- the bounds
    def decided(self, tool: str, decision: str) -> None:
        """What became of an approval."""
        self.count(self.entry(self.hitl, tool, dict), decision)

    def _switch(self, source: str, target: str) -> None:
        self.agent_switches += 1
        self.count(self.switches, f"{source}_to_{target}")

    def seen(self, moment_ns: int, user_id: str | None) -> None:
        """Something happened."""
        if self.first_ns is None or moment_ns < self.first_ns:
            self.first_ns = moment_ns
        if moment_ns > self.last_ns:  # noqa: PLR1730 - max() takes as long as all the rest here
            self.last_ns = moment_ns
        # The last one named, whatever order records come in.
        if user_id is not None and (moment_ns, user_id) >= (self.user_ns, self.user_id or ""):
            self.user_ns, self.user_id = moment_ns, user_id

    def count(self, table: dict[str, int], key: str) -> None:
        """One more of ``key``."""
        if key not in table and len(table) >= self.max_names:
            key = OTHER
            self.folded_names += 1
        table[key] = table.get(key, 0) + 1

    def entry(self, table: dict[str, T], key: str, make: Callable[[], Any]) -> T:
        """The entry of ``key``, made if need be."""
        found = table.get(key)
        if found is None:
            if len(table) >= self.max_names:
                key = OTHER
                self.folded_names += 1
            found = table.setdefault(key, make())
        return found


def repeats_operation(event: Event) -> bool:
    """Whether an event is the log event of what an operation carries: the same fact a second time, to be left out."""
    return names.OPERATION_ID in event.payload


def _copied(tally: Tally) -> Tally:
    """The counters that the end of an operation adds to, to add to them for one answer."""
    return replace(
        tally,
        models={name: replace(model) for name, model in tally.models.items()},
        outcomes=dict(tally.outcomes),
        errors_by_agent={name: dict(types) for name, types in tally.errors_by_agent.items()},
        recovered_by_agent={name: dict(types) for name, types in tally.recovered_by_agent.items()},
        tool_errors=dict(tally.tool_errors),
        llm_errors=dict(tally.llm_errors),
        unsaid=dict(tally.unsaid),
        requests=tally.requests.copy(),
    )


# ----------------------------------------------------------------------------------------------- an operation's end
def ended(operation: Operation, tallies: Iterable[Tally]) -> None:
    """An operation ended, whether or not its start was told. Once for each."""
    start_ns, end_ns, user_id = operation.start_ns, operation.end_ns or operation.start_ns, operation.user_id
    for tally in tallies:
        if tally.open:
            tally.open.pop(operation.id, None)
        tally.seen(start_ns, user_id)
        if end_ns > tally.last_ns:  # noqa: PLR1730 - max() takes as long as all the rest here
            tally.last_ns = end_ns
    fold = _FOLDS.get(operation.kind)
    if fold is not None:
        fold(operation, tallies)


_TOKENS: Final = (names.INPUT_TOKENS, names.OUTPUT_TOKENS)


def _model_ended(call: Operation, tallies: Iterable[Tally]) -> None:
    facts, took, outcome = call.attributes, call.duration_ns, call.outcome
    prompt, completion = facts.get(names.INPUT_TOKENS) or 0, facts.get(names.OUTPUT_TOKENS) or 0
    cached, reasoning = facts.get(names.CACHED_TOKENS) or 0, facts.get(names.REASONING_TOKENS) or 0
    streamed, with_tools = facts.get(names.REQUEST_STREAM), facts.get(names.RESPONSE_TOOL_CALLS)
    amount = facts.get(names.COST)
    if amount is not None and not 0 <= amount < _MOST:  # somebody's span may say anything
        amount = None
    cost = 0 if amount is None else round(amount * SMALLEST)
    # A call that failed before anything was used costs nothing; of any other we would have to know.
    untold = names.TOLD_BY in facts and outcome == "ok" and facts.keys().isdisjoint(_TOKENS)
    unpriced = amount is None and (outcome != "error" or names.INPUT_TOKENS in facts or names.OUTPUT_TOKENS in facts)
    for tally in tallies:
        model = tally.models.get(call.name) or tally.entry(tally.models, call.name, ModelTally)
        model.requests += 1
        model.prompt_tokens += prompt
        model.completion_tokens += completion
        model.cached_tokens += cached
        model.reasoning_tokens += reasoning
        model.cost += cost
        model.priced += amount is not None
        model.unpriced += unpriced
        tally.request_ns += took
        if untold:
            tally.count(tally.unsaid, "tokens")
        if streamed:
            tally.streamed += 1
        if with_tools:
            tally.with_tools += 1
        if outcome == "ok":
            tally.successful += 1
            tally.successful_ns += took
            tally.successful_tokens += prompt + completion
        elif outcome == "error":
            tally.failed += 1
            tally.count(tally.llm_errors, call.error_type or OTHER)
        else:
            tally.incomplete += 1
        tally.requests.append(call)
        if len(tally.requests) > tally.max_requests:
            tally.requests.popleft()
            tally.evicted_requests += 1


def _tool_ended(call: Operation, tallies: Iterable[Tally]) -> None:
    outcome, took = call.outcome, 0 if call.attributes.get(names.HUMAN_WAIT) else call.duration_ns
    for tally in tallies:
        tool = tally.tool_requested(call)
        if outcome == "refused":
            tool.refused += 1
        elif outcome == "ok":
            tool.completed += 1
            tool.total_duration_ns += took
        elif outcome != "waiting":
            tool.failed += 1
            tool.total_duration_ns += took
            if outcome == "error":
                tally.count(tally.tool_errors, call.error_type or OTHER)


def _agent_ended(run: Operation, tallies: Iterable[Tally]) -> None:
    facts, took, outcome = run.attributes, run.duration_ns, run.outcome
    for tally in tallies:
        agent = tally.run_began(run)
        agent.total_duration_ns += took
        if names.TOLD_BY in facts:
            tally.count(tally.unsaid, "runs")
        tally.count(tally.outcomes, outcome or "ok")
        if outcome == "ok":
            agent.success_count += 1
        elif outcome == "error":
            agent.failure_count += 1
            tally.count(tally.entry(tally.errors_by_agent, run.name, dict), run.error_type or OTHER)
            if not facts.get(names.HANDED_UP):
                tally.errors += 1
        for error_type in facts.get(names.RECOVERED, ()):
            tally.recovered_errors += 1
            tally.count(tally.entry(tally.recovered_by_agent, run.name, dict), error_type)
        if not facts.get(names.NESTED):
            tally.processing_ns += took


def _task_ended(_: Operation, tallies: Iterable[Tally]) -> None:
    for tally in tallies:
        tally.tasks += 1


def _approval_ended(asked: Operation, tallies: Iterable[Tally]) -> None:
    for tally in tallies:
        tally.approval_asked(asked)
        tally.decided(asked.name, asked.attributes.get(names.APPROVAL_DECISION) or EXPIRED)


_FOLDS: Final = {
    "model": _model_ended,
    "tool": _tool_ended,
    "agent": _agent_ended,
    "task": _task_ended,
    "approval": _approval_ended,
}
