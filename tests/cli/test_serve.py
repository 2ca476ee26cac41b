"""``tachograph serve``: what a source answers, over HTTP."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from support.otlp_files import RECORDS, requests, write
from support.sent import CHAT, as_json, as_protobuf, request, span
from support.terminal import run, terminal
from tachograph import names

if TYPE_CHECKING:
    from support.terminal import Terminal

TOKEN = "correct-horse-battery"  # noqa: S105 - of a test


def address(shown: Terminal) -> str:
    """Where it says that it is."""
    text = shown.wait_for(lambda text: "Ctrl-C" in text)
    return re.search(r"http://\S+", text)[0]


def test_it_says_where_it_is_and_answers_there(story):
    """Without a token the address and who is answered are told, and this machine is; Ctrl-C ends it, no failure."""
    with terminal("serve", "--port", "0", "--from", story, columns=200) as shown:
        answer = httpx.get(f"{address(shown)}/events/metrics/sessions", trust_env=False)
        shown.process.send_signal(signal.SIGINT)
        code, text = shown.end()

    assert (200, True) == (answer.status_code, "chat-43" in answer.text)
    assert f"Serving {story} at http://127.0.0.1:" in text
    assert "Only this machine is answered; to let others in, set TACHOGRAPH_TOKEN or give --token-file" in text
    assert (0, False) == (code, "Traceback" in text)


@pytest.mark.parametrize("way", ["variable", "file"])
def test_with_a_token_every_request_sends_it(story, tmp_path, way):
    """The token comes from the environment or a file, is asked for, and is never printed."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    options = ("--token-file", str(file)) if way == "file" else ()
    variables = {"TACHOGRAPH_TOKEN": TOKEN} if way == "variable" else {}
    with terminal("serve", "--port", "0", "--from", story, *options, columns=200, **variables) as shown:
        where = f"{address(shown)}/events/metrics/sessions"
        without = httpx.get(where, trust_env=False)
        with_it = httpx.get(where, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
        shown.process.send_signal(signal.SIGTERM)
        _, text = shown.end()

    assert (401, 200) == (without.status_code, with_it.status_code)
    assert "A browser asks for the token; every other request must send it: Authorization: Bearer …" in text
    assert TOKEN not in text


def test_others_are_not_let_in_without_a_token(story):
    """An address that others can reach needs a token; without one nothing is served."""
    done = run("serve", "--host", "0.0.0.0", "--port", "0", "--from", story)  # noqa: S104 - that is the point

    assert (2, "") == (done.code, done.stdout)
    assert "a token is needed" in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_a_store_that_is_not_there_yet_is_made(tmp_path):
    """What is recorded after the server has started is served."""
    path = tmp_path / "data" / "store.db"
    with terminal("serve", "--port", "0", TACHOGRAPH_STORE=str(path)) as shown:
        health = httpx.get(f"{address(shown)}/health", trust_env=False)

    assert (200, True) == (health.status_code, path.exists())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("", "is empty"),
        ("\n", "is empty"),
        ("two\nlines", "the token"),
        (b"\xff", "cannot be read"),
    ],
    ids=["missing", "empty", "blank", "unusable", "no text"],
)
def test_a_bad_token_file_is_named(story, tmp_path, content, said):
    """A token that cannot be read or sent is an error in one line, without the token."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    done = run("serve", "--token-file", str(file), "--from", story)

    assert (2, "", 1) == (done.code, done.stdout, len(done.stderr.splitlines()))
    assert said in done.stderr
    assert "two" not in done.stderr


def test_a_port_in_use_is_named(story):
    """An address that somebody else listens on is said to be."""
    with terminal("serve", "--port", "0", "--from", story, columns=200) as shown:
        port = address(shown).rpartition(":")[2]
        done = run("serve", "--port", port, "--from", story)

    assert (2, True) == (done.code, f"127.0.0.1:{port}: cannot listen there" in done.stderr)


def test_what_is_not_installed_is_said(story, monkeypatch):
    """Without the web framework the command says how to get it."""
    for name in [name for name in sys.modules if name.startswith("tachograph.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)

    done = run("serve", "--from", story)

    assert (2, True) == (done.code, "pip install 'tachograph[server]'" in done.stderr)


def test_it_says_where_otlp_is_taken_in(tmp_path):
    """The variables it shows are what an exporter needs: what is sent there is in the store that is served."""
    path = tmp_path / "store.db"
    with terminal("serve", "--port", "0", columns=200, TACHOGRAPH_STORE=str(path)) as shown:
        where = address(shown)
        sent = as_protobuf(request(span(1, {**CHAT, names.SESSION_ID: "theirs"})))
        answer = httpx.post(
            f"{where}/v1/traces",
            content=sent.body,
            headers={"Content-Type": "application/x-protobuf"},
            trust_env=False,
        )
        shown.process.send_signal(signal.SIGTERM)
        _, text = shown.end()

    assert 200 == answer.status_code
    said = f"OTLP is taken in: OTEL_EXPORTER_OTLP_ENDPOINT={where} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    assert said in text.splitlines()
    done = run("show", "theirs", "--from", str(path), "--json")
    assert 110 == done.json["total_tokens"]


def test_what_is_sent_may_be_kept_in_memory(tmp_path):
    """With --memory nothing is written, and what was recorded before is not served."""
    with terminal("serve", "--port", "0", "--memory", columns=200, XDG_DATA_HOME=str(tmp_path)) as shown:
        where = address(shown)
        sent = as_json(request(span(1, {**CHAT, names.SESSION_ID: "theirs"})))
        headers = {"Content-Type": "application/json"}
        taken = httpx.post(f"{where}/v1/traces", content=sent.body, headers=headers, trust_env=False)
        shown.process.send_signal(signal.SIGINT)
        _, text = shown.end()

    assert (200, []) == (taken.status_code, [*tmp_path.iterdir()])
    assert f"Serving memory at {where}" in text


def test_it_may_take_nothing_in(story):
    """With --no-otlp there is no such endpoint, and nothing is said of one."""
    with terminal("serve", "--port", "0", "--no-otlp", "--from", story, columns=200) as shown:
        answer = httpx.post(f"{address(shown)}/v1/traces", json={}, trust_env=False)

    assert (404, False) == (answer.status_code, "OTLP" in shown.shown)


def test_a_file_is_served_as_it_is(tmp_path):
    """To a file of OTLP nothing is added; that is said, and the file is served."""
    file = write(tmp_path, *requests(*RECORDS))
    with terminal("serve", "--port", "0", "--from", str(file), columns=300) as shown:
        answer = httpx.post(f"{address(shown)}/v1/traces", json={}, trust_env=False)

    assert (404, True) == (answer.status_code, "No OTLP is taken in: " in shown.shown)


def test_memory_and_a_place_are_two_answers(story):
    """Where both are asked for, it is said that one is to be given."""
    done = run("serve", "--memory", "--from", story)

    assert (2, True) == (done.code, "give one of them" in done.stderr)
