"""Native spans of google-adk: those of the GenAI conventions, and, in its earlier versions, some words of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tachograph import names
from tachograph.dialects import gen_ai, said

if TYPE_CHECKING:
    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "google_adk"
SCOPE: Final = "gcp.vertex.agent"
_SESSION: Final = "gcp.vertex.agent.session_id"
SESSIONS: Final = frozenset({_SESSION})
TELLING: Final = frozenset({*gen_ai.TELLING, _SESSION})

_OWN: Final = "gemini"


def understood(span: ReadSpan) -> Said | None:
    """What a span of google-adk says, but for the provider of models that are not Google's: it says the same of all."""
    if span.scope != SCOPE:
        return None
    found = said.translated(span.attributes, {**names.FORMER, _SESSION: names.CONVERSATION_ID})
    understanding = gen_ai.understood(span._replace(attributes=found))
    if understanding is None or _OWN in understanding.name:
        return understanding and understanding._replace(dialect=NAME)
    facts = {name: value for name, value in understanding.facts.items() if name != names.PROVIDER_NAME}
    return understanding._replace(dialect=NAME, facts=facts)
