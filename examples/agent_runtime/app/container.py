"""The service's parts, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.agents.architect_agent import ArchitectAgent
from app.agents.ask_agent import AskAgent
from app.agents.coder_agent import CoderAgent
from app.agents.debug_agent import DebugAgent
from app.agents.universal_agent import UniversalAgent
from app.services.agent_context_async import AgentContextManager
from app.services.agent_router import AgentRouter
from app.services.database import Database
from app.services.hitl_manager import HITLManager
from app.services.llm_proxy_client import LLMProxyClient
from app.services.llm_stream_service import LLMStreamService
from app.services.multi_agent_orchestrator import MultiAgentOrchestrator
from app.services.session_manager_async import SessionManager
from app.services.tool_registry import ToolRegistry

if TYPE_CHECKING:
    from app.config import AppConfig


@dataclass(frozen=True)
class Services:
    """What the endpoints use, and what has to be closed."""

    database: Database
    llm: LLMProxyClient
    sessions: SessionManager
    contexts: AgentContextManager
    hitl: HITLManager
    orchestrator: MultiAgentOrchestrator

    def start(self) -> None:
        """Begin to write to the database."""
        self.sessions.start()
        self.contexts.start()

    async def stop(self) -> None:
        """Write what is left and let go of everything."""
        await self.sessions.stop()
        await self.contexts.stop()
        await self.llm.close()
        self.database.close()


def build(config: AppConfig) -> Services:
    """Build the parts of a service; nothing runs yet."""
    config.workspace.mkdir(parents=True, exist_ok=True)
    database = Database(config.database)
    llm = LLMProxyClient(config.llm_base_url, config.llm_api_key)
    sessions = SessionManager(database, config.persist_interval_seconds)
    contexts = AgentContextManager(database, config.persist_interval_seconds)
    hitl = HITLManager(database)
    stream = LLMStreamService(
        llm, config.llm_model, sessions, ToolRegistry(config.workspace), hitl, config.hitl_timeout_seconds
    )
    router = AgentRouter()
    for agent in (
        CoderAgent(stream),
        ArchitectAgent(stream),
        DebugAgent(stream, config.workspace),
        AskAgent(stream),
        UniversalAgent(stream),
    ):
        router.register_agent(agent)
    orchestrator = MultiAgentOrchestrator(router, llm, config.llm_router_model, sessions, contexts)
    return Services(database, llm, sessions, contexts, hitl, orchestrator)
