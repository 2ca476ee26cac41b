"""The app as a whole: mounted, described, and asked at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from support.programs import Programs, program
from support.records import ledger_of, operation
from support.serving import asking
from tachograph.export import session_export
from tachograph.ledger import Ledger
from tachograph.server import create_app
from tachograph.version import VERSION

if TYPE_CHECKING:
    from typing import Any


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return create_app(Ledger(), token="t", export=session_export).openapi()  # noqa: S106 - a test's


# ---------------------------------------------------------------------------------------------------------- mounted
def hosting(app: FastAPI) -> FastAPI:
    """An existing app that ours is mounted into; it lets every site read."""
    host = FastAPI(lifespan=None)
    host.add_middleware(CORSMiddleware, allow_origins=["*"])
    host.mount("/tachograph", app)
    host.add_api_route("/", lambda: "the host's")
    host.state.live = app.state.live
    return host


def test_mounted():
    """Mounted into another app ours answers below its place, and leaves the other alone."""
    ledger = ledger_of([operation(1, session="a/b")])
    with asking(hosting(create_app(ledger, export=session_export))) as client:
        assert ["a/b"] == client.get("/tachograph/events/metrics/sessions").json()["sessions"]
        assert "a/b" == client.get("/tachograph/events/metrics/session/a%2Fb").json()["session_id"]
        assert "a/b" == client.get("/tachograph/events/export/a%2Fb").json()["session_id"]
        assert {"status": "ok"} == client.get("/tachograph/health").json()
        assert [{"url": "/tachograph"}] == client.get("/tachograph/openapi.json").json()["servers"]
        assert "the host's" == client.get("/").json()
        assert "content-security-policy" not in client.get("/").headers


def test_mounted_with_a_token():
    """A mounted app asks for its token by itself; its health is open there too, and nothing that ends like it."""
    with asking(hosting(create_app(Ledger(), token="t"))) as client:  # noqa: S106 - a test's
        assert 401 == client.get("/tachograph/events/stats").status_code
        assert 200 == client.get("/tachograph/events/stats", headers={"x-internal-auth": "t"}).status_code
        assert 200 == client.get("/tachograph/health").status_code
        assert 401 == client.get("/tachograph/tachograph/health").status_code


def test_mounted_where_every_site_may_read():
    """Where the other app lets every site read ours still lets none."""
    with asking(hosting(create_app(Ledger()))) as client:
        answer = client.get("/tachograph/events/stats", headers={"origin": "http://evil.example"})

    assert 403 == answer.status_code


def test_asking_is_not_recorded(tmp_path):
    """Asking leaves no spans, metrics or logs, whatever the program around it exports."""
    done = Programs(tmp_path).python(
        program(
            """
            import asyncio

            import httpx
            from opentelemetry import _logs, metrics, trace
            from opentelemetry.sdk._logs import LoggerProvider
            from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import SimpleSpanProcessor
            from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

            spans, logs, points = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
            tracing, logging = TracerProvider(), LoggerProvider()
            tracing.add_span_processor(SimpleSpanProcessor(spans))
            logging.add_log_record_processor(SimpleLogRecordProcessor(logs))
            trace.set_tracer_provider(tracing)
            metrics.set_meter_provider(MeterProvider([points]))
            _logs.set_logger_provider(logging)

            from tachograph.ledger import Ledger
            from tachograph.server import create_app

            async def ask():
                transport = httpx.ASGITransport(app=create_app(Ledger()))
                async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                    return [(await client.get(f"/events/{path}")).status_code for path in ("stats", "audit-log?a=b")]

            print(asyncio.run(ask()), spans.get_finished_spans(), logs.get_finished_logs(), points.get_metrics_data())
            """
        )
    )

    assert "[200, 422] () () None" == done.stdout.strip()


# --------------------------------------------------------------------------------------------------------- described
def operations(description: dict[str, Any]) -> dict[str, Any]:
    return {path: found["get"] for path, found in description["paths"].items()}


def test_the_description_says_what_it_is(description):
    """The description has the name, version and licence of the package, and both ways to send the token."""
    assert ("Tachograph", VERSION) == (description["info"]["title"], description["info"]["version"])
    assert "Apache-2.0" == description["info"]["license"]["identifier"]
    assert {
        "HTTPBearer": {"type": "http", "scheme": "bearer"},
        "APIKeyHeader": {"type": "apiKey", "in": "header", "name": "x-internal-auth"},
    } == description["components"]["securitySchemes"]


def test_the_description_has_every_endpoint(description):
    """Every endpoint is described: what it is for, what it is called, and what may go wrong."""
    found = operations(description)

    assert {
        "/health": "health",
        "/events/metrics": "metrics",
        "/events/metrics/sessions": "sessions",
        "/events/metrics/session/{session_id}": "session_metrics",
        "/events/audit-log": "audit_log",
        "/events/stats": "stats",
        "/events/timeline": "timeline",
        "/events/approvals": "approvals",
        "/events/export/{session_id}": "export",
        "/events/live": "live",
    } == {path: asked["operationId"] for path, asked in found.items()}
    for path, asked in found.items():
        assert asked["summary"]
        assert asked["description"]
        assert asked["tags"]
        if path != "/health":
            assert {"200", "401", "403", "422", "503"} <= asked["responses"].keys()
            assert [{"HTTPBearer": []}, {"APIKeyHeader": []}] == asked["security"]
            assert all(parameter["description"] for parameter in asked.get("parameters", ()))
    assert "security" not in found["/health"]
    assert {"text/event-stream"} == found["/events/live"]["responses"]["200"]["content"].keys()


def test_problems_have_one_shape(description):
    """Whatever goes wrong, the answer is one sentence."""
    for asked in operations(description).values():
        for status, answer in asked["responses"].items():
            if status not in ("200", "503"):
                assert "#/components/schemas/Problem" == answer["content"]["application/json"]["schema"]["$ref"]
    assert "HTTPValidationError" not in description["components"]["schemas"]


def test_without_a_token_none_is_described():
    """An app that has no token does not ask for one in its description."""
    assert "securitySchemes" not in create_app(Ledger()).openapi()["components"]


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
def test_no_pages_from_elsewhere(path):
    """There is no page that would load programs from elsewhere."""
    with asking(create_app(Ledger())) as client:
        assert 404 == client.get(path).status_code
