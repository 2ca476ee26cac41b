"""The app, assembled: routes of each concern, and around them what all answers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader, HTTPBearer

from tachograph.server import browse, exports, health, live, login, rest
from tachograph.server import receiver as otlp
from tachograph.server.answers import UNREADABLE, Answer, Privately, problem
from tachograph.server.auth import TOKEN_HEADER, Admission
from tachograph.server.broadcast import Broadcast
from tachograph.server.checking import Checking
from tachograph.server.limits import BodyLimit
from tachograph.server.shapes import Problem
from tachograph.version import VERSION

if TYPE_CHECKING:
    from starlette.requests import Request

    from tachograph.server.checking import Verify
    from tachograph.server.exports import Export
    from tachograph.server.receiver import Receiver
    from tachograph.sources import Source

_TAGS: Final = [
    {"name": "events", "description": "What agents did, what it cost, who decided what."},
    {"name": "server", "description": "The server itself."},
]
_DESCRIPTION: Final = """\
What AI agents did, what it cost, who decided what: recorded by Tachograph.

Where the server has a token, every request but `/health` sends it, as `Authorization: Bearer …` or
`x-internal-auth: …`. Where it has none, it answers the machine it runs on, and nobody else.
"""
_UNSEEN: Final[Any] = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""Newer versions of FastAPI record requests by themselves. Reading what was recorded is not to add to it."""

_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Problem, "description": "the token is missing or wrong"},
    403: {"model": Problem, "description": "another machine asked a server without a token, or another site's page"},
    422: {"model": Problem, "description": "a parameter that does not exist or that has a bad value"},
    503: {"model": Problem, "description": "what was recorded cannot be read now"},
}


def create_app(
    source: Source,
    *,
    token: str | None = None,
    export: Export | None = None,
    verify: Verify | None = None,
    receiver: Receiver | None = None,
) -> FastAPI:
    """An app that answers what is asked about recorded sessions; it may be mounted into another.

    It asks the source in threads of its own, and never closes it.

    Args:
        source: where the sessions are recorded.
        token: the secret that every request is to send; without one only this machine is answered.
        export: makes the export of a session; without one there is no such endpoint.
        verify: checks whether somebody has touched the audit log; without one the page says that nobody can tell.
        receiver: takes OTLP in; without one there are no such endpoints. Whoever made it closes it.

    Raises:
        ValueError: for a token that no header can carry.
    """
    app = FastAPI(
        title="Tachograph",
        version=VERSION,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=_TAGS,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,  # they would load programs from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a slash may be part of a session's id
        telemetry=_UNSEEN,
        exception_handlers={
            RequestValidationError: _not_understood,
            404: browse.nowhere,
            405: browse.nowhere,
            Exception: _failed,
            **dict.fromkeys(UNREADABLE, _unreadable),
        },
    )
    app.state.source = source
    app.state.export = export
    app.state.live = Broadcast(source)
    app.state.checking = Checking(verify)
    app.state.token = token
    app.state.receiver = receiver
    # The last is the outermost.
    app.add_middleware(BodyLimit, elsewhere=() if receiver is None else otlp.PATHS)
    app.add_middleware(Admission, token=token)
    app.add_middleware(Privately)
    Admission(app, token)  # the app makes its own with the first request; a bad token is said now
    app.include_router(health.router)
    if receiver is not None:
        app.include_router(otlp.router)
    parts = [rest.router, live.router, *([exports.router] if export is not None else [])]
    # For the description alone: admission has looked at the token before any route is found.
    told = [] if token is None else [Security(HTTPBearer(auto_error=False)), Security(_INTERNAL)]
    for part in parts:
        app.include_router(part, responses=_PROBLEMS, dependencies=told)
    app.include_router(browse.router)
    if token is not None:
        app.include_router(login.router)
    return app


_INTERNAL: Final = APIKeyHeader(name=TOKEN_HEADER, auto_error=False)


async def _not_understood(_: Request, error: Exception) -> Answer:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return problem(422, "; ".join(_said(fault) for fault in found))


def _said(fault: dict[str, Any]) -> str:
    where, value = fault["loc"][-1], str(fault.get("input"))[:80]
    if fault["type"] == "extra_forbidden":
        return f"{where}={value!r}: there is no such parameter here; /openapi.json lists those there are"
    return f"{where}={value!r}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


async def _unreadable(_: Request, error: Exception) -> Answer:
    return problem(503, f"what was recorded cannot be read now: {error}", {"Retry-After": "5"})


async def _failed(_: Request, __: Exception) -> Answer:
    # What went wrong is raised on, and logged by whoever serves.
    return problem(500, "this is a fault in Tachograph; the server's log says which")
