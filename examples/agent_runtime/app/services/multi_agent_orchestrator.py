"""The orchestrator: gives each message to the right agent, and hands over between agents."""

from __future__ import annotations

import json
import logging
import uuid
from typing import TYPE_CHECKING

from app.models.schemas import AgentType, Route, StreamChunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.services.agent_context_async import AgentContextManager
    from app.services.agent_router import AgentRouter
    from app.services.llm_proxy_client import LLMProxyClient
    from app.services.session_manager_async import SessionManager

_logger = logging.getLogger(__name__)


class MultiAgentOrchestrator:
    """Processes the messages of all sessions."""

    def __init__(
        self,
        router: AgentRouter,
        llm: LLMProxyClient,
        router_model: str,
        sessions: SessionManager,
        contexts: AgentContextManager,
    ) -> None:
        self._router = router
        self._llm = llm
        self._router_model = router_model
        self._sessions = sessions
        self._contexts = contexts

    async def process_message(
        self,
        session_id: str,
        message: str,
        agent_type: AgentType | None = None,
        correlation_id: str | None = None,
    ) -> AsyncIterator[StreamChunk]:
        """Answer a user's message; what the user is to see comes as it happens.

        Args:
            session_id: the user's session; begun if there is none.
            message: what the user says.
            agent_type: the agent the user wants, if the user has chosen one.
            correlation_id: names this request in everything done for it; made up if not given.
        """
        correlation_id = correlation_id or str(uuid.uuid4())
        await self._sessions.get_or_create(session_id)
        await self._sessions.append_message(session_id, "user", message)
        context = await self._contexts.get_or_create(session_id)

        if agent_type is not None and agent_type is not context.current_agent:
            yield await self.switch_agent(
                session_id, context.current_agent, agent_type, "Requested by the user", "high", correlation_id
            )

        while True:
            if context.current_agent is AgentType.ORCHESTRATOR:
                route = await self.choose_agent(session_id, message, correlation_id)
                yield await self.switch_agent(
                    session_id, context.current_agent, route.to_agent, route.reason, route.confidence, correlation_id
                )
            agent = self._router.get_agent(context.current_agent)
            wanted: StreamChunk | None = None
            async for chunk in agent.process(session_id, message, correlation_id):
                if chunk.type == "switch_requested":
                    wanted = chunk
                else:
                    yield chunk
            if wanted is None or wanted.to_agent is None:
                return
            yield await self.switch_agent(
                session_id, context.current_agent, wanted.to_agent, wanted.reason or "", "medium", correlation_id
            )

    async def choose_agent(self, session_id: str, message: str, correlation_id: str) -> Route:
        """Ask the small model which agent a message is for.

        Raises:
            ValueError: if it names none.
        """
        agents = "\n".join(
            f"{agent.agent_type.value}: {agent.description}" for agent in self._router.available_agents()
        )
        system = f"Choose the agent for a message. Answer as JSON: agent, reason, confidence. The agents:\n{agents}"
        response = await self._llm.chat_completion(
            session_id,
            self._router_model,
            [{"role": "system", "content": system}, {"role": "user", "content": message}],
            correlation_id,
        )
        await self._sessions.add_usage(session_id, response)
        choice = json.loads(response.content)
        agent_type = AgentType(choice["agent"])
        if agent_type is AgentType.ORCHESTRATOR:
            raise ValueError("the router chose the orchestrator, which answers no message itself")
        return Route(agent_type, choice["reason"], choice["confidence"])

    async def switch_agent(
        self,
        session_id: str,
        from_agent: AgentType,
        to_agent: AgentType,
        reason: str,
        confidence: str,
        correlation_id: str,
    ) -> StreamChunk:
        """Hand a session over to another agent; every hand-over passes here.

        Args:
            session_id: the session.
            from_agent: the agent it was with.
            to_agent: the agent it is with from now on.
            reason: why.
            confidence: how sure whoever decided it was: high, medium or low.
            correlation_id: the user's request during which it happens.

        Returns:
            What the user is told.
        """
        _logger.info(
            "session %s: %s hands over to %s, confidence %s, request %s",
            session_id,
            from_agent.value,
            to_agent.value,
            confidence,
            correlation_id,
        )
        await self._contexts.switch_agent(session_id, to_agent, reason)
        return StreamChunk(type="agent_switched", from_agent=from_agent, to_agent=to_agent, reason=reason)
