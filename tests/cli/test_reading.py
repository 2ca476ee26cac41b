"""Every reading command finds its source and its session the same way, and says plainly when it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.programs import Finished
from support.records import operation
from support.story import HOSTILE
from support.terminal import run
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

READING = ("show", "timeline")


@pytest.fixture
def many(tmp_path: Path) -> str:
    """A store with sessions whose ids are alike; its path."""
    writer = Writer(tmp_path / "many.db")
    names = ("abc", "abcd", "abce", "xyz", "last~1", HOSTILE, *(f"run-{number}" for number in range(9)))
    writer.append([operation(number, session=name, at=number) for number, name in enumerate(names, 1)])
    writer.close()
    return str(tmp_path / "many.db")


def shown(many: str, name: str) -> str:
    return run("show", name, "--from", many, "--json").json["session_id"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("abc", "abc"), ("abcd", "abcd"), ("x", "xyz"), ("last", "run-8"), ("last~2", "run-6"), ("last~1", "last~1")],
    ids=["an id that begins others", "an id", "a beginning", "the newest", "one before", "an id that looks like one"],
)
def test_how_a_session_is_named(many, given, meant):
    """An id goes before a beginning, and both before ``last``."""
    assert meant == shown(many, given)


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("ab", 2, "'ab' may be any of 3 sessions: abce, abcd, abc"),
        ("run", 2, "'run' may be any of 9 sessions: run-8, run-7, run-6, run-5, run-4, run-3 and 3 more"),
        ("nothing like it", 1, "no session 'nothing like it' in {place}. See tachograph sessions"),
        ("abcx", 1, "no session 'abcx' in {place}. Did you mean abc, abce, abcd?"),
        ("YZ", 1, "no session 'YZ' in {place}. Did you mean xyz?"),
        ("red\x1b", 1, "no session 'red�' in {place}. Did you mean �[31mred�[0m [bold]�evil?"),
        ("\x1b", 0, ""),
        ("last~99", 1, "no session 'last~99': {place} has 15 sessions"),
        ("", 1, "no session '' in {place}. See tachograph sessions"),
    ],
)
def test_a_session_that_is_not_meant_uniquely(many, command, given, code, said):
    """What may be several names them, what is none names what is most like it; neither obeys what was typed."""
    done = run(command, given, "--from", many)

    assert (code, f"Error: {said.format(place=many)}\n" if said else "") == (done.code, done.stderr)


@pytest.mark.parametrize("command", [("show",), ("timeline", "last"), ("export", "x"), ("compare", "a", "b")])
def test_an_empty_store_has_no_session(empty, command):
    """Asked for a session of a store without any, a command says what to do."""
    done = run(*command, "--from", empty)

    assert (1, "") == (done.code, done.stdout)
    assert empty in done.stderr
    assert "Record a program first: tachograph run your_agents.py" in done.stderr


COMMANDS = [
    ("sessions",),
    ("show",),
    ("timeline",),
    ("audit",),
    ("audit", "--verify"),
    ("compare", "a", "b"),
    ("export", "a"),
    ("store",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), ("", "is empty"), ("just some text\n", "is no"), ("SQLite format 3\0 and no more", "")],
    ids=["missing", "empty", "text", "damaged"],
)
def test_what_cannot_be_read_is_said_in_a_line(tmp_path, command, content, said):
    """A place that is not there, or is nothing of ours, is named with the reason; there is no traceback."""
    place = tmp_path / "place"
    if content is not None:
        place.write_text(content)

    done = run(*command, "--from", str(place))

    assert (2, "") == (done.code, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert done.stderr.startswith("Error: ")
    assert str(place) in done.stderr
    assert said in done.stderr or (content and command in (("store",), ("audit", "--verify")))


@pytest.mark.parametrize(
    "command",
    [
        *((*command, "--from") for command in COMMANDS),
        ("delete", "last", "--yes", "--store"),
        ("prune", "--max-records", "1", "--store"),
        ("prune", "--max-records", "1", "--dry-run", "--store"),
    ],
    ids=" ".join,
)
def test_a_directory_is_called_one(tmp_path, command):
    """A directory is no file that is not there, whoever is to read or change it."""
    done = run(*command, str(tmp_path))

    assert (2, "", 1) == (done.code, done.stdout, len(done.stderr.splitlines()))
    assert f"Error: {tmp_path}: is a directory; give the path of a store" in done.stderr


def test_an_import_into_a_directory(story, tmp_path):
    """An import says the same."""
    done = run("import", story, "--store", str(tmp_path))

    assert Finished(2, "", f"Error: {tmp_path}: is a directory; give the path of a store\n") == done


@pytest.mark.parametrize("place", ["http://127.0.0.1:16686", "postgres://host/db"])
def test_an_address_is_no_path(place):
    """What looks like an address is named as it was given, with the addresses there are."""
    done = run("sessions", "--from", place)

    told = f"Error: {place}: cannot be asked; give jaeger://host:port, or the path of a store or of OTLP\n"
    assert Finished(2, "", told) == done


def test_a_directory_is_no_place(tmp_path):
    """A directory is named as one."""
    done = run("sessions", "--from", str(tmp_path))

    assert (2, "", True) == (done.code, done.stdout, "is a directory" in done.stderr)


def test_files_of_otlp_are_read_like_a_store(story, tmp_path):
    """Whatever a command says of a store it says of the same sessions exported, but for what an export cannot have."""
    exported = str(tmp_path / "story.jsonl")
    assert 0 == run("export", "--all", "--format", "otlp", "-o", exported, "--from", story).code

    for command in (("sessions",), ("timeline", "chat-43"), ("audit", "--session", "chat-42")):
        assert run(*command, "--from", story) == run(*command, "--from", exported)


def test_without_a_place_it_is_the_store_that_programs_record_into(story, tmp_path, monkeypatch):
    """The settings say where; a store that is not there yet is an empty one, and is not made."""
    missing = tmp_path / "nowhere" / "store.db"

    assert Finished(
        0, f"No session yet in {missing}.\nRecord a program first: tachograph run your_agents.py\n", ""
    ) == run("sessions", TACHOGRAPH_STORE=str(missing))
    assert not missing.parent.exists()
    assert run("sessions", "--from", story) == run("sessions", TACHOGRAPH_STORE=story)


def test_bad_settings_are_warnings(story):
    """A setting that cannot be used is named on standard error, and what was asked is answered."""
    done = run("sessions", TACHOGRAPH_STORE=story, TACHOGRAPH_MAX_NAMES="few")

    assert (0, 4) == (done.code, len(done.stdout.splitlines()))
    assert done.stderr.startswith("Warning: TACHOGRAPH_MAX_NAMES: 'few' is not usable")
