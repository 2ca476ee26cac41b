"""Every scenario plays under every telemetry condition, and has to come out the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from support.figures import tree, without_times
from tachograph.testing import Capture, TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

CONDITIONS: dict[str, dict[str, Any]] = {"sdk": {}, "sampled-out": {"sampler": ALWAYS_OFF}, "no-sdk": {"sdk": False}}
"""The telemetry conditions a program may run under."""


class HandClock(TickingClock):
    """A ticking clock that a test can put forward."""

    ahead_ns = 0

    def __call__(self) -> int:
        return super().__call__() + self.ahead_ns

    def pass_by(self, seconds: float) -> None:
        """So much time passes."""
        self.ahead_ns += round(seconds * 1_000_000_000)


@pytest.fixture
def clock() -> HandClock:
    """The clock of ``recorded``."""
    return HandClock()


@pytest.fixture(scope="session")
def figures() -> dict[str, Any]:
    """What each scenario came to under the first condition it was played."""
    return {}


@pytest.fixture(params=CONDITIONS)
def recorded(request: pytest.FixtureRequest, clock: HandClock, figures: dict[str, Any]) -> Iterator[Capture]:
    """Everything recorded during the test, which is played under each telemetry condition.

    Afterwards nothing is open or current, the ledger that sees only the spans agrees, and every session's figures
    are those of the other conditions.
    """
    before = otel_context.get_current()
    with capture(clock=clock, **CONDITIONS[request.param]) as everything:
        yield everything
        ledger = everything.ledger
        assert ledger.open_operations() == []
        assert otel_context.get_current() is before
        if request.param == "sdk":
            # An agent made outside of any span is known to the one ledger a little earlier.
            from_spans, ours = (
                dict(each.total().to_dict(), first_seen=None) for each in (everything.spans_only, ledger)
            )
            assert from_spans == ours
        else:
            assert everything.spans == ()
        sessions = {name: ledger.session_metrics(name).to_dict() for name in ledger.sessions()}
        # In no order: calls side by side begin in any.
        came_to = (
            sorted(tree(everything)),
            without_times(ledger.total().to_dict()),
            without_times(list(sessions.values())),
        )
        for session in came_to[2]:
            session.pop("session_id")  # that of the process is made up
        assert came_to == figures.setdefault(request.node.nodeid.replace(request.param, ""), came_to)
