"""The agents that work by procedures: what they answer, what they change, what they are billed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import PATIENCE, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.programs import Finished

PROGRAM = Path(__file__).parent.parent.parent / "examples" / "sop_agents"

REFUSALS = """
import json, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from ai_agents.sop import choose_sop
from ai_agents.tools import create_tool
from ai_agents.yaml_agents import create_agent_from_yaml


def refusal(function, *arguments):
    try:
        function(*arguments)
    except (OSError, ValueError) as error:
        return str(error)


here = Path(sys.argv[2])
print(json.dumps([
    refusal(choose_sop, "Sing"),
    refusal(create_agent_from_yaml, "poet"),
    refusal(create_tool, "piano", here),
    refusal(create_tool("file_reader", here), "../secret"),
    refusal(create_tool("file_reader", here), "nothing.txt"),
]))
"""


@pytest.fixture(scope="module")
def tasks(run_example: Callable[[str], Finished]) -> Finished:
    """One run of the program."""
    return run_example("sop_agents/run.py")


def test_runs(tasks: Finished) -> None:
    """The program ends well and complains of nothing."""
    assert (0, "") == (tasks.code, tasks.stderr)


def test_imports_nothing_of_ours(tasks: Finished) -> None:
    """The program is instrumented from outside or not at all: it knows nothing of Tachograph."""
    assert "of ours: []" == tasks.stdout.splitlines()[-1]


def test_answers(tasks: Finished) -> None:
    """Each task is done by the procedure its words call for, and answered."""
    for line in (
        "repo_analysis_1, by repo_analysis/overview: Explain the architecture of this repository",
        "  shop.py prints a bill; prices.py adds it up.",
        "code_generation_1, by code_generation/simple: Rename add_up to total everywhere, and add a changelog",
        "  add_up is now total in prices.py and shop.py, and CHANGELOG.md says so.",
    ):
        assert line in tasks.stdout.splitlines()


def test_changes(tasks: Finished) -> None:
    """The second task changes the repository: two files and a new one, as git counts it."""
    assert "3 files changed, 6 insertions(+), 3 deletions(-)" in tasks.stdout


def test_bill(tasks: Finished) -> None:
    """The bill is the script's, to the last reply."""
    assert "The model server billed 26,992 tokens.\n" in tasks.stdout


def test_refusals(tmp_path: Path) -> None:
    """A task, agent, tool or file that is not there is refused by name, and a path that leads out too."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", REFUSALS, str(PROGRAM), str(tmp_path)],
        env=clean_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )

    assert (0, "") == (ran.returncode, ran.stderr)
    for text, named in zip(
        json.loads(ran.stdout), ("'Sing'", "'poet'", "'piano'", "'../secret'", "'nothing.txt'"), strict=True
    ):
        assert named in text
