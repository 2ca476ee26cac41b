"""Showing the token with a browser, and taking it back.

The token is sent once, in a form; then the browser has a cookie that scripts cannot read and that it sends along with
nothing another site asked for. The server remembers nobody: the cookie is what it makes of the token, as long as it has
that token.
"""

import hmac
import re
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from tachograph.pages.markup import render
from tachograph.server.auth import COOKIE, LOGIN_PATH, cookie_for
from tachograph.server.browse import links, shown

router: Final = APIRouter(include_in_schema=False)

_HERE: Final = re.compile(r"/(?![/\\])[^\\\s]*", re.ASCII)
"""A path of this server: not what a browser takes for the name of another."""


@router.get(LOGIN_PATH)
def ask(request: Request) -> Response:
    """Ask for the token."""
    return _form(request, request.query_params.get("next"))


@router.post(LOGIN_PATH)
async def log_in(request: Request) -> Response:
    """Take the token, and give a cookie for it."""
    form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    given, after = (form.get(name, [""])[0] for name in ("token", "next"))
    token: str = request.app.state.token
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        return _form(request, after, "That is not the token of this server.", 401)
    answer = RedirectResponse(f"{links(request).root}{here(after)}", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, cookie_for(token), path=_path(request), httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/logout")
def log_out(request: Request) -> Response:
    """Let the browser forget."""
    answer = RedirectResponse(links(request).login(), 303)
    answer.delete_cookie(COOKIE, path=_path(request), httponly=True, samesite="strict")
    return answer


def here(path: str | None) -> str:
    """Where to go on: a path of this server, or its first page."""
    return path if path is not None and _HERE.fullmatch(path) else "/"


def _path(request: Request) -> str:
    return links(request).root or "/"


def _form(request: Request, after: str | None, wrong: str | None = None, status: int = 200) -> Response:
    return shown(render("login.html", links=links(request), after=here(after), wrong=wrong), status)
