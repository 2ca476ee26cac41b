"""OpenLLMetry, by Traceloop: its decorators' spans, and those of its instrumentations of clients, today's and former.

Of old its instrumentations said by ``llm.request.type`` what is asked of a model, and had the provider's, the tokens'
and the answers' names of the early GenAI conventions; today they follow the current ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.dialects import gen_ai, said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "traceloop"
KIND: Final = "traceloop.span.kind"
_ENTITY: Final = "traceloop.entity.name"
_REQUEST: Final = "llm.request.type"
_STREAMING: Final = ("gen_ai.is_streaming", "llm.is_streaming")
_PROPERTIES: Final = "traceloop.association.properties."
_OF_SESSION: Final = tuple(
    f"{_PROPERTIES}{name}" for name in ("session_id", names.SESSION_ID, "conversation_id", "thread_id")
)
SESSIONS: Final = frozenset(_OF_SESSION)
TELLING: Final = frozenset({KIND, _REQUEST, *_STREAMING, "traceloop.workflow.name", *SESSIONS})

_REQUESTS: Final = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
_SAYS: Final = {
    **names.FORMER,
    f"{_PROPERTIES}user_id": names.USER_ID,
    "llm.request.model": names.REQUEST_MODEL,
    "llm.response.model": names.RESPONSE_MODEL,
    "llm.usage.completion_tokens": names.OUTPUT_TOKENS,
    "llm.usage.prompt_tokens": names.INPUT_TOKENS,
}
_FINISH: Final = re.compile(r"gen_ai\.completion\.(\d+)\.finish_reason$")
_TOOL_CALL: Final = re.compile(r"gen_ai\.completion\.(\d+)\.tool_calls\.(\d+)\.")


def understood(span: ReadSpan) -> Said | None:
    """What a span says by these conventions; a decorated step of a workflow is no operation."""
    attributes = span.attributes
    found = said.translated(attributes, _SAYS)
    for name in _OF_SESSION:
        if name in attributes:  # what the program says itself goes before what was stamped when it had said nothing
            found[names.SESSION_ID] = attributes[name]
            break
    kind, entity = attributes.get(KIND), attributes.get(_ENTITY)
    if kind == "workflow":
        return said.task(NAME, {names.WORKFLOW_NAME: entity, **found}, span.name)
    if kind == "agent":
        return said.agent(NAME, {**found, names.AGENT_NAME: entity or found.get(names.AGENT_NAME)}, span.name)
    if kind == "tool":
        return said.tool(NAME, {names.TOOL_NAME: entity, **found}, span.name)
    if kind is not None:
        return said.nothing(NAME, found)
    more = _of_call(attributes)
    if names.OPERATION_NAME not in found:
        more[names.OPERATION_NAME] = _REQUESTS.get(attributes.get(_REQUEST, ""), "")
    understanding = gen_ai.understood(span._replace(attributes={**more, **found}))
    return None if understanding is None else understanding._replace(dialect=NAME)


def _of_call(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What a call's answers say by the numbers in their attributes' names, and whether it was streamed."""
    calls = said.numbered(attributes, _TOOL_CALL)
    reasons = sorted(
        (int(match[1]), str(reason)) for name, reason in attributes.items() if (match := _FINISH.match(name))
    )
    return {
        **({names.RESPONSE_TOOL_CALLS: calls} if calls else {}),
        **({names.FINISH_REASONS: tuple(reason for _, reason in reasons)} if reasons else {}),
        **({names.REQUEST_STREAM: True} if any(attributes.get(name) is True for name in _STREAMING) else {}),
    }
