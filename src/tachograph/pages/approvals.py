"""What waits for a human, the one that waits longest first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tachograph.pages.markup import render
from tachograph.times import moment
from tachograph.views.approvals import approvals_view

if TYPE_CHECKING:
    from tachograph.pages.frame import Frame
    from tachograph.sources import Source


def page(source: Source, frame: Frame) -> str:
    """Approvals that were asked for and that nobody has decided on.

    Raises:
        SourceError, OSError, sqlite3.Error: where the source cannot be read.
    """
    waiting = approvals_view(source.open_operations(), time.time_ns())
    return render(
        "approvals.html",
        frame=frame,
        approvals=[
            {**approval, "since_ms": moment(approval["requested_at"]) // 1_000_000}
            for approval in waiting
            if approval["decided_at"] is None
        ],
    )
