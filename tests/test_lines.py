"""Lines of the log for who reads along."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import tachograph
from tachograph.lines import LOGGER
from tachograph.testing import TickingClock, capture

if TYPE_CHECKING:
    import pytest


def work() -> None:
    """A run with a call that goes well and one that does not."""
    with capture(clock=TickingClock(step_ns=1_000_000)), tachograph.session("abc-123"), tachograph.agent("boss"):
        with tachograph.model("m") as call:
            call.usage(input_tokens=892, output_tokens=378)
        with tachograph.model("m") as call:
            call.failed("RateLimitError")
        tachograph.events.session_updated("abc-123")


def test_model_calls_are_lines_at_info(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO a call is said to have begun, how it ended, and what its session has come to, and nothing else."""
    with caplog.at_level(logging.INFO, LOGGER.name):
        work()
    assert [
        ("INFO", "LLM request started for session abc-123"),
        ("INFO", "LLM request completed for session abc-123: 1ms, 1270 tokens"),
        ("INFO", "Session abc-123 metrics updated: 1 requests, 1270 tokens"),
        ("INFO", "LLM request started for session abc-123"),
        ("INFO", "LLM request failed for session abc-123: RateLimitError"),
        ("INFO", "Session abc-123 metrics updated: 2 requests, 1270 tokens"),
    ] == [(record.levelname, record.getMessage()) for record in caplog.records]


def test_everything_is_lines_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG other operations and events have lines as well."""
    with caplog.at_level(logging.DEBUG, LOGGER.name):
        work()
    assert [
        "agent boss started for session abc-123",
        "session_updated for session abc-123",
        "agent boss ok for session abc-123: 6ms",
    ] == [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]


def test_nobody_else_has_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Above INFO there is nothing."""
    with caplog.at_level(logging.WARNING, LOGGER.name):
        work()
    assert [] == caplog.records


def test_a_level_set_meanwhile_counts_from_the_next_outermost_operation(caplog: pytest.LogCaptureFixture) -> None:
    """Whether anybody reads along is asked when an outermost operation begins, and of events each time."""
    with capture():
        with tachograph.agent("boss"), caplog.at_level(logging.DEBUG, LOGGER.name), tachograph.model("m"):
            pass
        with caplog.at_level(logging.DEBUG, LOGGER.name):
            tachograph.events.session_updated("s")
            with tachograph.agent("next"):
                pass
    said = [record.getMessage() for record in caplog.records]
    assert ["session_updated for session s", "agent next started", "agent next ok"] == [
        line if line.startswith("session") else line.split(" for ")[0] for line in said
    ]


def test_a_broken_log_is_no_trouble(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A handler of the program's that raises costs lines, and no record."""

    def fail(_: logging.LogRecord) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(LOGGER, "filters", [fail])
    with caplog.at_level(logging.INFO, LOGGER.name), capture(strict=False) as captured:
        with tachograph.model("m"):
            pass
        assert 1 == captured.ledger.total().total_requests
