"""The example programs, each recorded once by its own command, and what the store then says."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tachograph
from support.programs import PATIENCE, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tachograph.sources import Source

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

Recorded = tuple["Source", str]
"""What was recorded, and what the command printed."""


@contextlib.contextmanager
def recorded(name: str, directory: Path) -> Iterator[Recorded]:
    """Run an example's `recorded.py`, from a directory that is not its own."""
    store = directory / "store.db"
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / name / "recorded.py"), str(store)],
        cwd=directory,
        env=clean_environment(PYTHONIOENCODING="utf-8"),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert (0, "") == (ran.returncode, ran.stderr)
    with contextlib.closing(tachograph.read(store)) as source:
        yield source, ran.stdout


@pytest.fixture(scope="session")
def service_recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """The service's day."""
    with recorded("agent_runtime", tmp_path_factory.mktemp("agent_runtime")) as found:
        yield found


@pytest.fixture(scope="session")
def command_line_recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """The command line's two tasks."""
    with recorded("sop_agents", tmp_path_factory.mktemp("sop_agents")) as found:
        yield found


@pytest.fixture(scope="session")
def service(service_recorded: Recorded) -> Source:
    """The service's day, as the store has it."""
    return service_recorded[0]


@pytest.fixture(scope="session")
def command_line(command_line_recorded: Recorded) -> Source:
    """The command line's two tasks, as the store has them."""
    return command_line_recorded[0]


@pytest.fixture(scope="session")
def printed(service_recorded: Recorded, command_line_recorded: Recorded) -> Callable[[str], str]:
    """What the command of an example printed."""
    return {"agent_runtime": service_recorded[1], "sop_agents": command_line_recorded[1]}.__getitem__
