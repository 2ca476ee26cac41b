"""``tachograph audit --verify``: has anybody touched what was recorded?"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from support.records import event
from support.terminal import on_terminal, run
from tachograph.store.writer import Writer

KEYLESS = "without a key, whoever can write the file can write a chain anew from any entry on"


def touch(place: str, statement: str) -> None:
    """What somebody does with any tool for SQLite."""
    db = sqlite3.connect(place)
    db.execute(statement)
    db.commit()
    db.close()


def test_a_store_nobody_touched(story):
    """What was checked, the heads to keep, and what such a check cannot show."""
    done = run("audit", "--verify", "--from", story)
    lines = done.stdout.splitlines()

    assert (0, "") == (done.code, done.stderr)
    assert "✓ 15 entries in 1 chain: none changed, removed, reordered or cut." == lines[0]
    assert "Heads, to keep elsewhere and give as --head" == lines[2]
    assert "What this cannot show" == lines[5]
    assert f"  · {KEYLESS}" in lines
    told = run("audit", "--verify", "--from", story, "--json").json
    assert (True, 15, 1, []) == (told["ok"], told["entries"], told["writers"], told["problems"])
    assert [line[2:] for line in lines[3:4]] == told["heads"]
    assert [line[4:] for line in lines[6:]] == told["limits"]


@pytest.mark.parametrize(
    ("statement", "what", "where"),
    [
        ("UPDATE records SET body = replace(body, 'boss', 'b0ss') WHERE seq = 6", "changed", "entry 6 of writer"),
        ("DELETE FROM records WHERE seq = 3", "removed", "entry 3 is missing"),
        ("DELETE FROM records WHERE seq > 12", "cut", "entries 13 to 15 are missing"),
        ("UPDATE records SET number = CASE number WHEN 4 THEN -5 WHEN 5 THEN -4 ELSE number END", "reordered", "entry"),
    ],
)
def test_what_was_touched_is_named(story, statement, what, where):
    """The first entry that is not as recorded is named, and the answer is no: in text, in JSON, by the exit code."""
    touch(story, statement)

    done = run("audit", "--verify", "--from", story)
    told = run("audit", "--verify", "--from", story, "--json")

    assert (1, 1) == (done.code, told.code)
    assert done.stdout.startswith("✗ ")
    assert f"Error: {story} is not as it was recorded; see above\n" == done.stderr == told.stderr
    (problem,) = told.json["problems"]
    assert (False, what, True) == (told.json["ok"], problem["what"], where in problem["where"])
    assert f"  {what:<10}{problem['where']}" in done.stdout


def test_a_head_kept_elsewhere_shows_what_was_cut(story):
    """A chain whose end was cut and sealed anew is whole in itself; a head from before shows it."""
    (head,) = run("audit", "--verify", "--from", story, "--json").json["heads"]
    writer = Writer(Path(story))
    writer.append([event(80, "message_added")])
    writer.close()
    heads = run("audit", "--verify", "--from", story, "--json").json["heads"]

    assert 0 == run("audit", "--verify", "--head", head, "--from", story).code
    touch(story, "DELETE FROM records WHERE writer = 2")
    touch(story, "DELETE FROM writers WHERE writer = 2")
    assert 0 == run("audit", "--verify", "--head", head, "--from", story).code
    done = run("audit", "--verify", "--head", head, "--head", heads[-1], "--from", story)
    assert (1, True) == (done.code, f"the whole chain of writer {heads[-1][:16]} is missing" in done.stdout)


def test_with_a_key(tmp_path):
    """Entries recorded with a key are checked with the key of the settings, and cannot be without it."""
    path = tmp_path / "keyed.db"
    writer = Writer(path, key=b"a secret")
    writer.append([event(1, "message_added")])
    writer.close()

    place = ("audit", "--verify", "--from", str(path))
    with_key = run(*place, TACHOGRAPH_AUDIT_KEY="a secret")

    assert (0, False) == (with_key.code, KEYLESS in with_key.stdout)
    assert "can only be checked with it" in run(*place).stdout
    assert 1 == run(*place, TACHOGRAPH_AUDIT_KEY="another").code
    assert "a secret" not in with_key.stdout


def test_bad_heads_and_other_files(story, tmp_path):
    """A head that is none is bad usage; only a store has a chain."""
    text = tmp_path / "text"
    text.write_text("text")

    assert (2, True) == (
        (bad := run("audit", "--verify", "--head", "x", "--from", story)).code,
        "'x' is no head of a chain" in bad.stderr,
    )
    assert 2 == run("audit", "--verify", "--from", str(text)).code


def test_on_a_narrow_terminal_heads_stay_whole(story):
    """Sentences are broken between words; what is to be copied is not cut."""
    code, shown = on_terminal("audit", "--verify", "--from", story, columns=50)

    (head,) = run("audit", "--verify", "--from", story, "--json").json["heads"]
    assert (0, True) == (code, f"  {head}" in shown.splitlines())
    assert KEYLESS in " ".join(shown.split())
