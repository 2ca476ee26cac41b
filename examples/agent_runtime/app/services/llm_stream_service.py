"""An agent's turn: the model answers and asks for tools until it has said what it wanted to say."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from app.models.schemas import AgentType, HITLDecision, LLMResponse, StreamChunk, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from app.services.hitl_manager import Decision, HITLManager, PendingApproval
    from app.services.llm_proxy_client import LLMProxyClient
    from app.services.session_manager_async import SessionManager
    from app.services.tool_registry import ToolRegistry

_logger = logging.getLogger(__name__)

_MAX_REQUESTS: Final = 8
"""Model calls in one turn; an agent that wants more goes in circles."""


class LLMStreamService:
    """Lets a model answer for an agent, runs its tools, and asks the user before it runs a dangerous one."""

    def __init__(
        self,
        llm: LLMProxyClient,
        model: str,
        sessions: SessionManager,
        tools: ToolRegistry,
        hitl: HITLManager,
        approval_timeout_seconds: float,
    ) -> None:
        self._llm = llm
        self._model = model
        self._sessions = sessions
        self._tools = tools
        self._hitl = hitl
        self._approval_timeout_seconds = approval_timeout_seconds

    async def stream_response(
        self,
        session_id: str,
        agent_type: AgentType,
        system_prompt: str,
        tool_names: Sequence[str],
        correlation_id: str,
    ) -> AsyncIterator[StreamChunk]:
        """Give what the user is to see of an agent's turn.

        Args:
            session_id: whose conversation to go on with.
            agent_type: who speaks.
            system_prompt: what the agent is told to be.
            tool_names: the tools it may use.
            correlation_id: the user's request that is being answered.

        Raises:
            RuntimeError: if the agent goes in circles.
        """
        definitions = self._tools.definitions(tool_names)
        for _ in range(_MAX_REQUESTS):
            session = await self._sessions.get_or_create(session_id)
            system = f"{system_prompt}\n{session.system_prompt}".rstrip()
            messages = [{"role": "system", "content": system}, *session.messages]
            response = None
            async for part in self._llm.stream_chat_completion(
                session_id, self._model, messages, definitions, correlation_id
            ):
                if isinstance(part, LLMResponse):
                    response = part
                else:
                    yield StreamChunk(type="text", content=part)
            if response is None:
                raise RuntimeError(f"model {self._model} sent no answer")
            await self._sessions.add_usage(session_id, response)
            await self._sessions.append_message(
                session_id, "assistant", response.content, agent_type.value, **_tool_calls(response)
            )
            switched = False
            for call in response.tool_calls:
                async for chunk in self._call_tool(session_id, agent_type, tool_names, call, correlation_id):
                    switched = switched or chunk.type == "switch_requested"
                    yield chunk
            if switched or not response.has_tool_calls:
                return
        raise RuntimeError(f"agent {agent_type.value} made {_MAX_REQUESTS} model calls and came to no end")

    def request_tool(
        self,
        session_id: str,
        tool_name: str,
        arguments: dict[str, Any],
        call_id: str,
        agent: str,
        allowed: Sequence[str],
        correlation_id: str,
    ) -> str | None:
        """Look at a tool call that a model asks for.

        Returns:
            Why a human has to approve it, or None if it may run at once.

        Raises:
            PermissionError: if the agent has no such tool.
            ValueError: if the arguments are not the tool's.
        """
        _logger.info("session %s: %s wants %s as %s, request %s", session_id, agent, tool_name, call_id, correlation_id)
        if tool_name not in allowed:
            raise PermissionError(f"{agent} has no tool {tool_name!r}, only {', '.join(allowed)}")
        self._tools.check(tool_name, arguments)
        return self._tools.approval_reason(tool_name)

    async def require_approval(
        self,
        session_id: str,
        tool_name: str,
        arguments: dict[str, Any],
        call_id: str,
        reason: str,
        correlation_id: str,
    ) -> PendingApproval:
        """Have a tool call wait for the user, for as long as the session says or else the service's setting."""
        session = await self._sessions.get_or_create(session_id)
        timeout_seconds = session.approval_timeout_seconds or self._approval_timeout_seconds
        return await self._hitl.add_pending(
            session_id, call_id, tool_name, arguments, reason, timeout_seconds, correlation_id
        )

    async def _call_tool(
        self, session_id: str, agent_type: AgentType, allowed: Sequence[str], call: ToolCall, correlation_id: str
    ) -> AsyncIterator[StreamChunk]:
        """Run one tool, if it may and the user agrees, and tell model and user what came of it."""
        name, arguments = call.tool_name, call.arguments
        refusal, ran = None, False
        try:
            reason = self.request_tool(session_id, name, arguments, call.id, agent_type.value, allowed, correlation_id)
            if reason is not None:
                pending = await self.require_approval(session_id, name, arguments, call.id, reason, correlation_id)
                yield StreamChunk(
                    type="approval_required", call_id=call.id, tool_name=name, arguments=arguments, reason=reason
                )
                decision = await self._hitl.wait_for_decision(pending)
                refusal = _refusal(decision)
                if decision is not None and decision.modified_arguments is not None:
                    arguments = decision.modified_arguments
            if refusal is None:
                result = await self._tools.execute_local_tool(session_id, name, arguments, call.id, correlation_id)
                ran = True
            else:
                result = refusal
        except (ValueError, OSError) as error:
            result = f"{type(error).__name__}: {error}"  # the model can put right what it did wrong
        await self._sessions.append_message(session_id, "tool", result, tool_call_id=call.id)
        yield StreamChunk(type="tool_result", call_id=call.id, tool_name=name, content=result)
        if ran and name == "switch_mode":
            yield StreamChunk(
                type="switch_requested", to_agent=AgentType(arguments["mode"]), reason=arguments["reason"]
            )


def _refusal(decision: Decision | None) -> str | None:
    """Return what the model is told when a tool does not run, or None if it does."""
    if decision is None:
        return "Nobody decided in time, so the tool did not run."
    if decision.decision is HITLDecision.REJECT:
        return f"The user refused: {decision.feedback or 'no reason given'}"
    return None


def _tool_calls(response: LLMResponse) -> dict[str, Any]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.tool_name, "arguments": json.dumps(call.arguments)},
        }
        for call in response.tool_calls
    ]
    return {"tool_calls": calls} if calls else {}
