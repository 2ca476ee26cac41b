"""The counters of one session, of one request within it, or of everything.

A tally is the state of a fold over records: it is told once of each operation that ended (:mod:`tachograph.folds`), and
of each event; what is under way is added when somebody reads. It never forgets and never grows with history: per-name
tables are bounded and everything else is a number. The :class:`~tachograph.ledger.Ledger` keeps the "once"; the views
read.

The counting rules, one owner for each fact:

- The outermost model operation is the call; its tokens count whatever its outcome, as they are billed.
- ``requested`` tool calls include refused ones; ``completed + failed`` ran.
- A switch is counted where the receiving agent's run starts; the return is none.
- An approval is asked for once and decided once; one that nobody decided in time is expired, whatever comes later.
- A task is one that the program speaks of, or an outermost agent run in none of these.
- ``errors`` are root causes: agent runs that ended in an error that no nested run handed up.
- A deleted session is hidden until an operation begins in it, or it is created, after that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tachograph import names
from tachograph.cost import PLACES
from tachograph.facts import outermost, switch_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.records import Event, Operation

T = TypeVar("T")

OTHER = "other"
"""Where a table that has reached its bound counts further names."""

SMALLEST: Final = 10**PLACES
"""Units of cost in a dollar."""


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
    begun_ns: int = 0
    """When the last of what makes a session anew began."""
    deleted: int = 0
    """When the session was deleted last, in nanoseconds since the epoch."""
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
    """The newest model calls, ``max_requests`` at most."""
    folded_names: int = 0

    def __post_init__(self) -> None:
        self.requests = deque(self.requests, self.max_requests)

    @property
    def evicted_requests(self) -> int:
        """Model calls that are listed no more."""
        return self.successful + self.failed + self.incomplete - len(self.requests)

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

    def hidden(self, begun_ns: int = 0) -> int:
        """When the session was deleted, if nothing has begun since, nor at the moment given; else 0."""
        return self.deleted if self.deleted >= max(self.begun_ns, begun_ns) else 0

    # ------------------------------------------------------------------------------------------------ the fold
    def event(self, event: Event) -> None:
        """Something was reported that no operation carries. Once for each."""
        self.seen(event.timestamp_ns, event.user_id)
        if event.type == "agent_switched":
            self._switch(*switch_of(event.payload))
        elif event.type == "session_deleted":
            self.deleted = max(self.deleted, event.timestamp_ns)
        elif event.type == "session_created":
            self.begun_ns = max(self.begun_ns, event.timestamp_ns)

    def began(self, operation: Operation) -> None:
        """What an operation counts from its start on."""
        self.seen(operation.start_ns, operation.user_id)
        self.begun_ns = max(self.begun_ns, operation.start_ns)
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
