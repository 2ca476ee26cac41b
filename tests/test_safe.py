"""A program's own telemetry code: what fails in it is counted, and goes no further."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from tachograph import names
from tachograph.testing import capture

if TYPE_CHECKING:
    from tachograph.testing import Capture


def test_what_fails_gives_the_default(captured: Capture) -> None:
    """Functions and coroutine functions give what they would have, or the default; in our own tests too."""

    @tachograph.safe
    def plain(number: int) -> float:
        """A function."""
        return 1 / number

    @tachograph.safe("mine", default=-1)
    async def later(number: int) -> float:
        return 1 / number

    assert (0.5, None) == (plain(2), plain(0))
    assert (0.5, -1) == (asyncio.run(later(2)), asyncio.run(later(0)))
    assert ("plain", "A function.", ["number"]) == (
        plain.__name__,
        plain.__doc__,
        [*inspect.signature(plain).parameters],
    )
    assert inspect.iscoroutinefunction(later)
    assert {"mine": 1, plain.__qualname__: 1} == tachograph.error_summary()


def test_what_is_no_error_goes_on(captured: Capture) -> None:
    """An interruption is the program's."""

    @tachograph.safe()
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {} == tachograph.error_summary()


def test_errors_can_be_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """After a reset the count begins anew and the first is logged again, while the metric counts on."""
    fail: Any = tachograph.safe("mine")(lambda: 1 / 0)

    def metric(captured: Capture) -> list[int]:
        return [point.value for name, _, point in captured.points() if name == names.SWALLOWED]

    with capture(strict=False) as captured:
        for _ in range(3):
            fail()
        assert ({"mine": 3}, [3]) == (tachograph.error_summary(), metric(captured))
        tachograph.reset_errors()
        assert ({}, [3]) == (tachograph.error_summary(), metric(captured))
        fail()
        assert ({"mine": 1}, [4]) == (tachograph.error_summary(), metric(captured))
    assert ["tachograph.failure_swallowed at mine: ZeroDivisionError"] * 2 == caplog.messages
