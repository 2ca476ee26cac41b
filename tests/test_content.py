"""Captured content: valid, bounded, cut where one can see it, and nobody's code is run for it."""

from __future__ import annotations

import collections
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph import content, names
from tachograph.config import Config
from tachograph.content import Beginning, Content, Pieces, Sent, clipped, definitions, media, messages, parsed, shown

LIMIT = 2_000


class HostileError(Exception):
    """Somebody's code was run."""


class Hostile:
    """Refuses everything that can be asked of a value."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise HostileError

    __str__ = __repr__ = __iter__ = __len__ = __eq__ = __bool__ = __getattr__ = __format__ = _refuse
    __hash__ = None


class Impostor:
    """Says it is a text."""

    __class__ = str


class HostileText(str):
    __slots__ = ()
    __str__ = __repr__ = __len__ = __getitem__ = __iter__ = __eq__ = encode = Hostile._refuse
    __hash__ = None


class HostileDict(dict):
    __iter__ = __len__ = __getitem__ = items = keys = __repr__ = Hostile._refuse


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


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


# ----------------------------------------------------------------------------------------------------- any value
_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=50)
    | st.text('\0\n"\\\ud800', max_size=9),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=6),
    max_leaves=40,
)


@given(_plain, st.integers(30, 600))
def test_whatever_it_is_it_becomes_json_that_fits(value: Any, room: int) -> None:
    """Any value gives valid JSON, encodable as UTF-8, of no more characters than there is room for."""
    text = written(clipped(value, room))
    assert len(text) <= room
    json.loads(text.encode("utf-8"))


@given(
    st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc ", max_size=9), st.lists, max_leaves=9)
)
def test_what_fits_is_as_it_was(value: Any) -> None:
    """A plain value that fits is kept whole."""
    assert value == clipped(value, 10_000)


def test_a_long_text_is_cut_and_says_so() -> None:
    """What is left of a text ends in the number of characters that are not there, also beside something short."""
    kept = clipped({"mode": "fast", "text": "x" * 100_000, "last": 1}, LIMIT)

    head, _, tail = kept["text"].partition("… [")
    assert ("fast", 1) == (kept["mode"], kept["last"])
    assert f"{100_000 - len(head)} more characters]" == tail
    assert LIMIT / 4 < len(head) < LIMIT


def test_a_long_list_and_a_long_table_say_what_is_left_out() -> None:
    """Items and entries that do not fit are counted."""
    kept = clipped({"list": list(range(10_000)), "table": {str(n): n for n in range(10_000)}}, LIMIT)

    assert list(range(len(kept["list"]) - 1)) == kept["list"][:-1]
    assert f"… [{10_000 - len(kept['list']) + 1:,} more items]" == kept["list"][-1]
    assert f"[{10_000 - len(kept['table']) + 1:,} more entries]" == kept["table"]["…"]


def test_a_wide_and_deep_value_keeps_its_outline() -> None:
    """Where everything is too much, what is kept is some of the outermost levels."""

    def tree(depth: int) -> Any:
        return {f"key {n}": tree(depth - 1) if depth else "leaf " * 20 for n in range(9)}

    kept = clipped(tree(4), LIMIT)

    assert LIMIT / 8 < len(written(kept)) <= LIMIT
    assert "key 0" in kept["key 0"]


def test_nothing_of_the_hosts_is_run() -> None:
    """What is no plain value is named by its type: no method of it is called, and nothing is used up."""
    used = iter([1, 2])
    generated = (n for n in [1, 2])
    value = {
        "object": Hostile(),
        "impostor": Impostor(),
        "text": HostileText("as it is"),
        "table": HostileDict(a=1),
        "type": Hostile,
        "bytes": b"x" * 1_000,
        "ordered": collections.OrderedDict(a=1),
        "iterator": used,
        "generator": generated,
        "huge": 1 << 10_000,
        "odd": [math.nan, math.inf, -math.inf],
        Hostile: 1,
        (1, 2): 2,
        None: 3,
    }

    assert clipped(value, LIMIT) == {
        "object": "<Hostile>",
        "impostor": "<Impostor>",
        "text": "as it is",
        "table": "<HostileDict>",
        "type": "<type>",
        "bytes": "<bytes of 1,000>",
        "ordered": "<OrderedDict>",
        "iterator": "<list_iterator>",
        "generator": "<generator>",
        "huge": "<int>",
        "odd": ["nan", "inf", "-inf"],
        "<type>": 1,
        "<tuple of 2>": 2,
        "null": 3,
    }
    assert ([1, 2], [1, 2]) == (list(used), list(generated))


def test_a_circle_ends() -> None:
    """A value that contains itself is followed a few levels and then named, however often it contains itself."""
    circle: list[Any] = []
    circle += [circle, circle, circle]

    text = written(clipped(circle, LIMIT))

    assert "<list of 3>" in text or "more items" in text
    assert len(text) <= LIMIT
    assert "[[[[[[[[" + '"<list of 1>"' in written(clipped(_nested(10_000), LIMIT))


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_a_huge_value_is_not_read() -> None:
    """Of 100 MB of text, and of a million items, no more is looked at than what is kept asks for."""
    read = 0

    class Counting(str):
        __slots__ = ()

    def counted(text: str) -> str:
        nonlocal read
        read += len(text)
        return text

    original, content.redacted = content.redacted, counted
    try:
        clipped(Counting("x" * 100_000_000), LIMIT)
        clipped(["x" * 1_000_000] * 1_000_000, LIMIT)
        clipped({f"{n}": "y" * 1_000 for n in range(100_000)}, LIMIT)
    finally:
        content.redacted = original

    assert 0 < read < 500_000


def test_secrets_are_masked() -> None:
    """In texts, under keys that name them whatever their value, in keys, and where the cut would go through."""
    value = {
        "apiKey": "Zq7",
        "auth": {"password": 7_777, "token": ["Zq7"], "secret": None},
        "note": "password=Zq7Zq7Zq7",
        "sk-Zq7Zq7Zq7": 1,
        "long": "x" * (LIMIT // 4 - 12) + " password=" + "Zq7" * 30 + "y" * LIMIT,
    }

    text = written(clipped(value, LIMIT))

    assert "Zq7" not in text
    assert "7777" not in text
    assert None is json.loads(text)["auth"]["secret"]
    assert 5 <= text.count("[redacted]")


# ------------------------------------------------------------------------------------------------------- messages
def test_of_a_long_conversation_the_newest_is_kept() -> None:
    """Messages that do not fit are left out from the oldest on, and one in their place says how many."""
    kept = messages([said(f"{n} " + "x" * 100) for n in range(500)], LIMIT)

    note, *rest = kept
    first = int(rest[0]["parts"][0]["content"].split()[0])
    assert len(written(kept)) <= LIMIT
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
    assert "more characters]" in written(kept[3])


@given(st.lists(st.text(max_size=3_000), max_size=12), st.integers(1_000, 5_000))
def test_messages_fit_and_are_messages(texts: list[str], limit: int) -> None:
    """However many and long, they are within the limit, each with a role and parts, and none is lost uncounted."""
    kept = messages([said(text) for text in texts], limit)

    assert len(written(kept)) <= limit
    assert all({"role", "parts"} <= message.keys() for message in kept)
    left_out = sum(part.get("messages", 0) for message in kept for part in message["parts"])
    assert len(texts) == left_out + sum(message["role"] != "omitted" for message in kept)


_parts = st.one_of(
    st.text(max_size=200).map(content.text),
    st.builds(content.tool_call, st.text(max_size=50), _plain, st.text(max_size=9)),
    st.fixed_dictionaries({"type": st.just("tool_call_response"), "response": _plain}),
    st.just(media("image", url="data:,x")),
)


@given(st.lists(st.lists(_parts, max_size=40), max_size=6), st.integers(1_000, 3_000))
def test_a_cut_message_is_a_message(conversation: list[list[dict[str, Any]]], limit: int) -> None:
    """Whatever is cut or left out, what remains has the conventions' shape: roles, and parts that have a type."""
    kept = messages([{"role": "assistant", "parts": parts} for parts in conversation], limit)

    assert len(written(kept)) <= limit
    for message in kept:
        assert message["role"] in ("assistant", "omitted")
        assert all(
            part["type"] in ("text", "tool_call", "tool_call_response", "blob", "omitted") for part in message["parts"]
        )


def test_definitions_fit() -> None:
    """Tools that do not fit are counted in one that says so."""
    kept = definitions([{"type": "function", "name": f"tool {n}", "description": "x" * 100} for n in range(99)], LIMIT)

    assert len(written(kept)) <= LIMIT
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


def test_pieces_are_bounded() -> None:
    """Of a stream the beginning is kept, and what it had besides is counted."""
    pieces = Pieces(1_000)
    for _ in range(10_000):
        pieces.add("ab" * 50)
    pieces.add(None)
    pieces.add(Hostile())

    whole = pieces.text()
    assert isinstance(whole, Beginning)
    assert 1_000_000 == len(whole.text) + whole.lost
    assert len(whole.text) < 10_000
    kept = clipped(whole, 1_000)
    assert kept.endswith(f"… [{1_000_000 - kept.index('…')} more characters]")


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
