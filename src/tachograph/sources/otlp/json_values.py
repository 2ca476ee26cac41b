"""The values of OTLP in JSON: ids, moments, attributes. Each is as it should be, or a fault that says what it is."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_DEPTH: Final = 32
_MAX_TIME: Final = 2**64 - 1
_SHOWN: Final = 60
_HEX: Final = {size: re.compile(rf"[0-9a-fA-F]{{{2 * size}}}") for size in (8, 16)}


class FaultError(ValueError):
    """A part of an OTLP message is not as it should be; the text says what."""


# -------------------------------------------------------------------------------------------------------- fields
_SNAKE: Final = {
    name: re.sub(r"[A-Z]", lambda capital: f"_{capital[0].lower()}", name)
    for name in (
        *("endTimeUnixNano", "eventName", "logRecords", "observedTimeUnixNano", "parentSpanId", "scopeLogs"),
        *("scopeSpans", "spanId", "startTimeUnixNano", "timeUnixNano", "traceId"),
    )
}


def field(fields: dict[str, Any], name: str) -> Any:
    """A field by its name, or by its name with underscores; None where there is none."""
    value = fields.get(name)
    return fields.get(_SNAKE[name]) if value is None and name in _SNAKE else value


def table(value: Any, what: str) -> dict[str, Any]:
    """An object. Everything here raises :class:`FaultError` for what is none of its kind."""
    if type(value) is not dict:
        raise FaultError(f"{what} is {shown(value)}, no object")
    return value


def items(value: Any, what: str) -> list[Any]:
    """A list; empty where there is none."""
    if value is None:
        return []
    if type(value) is not list:
        raise FaultError(f"{what} are {shown(value)}, no list")
    return value


def text(value: Any) -> str:
    """A text; empty where there is none."""
    if value is None:
        return ""
    if type(value) is not str:
        raise FaultError(f"{shown(value)} is no text")
    return value


def whole(value: Any) -> int:
    """A whole number: as a number, or as text, as JSON has those of 64 bits."""
    try:
        if type(value) is int or (type(value) is float and value.is_integer()) or type(value) is str:
            return int(value)
    except ValueError:
        pass  # said below, as of all others
    raise FaultError(f"{shown(value)} is no whole number")


def moment(value: Any) -> int:
    """Nanoseconds since the epoch; 0 where there is none."""
    if value is None:
        return 0
    moment_ns = whole(value)
    if not 0 <= moment_ns <= _MAX_TIME:
        raise FaultError(f"{shown(value)} is no moment in nanoseconds since 1970")
    return moment_ns


def identifier(value: Any, size: int) -> str | None:
    """An id of so many bytes as hex digits; None for none."""
    if value in (None, ""):
        return None
    is_hex = type(value) is str and _HEX[size].fullmatch(value)
    found: str = value.lower() if is_hex else _from_base64(value, size)
    return found if found.strip("0") else None


def _from_base64(value: Any, size: int) -> str:
    try:
        raw = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (TypeError, ValueError):  # binascii's own error is a ValueError
        raw = b""
    if len(raw) != size:
        raise FaultError(f"{shown(value)} is no id of {2 * size} hex digits")
    return raw.hex()


# ---------------------------------------------------------------------------------------------------- attributes
def attributes(pairs: Any, depth: int = 0) -> dict[str, Any]:
    """A list of keys and values, as plain values; bytes as the base64 text they are in JSON."""
    found: dict[str, Any] = {}
    for pair in items(pairs, "attributes"):
        fields = pair if type(pair) is dict else table(pair, "an attribute")
        key, value = fields.get("key"), fields.get("value")
        # Most values are texts, and most of the time goes here.
        plain = value.get("stringValue") if type(value) is dict else None
        found[key if type(key) is str else text(key)] = plain if type(plain) is str else _value(value, depth)
    return found


def _value(value: Any, depth: int) -> Any:
    if value is None:
        return None
    for kind, content in table(value, "an attribute's value").items():
        read = _VALUES.get(kind)
        if read is not None and content is not None:
            return read(content, depth)
    return None


def _int_value(content: Any, _depth: int) -> int:
    number = whole(content)
    if not -(2**63) <= number < 2**63:
        raise FaultError(f"{shown(content)} is no whole number of 64 bits")
    return number


def _double_value(content: Any, _depth: int) -> float:
    try:
        if type(content) in (int, float, str):
            return float(content)
    except (OverflowError, ValueError):
        pass  # said below, as of all others
    raise FaultError(f"{shown(content)} is no number")


def _bool_value(content: Any, _depth: int) -> bool:
    if type(content) is bool:
        return content
    raise FaultError(f"{shown(content)} is neither true nor false")


def _bytes_value(content: Any, _depth: int) -> str:
    try:
        base64.b64decode(content, validate=True)
    except (TypeError, ValueError):
        raise FaultError(f"{shown(content)} is no base64") from None
    return str(content)  # bytes are kept as the text they are in JSON


def _array_value(content: Any, depth: int) -> list[Any]:
    values = items(table(content, "an array").get("values"), "an array's values")
    return [_value(item, _deeper(depth)) for item in values]


def _table_value(content: Any, depth: int) -> dict[str, Any]:
    return attributes(table(content, "a table").get("values"), _deeper(depth))


def _deeper(depth: int) -> int:
    if depth >= _MAX_DEPTH:
        raise FaultError(f"an attribute is nested deeper than {_MAX_DEPTH} levels")
    return depth + 1


_READERS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "string": lambda content, _depth: text(content),
    "int": _int_value,
    "double": _double_value,
    "bool": _bool_value,
    "array": _array_value,
    "kvlist": _table_value,
    "bytes": _bytes_value,
}
_VALUES: Final = {f"{kind}{word}": reader for kind, reader in _READERS.items() for word in ("Value", "_value")}


# -------------------------------------------------------------------------------------------------------- people
def shown(value: Any) -> str:
    """A value, for people: by its type where it may be large."""
    if type(value) is str:
        return repr(value[:_SHOWN])
    return repr(value) if type(value) in (int, float, bool, type(None)) else f"a {type(value).__name__}"


def names_of(document: dict[str, Any]) -> str:
    """The first names of an object, for people."""
    return ", ".join(shown(name) for name in list(document)[:5])
