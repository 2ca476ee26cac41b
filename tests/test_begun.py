"""Operations begun by id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tachograph
from tachograph.begun import Begun
from tachograph.live import Live, Start

if TYPE_CHECKING:
    from tachograph.testing import Capture


def began(captured: Capture, name: str) -> Live:
    """An operation under way."""
    return captured.runtime.recorder.begin(Start("task", name))


def test_what_was_begun_is_taken_once(captured: Capture) -> None:
    """An operation is there by its id until somebody takes it."""
    begun, live = Begun(), began(captured, "t")
    assert begun.add("1", live) is None
    assert (live, None, None) == (begun.take("1"), begun.take("1"), begun.take("2"))


def test_the_same_id_again_makes_room(captured: Capture) -> None:
    """Whoever begins another operation by an id is given the one that had it."""
    begun, first, second = Begun(), began(captured, "t"), began(captured, "t")
    begun.add("1", first)
    assert (first, second) == (begun.add("1", second), begun.take("1"))


def test_only_a_single_task_under_way_is_around(captured: Capture) -> None:
    """Work that no context places is in the task there is, if there is one and no other; one that is over is none."""
    begun, first, second = Begun(), began(captured, "t"), began(captured, "t")
    assert begun.around() is None
    begun.add("1", first)
    assert begun.around() is first
    begun.add("2", second)
    assert begun.around() is None
    captured.runtime.recorder.end(first)
    assert begun.around() is second


def test_a_child_process_has_none(captured: Capture) -> None:
    """What was begun before a fork is the parent's to end."""
    begun = Begun()
    begun.add("1", began(captured, "t"))
    begun.after_fork()
    assert (None, None) == (begun.around(), begun.take("1"))


def test_another_one_goes_on_with_them(captured: Capture) -> None:
    """What one has begun another can end that takes over, and only that."""
    before, after, live = Begun(), Begun(), began(captured, "t")
    before.add("1", live)
    after.inherit(before)
    assert (None, live) == (before.take("1"), after.take("1"))


def test_a_task_begun_before_the_settings_were_known_can_be_ended() -> None:
    """Starting with settings takes over what was begun, asked and subscribed to before, and loses none of it."""
    told: list[str] = []
    tachograph.shutdown()
    try:
        tachograph.subscribe(lambda entry: told.append(entry["event_type"]), event_type="task_completed")
        tachograph.start_task("t1")
        approval = tachograph.request_approval(tool_name="drop", call_id="c1")
        tachograph.init(summary="0", integrations=["smolagents"])
        approval.decide("APPROVE")
        assert tachograph.end_task("t1")
        (session_id,) = tachograph.sessions()
        metrics = tachograph.session_metrics(session_id)
        assert (1, {"APPROVE": 1}) == (metrics.tasks, {k: v for k, v in metrics.hitl["drop"].items() if v})
    finally:
        tachograph.shutdown()
    assert told == ["task_completed"]
