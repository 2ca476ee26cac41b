"""Showing the token with a browser."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI

from support.records import ledger_of
from support.serving import asking
from support.story import STORY
from tachograph.server import create_app
from tachograph.server.login import here

TOKEN = "s3cret-токен"  # noqa: S105 - a test's
HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def client():
    """Asks a server with a token as a browser does."""
    with asking(create_app(ledger_of(STORY), token=TOKEN), **HTML) as found:
        yield found


def log_in(client, token=TOKEN, after="/"):
    """Send the form."""
    return client.post("/login", data={"token": token, "next": after})


@pytest.mark.parametrize("path", ["/", "/session/chat-42?offset=5", "/audit?category=hitl&critical=1", "/nowhere"])
def test_a_browser_is_asked(client, path):
    """Who looks without the token is asked for it, sees nothing else, and then goes on to where they were going."""
    asked = client.get(path)
    form = client.get(asked.headers["location"])
    after = re.search(r'name="next" value="([^"]*)"', form.text)[1].replace("&amp;", "&")
    given = log_in(client, after=after)

    assert (303, 200) == (asked.status_code, form.status_code)
    assert (303, path) == (given.status_code, given.headers["location"])
    assert (404 if path == "/nowhere" else 200) == client.get(path).status_code
    assert "user" not in form.text


def test_the_cookie(client):
    """The cookie is no token, cannot be read by scripts, and is sent along with nothing another site asks for."""
    cookie = log_in(client).headers["set-cookie"]

    assert TOKEN not in cookie
    assert re.fullmatch(r"tachograph=[0-9a-f]{64}; HttpOnly; Path=/; SameSite=strict", cookie)


def test_with_the_cookie_all_is_open(client):
    """With the cookie pages, answers and live events are open; logged out they are not."""
    log_in(client)
    assert {200} == {client.get(path).status_code for path in ("/", "/audit", "/events/stats")}
    with client.stream("GET", "/events/live") as live:
        assert 200 == live.status_code
    assert "Log out" in client.get("/").text
    client.post("/logout")
    assert 303 == client.get("/").status_code


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "\x00", "x" * 60_000])
def test_a_wrong_token(client, token):
    """A wrong token gives no cookie; the form is there again and says so."""
    answer = log_in(client, token)

    assert 401 == answer.status_code
    assert "set-cookie" not in answer.headers
    assert "That is not the token of this server." in answer.text
    assert 303 == client.get("/").status_code


@pytest.mark.parametrize("cookie", ["", "x", TOKEN.encode().hex(), "0" * 64])
def test_a_wrong_cookie(client, cookie):
    """A cookie that the server did not give opens nothing."""
    assert 303 == client.get("/", headers={"cookie": f"tachograph={cookie}"}).status_code


def test_another_token_another_cookie(client):
    """With a new token old cookies are good for nothing."""
    cookie = log_in(client).cookies["tachograph"]
    with asking(create_app(ledger_of(STORY), token="another"), **HTML) as other:  # noqa: S106 - a test's
        assert 303 == other.get("/", headers={"cookie": f"tachograph={cookie}"}).status_code


def test_mounted():
    """Mounted into another app the form is below its place, and the cookie is for that place alone."""
    host = FastAPI(lifespan=None)
    app = create_app(ledger_of(STORY), token=TOKEN)
    host.mount("/below", app)
    host.state.live = app.state.live
    with asking(host, **HTML) as client:
        asked = client.get("/below/audit?critical=1")
        assert "/below/login?next=%2Faudit%3Fcritical%3D1" == asked.headers["location"]
        given = client.post("/below/login", data={"token": TOKEN, "next": "/audit?critical=1"})
        assert "/below/audit?critical=1" == given.headers["location"]
        assert "; Path=/below;" in given.headers["set-cookie"]
        assert 200 == client.get("/below/").status_code


def test_programs_are_told(client):
    """A program without the token is told about the header, not sent to a form."""
    answer = client.get("/", headers={"accept": "application/json"})

    assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])


@pytest.mark.parametrize("path", ["/login", "/logout", "/audit/verification"])
def test_other_sites_cannot_ask(client, path):
    """A form of another site's page is refused, whatever the browser sends along."""
    log_in(client)

    answer = client.post(path, headers={"origin": "http://evil.example"}, data={"token": TOKEN})
    assert (403, False) == (answer.status_code, "set-cookie" in answer.headers)


def test_what_the_form_loads_is_open(client):
    """The form's style is there before the token is given; nothing else is."""
    for link in re.findall(r'href="([^"]+)"', client.get("/login").text):
        assert 200 == client.get(link).status_code
    assert 303 == client.get("/loginx").status_code
    assert 303 == client.get("/assets").status_code


def test_without_a_token_there_is_nothing_to_log_in_to():
    """A server without a token has no form."""
    with asking(create_app(ledger_of(STORY)), **HTML) as client:
        assert 404 == client.get("/login").status_code
        assert "Log out" not in client.get("/").text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/session/a%2Fb?x=1", "/session/a%2Fb?x=1"),
        (None, "/"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/a\t//b", "/"),
    ],
)
def test_where_to_go_on(path, expected):
    """After the form nobody is led to another server."""
    assert expected == here(path)
