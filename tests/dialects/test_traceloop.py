"""OpenLLMetry and Traceloop's decorators."""

from __future__ import annotations

import pytest

from support.foreign_spans import CHAT, span
from tachograph import names
from tachograph.dialects import understood

PROPERTIES = "traceloop.association.properties."
FORMER = {
    "llm.request.type": "chat",
    "gen_ai.system": "OpenAI",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 20,
    "gen_ai.usage.cache_read_input_tokens": 40,
    "llm.usage.total_tokens": 120,
    "llm.is_streaming": True,
    "gen_ai.prompt.0.content": "secret",
    "gen_ai.completion.0.finish_reason": "tool_calls",
    "gen_ai.completion.0.tool_calls.0.name": "look",
    "gen_ai.completion.0.tool_calls.1.name": "look",
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("workflow", ("task", "shopping")),
        ("agent", ("agent", "shopping")),
        ("tool", ("tool", "shopping")),
        ("task", (None, "")),
        ("unknown", (None, "")),
    ],
)
def test_decorators_say_the_kind(kind, expected) -> None:
    """A workflow is a task, an agent a run, a tool a call, by the name of the entity; a step is no operation."""
    said = understood(span(1, {"traceloop.span.kind": kind, "traceloop.entity.name": "shopping"}))

    assert said is not None
    assert ("traceloop", *expected) == (said.dialect, said.kind, said.name)


def test_former_spans_of_clients() -> None:
    """What a model was asked, by early names: tokens, streaming, finish reasons and tools asked for; no content."""
    said = understood(span(1, FORMER))

    assert said is not None
    assert ("traceloop", "model", "gpt-4.1") == (said.dialect, said.kind, said.name)
    assert {
        names.PROVIDER_NAME: "OpenAI",
        names.REQUEST_MODEL: "gpt-4.1",
        names.REQUEST_STREAM: True,
        names.INPUT_TOKENS: 100,
        names.OUTPUT_TOKENS: 20,
        names.CACHED_TOKENS: 40,
        names.FINISH_REASONS: ("tool_calls",),
        names.RESPONSE_TOOL_CALLS: 2,
    } == said.facts


@pytest.mark.parametrize("request_type", ["rerank", "unknown", 7, ["chat"]])
def test_other_requests_are_no_model_calls(request_type) -> None:
    """What is asked of a model that answers nothing is no operation."""
    said = understood(span(1, {**FORMER, "llm.request.type": str(request_type)}))

    assert said is not None
    assert said.kind is None


def test_todays_spans_of_clients() -> None:
    """By current conventions, and some words of its own: streaming is said only where there is some."""
    streamed = understood(span(1, {**CHAT, "gen_ai.is_streaming": True, "gen_ai.usage.reasoning_tokens": 5}))
    plain = understood(span(1, {**CHAT, "gen_ai.is_streaming": False}))

    assert streamed is not None
    assert plain is not None
    assert (True, 5) == (streamed.facts[names.REQUEST_STREAM], streamed.facts[names.REASONING_TOKENS])
    assert names.REQUEST_STREAM not in plain.facts


@pytest.mark.parametrize("name", ["session_id", "conversation_id", "thread_id"])
def test_association_properties_say_session_and_user(name) -> None:
    """The program's own session goes before one that was stamped when it had said nothing yet."""
    said = understood(
        span(1, {**CHAT, f"{PROPERTIES}{name}": "theirs", f"{PROPERTIES}user_id": "ada", names.SESSION_ID: "process"})
    )

    assert said is not None
    assert ("theirs", "ada") == (said.facts[names.SESSION_ID], said.facts[names.USER_ID])
