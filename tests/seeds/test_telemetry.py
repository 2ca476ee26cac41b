"""A session of the command line as a whole, and telemetry by hand: what its authors' telemetry system promises."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from support.records import operation
from tachograph.config import Config
from tachograph.export import session_export
from tachograph.store.upkeep import keep_within
from tachograph.store.writer import Writer
from tachograph.testing import capture

if TYPE_CHECKING:
    from pathlib import Path

    from tachograph.sources import Source


@pytest.fixture(scope="module")
def session(command_line: Source) -> dict[str, Any]:
    """The session's export."""
    (session_id,) = command_line.sessions()
    return session_export(command_line, session_id)


# ---------------------------------------------------------------------------------------------------- its structure
def test_session(session: dict[str, Any]) -> None:
    """A session has an id, begins and ends, and says its environment, tasks, tokens and duration."""
    assert {
        "session_id",
        "start_time",
        "end_time",
        "environment",
        "tasks",
        "total_tokens",
        "total_duration",
    } <= session.keys()
    start, end = (datetime.fromisoformat(session[name].replace("Z", "+00:00")) for name in ("start_time", "end_time"))
    assert 0 < session["total_duration"] <= (end - start).total_seconds()


def test_tasks(session: dict[str, Any]) -> None:
    """Each task has its id, description, status, moments and the category of the procedure it followed."""
    assert [
        ("repo_analysis_1", "Explain the architecture of this repository", "completed", "repo_analysis/overview"),
        (
            "code_generation_1",
            "Rename add_up to total everywhere, and add a changelog",
            "completed",
            "code_generation/simple",
        ),
    ] == [(task["task_id"], task["description"], task["status"], task["sop_category"]) for task in session["tasks"]]
    assert all(task["start_time"] < task["end_time"] and task["duration"] > 0 for task in session["tasks"])


def test_agents_of_a_task(session: dict[str, Any]) -> None:
    """Each task lists its agents, the micro agents as part of their supervisor's run."""
    assert [
        [("repo_analysis", False), ("search_agent", True)],
        [("code_generation", False), ("search_agent", True), ("edit_agent", True)],
    ] == [[(agent["agent_name"], agent["nested"]) for agent in task["agents"]] for task in session["tasks"]]
    assert all(agent["duration"] > 0 for task in session["tasks"] for agent in task["agents"])


def test_tools_of_a_task(session: dict[str, Any]) -> None:
    """Each task lists its tool calls, with who made them and which failed."""
    first, second = session["tasks"]
    assert ["file_search", "final_answer", "file_reader", "final_answer"] == [
        tool["tool_name"] for tool in first["tools"]
    ]
    assert 11 == len(second["tools"])
    assert [("file_reader", "edit_agent", "the repository has no file 'CHANGELOG.md'")] == [
        (tool["tool_name"], tool["agent"], tool["error"]) for tool in second["tools"] if not tool["success"]
    ]


def test_llm_calls_of_a_task(session: dict[str, Any]) -> None:
    """Each task lists its model calls with their tokens, which add up to the bill."""
    calls = [call for task in session["tasks"] for call in task["llm_calls"]]
    assert [4, 8] == [len(task["llm_calls"]) for task in session["tasks"]]
    assert 26_992 == sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
    assert all(call["model"] in ("gpt-4.1", "gpt-4.1-mini") and call["duration"] > 0 for call in calls)


def test_code_changes_of_a_task(session: dict[str, Any]) -> None:
    """A task says which files it changed, new ones included, and how many lines; one that changed nothing says that."""
    first, second = (task["code_changes"] for task in session["tasks"])
    assert (0, 0, 0) == (first["files_changed"], first["lines_added"], first["lines_removed"])
    assert (3, 6, 3) == (second["files_changed"], second["lines_added"], second["lines_removed"])
    assert {"CHANGELOG.md": (3, 0), "prices.py": (1, 1), "shop.py": (2, 2)} == {
        file["path"]: (file["added"], file["removed"]) for file in second["files"]
    }


def test_nothing_is_outside_of_the_tasks(session: dict[str, Any]) -> None:
    """All agents, tools and model calls belong to one of the tasks."""
    assert {"agents": [], "tools": [], "llm_calls": []} == session["outside_tasks"]
    assert (True, []) == (session["complete"], session["reasons"])


def test_tokens(session: dict[str, Any]) -> None:
    """Tokens in all and by model, with what they cost."""
    total = session["total_tokens"]
    assert (26_510, 482, 26_992) == tuple(total[f"{name}_tokens"] for name in ("prompt", "completion", "total"))
    assert {"gpt-4.1": (16_376, 280, 16_656), "gpt-4.1-mini": (10_134, 202, 10_336)} == {
        model: (used["prompt_tokens"], used["completion_tokens"], used["total_tokens"])
        for model, used in total["model_breakdown"].items()
    }
    assert total["cost_estimate"] == pytest.approx(
        sum(used["cost_estimate"] for used in total["model_breakdown"].values())
    )
    assert total["cost_estimate"] > 0


def test_environment(session: dict[str, Any]) -> None:
    """What the program ran in: system, Python, folders, user and time zone; variables only where settings name them."""
    environment = session["environment"]
    assert {
        "os_type",
        "os_version",
        "python_version",
        "working_directory",
        "project_root",
        "user_name",
        "timezone",
        "environment_variables",
    } == environment.keys()
    assert re.fullmatch(r"3\.\d+\.\d+\S*", environment["python_version"])
    assert {} == environment["environment_variables"]


def test_export_is_json(session: dict[str, Any]) -> None:
    """The whole session can be written to a file and read again."""
    assert session == json.loads(json.dumps(session))


def test_supervisors_hand_over(command_line: Source) -> None:
    """Calls of micro agents are hand-overs between agents."""
    assert {
        "code_generation_to_edit_agent": 1,
        "code_generation_to_search_agent": 1,
        "repo_analysis_to_search_agent": 1,
    } == command_line.metrics().agent_switches


# ------------------------------------------------------------------------------------------------------------ by hand
def test_collection_by_hand() -> None:
    """A program that collects by itself says its task, model calls, tools and agents, and finds them in the export."""
    with capture() as captured, tachograph.session("by-hand"):
        tachograph.start_task("custom_task", "A task of my own")
        tachograph.record_llm_call(model="gpt-4.1", prompt_tokens=150, completion_tokens=75, duration=3.2)
        tachograph.record_tool_usage("file_reader", 0.8)
        tachograph.record_agent_execution(agent_type="supervisor", agent_name="RepoAnalysisAgent", duration=30.2)
        tachograph.end_task("custom_task", "completed")
    session = session_export(captured.ledger, "by-hand")
    (task,) = session["tasks"]
    assert ("custom_task", "A task of my own", "completed") == (task["task_id"], task["description"], task["status"])
    assert [("gpt-4.1", 225, 3.2)] == [
        (call["model"], call["total_tokens"], call["duration"]) for call in task["llm_calls"]
    ]
    assert [("file_reader", 0.8)] == [(tool["tool_name"], tool["duration"]) for tool in task["tools"]]
    assert [("RepoAnalysisAgent", 30.2)] == [(agent["agent_name"], agent["duration"]) for agent in task["agents"]]


def test_disabled_and_enabled() -> None:
    """Telemetry can be switched off and on; meanwhile nothing is recorded."""
    with capture() as captured, tachograph.session("s"):
        tachograph.disable()
        assert not tachograph.is_enabled()
        tachograph.record_tool_usage("unseen", 0.1)
        tachograph.enable()
        tachograph.record_tool_usage("seen", 0.1)
    assert ["seen"] == list(captured.ledger.session_metrics("s").tools)


def test_errors_of_telemetry_stay_inside() -> None:
    """What fails in a function made safe is counted and goes no further, until the count is forgotten."""

    @tachograph.safe("custom_operation")
    def fails() -> None:
        raise RuntimeError("telemetry is broken")

    with capture():
        assert fails() is None
        assert {"custom_operation": 1} == tachograph.error_summary()
        tachograph.reset_errors()
        assert {} == tachograph.error_summary()


def test_sessions_of_the_past(command_line: Source) -> None:
    """The store gives the ids of its sessions and each one's figures, long after their program has ended."""
    (session_id,) = command_line.sessions()
    metrics = command_line.session_metrics(session_id)
    assert (2, 26_992, 12) == (metrics.tasks, metrics.total_tokens, metrics.total_requests)


def test_storage(command_line: Source) -> None:
    """The store says where it is and how much it keeps."""
    assert command_line.place.endswith("store.db")
    assert 1 == command_line.stats()["sessions"]


def test_a_folder_of_ones_own_and_a_retry_when_it_can_be_written(tmp_path: Path) -> None:
    """The store is where it is said to be; what cannot be written waits in memory, and the program goes on."""
    (tmp_path / "custom").write_text("a file in the way of the folder")
    with capture(store=tmp_path / "custom" / "store.db") as captured, tachograph.session("s"):
        tachograph.record_tool_usage("file_reader", 0.5)
        keeper = captured.runtime.keeper
        assert keeper is not None
        assert not keeper.flush(0.2)
        assert 1 == captured.ledger.session_metrics("s").tool_calls
        (tmp_path / "custom").unlink()
        assert keeper.flush(20)
    with contextlib.closing(tachograph.read(tmp_path / "custom" / "store.db")) as stored:
        assert 1 == stored.session_metrics("s").tool_calls


def test_old_sessions_are_cleaned_up(tmp_path: Path) -> None:
    """Sessions older than the days that settings say are taken away by themselves."""
    store, day = tmp_path / "store.db", 86_400_000
    with contextlib.closing(Writer(store)) as writer:
        for number, days in ((1, 20), (2, 3)):
            old = operation(number, session=f"{days} days old")
            now = time.time_ns() - days * day * 1_000_000
            writer.append([old._replace(start_ns=now, end_ns=now)])
        assert keep_within(writer, Config.read({"store": store, "store_max_age": 14}, environ={})).finished
    with contextlib.closing(tachograph.read(store)) as stored:
        assert ["3 days old"] == stored.sessions()


def test_an_agent_from_yaml(session: dict[str, Any]) -> None:
    """The agent that is only a few lines of YAML is recorded like those that are classes: its runs, model and tools."""
    runs = [agent for task in session["tasks"] for agent in task["agents"] if agent["agent_name"] == "search_agent"]
    assert 1 <= len(runs)
    assert all(run["duration"] > 0 for run in runs)
    tools = {
        tool["tool_name"] for task in session["tasks"] for tool in task["tools"] if tool["agent"] == "search_agent"
    }
    assert tools & {"file_search", "text_grep"}


def test_lines_for_finding_out(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG everything that is recorded is a line of the log."""
    with caplog.at_level(logging.DEBUG, "tachograph"), capture(), tachograph.session("s"), tachograph.tool("grep"):
        pass
    assert ["tool grep ok for session s: 1ms"] == [
        re.sub(r"\d+ms", "1ms", record.getMessage()) for record in caplog.records if " ok " in record.getMessage()
    ]


def test_threads_collect_safely() -> None:
    """Many threads at once lose nothing."""
    with capture() as captured:
        bound = tachograph.bind(lambda: [tachograph.record_tool_usage("t", 0.001) for _ in range(50)])
        threads = [threading.Thread(target=bound) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 400 == captured.ledger.total().tool_calls
