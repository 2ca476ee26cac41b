"""OTLP in protobuf, as values.

A message does not say which request it is; all three have the same outer shape. So it is read as each in turn until
what is inside makes sense: a field of another kind of message has another type on the wire, and is not there.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no stubs
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tachograph.spans import Batch, ReadEvent, ReadLog, ReadSpan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

_TRACE: Final = 16
_SPAN: Final = 8
_IS_REMOTE: Final = 0x200


def batches(message: bytes) -> list[Batch]:
    """What a serialized request reports. Metrics give nothing.

    Raises:
        ValueError: for bytes that are no request.
    """
    for read in (_traces, _log_records, _metrics):
        try:
            found = read(message)
        except DecodeError:
            continue
        if found is not None:
            return found
    raise ValueError(f"{len(message):,} bytes are no OTLP request in protobuf")


def of_traces(message: bytes) -> list[Batch]:
    """What a request known to be of spans reports.

    Raises:
        ValueError: for bytes that are none.
    """
    return [_spans(group) for group in _decoded(TracesData, message).resource_spans]


def of_logs(message: bytes) -> list[Batch]:
    """What a request known to be of log records reports.

    Raises:
        ValueError: for bytes that are none.
    """
    return [_logs(group) for group in _decoded(LogsData, message).resource_logs]


def _decoded(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise ValueError(f"{len(message):,} bytes are no OTLP request in protobuf") from None


def _traces(message: bytes) -> list[Batch] | None:
    groups = TracesData.FromString(message).resource_spans
    spans = (span for group in groups for part in group.scope_spans for span in part.spans)
    return [_spans(group) for group in groups] if any(map(_is_span, spans)) else None


def _log_records(message: bytes) -> list[Batch] | None:
    groups = LogsData.FromString(message).resource_logs
    logs = (log for group in groups for part in group.scope_logs for log in part.log_records)
    return [_logs(group) for group in groups] if any(map(_is_log, logs)) else None


def _metrics(message: bytes) -> list[Batch] | None:
    groups = MetricsData.FromString(message).resource_metrics
    metrics = [metric for group in groups for part in group.scope_metrics for metric in part.metrics]
    # Without any content it may be each of the three; they report nothing either way.
    sensible = all(metric.WhichOneof("data") for metric in metrics) and (groups or not message)
    return [] if sensible else None


def _is_span(span: Span) -> bool:
    return len(span.trace_id) == _TRACE and len(span.span_id) == _SPAN


def _is_log(log: LogRecord) -> bool:
    return bool(log.time_unix_nano or log.observed_time_unix_nano or log.event_name)


def _spans(group: ResourceSpans) -> Batch:
    found = Batch(_attributes(group.resource.attributes), [], [], [], [], has_logs=False)
    for part in group.scope_spans:
        for number, span in enumerate(part.spans, 1):
            if _is_span(span):
                found.spans.append(_span(part.scope.name, span))
            else:
                found.refused.append(f"span {number}: has no trace id or no span id")
    return found


def _span(scope: str, span: Span) -> ReadSpan:
    return ReadSpan(
        scope=scope,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=_id(span.parent_span_id),
        name=span.name,
        kind=_KINDS.get(span.kind, "UNSPECIFIED"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano or None,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        status_text=span.status.message or None,
        attributes=_attributes(span.attributes),
        events=tuple(ReadEvent(each.name, each.time_unix_nano, _attributes(each.attributes)) for each in span.events),
        remote_parent=bool(span.flags & _IS_REMOTE),
    )


_KINDS: Final = {number: word.removeprefix("SPAN_KIND_") for word, number in Span.SpanKind.items()}


def _logs(group: ResourceLogs) -> Batch:
    found = Batch(_attributes(group.resource.attributes), [], [], [], [], has_logs=True)
    found.logs.extend(
        ReadLog(
            scope=part.scope.name,
            event_name=log.event_name,
            timestamp_ns=log.time_unix_nano or log.observed_time_unix_nano,
            trace_id=_id(log.trace_id),
            span_id=_id(log.span_id),
            attributes=_attributes(log.attributes),
        )
        for part in group.scope_logs
        for log in part.log_records
    )
    return found


def _id(raw: bytes) -> str | None:
    return raw.hex() if any(raw) else None


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    # No bound on depth here: protobuf has one of its own.
    if text := value.string_value:  # nearly all are texts, and to ask for the kind takes twice as long
        return text
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()  # the text it is in JSON
    return None if kind is None else getattr(value, kind)
