"""What did this session do and what did it cost?"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.content import shown
from tachograph.cost import CURRENCY
from tachograph.facts import EXPIRED, PENDING
from tachograph.tally import SMALLEST
from tachograph.times import milliseconds, timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.records import Operation
    from tachograph.tally import ModelTally, Tally


EVERYTHING: Final = "*"
"""Id of what is no session but all of them together."""

_UNSAID: Final = {
    "runs": "agent runs told of by spans of others, which do not say who was switched to or what humans decided",
    "tokens": "model calls told of by spans of others, which do not say how many tokens were used",
}
"""What spans of others may not say, in words."""

_DECISIONS: Final = ("APPROVE", "EDIT", "REJECT", EXPIRED, PENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetrics:
    """Figures of one session. Durations in milliseconds; zeros for a session nobody has heard of.

    ``total_requests`` are the finished ones and sum up to successful + failed + incomplete; averages are over
    the successful ones. Tokens: cached ones are part of the prompt, reasoning part of the completion.
    ``cost`` is that of the calls whose price is known; of the models in ``unpriced_models`` some calls are not in it,
    and its ``amount`` is None where none is. ``evicted`` says what detail the bounds have dropped (never
    counters); ``calls`` are the records ``requests`` is made from; ``complete`` is False where the source cannot know
    everything, for the named ``reasons``.
    """

    session_id: str
    user_id: str | None = None
    status: str = "unknown"
    first_seen: str | None = None
    last_seen: str | None = None
    agent_runs: int = 0
    agent_switches: int = 0
    tool_calls: int = 0
    processing_duration_ms: float = 0
    errors: int = 0
    recovered_errors: int = 0
    total_requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    incomplete_requests: int = 0
    streamed_requests: int = 0
    active_requests: int = 0
    total_duration_ms: float = 0
    average_duration_ms: float = 0
    total_prompt_tokens: int = 0
    total_completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    average_tokens_per_request: float = 0
    requests_with_tools: int = 0
    token_efficiency: float = 0
    tokens_by_model: dict[str, dict[str, Any]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    agents: dict[str, dict[str, float]] = field(default_factory=dict)
    tools: dict[str, dict[str, float]] = field(default_factory=dict)
    switches: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    errors_by_agent: dict[str, dict[str, int]] = field(default_factory=dict)
    recovered_errors_by_agent: dict[str, dict[str, int]] = field(default_factory=dict)
    tool_errors: dict[str, int] = field(default_factory=dict)
    llm_errors: dict[str, int] = field(default_factory=dict)
    hitl: dict[str, dict[str, int]] = field(default_factory=dict)
    tasks: int = 0
    calls: tuple[Operation, ...] = field(default=(), repr=False)
    evicted: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    reasons: list[str] = field(default_factory=list)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The newest model calls, in the order they began. Made when asked for: the counters cost less than these."""
        return [_request(call) for call in sorted(self.calls, key=lambda call: (call.start_ns, call.id))]

    @property
    def unmetered(self) -> list[str]:
        """Models of which some calls did not say what they used: where others have a price, or none used anything."""
        return [
            name
            for name in self.cost.get("unpriced_models", ())
            if (model := self.tokens_by_model.get(name)) and (model["cost"] is not None or not model["total_tokens"])
        ]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        fields = ("requests" if field.name == "calls" else field.name for field in dataclasses.fields(self))
        return {name: copy.deepcopy(getattr(self, name)) for name in fields}


def session_view(session_id: str, tally: Tally | None, *, reasons: tuple[str, ...] = ()) -> SessionMetrics:
    """The figures a tally holds."""
    if tally is None:
        return SessionMetrics(session_id=session_id, cost=_cost({}), complete=not reasons, reasons=list(reasons))
    total = tally.tokens
    reasons = (*reasons, *(f"{_UNSAID[what]}: {count:,}" for what, count in sorted(tally.unsaid.items())))
    return SessionMetrics(
        session_id=session_id,
        user_id=tally.user_id,
        status=_status(session_id, tally),
        first_seen=None if tally.first_ns is None else timestamp(tally.first_ns),
        last_seen=None if tally.first_ns is None else timestamp(tally.last_ns),
        agent_runs=tally.agent_runs,
        agent_switches=tally.agent_switches,
        tool_calls=tally.tool_calls,
        processing_duration_ms=milliseconds(tally.processing_ns),
        errors=tally.errors,
        recovered_errors=tally.recovered_errors,
        total_requests=tally.successful + tally.failed + tally.incomplete,
        successful_requests=tally.successful,
        failed_requests=tally.failed,
        incomplete_requests=tally.incomplete,
        streamed_requests=tally.streamed,
        active_requests=tally.active,
        total_duration_ms=milliseconds(tally.request_ns),
        average_duration_ms=round(tally.successful_ns / 1_000_000 / max(tally.successful, 1), 2),
        total_prompt_tokens=total.prompt_tokens,
        total_completion_tokens=total.completion_tokens,
        total_tokens=total.prompt_tokens + total.completion_tokens,
        cached_tokens=total.cached_tokens,
        reasoning_tokens=total.reasoning_tokens,
        average_tokens_per_request=round(tally.successful_tokens / max(tally.successful, 1), 2),
        requests_with_tools=tally.with_tools,
        token_efficiency=round(total.completion_tokens / max(total.prompt_tokens, 1), 4),
        tokens_by_model={name: _model(model) for name, model in sorted(tally.models.items())},
        cost=_cost(tally.models),
        agents={
            name: {
                "count": agent.count,
                "total_duration_ms": milliseconds(agent.total_duration_ns),
                "success_count": agent.success_count,
                "failure_count": agent.failure_count,
            }
            for name, agent in sorted(tally.agents.items())
        },
        tools={
            name: {
                "requested": tool.requested,
                "completed": tool.completed,
                "failed": tool.failed,
                "refused": tool.refused,
                "requires_approval": tool.requires_approval,
                "total_duration_ms": milliseconds(tool.total_duration_ns),
            }
            for name, tool in sorted(tally.tools.items())
        },
        switches=dict(sorted(tally.switches.items())),
        outcomes=dict(sorted(tally.outcomes.items())),
        errors_by_agent={name: dict(sorted(types.items())) for name, types in sorted(tally.errors_by_agent.items())},
        recovered_errors_by_agent={
            name: dict(sorted(types.items())) for name, types in sorted(tally.recovered_by_agent.items())
        },
        tool_errors=dict(sorted(tally.tool_errors.items())),
        hitl={
            tool: {word: decisions.get(word, 0) for word in _DECISIONS}
            for tool, decisions in sorted(tally.hitl.items())
        },
        llm_errors=dict(sorted(tally.llm_errors.items())),
        tasks=tally.tasks,
        calls=tuple(tally.requests),
        evicted={"requests": tally.evicted_requests},
        complete=not reasons,
        reasons=list(reasons),
    )


def _status(session_id: str, tally: Tally) -> str:
    if tally.hidden() and session_id != EVERYTHING:  # that some session was deleted makes everything none
        return "deleted"
    kinds = {operation.kind for operation in tally.open.values()}
    return "idle" if not kinds else "waiting" if kinds == {"approval"} else "active"


def _model(model: ModelTally) -> dict[str, float | None]:
    return {
        "requests": model.requests,
        "prompt_tokens": model.prompt_tokens,
        "completion_tokens": model.completion_tokens,
        "total_tokens": model.prompt_tokens + model.completion_tokens,
        "cached_tokens": model.cached_tokens,
        "reasoning_tokens": model.reasoning_tokens,
        "cost": model.cost / SMALLEST if model.priced or not model.unpriced else None,
    }


def _cost(models: dict[str, ModelTally]) -> dict[str, Any]:
    # What is not known is said, and never 0.
    unpriced = sorted(name for name, model in models.items() if model.unpriced)
    known = not unpriced or any(model.priced for model in models.values())
    amount = sum(model.cost for model in models.values()) / SMALLEST if known else None
    return {"amount": amount, "currency": CURRENCY, "complete": not unpriced, "unpriced_models": unpriced}


def custom(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The program's own fields among a record's attributes, by the names it gave them."""
    prefix = names.CUSTOM
    return {name[len(prefix) :]: value for name, value in attributes.items() if name.startswith(prefix)}


def _request(call: Operation) -> dict[str, Any]:
    # Unknown usage is None, not 0: a provider that reports nothing has not said that nothing was used.
    prompt = call.attributes.get(names.INPUT_TOKENS)
    completion = call.attributes.get(names.OUTPUT_TOKENS)
    known = prompt is not None or completion is not None
    request = {
        "timestamp": timestamp(call.start_ns),
        "model": call.name,
        "duration_ms": milliseconds(call.duration_ns),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": (prompt or 0) + (completion or 0) if known else None,
        "cost": call.attributes.get(names.COST),
        "has_tool_calls": bool(call.attributes.get(names.RESPONSE_TOOL_CALLS)),
        "success": call.outcome == "ok",
        "error": call.error_message or call.error_type,
        **shown(call.attributes, input_messages=names.INPUT_MESSAGES, output_messages=names.OUTPUT_MESSAGES),
    }
    return {**request, **{name: value for name, value in custom(call.attributes).items() if name not in request}}
