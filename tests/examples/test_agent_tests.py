"""The example of a test suite of agents, run as its reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.programs import PATIENCE, clean_environment

ROOT = Path(__file__).parent.parent.parent
SUITE = "examples/agent_tests"


@pytest.fixture(scope="module")
def ran() -> str:
    """What the suite prints, compared with its baseline."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SUITE]
    done = subprocess.run(
        [*command, f"--tachograph-baseline={SUITE}/baseline.json"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    return done.stdout


def test_the_suite_passes(ran: str) -> None:
    """All of it, against the baseline that lies beside it."""
    assert re.search(r"^3 passed in ", ran, re.MULTILINE)


def test_it_is_said_how_to_run_it() -> None:
    """The suite's own text says the commands that this test runs, and the examples' page names it."""
    said = (ROOT / SUITE / "test_team.py").read_text("utf-8")
    assert f"    pytest {SUITE}\n    pytest {SUITE} --tachograph-baseline={SUITE}/baseline.json\n" in said
    assert f"`pytest {SUITE}`" in (ROOT / "examples" / "README.md").read_text("utf-8")
