"""What all agents have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.models.schemas import AgentType, StreamChunk
    from app.services.llm_stream_service import LLMStreamService


class BaseAgent:
    """One agent: who it is, what it may use, and how it takes its turn.

    Attributes:
        agent_type: which of the agents it is.
        description: what it is good for; the orchestrator chooses by it.
        system_prompt: what its model is told to be.
        tool_names: the tools it may use.
    """

    agent_type: ClassVar[AgentType]
    description: ClassVar[str]
    system_prompt: ClassVar[str]
    tool_names: ClassVar[tuple[str, ...]]

    def __init__(self, stream: LLMStreamService) -> None:
        self._stream = stream

    async def process(self, session_id: str, message: str, correlation_id: str) -> AsyncIterator[StreamChunk]:
        """Take a turn in a session's conversation.

        Args:
            session_id: whose conversation; the message is already part of it.
            message: what the user has said.
            correlation_id: the user's request that is being answered.
        """
        notes = await self.prepare(session_id, message)
        async for chunk in self._stream.stream_response(
            session_id, self.agent_type, f"{self.system_prompt}{notes}", self.tool_names, correlation_id
        ):
            yield chunk

    async def prepare(self, session_id: str, message: str) -> str:  # noqa: ARG002 - for those that look
        """Return what is added to the system prompt for this turn."""
        return ""
