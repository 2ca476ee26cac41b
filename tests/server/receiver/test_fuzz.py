"""Whatever is sent, nothing breaks: what is bad is refused and counted, and what is good beside it is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
MEGABYTES = 1_000
"""Memory that broken requests may take beyond what whole ones do: thirty times the largest, which is half of it, and
what tables take that are full."""

MORE_MEGABYTES = 150
"""How much the second half may add to the first: nearly full tables become full."""


def fuzzed(inputs: int, timeout: float) -> dict:
    """What became of so many broken requests, sent in a process of their own."""
    path = os.pathsep.join(map(str, (TESTS, TESTS.parent / "examples")))
    done = subprocess.run(
        [sys.executable, "-m", "support.fuzzing", str(inputs)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("inputs", "timeout"), [(20_000, 300), pytest.param(1_000_000, 14_400, marks=pytest.mark.long)]
)
def test_broken_requests_break_nothing(inputs, timeout):
    """Of each request what can be kept is, once; the rest is refused and counted; memory stays within bounds."""
    told = fuzzed(inputs, timeout)

    assert inputs == told["inputs"]
    assert told["good_sent"] == told["good"]
    assert {} == told["swallowed"]
    assert told["refused"] == told["refused_by_stats"]
    assert inputs // 10 < told["refused"][0] < inputs * 9 // 10
    assert told["taken"] > inputs // 10
    assert told["megabytes"] < MEGABYTES
    assert told["more_megabytes"] < MORE_MEGABYTES
    assert {"failed": 0, "waiting_bytes": 0, "trouble": None}.items() <= told["stats"].items()
