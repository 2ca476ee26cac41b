"""Native spans of pydantic-ai."""

from __future__ import annotations

import pytest

from support.foreign_spans import CHAT, span
from tachograph import names
from tachograph.dialects import understood

SCOPE = "pydantic-ai"


@pytest.mark.parametrize(
    ("attributes", "name", "expected"),
    [
        ({"gen_ai.operation.name": "invoke_agent", "agent_name": "clerk"}, "agent run", ("agent", "clerk")),
        ({"agent_name": "clerk", "model_name": "gpt-4.1"}, "agent run", ("agent", "clerk")),
        ({"gen_ai.tool.name": "price", "tool_arguments": "secret"}, "running tool", ("tool", "price")),
        ({"gen_ai.tool.name": "price"}, "running 2 tools", (None, "")),
    ],
)
def test_earlier_formats_are_told_by_the_spans_names(attributes, name, expected) -> None:
    """Where the operation is not said, the span's name says it; the agent's name has a word of its own."""
    said = understood(span(1, attributes, name=name, scope=SCOPE))

    assert said is not None
    assert ("pydantic_ai", *expected) == (said.dialect, said.kind, said.name)


def test_reasoning_has_a_name_of_its_own() -> None:
    """Reasoning tokens are read from the details; the sums on an agent are not read at all."""
    call = understood(span(1, {**CHAT, "gen_ai.usage.details.reasoning_tokens": 5}, scope=SCOPE))
    run = {"gen_ai.operation.name": "invoke_agent", "gen_ai.aggregated_usage.input_tokens": 300}
    agent = understood(span(1, run, scope=SCOPE))

    assert call is not None
    assert agent is not None
    assert 5 == call.facts[names.REASONING_TOKENS]
    assert {} == agent.facts


def test_others_do_not_speak_it() -> None:
    """Its words mean something only in its own scope."""
    assert understood(span(1, {"agent_name": "clerk"}, name="agent run")) is None
