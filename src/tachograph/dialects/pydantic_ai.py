"""Native spans of pydantic-ai: those of the GenAI conventions, and some words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tachograph import names
from tachograph.dialects import gen_ai, said

if TYPE_CHECKING:
    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "pydantic_ai"
SCOPE: Final = "pydantic-ai"
TELLING: Final = frozenset({names.OPERATION_NAME, names.TOOL_NAME, "agent_name"})

_SAYS: Final = {
    "agent_name": names.AGENT_NAME,
    "gen_ai.usage.details.reasoning_tokens": names.REASONING_TOKENS,
}
_WITHOUT_WORD: Final = {"agent run": "invoke_agent", "running tool": "execute_tool"}
"""Names of spans of its earlier formats, which do not all say the operation."""


def understood(span: ReadSpan) -> Said | None:
    """What a span of pydantic-ai says; its agents' summed usage is not looked at."""
    if span.scope != SCOPE:
        return None
    found = said.translated(span.attributes, _SAYS)
    found.setdefault(names.OPERATION_NAME, _WITHOUT_WORD.get(span.name))
    understanding = gen_ai.understood(span._replace(attributes=found))
    return None if understanding is None else understanding._replace(dialect=NAME)
