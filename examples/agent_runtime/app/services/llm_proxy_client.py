"""The model server, through OpenAI's client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI

from app.models.schemas import LLMResponse, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from openai.types import CompletionUsage

    from app.models.schemas import Message


class LLMProxyClient:
    """Asks models, at once or streamed; what goes wrong is raised as OpenAI's client raises it."""

    def __init__(self, base_url: str, api_key: str) -> None:
        # A user is waiting: an error now is better than an answer after several tries.
        self._client = AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=0)

    async def chat_completion(
        self, session_id: str, model: str, messages: list[Message], correlation_id: str
    ) -> LLMResponse:
        """Return a model's answer.

        Args:
            session_id: the session it is asked for; the server is told.
            model: which model.
            messages: the conversation, system prompt first.
            correlation_id: the user's request it is asked for; the server is told.
        """
        completion = await self._client.chat.completions.create(
            model=model, messages=_plain(messages), extra_headers=_headers(session_id, correlation_id)
        )
        return _response(completion.model, completion.choices[0].message.content or "", completion.usage)

    async def stream_chat_completion(
        self,
        session_id: str,
        model: str,
        messages: list[Message],
        tools: list[dict[str, Any]],
        correlation_id: str,
    ) -> AsyncIterator[str | LLMResponse]:
        """Give a model's answer as it comes: pieces of text and, last of all, the whole of it.

        Args:
            session_id: as above.
            model: which model.
            messages: the conversation, system prompt first.
            tools: definitions of the tools it may ask for.
            correlation_id: as above.
        """
        content, usage, calls = "", None, dict[int, dict[str, str]]()
        stream = await self._client.chat.completions.create(
            model=model,
            messages=_plain(messages),
            tools=_plain(tools),
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=_headers(session_id, correlation_id),
        )
        async with stream:
            async for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    if choice.delta.content:
                        content += choice.delta.content
                        yield choice.delta.content
                    for part in choice.delta.tool_calls or ():
                        call = calls.setdefault(part.index, {"id": part.id or "", "name": "", "arguments": ""})
                        if part.function is not None:
                            call["name"] += part.function.name or ""
                            call["arguments"] += part.function.arguments or ""
        yield _response(model, content, usage, calls.values())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _headers(session_id: str, correlation_id: str) -> dict[str, str]:
    return {"X-Session-ID": session_id, "X-Correlation-ID": correlation_id}


def _plain(values: list[dict[str, Any]]) -> Any:
    """Hide from the type checker that a conversation is made of plain dictionaries."""
    return values


def _response(
    model: str, content: str, usage: CompletionUsage | None, calls: Iterable[dict[str, str]] = ()
) -> LLMResponse:
    details = usage.prompt_tokens_details if usage else None
    return LLMResponse(
        model=model,
        content=content,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
        total_tokens=usage.total_tokens if usage else 0,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        tool_calls=[ToolCall(call["id"], call["name"], json.loads(call["arguments"])) for call in calls],
    )
