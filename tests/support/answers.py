"""What a source of recorded sessions answers, as plain values to compare: the same records give the same answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics


def figures(metrics: SessionMetrics) -> dict[str, Any]:
    """A session's figures, without how far they are complete."""
    return {name: value for name, value in metrics.to_dict().items() if name not in ("complete", "reasons")}


def answers(source: Source) -> dict[str, Any]:
    """Everything that can be asked of a source, as JSON values; sessions in the order of their ids."""
    sessions = sorted(source.sessions())
    found = {
        "total": figures(source.total()),
        "metrics": source.metrics().to_dict(),
        "audit_log": source.audit_log(),
        "timeline": source.timeline().to_dict(),
        "sessions": {
            session_id: {
                "metrics": figures(source.session_metrics(session_id)),
                "audit_log": source.audit_log(session_id=session_id),
                "timeline": source.timeline(session_id=session_id).to_dict(),
            }
            for session_id in sessions
        },
        "records": sorted(map(repr, source.records())),
    }
    return json.loads(json.dumps(found))
