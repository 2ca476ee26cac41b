"""Real smolagents agents on scripted models, which keep the bill that everything is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from smolagents import AgentLogger, CodeAgent, LogLevel, Tool, ToolCallingAgent
from smolagents.models import (
    ChatMessage,
    ChatMessageStreamDelta,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    ChatMessageToolCallStreamDelta,
    MessageRole,
    Model,
)
from smolagents.monitoring import TokenUsage


@dataclass
class Bill:
    """What a model was asked for and what it used."""

    calls: int = 0
    failed: int = 0
    prompt: int = 0
    completion: int = 0


@dataclass
class Say:
    """One answer: text, or tool calls as (name, arguments) or (name, arguments, id), or an exception to raise."""

    text: str = ""
    calls: tuple[Any, ...] = ()
    error: BaseException | None = None
    prompt: int = 100
    completion: int = 10
    usage: str = "last"
    break_after: BaseException | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def answer(value: Any = "done", **details: Any) -> Say:
    """The model gives the final answer as a tool call."""
    return Say(calls=(("final_answer", {"answer": value}),), **details)


def code(source: str, **details: Any) -> Say:
    """The model writes code."""
    return Say(text=f"Thought: go on\n<code>\n{source}\n</code>", **details)


class ScriptedModel(Model):
    """A user's own model class: overrides both ways of answering and calls nothing above itself."""

    def __init__(self, *script: Say | BaseException, model_id: str | None = "scripted") -> None:
        super().__init__(model_id=model_id)
        self.script = list(script)
        self.bill = Bill()

    def _next(self) -> Say:
        self.bill.calls += 1
        say = self.script.pop(0)
        if isinstance(say, BaseException):
            say = Say(error=say)
        if say.error is not None:
            self.bill.failed += 1
            raise say.error
        return say

    def generate(self, messages, stop_sequences=None, response_format=None, tools_to_call_from=None, **kwargs):
        say = self._next()
        usage = None
        if say.usage != "absent":
            self.bill.prompt += say.prompt
            self.bill.completion += say.completion
            usage = TokenUsage(say.prompt, say.completion)
        calls = [
            ChatMessageToolCall(
                id=call[2] if len(call) > 2 else f"call_{n}",
                type="function",
                function=ChatMessageToolCallFunction(name=call[0], arguments=call[1]),
            )
            for n, call in enumerate(say.calls)
        ]
        return ChatMessage(
            role=MessageRole.ASSISTANT, content=say.text or None, tool_calls=calls or None, token_usage=usage
        )

    def generate_stream(self, messages, stop_sequences=None, response_format=None, tools_to_call_from=None, **kwargs):
        say = self._next()
        pieces = say.text.split(" ") if say.text else [""]
        for n, piece in enumerate(pieces):
            usage = None
            if say.usage == "each":
                usage = TokenUsage(say.prompt if n == 0 else 0, 1)
                self.bill.prompt += usage.input_tokens
                self.bill.completion += 1
            elif say.usage == "cumulative":
                usage = TokenUsage(say.prompt, n + 1)
            yield ChatMessageStreamDelta(content=piece + (" " if n + 1 < len(pieces) else ""), token_usage=usage)
            if say.break_after is not None:
                self.bill.failed += 1
                raise say.break_after
        if say.usage == "cumulative":
            self.bill.prompt += say.prompt
            self.bill.completion += len(pieces)
        for n, call in enumerate(say.calls):
            yield ChatMessageStreamDelta(
                tool_calls=[
                    ChatMessageToolCallStreamDelta(
                        index=n,
                        id=call[2] if len(call) > 2 else f"call_{n}",
                        type="function",
                        function=ChatMessageToolCallFunction(name=call[0], arguments=_json(call[1])),
                    )
                ]
            )
        if say.usage == "last":
            self.bill.prompt += say.prompt
            self.bill.completion += say.completion
            yield ChatMessageStreamDelta(content="", token_usage=TokenUsage(say.prompt, say.completion))


def _json(arguments: Any) -> str:
    import json  # noqa: PLC0415 - the only use

    return arguments if isinstance(arguments, str) else json.dumps(arguments)


class Lookup(Tool):
    """A tool that counts, and fails for the key "broken"."""

    name = "lookup"
    description = "Looks a key up."
    inputs = {"key": {"type": "string", "description": "the key"}}  # noqa: RUF012 - the framework's way
    output_type = "string"

    def __init__(self) -> None:
        super().__init__()
        self.ran = 0

    def forward(self, key: str) -> str:
        self.ran += 1
        if key == "broken":
            raise LookupError("no such key")
        return f"value of {key}"


def quiet() -> AgentLogger:
    """A logger that prints nothing."""
    return AgentLogger(level=LogLevel.OFF, console=Console(quiet=True))


def caller(*script: Say | BaseException, tools: Any = (), **details: Any) -> ToolCallingAgent:
    """A ToolCallingAgent on a scripted model."""
    return ToolCallingAgent(tools=list(tools), model=ScriptedModel(*script), logger=quiet(), **details)


def coder(*script: Say | BaseException, tools: Any = (), **details: Any) -> CodeAgent:
    """A CodeAgent on a scripted model."""
    return CodeAgent(tools=list(tools), model=ScriptedModel(*script), logger=quiet(), **details)


class OverridingAgent(ToolCallingAgent):
    """A user's subclass that overrides ``run``."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run as usual."""
        return super().run(*args, **kwargs)


def overriding(*script: Say | BaseException, tools: Any = (), **details: Any) -> OverridingAgent:
    """An agent whose class overrides ``run``, on a scripted model."""
    return OverridingAgent(tools=list(tools), model=ScriptedModel(*script), logger=quiet(), **details)
