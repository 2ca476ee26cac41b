"""Limits on a session's figures: said once, at the first time they are exceeded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from support.records import operation
from tachograph import thresholds
from tachograph.testing import TickingClock, capture
from tachograph.thresholds import Thresholds
from tachograph.values import FIGURES
from tachograph.views.session import SessionMetrics

if TYPE_CHECKING:
    from tachograph.testing import Capture


def said(captured: Capture) -> list[tuple[str, str, float, float]]:
    """What was said to be exceeded: session, figure, value and limit."""
    log = captured.ledger.audit_log(event_type="threshold_exceeded")
    return [(entry["session_id"], entry["metric"], entry["value"], entry["limit"]) for entry in log]


def call(tokens: int = 0, *, fails: bool = False) -> None:
    """One model call."""
    with tachograph.model("gpt-4.1", provider="openai") as handle:
        handle.usage(input_tokens=tokens, output_tokens=0)
        if fails:
            handle.failed("TimeoutError")


def test_every_figure_that_can_be_limited_is_read() -> None:
    """What settings accept and what is looked at are the same figures."""
    assert set(FIGURES) == thresholds._READ.keys()


@pytest.mark.parametrize(
    ("figure", "limit", "value"),
    [
        ("average_duration_ms", 0.5, 1.0),
        ("average_tokens_per_request", 99, 100.0),
        ("cost", 0.00019, 0.0002),
        ("total_requests", 0, 1),
        ("total_tokens", 99.5, 100),
    ],
)
def test_a_figure_above_its_limit_is_said(figure: str, limit: float, value: float) -> None:
    """The event names session, figure, value and limit, and is critical; at the limit nothing is said."""
    for setting, expected in ((limit, [("s", figure, value, limit)]), (value, [])):
        with capture(clock=TickingClock(), thresholds={figure: setting}) as captured, tachograph.session("s"):
            call(100)
            assert expected == said(captured)
            assert len(expected) == len(captured.ledger.audit_log(critical=True))


def test_errors_and_switches_are_limited_too() -> None:
    """The share of failed calls, root causes of failed runs, and hand-overs between agents have limits."""
    with capture(thresholds="error_rate=0.5,errors=0,agent_switches=0") as captured, tachograph.session("s"):
        call()
        call(fails=True)
        assert [] == said(captured)
        call(fails=True)
        with tachograph.agent("a") as run:
            tachograph.switch("b")
            run.failed("ValueError")
        assert [
            ("s", "error_rate", 0.666667, 0.5),
            ("s", "errors", 1, 0.0),
            ("s", "agent_switches", 1, 0.0),
        ] == sorted(said(captured), key=lambda row: row[1] == "agent_switches")


def test_it_is_said_once_for_each_session_and_figure() -> None:
    """However often a figure is above its limit afterwards, it is said once; another session says it for itself."""
    with capture(thresholds={"total_requests": 1, "total_tokens": 5}) as captured:
        for session_id in ("a", "b", "a"):
            with tachograph.session(session_id):
                for _ in range(3):
                    call(2)
        assert [
            ("a", "total_requests", 2, 1.0),
            ("a", "total_tokens", 6, 5.0),
            ("b", "total_requests", 2, 1.0),
            ("b", "total_tokens", 6, 5.0),
        ] == said(captured)


def test_a_session_that_was_cleared_exceeds_its_limits_anew() -> None:
    """Its figures begin at nothing, and so does what was said of them; of other sessions that stays said."""
    with capture(thresholds={"total_requests": 1, "total_tokens": 5}) as captured:
        for session_id in ("a", "b"):
            with tachograph.session(session_id):
                call(6), call(0)
        assert tachograph.clear_session("a")
        before = said(captured)
        with tachograph.session("a"):
            call(6), call(0), call(0)
        with tachograph.session("b"):
            call(6)
        assert [("b", "total_tokens", 6, 5.0), ("b", "total_requests", 2, 1.0)] == before
        assert [("a", "total_tokens", 6, 5.0), ("a", "total_requests", 2, 1.0)] == said(captured)[2:]


def test_threads_say_it_once() -> None:
    """Threads that see it at the same moment say it once."""
    told: list[Any] = []
    barrier = threading.Barrier(8)

    def metrics(session_id: str) -> SessionMetrics:
        barrier.wait(30)
        return SessionMetrics(session_id=session_id, total_tokens=9, cost={"amount": None})

    limits = Thresholds({"total_tokens": 1}, metrics, lambda *what: told.append(what))
    record = operation(1)
    threads = [threading.Thread(target=limits.ended, args=(record, False)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(record, "total_tokens", 9, 1)] == told


def test_a_callback_is_told() -> None:
    """Whoever subscribes to the event is told of it, with the request it happened in."""
    told: list[dict[str, Any]] = []
    with capture(thresholds={"total_tokens": 5}) as captured:
        with (
            tachograph.subscribe(told.append, event_type="threshold_exceeded"),
            tachograph.session("s", correlation_id="r"),
        ):
            call(6)
        assert told == captured.ledger.audit_log(event_type="threshold_exceeded")
    assert ["r"] == [entry["correlation_id"] for entry in told]
