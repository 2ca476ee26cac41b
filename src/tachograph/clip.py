"""Any value of the host's as plain JSON that fits: bounded, redacted, and visibly cut.

The value is looked at with the built-in types' own methods: nothing of the host's is called, iterated or converted, so
whatever is no plain value is named by its type. Work and size are bounded by the room given, not by what is there; what
does not fit is cut inside its strings, so that the JSON stays valid, or left out and counted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tachograph.redact import MASK, cut, names_a_secret, redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

CUT_BESIDES: Final = 4_000
"""Characters read beyond a cut, so that a secret the cut would go through is seen whole."""

MAX_NAMES: Final = 50
"""Names of arguments that are listed."""

MAX_FIELD: Final = 4_000
"""Characters of one field of an event that are sent."""

_MAX_WHOLE: Final = 100
"""Levels that a digest goes down."""

_MAX_VALUES: Final = 100_000
"""Values that are in it, some hundred milliseconds of work."""

_MAX_DEPTH = 8
_MIN_DEPTH = 3  # a message, its parts, a part
_MAX_KEY = 200
_MAX_BITS = 1_000
_WORD = 24  # what is shorter than this is never cut: types and roles among others
_CUT = "… [cut]"
_PLAIN: Final = (str, int, float, bool, type(None))


def as_text(value: Any) -> str | None:
    """A text, also where it is a member of an enumeration of texts; None for what is none, and for an empty one."""
    kind = type(value)
    if kind is str:
        return value or None
    return (str.__str__(value) or None) if issubclass(kind, str) else None


def clipped(value: Any, room: int) -> Any:
    """``value`` as plain values of our own whose JSON has no more than ``room`` characters.

    Tried with long strings whole, then with ever shorter ones and fewer items, until it fits: so what is short
    beside something huge is kept.
    """
    return _fitted(value, room, room)


def _fitted(value: Any, room: int, share: int) -> Any:
    try:
        return _Walk(room, share).plain(value)
    except _FullError:
        return _fitted(value, room, share // 2) if share > 1 else _CUT


def as_json(value: Any) -> str:
    """The JSON of a plain value; a text as it is."""
    return value if type(value) is str else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: the same for the same values, whatever order their keys are in.

    Of what is no plain value only the type is in it. It proves a value that is known; one of few possible values can
    be guessed from it.
    """
    text = json.dumps(_canonical(value, itertools.repeat(None, _MAX_VALUES)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any, room: Iterator[None], depth: int = 0) -> Any:
    """``value`` whole, as JSON can have it: of built-in types only, as nothing of the host's is called.

    Args:
        value: to be written.
        room: gives one thing for each value there is room for, as one that holds itself twice has no end.
        depth: levels that it is down.
    """
    kind = type(value)
    if next(room, ...) is not None:
        return "…"
    if depth < _MAX_WHOLE:
        if issubclass(kind, dict):
            return {_canonical_key(key, room): _canonical(item, room, depth + 1) for key, item in dict.items(value)}
        if issubclass(kind, (list, tuple)):
            items = (list if issubclass(kind, list) else tuple).__iter__(value)
            return [_canonical(item, room, depth + 1) for item in items]
        if kind in (set, frozenset):
            return sorted(json.dumps(_canonical(item, room, depth + 1), sort_keys=True) for item in value)
    return _canonical_leaf(value)


def _canonical_leaf(value: Any) -> Any:
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if kind is int and value.bit_length() > _MAX_BITS:
        return hex(value)
    return value if kind in _PLAIN else f"<{kind.__name__}>"


def _canonical_key(key: Any, room: Iterator[None]) -> str:
    return key if type(key) is str else f"<{type(key).__name__}> {json.dumps(_canonical(key, room))}"


class Pieces:
    """A text that comes in pieces: its beginning, and how much there was."""

    __slots__ = ("_limit", "_parts", "length")

    def __init__(self, limit: int) -> None:
        self._limit = limit + CUT_BESIDES
        self._parts: list[str] = []
        self.length = 0

    def add(self, piece: Any) -> None:
        """One more piece; anything but a text is none."""
        if type(piece) is str and piece:
            if self.length < self._limit:
                self._parts.append(piece[: self._limit - self.length])
            self.length += len(piece)

    def text(self) -> Beginning | str:
        """What came."""
        beginning = "".join(self._parts)
        lost = self.length - len(beginning)
        return Beginning(beginning, lost) if lost else beginning


@dataclass(frozen=True, slots=True)
class Beginning:
    """A text of which so many characters more are gone."""

    text: str
    lost: int


class _FullError(Exception):
    """The room is used up."""


class _Walk:
    """One attempt to fit a value into its room.

    Args:
        room: for all of it.
        share: for one string, and items of one list or table; where it is small, fewer levels are gone down too.
    """

    __slots__ = ("_depth", "_room", "_share")

    def __init__(self, room: int, share: int) -> None:
        self._room = room
        self._share = share
        self._depth = min(_MAX_DEPTH, max(_MIN_DEPTH, share.bit_length()))

    def plain(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if issubclass(kind, str):
            return self._text(value)
        if value is None or kind is bool or kind is float or (kind is int and value.bit_length() <= _MAX_BITS):
            return self._number(value)
        if kind is Beginning:
            return self._text(value.text, value.lost)
        if kind in (list, tuple, set, frozenset) and depth < self._depth:
            return list(self._items(value, depth))
        if kind is dict and depth < self._depth:
            return dict(self._entries(value, depth))
        return self._named(value)

    def _number(self, value: Any) -> Any:
        finite = type(value) is not float or value - value == 0  # JSON knows no infinity and no NaN
        return self._pay(value if finite else repr(value))

    def _named(self, value: Any) -> str:
        """What is not looked into: by its type, and its length where that is known without asking it."""
        kind = type(value)
        size = f" of {len(value):,}" if kind in (bytes, bytearray, list, tuple, set, frozenset, dict) else ""
        return str(self._pay(f"<{kind.__name__[:_MAX_KEY]}{size}>"))

    def _text(self, value: str, lost: int = 0) -> str:
        # A subclass may have methods of its own; they are not asked.
        length = str.__len__(value)
        share = max(self._share, _WORD)
        read = str.__getitem__(value, slice(0, share + CUT_BESIDES))
        lost += length - len(read)
        clean = redacted(read.encode("utf-8", "replace").decode())  # a lone surrogate would break the exporter
        return str(self._pay(cut(clean, share, more=lost)))

    def _items(self, value: Any, depth: int) -> Iterator[Any]:
        self._take(2)
        for item in itertools.islice(value, self._share):
            self._take(1)
            yield self.plain(item, depth + 1)
        if len(value) > self._share:
            self._take(1)
            note = f"… [{len(value) - self._share:,} more items]"
            if type(value) is list and type(value[0]) is dict and "type" in value[0]:  # among parts it is one
                yield self.plain({"type": "omitted", "content": note}, self._depth - 1)
            else:
                yield self._pay(note)

    def _entries(self, value: dict[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
        self._take(2)
        width = max(self._share, 2)  # role and parts, type and content
        for key, item in itertools.islice(value.items(), width):
            self._take(2)
            secret = type(key) is str and names_a_secret(key) and not (item is None or type(item) is bool)
            yield self._key(key), self._pay(MASK) if secret else self.plain(item, depth + 1)
        if len(value) > width:
            self._take(2)
            yield self._pay("…"), self._pay(f"[{len(value) - width:,} more entries]")

    def _key(self, key: Any) -> str:
        if type(key) is str:
            read = key[: _MAX_KEY + CUT_BESIDES].encode("utf-8", "replace").decode()
            return str(self._pay(cut(redacted(read), _MAX_KEY, more=max(0, len(key) - _MAX_KEY - CUT_BESIDES))))
        return str(self._pay(as_json(key) if type(key) in _PLAIN else self._named(key)))

    def _pay(self, value: Any) -> Any:
        self._take(len(json.dumps(value, ensure_ascii=False)))
        return value

    def _take(self, room: int) -> None:
        self._room -= room
        if self._room < 0:
            raise _FullError
