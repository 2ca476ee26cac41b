"""A real OTLP receiver on loopback: what the SDK's own exporters send over HTTP and gRPC, as plain Python values."""

from __future__ import annotations

import gzip
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeVar

import grpc  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from typing_extensions import Self

T = TypeVar("T")
Attributes = dict[str, object]

LOOPBACK = "127.0.0.1"
HTTP_REQUESTS: dict[str, type[Any]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


@dataclass(frozen=True)
class ReceivedEvent:
    """One event on a span."""

    name: str
    timestamp_ns: int
    attributes: Attributes


@dataclass(frozen=True)
class ReceivedSpan:
    """One span; ids are lower-case hex, `kind` and `status` the short names ('CLIENT', 'ERROR')."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    start_ns: int
    end_ns: int
    attributes: Attributes
    status: str
    status_message: str
    events: tuple[ReceivedEvent, ...]
    scope: str
    resource: Attributes


@dataclass(frozen=True)
class ReceivedLog:
    """One log record; `trace_id` and `span_id` are None when it was emitted outside any span."""

    event_name: str
    body: object
    severity_number: int
    attributes: Attributes
    trace_id: str | None
    span_id: str | None
    timestamp_ns: int
    scope: str
    resource: Attributes


@dataclass(frozen=True)
class ReceivedPoint:
    """One data point: a 'sum' or 'gauge' has `value`, a 'histogram' has the four fields after it."""

    metric: str
    unit: str
    type: str
    attributes: Attributes
    scope: str
    resource: Attributes
    value: int | float | None = None
    count: int = 0
    sum: float = 0.0
    bounds: tuple[float, ...] = ()
    bucket_counts: tuple[int, ...] = ()


def _plain(value: AnyValue) -> object:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return tuple(_plain(item) for item in value.array_value.values)
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case scalar:
            return getattr(value, scalar)


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_spans:
            for span in scoped.spans:
                yield ReceivedSpan(
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_span_id=span.parent_span_id.hex() or None,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                    attributes=_attributes(span.attributes),
                    status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    status_message=span.status.message,
                    events=tuple(
                        ReceivedEvent(event.name, event.time_unix_nano, _attributes(event.attributes))
                        for event in span.events
                    ),
                    scope=scoped.scope.name,
                    resource=resource,
                )


def _logs(request: ExportLogsServiceRequest) -> Iterator[ReceivedLog]:
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_logs:
            for record in scoped.log_records:
                yield ReceivedLog(
                    event_name=record.event_name,
                    body=_plain(record.body),
                    severity_number=int(record.severity_number),
                    attributes=_attributes(record.attributes),
                    trace_id=record.trace_id.hex() or None,
                    span_id=record.span_id.hex() or None,
                    timestamp_ns=record.time_unix_nano,
                    scope=scoped.scope.name,
                    resource=resource,
                )


def _points(request: ExportMetricsServiceRequest) -> Iterator[ReceivedPoint]:
    for group in request.resource_metrics:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                yield from _points_of(metric, scoped.scope.name, resource)


def _points_of(metric: Metric, scope: str, resource: Attributes) -> Iterator[ReceivedPoint]:
    match metric.WhichOneof("data"):
        case "histogram":
            for bins in metric.histogram.data_points:
                yield ReceivedPoint(
                    metric=metric.name,
                    unit=metric.unit,
                    type="histogram",
                    attributes=_attributes(bins.attributes),
                    scope=scope,
                    resource=resource,
                    count=bins.count,
                    sum=bins.sum,
                    bounds=tuple(bins.explicit_bounds),
                    bucket_counts=tuple(bins.bucket_counts),
                )
        case "sum" | "gauge" as kind:
            for point in (metric.sum if kind == "sum" else metric.gauge).data_points:
                value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
                yield ReceivedPoint(
                    metric.name, metric.unit, kind, _attributes(point.attributes), scope, resource, value
                )
        case kind:
            message = f"the receiver does not read {kind} points (metric {metric.name!r})"
            raise ValueError(message)


def received(message: Any) -> list[ReceivedSpan | ReceivedLog | ReceivedPoint]:
    """What a message of OTLP says, a request or a line of a file."""
    if hasattr(message, "resource_spans"):
        return list(_spans(message))
    return list(_logs(message) if hasattr(message, "resource_logs") else _points(message))


class _GrpcService(TraceServiceServicer, MetricsServiceServicer, LogsServiceServicer):
    """All three OTLP services: the one method they share tells the signals apart by the message's type."""

    def __init__(self, take: Callable[[Any], Any], hear: Callable[[dict[str, str]], None]) -> None:
        self._take = take
        self._hear = hear

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the generated servicer's own
        self._hear(dict(context.invocation_metadata()))
        try:
            return self._take(request)
        except ValueError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))


class _HttpHandler(BaseHTTPRequestHandler):
    """POST /v1/{traces,metrics,logs}, protobuf, plain or gzip; HTTP/1.0, so no connection outlives its answer."""

    timeout = 5

    def __init__(self, take: Callable[[Any], Any], hear: Callable[[dict[str, str]], None], *args: Any) -> None:
        self._take = take
        self._hear = hear
        super().__init__(*args)

    def do_POST(self) -> None:
        self._hear({name.lower(): value for name, value in self.headers.items()})
        length = self.headers.get("Content-Length")
        if length is None:
            status, answer = HTTPStatus.LENGTH_REQUIRED, b"a body of unstated length is not read here"
        else:
            status, answer = self._answer(self.rfile.read(int(length)))
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf" if status == HTTPStatus.OK else "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _answer(self, body: bytes) -> tuple[HTTPStatus, bytes]:
        request_type = HTTP_REQUESTS.get(self.path)
        encoding = self.headers.get("Content-Encoding", "identity")
        if request_type is None:
            return HTTPStatus.NOT_FOUND, b"no such signal"
        if self.headers.get_content_type() != "application/x-protobuf" or encoding not in {"identity", "gzip"}:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, b"protobuf, plain or gzip, is all that is read here"
        try:
            plain = gzip.decompress(body) if encoding == "gzip" else body
            return HTTPStatus.OK, self._take(request_type.FromString(plain)).SerializeToString()
        except (DecodeError, ValueError, OSError, EOFError, zlib.error) as error:
            return HTTPStatus.BAD_REQUEST, str(error).encode()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own
        """Keep the test output quiet."""


@dataclass(frozen=True)
class Tls:
    """What servers show, and the authority whose certificates their clients are to show; all of it PEM."""

    key: bytes
    certificate: bytes
    authority: bytes
    for_http: ssl.SSLContext


class OtlpReceiver:
    """Both servers, on ports of the system's choosing, for the length of a `with` block.

    Args:
        tls: speak TLS, with clients that show certificates.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self._tls = tls
        self._headers: list[dict[str, str]] = []
        self.http_endpoint = ""
        self.grpc_endpoint = ""
        self._changed = threading.Condition()
        self._spans: list[ReceivedSpan] = []
        self._logs: list[ReceivedLog] = []
        self._points: list[ReceivedPoint] = []
        self._requests: list[Any] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._start_http(opening)
            self._start_grpc(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def spans(self) -> list[ReceivedSpan]:
        """Return the spans received so far, oldest first (a copy)."""
        with self._changed:
            return list(self._spans)

    @property
    def logs(self) -> list[ReceivedLog]:
        """Return the log records received so far, oldest first (a copy)."""
        with self._changed:
            return list(self._logs)

    @property
    def metrics(self) -> list[ReceivedPoint]:
        """Return the data points received so far, oldest first (a copy); every export adds its points anew."""
        with self._changed:
            return list(self._points)

    @property
    def requests(self) -> list[Any]:
        """Return the requests received so far, as the messages they were, oldest first (a copy)."""
        with self._changed:
            return list(self._requests)

    @property
    def headers(self) -> list[dict[str, str]]:
        """Return the headers, or gRPC's metadata, of the requests so far, oldest first (a copy)."""
        with self._changed:
            return list(self._headers)

    def _hear(self, headers: dict[str, str]) -> None:
        with self._changed:
            self._headers.append(headers)

    def wait_for(self, predicate: Callable[[], T], timeout: float = 10) -> T:
        """Return what `predicate()` gives once that is true; raise TimeoutError if it never is."""
        with self._changed:
            found = self._changed.wait_for(predicate, timeout)
            if not found:
                got = f"{len(self._spans)} spans, {len(self._logs)} logs, {len(self._points)} points"
                message = f"not true within {timeout} s; received: {got}"
                raise TimeoutError(message)
            return found

    def _start_http(self, opening: ExitStack) -> None:
        server = ThreadingHTTPServer((LOOPBACK, 0), partial(_HttpHandler, self._take, self._hear))
        if self._tls is not None:
            # The handshake with a client is its own thread's, so that a bad one keeps nobody waiting.
            server.socket = self._tls.for_http.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
            server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a bad handshake is no news
        server.daemon_threads = False  # closing the server then waits for the requests it is answering
        opening.callback(server.server_close)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="otlp-http")
        serving.start()
        opening.callback(serving.join)
        opening.callback(server.shutdown)
        scheme = "http" if self._tls is None else "https"
        self.http_endpoint = f"{scheme}://{LOOPBACK}:{server.server_address[1]}"

    def _start_grpc(self, opening: ExitStack) -> None:
        workers = opening.enter_context(ThreadPoolExecutor(max_workers=4, thread_name_prefix="otlp-grpc"))
        server = grpc.server(workers)
        service = _GrpcService(self._take, self._hear)
        add_TraceServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        add_MetricsServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        add_LogsServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
        if self._tls is None:
            port = server.add_insecure_port(f"{LOOPBACK}:0")
        else:
            pair = (self._tls.key, self._tls.certificate)
            credentials = grpc.ssl_server_credentials([pair], self._tls.authority, require_client_auth=True)
            port = server.add_secure_port(f"{LOOPBACK}:0", credentials)
        server.start()
        scheme = "http" if self._tls is None else "https"
        opening.callback(lambda: server.stop(grace=1).wait())
        self.grpc_endpoint = f"{scheme}://{LOOPBACK}:{port}"

    def _take(
        self, request: ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest
    ) -> ExportTraceServiceResponse | ExportLogsServiceResponse | ExportMetricsServiceResponse:
        """Keep the whole request or, when any part of it cannot be read, none of it."""
        taken = self._read(request)
        with self._changed:
            self._requests.append(request)
        return taken

    def _read(
        self, request: ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest
    ) -> ExportTraceServiceResponse | ExportLogsServiceResponse | ExportMetricsServiceResponse:
        match request:
            case ExportTraceServiceRequest():
                self._keep(self._spans, list(_spans(request)))
                return ExportTraceServiceResponse()
            case ExportLogsServiceRequest():
                self._keep(self._logs, list(_logs(request)))
                return ExportLogsServiceResponse()
            case _:
                self._keep(self._points, list(_points(request)))
                return ExportMetricsServiceResponse()

    def _keep(self, kept: list[T], new: list[T]) -> None:
        with self._changed:
            kept.extend(new)
            self._changed.notify_all()
