"""Writes code."""

from __future__ import annotations

from app.agents.base_agent import BaseAgent
from app.models.schemas import AgentType


class CoderAgent(BaseAgent):
    """Writes code."""

    agent_type = AgentType.CODER
    description = "writes and changes code, runs commands"
    system_prompt = "You write code. Read before you write."
    tool_names = ("read_file", "write_file", "execute_command", "switch_mode")
