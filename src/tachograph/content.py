"""Captured content: the conventions' messages, and how an operation holds them.

Only where the program asked for its capture. An operation's content has two forms. Spans and events carry each list of
messages whole, or its newest part within the bound. The ledger keeps of a model call only what no earlier call of the
same run was sent, as frameworks send the whole memory each time: so a long run's record grows with its steps, not with
their square.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.clip import CUT_BESIDES, MAX_FIELD, MAX_NAMES, Beginning, as_json, clipped, digest
from tachograph.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tachograph.config import Config

Message = dict[str, Any]
"""``role`` and ``parts``, as the GenAI conventions have it."""

_SHORT = 160
_MAX_PARSED = 100_000
_LEAST = 200  # less room than this is not worth a message's beginning
_SAMPLE = 32_000
_MAX_SENT = 10_000


@dataclass(frozen=True, slots=True)
class Capturing:
    """That content is captured, and where it goes besides the ledger.

    Args:
        limit: characters of JSON per attribute.
        spans: onto spans, as JSON.
        events: into log events, structured.
    """

    limit: int
    spans: bool
    events: bool


def capturing(config: Config) -> Capturing | None:
    """What settings say; None where content is none of our business."""
    where = config.capture_content
    if where == "no_content":
        return None
    return Capturing(config.max_content, spans=where != "event_only", events=where != "span_only")


# ---------------------------------------------------------------------------------------------- of one event
def plain_payload(payload: Mapping[str, Any], capturing: Capturing | None) -> dict[str, Any]:
    """An event's payload as plain values of our own: of content the outline, unless it is captured."""
    limit = MAX_FIELD if capturing is None else capturing.limit
    found: dict[str, Any] = {}
    for name, value in (payload if capturing is not None else outlined(payload)).items():
        kind = type(value)
        if kind is int or kind is float or kind is bool:
            found[str(name)] = value
        elif kind is str and len(value) < _SHORT and value.isascii():
            found[str(name)] = redacted(value)  # as it would come out, at a tenth of the cost
        elif value is not None:
            found[str(name)] = clipped(value, limit)
    return found


def outlined(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same, with the names of its parts and a digest in the place of content."""
    if names.CONTENT_FIELDS.isdisjoint(payload):
        return payload
    found: dict[str, Any] = {}
    for name, value in payload.items():
        if name not in names.CONTENT_FIELDS or value is None:
            found[name] = value
            continue
        if type(value) is dict:
            found[f"{name}_names"] = [key for key in value if type(key) is str][:MAX_NAMES]
        found[f"{name}_digest"] = digest(value)
    return found


# ------------------------------------------------------------------------------------------- of one operation
class Content:
    """What one operation was given and gave, by attribute, as plain values that are nobody else's."""

    __slots__ = ("_local", "exported")

    def __init__(self) -> None:
        self.exported: dict[str, Any] = {}
        self._local: dict[str, Any] = {}

    def put(self, name: str, value: Any, *, local: Any = ...) -> None:
        """One attribute; the ledger may keep less of it, or nothing (None)."""
        if value is not None:
            self.exported[name] = value
            self._local[name] = value if local is ... else local

    def written(self) -> dict[str, str]:
        """For spans: each attribute as one JSON text."""
        return {name: as_json(value) for name, value in self.exported.items()}

    def kept(self) -> dict[str, str]:
        """For the ledger, in the same form."""
        return {name: as_json(value) for name, value in self._local.items() if value is not None}


def shown(attributes: Mapping[str, Any], **columns: str) -> dict[str, Any]:
    """For views: the content among a record's attributes by the view's own words, what was not captured left out."""
    return {column: _read(attributes[name]) for column, name in columns.items() if name in attributes}


def _read(written: Any) -> Any:
    try:
        return json.loads(written)
    except (RecursionError, TypeError, ValueError):  # a span's: cut by the SDK's limit, or somebody's
        return written


# -------------------------------------------------------------------------------------------------- messages
def text(content: Any) -> dict[str, Any]:
    """A part that is text, or whatever else stands in the place of one."""
    is_text = issubclass(type(content), (str, Beginning))
    return {"type": "text" if is_text else "value", "content": content}


def as_text(value: Any, room: int) -> Any:
    """A value as the text of a message: JSON of what is none."""
    return value if issubclass(type(value), str) else as_json(clipped(value, room))


def tool_call(name: Any, arguments: Any, call_id: Any = None) -> dict[str, Any]:
    """A part that is a request to call a tool."""
    part = {"type": "tool_call", "name": name, "arguments": parsed(arguments)}
    return part if call_id is None else {**part, "id": call_id}


def media(modality: str, *, url: Any = None, mime_type: str | None = None) -> dict[str, Any]:
    """A part that is an image or a sound: where it is, or that it was left out; its bytes are never taken."""
    if type(url) is str and not url.startswith("data:"):
        return {"type": "uri", "modality": modality, "uri": url}
    if type(url) is str:
        mime_type = url[5:105].partition(",")[0].partition(";")[0] or mime_type
    part = {"type": "blob", "modality": modality, "content": "", "omitted": True}
    return part if mime_type is None else {**part, "mime_type": mime_type}


def parsed(value: Any) -> Any:
    """What a JSON text says; a text that is none, or is too long to be read, as it is."""
    if type(value) is str and len(value) <= _MAX_PARSED and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def as_object(value: Any, key: str) -> Any:
    """A value that is to be an object: itself if it is a table, else in one, under ``key``."""
    value = parsed(value)
    return value if type(value) is dict else {key: value}


class Sent:
    """Messages that the calls of one run have sent so far, by fingerprint and how often in one call."""

    __slots__ = ("_seen", "definitions")

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self.definitions: int | None = None

    def new(self, sent: Iterable[Message]) -> list[Message | _Known]:
        """Of the messages of one call those that no earlier call sent, and in place of the others their number."""
        found: list[Message | _Known] = []
        times: dict[int, int] = {}
        for message in sent:
            print_ = fingerprint(message)
            times[print_] = times.get(print_, 0) + 1
            if times[print_] > self._seen.get(print_, 0):
                found.append(message)
            elif found and isinstance(found[-1], _Known):
                found[-1] = _Known(found[-1].count + 1)
            else:
                found.append(_Known(1))
        if len(self._seen) > _MAX_SENT:
            self._seen.clear()
        self._seen.update({print_: max(count, self._seen.get(print_, 0)) for print_, count in times.items()})
        return found


@dataclass(frozen=True, slots=True)
class _Known:
    """So many messages that earlier calls have recorded."""

    count: int


def fingerprint(message: Any) -> int:
    """A number that tells messages apart, without reading all of a huge one."""
    parts = message.get("parts", ()) if type(message) is dict else (message,)
    return hash((_sample(message.get("role")) if type(message) is dict else None, *map(_part_print, parts)))


def _part_print(part: Any) -> Any:
    if type(part) is dict and part.get("type") == "text" and type(part.get("content")) is str:
        return _sample(part["content"])
    return as_json(clipped(part, CUT_BESIDES))


def _sample(words: Any) -> Any:
    if type(words) is not str or len(words) <= 2 * _SAMPLE:
        return words if type(words) is str else type(words).__name__
    return len(words), words[:_SAMPLE], words[-_SAMPLE:]


def messages(sent: Sequence[Message | _Known], limit: int) -> list[Message]:
    """The newest messages that fit into ``limit`` characters of JSON, after a note of how many do not.

    Each gets at most half of the room that is left, so that one huge message does not hide the others.
    """
    return _newest(sent, limit, _left_out)


def definitions(tools: Sequence[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The tool definitions that fit."""
    return _newest(tools, limit, lambda count: {"type": "omitted", "name": f"… [{count:,} left out]"})


def _newest(sent: Sequence[Any], limit: int, note: Callable[[int], Any]) -> list[Any]:
    kept: list[Any] = []
    room = limit - _LEAST  # for the note
    at = len(sent)
    while at and room >= _LEAST:
        at -= 1
        if isinstance(sent[at], _Known):
            piece = _recorded_before(sent[at].count)
        else:
            piece = clipped(sent[at], max(_LEAST, room // 2) if at else room)
            if type(piece) is not dict:  # not even its outline fits
                at += 1
                break
        room -= _size(piece) + 1
        kept.append(piece)
    if at:
        kept.append(note(sum(entry.count if isinstance(entry, _Known) else 1 for entry in sent[:at])))
    kept.reverse()
    return kept


def _left_out(count: int) -> Message:
    return _note(count, f"… [{count:,} messages left out]")


def _recorded_before(count: int) -> Message:
    return _note(count, f"… [{count:,} messages recorded with earlier calls]")


def _note(count: int, words: str) -> Message:
    return {"role": "omitted", "parts": [{"type": "omitted", "messages": count, "content": words}]}


def _size(value: Any) -> int:
    return len(as_json(value)) + (2 if type(value) is str else 0)
