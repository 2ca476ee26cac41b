"""Records as lines of OTLP JSON: the spans and log events the recorder would have written.

Each line is one request, as the Collector's ``otlpjsonfile`` receiver and :mod:`tachograph.sources.otlp` read them.
A record that no span was written from, as no SDK was there, gets a trace id that stands in for one. What is under way
has no end, so no span: it is left out, but for approvals whose time is up. The resource of each line says what is not
there.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

from tachograph import codec, names
from tachograph.facts import settled
from tachograph.records import Event
from tachograph.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tachograph.records import Operation, Record
    from tachograph.sources import Source

_MOST_RECORDS: Final = 500
_MOST_CHARACTERS: Final = 500_000
"""The Collector's receiver takes lines of up to a megabyte unless told otherwise."""

_INTERNAL, _CLIENT = 1, 3
_ERROR: Final = 2
_INFO: Final = 9
_SAMPLED: Final = 1
_IN_PROCESS: Final = frozenset({"transformers", "vllm", "mlx"})
"""Providers whose models run in the program itself, so that a call of theirs is no client's."""

_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_write: Final = json.JSONEncoder(separators=(",", ":")).encode  # ASCII, so that no text can break a line or a file
_SCOPE: Final = _write({"name": names.SCOPE, "version": VERSION})


def otlp_lines(source: Source, session_id: str | None = None) -> Iterator[str]:
    """The records of a session, or of all, as lines of OTLP JSON without line breaks.

    Content that was captured is among them. The lines are made as they are asked for, each of bounded size.

    Args:
        source: where the sessions are.
        session_id: only this one. Of one that does not exist there are no lines.
    """
    gaps = _Gaps(source)
    waiting: tuple[str, ...] = ()
    spans, logs = _Lines("Spans", "spans"), _Lines("Logs", "logRecords")
    now_ns = time.time_ns()
    for kept in source.records(session_id):
        record = kept
        if not isinstance(record, Event) and record.end_ns is None:
            record = settled(record, now_ns)
            if record.end_ns is None:
                continue
        told = gaps.of(record.session_id)
        if told != waiting:  # a line has one resource
            yield from spans.rest(waiting)
            yield from logs.rest(waiting)
            waiting = told
        if isinstance(record, Event):
            yield from logs.add(_write(_log(record)), told)
        else:
            yield from spans.add(_write(_span(record)), told)
    yield from spans.rest(waiting)
    yield from logs.rest(waiting)


class _Gaps:
    """What is not among the records of each session, in words."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[str, tuple[str, ...]] = {}
        open_ = (settled(operation, time.time_ns()) for operation in source.open_operations())
        self._under_way = {operation.session_id for operation in open_ if operation.end_ns is None}
        evicted = source.stats().get("evicted", {}).get("records", 0)
        self._always = [f"records evicted before the export, of whichever session: {evicted:,}"] if evicted else []

    def of(self, session_id: str) -> tuple[str, ...]:
        if session_id not in self._known:
            found = [*self._source.session_metrics(session_id).reasons, *self._always]
            if session_id in self._under_way:
                found.append("what was under way is not in the export")
            self._known[session_id] = tuple(found)
        return self._known[session_id]


class _Lines:
    """Messages of one signal that wait for their line."""

    def __init__(self, signal: str, field: str) -> None:
        self._signal = signal
        self._field = field
        self._waiting: list[str] = []
        self._size = 0

    def add(self, message: str, gaps: tuple[str, ...]) -> Iterator[str]:
        if self._size + len(message) > _MOST_CHARACTERS or len(self._waiting) >= _MOST_RECORDS:
            yield from self.rest(gaps)
        self._waiting.append(message)
        self._size += len(message)

    def rest(self, gaps: tuple[str, ...]) -> Iterator[str]:
        if self._waiting:
            resource = _write({"attributes": _pairs({names.EXPORT_GAPS: gaps})})
            messages = ",".join(self._waiting)
            self._waiting, self._size = [], 0
            yield (
                f'{{"resource{self._signal}":[{{"resource":{resource},'
                f'"scope{self._signal}":[{{"scope":{_SCOPE},"{self._field}":[{messages}]}}]}}]}}'
            )


def _span(record: Operation) -> dict[str, Any]:
    refused, failed = record.outcome == "refused", record.outcome == "error"
    parent_id = None if record.parent_id is None else _span_id(record.parent_id)
    sent = record._replace(attributes=codec.sendable(record.attributes))
    attributes = {
        **codec.start_attributes(sent, span_parent_id=record.parent_id, refused=refused),
        **codec.end_attributes(record.outcome or "ok", record.error_type, record.error_message, {}),
    }
    remote = record.kind == "model" and record.attributes.get(names.PROVIDER_NAME) not in _IN_PROCESS
    status = {"code": _ERROR, **({} if record.error_message is None else {"message": record.error_message})}
    return {
        "traceId": _trace_id(record),
        "spanId": _span_id(record.id),
        **({} if parent_id is None else {"parentSpanId": parent_id}),
        "name": codec.span_name(record, refused=refused),
        "kind": _CLIENT if remote else _INTERNAL,
        "startTimeUnixNano": str(record.start_ns),
        "endTimeUnixNano": str(record.end_ns),
        "attributes": _pairs(attributes),
        "status": status if failed else {},
        "flags": _SAMPLED,
    }


def _log(event: Event) -> dict[str, Any]:
    # Unlike an SDK's log record this one can say of a field that it is unknown.
    unknown = {name: None for name, value in event.payload.items() if value is None}
    found: dict[str, Any] = {
        "timeUnixNano": str(event.timestamp_ns),
        "observedTimeUnixNano": str(event.timestamp_ns),
        "severityNumber": _INFO,
        "eventName": names.EVENT_PREFIX + event.type,
        "attributes": _pairs({**codec.event_attributes(event, nested=True), **unknown}),
    }
    if event.trace_id is not None or event.span_id is not None:
        found |= {"traceId": _trace_id(event), "flags": _SAMPLED}
    if event.span_id is not None:
        found["spanId"] = _span_id(event.span_id)
    return found


def _trace_id(record: Record) -> str:
    if record.trace_id is not None and _TRACE_ID.fullmatch(record.trace_id):
        return record.trace_id
    return codec.stand_in_trace(record.session_id, record.correlation_id)


def _span_id(known: str) -> str:
    """The id itself; one of another shape, which no recorder makes, in the right one."""
    return known if _SPAN_ID.fullmatch(known) else hashlib.sha256(known.encode("utf-8", "replace")).hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------- attributes
def _pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": str(name), "value": _value(value)} for name, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    return {} if value is None else {"stringValue": repr(value)}


def _whole(value: int) -> dict[str, Any]:
    return {"intValue" if -(2**63) <= value < 2**63 else "stringValue": str(value)}


def _number(value: float) -> dict[str, Any]:
    return {"doubleValue": value if value - value == 0 else _NOT_FINITE[repr(value)]}


_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_WRITERS: Final[tuple[tuple[Any, Callable[[Any], dict[str, Any]]], ...]] = (
    (str, lambda value: {"stringValue": value}),
    (bool, lambda value: {"boolValue": value}),  # before the whole numbers, which it is one of
    (int, _whole),
    (float, _number),
    ((list, tuple), lambda value: {"arrayValue": {"values": [_value(item) for item in value]}}),
    (dict, lambda value: {"kvlistValue": {"values": _pairs(value)}}),
)
