"""Captured content: the conventions' messages and values; bounded, redacted, and visibly cut.

Only where the program asked for its capture. The host's values are looked at with the built-in types' own methods:
nothing of the host's is called, iterated or converted, so whatever is no plain value is named by its type. Work and
size are bounded by the room given, not by what is there; what does not fit is cut inside its strings, so that the
JSON stays valid, or left out and counted.

An operation's content has two forms. Spans and events carry each list of messages whole, or its newest part within
the bound. The ledger keeps of a model call only what no earlier call of the same run was sent, as frameworks send
the whole memory each time: so a long run's record grows with its steps, not with their square.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tachograph.redact import MASK, cut, names_a_secret, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tachograph.config import Config

Message = dict[str, Any]
"""``role`` and ``parts``, as the GenAI conventions have it."""

_MAX_DEPTH = 8
_MIN_DEPTH = 3  # a message, its parts, a part
_MAX_KEY = 200
_MAX_BITS = 1_000
_MAX_PARSED = 100_000
CUT_BESIDES = 4_000  # characters read beyond a cut, so that a secret the cut would go through is seen whole
_WORD = 24  # what is shorter than this is never cut: types and roles among others
_LEAST = 200  # less room than this is not worth a message's beginning
_SAMPLE = 32_000
_MAX_SENT = 10_000
_CUT = "… [cut]"
_PLAIN: Final = (str, int, float, bool, type(None))


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
        return {name: _written(value) for name, value in self.exported.items()}

    def kept(self) -> dict[str, str]:
        """For the ledger, in the same form."""
        return {name: _written(value) for name, value in self._local.items() if value is not None}


def _written(value: Any) -> str:
    return value if type(value) is str else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def shown(attributes: Mapping[str, Any], **columns: str) -> dict[str, Any]:
    """For views: the content among a record's attributes by the view's own words, what was not captured left out."""
    return {column: _read(attributes[name]) for column, name in columns.items() if name in attributes}


def _read(written: Any) -> Any:
    try:
        return json.loads(written)
    except (TypeError, ValueError):  # a span's attribute, cut by the SDK's own limit
        return written


# -------------------------------------------------------------------------------------------------- messages
def text(content: Any) -> dict[str, Any]:
    """A part that is text, or whatever else stands in the place of one."""
    is_text = issubclass(type(content), (str, Beginning))
    return {"type": "text" if is_text else "value", "content": content}


def as_text(value: Any, room: int) -> Any:
    """A value as the text of a message: JSON of what is none."""
    return value if issubclass(type(value), str) else _written(clipped(value, room))


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
    return _written(clipped(part, CUT_BESIDES))


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


# -------------------------------------------------------------------------------------------- the pieces of a stream
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


# -------------------------------------------------------------------------------------------------- any value
def clipped(value: Any, room: int) -> Any:
    """``value`` as plain values of our own whose JSON has no more than ``room`` characters, or hardly more.

    Tried with long strings whole, then with ever shorter ones and fewer items, until it fits: so what is short
    beside something huge is kept.
    """
    return _fitted(value, room, room)


def _fitted(value: Any, room: int, share: int) -> Any:
    try:
        return _Walk(room, share).plain(value)
    except _FullError:
        return _fitted(value, room, share // 2) if share > 1 else _CUT


def _size(value: Any) -> int:
    return len(_written(value)) + (2 if type(value) is str else 0)


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
        return str(self._pay(_written(key) if type(key) in _PLAIN else self._named(key)))

    def _pay(self, value: Any) -> Any:
        self._take(len(json.dumps(value, ensure_ascii=False)))
        return value

    def _take(self, room: int) -> None:
        self._room -= room
        if self._room < 0:
            raise _FullError
