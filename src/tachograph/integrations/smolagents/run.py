"""What the other files share: the state of one agent run, and what an agent is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.content import Sent
from tachograph.context import SCOPE_KEY, current, here
from tachograph.drive import stands_in
from tachograph.guard import of_a_signal

if TYPE_CHECKING:
    from tachograph.live import Live
    from tachograph.probes import Call


class Run:
    """What one run of an agent has been through. Not the agent's: one object may run many times at once."""

    __slots__ = ("agent", "answered", "asked", "gave_up", "output", "pending", "recovered", "sent", "steps")

    def __init__(self, agent: Any) -> None:
        self.agent = agent
        self.steps = 0
        self.recovered: list[str] = []
        self.gave_up = False
        self.answered = False
        self.pending: BaseException | None = None
        self.asked: list[tuple[Any, Any, Any]] = []
        # Only where content is captured.
        self.sent = Sent()
        self.output: Any = None


def run_of(live: Live | None) -> Run | None:
    """What a smolagents run has been through; None for anybody else's operation."""
    data = None if live is None else live.data
    return data if type(data) is Run else None


def run_here() -> Run | None:
    """What the smolagents run has been through that is under way here."""
    # All in one, as it is asked several times a step.
    scope: Any = here().get(SCOPE_KEY)
    live = None if scope is None else scope.operation
    if live is not None and live.kind != "agent":
        live = live.agent
    return live.data if live is not None and type(live.data) is Run else None


def lost(call: Call) -> bool:
    """Whether no context says what a call belongs to. Where there is a session, that says it."""
    return call.inside is None and current() is None


def owner_of(thing: Any, attribute: str) -> type | None:
    """The class that a method of ``thing`` comes from."""
    for owner in type(thing).__mro__[:-1]:
        if attribute in vars(owner):
            return owner
    return None


def overlooked(thing: Any, attribute: str) -> type | None:
    """The class that a method of ``thing`` comes from, where it is not hooked.

    It is of no family, or of a class whose ancestor tells nobody of its subclasses, or it was put there later.
    """
    owner = owner_of(thing, attribute)
    return None if owner is None or stands_in(vars(owner)[attribute]) else owner


def shown_name(agent: Any) -> str:
    """The agent's name, or its class where it has none."""
    return text_of(agent, "name") or type(agent).__name__


def named(agent: Any) -> str | None:
    """The agent's name where it has one."""
    return text_of(agent, "name")


def text_of(thing: Any, attribute: str) -> str | None:
    """A text that one of the program's objects has; None where it has none, or is a property that fails."""
    try:
        found = getattr(thing, attribute, None)
    except Exception as error:
        if of_a_signal(error):
            raise
        return None
    return found if type(found) is str and found else None
