"""Spans, metrics and log events to a file, as OTLP in JSON: a request a line, as the Collector writes and reads them.

The file is opened for each batch, and a batch is one write at its end. So any number of processes may write to one
file, and one that was moved away, as tools that rotate logs do, is begun anew.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # it has none
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

_IDS: Final = frozenset({"parentSpanId", "spanId", "traceId"})
_MODE: Final = 0o600


def _append(path: str, request: Any) -> None:
    document = _with_hex_ids(MessageToDict(request, use_integers_for_enums=True))
    line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), _MODE)
    try:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(file, rest) :]
    finally:
        os.close(file)


def _with_hex_ids(value: Any) -> Any:
    # Protobuf's own JSON has bytes in base64, OTLP's has ids in hex.
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in _IDS and type(item) is str else _with_hex_ids(item)
            for key, item in value.items()
        }
    return [_with_hex_ids(item) for item in value] if isinstance(value, list) else value


class FileSpanExporter(SpanExporter):
    """Writes spans.

    Args:
        path: of the file; it need not be there yet, its folder must.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch; an OSError says why it cannot be."""
        _append(self._path, encode_spans(spans))
        return SpanExportResult.SUCCESS


class FileLogExporter(LogRecordExporter):
    """Writes log records.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write a batch; an OSError says why it cannot be."""
        _append(self._path, encode_logs(batch))
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 10_000) -> bool:  # noqa: ARG002 - the SDK's
        """Nothing is held back."""
        return True

    def shutdown(self) -> None:
        """Nothing to give back."""


class FileMetricExporter(MetricExporter):
    """Writes metrics.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:  # noqa: ARG002 - the SDK's
        """Write what was collected; an OSError says why it cannot be."""
        _append(self._path, encode_metrics(metrics_data))
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK's
        """Nothing is held back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing to give back."""


EXPORTERS: Final = {"traces": FileSpanExporter, "metrics": FileMetricExporter, "logs": FileLogExporter}
"""By signal."""
