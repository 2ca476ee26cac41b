"""Answers questions."""

from __future__ import annotations

from app.agents.base_agent import BaseAgent
from app.models.schemas import AgentType


class AskAgent(BaseAgent):
    """Answers questions."""

    agent_type = AgentType.ASK
    description = "answers questions that need no change"
    system_prompt = "You answer questions, briefly."
    tool_names = ("read_file", "calculator", "switch_mode")
