"""Every way in, each in a process of its own: one import, the OpenTelemetry launcher, the command line, a call."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import pty
import sys
from typing import TYPE_CHECKING

import pytest
from support.otlp_receiver import OtlpReceiver
from support.programs import PATIENCE, Finished, Programs, script, set_of

if TYPE_CHECKING:
    from pathlib import Path

STEPS = {
    "auto": "import tachograph.auto",
    "smolagents": "import smolagents",
    "providers": """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracing, metering = TracerProvider(), MeterProvider([reader])
        tracing.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(tracing)
        metrics.set_meter_provider(metering)
        """,
    "agents": """
        from crew import boss, operations, tell

        team = boss()
        """,
}
WORK = """
    answer = team.run("price of tea?")
    tell(
        answer=answer,
        operations=operations(),
        spans=[f"{span.context.span_id:016x}" for span in exporter.get_finished_spans()],
        metrics=sorted(
            metric.name
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if scope.scope.name == "tachograph"
        ),
        still_theirs=[trace.get_tracer_provider() is tracing, metrics.get_meter_provider() is metering],
    )
    """
ORDERS = [
    *(("-".join(order), (*order, "agents")) for order in itertools.permutations(["auto", "smolagents", "providers"])),
    ("agents-before-providers", ("auto", "agents", "providers")),
]

RECORDED = [
    ("agent", "boss"),
    ("model", "big"),
    ("agent", "clerk"),
    ("model", "small"),
    ("code", "python"),
    ("tool", "price"),
    ("tool", "final_answer"),
    ("model", "big"),
    ("tool", "final_answer"),
]
"""What the crew's run is, in order of start."""


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def lines(*sources: str) -> str:
    """Join pieces of a program that are indented differently."""
    return "\n".join(line.strip() if not line.startswith("            ") else line[8:] for line in _all(sources))


def _all(sources: tuple[str, ...]) -> list[str]:
    return [line for source in sources for line in source.splitlines()]
