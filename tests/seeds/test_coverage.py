"""What each part of the service tells: the thirteen that its authors' coverage analysis names, and what they reach."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tachograph
from support.programs import PATIENCE, clean_environment
from tachograph.sources.sqlite import SqliteSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.sources import Source

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "agent_runtime"

TOLD = {
    "MultiAgentOrchestrator": {
        "agent_processing_started": 13,
        "agent_processing_completed": 13,
        "agent_switched": 6,
        "agent_error": 2,
        "task_started": 9,
        "task_completed": 9,
    },
    "LLMStreamService": {"tool_execution_requested": 8, "tool_approval_required": 5},
    "SessionManager": {"session_created": 3, "message_added": 34, "session_updated": 34, "session_deleted": 1},
    "HITLManager": {"hitl_approval_requested": 5, "hitl_decision_made": 5},
    "Main Application": {"system_startup": 1, "system_shutdown": 1},
    "Tool Registry": {"tool_execution_started": 7, "tool_execution_completed": 6, "tool_execution_failed": 1},
    "LLM Proxy Client": {"llm_request_started": 20, "llm_request_completed": 19, "llm_request_failed": 1},
    "Agent Router": {"agent_registered": 5},
}
"""Entries of the day by the part that causes them. The parts that are missing here have tests of their own."""

AGENTS = {"architect": 1, "ask": 1, "coder": 5, "debug": 1, "universal": 2}


@pytest.mark.parametrize("part", TOLD)
def test_each_part_tells(service: Source, part: str) -> None:
    """A part of the service gives every event the analysis has for it, each as often as it happened."""
    count = Counter(entry["event_type"] for entry in service.audit_log())
    assert TOLD[part] == {event_type: count[event_type] for event_type in TOLD[part]}


@pytest.mark.parametrize("agent", AGENTS)
def test_agents(service: Source, agent: str) -> None:
    """Each of the five agents tells of its own runs, beginning and end."""
    runs = [entry for entry in service.audit_log(category="agent") if entry.get("agent_type") == agent]
    count = Counter(entry["event_type"] for entry in runs)
    assert [AGENTS[agent]] * 2 == [count[f"agent_processing_{what}"] for what in ("started", "completed")]


def test_agent_context_manager(service: Source, printed: Callable[[str], str]) -> None:
    """Who a session is with by the service's own contexts is who it was last switched to by the events."""
    contexts = [json.loads(line) for line in re.findall(r"^  \w+: (\{.*\})$", printed("agent_runtime"), re.MULTILINE)]
    assert {"ada": "coder", "bob": "ask", "cleo": "universal"} == {
        context["session_id"]: context["agent"] for context in contexts
    }
    for context in contexts:
        last = service.audit_log(session_id=context["session_id"], event_type="agent_switched")[-1]
        assert context["agent"] == last["to_agent"]


def test_database_service(service: Source) -> None:
    """Each query tells what it was for, and its session."""
    queries = service.audit_log(event_type="database_query_executed")
    count = Counter(entry["operation"] for entry in queries)
    assert {"save_usage": 19, "save_decision": 5, "total_tokens": 3} == {
        name: count[name] for name in ("save_usage", "save_decision", "total_tokens")
    }
    assert {"ada", "bob", "cleo"} == {entry["session_id"] for entry in queries}


def test_the_services_background_writers(service: Source) -> None:
    """What the service writes behind the user's back is seen too: each session and each context, at least once."""
    for operation in ("save_session", "save_context"):
        written = [
            entry["session_id"]
            for entry in service.audit_log(event_type="database_query_executed")
            if entry["operation"] == operation
        ]
        assert {"ada", "bob", "cleo"} == set(written)


@pytest.mark.parametrize(
    "settings",
    [
        {"FLUSH": "events", "DEBOUNCE": "2", "BATCH": "50"},
        {"FLUSH": "timer", "INTERVAL": "5"},
    ],
    ids=["persistence subscriber", "background writers"],
)
def test_persistence(service: Source, tmp_path: Path, settings: dict[str, str]) -> None:
    """Stored soon after each event, or by a timer: in the end all is there, as what is left is written at the exit."""
    variables = {f"TACHOGRAPH_STORE_{name}": value for name, value in settings.items()}
    subprocess.run(
        [sys.executable, str(EXAMPLE / "recorded.py"), str(tmp_path / "store.db")],
        cwd=tmp_path,
        env=clean_environment(PYTHONIOENCODING="utf-8", **variables),
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=True,
    )
    with contextlib.closing(tachograph.read(tmp_path / "store.db")) as stored:
        assert isinstance(stored, SqliteSource)
        assert _day(service) == _day(stored)


def _day(source: Source) -> dict[str, int]:
    count = Counter(entry["event_type"] for entry in source.audit_log())
    del count["database_query_executed"]  # the service's own writers are as fast as they are
    return dict(count)


def test_events_of_no_session(service: Source) -> None:
    """Starting, stopping and entering agents make no session: only users have one."""
    users = {metrics.session_id for metrics in service.session_list(deleted=True)}
    assert {"ada", "bob", "cleo"} == users
    assert {"agent_registered", "system_startup", "system_shutdown"} == {
        entry["event_type"] for entry in service.audit_log() if entry["session_id"] not in users
    }
