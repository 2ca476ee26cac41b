"""The real Collector, Jaeger and Prometheus, started once for all tests here; and programs that send to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tachograph
from support.engines import ROOT, Collector, Engines, Jaeger, Prometheus, find, wait_for
from support.programs import SCRIPTS, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.sources import Source

HOW = "bash collector-config/engines/get.sh && pytest -n 0 -m 'engines and not long'"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A run that leaves these tests out says how to have them."""
    if "not engines" in config.getoption("-m"):
        terminalreporter.write_line(f"the real Collector, Jaeger and Prometheus: {HOW}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Questions about the examples come first: what a program has exported is shown for five minutes."""
    here = Path(__file__).parent
    items.sort(key=lambda item: here in item.path.parents and "examples" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """Where the engines are. Where they are not, tests are skipped; in CI that is a failure."""
    found = find()
    missing = {"otelcol", "jaeger", "prometheus", "promtool"} - found.keys()
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not here: {', '.join(sorted(missing))}; {HOW}")
    return found


@dataclass(frozen=True)
class Backends:
    """A Collector that sends to a Jaeger and is scraped by a Prometheus."""

    collector: Collector
    jaeger: Jaeger
    prometheus: Prometheus


@pytest.fixture
def engines(programs: dict[str, Path], tmp_path: Path) -> Iterator[Engines]:
    """To start engines of a test's own."""
    with Engines(programs, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def backends(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """All three, for tests that leave them as they are."""
    with Engines(programs, tmp_path_factory.mktemp("backends")) as running:
        jaeger = running.jaeger()
        collector = running.collector(traces_to=jaeger.otlp)
        yield Backends(collector, jaeger, running.prometheus(collector))


@dataclass(frozen=True)
class Played:
    """An example that has run, exporting to the Collector: its service's name and what it kept itself."""

    service: str
    source: Source


EXAMPLES = {
    "quickstart": [sys.executable, "examples/quickstart.py"],
    "agent_runtime": [str(SCRIPTS / "tachograph"), "run", "examples/agent_runtime/run.py"],
    "sop_agents": [str(SCRIPTS / "tachograph"), "run", "examples/sop_agents/run.py"],
}


@pytest.fixture(scope="session")
def examples(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Played]]:
    """Every example, run once, side by side, as its reader would run it to have it in Jaeger."""
    directory = tmp_path_factory.mktemp("examples")
    running = {}
    for name, command in EXAMPLES.items():
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": backends.collector.otlp,
            "OTEL_SERVICE_NAME": name,
            "TACHOGRAPH_STORE": str(directory / f"{name}.db"),
            "TACHOGRAPH_SUMMARY": "0",
        }
        if name != "quickstart":
            settings["TACHOGRAPH_CONFIG"] = f"examples/{name}/tachograph.toml"
        with (directory / f"{name}.out").open("wb") as output:
            running[name] = subprocess.Popen(
                command, cwd=ROOT, env=clean_environment(**settings), stdout=output, stderr=subprocess.STDOUT
            )
    for name, process in running.items():
        assert process.wait(120) == 0, (directory / f"{name}.out").read_text("utf-8")
    played = {name: Played(name, tachograph.read(directory / f"{name}.db")) for name in EXAMPLES}
    # The Collector has answered for all of it. Prometheus comes by once a second, and then the rules' turn comes.
    ended = time.time() + 2
    for name in EXAMPLES:
        recorded = f'timestamp(job_model:requests:increase5m{{job="{name}"}}) > {ended}'
        wait_for(f"{name} is scraped", lambda recorded=recorded: backends.prometheus.query(recorded))
    yield played
    for each in played.values():
        each.source.close()
