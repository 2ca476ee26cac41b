"""A program under load, started by a test, and its account of what it sent: `support.load` is the program."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.engines import ROOT
from support.programs import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW_MS = 10_000
"""No round of a host takes so long, unless something of ours makes it wait; CI's machine may be busy."""


@dataclass
class Host:
    """A program under load, and in the end its account."""

    process: subprocess.Popen[str]

    def account(self, patience: float = 180) -> dict[str, Any]:
        """What it made and what became of it, when it has ended well; its results were right all along."""
        stdout, stderr = self.process.communicate(timeout=patience)
        assert self.process.returncode == 0, stderr[-4_000:]
        assert "Traceback" not in stderr, stderr[-4_000:]
        told = json.loads(stdout.splitlines()[-1])
        assert len(told["made"]) == len(set(told["made"]))
        assert told["longest_ms"] < SLOW_MS
        return told


@contextmanager
def host(otlp: str, seconds: float, per_second: float, service: str = "host", **settings: str) -> Iterator[Host]:
    """Start one; when the block begins it is working."""
    with subprocess.Popen(
        [sys.executable, "-m", "support.load", str(seconds), str(per_second)],
        cwd=ROOT / "tests",
        env=clean_environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=otlp, OTEL_SERVICE_NAME=service, TACHOGRAPH_SUMMARY="0", **settings
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout.readline() == "working\n"
            yield Host(process)
        finally:
            process.kill()
