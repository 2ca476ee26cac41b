"""smolagents: agent runs, planning, model calls, tool calls, generated code.

All hooks are on classes, so nothing of an instance changes: ``to_dict``, ``save`` and the source extraction of
remote executors see what they saw. What a class only inherits is not patched there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from smolagents import agents as framework
from smolagents import local_python_executor, models, tools, utils
from smolagents.local_python_executor import PythonExecutor

from tachograph.integrations.smolagents import agent, model, tool
from tachograph.probes import Carry, Glance, Probe

if TYPE_CHECKING:
    from tachograph.probes import Hooks


def install(hooks: Hooks) -> None:
    """Hook smolagents, which has been imported."""
    base = framework.MultiStepAgent
    hooks.install(Probe(base, "run", began=agent.run_began, ended=agent.run_ended))
    hooks.install(Probe(base, "__init__", ended=agent.made))
    hooks.install(Glance(base, "_finalize_step", agent.step_finalized))
    hooks.install(Probe(base, "_generate_planning_step", began=agent.plan_began))
    hooks.install(Glance(framework.ToolCallingAgent, "process_tool_calls", tool.calls_asked))
    hooks.install(Glance(framework.ToolCallingAgent, "execute_tool_call", tool.requested))
    hooks.install_family(models.Model, model.METHODS, model.probe)
    hooks.install_family(
        tools.BaseTool, ("__call__",), partial(tool.probe, capturing=hooks.recorder.capturing is not None)
    )
    hooks.install_family(PythonExecutor, ("__call__",), tool.code_probe)
    # Generated code runs in a thread of its own, which starts without any context.
    hooks.install(Carry(local_python_executor, "timeout"))
    # The provider's own answer passes through the retryer: response id, cached and reasoning tokens.
    retrying = getattr(utils, "Retrying", None)
    if retrying is not None:
        hooks.install(Probe(retrying, "__call__", ended=model.responded, item=model.chunk_responded))
