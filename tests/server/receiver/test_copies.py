"""Events that are copied onto a span: taken only where the log event itself does not come."""

from __future__ import annotations

import math

import pytest

from support.records import event
from tachograph.server.receiver import copies
from tachograph.server.receiver.copies import PATIENCE, Copies

SWITCH = event(1, "agent_switched", from_agent="a", to_agent="b")
OTHER = event(2, "agent_switched", from_agent="b", to_agent="c")


def test_a_copy_waits_and_is_taken_in_the_end():
    """Where no log event comes the copy is the event."""
    waiting = Copies()

    assert [] == waiting.wait([SWITCH, SWITCH], 1.0)
    assert (1, 1.0 + PATIENCE) == (len(waiting), waiting.due)
    assert [] == waiting.patient(PATIENCE)
    assert [SWITCH] == waiting.patient(1.0 + PATIENCE)
    assert (0, None) == (len(waiting), waiting.due)


@pytest.mark.parametrize("first", ["copy", "log event"])
def test_the_log_event_takes_the_place_of_its_copy(first):
    """Whichever comes first, the copy of an event that is here is not taken."""
    waiting = Copies()
    if first == "copy":
        waiting.wait([SWITCH], 0.0)
    waiting.come([SWITCH])
    waiting.wait([SWITCH, OTHER], 0.0)

    assert [OTHER] == waiting.patient(math.inf)


def test_few_may_wait(monkeypatch):
    """When too many wait the oldest are taken at once; what has come is remembered within the same bound."""
    monkeypatch.setattr(copies, "_MOST", 2)
    waiting = Copies()
    events = [event(number, "agent_switched") for number in range(1, 6)]

    assert events[:3] == waiting.wait(events, 0.0)
    waiting.come(events)
    assert (0, 2) == (len(waiting), len(waiting._come))
