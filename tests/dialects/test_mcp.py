"""Model Context Protocol."""

from __future__ import annotations

import pytest

from support.foreign_spans import span
from tachograph.dialects import understood


@pytest.mark.parametrize(
    ("kind", "attributes", "name", "served"),
    [
        ("CLIENT", {}, "MCP send tools/call price", False),
        ("CLIENT", {"gen_ai.tool.name": "price"}, "tools/call", False),
        ("SERVER", {"gen_ai.tool.name": "price", "gen_ai.operation.name": "execute_tool"}, "tools/call price", True),
    ],
)
def test_calls_of_tools_are_tool_calls(kind, attributes, name, served) -> None:
    """Both sides of a call tell of it, by the tool's name, or as far as the client says by its span's."""
    said = understood(span(1, {"mcp.method.name": "tools/call", **attributes}, kind=kind, name=name))

    assert said is not None
    assert ("mcp", "tool", "price", served) == (said.dialect, said.kind, said.name, said.served)


@pytest.mark.parametrize("method", ["tools/list", "initialize", "prompts/get", 7])
def test_other_methods_are_no_operations(method) -> None:
    """What is neither a call of a tool nor anything else that is counted has no place."""
    said = understood(span(1, {"mcp.method.name": method}))

    assert said is not None
    assert said.kind is None
