"""Agent runs, their steps and plans."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from smolagents.agents import MultiStepAgent
from smolagents.memory import ActionStep, FinalAnswerStep
from smolagents.utils import AgentError, AgentMaxStepsError

from tachograph import names
from tachograph.integrations.smolagents import content, model, pauses, tool
from tachograph.integrations.smolagents.content import captured, taken
from tachograph.integrations.smolagents.run import Run, lost, named, owner_of, run_here, run_of, shown_name, text_of
from tachograph.live import Start
from tachograph.probes import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.live import Facts, Live
    from tachograph.probes import Call
    from tachograph.recorder import Recorder

_MAX_RECOVERED = 1_000
_MAX_DESCRIPTION = 500


# ------------------------------------------------------------------------------------------------------- a run
def run_began(call: Call) -> Start:
    """``MultiStepAgent.run``: sync, streamed, managed, or through a subclass's ``super().run()``."""
    agent = call.instance
    _announce(call, agent)
    start = _delegable(call, agent, deferred=call.argument(1, "stream", default=False) is not False)
    stopped = None if call.run is not None else pauses.taken(agent, call.recorder.scope(call.around).session_id)
    if stopped is None or call.argument(2, "reset", default=True) is not False:
        return start
    return start._replace(correlation_id=stopped)


def _delegable(call: Call, agent: Any, *, deferred: bool) -> Start:
    parent = _lost_parent(call, agent) if lost(call) else None
    enclosing = call.run or parent
    facts: Facts = {
        names.AGENT_NAME: named(agent),
        names.AGENT_DESCRIPTION: _description(agent),
        names.REQUEST_MODEL: model.model_id(getattr(agent, "model", None)),
    }
    above = run_of(enclosing)
    # Handed over by the managing agent itself. A run that a tool starts is a nested run, not a switch.
    inside = call.inside or parent
    if above is not None and inside is not None and inside.kind in ("agent", "code") and _manages(above.agent, agent):
        facts[names.SWITCH_FROM] = shown_name(above.agent)
        facts[names.SWITCH_TO] = shown_name(agent)
        facts[names.SWITCH_REASON] = "delegated to managed agent"
    if above is not None:
        facts[names.STEP] = above.steps + 1
    tool.reached(above)
    return Start(
        "agent",
        shown_name(agent),
        facts,
        data=Run(agent),
        parent=parent,
        deferred=deferred,
        probes=tuple(_probes_for(agent, capturing=call.recorder.capturing is not None)),
        content=None if call.recorder.capturing is None else captured(call, content.task),
    )


def _description(agent: Any) -> str | None:
    """What the program says the agent is for: the program's own words, as its name is."""
    described = text_of(agent, "description")
    return None if described is None else described[:_MAX_DESCRIPTION]


def run_ended(call: Call) -> Facts:
    """How the run went. Errors the agent recovered from never leave ``run``; only the steps know them."""
    run: Run = call.data
    facts: Facts = {names.STEPS: run.steps, names.RECOVERED: tuple(run.recovered) or None}
    left = isinstance(call.error, GeneratorExit)
    if call.error is None or (left and run.answered):  # a consumer that leaves after the answer misses nothing
        facts[names.OUTCOME] = "max_steps" if run.gave_up else "ok"
    elif left and run.pending is not None:
        call.error = run.pending  # it left after a failure that was still to be raised
    elif isinstance(call.error, AgentError) and type(call.error) is AgentError and run.agent.interrupt_switch:
        waits = call.live is not None and call.recorder.waits_for_human(call.live.record)
        facts[names.OUTCOME] = "waiting" if waits else "interrupted"
        if call.live is not None and call.live.agent is None:
            pauses.keep(run.agent, call.live.record)
    run.pending = None
    if call.recorder.capturing is not None:
        captured(call, content.run)
    return facts


def _manages(manager: Any, agent: Any) -> bool:
    managed = getattr(manager, "managed_agents", None)
    return isinstance(managed, dict) and any(candidate is agent for candidate in managed.values())


def _lost_parent(call: Call, agent: Any) -> Live | None:
    """The run that delegated, where no context says so: the only one under way that manages this agent."""
    managers = [
        live for live in call.recorder.open("agent") if (run := run_of(live)) is not None and _manages(run.agent, agent)
    ]
    return managers[0] if len(managers) == 1 else None


def _probes_for(agent: Any, *, capturing: bool) -> Iterator[Probe]:
    """Hooks for what this agent brings along that belongs to no class of the framework, or was overlooked."""
    yield from model.duck_typed(getattr(agent, "model", None))
    yield from tool.mixed_in(getattr(agent, "tools", None), capturing=capturing)
    yield from tool.duck_typed_executor(getattr(agent, "python_executor", None))
    managed = getattr(agent, "managed_agents", None)
    for candidate in managed.values() if isinstance(managed, dict) else ():
        owner = None if isinstance(candidate, MultiStepAgent) else owner_of(candidate, "__call__")
        if owner is not None:
            yield Probe(owner, "__call__", began=_foreign_run_began, ended=_foreign_run_ended)


def _foreign_run_began(call: Call) -> Start | None:
    """A managed agent that is no smolagents agent; only its being called is known."""
    above = run_of(call.run)
    if above is None or not _manages(above.agent, call.instance):
        return None
    start = _delegable(call, call.instance, deferred=False)
    return Start(start.kind, start.name, start.facts, content=start.content)


def _foreign_run_ended(call: Call) -> None:
    if call.live is not None and call.recorder.capturing is not None:
        captured(call, content.foreign_run)


# ------------------------------------------------------------------------------------------------ its steps
def step_finalized(recorder: Recorder, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """``_finalize_step``: called once for every step there is, before the callbacks that may raise."""
    run = run_here()
    if run is None or run.agent is not agent:
        return
    step = args[0] if args else kwargs.get("memory_step")
    if isinstance(step, FinalAnswerStep):
        run.answered = True
        if recorder.capturing is not None:
            run.output = taken(recorder, content.final, step.output)
    elif isinstance(step, ActionStep):
        error = step.error
        if isinstance(error, AgentMaxStepsError):
            run.gave_up = True
            return
        run.steps += 1
        run.asked = []
        if error is not None:
            if len(run.recovered) < _MAX_RECOVERED:
                run.recovered.append(type(error).__name__)
        else:
            run.pending = _passing_through(agent)


def _passing_through(agent: Any) -> BaseException | None:
    """The exception that is leaving the agent's loop right now.

    Such a one is in no step: the loop yields its failed step first and raises on the next resumption, which a
    consumer may never ask for.
    """
    error = sys.exc_info()[1]
    if error is None or isinstance(error, GeneratorExit) or error.__traceback__ is None:
        return None
    # The first frame of the traceback is the one that handles it: the agent's loop, or somebody else's business.
    frame = error.__traceback__.tb_frame
    return error if frame.f_code.co_name == "_run_stream" and frame.f_locals.get("self") is agent else None


def plan_began(call: Call) -> Start:
    """``_generate_planning_step``: a generator, whether or not anything is streamed."""
    run = run_of(call.run)
    return Start(
        "plan",
        shown_name(call.instance),
        {names.AGENT_NAME: named(call.instance), names.STEP: None if run is None else run.steps + 1},
        deferred=True,
    )


# ------------------------------------------------------------------------------------------- its registration
def made(call: Call) -> None:
    """``MultiStepAgent.__init__``."""
    if call.error is None:
        _announce(call, call.instance)


def _announce(call: Call, agent: Any) -> None:
    # An agent may be deep-copied, unpickled or older than the hooks, so each run asks too.
    if not call.recorder.first_sight(agent):
        return
    call.recorder.event(
        "agent_registered",
        {
            "agent_type": shown_name(agent),
            "agent_class": type(agent).__name__,
            "model": model.model_id(getattr(agent, "model", None)),
            "tools": _keys(getattr(agent, "tools", None)),
            "managed_agents": _keys(getattr(agent, "managed_agents", None)),
        },
    )


def _keys(table: Any) -> list[str]:
    return [key for key in table if type(key) is str] if isinstance(table, dict) else []
