"""Providers of ours: where they send, what becomes of it, and what one signal costs the others."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from support.exporting import CONSOLE, run
from support.programs import Programs
from tachograph.built import Built
from tachograph.config import Config
from tachograph.guard import Guard

if TYPE_CHECKING:
    from pathlib import Path


def test_where_signals_go_is_said(tmp_path: Path) -> None:
    """Each destination is named: the endpoint, the file, the page for Prometheus."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = str(tmp_path / "out.jsonl")
    run(
        tmp_path,
        "never",
        "init",
        OTEL_TRACES_EXPORTER="otlp,console",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_METRICS_EXPORTER="prometheus",
        OTEL_LOGS_EXPORTER="none",
        OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
        TACHOGRAPH_OTLP_FILE=file,
    )

    assert [
        f"otlp_proto_http to http://127.0.0.1:1, console, {file}",
        f"prometheus, at 127.0.0.1:{port}, {file}",
        file,
    ] == json.loads((tmp_path / "found.json").read_text("utf-8"))["exports"]


def test_what_became_of_exports_is_counted(tmp_path: Path) -> None:
    """What our exporters sent is in the figures about Tachograph itself, by signal; there is nothing where none is."""
    assert {} == Built(Config(), Guard(strict=True), print).exports()
    done = Programs(tmp_path).python(
        """
        import tachograph
        from told import tell

        tachograph.init()
        with tachograph.agent("a"):
            pass
        tachograph.events.system_startup()
        tachograph.runtime.current().providers.flush(30_000)
        tell(**tachograph.stats()["export"])
        """,
        TACHOGRAPH_OTLP_FILE=str(tmp_path / "out.jsonl"),
    )

    arrived = {"sent": 1, "failed": 0, "dropped": 0, "waiting": 0}
    assert {"traces": arrived, "metrics": {"sent": 1, "failed": 0}, "logs": arrived} == done.told


def test_our_providers_are_flushed_at_the_end(tmp_path: Path) -> None:
    """What waits in exporters of ours leaves when the program ends, of all three signals."""
    done = run(tmp_path, "never", "auto", **CONSOLE)

    assert '"name": "invoke_agent"' in done.stdout
    assert "gen_ai.invoke_agent.duration" in done.stdout


def test_a_signal_that_cannot_be_exported_costs_no_other(tmp_path: Path) -> None:
    """An exporter that cannot be had is one line; the other signals are exported and the program goes on."""
    done = run(tmp_path, "never", "auto", **{**CONSOLE, "OTEL_METRICS_EXPORTER": "pigeon"})

    assert ["tachograph: metrics are not exported: OTEL_METRICS_EXPORTER='pigeon': no such exporter"] == [
        line.partition(" is installed")[0] for line in done.stderr.splitlines() if line.startswith("tachograph:")
    ]
    assert ["TracerProvider", "none", "LoggerProvider"] == json.loads((tmp_path / "found.json").read_text())["worked"]
    assert '"name": "invoke_agent"' in done.stdout
