"""The agents there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.agents.base_agent import BaseAgent
    from app.models.schemas import AgentType


class AgentRouter:
    """A fixed table of agents by their type."""

    def __init__(self) -> None:
        self._agents: dict[AgentType, BaseAgent] = {}

    def register_agent(self, agent: BaseAgent) -> None:
        """Enter an agent.

        Raises:
            ValueError: if there is one of its type.
        """
        if agent.agent_type in self._agents:
            raise ValueError(f"there is an agent for {agent.agent_type.value!r} already")
        self._agents[agent.agent_type] = agent

    def get_agent(self, agent_type: AgentType) -> BaseAgent:
        """Return the agent of a type.

        Raises:
            KeyError: if there is none.
        """
        return self._agents[agent_type]

    def available_agents(self) -> list[BaseAgent]:
        """Return all agents, in the order they were entered in."""
        return list(self._agents.values())
