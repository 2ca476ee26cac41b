"""The endpoints that answer at once: what the in-house systems ask for, under their names, and some more.

Each is a question to the source and says what the same question in Python says, key for key.
"""

import time
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Request

from tachograph.server import shapes
from tachograph.server.answers import UNREADABLE, Answer, problem
from tachograph.server.questions import REST, Asked, Figures, Log, OfApprovals, OfRequest, Page, Plain, SessionId
from tachograph.sources import approvals_of
from tachograph.times import timestamp

router: Final = APIRouter(prefix="/events", tags=["events"])

T = TypeVar("T")


@router.get("/metrics", response_model=shapes.AllFigures, summary="Figures over everything")
def metrics(source: Asked, _: Annotated[Plain, Query()]) -> Answer:
    """Switches between agents, runs of each agent, calls of each tool, decisions and errors, over all sessions."""
    return Answer(source.metrics().to_dict())


@router.get("/metrics/sessions", response_model=shapes.Sessions, summary="Ids of the sessions")
def sessions(source: Asked, page: Annotated[Page, Query()]) -> Answer:
    """The sessions that are known and not deleted, the one last active last; the first page has the newest."""
    known = source.sessions()
    shown, following = _newest(known, page.limit, page.offset)
    return Answer({"sessions": shown, "count": len(known), "next": following})


@router.get(
    f"/metrics/session/{{session_id:{REST}}}", response_model=shapes.SessionFigures, summary="Figures of a session"
)
def session_metrics(source: Asked, session_id: SessionId, figures: Annotated[Figures, Query()]) -> Answer:
    """What a session did and cost, or one request within it. A session nobody has heard of has zeros, and status 200.

    The figures stand side by side; those that one of the in-house systems has under `metrics` are there as well.
    """
    known = source.session_metrics(session_id, figures.correlation_id).to_dict()
    nested = {name: known[name] for name in shapes.NESTED}
    return Answer({**known, "metrics": nested, "timestamp": timestamp(time.time_ns())})


@router.get("/audit-log", response_model=shapes.AuditLog, summary="Who did, asked and decided what")
def audit_log(source: Asked, log: Annotated[Log, Query()]) -> Answer:
    """The audit log, oldest entry first; the first page has the newest.

    What is recorded between two pages moves older entries on: some may then be on both, by the same `event_id`, but
    none is missed.
    """
    filters = {**log.named(), "since": _moment(log.since), "limit": log.offset + log.limit + 1}
    offset = filters.pop("offset")
    try:
        found = source.audit_log(**filters)
    except UNREADABLE:
        raise
    except ValueError as error:
        return problem(422, str(error))
    shown, following = _newest(found, log.limit, offset)
    return Answer({"entries": shown, "count": len(shown), "next": following})


@router.get("/stats", response_model=dict[str, Any], summary="How much is kept")
def stats(request: Request, source: Asked, _: Annotated[Plain, Query()]) -> Answer:
    """How much is kept, and what bounds have cost; with `receiver` what became of what was sent here by OTLP."""
    receiver = request.app.state.receiver
    return Answer({**source.stats(), **({} if receiver is None else {"receiver": receiver.stats()})})


@router.get("/timeline", response_model=shapes.Timeline, summary="What happened when, inside what")
def timeline(source: Asked, of: Annotated[OfRequest, Query()]) -> Answer:
    """The timeline of a session, of a request (which may be in several sessions), or of all; from its start."""
    whole = source.timeline(session_id=of.session_id, correlation_id=of.correlation_id).to_dict()
    shown, following = _oldest(whole["entries"], of.limit, of.offset)
    return Answer({**whole, "entries": shown, "count": len(whole["entries"]), "next": following})


@router.get("/approvals", response_model=shapes.Approvals, summary="What waits for a human")
def approvals(source: Asked, of: Annotated[OfApprovals, Query()]) -> Answer:
    """Approvals that nobody has decided on, the one that waits longest first, or those that are decided or expired.

    The others are found by going through what is recorded: say whose session, where there is much.
    """
    found = approvals_of(source, time.time_ns(), session_id=of.session_id, pending=of.pending)
    shown, following = _oldest(found, of.limit, of.offset)
    return Answer({"approvals": shown, "count": len(found), "next": following})


def _moment(text: str | None) -> str | float | None:
    """ISO 8601 as it is, and a number as one."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _newest(rows: list[T], limit: int, offset: int) -> tuple[list[T], int | None]:
    """A page counted from the end, in the order of the rows, and the offset of the one before it in time."""
    end = max(0, len(rows) - offset)
    start = max(0, end - limit)
    return rows[start:end], offset + limit if start else None


def _oldest(rows: list[T], limit: int, offset: int) -> tuple[list[T], int | None]:
    """A page counted from the start, and the offset of the next."""
    return rows[offset : offset + limit], offset + limit if offset + limit < len(rows) else None
