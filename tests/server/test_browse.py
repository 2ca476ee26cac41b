"""The pages over HTTP."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI

from support.records import ledger_of, operation
from support.serving import asked_from, asking, raw_status
from support.stores import written
from support.story import STORY
from tachograph.pages.markup import ASSETS
from tachograph.server import create_app
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.verification import Verification

PAGES = ("/", "/session/chat-42", "/audit", "/approvals", "/totals")


@pytest.fixture(scope="module")
def client():
    """Asks the story's ledger over a socket."""
    verified = Verification(entries=4, writers=1)
    with asking(create_app(ledger_of(STORY), verify=lambda: verified)) as found:
        yield found


@pytest.mark.parametrize("path", [*PAGES, "/session/nobody", "/assets/nothing"])
def test_headers(client, path):
    """Every page is private, runs only our script, is framed by nobody, and stays out of caches."""
    headers = client.get(path).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert {"'none'"} == {policy[name] for name in ("default-src", "base-uri", "frame-ancestors")}
    assert {"'self'"} == {policy[name] for name in ("script-src", "style-src", "connect-src", "form-action", "img-src")}
    assert ("no-store", "nosniff", "DENY", "same-origin") == (
        headers["cache-control"],
        headers["x-content-type-options"],
        headers["x-frame-options"],
        headers["referrer-policy"],
    )
    assert "text/html; charset=utf-8" == headers["content-type"]


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(client, path):
    """Whatever a page links to or loads is there."""
    found = set(re.findall(r'(?:href|src)="([^"#]+)', client.get(path).text))

    assert found
    assert {200} == {client.get(link.replace("&amp;", "&")).status_code for link in found}


def test_mounted():
    """Mounted into another app the pages lead to where they are, and not to the other app."""
    host = FastAPI(lifespan=None)
    app = create_app(ledger_of(STORY))
    host.mount("/below", app)
    host.state.live = app.state.live
    with asking(host) as client:
        for path in PAGES:
            page = client.get(f"/below{path}")
            assert 200 == page.status_code
            assert {"/below"} == {
                link[:6] for link in re.findall(r'(?:href|src|action|data-live)="(/[^"#]*)', page.text)
            }


@pytest.mark.parametrize("session_id", ["a/b?c#d", "..", "<script>", "line\nbreak", " ", "שם", "%2F", "x" * 2_000])
def test_any_session_has_a_page(session_id):
    """A session of any id is listed with a link that leads to it."""
    with asking(create_app(ledger_of([operation(1, session=session_id)]))) as client:
        link = re.search(r'<span class="dot [a-z]+"></span><a href="([^"]+)"', client.get("/").text)[1]
        page = client.get(link)

        assert 200 == raw_status(client, link) == page.status_code
        assert "<script>" not in page.text


def test_unknown_session(client):
    """A session that nobody has heard of is a page that says so."""
    answer = client.get("/session/<b>nobody")

    assert 404 == answer.status_code
    assert "No such session" in answer.text
    assert "<b>" not in answer.text


@pytest.mark.parametrize("path", ["/sessions", "/session", "/<b>", "/events/metrics/"])
def test_an_address_that_there_is_not(client, path):
    """Who looks gets a page that names it and leads back; a program gets the same as JSON, and where to look."""
    page, answer = client.get(path, headers={"Accept": "text/html"}), client.get(path)

    assert (404, 404) == (page.status_code, answer.status_code)
    assert "there is nothing here" in page.text
    assert "<b>" not in page.text
    assert 'href="/"' in page.text
    assert {"detail": f"{path!r}: there is nothing here; /openapi.json lists what there is"} == answer.json()


def test_an_address_that_is_for_something_else(client):
    """So is one that takes other requests, and the answer says which."""
    answer = client.post("/totals")

    assert (405, "GET") == (answer.status_code, answer.headers["Allow"])
    assert "'/totals' is not for POST" in answer.json()["detail"]


def test_what_cannot_be_read(tmp_path):
    """Where the store cannot be read the page says why, and that it is not the page's fault."""
    written(tmp_path / "s.db")
    with asking(create_app(SqliteSource(tmp_path / "s.db"))) as client:
        assert 200 == client.get("/").status_code
        (tmp_path / "s.db").write_bytes(b"SQLite format 3\0 and no more")
        answer = client.get("/totals")

    assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
    assert "What was recorded cannot be read now" in answer.text


def test_verification(client):
    """A check is begun by a form, and the page says then what it found; asking for it changes nothing."""
    assert "Not checked yet" in client.get("/audit").text
    answer = client.post("/audit/verification")
    assert (303, "/audit") == (answer.status_code, answer.headers["location"])
    while "Being checked" in (page := client.get("/audit").text):
        pass
    assert "4 entries in 1 chain: none changed, removed, reordered or cut." in page
    assert 405 == client.get("/audit/verification").status_code


@pytest.mark.parametrize("file", ASSETS)
def test_assets(client, file):
    """What pages load may be kept by its full address, and is asked for again by any other."""
    page = client.get("/").text
    address = re.search(rf'"(/assets/{file}\?v=[0-9a-f]+)"', page)[1]

    assert (ASSETS[file], "max-age=31536000, immutable") == tuple(
        client.get(address).headers[name] for name in ("content-type", "cache-control")
    )
    assert "no-cache" == client.get(f"/assets/{file}?v=old").headers["cache-control"]
    assert 404 == client.get("/assets/..%2Fmarkup.py").status_code


@pytest.mark.parametrize("path", PAGES)
def test_only_this_machine(path):
    """Without a token nobody but this machine sees a page, and no page of another site does."""
    app = create_app(ledger_of(STORY))

    assert 403 == asked_from(app, ("192.0.2.7", 1), path).status_code
    assert 403 == asked_from(app, ("127.0.0.1", 1), path, origin="http://evil.example").status_code
    assert 403 == asked_from(app, ("127.0.0.1", 1), path, host="evil.example").status_code
    assert 200 == asked_from(app, ("127.0.0.1", 1), path).status_code
