"""Captured content: messages of the conventions' shape, the newest first to stay, each kept once per run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.values import PLAIN
from tachograph import content, names
from tachograph.clip import as_json
from tachograph.config import Config
from tachograph.content import Content, Sent, definitions, media, messages, parsed, shown

LIMIT = 2_000


def said(text: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": [content.text(text)]}


# ------------------------------------------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("no_content", None),
        ("span_only", (True, False)),
        ("event_only", (False, True)),
        ("span_and_event", (True, True)),
    ],
)
def test_where_content_goes(where: str, expected: Any) -> None:
    """The setting says whether spans, events or both carry it; with none of them nothing is captured."""
    capturing = content.capturing(Config(capture_content=where))
    assert expected == (None if capturing is None else (capturing.spans, capturing.events))


# ------------------------------------------------------------------------------------------------------- messages
def test_of_a_long_conversation_the_newest_is_kept() -> None:
    """Messages that do not fit are left out from the oldest on, and one in their place says how many."""
    kept = messages([said(f"{n} " + "x" * 100) for n in range(500)], LIMIT)

    note, *rest = kept
    first = int(rest[0]["parts"][0]["content"].split()[0])
    assert len(as_json(kept)) <= LIMIT
    assert [f"{n} " + "x" * 100 for n in range(first, 500)][-1] == rest[-1]["parts"][0]["content"]
    assert {"type": "omitted", "messages": first, "content": f"… [{first:,} messages left out]"} == note["parts"][0]
    assert len(rest) == 500 - first > 5


def test_one_huge_message_does_not_hide_the_others() -> None:
    """A message gets at most half of the room there is, so those before it are still seen."""
    huge = {"role": "tool", "parts": [content.text(f"{n} " + "y" * 50) for n in range(16)]}
    kept = messages([said("rules", "system"), said("q" * 500), huge, said("y" * 100_000, "tool")], LIMIT)

    assert ["system", "user", "tool", "tool"] == [message["role"] for message in kept]
    assert "rules" == kept[0]["parts"][0]["content"]
    assert "omitted" == kept[2]["parts"][-1]["type"]
    assert "more items]" in kept[2]["parts"][-1]["content"]
    assert "more characters]" in as_json(kept[3])


@given(st.lists(st.text(max_size=3_000), max_size=12), st.integers(1_000, 5_000))
def test_messages_fit_and_are_messages(texts: list[str], limit: int) -> None:
    """However many and long, they are within the limit, each with a role and parts, and none is lost uncounted."""
    kept = messages([said(text) for text in texts], limit)

    assert len(as_json(kept)) <= limit
    assert all({"role", "parts"} <= message.keys() for message in kept)
    left_out = sum(part.get("messages", 0) for message in kept for part in message["parts"])
    assert len(texts) == left_out + sum(message["role"] != "omitted" for message in kept)


_parts = st.one_of(
    st.text(max_size=200).map(content.text),
    st.builds(content.tool_call, st.text(max_size=50), PLAIN, st.text(max_size=9)),
    st.fixed_dictionaries({"type": st.just("tool_call_response"), "response": PLAIN}),
    st.just(media("image", url="data:,x")),
)


@given(st.lists(st.lists(_parts, max_size=40), max_size=6), st.integers(1_000, 3_000))
def test_a_cut_message_is_a_message(conversation: list[list[dict[str, Any]]], limit: int) -> None:
    """Whatever is cut or left out, what remains has the conventions' shape: roles, and parts that have a type."""
    kept = messages([{"role": "assistant", "parts": parts} for parts in conversation], limit)

    assert len(as_json(kept)) <= limit
    for message in kept:
        assert message["role"] in ("assistant", "omitted")
        assert all(
            part["type"] in ("text", "tool_call", "tool_call_response", "blob", "omitted") for part in message["parts"]
        )


def test_definitions_fit() -> None:
    """Tools that do not fit are counted in one that says so."""
    kept = definitions([{"type": "function", "name": f"tool {n}", "description": "x" * 100} for n in range(99)], LIMIT)

    assert len(as_json(kept)) <= LIMIT
    assert {"type": "omitted", "name": f"… [{99 - len(kept) + 1} left out]"} == kept[0]


def test_each_message_of_a_run_is_new_once() -> None:
    """Of what a call sends again only the number is kept, in its place; what is said twice is new twice."""
    sent = Sent()
    one, two, three = said("one"), said("two"), said("x" * 100_000 + "three")
    changed = said("x" * 100_000 + "threE")

    first = messages(sent.new([one, two]), LIMIT)
    second = messages(sent.new([one, two, three, dict(two)]), 1_000_000)
    third = messages(sent.new([changed, one, two, three, two]), 1_000_000)

    assert ["one", "two"] == [message["parts"][0]["content"] for message in first]
    assert [2, None, None] == [message["parts"][0].get("messages") for message in second]
    assert [None, 4] == [message["parts"][0].get("messages") for message in third]


def test_images_and_sounds_leave_their_bytes_behind() -> None:
    """A part says what it is and where, never what it holds."""
    assert {"type": "uri", "modality": "image", "uri": "https://x/y.png"} == media("image", url="https://x/y.png")
    assert media("image", url="data:image/png;base64," + "QUJD" * 1_000_000) == {
        "type": "blob",
        "modality": "image",
        "content": "",
        "omitted": True,
        "mime_type": "image/png",
    }
    assert {"type": "blob", "modality": "audio", "content": "", "omitted": True} == media("audio")


@pytest.mark.parametrize("text", ["{", "plain", "[" * 50_000, '{"a": 1}' + " " * 200_000, "", "12"])
def test_a_text_that_is_no_json_stays_a_text(text: str) -> None:
    """Arguments that cannot be read, or are too long to be, are kept as they are."""
    assert text == parsed(text)


# ---------------------------------------------------------------------------------------------- of an operation
def test_the_ledger_may_keep_less() -> None:
    """An attribute has one value for spans and events and may have another, or none, for the ledger."""
    taken = Content()
    taken.put(names.INPUT_MESSAGES, [1, 2], local=[2])
    taken.put(names.TOOL_DEFINITIONS, [3], local=None)
    taken.put(names.TOOL_DESCRIPTION, "looks things up")
    taken.put(names.OUTPUT_MESSAGES, None)

    assert taken.written() == {
        names.INPUT_MESSAGES: "[1,2]",
        names.TOOL_DEFINITIONS: "[3]",
        names.TOOL_DESCRIPTION: "looks things up",
    }
    assert taken.kept() == {names.INPUT_MESSAGES: "[2]", names.TOOL_DESCRIPTION: "looks things up"}


def test_views_show_what_there_is() -> None:
    """What was captured is shown as values; what the SDK's own limit has cut, as the text it is now."""
    attributes = {names.TOOL_ARGUMENTS: '{"a":1}', names.TOOL_RESULT: '{"a":'}

    assert {"given": {"a": 1}, "gave": '{"a":'} == shown(
        attributes, given=names.TOOL_ARGUMENTS, gave=names.TOOL_RESULT, said=names.OUTPUT_MESSAGES
    )
