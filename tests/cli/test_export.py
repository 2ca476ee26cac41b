"""``tachograph export``: sessions to take along."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from support.programs import Finished
from support.terminal import on_terminal, run
from tachograph.export import otlp_lines, session_export
from tachograph.sources import open_source


def lasting(document: dict) -> dict:
    """A document without what says when it was made."""
    return {key: value for key, value in document.items() if key != "exported_at"}


def test_one_session_is_a_document(story):
    """A session in JSON is everything known of it, on standard output unless a file is named."""
    done = run("export", "chat-43", "--from", story)

    source = open_source(story)
    expected = json.loads(json.dumps(session_export(source, "chat-43")))
    source.close()
    assert (0, "") == (done.code, done.stderr)
    assert lasting(expected) == lasting(done.json)
    assert done.stdout == run("export", "chat-43", "-o", "-", "--from", story).stdout or "exported_at" in expected


def test_all_sessions_are_lines(story):
    """Every session in JSON is a line of its own."""
    lines = run("export", "--all", "--from", story).stdout.splitlines()

    assert 3 == len(lines)
    assert all("chat-4" in line or "f00d" in line for line in lines)
    assert [dict] * 3 == [type(json.loads(line)) for line in lines]


@pytest.mark.parametrize(("which", "session_id"), [("chat-43", "chat-43"), ("--all", None)])
def test_otlp_is_lines(story, which, session_id):
    """As OTLP a session, or everything, is what a Collector reads."""
    source = open_source(story)
    expected = list(otlp_lines(source, session_id))
    source.close()

    assert expected == run("export", which, "--format", "otlp", "--from", story).stdout.splitlines()


def test_a_file_is_complete_or_not_there(story, tmp_path):
    """A file is private, replaces one that was there, and says how much was written."""
    path = tmp_path / "out.jsonl"
    path.write_text("old")

    done = run("export", "--all", "-o", str(path), "--from", story)

    assert (0, "") == (done.code, done.stderr)
    assert f"3 sessions written to {path} ({path.stat().st_size / 1_000:.1f} kB)\n" == done.stdout
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert [path] == list(tmp_path.iterdir())
    assert {"file": str(path), "format": "json", "sessions": 3, "bytes": path.stat().st_size} == run(
        "export", "--all", "-o", str(path), "--from", story, "--json"
    ).json


def test_what_fails_leaves_the_old_file(story, tmp_path):
    """An export that cannot be made changes nothing and leaves nothing behind."""
    path = tmp_path / "out.json"
    path.write_text("old")

    assert 1 == run("export", "nope", "-o", str(path), "--from", story).code
    assert ["old"] == [file.read_text() for file in tmp_path.iterdir()]
    into_nowhere = run("export", "chat-43", "-o", str(tmp_path / "no" / "file"), "--from", story)
    said = f"Error: {tmp_path}/no/file: cannot be written: No such file or directory; give another file\n"
    assert Finished(2, "", said) == into_nowhere


@pytest.mark.parametrize("command", [("export", "--all"), ("export", "last"), ("report", "last")], ids=" ".join)
def test_a_directory_is_no_file(story, tmp_path, monkeypatch, command):
    """A directory is named as it was given, whichever way, and nothing is written beside it."""
    monkeypatch.chdir(tmp_path)
    for place in (".", "..", "/", str(tmp_path)):
        done = run(*command, "-o", place, "--from", story)
        assert Finished(2, "", f"Error: {place}: is a directory; give the path of a file\n") == done
    assert [] == [*tmp_path.iterdir()]


def test_a_pipe_is_written_to_and_stays(story, tmp_path):
    """What is no file, as a device, is never replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)

    done = run("export", "f00d", "-o", str(pipe), "--from", story)

    assert "f00d" == json.loads(os.read(reader, 1_000_000))["session_id"]
    os.close(reader)
    assert (0, True) == (done.code, pipe.is_fifo())


@pytest.mark.parametrize("arguments", [(), ("chat-43", "--all")], ids=["nothing", "both"])
def test_one_or_all(story, arguments):
    """Which session is to be said, or that all are meant, and not both."""
    done = run("export", *arguments, "--from", story)

    assert (2, "") == (done.code, done.stdout)
    assert "Error: Say which: either a SESSION (an id, or 'last') or --all." == done.stderr.splitlines()[0]


def test_progress_is_shown_on_a_terminal_and_leaves_no_trace(story, tmp_path):
    """Work on a terminal ends with what was done alone on the screen."""
    path = tmp_path / "out"
    code, shown = on_terminal("export", "--all", "-o", str(path), "--from", story)

    assert (0, True) == (code, shown.rstrip().splitlines()[-1].endswith("kB)"))
    assert Path(path).is_file()
