"""What did everything this process recorded add up to?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tachograph.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Figures over all sessions, evicted ones included. Durations in milliseconds."""

    agent_switches: dict[str, int] = field(default_factory=dict)
    agent_processing: dict[str, dict[str, float]] = field(default_factory=dict)
    tool_executions: dict[str, dict[str, int]] = field(default_factory=dict)
    hitl_decisions: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: dict[str, dict[str, int]] = field(default_factory=dict)

    def agent_average_duration(self, agent: str) -> float:
        """Mean duration of an agent's runs in milliseconds; 0 for an agent that never ran."""
        runs = self.agent_processing.get(agent)
        return runs["total_duration_ms"] / runs["count"] if runs and runs["count"] else 0.0

    def tool_success_rate(self, tool: str) -> float:
        """Share of a tool's requested calls that completed, 0 to 1; 0 for a tool never asked for."""
        calls = self.tool_executions.get(tool)
        return calls["completed"] / calls["requested"] if calls and calls["requested"] else 0.0

    def agent_switch_count(self, source: str, target: str) -> int:
        """Hand-overs from one agent to another."""
        return self.agent_switches.get(f"{source}_to_{target}", 0)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return dataclasses.asdict(self)


def totals_view(tally: Tally) -> Totals:
    """The figures of the tally that has seen everything."""
    return Totals(
        agent_switches=dict(sorted(tally.switches.items())),
        agent_processing={
            name: {
                "count": agent.count,
                "total_duration_ms": round(agent.total_duration_ns / 1_000_000, 3),
                "success_count": agent.success_count,
                "failure_count": agent.failure_count,
            }
            for name, agent in sorted(tally.agents.items())
        },
        tool_executions={
            name: {
                "requested": tool.requested,
                "completed": tool.completed,
                "failed": tool.failed,
                "requires_approval": tool.requires_approval,
            }
            for name, tool in sorted(tally.tools.items())
        },
        hitl_decisions={
            tool: {decision: decisions.get(decision, 0) for decision in ("APPROVE", "EDIT", "REJECT")}
            for tool, decisions in sorted(tally.hitl.items())
        },
        errors={name: dict(sorted(types.items())) for name, types in sorted(tally.errors_by_agent.items())},
    )
