"""The GenAI conventions, as they are and as they were."""

from __future__ import annotations

from typing import Any

import pytest

from support.foreign_spans import CHAT, span
from tachograph import names
from tachograph.dialects import understood

FORMER = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 20,
    "gen_ai.prompt.0.content": "secret",
}


@pytest.mark.parametrize(
    ("attributes", "name", "expected"),
    [
        (CHAT, "chat gpt-4.1", ("model", "gpt-4.1")),
        ({**CHAT, "gen_ai.operation.name": "generate_content"}, "", ("model", "gpt-4.1")),
        ({"gen_ai.operation.name": "embeddings"}, "embeddings", ("model", "embeddings")),
        (FORMER, "openai.chat", ("model", "gpt-4.1")),
        ({"gen_ai.operation.name": "invoke_agent"}, "invoke_agent clerk", ("agent", "clerk")),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "clerk"}, "x", ("agent", "clerk")),
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}, "x", ("tool", "look")),
        ({"gen_ai.operation.name": "invoke_workflow"}, "invoke_workflow shop", ("task", "shop")),
        ({"gen_ai.operation.name": "create_agent", "gen_ai.agent.name": "clerk"}, "x", (None, "")),
        ({"gen_ai.operation.name": "fetch_response", "gen_ai.provider.name": "openai"}, "x", (None, "")),
        ({"gen_ai.system": "openai"}, "x", (None, "")),
    ],
)
def test_the_operation_says_the_kind(attributes: dict[str, Any], name: str, expected: tuple[str | None, str]) -> None:
    """Calls of models, agents, tools and workflows are operations; the rest of what the conventions name is none."""
    said = understood(span(1, attributes, name=name))

    assert said is not None
    assert expected == (said.kind, said.name)


def test_former_names_are_read_as_todays() -> None:
    """What earlier conventions called otherwise is found under today's names."""
    said = understood(span(1, FORMER))

    assert said is not None
    assert {
        names.PROVIDER_NAME: "openai",
        names.REQUEST_MODEL: "gpt-4.1",
        names.INPUT_TOKENS: 100,
        names.OUTPUT_TOKENS: 20,
    } == said.facts


def test_a_client_that_says_why_it_stopped_by_a_word_of_its_own() -> None:
    """The native spans of the anthropic package say by ``anthropic.message.stop_reason`` that a tool is asked for."""
    said = understood(span(1, {**CHAT, "anthropic.message.stop_reason": "tool_use"}))

    assert said is not None
    assert (("tool_use",), 1) == (said.facts[names.FINISH_REASONS], said.facts[names.RESPONSE_TOOL_CALLS])
