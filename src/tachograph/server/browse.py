"""The pages: what people look at. Each is made of what the source answers, as the REST endpoints are.

They work without scripts; one of ours keeps them up to date. A page loads nothing from elsewhere and runs nothing that
stands in it, so that whatever an agent recorded stays text.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from tachograph.pages import approvals, audit, session, sessions, totals
from tachograph.pages.frame import Frame, Links, frame
from tachograph.pages.markup import ASSETS, asset, asset_version, render
from tachograph.server.answers import UNREADABLE, problem
from tachograph.server.auth import ASSETS_PATH, COOKIE, looking
from tachograph.server.questions import REST, Asked, SessionId

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException

router: Final = APIRouter(include_in_schema=False)

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with less, a browser would not say that a form is ours
    "X-Frame-Options": "DENY",
}
"""On every page, beside those on every answer."""


def shown(text: str, status: int = 200) -> Response:
    """A page, with the headers that keep what is in it from doing anything."""
    return Response(text.encode("utf-8", "replace"), status, HEADERS, "text/html; charset=utf-8")


def links(request: Request) -> Links:
    """Where things are for who asked, wherever the app is mounted."""
    return Links(request.scope.get("root_path", ""))


def _page(request: Request, source: Any, section: str, make: Callable[[Frame], str]) -> Response:
    signed_in = request.app.state.token is not None and COOKIE in request.cookies
    try:
        around = frame(source, section, root=request.scope.get("root_path", ""), signed_in=signed_in)
        return shown(make(around))
    except session.UnknownSessionError as error:
        return _problem(request, 404, "No such session", str(error))
    except UNREADABLE as error:
        answer = _problem(request, 503, "What was recorded cannot be read now", str(error))
        answer.headers["Retry-After"] = "5"
        return answer


def _problem(request: Request, status: int, title: str, detail: str) -> Response:
    return shown(render("problem.html", links=links(request), title=title, detail=detail), status)


async def nowhere(request: Request, error: Exception) -> Response:
    """What an address gets that there is not, or that is for something else: a page for who looks, else JSON."""
    refused = cast("HTTPException", error)
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))[:200]
    missing = refused.status_code == 404  # noqa: PLR2004 - as everybody knows it
    detail = f"{path!r}: there is nothing here" if missing else f"{path!r} is not for {request.method}"
    if looking(request.scope):
        return _problem(request, refused.status_code, "Nothing there", detail)
    return problem(refused.status_code, f"{detail}; /openapi.json lists what there is", refused.headers)


@router.get("/")
def list_(request: Request, source: Asked) -> Response:
    """The list of sessions."""
    return _page(request, source, "sessions", lambda around: sessions.page(source, around, request.query_params))


@router.get(f"/session/{{session_id:{REST}}}")
def one(request: Request, source: Asked, session_id: SessionId) -> Response:
    """One session."""
    asked = request.query_params
    return _page(request, source, "sessions", lambda around: session.page(source, around, asked, session_id))


@router.get("/audit")
def log(request: Request, source: Asked) -> Response:
    """The audit log."""
    asked, known = request.query_params, request.app.state.checking.known
    return _page(request, source, "audit", lambda around: audit.page(source, around, asked, known))


@router.post("/audit/verification")
def verification(request: Request) -> Response:
    """Begin a check of the audit log, and go back to it. It changes nothing that is recorded."""
    request.app.state.checking.start()
    return RedirectResponse(links(request).audit(), 303)


@router.get("/approvals")
def waiting(request: Request, source: Asked) -> Response:
    """What waits for a human."""
    return _page(request, source, "approvals", lambda around: approvals.page(source, around))


@router.get("/totals")
def everything(request: Request, source: Asked) -> Response:
    """Everything together."""
    return _page(request, source, "totals", lambda around: totals.page(source, around))


@router.get(f"{ASSETS_PATH}{{file}}")
def loaded(request: Request, file: str) -> Response:
    """What pages ask for. Its address changes when it does, so that a browser may keep it."""
    if file not in ASSETS:
        return _problem(request, 404, "Nothing there", f"{file!r}: no page asks for that")
    current = request.query_params.get("v") == asset_version(file)
    kept = {"Cache-Control": "max-age=31536000, immutable" if current else "no-cache"}
    return Response(asset(file), 200, kept, ASSETS[file])
