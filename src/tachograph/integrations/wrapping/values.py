"""What is made of a value that was found: a name, an id, a number of tokens; or nothing, where it is none.

Only the built-in types' own methods are used, so that nothing of the program is called.
"""

from __future__ import annotations

from typing import Any, Final

from tachograph import given, names
from tachograph.clip import clipped
from tachograph.context import clean_id
from tachograph.integrations.wrapping.paths import NOTHING, reached
from tachograph.redact import cut, redacted

_MAX_TEXT: Final = 1_000
_MAX_PAYLOAD: Final = 8_192
_MAX_BITS: Final = 63  # what OpenTelemetry can carry

_OUTCOMES: Final = {
    **{word: word for word in ("ok", "error", "max_steps", "interrupted", "waiting")},
    "completed": "ok",
    "success": "ok",
    "failed": "error",
    "cancelled": "interrupted",
    "canceled": "interrupted",
}
_USAGE: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    names.INPUT_TOKENS: (("prompt_tokens",), ("input_tokens",)),
    names.OUTPUT_TOKENS: (("completion_tokens",), ("output_tokens",)),
    names.CACHED_TOKENS: (
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("cached_tokens",),
    ),
    names.REASONING_TOKENS: (
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("reasoning_tokens",),
    ),
}
"""Where the shapes in use have their tokens."""

DECISIONS: Final = ("APPROVE", "EDIT", "REJECT")


def word(value: Any) -> Any:
    """A name: a text, without control characters and no longer than an id."""
    return (clean_id(value) or NOTHING) if issubclass(type(value), str) else NOTHING


def identifier(value: Any) -> Any:
    """An id: a text, a whole number or a UUID."""
    return clean_id(value) or NOTHING


def text(value: Any) -> Any:
    """A text, redacted and cut."""
    if not issubclass(type(value), str):
        return NOTHING
    length = str.__len__(value)
    read = str.__getitem__(value, slice(0, 4 * _MAX_TEXT)).encode("utf-8", "replace").decode()
    return cut(redacted(read), _MAX_TEXT, more=length - len(read))


def folder(value: Any) -> Any:
    """A path: a text, or one of pathlib's own objects."""
    return given.folder(value) or NOTHING


def count(value: Any) -> Any:
    """A whole number from 0 up, or how many there are in a list."""
    if type(value) in (list, tuple):
        return len(value)
    known = given.count(value)
    return NOTHING if known is None else known


def usage(value: Any) -> Any:
    """Tokens of all kinds, from what has them in one of the shapes in use."""
    found: dict[str, int] = {}
    for slot, ways in _USAGE.items():
        counts = (reached(value, way) for way in ways)
        known = next((each for each in counts if type(each) is int and count(each) is not NOTHING), None)
        if known is not None:
            found[slot] = known
    return found or NOTHING


def flag(value: Any) -> Any:
    """Yes, or no: then it is not said at all."""
    return (value or None) if type(value) is bool else NOTHING


def outcome(value: Any) -> Any:
    """How it ended, by a word for it or by whether it was a success."""
    if type(value) is bool:
        return "ok" if value else "error"
    said = word(value)
    return NOTHING if said is NOTHING else _OUTCOMES.get(said.lower(), NOTHING)


def decision(value: Any) -> Any:
    """APPROVE, EDIT or REJECT, in letters of any case."""
    said = word(value)
    return said.upper() if said is not NOTHING and said.upper() in DECISIONS else NOTHING


def scalar(value: Any) -> Any:
    """A field of the program's own: a text, a number, yes or no."""
    kind = type(value)
    if kind in (bool, float) or (kind is int and value.bit_length() <= _MAX_BITS):
        return value
    return text(value)


def plain(value: Any) -> Any:
    """A field of an event: anything, as plain values; objects by the name of their type."""
    return clipped(value, _MAX_PAYLOAD)


def whole(value: Any) -> Any:
    """As it is, for who takes what he needs of it at once."""
    return value


def is_there(value: Any) -> bool:
    """Whether there is something: not None, false, 0 or empty. Of an object it is not asked."""
    if value is None or value is NOTHING:
        return False
    kind = type(value)
    if kind in (bool, int, float, bytes, list, tuple, dict, set, frozenset):
        return bool(value)
    return str.__len__(value) > 0 if issubclass(kind, str) else True


def is_same(value: Any, expected: Any) -> bool:
    """Whether a plain value is the one expected; an object never is."""
    if issubclass(type(value), str):
        value = str.__str__(value)
    return type(value) is type(expected) and bool(value == expected)
