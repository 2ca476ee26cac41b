"""The example programs, each run once in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import PATIENCE, Finished, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

# The program as `python PATH` runs it; what it has imported of us goes to the last line.
_RUN = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
print("of ours:", sorted(name for name in sys.modules if name.split(".")[0] == "tachograph"))
"""


@pytest.fixture(scope="module")
def run_example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """Run a program of the examples, from a directory that is not its own."""

    def run(name: str) -> Finished:
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", _RUN, str(EXAMPLES / name)],
            cwd=tmp_path_factory.mktemp("elsewhere"),
            env=clean_environment(PYTHONIOENCODING="utf-8"),
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        return Finished(ran.returncode, ran.stdout, ran.stderr)

    return run
