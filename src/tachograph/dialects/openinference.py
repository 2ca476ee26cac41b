"""OpenInference, by Arize: ``openinference.span.kind`` and what goes with each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.dialects import said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "openinference"
KIND: Final = "openinference.span.kind"
TELLING: Final = frozenset({KIND})

_SAYS: Final = {
    "agent.name": names.AGENT_NAME,
    "embedding.model_name": names.REQUEST_MODEL,
    "llm.finish_reason": names.FINISH_REASONS,
    "llm.model_name": names.REQUEST_MODEL,
    "llm.provider": names.PROVIDER_NAME,
    "llm.token_count.completion": names.OUTPUT_TOKENS,
    "llm.token_count.completion_details.reasoning": names.REASONING_TOKENS,
    "llm.token_count.prompt": names.INPUT_TOKENS,
    "llm.token_count.prompt_details.cache_read": names.CACHED_TOKENS,
    "tool.id": names.TOOL_CALL_ID,
    "tool.name": names.TOOL_NAME,
    "tool_call.id": names.TOOL_CALL_ID,
}
_PARAMETERS: Final = "llm.invocation_parameters"
_SYSTEM: Final = "llm.system"
_TOOL_CALL: Final = re.compile(r"llm\.output_messages\.(\d+)\.message\.tool_calls\.(\d+)\.")
_RUN: Final = re.compile(r"\.a?run$")
"""How some of its instrumentations end the name of an agent's span."""

_ASKED: Final[dict[str, tuple[str, type | tuple[type, ...]]]] = {
    "frequency_penalty": (names.REQUEST_FREQUENCY_PENALTY, (int, float)),
    "max_tokens": (names.REQUEST_MAX_TOKENS, int),
    "model": (names.REQUEST_MODEL, str),
    "presence_penalty": (names.REQUEST_PRESENCE_PENALTY, (int, float)),
    "seed": (names.REQUEST_SEED, int),
    "stream": (names.REQUEST_STREAM, bool),
    "temperature": (names.REQUEST_TEMPERATURE, (int, float)),
    "top_p": (names.REQUEST_TOP_P, (int, float)),
}
"""Parameters of a request that are kept: by which name, and of which type they are."""

_LONGEST: Final = 10_000
"""Characters of parameters that are looked into."""


def understood(span: ReadSpan) -> Said | None:
    """What a span says by these conventions."""
    found = said.translated(span.attributes, _SAYS)
    kind = span.attributes.get(KIND)
    if kind in ("LLM", "EMBEDDING"):
        return said.model(NAME, {**_asked(span.attributes), **_answered(span.attributes), **found}, span.name)
    if kind == "AGENT":
        return said.agent(NAME, found, _RUN.sub("", span.name) or span.name)
    if kind == "TOOL":
        return said.tool(NAME, found, span.name)
    return said.nothing(NAME, found)


def _asked(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a call's parameters say; a call that failed has its model nowhere else."""
    text = attributes.get(_PARAMETERS)
    if not isinstance(text, str) or len(text) > _LONGEST:
        return {}
    try:
        parameters = json.loads(text)
    except (RecursionError, ValueError):
        return {}
    if not isinstance(parameters, dict):
        return {}
    # Streaming is only said where there is some, as everywhere.
    return {
        name: parameters[word]
        for word, (name, kind) in _ASKED.items()
        if isinstance(parameters.get(word), kind) and parameters[word] is not False
    }


def _answered(attributes: Mapping[str, Any]) -> dict[str, Any]:
    calls = said.numbered(attributes, _TOOL_CALL)
    return {
        **({names.RESPONSE_TOOL_CALLS: calls} if calls else {}),
        **({names.PROVIDER_NAME: attributes[_SYSTEM]} if _SYSTEM in attributes else {}),
    }
