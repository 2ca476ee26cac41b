"""The benchmark is a script, and its numbers are nobody's test; that it runs and measures every mode is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "measure.py"


def test_the_benchmark_runs() -> None:
    """Each measure prints a line for each mode that can be had, with a figure."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "step", "scaling", "chunk", "bus", "--rounds", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len([row for row in rows if "tachograph" in row]) == 5
    assert all(any(word.replace(".", "").isdigit() for word in row) for row in rows)
