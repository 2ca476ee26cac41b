"""Model Context Protocol: the conventions, and the native spans of its Python SDK. Calls of tools are tool calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tachograph import names
from tachograph.dialects import said

if TYPE_CHECKING:
    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "mcp"
METHOD: Final = "mcp.method.name"
TELLING: Final = frozenset({METHOD})

_CALL: Final = "tools/call"


def understood(span: ReadSpan) -> Said | None:
    """What a span says by these conventions; the client's has the tool's name in its own, if at all."""
    found = said.translated(span.attributes, names.FORMER)
    if found.get(METHOD) != _CALL:
        return said.nothing(NAME, found)
    otherwise = span.name.rpartition(f"{_CALL} ")[2] or span.name
    return said.tool(NAME, found, otherwise, served=span.kind == "SERVER")
