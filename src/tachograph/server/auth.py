"""Who may ask: who knows the token or, where there is none, who is on this machine; never another site's page.

Without a token a request is refused unless it comes from this machine *and* is addressed to it by a loopback name: a
page whose host name was made to point here (DNS rebinding) comes from this machine too, but says its own name.
With or without one, what a browser says another site asked for is refused, and there are no CORS headers.

A browser that was given the token sends it as a cookie from then on (:mod:`tachograph.server.login`): not the token
itself but what only who knows it can make of it.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse

from tachograph.server.answers import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_HEADER: Final = "x-internal-auth"  # noqa: S105 - a header's name
"""The in-house systems' way to send the token; the other is ``Authorization: Bearer``."""

OPEN_PATHS: Final = frozenset({"/health"})
"""Whoever asks there learns nothing, so anybody may."""

LOGIN_PATH: Final = "/login"
ASSETS_PATH: Final = "/assets/"
"""Where the token is given, and what the page there loads: nobody has a token yet. Other sites' pages may not ask."""

COOKIE: Final = "tachograph"


class Admission:
    """Lets those requests through to an app that may ask.

    Args:
        app: what answers them.
        token: the secret to send, or None to let this machine in and nobody else.

    Raises:
        ValueError: for a token that no header can carry.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else usable(token).encode()
        self._cookie = b"" if token is None else cookie_for(token).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "websocket":  # there are none here, so none can be forgotten
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            refusal = None if path in OPEN_PATHS else self._refusal(scope, path)
            if refusal is not None:
                status, detail = refusal
                if status == _TOKEN and looking(scope):
                    await _to_login(scope)(scope, receive, send)
                    return
                headers = {"WWW-Authenticate": "Bearer"} if status == _TOKEN else None  # as RFC 9110 says
                await problem(status, detail, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, path: str) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if foreign(scope["method"], headers):
            return 403, "a page of another site asked; other sites may not read this"
        if self._token is not None:
            if path == LOGIN_PATH or path.startswith(ASSETS_PATH) or self._is_known(scope, self._token):
                return None
            return _TOKEN, f"send the token, as `Authorization: Bearer …` or `{TOKEN_HEADER}: …`"
        client = scope.get("client")  # None where the connection has no address, as a Unix socket
        if client is not None and not loopback(client[0]):
            return 403, "without a token only this machine may ask; start the server with a token, and send it"
        if not loopback(_name(headers.get("host", ""))):
            return 403, "without a token ask for http://localhost or http://127.0.0.1; other names need a token"
        return None

    def _is_known(self, scope: Scope, token: bytes) -> bool:
        """Whether the token is sent, or what a browser has for it."""
        sent = [(given, token) for given in _tokens(scope)]
        sent += [(given, self._cookie) for given in _cookies(Headers(scope=scope))]
        # All are compared, so that the time taken tells nothing about any.
        return True in [hmac.compare_digest(given, secret) for given, secret in sent]


def cookie_for(token: str) -> str:
    """What a browser that knows the token has as a cookie. It is good for nothing else, and as long as the token."""
    return hmac.new(token.encode(), b"tachograph page", "sha256").hexdigest()


def usable(token: str) -> str:
    """The token, if a header can carry it.

    Raises:
        ValueError: naming what is wrong with it, but not the token.
    """
    if not token or not token.isprintable() or token != token.strip():
        raise ValueError(
            "the token is empty, or has spaces at an end or unprintable characters; give a random text such as "
            "`python -c 'import secrets; print(secrets.token_urlsafe())'` makes"
        )
    return token


def loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, reachable by nobody else."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def foreign(method: str, headers: Headers) -> bool:
    """Whether a browser says that a page of another site made the request."""
    origin = headers.get("origin")
    if origin is not None:
        host = headers.get("host", "").lower()
        return origin.lower() not in (f"http://{host}", f"https://{host}")  # which of both, a proxy may have changed
    # A page's images and scripts come without an origin, but newer browsers say where they come from. A link that
    # somebody follows does as well: what it shows is not for the page it stood on.
    followed = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    followed = followed and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not followed


def _name(host: str) -> str:
    """The name in a ``Host`` header, without the port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


_TOKEN: Final = 401


def looking(scope: Scope) -> bool:
    """Whether somebody looks with a browser, who is to be shown pages."""
    headers = Headers(scope=scope)
    return scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", "")


def _to_login(scope: Scope) -> RedirectResponse:
    root, query = scope.get("root_path", ""), scope["query_string"].decode("latin-1")
    wanted = quote(scope["path"].removeprefix(root)) + (f"?{query}" if query else "")
    return RedirectResponse(f"{root}{LOGIN_PATH}?{urlencode({'next': wanted})}", 303)


def _cookies(headers: Headers) -> Iterator[bytes]:
    for sent in headers.getlist("cookie"):
        for pair in sent.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == COOKIE:
                yield value.encode("latin-1")


def _tokens(scope: Scope) -> Iterator[bytes]:
    for name, value in scope["headers"]:
        if name == TOKEN_HEADER.encode():
            yield value
        scheme, _, secret = value.partition(b" ")
        if name == b"authorization" and scheme.lower() == b"bearer":
            yield secret.strip()
