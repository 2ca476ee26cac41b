"""The benchmark is a script, and its numbers are nobody's test; that it runs and measures every mode is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_benchmark_runs() -> None:
    """Each measure prints a line for each mode that can be had, with a figure."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "measure.py"), "step", "scaling", "chunk", "bus", "--rounds", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len([row for row in rows if "tachograph" in row]) == 5
    assert all(any(word.replace(".", "").isdigit() for word in row) for row in rows)


def test_the_benchmark_of_the_store_runs() -> None:
    """Each question gets a line with its median, while a program writes on."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "store.py", "--operations=2000", "--sessions=100", "--rounds=1", "--busy"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("stored 2,0")
    assert len(lines) > 40
    assert all(" ms " in line for line in lines[1:])


def test_the_benchmark_of_the_receiver_runs() -> None:
    """Each way to take requests gets a line with its rate and how that is to bare parsing."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "receiver.py", "--spans=20", "--requests=3", "--rounds=1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    lines = done.stdout.splitlines()[1:]
    assert 5 == len(lines)
    assert all(line.endswith(" of parsing") and " spans/s " in line for line in lines)
