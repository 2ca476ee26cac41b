"""Who stands by while operations begin and end: subscriptions, log lines, thresholds, the environment, code changes.

The recorder tells its attendants, each call guarded; with none it costs nothing. They decide nothing of the record but
what they add to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, get_args

from tachograph.records import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tachograph.live import Facts, Live
    from tachograph.records import Event, Operation


class Attendant:
    """A base that does nothing."""

    kinds: ClassVar[frozenset[str]] = frozenset(get_args(Kind))
    """Of operations it wants to hear of."""

    def awake(self) -> bool:
        """Whether it has anything to do now. Asked when an outermost operation begins, for all that happens in it."""
        return True

    def began(self, live: Live) -> None:
        """An operation has begun."""

    def ending(self, live: Live) -> Facts | None:  # noqa: ARG002 - for those who care
        """It is about to end; facts to add to its record, which are never sent."""
        return None

    def ended(self, record: Operation, whole: bool) -> None:  # noqa: FBT001 - called through the guard
        """It has ended.

        Args:
            record: as the ledger has it.
            whole: nothing was told of its beginning.
        """

    def happened(self, event: Event) -> None:
        """Something was reported that no operation carries."""

    def forget(self, session_id: str) -> None:
        """A session was cleared: it begins anew."""


class Attendance:
    """Who wants to hear of what: by kind of operation, so that whoever does not care, or is asleep, costs nothing.

    Args:
        attendants: in the order they are told.
    """

    def __init__(self, attendants: Iterable[Attendant] = ()) -> None:
        self._attendants = tuple(attendants)
        self._awake: tuple[Attendant, ...] | None = None
        self.look()

    def look(self) -> None:
        """See who is awake."""
        awake = tuple([attendant for attendant in self._attendants if attendant.awake()])
        if awake != self._awake:
            self.began, self.ending, self.ended = (
                {kind: _told(awake, method, kind) for kind in get_args(Kind)} for method in ("began", "ending", "ended")
            )
            self.happened = _told(awake, "happened")
            self._awake = awake


def _told(attendants: Iterable[Attendant], method: str, kind: str | None = None) -> tuple[Callable[..., Any], ...]:
    return tuple(
        getattr(attendant, method)
        for attendant in attendants
        if getattr(type(attendant), method) is not getattr(Attendant, method)
        and (kind is None or kind in attendant.kinds)
    )
