"""A session to take along: everything recorded of it, in a format other tools read."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request

from tachograph.server.answers import Answer, problem
from tachograph.server.questions import REST, Asked, SessionId
from tachograph.server.shapes import Problem
from tachograph.sources import Source

Export = Callable[[Source, str], Mapping[str, Any]]
"""Makes the export of a session; raises LookupError where nothing is recorded of it."""

router: Final = APIRouter(prefix="/events", tags=["events"])


@router.get(
    f"/export/{{session_id:{REST}}}",
    response_model=dict[str, Any],
    responses={404: {"model": Problem, "description": "nothing is recorded of the session"}},
    summary="A session to take along",
)
def export(request: Request, source: Asked, session_id: SessionId) -> Answer:
    """Everything recorded of a session, as `tachograph export` writes it."""
    make: Export = request.app.state.export
    try:
        return Answer(make(source, session_id))
    except LookupError as error:
        if type(error) is not LookupError:  # a key that is missing in there is a fault, not an answer
            raise
        return problem(404, str(error))
