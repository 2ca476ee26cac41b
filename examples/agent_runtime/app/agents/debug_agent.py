"""Finds out why code does not do what it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.agents.base_agent import BaseAgent
from app.models.schemas import AgentType
from app.services.tools import LAST_RUN

if TYPE_CHECKING:
    from pathlib import Path

    from app.services.llm_stream_service import LLMStreamService


class DebugAgent(BaseAgent):
    """Finds out why code does not do what it should, from what the last command printed."""

    agent_type = AgentType.DEBUG
    description = "finds the cause of errors"
    system_prompt = "You find the cause of errors."
    tool_names = ("read_file", "execute_command", "switch_mode")

    def __init__(self, stream: LLMStreamService, workspace: Path) -> None:
        super().__init__(stream)
        self._workspace = workspace

    async def prepare(self, session_id: str, message: str) -> str:  # noqa: ARG002 - it looks at the workspace only
        """Return what the last command printed.

        Raises:
            FileNotFoundError: if none has run yet.
        """
        log = self._workspace / LAST_RUN
        if not log.exists():
            raise FileNotFoundError(f"no command has run yet: there is no {LAST_RUN}")
        return f"\nThe last command printed:\n{log.read_text('utf-8')}"
