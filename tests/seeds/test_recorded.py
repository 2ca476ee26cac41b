"""The example programs as they are, recorded by one command each."""

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

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.mark.parametrize(
    ("example", "bill", "shown"),
    [
        (
            "agent_runtime",
            "The model server billed 10,537 tokens.",
            [
                "Tachograph · session ada",
                "  tokens    7,646 = 7,344 in (2,048 cached) + 302 out",
                "Tachograph · session bob",
                "  tokens    1,894 = 1,766 in (384 cached) + 128 out",
                "Tachograph · session cleo",
                "  tokens    997 = 920 in + 77 out",
                "! agent_switched             confidence='high' from_agent='orchestrator'",
                "! session_deleted            soft_delete=True",
            ],
        ),
        (
            "sop_agents",
            "The model server billed 26,992 tokens.",
            [
                "  tokens    26,992 = 26,510 in (15,104 cached) + 482 out",
                "task_id='code_generation_1'",
                "'files_changed': 3",
            ],
        ),
    ],
)
def test_one_command_records_and_shows(
    printed: Callable[[str], str], example: str, bill: str, shown: list[str]
) -> None:
    """The program says what it says by itself, and after it come its sessions, each summed up and entry by entry."""
    text = printed(example)
    assert [] == [line for line in [bill, *shown] if line not in text]


@pytest.mark.parametrize("example", ["agent_runtime", "sop_agents"])
def test_the_program_knows_nothing_of_it(example: str) -> None:
    """Not a line of the program is ours: it neither imports nor mentions what records it."""
    ours = {"recorded.py", "tachograph.toml"}
    files = [
        file for file in (EXAMPLES / example).rglob("*") if file.is_file() and file.suffix in (".py", ".yaml", ".md")
    ]
    assert [] == [file for file in files if file.name not in ours and "tachograph" in file.read_text("utf-8").lower()]


_STATS = """
import json, runpy, sys

import tachograph.auto

runpy.run_path(sys.argv[1], run_name="__main__")
stats = tachograph.stats()
print(json.dumps({name: stats[name] for name in ("wraps", "wraps_missed", "swallowed", "misused")}))
"""


@pytest.mark.parametrize(("example", "tables"), [("agent_runtime", 19), ("sop_agents", 1)])
def test_every_table_finds_what_it_names(tmp_path: Path, example: str, tables: int) -> None:
    """Each table of the settings has its callable, and each path in it what it names; nothing goes wrong inside."""
    ran = subprocess.run(
        [sys.executable, "-c", _STATS, str(EXAMPLES / example / "run.py")],
        cwd=tmp_path,
        env=clean_environment(TACHOGRAPH_CONFIG=str(EXAMPLES / example / "tachograph.toml"), PYTHONIOENCODING="utf-8"),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=PATIENCE,
        check=True,
    )
    stats = json.loads(ran.stdout.splitlines()[-1])
    assert ["hooked"] * tables == list(stats["wraps"].values())
    assert ({}, {}, 0) == (stats["wraps_missed"], stats["swallowed"], stats["misused"])


@pytest.mark.parametrize("example", ["agent_runtime", "sop_agents"])
def test_the_program_does_what_it_did(printed: Callable[[str], str], tmp_path: Path, example: str) -> None:
    """Recorded or not, the program prints the same: answers, errors, decisions and the bill."""
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / example / "run.py")],
        cwd=tmp_path,
        env=clean_environment(PYTHONIOENCODING="utf-8"),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=PATIENCE,
        check=True,
    )
    assert ran.stdout == printed(example)[: len(ran.stdout)]
