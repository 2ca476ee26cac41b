"""The supervisor that has code written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_agents.micro_agents.edit_micro_agent import EditMicroAgent
from ai_agents.supervisor_agents.base_supervisor_agent import BaseSupervisorAgent

if TYPE_CHECKING:
    from ai_agents.micro_agents.base_micro_agent import BaseMicroAgent


class CodeGenerationSupervisorAgent(BaseSupervisorAgent):
    """Has code written and changed."""

    name = "code_generation"

    def micro_agents(self) -> list[BaseMicroAgent]:
        """Return the micro agents it can ask: one also edits."""
        return [*super().micro_agents(), EditMicroAgent(self.repository)]
