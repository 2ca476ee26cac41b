"""OpenInference."""

from __future__ import annotations

import pytest

from support.foreign_spans import span
from tachograph import names
from tachograph.dialects import understood

LLM = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4.1",
    "llm.system": "openai",
    "llm.token_count.prompt": 100,
    "llm.token_count.completion": 20,
    "llm.token_count.total": 120,
    "llm.token_count.prompt_details.cache_read": 40,
    "llm.token_count.completion_details.reasoning": 5,
    "llm.input_messages.0.message.content": "secret",
    "session.id": "theirs",
    "user.id": "ada",
}


def test_a_model_call() -> None:
    """Model, provider, tokens with their parts, session and user are read; messages are not."""
    said = understood(span(1, LLM))

    assert said is not None
    assert ("openinference", "model", "gpt-4.1") == (said.dialect, said.kind, said.name)
    assert {
        names.SESSION_ID: "theirs",
        names.USER_ID: "ada",
        names.PROVIDER_NAME: "openai",
        names.REQUEST_MODEL: "gpt-4.1",
        names.INPUT_TOKENS: 100,
        names.OUTPUT_TOKENS: 20,
        names.CACHED_TOKENS: 40,
        names.REASONING_TOKENS: 5,
    } == said.facts


@pytest.mark.parametrize(
    ("kind", "attributes", "expected"),
    [
        ("AGENT", {"llm.token_count.prompt": 300}, ("agent", "clerk")),
        ("AGENT", {"agent.name": "boss"}, ("agent", "boss")),
        ("TOOL", {"tool.name": "price"}, ("tool", "price")),
        ("EMBEDDING", {"embedding.model_name": "small"}, ("model", "small")),
        ("CHAIN", {}, (None, "")),
        ("RETRIEVER", {}, (None, "")),
        ("GUARDRAIL", {}, (None, "")),
    ],
)
def test_the_span_kind_says_the_kind(kind, attributes, expected) -> None:
    """Agents, tools and models are operations; an agent's summed tokens are not looked at."""
    said = understood(span(1, {"openinference.span.kind": kind, **attributes}, name="clerk.run"))

    assert said is not None
    assert expected == (said.kind, said.name)
    assert names.INPUT_TOKENS not in said.facts


def test_a_failed_call_has_its_model_from_what_was_asked() -> None:
    """Parameters of the request say model and settings where no answer does; streaming only where there is some."""
    parameters = '{"model": "gpt-4.1", "temperature": 0.5, "stream": false, "max_tokens": "many", "stop": ["x"]}'

    said = understood(span(1, {"openinference.span.kind": "LLM", "llm.invocation_parameters": parameters}))

    assert said is not None
    assert {names.REQUEST_MODEL: "gpt-4.1", names.REQUEST_TEMPERATURE: 0.5} == said.facts


@pytest.mark.parametrize("parameters", ["", "no JSON", "[1]", "[" * 5_000, '{"model": 1}', 7, "{}" + " " * 20_000])
def test_parameters_that_are_none_say_nothing(parameters) -> None:
    """Whatever is in the place of a request's parameters, the call is read."""
    said = understood(span(1, {"openinference.span.kind": "LLM", "llm.invocation_parameters": parameters}, name="call"))

    assert said is not None
    assert ("model", "call", {}) == (said.kind, said.name, said.facts)


def test_tool_calls_of_an_answer_are_counted() -> None:
    """Tools asked for are told by the numbers in attributes' names."""
    prefix = "llm.output_messages.0.message.tool_calls."
    calls = {f"{prefix}{n}.tool_call.{what}": "x" for n in (0, 1) for what in ("id", "function.name")}

    said = understood(span(1, {**LLM, **calls}))

    assert said is not None
    assert 2 == said.facts[names.RESPONSE_TOOL_CALLS]
