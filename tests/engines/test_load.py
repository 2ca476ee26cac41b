"""Two thousand operations a second, through the Collector to Jaeger: nothing is lost and nothing grows."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.engines import wait_for
from support.load import PER_ROUND
from support.loaded import host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Engine

pytestmark = pytest.mark.engines

PER_SECOND = 2_000
QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2048"}
"""The SDK's own queue holds a second's worth of this, too little for a machine with other work."""


def megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def watched(**engines: Engine) -> Iterator[dict[str, dict[str, Any]]]:
    """Memory and processor time of engines during the block."""
    over = threading.Event()
    told: dict[str, dict[str, Any]] = {name: {"memory_mb": []} for name in engines}
    before = {name: processor_seconds(engine.pid) for name, engine in engines.items()}

    def watch() -> None:
        while not over.wait(1):
            for name, engine in engines.items():
                told[name]["memory_mb"].append(megabytes(engine.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield told
    finally:
        over.set()
        watching.join()
        for name, engine in engines.items():
            told[name]["processor_seconds"] = processor_seconds(engine.pid) - before[name]


def size(directory: Path) -> float:
    # In blocks: a database claims more than it has written.
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file()) / 1e6


@pytest.mark.parametrize("seconds", [30, pytest.param(300, marks=pytest.mark.long)])
def test_two_thousand_operations_a_second(engines, seconds, record_property):
    """All operations that a host has done are in Jaeger's count; memory of host and Collector stays where it was."""
    jaeger = engines.jaeger()
    collector = engines.collector(traces_to=jaeger.otlp)
    prometheus = engines.prometheus(collector)

    with (
        watched(collector=collector.engine, jaeger=jaeger.engine, prometheus=prometheus.engine) as cost,
        host(collector.otlp, seconds, PER_SECOND, "load", **QUEUE) as running,
    ):
        told = running.account(seconds + 180)
        made = len(told["made"])

        def sent() -> bool:
            return prometheus.number('otelcol_exporter_sent_spans{exporter="otlp_grpc/jaeger"}') >= made

        wait_for("all of it is in Jaeger", sent, timeout=120)

    assert (told["given_up"], told["never_offered"]) == ([], [])
    assert prometheus.number('otelcol_exporter_sent_spans{exporter="otlp_grpc/jaeger"}') == made
    assert prometheus.number("sum(otelcol_receiver_refused_spans)") == 0
    tokens = 'sum(gen_ai_client_token_usage_sum{job="load"})'
    wait_for("each token is counted", lambda: prometheus.number(tokens) == made // PER_ROUND * 2 * 110)
    grown(told["memory_mb"])
    grown(cost["collector"]["memory_mb"])
    account = {
        "operations": made,
        "operations_per_second": told["operations_per_second"],
        "longest_ms": told["longest_ms"],
        "host_processor_seconds": told["processor_seconds"],
        "exporter_share_of_host": told["exporter_processor_seconds"] / told["processor_seconds"],
        "jaeger_mb_on_disk": size(jaeger.engine.directory / "data"),
        "file_mb_on_disk": size(collector.directory),
        **{
            name: {"processor_seconds": each["processor_seconds"], "most_memory_mb": max(each["memory_mb"])}
            for name, each in cost.items()
        },
        "at": time.strftime("%Y-%m-%d %H:%M"),
    }
    record_property("account", json.dumps(account))
    print(json.dumps(account, indent=1))  # noqa: T201 - for people: pytest -s


def grown(memory: list[float]) -> None:
    """Memory in the last quarter of a run is not much more than in its second."""
    quarter = len(memory) // 4
    if quarter:
        before, after = (statistics.median(memory[n * quarter : (n + 1) * quarter]) for n in (1, 3))
        assert after < before * 1.3 + 64, memory
