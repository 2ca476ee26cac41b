"""Native spans of google-adk."""

from __future__ import annotations

import pytest

from support.foreign_spans import CHAT, span
from tachograph import names
from tachograph.dialects import understood

SCOPE = "gcp.vertex.agent"


@pytest.mark.parametrize(("model", "expected"), [("gemini-2.5-pro", "gcp.gemini"), ("gpt-4.1", None)])
def test_the_provider_is_believed_of_googles_models_only(model, expected) -> None:
    """It gives the same provider for every model, so that it says something only of Google's own."""
    attributes = {**CHAT, "gen_ai.request.model": model, "gen_ai.provider.name": "gcp.gemini"}

    said = understood(span(1, attributes, scope=SCOPE))

    assert said is not None
    assert ("google_adk", model, expected) == (said.dialect, said.name, said.facts.get(names.PROVIDER_NAME))


def test_earlier_versions_say_system_and_session_by_their_own_words() -> None:
    """Of old a model call had no operation, and every span the session under a name of its own."""
    attributes = {
        "gen_ai.system": "gcp.vertex.agent",
        "gen_ai.request.model": "gemini-2.0-flash",
        "gen_ai.usage.input_tokens": 100,
        "gcp.vertex.agent.session_id": "theirs",
        "gcp.vertex.agent.llm_request": "secret",
    }

    said = understood(span(1, attributes, scope=SCOPE, name="call_llm"))

    assert said is not None
    assert ("model", "gemini-2.0-flash", "theirs", 100) == (
        said.kind,
        said.name,
        said.facts[names.CONVERSATION_ID],
        said.facts[names.INPUT_TOKENS],
    )
    assert "secret" not in str(said)
