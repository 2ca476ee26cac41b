"""What dialects have in common in saying it."""

from __future__ import annotations

import re

from tachograph import names
from tachograph.dialects import said


def test_zeros_that_stand_for_nothing_are_left_out() -> None:
    """A call that read and wrote no tokens has not said how many it used; one that read some has."""
    unheard = said.model("d", {names.INPUT_TOKENS: 0, names.OUTPUT_TOKENS: 0, names.CACHED_TOKENS: 0}, "x")
    embedding = said.model("d", {names.INPUT_TOKENS: 7, names.OUTPUT_TOKENS: 0}, "x")

    assert {} == unheard.facts
    assert {names.INPUT_TOKENS: 7, names.OUTPUT_TOKENS: 0} == embedding.facts


def test_tokens_that_no_call_uses_are_unknown() -> None:
    """A number below zero, as some write for what they do not know, or beyond all bounds, is in no sum."""
    call = said.model(
        "d",
        {names.INPUT_TOKENS: -1, names.OUTPUT_TOKENS: 20, names.CACHED_TOKENS: -5, names.REASONING_TOKENS: 10**12},
        "x",
    )

    assert {names.OUTPUT_TOKENS: 20} == call.facts


def test_an_answer_that_stopped_for_tools_asks_for_one_at_least() -> None:
    """Where nobody says how many tools an answer asks for, it is one for each choice that stopped for it."""
    guessed = said.model("d", {names.FINISH_REASONS: ("tool_calls", "stop")}, "x")
    known = said.model("d", {names.FINISH_REASONS: ("tool_calls",), names.RESPONSE_TOOL_CALLS: 3}, "x")

    assert (1, 3) == (guessed.facts[names.RESPONSE_TOOL_CALLS], known.facts[names.RESPONSE_TOOL_CALLS])


def test_names_fall_back_to_the_spans() -> None:
    """An operation is called by what it is of, and by its span where that is not said."""
    assert "m" == said.model("d", {names.RESPONSE_MODEL: "m"}, "x").name
    assert ["x"] * 4 == [make("d", {}, "x").name for make in (said.model, said.agent, said.tool, said.task)]


def test_content_is_not_kept() -> None:
    """Whatever is not among the facts of its kind stays out."""
    more = {names.INPUT_MESSAGES: "secret", names.TOOL_ARGUMENTS: "secret", names.SESSION_ID: "s"}

    for make in (said.model, said.agent, said.tool, said.task):
        assert {names.SESSION_ID: "s"} == make("d", more, "x").facts


def test_todays_names_win() -> None:
    """Of two names for one thing, the current one is right."""
    table = {"old": "new"}

    assert {"new": 1} == said.translated({"old": 1}, table)
    assert {"new": 2} == said.translated({"new": 2, "old": 1}, table) == said.translated({"old": 1, "new": 2}, table)


def test_numbers_in_names_are_counted_once() -> None:
    """Several attributes of one thing, told by the numbers in their names, are one thing."""
    attributes = dict.fromkeys(("a.0.x", "a.0.y", "a.1.x", "b.0.x"), 1)

    assert 2 == said.numbered(attributes, re.compile(r"a\.(\d+)\."))


def test_a_name_without_its_word_is_never_empty() -> None:
    """A span's name loses the word for its kind where more is left."""
    assert ("clerk", "invoke_agent") == (
        said.without("invoke_agent clerk", "invoke_agent"),
        said.without("invoke_agent", "invoke_agent"),
    )
