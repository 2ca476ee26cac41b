"""Who may ask."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from starlette.datastructures import Headers

from support.serving import asked_from, asking, raw_status
from tachograph.ledger import Ledger
from tachograph.server import create_app
from tachograph.server.auth import foreign, loopback

if TYPE_CHECKING:
    import httpx

TOKEN = "s3cret-токен"  # noqa: S105 - a test's
PATHS = (
    "/events/metrics",
    "/events/metrics/sessions",
    "/events/metrics/session/a",
    "/events/audit-log",
    "/events/stats",
    "/events/timeline?session_id=a",
    "/events/approvals",
    "/events/export/a",
    "/events/live",
    "/openapi.json",
    "/nowhere",
)
BESIDE = tuple(path for path in PATHS if path != "/events/live")
"""Paths whose answer ends by itself."""


def app(token=None):
    return create_app(Ledger(), token=token, export=lambda _, session_id: {"session_id": session_id})


@pytest.fixture(scope="module")
def locked():
    """A client of a server with a token."""
    with asking(app(TOKEN)) as client:
        yield client


@pytest.fixture(scope="module")
def unlocked():
    """A client of a server without."""
    with asking(app()) as client:
        yield client


def get(client: httpx.Client, path: str = "/events/metrics", **headers) -> httpx.Response:
    raw = {name.replace("_", "-"): text if isinstance(text, bytes) else text.encode() for name, text in headers.items()}
    return client.get(path, headers=raw)


# --------------------------------------------------------------------------------------------------------- the token
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Bearer {TOKEN} {TOKEN}"},
        {"x_internal_auth": ""},
        {"x_internal_auth": "secret"},
        {"x_internal_auth": b"\xff\xfe"},
        {"x_internal_auth": "x" * 20_000},
        {"x_internal_auth": f"Bearer {TOKEN}"},
        {"cookie": f"token={TOKEN}"},
    ],
    ids=str,
)
def test_without_the_token(locked, path, headers):
    """Where there is a token, a request that does not send it is refused wherever it goes, and told how to."""
    answer = get(locked, path, **headers)

    assert 401 == answer.status_code
    assert "Bearer" == answer.headers["www-authenticate"]
    assert {"detail": "send the token, as `Authorization: Bearer …` or `x-internal-auth: …`"} == answer.json()


@pytest.mark.parametrize("path", BESIDE)
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer   {TOKEN}"},
        {"x_internal_auth": TOKEN},
        {"x_internal_auth": TOKEN, "authorization": "Bearer wrong"},
        {"x_internal_auth": "wrong", "authorization": f"Bearer {TOKEN}"},
        {"x_internal_auth": TOKEN, "host": "tachograph.example.org"},
    ],
    ids=str,
)
def test_with_the_token(locked, path, headers):
    """Either header lets in, under whatever name the server is known."""
    assert get(locked, path, **headers).status_code == (404 if path == "/nowhere" else 200)


def test_the_token_in_the_address(locked):
    """A token in the address, where logs and histories keep it, is none."""
    assert 401 == get(locked, f"/events/metrics?token={TOKEN}&access_token={TOKEN}").status_code


@pytest.mark.parametrize("token", ["", " ", " a", "a ", "a\nb", "a\0b"])
def test_unusable_tokens(token):
    """A token that no request could ever send is refused when the app is made, without being told."""
    with pytest.raises(ValueError, match="the token is empty, or has spaces") as caught:
        create_app(Ledger(), token=token)

    assert repr(token) not in str(caught.value)


@pytest.mark.parametrize("peer", [("203.0.113.9", 5), ("2001:db8::1", 5), ("testclient", 5), None])
def test_the_token_lets_any_machine_in(peer):
    """With the token it does not matter where one asks from."""
    assert 200 == asked_from(app("abc"), peer, "/events/stats", authorization="Bearer abc").status_code


# ---------------------------------------------------------------------------------------------------------- no token
@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (("127.0.0.1", 5), 200),
        (("127.8.8.8", 5), 200),
        (("::1", 5), 200),
        (("::ffff:127.0.0.1", 5), 200),
        (None, 200),
        (("10.0.0.1", 5), 403),
        (("::ffff:10.0.0.1", 5), 403),
        (("2001:db8::1", 5), 403),
        (("0.0.0.0", 5), 403),  # noqa: S104 - is refused
        (("testclient", 5), 403),
    ],
    ids=str,
)
def test_other_machines(peer, expected):
    """Without a token only this machine is answered, also where the app is mounted into one that listens to all."""
    assert expected == asked_from(app(), peer, "/events/stats").status_code


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("localhost:8001", 200),
        ("LOCALHOST.:8001", 200),
        ("127.0.0.1", 200),
        ("127.1.2.3:80", 200),
        ("[::1]:8001", 200),
        ("[::1]", 200),
        ("example.org", 403),
        ("localhost.example.org:8001", 403),
        ("127.0.0.1.example.org", 403),
        ("example.org:127.0.0.1", 403),
        ("0.0.0.0:8001", 403),
        ("10.0.0.1", 403),
        ("[2001:db8::1]", 403),
        ("[::1", 200),
        ("2130706433", 403),
    ],
)
def test_names_that_were_made_to_point_here(unlocked, host, expected):
    """Without a token a request for another name than this machine's own is refused: the name may be an attacker's."""
    assert expected == get(unlocked, host=host).status_code


def test_the_in_house_header_where_nobody_asks_for_it(unlocked):
    """A token sent to a server that has none does no harm."""
    assert 200 == get(unlocked, x_internal_auth="secret").status_code
    assert 200 == get(unlocked, authorization="Bearer x").status_code


# ------------------------------------------------------------------------------------------------------- other sites
ORIGINS = {
    "http://{host}": True,
    "HTTP://{host}": True,
    "https://{host}": True,
    "http://{name}": False,
    "http://{name}:1": False,
    "http://evil.example": False,
    "http://evil.example#{host}": False,
    "http://{host}.evil.example": False,
    "http://{host}@evil.example": False,
    "chrome-extension://{host}": False,
    "null": False,
    "": False,
    "http://[": False,
}


@pytest.mark.parametrize(("origin", "path", "secured"), [*itertools.product(ORIGINS, BESIDE[:4], (True, False))])
def test_other_origins(locked, unlocked, origin, path, secured):
    """What a page of another site asks for is refused, with or without the token; a page of ours may ask."""
    client = locked if secured else unlocked
    host = client.base_url.netloc.decode()
    said = origin.format(host=host, name=host.partition(":")[0])

    assert get(client, path, origin=said, x_internal_auth=TOKEN).status_code == (200 if ORIGINS[origin] else 403)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else None,
)
def test_what_a_page_loads(unlocked, headers, expected):
    """A script, image or frame of another site is refused; a link that somebody follows is not."""
    assert expected == unlocked.get("/events/stats", headers=headers).status_code


def test_preflight(locked, unlocked):
    """A browser that asks whether another site may read is told no, by refusal and by silence."""
    for client in (locked, unlocked):
        asks = {"origin": "http://evil.example", "access-control-request-method": "GET"}
        answer = client.options("/events/metrics", headers=asks)

        assert 403 == answer.status_code
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_link_is_followed_by_reading_alone():
    """Only a GET is a link: whatever else comes from another site is refused."""
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}

    assert not foreign("GET", Headers(link))
    assert foreign("POST", Headers(link))


# ------------------------------------------------------------------------------------------------------------ health
@pytest.mark.parametrize(
    "headers", [{}, {"host": "example.org"}, {"origin": "http://evil.example"}, {"x-internal-auth": "wrong"}], ids=str
)
def test_health_is_open(locked, unlocked, headers):
    """Whoever watches over the server needs no token, and learns whether it is there and nothing else."""
    for client in (locked, unlocked):
        assert {"status": "ok"} == client.get("/health", headers=headers).json()


@pytest.mark.parametrize(
    "path", ["//health", "/health/", "/HEALTH", "/events/metrics/../../health", "/health/../events"]
)
def test_only_health_is_open(locked, path):
    """Nothing else is open, however much its path looks like it."""
    assert 401 == raw_status(locked, path)


# ---------------------------------------------------------------------------------------------------------- loopback
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("", False),
        ("0.0.0.0", False),  # noqa: S104 - is told from loopback
        ("::", False),
        ("192.168.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
        ("127.1", False),
    ],
)
def test_loopback(host, expected):
    """Loopback is what nobody but this machine can reach; what cannot be told is not."""
    assert expected == loopback(host)


def test_no_websockets():
    """Nobody is let in through a websocket, as there is none."""

    async def knock() -> list[dict]:
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "websocket.connect"}

        scope = {"type": "websocket", "path": "/events/live", "headers": [], "client": ("127.0.0.1", 5)}
        await app()(scope, receive, send)
        return sent

    assert [{"type": "websocket.close", "code": 1008}] == asyncio.run(knock())
