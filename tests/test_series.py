"""Series of sessions come and go; what the SDK keeps of them does not grow."""

from __future__ import annotations

from typing import Any

from opentelemetry.metrics import NoOpMeterProvider

import tachograph
from tachograph import names
from tachograph.live import Start
from tachograph.series import forget_idle
from tachograph.testing import Capture, capture

SDK_LIMIT = 2_000
"""Series of one metric after which the SDK makes one of all further ones."""


def sessions_of(points: list[tuple[str, dict[str, Any], Any]], metric: str) -> set[Any]:
    return {attributes.get(names.SESSION_ID) for name, attributes, _ in points if name == metric}


def work(captured: Capture, session_id: str) -> None:
    with tachograph.session(session_id):
        recorder = captured.runtime.recorder
        recorder.end(recorder.begin(Start("model", "m")), "ok", {names.INPUT_TOKENS: 1, names.COST: 0.5})
        tachograph.request_approval(tool_name="write_file", call_id="call_1")


def test_sessions_have_their_series_however_many_there_were() -> None:
    """After more sessions than the SDK has room for, the newest are still there, each with its own figures."""
    with capture(metric_sessions=200) as captured:
        for number in range(SDK_LIMIT + 200):
            work(captured, f"s{number}")
            if number % 200 == 199:
                points = captured.points()

    newest = {f"s{number}" for number in range(SDK_LIMIT, SDK_LIMIT + 200)}
    by_session = [name for name, metric in names.METRICS.items() if names.SESSION_ID in metric.attributes]
    assert by_session
    for metric in by_session:
        assert newest == sessions_of(points, metric), metric


def test_a_session_that_comes_back_has_its_series_again() -> None:
    """A series that was dropped begins anew with the figures that the ledger has kept."""
    with capture(metric_sessions=1) as captured:
        work(captured, "a")
        captured.points()
        work(captured, "b")
        assert sessions_of(captured.points(), names.SESSION_TOKENS) == {"b"}
        work(captured, "a")
        points = captured.points()

    assert sessions_of(points, names.SESSION_TOKENS) == {"a"}
    (tokens,) = [
        point.value
        for name, attributes, point in points
        if name == names.SESSION_TOKENS and attributes[names.TOKEN_TYPE] == "input"
    ]
    assert tokens == 2


def test_a_provider_built_differently_is_left_alone() -> None:
    """Where there is nothing of the kind nothing happens."""
    forget_idle(NoOpMeterProvider(), names.SESSION_TOKENS)
