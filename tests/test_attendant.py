"""Who stands by: told of what they care for, and of no harm to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import tachograph
from tachograph import events
from tachograph.attendant import Attendance, Attendant
from tachograph.records import Kind
from tachograph.testing import capture

if TYPE_CHECKING:
    from tachograph.live import Facts, Live
    from tachograph.records import Event, Operation
    from tachograph.testing import Capture


class Listener(Attendant):
    """Keeps what it is told, and adds to what ends."""

    kinds = frozenset({"agent", "tool"})

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def began(self, live: Live) -> None:
        self.told.append(("began", live.kind))

    def ending(self, live: Live) -> Facts | None:
        self.told.append(("ending", live.kind))
        return {"noted": "here"}

    def ended(self, record: Operation, whole: bool) -> None:  # noqa: FBT001 - every attendant's signature
        self.told.append(("ended", record.kind, record.attributes.get("noted"), whole))

    def happened(self, event: Event) -> None:
        self.told.append(("happened", event.type))


class Failing(Attendant):
    """Fails at everything."""

    def began(self, live: Live) -> None:
        raise ZeroDivisionError

    def ending(self, live: Live) -> Facts | None:
        raise ZeroDivisionError

    def ended(self, record: Operation, whole: bool) -> None:  # noqa: FBT001 - every attendant's signature
        raise ZeroDivisionError

    def happened(self, event: Event) -> None:
        raise ZeroDivisionError


def attend(captured: Capture, *attendants: Attendant) -> None:
    """These and no others."""
    captured.runtime.recorder.attendance = Attendance(attendants)


def test_nobody_is_told_of_what_they_do_not_care_for() -> None:
    """Only methods that an attendant has, and only for its kinds, are called; without attendants there are none."""
    attendance, nobody = Attendance([Attendant()]), dict.fromkeys(get_args(Kind), ())
    assert (nobody, nobody, nobody, ()) == (attendance.began, attendance.ending, attendance.ended, attendance.happened)
    listener = Listener()
    attendance = Attendance([Attendant(), listener])
    assert {"agent", "tool"} == {kind for kind, told in attendance.began.items() if told}
    assert (listener.happened,) == attendance.happened


def test_attendants_are_told_in_order(captured: Capture) -> None:
    """Of an operation its beginning and its end, of one that was told at once that it is whole, and of events."""
    listener = Listener()
    attend(captured, listener)
    with tachograph.agent("a"), tachograph.model("m"):
        events.session_updated("s")
    tachograph.record_tool_usage("t")
    assert [
        ("began", "agent"),
        ("happened", "session_updated"),
        ("ending", "agent"),
        ("ended", "agent", "here", False),
        ("ended", "tool", None, True),
    ] == listener.told


def test_what_they_add_is_kept_and_not_sent(captured: Capture) -> None:
    """Facts that are added at the end are in the ledger's record, and not on the span."""
    attend(captured, Listener())
    with tachograph.agent("a"):
        pass
    (record,) = captured.ledger.records()
    assert ("here", False) == (record.attributes["noted"], "noted" in (captured.spans[0].attributes or {}))


def test_one_that_fails_costs_nobody_anything() -> None:
    """Its failures are counted; the records are whole, and the others are told."""
    with capture(strict=False) as captured:
        listener = Listener()
        attend(captured, Failing(), listener)
        with tachograph.agent("a"):
            events.session_updated("s")
        assert ["began", "happened", "ending", "ended"] == [told[0] for told in listener.told]
        assert 1 == captured.ledger.total().agent_runs
        assert {f"Failing.{name}": 1 for name in ("began", "ending", "ended", "happened")} == (
            captured.runtime.guard.swallowed()
        )
