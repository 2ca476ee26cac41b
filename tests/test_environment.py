"""What an agent ran in: noted once for each session, kept here and never sent."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from tachograph import names
from tachograph.environment import environment
from tachograph.testing import capture

if TYPE_CHECKING:
    from tachograph.testing import Capture


def noted(captured: Capture) -> list[Any]:
    """The environments in the audit log."""
    log = captured.ledger.audit_log(event_type="task_completed")
    return [entry["environment"] for entry in log if "environment" in entry]


def test_the_environment_is_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """System, Python, folder, project, user and time zone are those of this process."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    monkeypatch.setenv("LOGNAME", "ada")
    found = environment()
    assert found.pop("timezone")
    assert {
        "os_type": platform.system(),
        "os_version": platform.release(),
        "python_version": platform.python_version(),
        "working_directory": str(tmp_path / "deep" / "down"),
        "project_root": str(tmp_path),
        "user_name": "ada",
        "environment_variables": {},
    } == found


def test_only_variables_that_are_named_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is noted if settings name it and it is there, redacted and cut; no other is."""
    monkeypatch.setenv("MODE", "test")
    monkeypatch.setenv("LONG", "x" * 100_000)
    monkeypatch.setenv("KEY", "api_key=abcdefgh")
    monkeypatch.setenv("OTHER", "canary")
    found = environment(["MODE", "LONG", "KEY", "MISSING"])
    assert {"MODE": "test", "LONG": "x" * 1_000, "KEY": "api_key=[redacted]"} == found["environment_variables"]
    assert "canary" not in str(found)


def test_a_place_that_is_gone_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder was removed or the user has no entry, what they are is None, and the rest is there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    found = environment()
    assert (None, None, None, platform.system()) == (
        found["working_directory"],
        found["project_root"],
        found["user_name"],
        found["os_type"],
    )


def test_each_session_has_it_once(captured: Capture) -> None:
    """It is noted with the first outermost operation of a session, and with no other."""
    for session_id in ("a", "b", "a"):
        with tachograph.session(session_id), tachograph.agent("x"), tachograph.agent("inner"):
            pass
    assert [str(Path.cwd())] * 2 == [found["working_directory"] for found in noted(captured)]
    assert ["a", "b"] == [
        record.session_id
        for record in captured.ledger.records()
        if names.ENVIRONMENT in getattr(record, "attributes", {})
    ]


def test_a_session_that_was_cleared_has_it_anew(captured: Capture) -> None:
    """What was noted went with the session's record, so it is noted with what comes after."""
    with tachograph.session("a"), tachograph.agent("x"):
        pass
    tachograph.clear_session("a")
    assert [] == noted(captured)
    with tachograph.session("a"), tachograph.agent("x"):
        pass
    assert 1 == len(noted(captured))


@pytest.mark.parametrize("content", ["no_content", "span_and_event"])
def test_it_is_never_sent(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With content captured or not, nothing of the environment is on a span, in a log event or on a metric."""
    monkeypatch.setenv("MODE", "canary")
    with capture(environment_variables=["MODE"], capture_content=content) as captured:
        with tachograph.task("t"), tachograph.agent("a"), tachograph.model("m"):
            pass
        sent = [
            *(str((span.name, dict(span.attributes or {}), span.events)) for span in captured.spans),
            *(str(log.log_record.attributes) for log in captured.logs),
            str(captured.points()),
        ]
    assert ["canary"] == [found["environment_variables"]["MODE"] for found in noted(captured)]
    assert [] == [text for text in sent if "canary" in text or str(Path.cwd()) in text or names.ENVIRONMENT in text]


def test_it_can_be_left_out() -> None:
    """Where settings say so nothing is noted."""
    with capture(environment=False) as captured, tachograph.task("t"):
        pass
    assert [] == noted(captured)
