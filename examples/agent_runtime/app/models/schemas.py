"""Agents, tool calls, decisions, and what a user is sent while an agent works."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel

Message = dict[str, Any]
"""One message of a conversation, in the shape the chat completions API has for it."""


class AgentType(str, Enum):
    """The agents a session can be with; every session begins with the orchestrator."""

    ORCHESTRATOR = "orchestrator"
    CODER = "coder"
    ARCHITECT = "architect"
    DEBUG = "debug"
    ASK = "ask"
    UNIVERSAL = "universal"


class HITLDecision(str, Enum):
    """What a human may decide about a tool call."""

    APPROVE = "APPROVE"
    EDIT = "EDIT"
    REJECT = "REJECT"


@dataclass(frozen=True)
class ToolCall:
    """A tool call the model asks for."""

    id: str
    tool_name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class LLMResponse:
    """A model's whole answer to one request; cached tokens are part of the prompt's."""

    model: str
    content: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    tool_calls: list[ToolCall] = field(default_factory=list)

    @property
    def has_tool_calls(self) -> bool:
        """Whether the model wants tools to run before it goes on."""
        return bool(self.tool_calls)


@dataclass(frozen=True)
class Route:
    """Which agent is to take a message, and why."""

    to_agent: AgentType
    reason: str
    confidence: str


class StreamChunk(BaseModel):
    """One server-sent event; only the fields that belong to its type are set."""

    type: Literal["agent_switched", "switch_requested", "text", "approval_required", "tool_result", "error", "done"]
    content: str | None = None
    from_agent: AgentType | None = None
    to_agent: AgentType | None = None
    reason: str | None = None
    call_id: str | None = None
    tool_name: str | None = None
    arguments: dict[str, Any] | None = None

    def sse(self) -> str:
        """Return the chunk as it goes over the wire."""
        return f"data: {self.model_dump_json(exclude_none=True)}\n\n"
