"""The list of sessions: found, ordered, a page at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tachograph.listing import ORDERS, STATES, Wanted
from tachograph.pages.markup import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.pages.frame import Frame
    from tachograph.sources import Source

SHOWN: Final = 50
"""Sessions on a page."""

_COLUMNS: Final = (
    ("session_id", "Session", ""),
    ("last_seen", "Last active", ""),
    ("total_requests", "Requests", "figure wide"),
    ("total_tokens", "Tokens", "figure"),
    ("cost", "Cost", "figure"),
    ("processing_duration_ms", "Agent time", "figure wide"),
    ("tool_calls", "Tool calls", "figure wide"),
    ("agent_switches", "Switches", "figure wide"),
    ("errors", "Errors", "figure"),
)


class Heading(NamedTuple):
    """A column's: its text, its classes, where a click leads, and how it is ordered now."""

    text: str
    classes: str
    href: str
    order: str | None


def page(source: Source, frame: Frame, asked: Mapping[str, str]) -> str:
    """The list, by ``search``, ``status``, ``failed``, ``order`` and ``ascending``, from ``offset`` on.

    What is none of these, or has no meaning there, is passed over.

    Raises:
        SourceError, OSError, sqlite3.Error: where the source cannot be read.
    """
    wanted = _wanted(asked)
    offset = max(0, whole(asked.get("offset"), 0))
    found = source.session_rows(wanted, limit=SHOWN, offset=offset)
    return render(
        "sessions.html",
        frame=frame,
        wanted=wanted,
        states=STATES,
        headings=[_heading(frame, wanted, *column) for column in _COLUMNS],
        rows=found.rows,
        total=found.total,
        hidden=0 if found.total else source.session_count(deleted=True),
        offset=offset,
        newer=_address(frame, wanted, max(0, offset - SHOWN)) if offset else None,
        older=_address(frame, wanted, offset + SHOWN) if offset + SHOWN < found.total else None,
    )


def whole(text: str | None, otherwise: int) -> int:
    """A whole number of an address, if it is one."""
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else otherwise  # noqa: PLR2004


def _wanted(asked: Mapping[str, str]) -> Wanted:
    order, status = asked.get("order"), asked.get("status")
    return Wanted(
        search=asked.get("search", "").strip(),
        status=status if status in STATES else None,
        failed=asked.get("failed") == "1",
        order=order if order in ORDERS else "last_seen",
        ascending=asked.get("ascending") == "1",
    )


def _address(frame: Frame, wanted: Wanted, offset: int) -> str:
    return frame.links.sessions(
        search=wanted.search,
        status=wanted.status,
        failed="1" if wanted.failed else None,
        order=None if wanted.order == "last_seen" else wanted.order,
        ascending="1" if wanted.ascending else None,
        offset=offset or None,
    )


def _heading(frame: Frame, wanted: Wanted, order: str, text: str, classes: str) -> Heading:
    """A click orders by the column, the most first; a second one turns the order around. Names begin with A."""
    now = wanted.order == order
    turned = not wanted.ascending if now else order == "session_id"
    direction = ("ascending" if wanted.ascending else "descending") if now else None
    return Heading(text, classes, _address(frame, replace(wanted, order=order, ascending=turned), 0), direction)
