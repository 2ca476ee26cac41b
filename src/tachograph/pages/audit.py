"""The audit log: who did, asked and decided what, filtered; whether anybody has touched it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.gist import told
from tachograph.pages.differences import differences
from tachograph.pages.markup import render
from tachograph.pages.sessions import whole
from tachograph.times import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.pages.frame import Frame
    from tachograph.sources import Source
    from tachograph.views.audit import Entry

SHOWN: Final = 100
"""Entries on a page."""

CATEGORIES: Final = tuple(sorted({category for category, _ in names.EVENTS.values()}))
_FILTERS: Final = ("session_id", "event_type", "category", "correlation_id", "critical", "since")
_AGE: Final = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_TOLD: Final = frozenset(
    {"timestamp", "event_type", "event_id", "session_id", "correlation_id", "trace_id", "span_id", "critical"}
)
_BAD: Final = frozenset(event_type for event_type in names.EVENTS if event_type.endswith(("_error", "_failed")))


def page(source: Source, frame: Frame, asked: Mapping[str, str], checked: Any = None) -> str:
    """The newest entries first, by the filters of ``Source.audit_log``, from ``offset`` on.

    A filter that cannot be met is said, and no entry is shown.

    Args:
        source: whose log.
        frame: around the page.
        asked: filters; ``since`` is a moment or how long ago, such as ``2h``.
        checked: what is known of whether the log is whole; None where that cannot be known.

    Raises:
        SourceError, OSError, sqlite3.Error: where the source cannot be read.
    """
    given = {name: asked.get(name, "").strip() for name in _FILTERS}
    offset = whole(asked.get("offset"), 0)
    filters = _filters(given)
    wrong = filters if isinstance(filters, str) else None
    found = [] if isinstance(filters, str) else source.audit_log(**filters, limit=offset + SHOWN + 1)
    shown = found[::-1][offset : offset + SHOWN]

    def at(start: int) -> str:
        return frame.links.audit(**given, offset=start or None)

    return render(
        "audit.html",
        frame=frame,
        given=given,
        categories=CATEGORIES,
        types=tuple(names.EVENTS),
        wrong=wrong,
        entries=[row(entry) for entry in shown],
        offset=offset,
        newer=at(max(0, offset - SHOWN)) if offset else None,
        older=at(offset + SHOWN) if len(found) > offset + SHOWN else None,
        checked=checked,
    )


def row(entry: Entry) -> dict[str, Any]:
    """An entry as a page shows it: its gist, its payload field by field, an EDIT as a difference."""
    changes = entry.get("changes")
    return {
        "entry": entry,
        "gist": told(entry),
        "category": names.EVENTS.get(entry["event_type"], ("",))[0],
        "bad": entry["event_type"] in _BAD,
        "fields": {name: value for name, value in entry.items() if name not in _TOLD and value is not None},
        "differences": differences(changes),
        "operation": entry["event_id"].partition(":")[0],
    }


def _filters(given: Mapping[str, str]) -> dict[str, Any] | str:
    """The filters as a source takes them, or what is wrong with them."""
    event_type, category = given["event_type"] or None, given["category"] or None
    if event_type is not None and event_type not in names.EVENTS:
        return f"There is no type {event_type!r}."
    if category is not None and category not in CATEGORIES:
        return f"There is no category {category!r}."
    since: datetime | None = None
    if given["since"]:
        try:
            since = _moment(given["since"])
        except (ValueError, OverflowError, OSError):
            return f"{given['since']!r} is no moment; write it like 2026-01-17, 2026-01-17 13:00 or 2h (ago)."
    return {
        "session_id": given["session_id"] or None,
        "event_type": event_type,
        "category": category,
        "correlation_id": given["correlation_id"] or None,
        "critical": True if given["critical"] else None,
        "since": since,
    }


def _moment(text: str) -> datetime:
    """A moment as people write it: local time unless it says otherwise, or how long ago.

    Raises:
        ValueError: for what is none.
    """
    if age := _AGE.fullmatch(text):
        return datetime.now(timezone.utc) - timedelta(seconds=int(age[1]) * _UNITS[age[2]])
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    moment(found)
    return found.astimezone()
