"""Is it there, and can it read? For whoever watches over it; says nothing else, so anybody may ask."""

from fastapi import APIRouter

from tachograph.server.answers import UNREADABLE, Answer
from tachograph.server.questions import Asked
from tachograph.server.shapes import Health

router = APIRouter(tags=["server"])


@router.get(
    "/health",
    response_model=Health,
    responses={503: {"model": Health, "description": "the source cannot be read"}},
    summary="Whether sessions can be read",
)
def health(source: Asked) -> Answer:
    """`ok`, or with status 503 `unavailable` where what was recorded cannot be read now. Needs no token."""
    try:
        source.session_count()
    except UNREADABLE:
        return Answer({"status": "unavailable"}, 503)
    return Answer({"status": "ok"})
