"""What a micro agent is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smolagents import CodeAgent

from ai_agents.models import MICRO_MODEL, create_model, quiet
from ai_agents.tools import create_tool

if TYPE_CHECKING:
    from collections.abc import Sequence


class BaseMicroAgent:
    """One small skill; a supervisor is given its code agent to ask.

    Args:
        repository: where it works; the current directory by default.
    """

    name = "micro_agent"
    description = "Does one small thing."
    tools: Sequence[str] = ()
    max_steps = 4

    def __init__(self, repository: Path | None = None) -> None:
        self.repository = repository or Path()

    def get_code_agent(self) -> CodeAgent:
        """Return a fresh agent with this skill's tools."""
        return CodeAgent(
            tools=[create_tool(name, self.repository) for name in self.tools],
            model=create_model(MICRO_MODEL),
            name=self.name,
            description=self.description,
            max_steps=self.max_steps,
            logger=quiet(),
        )
