"""A program that records one run of an agent, and says what providers there were."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from support.programs import Finished, Programs

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json
import pathlib
import sys
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.trace import TracerProvider

when, start = sys.argv[1:]


def state():
    found = (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())
    return ["none" if "Proxy" in type(provider).__name__ else type(provider).__name__ for provider in found]


own = TracerProvider()
if when == "before":
    trace.set_tracer_provider(own)
if start == "auto":
    import tachograph.auto
else:
    import tachograph
    tachograph.init()
started = state()
if when == "after":
    trace.set_tracer_provider(own)

from tachograph import runtime
from tachograph.live import Start

recorder = runtime.current().recorder
recorder.end(recorder.begin(Start("agent", "a")))
resource = getattr(trace.get_tracer_provider(), "resource", None)
found = {
    "started": started,
    "worked": state(),
    "own": trace.get_tracer_provider() is own,
    "service": resource and resource.attributes["service.name"].partition(":")[0],
    "exports": list(runtime.current().providers.describe().values()),
}
pathlib.Path("found.json").write_text(json.dumps(found))  # exporters print too
"""
CONSOLE = {f"OTEL_{signal}_EXPORTER": "console" for signal in ("TRACES", "METRICS", "LOGS")}
"""Variables that ask for all three signals, on the standard output."""


def run(directory: Path, when: str, start: str, **variables: str) -> Finished:
    """Run it, which is to succeed; it leaves what it found in ``found.json``."""
    programs = Programs(directory)
    programs.write("app.py", PROGRAM)
    done = programs.run(sys.executable, "app.py", when, start, **variables)
    assert 0 == done.code, done.stderr
    assert "Overriding" not in done.stderr
    return done
