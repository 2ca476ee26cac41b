"""Who stands by while operations begin and end: subscriptions, log lines, thresholds, the environment, code changes.

The recorder tells its attendants, each call guarded; with none it costs nothing. They decide nothing of the record but
what they add to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, get_args

from tachograph.records import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tachograph.live import Facts, Live
    from tachograph.records import Event, Operation


class Attendant:
    """A base that does nothing."""

    kinds: ClassVar[frozenset[str]] = frozenset(get_args(Kind))
    """Of operations it wants to hear of."""

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


class Attendance(NamedTuple):
    """Who wants to hear of what: by kind of operation, so that whoever does not care costs nothing."""

    began: dict[str, tuple[Callable[..., Any], ...]]
    ending: dict[str, tuple[Callable[..., Any], ...]]
    ended: dict[str, tuple[Callable[..., Any], ...]]
    happened: tuple[Callable[..., Any], ...]

    @classmethod
    def of(cls, attendants: Iterable[Attendant]) -> Attendance:
        """That of these attendants, in their order."""
        present = tuple(attendants)

        def those(method: str, kind: str | None = None) -> tuple[Callable[..., Any], ...]:
            return tuple(
                getattr(attendant, method)
                for attendant in present
                if getattr(type(attendant), method) is not getattr(Attendant, method)
                and (kind is None or kind in attendant.kinds)
            )

        def by_kind(method: str) -> dict[str, tuple[Callable[..., Any], ...]]:
            return {kind: those(method, kind) for kind in get_args(Kind)}

        return cls(by_kind("began"), by_kind("ending"), by_kind("ended"), those("happened"))
