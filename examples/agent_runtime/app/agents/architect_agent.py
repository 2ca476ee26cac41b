"""Thinks about structure."""

from __future__ import annotations

from app.agents.base_agent import BaseAgent
from app.models.schemas import AgentType


class ArchitectAgent(BaseAgent):
    """Thinks about structure."""

    agent_type = AgentType.ARCHITECT
    description = "designs systems and weighs alternatives"
    system_prompt = "You design systems. You change nothing."
    tool_names = ("read_file", "switch_mode")
