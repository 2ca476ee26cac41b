"""Spans and log records as values, whoever wrote them and wherever they are read from: what the codec reads.

The SDK's own spans become these by :func:`from_sdk`; each source that reads some format makes them of what it finds.
Ids are lower-case hex digits, times nanoseconds since the epoch.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from tachograph import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.trace import ReadableSpan


class ReadEvent(NamedTuple):
    """An event on a span."""

    name: str
    timestamp_ns: int
    attributes: Mapping[str, Any]


class ReadSpan(NamedTuple):
    """A span. ``end_ns`` is None while it has not ended; ``kind`` is a word: INTERNAL, CLIENT, SERVER and so on.

    ``remote_parent`` says that the parent is known to be in another process.
    """

    scope: str
    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int | None
    failed: bool
    status_text: str | None
    attributes: Mapping[str, Any]
    events: tuple[ReadEvent, ...] = ()
    remote_parent: bool = False


class ReadLog(NamedTuple):
    """A log record that is an event, or whose ``event_name`` is empty."""

    scope: str
    event_name: str
    timestamp_ns: int
    trace_id: str | None
    span_id: str | None
    attributes: Mapping[str, Any]


class Batch(NamedTuple):
    """What one resource, a process as a rule, reported at once.

    ``faults`` says what of it cannot be read; ``refused`` which spans or log records, each of which costs itself only.
    """

    resource: Mapping[str, Any]
    spans: list[ReadSpan]
    logs: list[ReadLog]
    faults: list[str]
    refused: list[str]
    has_logs: bool
    """Whether it is of the signal that log events travel in."""


def from_sdk(span: ReadableSpan) -> ReadSpan | None:
    """A span of the SDK; None for one without ids."""
    context, scope, parent = span.context, span.instrumentation_scope, span.parent
    if context is None:
        return None
    return ReadSpan(
        scope="" if scope is None else scope.name,
        trace_id=format_trace_id(context.trace_id),
        span_id=format_span_id(context.span_id),
        parent_id=None if parent is None else format_span_id(parent.span_id),
        name=span.name,
        kind=span.kind.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time,
        failed=span.status.status_code is StatusCode.ERROR,
        status_text=span.status.description,
        attributes=span.attributes or {},
        events=tuple(ReadEvent(event.name, event.timestamp, event.attributes or {}) for event in span.events),
        remote_parent=parent is not None and parent.is_remote,
    )


# -------------------------------------------------------------------------------------------------------- types
def typed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with each value of the type that the table of names gives it; some stores keep numbers as text.

    What cannot be of its type is left out, as unknown.
    """
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        kind = _TYPES.get(name)
        if kind is None:
            found[name] = tuple(value) if type(value) is list else value
            continue
        known = value if type(value) is kind and kind in _AS_IT_IS else _AS[kind](value)
        if known is not None:
            found[name] = known
    return found


def _text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)


def _whole(value: Any) -> int | None:
    if type(value) is str and len(value) <= _MOST_DIGITS:
        with contextlib.suppress(ValueError):  # a whole number all the same, perhaps: 12.0, 1e3
            return int(value)
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _number(value: Any) -> float | None:
    if type(value) not in (int, float, str):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if abs(number) < _TOO_LARGE else None


def _yes(value: Any) -> bool | None:
    return {"true": True, "false": False}.get(value.strip().lower()) if type(value) is str else None


def _texts(value: Any) -> tuple[str, ...] | None:
    if type(value) is str:
        try:
            value = json.loads(value) if value.startswith("[") else [value]
        except (RecursionError, ValueError):
            value = [value]
    if type(value) not in (list, tuple):
        return None
    return tuple(text for text in map(_text, value) if text is not None)


_TYPES: Final = {name: attribute.type for name, attribute in names.ATTRIBUTES.items()}
_MOST_DIGITS: Final = 20
_TOO_LARGE: Final = 2.0**63
"""No figure of ours is; what is not finite is not below it either."""

_AS_IT_IS: Final = frozenset({str, int, bool})
_AS: Final[dict[type, Callable[[Any], Any]]] = {str: _text, int: _whole, float: _number, bool: _yes, tuple: _texts}
