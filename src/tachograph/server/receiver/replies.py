"""What a sender is told, in the encoding it sent: all taken, part of it refused, or nothing of it and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has no stubs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.responses import Response

from tachograph.server.answers import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.server.receiver.wire import Checked, Signal

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"

_REPLIES: Final[dict[Signal, tuple[Any, str, str]]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
}
_CODES: Final = {400: 3, 408: 4, 413: 8, 415: 3, 503: 14}
"""Codes of ``google.rpc.Code`` by the status of the answer."""

_MOST: Final = 1_000
"""Characters of a text that is sent back."""


class RefusedError(Exception):
    """Nothing of a request is taken.

    Args:
        status: of the answer. The sender tries again later after a 503, and never after the others.
        why: in a sentence.
        close: whether the rest of the request is not waited for.
    """

    def __init__(self, status: int, why: str, *, close: bool = False) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.close = close


def taken(signal: Signal, checked: Checked, *, is_json: bool) -> Response:
    """The answer to a request that was taken, all of it or in part."""
    kind, rejected, camel = _REPLIES[signal]
    partly = checked.refused or checked.why  # what is not said is: all of it
    why = _sendable(checked.why)
    if is_json:
        partial = {camel: str(checked.refused), "errorMessage": why}  # as protobuf has 64 bits in JSON: as text
        return Response(json_text({"partialSuccess": partial} if partly else {}), media_type=JSON)
    reply = kind(partial_success={rejected: checked.refused, "error_message": why}) if partly else kind()
    return Response(reply.SerializeToString(), media_type=PROTOBUF)


def refused(error: RefusedError, *, is_json: bool) -> Response:
    """The answer to a request of which nothing is taken: a ``google.rpc.Status``."""
    headers: Mapping[str, str] = {
        **({"Retry-After": "1"} if error.status == 503 else {}),  # noqa: PLR2004 - as OTLP has it
        **({"Connection": "close"} if error.close else {}),
    }
    code, why = _CODES[error.status], _sendable(error.why)
    if is_json:
        return Response(json_text({"code": code, "message": why}), error.status, headers, JSON)
    return Response(Status(code=code, message=why).SerializeToString(), error.status, headers, PROTOBUF)


def _sendable(text: str) -> str:
    return text[:_MOST].encode("utf-8", "backslashreplace").decode()
