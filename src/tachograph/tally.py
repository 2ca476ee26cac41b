"""The counters of one session, of one request within it, or of everything.

A tally is the state of a fold over records: it is told once that an operation started, once that it ended, and
of each event. It never forgets and never grows with history: per-name tables are bounded and everything else is
a number. The :class:`~tachograph.ledger.Ledger` keeps the "once"; the views read.

The counting rules, one owner for each fact:

- The outermost model operation is the call; its tokens count whatever its outcome, as they are billed.
- ``requested`` tool calls include refused ones; ``completed + failed`` ran.
- A switch is counted where the receiving agent's run starts; the return is none.
- ``errors`` are root causes: agent runs that ended in an error that no nested run handed up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tachograph import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.records import Event, Operation

T = TypeVar("T")

OTHER = "other"
"""Where a table that has reached its bound counts further names."""


@dataclass(slots=True)
class ModelTally:
    """Calls of one model and the tokens billed for them."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


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


def _tokens(operation: Operation, name: str) -> int:
    return int(operation.attributes.get(name) or 0)


@dataclass(slots=True)
class Tally:
    """Counters; see the module's text for the rules."""

    max_names: int = 200
    max_requests: int = 100
    user_id: str | None = None
    user_ns: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    open: int = 0
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
    active: int = 0
    request_ns: int = 0
    successful_ns: int = 0
    successful_tokens: int = 0
    with_tools: int = 0
    tasks: int = 0
    tokens: ModelTally = field(default_factory=ModelTally)
    models: dict[str, ModelTally] = field(default_factory=dict)
    agents: dict[str, AgentTally] = field(default_factory=dict)
    tools: dict[str, ToolTally] = field(default_factory=dict)
    switches: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    errors_by_agent: dict[str, dict[str, int]] = field(default_factory=dict)
    recovered_by_agent: dict[str, dict[str, int]] = field(default_factory=dict)
    tool_errors: dict[str, int] = field(default_factory=dict)
    llm_errors: dict[str, int] = field(default_factory=dict)
    requests: deque[Operation] = field(default_factory=deque)
    evicted_requests: int = 0
    folded_names: int = 0

    # ------------------------------------------------------------------------------------------------ the fold
    def started(self, operation: Operation) -> None:
        """An operation began. Once for each."""
        self.open += 1
        self._seen(operation.start_ns, operation.user_id)
        kind = operation.kind
        if kind == "model":
            self.active += 1
        elif kind == "tool":
            self.tool_calls += 1
            self._entry(self.tools, operation.name, ToolTally).requested += 1
        elif kind == "agent":
            attributes = operation.attributes
            self.agent_runs += 1
            self._entry(self.agents, operation.name, AgentTally).count += 1
            if not attributes.get(names.NESTED):
                self.tasks += 1
            if names.SWITCH_FROM in attributes:
                self._switch(attributes[names.SWITCH_FROM], attributes.get(names.SWITCH_TO, operation.name))

    def ended(self, operation: Operation) -> None:
        """An operation that :meth:`started` ended. Once for each."""
        self.open -= 1
        self._seen(operation.end_ns or operation.start_ns, operation.user_id)
        kind = operation.kind
        if kind == "model":
            self._model_ended(operation)
        elif kind == "tool":
            self._tool_ended(operation)
        elif kind == "agent":
            self._agent_ended(operation)

    def event(self, event: Event) -> None:
        """Something was reported that no operation carries. Once for each."""
        self._seen(event.timestamp_ns, event.user_id)
        if event.type == "agent_switched":
            self._switch(str(event.payload.get("from_agent")), str(event.payload.get("to_agent")))
        elif event.type == "session_deleted":
            self.deleted = True

    # --------------------------------------------------------------------------------------------- its branches
    def _model_ended(self, operation: Operation) -> None:
        took = operation.duration_ns
        prompt, completion = _tokens(operation, names.INPUT_TOKENS), _tokens(operation, names.OUTPUT_TOKENS)
        cached, reasoning = _tokens(operation, names.CACHED_TOKENS), _tokens(operation, names.REASONING_TOKENS)
        self.active -= 1
        self.request_ns += took
        for tally in (self.tokens, self._entry(self.models, operation.name, ModelTally)):
            tally.requests += 1
            tally.prompt_tokens += prompt
            tally.completion_tokens += completion
            tally.cached_tokens += cached
            tally.reasoning_tokens += reasoning
        if operation.outcome == "ok":
            self.successful += 1
            self.successful_ns += took
            self.successful_tokens += prompt + completion
        elif operation.outcome == "error":
            self.failed += 1
            self._count(self.llm_errors, operation.error_type or OTHER)
        else:
            self.incomplete += 1
        if operation.attributes.get(names.REQUEST_STREAM):
            self.streamed += 1
        if operation.attributes.get(names.RESPONSE_TOOL_CALLS):
            self.with_tools += 1
        self.requests.append(operation)
        if len(self.requests) > self.max_requests:
            self.requests.popleft()
            self.evicted_requests += 1

    def _tool_ended(self, operation: Operation) -> None:
        tool = self._entry(self.tools, operation.name, ToolTally)
        if operation.outcome == "refused":
            tool.refused += 1
            return
        if operation.outcome == "waiting":
            return
        if operation.outcome == "ok":
            tool.completed += 1
        else:
            tool.failed += 1
            if operation.outcome == "error":
                self._count(self.tool_errors, operation.error_type or OTHER)
        if not operation.attributes.get(names.HUMAN_WAIT):
            tool.total_duration_ns += operation.duration_ns

    def _agent_ended(self, operation: Operation) -> None:
        took = operation.duration_ns
        attributes = operation.attributes
        agent = self._entry(self.agents, operation.name, AgentTally)
        agent.total_duration_ns += took
        if operation.outcome == "ok":
            agent.success_count += 1
        elif operation.outcome == "error":
            agent.failure_count += 1
            by_type = self._entry(self.errors_by_agent, operation.name, dict)
            self._count(by_type, operation.error_type or OTHER)
            if not attributes.get(names.HANDED_UP):
                self.errors += 1
        self._count(self.outcomes, operation.outcome or "ok")
        for error_type in attributes.get(names.RECOVERED, ()):
            self.recovered_errors += 1
            self._count(self._entry(self.recovered_by_agent, operation.name, dict), error_type)
        if not attributes.get(names.NESTED):
            self.processing_ns += took

    # ----------------------------------------------------------------------------------------------- the bounds
    def _switch(self, source: str, target: str) -> None:
        self.agent_switches += 1
        self._count(self.switches, f"{source}_to_{target}")

    def _seen(self, moment_ns: int, user_id: str | None) -> None:
        if self.first_ns is None or moment_ns < self.first_ns:
            self.first_ns = moment_ns
        self.last_ns = max(self.last_ns, moment_ns)
        # The last one named, whatever order records come in.
        if user_id is not None and (moment_ns, user_id) >= (self.user_ns, self.user_id or ""):
            self.user_ns, self.user_id = moment_ns, user_id

    def _count(self, table: dict[str, int], key: str) -> None:
        if key not in table and len(table) >= self.max_names:
            key = OTHER
            self.folded_names += 1
        table[key] = table.get(key, 0) + 1

    def _entry(self, table: dict[str, T], key: str, make: Callable[[], Any]) -> T:
        found = table.get(key)
        if found is None:
            if len(table) >= self.max_names:
                key = OTHER
                self.folded_names += 1
            found = table.setdefault(key, make())
        return found
