"""How operations are counted: each once when it has ended, and what is under way whenever somebody reads.

The rules are those of :mod:`tachograph.tally`. An end is folded into several tallies at once (of everything, of its
session, of its request), as reading its facts takes longer than adding them up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tachograph import names
from tachograph.facts import EXPIRED, PENDING, expired, settled
from tachograph.tally import OTHER, SMALLEST, ModelTally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.records import Operation
    from tachograph.tally import Tally

_MOST: Final = 1e9
"""Dollars that no call costs."""


# ------------------------------------------------------------------------------------------------ at a moment
def now(tally: Tally, more: Iterable[Operation] = (), moment_ns: int = 0) -> Tally:
    """The counters of this moment, those of what is under way, here and in ``more``, included. To be read only.

    Args:
        tally: the counters of what has ended.
        more: what is under way elsewhere; or has ended, and may yet turn out to be part of something else.
        moment_ns: when that is, in nanoseconds since the epoch; approvals that have expired until then are under
            way no more.
    """
    under_way = {**tally.open, **{operation.id: operation for operation in more}}
    over = [operation for operation in under_way.values() if operation.end_ns is not None]
    if not under_way:
        return tally
    # A copy, as the end of an operation will count it whole.
    tally = replace(
        tally,
        open={id_: operation for id_, operation in under_way.items() if operation.end_ns is None},
        agents={name: replace(agent) for name, agent in tally.agents.items()},
        tools={name: replace(tool) for name, tool in tally.tools.items()},
        switches=dict(tally.switches),
        hitl={tool: dict(decisions) for tool, decisions in tally.hitl.items()},
    )
    if over:
        tally = _copied(tally)
        for operation in over:
            ended(operation, (tally,))
    for operation in tally.open.values():
        tally.began(operation)
        if operation.kind == "approval":
            tally.decided(operation.name, EXPIRED if expired(operation, moment_ns) else PENDING)
    tally.open = {id_: open_ for id_, open_ in tally.open.items() if settled(open_, moment_ns).end_ns is None}
    return tally


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
    )


# ----------------------------------------------------------------------------------------------- an operation's end
def ended(operation: Operation, tallies: Iterable[Tally]) -> None:
    """An operation ended, whether or not its start was told. Once for each."""
    start_ns, end_ns, user_id = operation.start_ns, operation.end_ns or operation.start_ns, operation.user_id
    for tally in tallies:
        if tally.open:
            tally.open.pop(operation.id, None)
        first_ns = tally.first_ns
        if first_ns is None or start_ns < first_ns or user_id is not None:
            tally.seen(start_ns, user_id)
        if end_ns > tally.last_ns:  # noqa: PLR1730 - max() takes as long as all the rest here
            tally.last_ns = end_ns
        if start_ns > tally.begun_ns:  # noqa: PLR1730 - likewise
            tally.begun_ns = start_ns
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
        if cached or reasoning:
            model.cached_tokens += cached
            model.reasoning_tokens += reasoning
        if amount is not None:
            model.cost += cost
            model.priced += 1
        elif unpriced:
            model.unpriced += 1
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
