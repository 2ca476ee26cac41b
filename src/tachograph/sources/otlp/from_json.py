"""OTLP in JSON, as values.

A tolerant reading: ids in hex, as OTLP has them, or base64, as writers have them that leave JSON to protobuf's own
library; names of fields in camelCase or with underscores; whole numbers as text or numbers; enumerations as numbers or
words. A span or log record that cannot be read costs itself only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tachograph.sources.otlp.json_values import (
    FaultError,
    attributes,
    field,
    identifier,
    items,
    moment,
    names_of,
    shown,
    table,
    text,
    whole,
)
from tachograph.spans import Batch, ReadEvent, ReadLog, ReadSpan

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_ERROR: Final = frozenset({2, "2", "STATUS_CODE_ERROR"})
_IS_REMOTE: Final = 0x200


def batches(document: Any) -> list[Batch]:
    """What a JSON value of OTLP's reports: a request, one resource's part of one, or a list of those.

    Metrics give nothing.

    Raises:
        ValueError: for any other value; the text says what it is.
    """
    if type(document) is not list:
        document = [document]
    parts = [_request(part) if _is_request(part) else _stranger(part) for part in document]
    if parts and not any(map(_is_request, document)):
        raise ValueError(parts[0][0].faults[0])
    return [batch for part in parts for batch in part]


def _is_request(document: Any) -> bool:
    return type(document) is dict and (not document or not document.keys().isdisjoint(_KNOWN))


def _stranger(document: Any) -> list[Batch]:
    what = f"an object with {names_of(document)}" if type(document) is dict else shown(document)
    fault = f"is {what}, where an OTLP request (resourceSpans or resourceLogs) is expected"
    return [Batch({}, [], [], [fault], [], has_logs=False)]


def _request(document: dict[str, Any]) -> list[Batch]:
    found: list[Batch] = []
    for name, has_logs in _REQUESTS.items():
        if has_logs is not None and name in document:
            try:
                resources = items(document[name], "resources")
            except FaultError as fault:
                found.append(Batch({}, [], [], [str(fault)], [], has_logs))
            else:
                found += [_batch(resource, has_logs=has_logs) for resource in resources]
    found += [
        _batch(document, has_logs=has_logs)
        for name, has_logs in _GROUPS.items()
        if has_logs is not None and name in document
    ]
    return found


_REQUESTS: Final = {
    "resourceSpans": False,
    "resource_spans": False,
    "batches": False,  # as some trace stores answer
    "resourceLogs": True,
    "resource_logs": True,
    "resourceMetrics": None,
    "resource_metrics": None,
}
"""Fields of a request, and whether they hold logs; None for what is passed over."""

_GROUPS: Final = {
    "scopeSpans": False,
    "scope_spans": False,
    "scopeLogs": True,
    "scope_logs": True,
    "scopeMetrics": None,
    "scope_metrics": None,
}
"""Likewise of one resource's part of a request."""

_KNOWN: Final = (*_REQUESTS, *_GROUPS)


def _batch(group: Any, *, has_logs: bool) -> Batch:
    found = Batch({}, [], [], [], [], has_logs)
    fields = _read(found.faults, "", lambda: table(group, "a resource's part")) or {}
    about = fields.get("resource") or {}
    resource = _read(found.faults, "resource: ", lambda: attributes(table(about, "it").get("attributes")))
    scopes = _read(found.faults, "", lambda: items(field(fields, "scopeLogs" if has_logs else "scopeSpans"), "scopes"))
    for scoped in scopes or ():
        _read(found.faults, "", partial(_scope, scoped, found))
    return found._replace(resource=resource or {})


def _read(faults: list[str], place: str, read: Callable[[], T]) -> T | None:
    """What can be read, or None and a fault."""
    try:
        return read()
    except FaultError as fault:
        faults.append(f"{place}{fault}")
        return None


def _scope(scoped: Any, found: Batch) -> None:
    fields = table(scoped, "a scope's part")
    name = text(table(fields.get("scope") or {}, "scope").get("name"))
    if found.has_logs:
        for number, record in enumerate(items(field(fields, "logRecords"), "log records"), 1):
            log = _read(found.refused, f"log record {number}: ", partial(_log, name, record))
            if log is not None:
                found.logs.append(log)
    else:
        for number, message in enumerate(items(fields.get("spans"), "spans"), 1):
            span = _read(found.refused, f"span {number}: ", partial(_span, name, message))
            if span is not None:
                found.spans.append(span)


def _span(scope: str, span: Any) -> ReadSpan:
    fields = table(span, "it")
    status = table(fields.get("status") or {}, "status")
    trace_id, span_id = identifier(field(fields, "traceId"), 16), identifier(field(fields, "spanId"), 8)
    if trace_id is None or span_id is None:
        raise FaultError("has no trace id or no span id")
    code = status.get("code")
    return ReadSpan(
        scope=scope,
        trace_id=trace_id,
        span_id=span_id,
        parent_id=identifier(field(fields, "parentSpanId"), 8),
        name=text(fields.get("name")),
        kind=_kind(fields.get("kind")),
        start_ns=moment(field(fields, "startTimeUnixNano")),
        end_ns=moment(field(fields, "endTimeUnixNano")) or None,
        failed=type(code) in (int, str) and code in _ERROR,
        status_text=text(status.get("message")) or None,
        attributes=attributes(fields.get("attributes")),
        events=tuple(_event(event) for event in items(fields.get("events"), "events")),
        remote_parent=bool(whole(fields.get("flags") or 0) & _IS_REMOTE),
    )


def _event(event: Any) -> ReadEvent:
    fields = table(event, "an event")
    name, moment_ns = text(fields.get("name")), moment(field(fields, "timeUnixNano"))
    return ReadEvent(name, moment_ns, attributes(fields.get("attributes")))


def _log(scope: str, record: Any) -> ReadLog:
    fields = table(record, "it")
    return ReadLog(
        scope=scope,
        event_name=text(field(fields, "eventName")),
        timestamp_ns=moment(field(fields, "timeUnixNano")) or moment(field(fields, "observedTimeUnixNano")),
        trace_id=identifier(field(fields, "traceId"), 16),
        span_id=identifier(field(fields, "spanId"), 8),
        attributes=attributes(fields.get("attributes")),
    )


def _kind(value: Any) -> str:
    if type(value) is str and not value.isdecimal():
        return value.removeprefix("SPAN_KIND_")
    number = whole(value or 0)
    return _KINDS[number] if 0 <= number < len(_KINDS) else _KINDS[0]
