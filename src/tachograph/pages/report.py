"""One session as one file: the page of a session with everything it needs in it, to be sent, kept or printed."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING, Final

from tachograph.pages.audit import row
from tachograph.pages.markup import render, style
from tachograph.pages.session import told
from tachograph.times import timestamp
from tachograph.version import VERSION

if TYPE_CHECKING:
    from tachograph.sources import Source

ROWS: Final = 2_000
"""Rows of the timeline in a report."""

ENTRIES: Final = 500
"""Newest entries of the audit log in a report."""


def report(source: Source, session_id: str, correlation_id: str | None = None) -> str:
    """A session as one HTML document that loads nothing and runs nothing.

    Args:
        source: where the session is recorded.
        session_id: which one.
        correlation_id: only this request within it.

    Raises:
        LookupError: for a session or request that the source does not know.
        SourceError, OSError, sqlite3.Error: where the source cannot be read.
    """
    sheet = style()
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    entries = source.audit_log(session_id=session_id, correlation_id=correlation_id, limit=ENTRIES + 1)
    return render(
        "report.html",
        frame=None,
        style=sheet,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'",
        made=timestamp(time.time_ns()),
        zone=time.strftime("%Z"),
        place=source.place,
        version=VERSION,
        entries=[row(entry) for entry in entries[-ENTRIES:]],
        more_entries=len(entries) > ENTRIES,
        **told(source, session_id, correlation_id, rows=ROWS),
    )
