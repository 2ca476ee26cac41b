"""The receiver the other tests trust is itself proved with the SDK's own exporters, over real sockets."""

from __future__ import annotations

import gc
import gzip
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from support.otlp_receiver import OtlpReceiver, ReceivedPoint, ReceivedSpan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

RESOURCE = Resource({"service.name": "driver", "seats": 2})
PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http", "http-gzip"])


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """Give a running receiver."""
    with OtlpReceiver() as running:
        yield running


def _compression(protocol: str) -> Compression:
    return Compression.Gzip if protocol == "http-gzip" else Compression.NoCompression


def _span_exporter(protocol: str, to: OtlpReceiver) -> SpanExporter:
    if protocol == "grpc":
        return GrpcSpanExporter(to.grpc_endpoint)
    return HttpSpanExporter(f"{to.http_endpoint}/v1/traces", compression=_compression(protocol))


def _metric_exporter(protocol: str, to: OtlpReceiver) -> MetricExporter:
    if protocol == "grpc":
        return GrpcMetricExporter(to.grpc_endpoint)
    return HttpMetricExporter(f"{to.http_endpoint}/v1/metrics", compression=_compression(protocol))


def _log_exporter(protocol: str, to: OtlpReceiver) -> LogRecordExporter:
    if protocol == "grpc":
        return GrpcLogExporter(to.grpc_endpoint)
    return HttpLogExporter(f"{to.http_endpoint}/v1/logs", compression=_compression(protocol))


def _post(url: str, body: bytes, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf", **named})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def _send_one_span(protocol: str, to: OtlpReceiver) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_span_exporter(protocol, to)))
    provider.get_tracer("t").start_span("one").end()
    provider.shutdown()


@PROTOCOLS
def test_spans_arrive_with_everything_they_carried(receiver: OtlpReceiver, protocol: str) -> None:
    """A span's names, ids, times, attributes, events, status, scope and resource arrive as they were set."""
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(_span_exporter(protocol, receiver)))
    tracer = provider.get_tracer("road")
    with tracer.start_as_current_span("trip") as trip:
        leg = tracer.start_span(
            "leg",
            kind=SpanKind.CLIENT,
            start_time=1_000,
            attributes={"km": 12, "rate": 0.5, "paid": True, "to": "Ulm", "stops": ["A", "B"]},
        )
        leg.add_event("flat tyre", {"wheel": 3}, timestamp=1_500)
        leg.set_status(StatusCode.ERROR, "stopped")
        leg.end(2_000)
        trip.set_status(StatusCode.OK)
    provider.shutdown()

    got_leg, got_trip = receiver.spans
    leg_ids, trip_ids = leg.get_span_context(), trip.get_span_context()
    assert (got_leg.name, got_leg.kind, got_leg.scope) == ("leg", "CLIENT", "road")
    assert (got_leg.start_ns, got_leg.end_ns) == (1_000, 2_000)
    assert got_leg.trace_id == f"{leg_ids.trace_id:032x}"
    assert got_leg.span_id == f"{leg_ids.span_id:016x}"
    assert got_leg.parent_span_id == got_trip.span_id == f"{trip_ids.span_id:016x}"
    assert got_leg.attributes == {"km": 12, "rate": 0.5, "paid": True, "to": "Ulm", "stops": ("A", "B")}
    assert [(event.name, event.timestamp_ns, event.attributes) for event in got_leg.events] == [
        ("flat tyre", 1_500, {"wheel": 3})
    ]
    assert (got_leg.status, got_leg.status_message) == ("ERROR", "stopped")
    assert got_leg.resource == {"service.name": "driver", "seats": 2}
    assert (got_trip.kind, got_trip.status, got_trip.parent_span_id) == ("INTERNAL", "OK", None)


@PROTOCOLS
def test_metric_points_arrive_with_their_numbers(receiver: OtlpReceiver, protocol: str) -> None:
    """Sums and gauges arrive with their value, histograms with count, sum, bounds and bucket counts."""
    reader = PeriodicExportingMetricReader(_metric_exporter(protocol, receiver), export_interval_millis=60_000)
    buckets = View(instrument_name="delay", aggregation=ExplicitBucketHistogramAggregation((1.0, 5.0)))
    provider = MeterProvider([reader], resource=RESOURCE, views=[buckets])
    meter = provider.get_meter("road")
    meter.create_counter("trips", unit="{trip}").add(3, {"to": "Ulm"})
    meter.create_gauge("fuel", unit="l").set(40.5)
    delay = meter.create_histogram("delay", unit="s")
    for seconds in (0.5, 2.0, 9.0, 9.5):
        delay.record(seconds, {"road": "B10"})
    provider.shutdown()

    points = {point.metric: point for point in receiver.metrics}
    assert points == {
        "trips": ReceivedPoint("trips", "{trip}", "sum", {"to": "Ulm"}, "road", dict(RESOURCE.attributes), value=3),
        "fuel": ReceivedPoint("fuel", "l", "gauge", {}, "road", dict(RESOURCE.attributes), value=40.5),
        "delay": ReceivedPoint(
            "delay",
            "s",
            "histogram",
            {"road": "B10"},
            "road",
            dict(RESOURCE.attributes),
            count=4,
            sum=21.0,
            bounds=(1.0, 5.0),
            bucket_counts=(1, 1, 2),
        ),
    }


@PROTOCOLS
def test_logs_arrive_with_the_span_they_were_emitted_in(receiver: OtlpReceiver, protocol: str) -> None:
    """A log record keeps its event name, body, severity, attributes and time, and its span's ids if it had one."""
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(SimpleLogRecordProcessor(_log_exporter(protocol, receiver)))
    logger = provider.get_logger("road")
    with TracerProvider().get_tracer("road").start_as_current_span("trip") as trip:
        logger.emit(
            timestamp=7,
            severity_number=SeverityNumber.WARN,
            event_name="road.closed",
            body={"road": "B10", "km": [1, 2]},
            attributes={"wait": 1.5},
        )
    logger.emit(body="outside")
    provider.shutdown()

    inside, outside = receiver.logs
    ids = trip.get_span_context()
    assert (inside.event_name, inside.timestamp_ns, inside.severity_number) == ("road.closed", 7, 13)
    assert inside.body == {"road": "B10", "km": (1, 2)}
    assert inside.attributes == {"wait": 1.5}
    assert (inside.trace_id, inside.span_id) == (f"{ids.trace_id:032x}", f"{ids.span_id:016x}")
    assert (inside.scope, inside.resource) == ("road", {"service.name": "driver", "seats": 2})
    assert (outside.body, outside.trace_id, outside.span_id) == ("outside", None, None)


def test_what_is_no_otlp_over_http_is_refused(receiver: OtlpReceiver) -> None:
    """A wrong path, content type, encoding or body gets the matching refusal, and nothing of it is kept."""
    traces = f"{receiver.http_endpoint}/v1/traces"
    assert _post(f"{receiver.http_endpoint}/v1/other", b"") == HTTPStatus.NOT_FOUND
    assert _post(traces, b"{}", Content_Type="application/json") == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert _post(traces, b"", Content_Encoding="br") == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert _post(traces, b"no protobuf") == HTTPStatus.BAD_REQUEST
    assert _post(traces, b"no gzip", Content_Encoding="gzip") == HTTPStatus.BAD_REQUEST
    assert _post(traces, gzip.compress(b"cut short")[:-9], Content_Encoding="gzip") == HTTPStatus.BAD_REQUEST
    assert _post(traces, b"") == HTTPStatus.OK
    assert receiver.spans == []


def test_metric_kinds_it_cannot_show_are_refused_whole(receiver: OtlpReceiver) -> None:
    """A request with a metric kind the receiver cannot show is refused over both protocols, not half kept."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    metrics.add(name="shown").sum.data_points.add(as_int=1)
    metrics.add(name="unknown").summary.data_points.add(count=1)

    assert _post(f"{receiver.http_endpoint}/v1/metrics", request.SerializeToString()) == HTTPStatus.BAD_REQUEST
    with grpc.insecure_channel(urlsplit(receiver.grpc_endpoint).netloc) as channel:
        stub = MetricsServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Export(request, timeout=5)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert receiver.metrics == []


def test_every_attribute_shape_of_the_protocol_becomes_a_python_value(receiver: OtlpReceiver) -> None:
    """Bytes stay bytes, an unset value is None, and a map inside a list is a dict inside a tuple."""
    request = ExportTraceServiceRequest()
    nested = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="deep", value=AnyValue(int_value=1))]))
    attributes = request.resource_spans.add().scope_spans.add().spans.add().attributes
    attributes.add(key="raw").value.bytes_value = b"\x00\xff"
    attributes.add(key="unset")
    attributes.add(key="list").value.array_value.values.append(nested)

    assert _post(f"{receiver.http_endpoint}/v1/traces", request.SerializeToString()) == HTTPStatus.OK
    assert receiver.spans[0].attributes == {"raw": b"\x00\xff", "unset": None, "list": ({"deep": 1},)}


def test_waiting_wakes_when_the_telemetry_comes(receiver: OtlpReceiver) -> None:
    """wait_for returns what the predicate gave as soon as a span sent from another thread makes it true."""
    asked = threading.Event()

    def spans_so_far() -> list[ReceivedSpan]:
        asked.set()
        return receiver.spans

    def send_once_asked() -> None:
        asked.wait()
        _send_one_span("grpc", receiver)

    sender = threading.Thread(target=send_once_asked)
    sender.start()
    started, timeout = time.monotonic(), 20
    assert [span.name for span in receiver.wait_for(spans_so_far, timeout)] == ["one"]
    assert time.monotonic() - started < timeout
    sender.join()


def test_waiting_in_vain_raises(receiver: OtlpReceiver) -> None:
    """wait_for raises TimeoutError that says what did arrive, so that a test cannot forget to look."""
    _send_one_span("http", receiver)
    with pytest.raises(TimeoutError, match="1 spans, 0 logs, 0 points"):
        receiver.wait_for(lambda: receiver.logs, timeout=0.05)


def test_what_it_hands_out_is_a_copy(receiver: OtlpReceiver) -> None:
    """Changing a list the receiver handed out does not change what it has received."""
    _send_one_span("http", receiver)
    receiver.spans.clear()
    assert len(receiver.spans) == 1


def test_closing_leaves_nothing_behind() -> None:
    """After the with block no thread runs, no port listens, and no socket is left for the collector to warn of."""
    before = set(threading.enumerate())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with OtlpReceiver() as receiver:
            for protocol in ("grpc", "http"):
                _send_one_span(protocol, receiver)
            ports = [urlsplit(url).port for url in (receiver.http_endpoint, receiver.grpc_endpoint)]
        del receiver
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("otlp-")] == []
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port or 0), timeout=5)
