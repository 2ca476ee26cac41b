"""The service of five agents: what its users see, what it is billed, what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import PATIENCE, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.programs import Finished

PROGRAM = Path(__file__).parent.parent.parent / "examples" / "agent_runtime"

REFUSALS = """
import asyncio, json, sys

import httpx

sys.path.insert(0, sys.argv[1])
from app.main import app, shutdown, startup


async def main():
    await startup(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as service:
        asked = [
            ("POST", "/agent/hitl/decision", {"session_id": "ada", "call_id": "c", "decision": "APPROVE"}),
            ("POST", "/agent/hitl/decision", {"session_id": "ada", "call_id": "c", "decision": "EDIT"}),
            ("POST", "/agent/sessions", {"session_id": "ada", "approval_timeout_seconds": 0}),
            ("POST", "/agent/sessions", {"session_id": "ada"}),
            ("POST", "/agent/sessions", {"session_id": "ada"}),
            ("GET", "/agent/sessions/eve", None),
            ("DELETE", "/agent/sessions/eve", None),
        ]
        answers = [await service.request(method, path, json=body) for method, path, body in asked]
    await shutdown(app)
    print(json.dumps([(answer.status_code, answer.text) for answer in answers]))


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def day(run_example: Callable[[str], Finished]) -> Finished:
    """One run of the program."""
    return run_example("agent_runtime/run.py")


def test_runs(day: Finished) -> None:
    """The program ends well and complains of nothing."""
    assert (0, "") == (day.code, day.stderr)


def test_imports_nothing_of_ours(day: Finished) -> None:
    """The program is instrumented from outside or not at all: it knows nothing of Tachograph."""
    assert "of ours: []" == day.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "seen",
    [
        "orchestrator → coder: Code modification required",
        "coder → debug: The cause of an error is asked for",
        "debug → coder: Requested by the user",
        "may write_file run? File modification requires approval\n    ada decides: APPROVE\n    write_file: wrote 41",
        "ada decides: EDIT\n    write_file: wrote 55 characters to sort.py",
        "ada decides: REJECT\n    execute_command: The user refused: not yet",
        "error: FileNotFoundError: no command has run yet",
        "ada decides: APPROVE\n    execute_command: c b a",
        "orchestrator → architect: A question of design\n  agent: In SQLite",
        "calculator: ValueError: '15 % of 1240' is no sum: invalid syntax\n    calculator: 186",
        "error: InternalServerError: Error code: 503",
        "execute_command: Nobody decided in time",
        "cleo decides: APPROVE (call 'call_clean' waited 0.2 s and no longer does)",
        "bob deletes the session",
    ],
    ids=lambda seen: seen.splitlines()[0],
)
def test_users_see(day: Finished, seen: str) -> None:
    """Each scene of the day ends as it is meant to: switches, decisions, errors, an answer without tools."""
    assert seen in day.stdout


def test_bill(day: Finished) -> None:
    """The bill is the script's, and what the service has entered on its sessions' accounts."""
    accounts = [json.loads(found) for found in re.findall(r"^  \w+: (\{.*\})$", day.stdout, flags=re.MULTILINE)]

    assert "The model server billed 10,537 tokens." in day.stdout
    assert {"ada": 7646, "bob": 1894, "cleo": 997} == {
        account["session_id"]: account["total_tokens"] for account in accounts
    }
    assert 10_537 == sum(account["total_tokens"] for account in accounts)


def test_refusals(tmp_path: Path) -> None:
    """What the service cannot do it refuses with a status that says so and a text that names the value."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", REFUSALS, str(PROGRAM)],
        env=clean_environment(OPENAI_API_KEY="none", AGENT_RUNTIME_DIR=str(tmp_path)),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )

    assert (0, "") == (ran.returncode, ran.stderr)
    statuses, texts = zip(*json.loads(ran.stdout), strict=True)
    assert (404, 422, 422, 201, 409, 404, 404) == statuses
    for text, named in zip(texts, ("'c'", "EDIT", "approval_timeout", "", "'ada'", "'eve'", "'eve'"), strict=True):
        assert named in text
