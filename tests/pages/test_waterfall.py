"""A timeline as rows with bars."""

from __future__ import annotations

import pytest

from support.records import MILLISECOND, MOMENT, event, identifier, ledger_of, operation
from tachograph import names
from tachograph.pages.waterfall import DEEPEST, Waterfall, state_of, waterfall


def fall(*records, now_ms: float = 10_000, limit: int = 100, offset: int = 0) -> Waterfall:
    """The waterfall of these records, so many milliseconds after they began."""
    ledger = ledger_of(records)
    switches, now = ledger.audit_log(event_type="agent_switched"), MOMENT + round(now_ms * MILLISECOND)
    return waterfall(ledger.timeline(), ledger.open_operations(), switches, now, limit=limit, offset=offset)


def test_bars_are_where_their_time_was():
    """A bar begins where its operation began and is as long as it took."""
    found = fall(
        operation(1, "agent", "boss", at=0, took=1_000),
        operation(2, at=250, took=500, parent=1),
        operation(3, "tool", "search", at=750, took=250, parent=1),
    )

    assert [(0, 100), (25, 50), (75, 25)] == [(bar.at, bar.width) for bar in found.bars]
    assert ["1.00 s", "0.50 s", "0.25 s"] == [bar.took for bar in found.bars]
    assert [0, 1, 1] == [bar.depth for bar in found.bars]


def test_what_is_short_is_seen():
    """An operation of no time has a bar that can be seen and is on the line."""
    (*_, last) = fall(operation(1, took=1_000), operation(2, at=1_000, took=0)).bars

    assert last.width > 0
    assert last.at + last.width <= 100


def test_under_way():
    """What has not ended has an age that goes on, and its bar goes on to now."""
    found = fall(operation(1, "agent", "boss", took=None, outcome=None), now_ms=5_000)

    (bar,) = found.bars
    assert ("open", "5.00 s", 100) == (bar.state, bar.took, bar.width)
    assert bar.since_ms == MOMENT // MILLISECOND


@pytest.mark.parametrize(
    ("kind", "outcome", "age_ms", "expected"),
    [
        ("model", None, 59_000, "open"),
        ("model", None, 61_000, "stuck"),
        ("tool", None, 61_000, "stuck"),
        ("agent", None, 1e9, "open"),
        ("approval", None, 1e9, "waiting"),
        ("model", "error", None, "bad"),
        ("agent", "lost", None, "bad"),
        ("agent", "max_steps", None, "odd"),
        ("tool", "refused", None, "odd"),
        ("model", "ok", None, "good"),
    ],
)
def test_states(kind, outcome, age_ms, expected):
    """A call that has not ended in a minute is stuck; a run may take its time, and a human may."""
    assert expected == state_of(kind, outcome, age_ms)


def test_switches_are_marked():
    """A run that was handed over says by whom and to whom, and so does an event of its own."""
    handed = {names.SWITCH_FROM: "boss", names.SWITCH_TO: "clerk", names.NESTED: True}
    found = fall(
        operation(1, "agent", "boss", took=1_000),
        operation(2, "agent", "clerk", at=1, took=500, parent=1, attributes=handed),
        event(3, "agent_switched", at=600, from_agent="clerk", to_agent="human"),
    )

    assert [None, ("boss", "clerk"), ("clerk", "human")] == [bar.switch for bar in found.bars]


def test_a_humans_time_is_no_work():
    """The hour in which a human was asked is drawn short, whatever was open around it."""
    hour = 3_600_000
    found = fall(
        operation(1, "agent", "boss", took=hour + 2_000),
        operation(2, at=0, took=1_000, parent=1),
        operation(3, "approval", "write", at=1_000, took=hour, parent=1, attributes={names.HUMAN_WAIT: True}),
        operation(4, at=hour + 1_000, took=1_000, parent=1),
    )

    assert ["1 h 00 min"] == [one.label for one in found.axis.breaks]


def test_parts():
    """A part of the rows is drawn along the same line, and says which part it is."""
    records = [operation(number, at=number * 10, took=10) for number in range(1, 31)]
    whole, part = fall(*records), fall(*records, limit=10, offset=20)

    assert whole.bars[20:30] == part.bars
    assert (20, 30, whole.axis) == (part.first, part.total, part.axis)


def test_depth_is_bounded():
    """What is nested deeper than can be shown is shown at the deepest place."""
    chain = [operation(n, "agent", "a", parent=n - 1 if n > 1 else None) for n in range(1, 40)]

    assert DEEPEST == max(bar.depth for bar in fall(*chain).bars)
    assert identifier(39) in {bar.entry.id for bar in fall(*chain).bars}


def test_nothing():
    """Of nothing there are no rows."""
    assert () == fall().bars
