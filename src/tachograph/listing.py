"""Which sessions, in which order, and how many of them: for whoever has a list to show and room for a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tachograph.views.session import SessionMetrics


class Row(NamedTuple):
    """What a list says of a session: some of the figures of its :class:`~tachograph.views.session.SessionMetrics`."""

    session_id: str
    user_id: str | None
    status: str
    first_seen: str | None
    last_seen: str | None
    total_requests: int
    total_tokens: int
    cost: Mapping[str, Any]
    processing_duration_ms: float
    tool_calls: int
    agent_switches: int
    errors: int
    unmetered: list[str]


def row(metrics: SessionMetrics) -> Row:
    """The row of a session."""
    return Row(*(getattr(metrics, name) for name in Row._fields))


ORDERS: Final[dict[str, Callable[[Row], Any]]] = {
    "last_seen": lambda row: row.last_seen or "",
    "session_id": lambda row: row.session_id,
    "total_requests": lambda row: row.total_requests,
    "total_tokens": lambda row: row.total_tokens,
    "cost": lambda row: row.cost.get("amount") or 0,
    "processing_duration_ms": lambda row: row.processing_duration_ms,
    "tool_calls": lambda row: row.tool_calls,
    "agent_switches": lambda row: row.agent_switches,
    "errors": lambda row: row.errors,
}
"""What rows may be ordered by."""

STATES: Final = ("active", "waiting", "idle")
"""States that a session which is listed may be in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows, in which order; as it stands all of them, the one last active first.

    Args:
        search: only sessions in whose id or user this is, in whatever case.
        status: only those in this state.
        failed: only those with errors.
        order: what they are ordered by, of :data:`ORDERS`.
        ascending: the least first.

    Raises:
        ValueError: for an order or a status that there is none of.
    """

    search: str = ""
    status: str | None = None
    failed: bool = False
    order: str = "last_seen"
    ascending: bool = False

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order={self.order!r}: no such order; there are: {', '.join(ORDERS)}")
        if self.status is not None and self.status not in STATES:
            raise ValueError(f"status={self.status!r}: no such status; there are: {', '.join(STATES)}")

    def takes(self, row: Row) -> bool:
        """Whether a row is one of those wanted."""
        sought = self.search.casefold()
        return (
            (not sought or sought in row.session_id.casefold() or sought in (row.user_id or "").casefold())
            and self.status in (None, row.status)
            and (not self.failed or row.errors > 0)
        )


NEWEST: Final = Wanted()
"""All of them, the one last active first: what sources have an order for already."""


class Listing(NamedTuple):
    """Some rows, and how many there are in all that were wanted."""

    rows: list[Row]
    total: int


def listing(rows: Iterable[Row], wanted: Wanted, *, limit: int | None, offset: int) -> Listing:
    """A part of those rows that are wanted. They come with the one last active first, and so it is among equals."""
    found = [*filter(wanted.takes, rows)]
    if wanted.order != "last_seen":
        found.sort(key=ORDERS[wanted.order], reverse=not wanted.ascending)
    elif wanted.ascending:
        found.reverse()
    return Listing(found[offset : None if limit is None else offset + limit], len(found))
