"""What a source of recorded sessions answers, as plain values to compare: the same records give the same answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.figures import sent as sent_of
from tachograph import codec
from tachograph.canonical import record_text
from tachograph.records import Event

if TYPE_CHECKING:
    from tachograph.records import Record
    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics


def figures(metrics: SessionMetrics) -> dict[str, Any]:
    """A session's figures, without how far they are complete."""
    return {name: value for name, value in metrics.to_dict().items() if name not in ("complete", "reasons")}


def answers(source: Source, *, local: bool = True) -> dict[str, Any]:
    """Everything that can be asked of a source, as JSON values; sessions in the order of their ids.

    Args:
        source: to be asked.
        local: with what is never sent; without it, what a source read from exports can say too.
    """
    sessions = sorted(source.sessions())
    found = {
        "total": figures(source.total()),
        "metrics": source.metrics().to_dict(),
        "audit_log": log_of(source, local=local),
        "timeline": source.timeline().to_dict(),
        "sessions": {
            session_id: {
                "metrics": figures(source.session_metrics(session_id)),
                "audit_log": log_of(source, local=local, session_id=session_id),
                "timeline": source.timeline(session_id=session_id).to_dict(),
            }
            for session_id in sessions
        },
        "records": sorted(record_text(record if local else sent(record)) for record in source.records()),
    }
    return json.loads(json.dumps(found))


def log_of(source: Source, *, local: bool, **filters: Any) -> list[dict[str, Any]]:
    """The audit log, with or without what is never sent."""
    log = source.audit_log(**filters)
    return log if local else sent_of(log)


def sent(record: Record) -> Record:
    if isinstance(record, Event):
        return record
    return record._replace(attributes=codec.sendable(record.attributes))
