"""``tachograph report``: a session's page as one file."""

from __future__ import annotations

import json
import stat
from contextlib import closing
from pathlib import Path

import pytest

from support.records import operation
from support.terminal import run
from tachograph.store.writer import Writer


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Files without a folder are the test's."""
    monkeypatch.chdir(tmp_path)


def test_to_a_file(story):
    """The report is written where it is said, for its owner alone, and how large it is is told."""
    done = run("report", "chat-42", "-o", "out.html", "--from", story)

    assert 0 == done.code
    assert done.stdout.startswith("Report written to out.html (")
    assert "Session</span> <bdi>chat-42" in Path("out.html").read_text("utf-8")
    assert 0o600 == stat.S_IMODE(Path("out.html").stat().st_mode)
    assert ["out.html"] == [path.name for path in Path().iterdir() if path.suffix == ".html"]


def test_as_it_stands(story):
    """Without anything said it is of the session last active, in a file named after it."""
    done = run("report", "--from", story, "--json")

    told = json.loads(done.stdout)
    assert ("tachograph-f00d.html", "f00d") == (told["file"], told["session_id"])
    assert told["bytes"] == Path("tachograph-f00d.html").stat().st_size


def test_no_session_has_the_file_of_another(tmp_path):
    """Ids that are alike in what a file's name can have of them have files of their own, however long they are."""
    store = str(tmp_path / "alike.db")
    ids = ["team-a", "team a", "team/a", *("x" * 80 + end for end in "ab"), *("小" * 80 + end for end in "ab")]
    with closing(Writer(Path(store))) as writer:
        writer.append([operation(number, session=session_id) for number, session_id in enumerate(ids)])

    files = [run("report", session_id, "--from", store, "--json").json["file"] for session_id in ids]

    assert "tachograph-team-a.html" == files[0]
    assert "tachograph-team-a-" == files[1][:-13]
    assert len(ids) == len(set(files))


def test_to_the_output(story):
    """With -o - it goes to the output, and nothing else does."""
    done = run("report", "chat-42", "-o", "-", "--from", story)

    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.rstrip().endswith("</html>")


def test_of_one_request(story):
    """One request within the session has a report of its own."""
    done = run("report", "chat-42", "--correlation", "request-1", "-o", "-", "--from", story)

    assert "only request" in done.stdout


def test_from_a_file_of_spans(story):
    """A file of OTLP has a report as a store has."""
    run("export", "chat-42", "--format", "otlp", "-o", "chat.jsonl", "--from", story)
    done = run("report", "chat-42", "-o", "out.html", "--from", "chat.jsonl")

    assert 0 == done.code
    assert "boss" in Path("out.html").read_text("utf-8")


def test_unknown(story):
    """A session that there is none of is a no that names it, and no file."""
    done = run("report", "nobody", "--from", story)

    assert 1 == done.code
    assert "no session 'nobody'" in done.stderr
    assert [] == [*Path().glob("*.html")]
