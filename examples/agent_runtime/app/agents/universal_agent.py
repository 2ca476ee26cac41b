"""Takes what nobody else takes."""

from __future__ import annotations

from app.agents.base_agent import BaseAgent
from app.models.schemas import AgentType


class UniversalAgent(BaseAgent):
    """Takes what nobody else takes."""

    agent_type = AgentType.UNIVERSAL
    description = "does what none of the others is for"
    system_prompt = "You are a generalist."
    tool_names = ("echo", "calculator", "read_file", "write_file", "execute_command")
