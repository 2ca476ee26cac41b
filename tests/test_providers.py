"""Providers: what exists is joined and never replaced, what is asked for is built, and otherwise nothing is."""

from __future__ import annotations

import gc
import json
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider

from support.exporting import CONSOLE, run
from tachograph.config import Config
from tachograph.guard import Guard
from tachograph.providers import Providers

if TYPE_CHECKING:
    from pathlib import Path


def providers(guard: Guard | None = None, **given: Any) -> tuple[Providers, list[str], list[int]]:
    """Providers of the test's own, what they complain of, and a mark for each provider joined."""
    complaints: list[str] = []
    joined: list[int] = []
    made = Providers(
        Config.read({}, environ={}),
        guard or Guard(strict=True),
        complain=complaints.append,
        joined=lambda: joined.append(1),
        **given,
    )
    return made, complaints, joined


# ------------------------------------------------------------------------------------------------------ given ones
def test_a_provider_is_joined_once() -> None:
    """However often the tracer is asked for, a provider gets one stamp and gives one tracer."""
    provider = TracerProvider(shutdown_on_exit=False)
    ours, complaints, joined = providers(tracer_provider=provider)
    tracers = {id(ours.tracer()) for _ in range(3)}
    ours.meet()

    assert 1 == len(tracers)
    assert ([1], []) == (joined, complaints)
    assert 1 == len(provider._active_span_processor._span_processors)
    assert ours.exporting


def test_a_provider_that_is_no_sdks_is_used_as_it_is() -> None:
    """A provider of another make, which takes no processors, gives tracers and is otherwise left alone."""
    ours, complaints, joined = providers(tracer_provider=NoOpTracerProvider())

    assert isinstance(ours.tracer(), trace.NoOpTracer)
    assert ([], []) == (joined, complaints)


def test_a_provider_that_refuses_our_stamp_still_serves() -> None:
    """Where a processor cannot be added the tracer is had all the same, and the failure is counted."""

    class Refusing(NoOpTracerProvider):
        def add_span_processor(self, _: Any) -> None:
            raise ZeroDivisionError("refused")

    guard = Guard()
    ours, _, joined = providers(guard, tracer_provider=Refusing())

    assert isinstance(ours.tracer(), trace.NoOpTracer)
    assert [] == joined
    assert {"Providers._stamp": 1} == guard.swallowed()


def test_meeting_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the first operation a provider that is not there yet is not built, whatever the variables say."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "no such exporter")
    ours, complaints, joined = providers()
    ours.meet()

    assert ([], []) == (joined, complaints)
    ours.tracer()
    assert 1 == len(complaints)
    assert "no such exporter" in complaints[0]
    ours.tracer()
    assert 1 == len(complaints)


def test_log_events_go_where_the_logger_provider_is() -> None:
    """With a provider at hand a log event is sent at once."""
    exporter: Any = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    ours, *_ = providers(logger_provider=provider)
    ours.emit(LogRecord(event_name="tachograph.test"))

    assert ["tachograph.test"] == [log.log_record.event_name for log in exporter.get_finished_logs()]
    provider.shutdown()


def test_early_log_events_are_bounded() -> None:
    """Events from before the first operation wait for a provider, a bounded number of them."""
    ours, *_ = providers(tracer_provider=NoOpTracerProvider())
    for _ in range(1_100):
        ours.emit(LogRecord(event_name="tachograph.test"))

    assert 1_000 == len(ours._early)
    ours.tracer()
    assert [] == ours._early


def test_log_events_are_listened_to_while_they_may_yet_be_sent() -> None:
    """They are where a provider is, and until the first operation there may be one, as long as there is room."""
    ours, *_ = providers(tracer_provider=NoOpTracerProvider())
    assert ours.listened()
    for _ in range(1_000):
        ours.emit(LogRecord(event_name="tachograph.test"))
    assert not ours.listened()
    ours.tracer()
    assert not ours.listened()
    provider = LoggerProvider(shutdown_on_exit=False)
    assert providers(logger_provider=provider)[0].listened()
    provider.shutdown()


def test_stopped_providers_are_let_go() -> None:
    """Providers that are not ours are neither shut down nor kept alive by us."""
    provider = TracerProvider(shutdown_on_exit=False)
    ours, *_ = providers(tracer_provider=provider)
    ours.tracer()
    ours.shutdown()
    assert provider.get_tracer("x").start_span("still works").is_recording()
    gone = weakref.ref(ours)
    del ours
    gc.collect()

    assert gone() is None


# ------------------------------------------------------------------------------------------------- the global ones
NONE = ["none", "none", "none"]
ALL = ["TracerProvider", "MeterProvider", "LoggerProvider"]
OWN_TRACES = ["TracerProvider", "none", "none"]


@pytest.mark.parametrize(
    ("when", "start", "variables", "started", "worked", "own", "service"),
    [
        # nothing asked for: nothing built, nothing set
        ("never", "auto", {}, NONE, NONE, False, None),
        ("never", "init", {}, NONE, NONE, False, None),
        # asked for: init() builds at once, auto at the first operation
        ("never", "init", CONSOLE, ALL, ALL, False, "app"),
        ("never", "auto", CONSOLE, NONE, ALL, False, "app"),
        ("never", "auto", {**CONSOLE, "OTEL_SERVICE_NAME": "shop"}, NONE, ALL, False, "shop"),
        ("never", "auto", {**CONSOLE, "OTEL_RESOURCE_ATTRIBUTES": "service.name=mall"}, NONE, ALL, False, "mall"),
        ("never", "auto", {**CONSOLE, "OTEL_SDK_DISABLED": "true"}, NONE, NONE, False, None),
        # the program's own is joined, before or after, and only the other signals are built
        ("before", "auto", CONSOLE, OWN_TRACES, ALL, True, "unknown_service"),
        ("before", "init", CONSOLE, ALL, ALL, True, "unknown_service"),
        ("after", "auto", CONSOLE, NONE, ALL, True, "unknown_service"),
        ("after", "auto", {}, NONE, OWN_TRACES, True, "unknown_service"),
        ("after", "init", {}, NONE, OWN_TRACES, True, "unknown_service"),
    ],
)
def test_providers_are_joined_or_built(
    tmp_path: Path,
    when: str,
    start: str,
    variables: dict[str, str],
    started: list[str],
    worked: list[str],
    own: bool,  # noqa: FBT001 - a row of the table
    service: str | None,
) -> None:
    """A provider that the program sets wins, whenever it sets it; ours are built from the variables alone."""
    run(tmp_path, when, start, **variables)
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))

    assert (started, worked, own, service) == (found["started"], found["worked"], found["own"], found["service"])
    places = ["nowhere" if kind == "none" else "console" for kind in worked]
    if own:
        places[0] = "the program's own TracerProvider"
    assert places == [place.partition(" (")[0] for place in found["exports"]]
