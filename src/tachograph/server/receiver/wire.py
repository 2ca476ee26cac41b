"""What is sent, in which of OTLP's two encodings: checked as far as the answer needs it, and read later.

The sender waits for the check: that it can be decoded, and which spans or log records of it cannot be taken. To turn it
into records takes thirty times as long, and is done when the sender has gone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tachograph.sources.otlp import from_json, from_protobuf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tachograph.spans import Batch, ReadLog, ReadSpan

Signal = Literal["traces", "logs", "metrics"]

_TRACE: Final = 16
_SPAN: Final = 8
_NO_SPAN: Final = bytes(_SPAN)
_TOO_LATE: Final = 2**63
"""Nanoseconds since 1970 that a store cannot hold: the year 2262."""

_MOST_ITEMS: Final = 100_000
"""Spans or log records in a request in protobuf."""

_MOST_PARTS: Final = 10_000
"""Resources and scopes that they are of: empty ones take two bytes each, and all the time there is."""

_MOST_OBJECTS: Final = 1_000_000
"""Objects and lists in a request in JSON; empty ones likewise, and thirty times their size in memory."""

_SHOWN: Final = 3
"""Faults that are told of in an answer."""


class UndecodableError(ValueError):
    """The bytes are no request of OTLP; the text says why."""


class Sent(NamedTuple):
    """A request as it was sent: what kind of telemetry, whether in JSON (else in protobuf), the bytes."""

    signal: Signal
    is_json: bool
    body: bytes


class Checked(NamedTuple):
    """What can be taken of a request: how many spans, log records or data points, how many not, and why."""

    taken: int
    refused: int = 0
    why: str = ""


def check(sent: Sent) -> Checked:
    """Whether a request can be read, and how much of it.

    Raises:
        UndecodableError: for one that cannot be read at all.
    """
    return _checked_json(sent) if sent.is_json else _PROTOBUF[sent.signal](sent.body)


def batches(sent: Sent) -> list[Batch]:
    """What a request that was checked reports, without what was refused."""
    if sent.is_json:
        found = from_json.batches(_document(sent.body))
    else:
        found = (from_protobuf.of_logs if sent.signal == "logs" else from_protobuf.of_traces)(sent.body)
    return [
        batch._replace(
            spans=[span for span in batch.spans if _span_fault(span) is None],
            logs=[log for log in batch.logs if _log_fault(log) is None],
        )
        for batch in found
    ]


def _span_fault(span: ReadSpan) -> str | None:
    """Why a span that could be read is not taken; None for one that is. See :func:`_checked_spans`."""
    if span.span_id == _NO_SPAN.hex():
        return _NAMELESS
    if span.end_ns is None:
        return _NOT_ENDED
    return _LATE if max(span.start_ns, span.end_ns) >= _TOO_LATE else None


def _log_fault(log: ReadLog) -> str | None:
    return _LATE if log.timestamp_ns >= _TOO_LATE else None


_NAMELESS: Final = "has no trace id or no span id"
_NOT_ENDED: Final = "has no end"
_LATE: Final = "has a moment after the year 2262"


# ------------------------------------------------------------------------------------------------------ protobuf
def _decoded(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError:
        raise UndecodableError(f"the body, {len(body):,} bytes, is no OTLP request in protobuf") from None


def _parts(groups: Any, parts: str, items: str) -> list[Any]:
    """What scopes report, of all resources; refused where it is more than anybody reports at once."""
    count = len(groups)
    if count <= _MOST_PARTS:
        count += sum(len(getattr(group, parts)) for group in groups)
    if count > _MOST_PARTS:
        raise UndecodableError(f"the body has more than {_MOST_PARTS:,} resources and scopes; send fewer at once")
    found = [part for group in groups for part in getattr(group, parts)]
    if sum(len(getattr(part, items)) for part in found) > _MOST_ITEMS:
        raise UndecodableError(f"the body has more than {_MOST_ITEMS:,} {items}; send fewer at once")
    return found


def _checked_spans(body: bytes) -> Checked:
    taken = 0
    faults: list[str] = []
    for part in _parts(_decoded(TracesData, body).resource_spans, "scope_spans", "spans"):
        # The sender waits for this, so it is the least that tells good spans from bad ones.
        spans = part.spans
        bad = [
            span
            for span in spans
            if not (
                0 < span.end_time_unix_nano < _TOO_LATE
                and span.start_time_unix_nano < _TOO_LATE
                and len(span.trace_id) == _TRACE
                and len(span_id := span.span_id) == _SPAN
                and span_id != _NO_SPAN
            )
        ]
        taken += len(spans) - len(bad)
        faults += [f"span {number}: {fault}" for number, fault in _faults(spans)] if bad else []
    return _outcome(taken, faults)


def _faults(spans: Any) -> Iterator[tuple[int, str]]:
    """Which of some spans are bad, and why."""
    for number, span in enumerate(spans, 1):
        if len(span.trace_id) != _TRACE or len(span.span_id) != _SPAN or span.span_id == _NO_SPAN:
            yield number, _NAMELESS
        elif not span.end_time_unix_nano:
            yield number, _NOT_ENDED
        elif max(span.end_time_unix_nano, span.start_time_unix_nano) >= _TOO_LATE:
            yield number, _LATE


def _checked_logs(body: bytes) -> Checked:
    taken = 0
    faults: list[str] = []
    for part in _parts(_decoded(LogsData, body).resource_logs, "scope_logs", "log_records"):
        for log in part.log_records:
            if (log.time_unix_nano or log.observed_time_unix_nano) < _TOO_LATE:
                taken += 1
            else:
                faults.append(f"log record {taken + len(faults) + 1}: {_LATE}")
    return _outcome(taken, faults)


def _checked_points(body: bytes) -> Checked:
    points = 0
    for part in _parts(_decoded(MetricsData, body).resource_metrics, "scope_metrics", "metrics"):
        for metric in part.metrics:
            kind = metric.WhichOneof("data")
            points += len(getattr(metric, kind).data_points) if kind else 0
    return _no_metrics(points)


_PROTOBUF: Final[dict[Signal, Callable[[bytes], Checked]]] = {
    "traces": _checked_spans,
    "logs": _checked_logs,
    "metrics": _checked_points,
}


# ---------------------------------------------------------------------------------------------------------- JSON
def _document(body: bytes) -> dict[str, Any]:
    if body.count(b"{") + body.count(b"[") > _MOST_OBJECTS:
        raise UndecodableError(f"the body has more than {_MOST_OBJECTS:,} objects and lists; send fewer spans at once")
    try:
        document = json.loads(body)
    except (RecursionError, ValueError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise UndecodableError(f"the body is no JSON: {why}") from None
    if type(document) is not dict:
        raise UndecodableError(f"the body is a JSON {type(document).__name__}, where an object is expected")
    return document


def _checked_json(sent: Sent) -> Checked:
    document = _document(sent.body)
    if sent.signal == "metrics":
        return _no_metrics(_points_in(document))
    try:
        found = from_json.batches(document)
    except ValueError as error:
        raise UndecodableError(f"the body {error}") from None
    faults = [fault for batch in found for fault in batch.refused]
    taken = 0
    for batch in found:
        told = [*map(_span_fault, batch.spans), *map(_log_fault, batch.logs)]
        taken += told.count(None)
        faults += [f"{'log record' if batch.has_logs else 'span'} {n}: {why}" for n, why in enumerate(told, 1) if why]
    beside = [fault for batch in found for fault in batch.faults]
    if beside and not taken and not faults:
        raise UndecodableError(f"the body is no OTLP request: {beside[0]}")
    return _outcome(taken, faults, beside)


def _points_in(document: dict[str, Any]) -> int:
    """Data points, as far as they can be counted: none of them is kept."""

    def inside(parents: list[Any], name: str) -> list[Any]:
        lists = (parent.get(name) for parent in parents if type(parent) is dict)
        return [item for items in lists if type(items) is list for item in items]

    metrics = inside(inside(inside([document], "resourceMetrics"), "scopeMetrics"), "metrics")
    return len(inside([data for metric in metrics if type(metric) is dict for data in metric.values()], "dataPoints"))


# -------------------------------------------------------------------------------------------------------- people
def _outcome(taken: int, faults: list[str], beside: list[str] | None = None) -> Checked:
    told = [*faults, *(beside or ())]
    more = f"; … {len(told) - _SHOWN:,} more" if len(told) > _SHOWN else ""
    return Checked(taken, len(faults), "; ".join(told[:_SHOWN]) + more)


def _no_metrics(points: int) -> Checked:
    return Checked(0, points, "metrics are not kept: figures are made of spans" if points else "")
