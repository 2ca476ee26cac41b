"""Which agent each session is with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.models.schemas import AgentType
from app.services.write_behind import WriteBehind

if TYPE_CHECKING:
    from app.services.database import Database


@dataclass
class AgentContext:
    """The agent a session is with, and how often that has changed."""

    session_id: str
    current_agent: AgentType = AgentType.ORCHESTRATOR
    switches: int = 0
    last_reason: str = ""

    def switch_agent(self, new_agent: AgentType, reason: str) -> None:
        """Hand the session over."""
        self.current_agent = new_agent
        self.switches += 1
        self.last_reason = reason


class AgentContextManager(WriteBehind):
    """Keeps the contexts of all sessions."""

    def __init__(self, database: Database, interval_seconds: float) -> None:
        super().__init__(interval_seconds)
        self._database = database
        self._contexts: dict[str, AgentContext] = {}

    async def get_or_create(self, session_id: str) -> AgentContext:
        """Return a session's context; a new one is with the orchestrator."""
        return self._contexts.setdefault(session_id, AgentContext(session_id))

    async def switch_agent(self, session_id: str, new_agent: AgentType, reason: str) -> None:
        """Hand a session over to another agent."""
        context = await self.get_or_create(session_id)
        context.switch_agent(new_agent, reason)
        self._changed.add(session_id)

    async def _write(self, session_id: str) -> None:
        context = self._contexts[session_id]
        await self._database.save_context(session_id, context.current_agent.value, context.switches)
