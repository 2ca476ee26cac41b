"""The micro agent that changes files."""

from __future__ import annotations

from ai_agents.micro_agents.base_micro_agent import BaseMicroAgent


class EditMicroAgent(BaseMicroAgent):
    """Changes files as it is told."""

    name = "edit_agent"
    description = "Changes files. Tell it which, and what to change."
    tools = ("file_reader", "file_writer")
