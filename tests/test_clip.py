"""Any value as plain JSON: valid, bounded, cut where one can see it, and nobody's code is run for it."""

from __future__ import annotations

import collections
import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from support.values import PLAIN
from tachograph import clip
from tachograph.clip import Beginning, Pieces, as_json, clipped, digest

LIMIT = 2_000


def written(value: Any) -> str:
    """JSON as strict as it gets."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


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


@given(PLAIN, st.integers(30, 600))
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

    original, clip.redacted = clip.redacted, counted
    try:
        clipped(Counting("x" * 100_000_000), LIMIT)
        clipped(["x" * 1_000_000] * 1_000_000, LIMIT)
        clipped({f"{n}": "y" * 1_000 for n in range(100_000)}, LIMIT)
    finally:
        clip.redacted = original

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


def test_a_text_is_its_own_writing() -> None:
    """A text is written as it is, everything else as JSON without a space to spare, in any script."""
    assert ("a b", '{"ä":[1,null]}') == (as_json("a b"), as_json({"ä": [1, None]}))


# ------------------------------------------------------------------------------------------------------- digests
_plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(_plain_values)
def test_a_digest_is_of_the_value(value: Any) -> None:
    """The same value has the same digest, in whatever order its keys are; one more thing in it has another."""
    again = dict(reversed(value.items())) if isinstance(value, dict) else value
    assert digest(value) == digest(again)
    assert digest(value) != digest([value])


def test_a_digest_asks_nothing_of_the_host() -> None:
    """Of an object the type is in it; tables and lists of the host's own kinds are read by what they hold."""

    class Table(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise ZeroDivisionError

        keys = __iter__ = __len__ = items

    class Thing:
        def __repr__(self) -> str:
            raise ZeroDivisionError

        __str__ = __hash__ = __repr__

    assert digest({"a": 1}) == digest(Table(a=1))
    assert digest(Thing()) == digest(Thing())
    assert digest({1: 2}) != digest({"1": 2})
    assert digest({3, 1, 2}) == digest({1, 2, 3})
    assert digest(2**10_000) != digest(2**10_001)


def test_a_digest_comes_to_an_end() -> None:
    """What holds itself has a digest, and so has what is deeper than Python goes."""
    inside: list[Any] = []
    inside.append(inside)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    twice: list[Any] = []
    twice += [twice, twice]
    assert [64] * 3 == [len(digest(value)) for value in (inside, deep, twice)]
