"""The tools: which there are, which need a human's approval, and how one is run."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from app.services import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ToolSpec:
    """One tool: what it does, its parameters (all text), and why a human has to approve it, if so."""

    function: Callable[..., str]
    description: str
    parameters: tuple[str, ...]
    approval_reason: str | None = None


class ToolRegistry:
    """All tools, with the workspace they work in."""

    def __init__(self, workspace: Path) -> None:
        self._tools = {
            "echo": ToolSpec(tools.echo, "Say something again.", ("text",)),
            "calculator": ToolSpec(tools.calculator, "Work out a sum.", ("expression",)),
            "switch_mode": ToolSpec(tools.switch_mode, "Hand over to another agent.", ("mode", "reason")),
            "read_file": ToolSpec(partial(tools.read_file, workspace), "Read a file.", ("path",)),
            "write_file": ToolSpec(
                partial(tools.write_file, workspace),
                "Write a file.",
                ("path", "content"),
                approval_reason="File modification requires approval",
            ),
            "execute_command": ToolSpec(
                partial(tools.execute_command, workspace),
                "Run a command.",
                ("command",),
                approval_reason="Command execution requires approval",
            ),
        }

    def approval_reason(self, tool_name: str) -> str | None:
        """Return why a tool needs a human's approval, or None if it needs none."""
        return self._tools[tool_name].approval_reason

    def definitions(self, tool_names: Iterable[str]) -> list[dict[str, Any]]:
        """Return tools as a model is told about them."""
        return [_definition(name, self._tools[name]) for name in tool_names]

    def check(self, tool_name: str, arguments: dict[str, Any]) -> None:
        """Refuse arguments that are not the tool's.

        Raises:
            ValueError: naming those it takes.
        """
        parameters = self._tools[tool_name].parameters
        if arguments.keys() != set(parameters):
            given = ", ".join(arguments) or "nothing"
            raise ValueError(f"{tool_name} takes {', '.join(parameters)}, not {given}")

    async def execute_local_tool(
        self, session_id: str, tool_name: str, arguments: dict[str, Any], call_id: str, correlation_id: str
    ) -> str:
        """Run a tool and return what it gives to the model.

        Args:
            session_id: the session it is run for.
            tool_name: which tool.
            arguments: what it is called with.
            call_id: the model's id of the call.
            correlation_id: the user's request that the call is part of.

        Raises:
            ValueError: if the arguments are not the tool's.
            OSError: if a file or program is not there or not allowed.
        """
        self.check(tool_name, arguments)  # a human may have changed them
        _logger.info("session %s: %s runs as %s, request %s", session_id, tool_name, call_id, correlation_id)
        return await asyncio.to_thread(self._tools[tool_name].function, **arguments)


def _definition(name: str, spec: ToolSpec) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {parameter: {"type": "string"} for parameter in spec.parameters},
        "required": list(spec.parameters),
    }
    return {
        "type": "function",
        "function": {"name": name, "description": spec.description, "parameters": parameters},
    }
