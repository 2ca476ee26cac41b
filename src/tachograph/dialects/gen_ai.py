"""GenAI conventions of OpenTelemetry, as they are and as they were: the official instrumentations and many others.

Of old they had ``gen_ai.system`` for the provider, other names for the tokens, and no word for the operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.dialects import said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "gen_ai"
TELLING: Final = frozenset(
    {
        names.OPERATION_NAME,
        names.PROVIDER_NAME,
        *(old for old, now in names.FORMER.items() if now == names.PROVIDER_NAME),
    }
)

_SAYS: Final = {**names.FORMER, "anthropic.message.stop_reason": names.FINISH_REASONS}
"""What is also called otherwise: by earlier conventions, and by a client that writes spans itself."""

MODEL_CALLS: Final = frozenset({"chat", "embeddings", "generate_content", "text_completion"})
"""``gen_ai.operation.name`` of calls to a model."""


def understood(span: ReadSpan) -> Said | None:
    """What a span says by these conventions."""
    found = said.translated(span.attributes, _SAYS)
    operation = found.get(names.OPERATION_NAME)
    if operation in MODEL_CALLS:
        return said.model(NAME, found, span.name)
    if operation == "invoke_agent":
        return said.agent(NAME, found, said.without(span.name, operation))
    if operation == "execute_tool":
        return said.tool(NAME, found, said.without(span.name, operation), served=span.kind == "SERVER")
    if operation == "invoke_workflow":
        return said.task(NAME, found, said.without(span.name, operation))
    if operation is None and names.REQUEST_MODEL in found and names.PROVIDER_NAME in found:
        return said.model(NAME, found, span.name)  # from before there was a word for the operation
    return said.nothing(NAME, found)


def is_model_call(attributes: Mapping[str, Any]) -> bool:
    """Whether these are of a call to a model, as far as a span says when it starts."""
    return attributes.get(names.OPERATION_NAME) in MODEL_CALLS
