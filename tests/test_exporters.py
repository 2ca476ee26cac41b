"""What the standard variables ask for, and an exporter that answers from memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor, SpanExportResult

from support.figures import sent
from tachograph import LedgerSpanExporter, names, session
from tachograph.config import ConfigError
from tachograph.exporters import asked_exporters, make_exporter
from tachograph.ledger import Ledger
from tachograph.live import Start

if TYPE_CHECKING:
    from tachograph.testing import Capture

HTTP, GRPC = "otlp_proto_http", "otlp_proto_grpc"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


def everywhere(*exporters: str) -> dict[str, list[str]]:
    """The same exporters for all three signals."""
    return {signal: list(exporters) for signal in ("traces", "metrics", "logs")}


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        # nothing asked for
        ({}, {}),
        ({ENDPOINT: ""}, {}),
        ({PROTOCOL: "grpc"}, {}),
        ({"OTEL_SERVICE_NAME": "x"}, {}),
        ({"OTEL_TRACES_EXPORTER": ""}, {}),
        ({"OTEL_TRACES_EXPORTER": "none"}, {}),
        ({"OTEL_TRACES_EXPORTER": " none , "}, {}),
        # switched off
        ({"OTEL_SDK_DISABLED": "true", ENDPOINT: "http://host:4318"}, {}),
        ({"OTEL_SDK_DISABLED": " TRUE ", "OTEL_LOGS_EXPORTER": "console"}, {}),
        ({"OTEL_SDK_DISABLED": "false", "OTEL_LOGS_EXPORTER": "console"}, {"logs": ["console"]}),
        ({"OTEL_SDK_DISABLED": "1", "OTEL_LOGS_EXPORTER": "console"}, {"logs": ["console"]}),
        # an endpoint alone asks for everything
        ({ENDPOINT: "http://host:4318"}, everywhere(HTTP)),
        ({ENDPOINT: "http://host"}, everywhere(HTTP)),
        ({ENDPOINT: "https://host/otlp"}, everywhere(HTTP)),
        ({ENDPOINT: "http://host:4317"}, everywhere(GRPC)),
        ({ENDPOINT: "http://host:4317/"}, everywhere(GRPC)),
        ({ENDPOINT: "host:4317"}, everywhere(GRPC)),
        ({ENDPOINT: "[::1]:4317"}, everywhere(GRPC)),
        # a protocol decides
        ({ENDPOINT: "http://host:4317", PROTOCOL: "http/protobuf"}, everywhere(HTTP)),
        ({ENDPOINT: "http://host:4318", PROTOCOL: " grpc "}, everywhere(GRPC)),
        ({ENDPOINT: "http://host:4318", PROTOCOL: ""}, everywhere(HTTP)),
        (
            {ENDPOINT: "http://host:4318", PROTOCOL: "grpc", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf"},
            {**everywhere(GRPC), "logs": [HTTP]},
        ),
        # signal by signal
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://host:1"}, {"traces": [HTTP]}),
        (
            {ENDPOINT: "http://host:4318", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://other:4317"},
            {**everywhere(HTTP), "metrics": [GRPC]},
        ),
        ({ENDPOINT: "http://host:1", "OTEL_METRICS_EXPORTER": "none"}, {"traces": [HTTP], "logs": [HTTP]}),
        ({ENDPOINT: "http://host:1", "OTEL_TRACES_EXPORTER": ""}, everywhere(HTTP)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, {"traces": [HTTP]}),
        ({"OTEL_TRACES_EXPORTER": "otlp", PROTOCOL: "grpc"}, {"traces": [GRPC]}),
        # by name
        ({"OTEL_TRACES_EXPORTER": "console"}, {"traces": ["console"]}),
        ({"OTEL_TRACES_EXPORTER": "console,otlp"}, {"traces": ["console", HTTP]}),
        ({"OTEL_TRACES_EXPORTER": " otlp , console,,none"}, {"traces": [HTTP, "console"]}),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_grpc"}, {"traces": [GRPC]}),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, {"metrics": ["prometheus"]}),
        ({"OTEL_LOGS_EXPORTER": "anything"}, {"logs": ["anything"]}),
    ],
    ids=str,
)
def test_what_the_variables_ask_for(environ: dict[str, str], asked: dict[str, list[str]]) -> None:
    """The standard variables are read as the specification says, and a silent environment asks for nothing."""
    assert asked == asked_exporters(environ)


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({ENDPOINT: "http://host", PROTOCOL: "http/json"}, PROTOCOL),
        ({"OTEL_TRACES_EXPORTER": "otlp", PROTOCOL: "carrier pigeon"}, PROTOCOL),
        (
            {ENDPOINT: "http://host", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grcp"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        ),
    ],
    ids=str,
)
def test_a_protocol_that_does_not_exist_is_said(environ: dict[str, str], variable: str) -> None:
    """A bad protocol is an error that names variable, value and what is expected."""
    expected = re.escape(f"{variable}='{environ[variable]}' is not usable: expected one of: grpc, http/protobuf")
    with pytest.raises(ConfigError, match=expected):
        asked_exporters(environ)


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("nonsense", "http/protobuf"),
        ("127.0.0.1:4318", "http/protobuf"),
        ("ftp://127.0.0.1:4318", "http/protobuf"),
        ("http://", "http/protobuf"),
        ("http://127.0.0.1:66000", "http/protobuf"),
        ("http://127.0.0.1:port", "grpc"),
        ("http://[::1", "grpc"),
        (" ", "grpc"),
    ],
)
@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"])
def test_an_endpoint_to_which_nothing_can_be_sent_is_said(variable: str, endpoint: str, protocol: str) -> None:
    """An endpoint that is no address is named with its variable and an example, before anything is lost."""
    expected = re.escape(f"{variable}={endpoint!r} is not usable: expected an address like http://127.0.0.1:43")
    with pytest.raises(ConfigError, match=expected):
        asked_exporters({variable: endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("collector", "grpc"),
        ("collector:4317", "grpc"),
        ("unix:///tmp/otlp.sock", "grpc"),
        ("https://[::1]:4318", "http/protobuf"),
        ("https://otlp.example/path", "http/protobuf"),
    ],
)
def test_an_endpoint_may_be_what_its_protocol_allows(endpoint: str, protocol: str) -> None:
    """URLs, and by gRPC names, ports and sockets too."""
    asked = asked_exporters({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert ["traces", "metrics", "logs"] == [*asked]


def test_a_bad_protocol_nobody_uses_is_no_problem() -> None:
    """A protocol that no exporter asks for is not looked at."""
    environ = {PROTOCOL: "http/json", "OTEL_TRACES_EXPORTER": "console"}

    assert {"traces": ["console"]} == asked_exporters(environ)


@pytest.mark.parametrize(
    ("signal", "name", "made"),
    [
        ("traces", "console", ConsoleSpanExporter),
        ("traces", HTTP, HttpSpanExporter),
        ("traces", GRPC, GrpcSpanExporter),
        ("metrics", "console", ConsoleMetricExporter),
    ],
)
def test_an_exporter_is_made_by_its_name(signal: str, name: str, made: type) -> None:
    """Each name stands for the exporter that is installed under it."""
    exporter = make_exporter(signal, name)
    exporter.shutdown()

    assert made is type(exporter)


def test_an_exporter_that_is_not_installed_is_said() -> None:
    """An unknown exporter is an error that names the variable and what there is."""
    with pytest.raises(ConfigError, match=r"OTEL_TRACES_EXPORTER='pigeon': no such exporter .*: console, .*, none"):
        make_exporter("traces", "pigeon")


# ----------------------------------------------------------------------------------------------- a ledger from spans
def test_a_provider_of_anybodys_answers_from_memory(captured: Capture) -> None:
    """Attached to any provider the exporter's ledger has what the spans tell, and passes other spans over."""
    own = LedgerSpanExporter()
    provider: Any = captured.runtime.providers._explicit
    provider.add_span_processor(SimpleSpanProcessor(own))
    recorder = captured.runtime.recorder
    with session("s", correlation_id="c"):
        live = recorder.begin(Start("agent", "a", {names.AGENT_NAME: "a"}))
        token = otel.attach(live.context())
        recorder.event("message_added", {"role": "user"})
        provider.get_tracer("somebody.else").start_span("HTTP").end()
        otel.detach(token)
        recorder.end(live)

    assert captured.ledger.session_metrics("s").to_dict() == own.ledger.session_metrics("s").to_dict()
    assert sent(captured.ledger.audit_log()) == own.ledger.audit_log()
    assert 2 == own.ledger.stats()["records"]


def test_a_ledger_may_be_brought_along() -> None:
    """The exporter fills the ledger it is given, even one that is still empty."""
    ledger = Ledger()

    assert ledger is LedgerSpanExporter(ledger).ledger
    assert ledger is not LedgerSpanExporter().ledger


def test_a_span_exported_twice_counts_once(captured: Capture) -> None:
    """Exporters retry: a repeated batch changes nothing, and the ledger outlives the exporter's shutdown."""
    recorder = captured.runtime.recorder
    recorder.end(recorder.begin(Start("tool", "t")))
    own = LedgerSpanExporter()

    assert [SpanExportResult.SUCCESS] * 2 == [own.export(captured.spans) for _ in range(2)]
    assert own.force_flush()
    own.shutdown()
    assert 1 == own.ledger.total().tool_calls


def test_spans_of_a_program_without_us_are_nobodys() -> None:
    """A provider on which nothing of ours is recorded leaves the ledger empty."""
    own = LedgerSpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(own))
    with provider.get_tracer("somebody.else").start_as_current_span("create_agent x") as span:
        span.set_attribute(names.OPERATION_NAME, "create_agent")
        span.add_event("message_added")
        span.add_event("tachograph.not_an_event_of_ours")
    provider.shutdown()

    assert 0 == own.ledger.stats()["records"]


def test_spans_of_others_are_answered_for_at_once_and_counted_once() -> None:
    """A call in a call is an answer as soon as it has ended, and the outer one's when that has ended."""
    own = LedgerSpanExporter(prices={"m": {"input": 1_000_000, "output": 0}})
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(own))
    tracer = provider.get_tracer("somebody.else")
    call = {names.OPERATION_NAME: "chat", names.REQUEST_MODEL: "m", names.INPUT_TOKENS: 3}
    with tracer.start_as_current_span("outer") as outer:
        with tracer.start_as_current_span("inner", attributes=call):
            pass
        early = own.ledger.total()
        outer.set_attributes({**call, names.SESSION_ID: "s"})

    assert (1, 3, ["s"]) == (early.total_requests, early.total_prompt_tokens, own.ledger.sessions())
    assert {"requests": 1, "prompt_tokens": 3, "cost": 3.0}.items() <= own.ledger.total().tokens_by_model["m"].items()


def test_what_waits_is_told_of_when_the_exporter_ends() -> None:
    """Where the span around is never heard of, as its program ended first, what was in it counts."""
    own = LedgerSpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(own))
    tracer = provider.get_tracer("somebody.else")
    outer = tracer.start_span("outer")
    call = {names.OPERATION_NAME: "chat", names.REQUEST_MODEL: "m"}
    tracer.start_span("inner", context=trace.set_span_in_context(outer), attributes=call).end()
    assert 0 == own.ledger.stats()["records"]
    provider.shutdown()

    assert 1 == own.ledger.stats()["records"]
