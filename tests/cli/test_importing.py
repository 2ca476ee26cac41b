"""``tachograph import``: recorded sessions from files into the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.programs import Finished
from support.records import opened, operation
from support.story import STORY
from support.terminal import on_terminal, run
from tachograph.sources import open_source
from tachograph.store.writer import Writer


@pytest.fixture
def exported(story, tmp_path) -> str:
    """A file of OTLP with the story; its path."""
    path = tmp_path / "story.jsonl"
    run("export", "--all", "--format", "otlp", "-o", str(path), "--from", story)
    return str(path)


def test_what_is_imported_is_there(exported, story, tmp_path):
    """Sessions from a file are in the store afterwards, figures and log the same, and the store is made if need be."""
    store = str(tmp_path / "made" / "store.db")

    done = run("import", exported, "--store", store)

    assert (0, "") == (done.code, done.stderr)
    assert ["file", "new", "known", "not", "ended", "bad"] == done.stdout.splitlines()[0].split()
    assert [exported, "15", "0", "0", "0"] == done.stdout.splitlines()[1].split()
    assert "15 records imported; tachograph sessions lists what there is now" == done.stdout.splitlines()[2]
    for command in (("sessions",), ("show", "chat-43"), ("audit", "--limit", "0")):
        assert run(*command, "--from", story) == run(*command, "--from", store)


def test_a_second_import_changes_nothing(exported, story, tmp_path):
    """What is there already is known by its id, from whichever kind of file it came."""
    store = str(tmp_path / "store.db")
    run("import", exported, "--store", store)
    before = run("sessions", "--from", store)

    told = run("import", exported, story, "--store", store, "--json").json

    assert [(exported, 0, 15), (story, 0, 15)] == [(row["file"], row["new"], row["known"]) for row in told["files"]]
    assert before == run("sessions", "--from", store)


def test_without_a_store_it_is_the_one_that_programs_record_into(exported, tmp_path):
    """What is imported stands beside what programs here have recorded."""
    store = tmp_path / "ours.db"

    assert 0 == run("import", exported, TACHOGRAPH_STORE=str(store)).code
    assert 4 == len(run("sessions", TACHOGRAPH_STORE=str(store)).stdout.splitlines())


def test_what_has_not_ended_is_not_imported(tmp_path):
    """An operation under way in another store is counted and left there: its end would never come."""
    path = tmp_path / "other.db"
    writer = Writer(path)
    writer.append([operation(1, session="done")], [opened(operation(2, session="going on"))])
    store = str(tmp_path / "store.db")

    (row,) = run("import", str(path), "--store", store, "--json").json["files"]
    writer.close()

    assert (1, 0, 1) == (row["new"], row["known"], row["under_way"])
    source = open_source(store)
    assert (["done"], []) == (source.sessions(), source.open_operations())
    source.close()


def test_what_cannot_be_read_does_not_stop_the_rest(exported, tmp_path):
    """A file that cannot be read is named and the exit code says so; the others are imported all the same."""
    text = tmp_path / "notes.txt"
    text.write_text("nothing of ours")
    store = str(tmp_path / "store.db")

    done = run("import", str(tmp_path / "missing"), exported, str(text), "--store", store)

    assert (2, [exported, "15"]) == (done.code, done.stdout.splitlines()[1].split()[:2])
    assert [True, True] == [
        str(path) in line for path, line in zip((tmp_path / "missing", text), done.stderr.splitlines(), strict=True)
    ]


def test_no_store_is_made_for_nothing(tmp_path):
    """Where no file can be read there is no store afterwards that was not there before."""
    done = run("import", str(tmp_path / "missing"), "--store", str(tmp_path / "store.db"))

    assert (2, []) == (done.code, [*tmp_path.iterdir()])


def test_damaged_lines_are_counted_and_told(exported, tmp_path):
    """What of a file cannot be read is counted and shown, and the rest of it imported."""
    damaged = Path(exported)
    first, *rest = damaged.read_text().splitlines(keepends=True)
    damaged.write_text(first + '{"resourceSpans": 7, "\x1b": }\n' + "".join(rest))
    store = str(tmp_path / "store.db")

    done = run("import", exported, "--store", store)

    assert [exported, "15", "0", "0", "1"] == done.stdout.splitlines()[1].split()
    assert done.stdout.splitlines()[2].startswith("bad  ")
    assert "\x1b" not in done.stdout


def test_a_store_that_is_none_is_said(exported):
    """Importing into a file that is no store is refused, and the file is as it was."""
    before = Path(exported).read_bytes()

    done = run("import", exported, "--store", exported)

    assert (2, "", 1) == (done.code, done.stdout, len(done.stderr.splitlines()))
    assert before == Path(exported).read_bytes()


def test_nothing_to_import_is_bad_usage():
    """At least one file is named."""
    assert Finished(2, "", "Error: Missing argument 'FILE…'.\nTry 'tachograph import --help'.\n") == run("import")


def test_on_a_terminal(exported, tmp_path):
    """Long work shows how far it is; in the end what was done stands alone."""
    code, shown = on_terminal("import", exported, "--store", str(tmp_path / "store.db"), columns=60)

    assert 0 == code
    assert f"{len(STORY)} records imported" in shown.splitlines()[-1]
