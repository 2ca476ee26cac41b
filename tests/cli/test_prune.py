"""``tachograph prune``: the store within bounds."""

from __future__ import annotations

import pytest

from support.programs import Finished
from support.terminal import on_terminal, run


def records(story: str) -> int:
    return run("store", "--from", story, "--json").json["records"]


@pytest.mark.parametrize(
    ("bounds", "removed", "sessions"),
    [
        (("--older-than", "1d"), 15, 3),
        (("--older-than", "5200w"), 0, 0),
        (("--max-sessions", "1"), 13, 2),
        (("--max-records", "4"), 11, 1),
        (("--max-records", "4", "--max-sessions", "1"), 13, 2),
        (("--max-size", "1GB"), 0, 0),
        (("--max-size", "1kB"), 15, 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_beyond_the_bounds_goes(story, bounds, removed, sessions):
    """A dry run says what would go and changes nothing; then that is what goes, and the chain holds."""
    would = run("prune", *bounds, "--dry-run", "--store", story, "--json").json
    assert 15 == records(story)
    done = run("prune", *bounds, "--store", story, "--json").json

    assert (removed, sessions, True) == (would["records"], would["sessions"], would["dry_run"])
    assert (removed, sessions, False) == (done["records"], done["sessions"], done["dry_run"])
    assert 15 - removed == records(story)
    assert 0 == run("audit", "--verify", "--from", story).code


@pytest.mark.parametrize("bound", [("--max-size", "0"), ("--max-size", "0MB"), ("--older-than", "0d")], ids=" ".join)
def test_nothing_is_no_bound(story, bound):
    """A bound of nothing is refused, whatever bounds the settings have, as those of nought records or sessions are."""
    done = run("prune", *bound, "--store", story, TACHOGRAPH_STORE_MAX_SESSIONS="1")

    assert (2, "", 15) == (done.code, done.stdout, records(story))
    assert f"'{bound[0]}': 0 is no bound; give more, or leave this out" in done.stderr


def test_what_was_removed_is_said(story):
    """How much would go or went stands in one line."""
    would = run("prune", "--max-sessions", "1", "--dry-run", "--store", story)
    done = run("prune", "--max-sessions", "1", "--store", story)

    assert would.stdout.startswith("Would remove 13 records and 2 sessions, about ")
    assert done.stdout.startswith("Removed 13 records and 2 sessions; ")
    assert [1, 1] == [len(each.stdout.splitlines()) for each in (would, done)]


def test_without_bounds_those_of_the_settings_are_kept(story):
    """The settings say how much a store may keep; where they say nothing, the command must."""
    none = {"TACHOGRAPH_STORE_MAX_SIZE": "0"}

    assert 13 == run("prune", "--store", story, "--json", TACHOGRAPH_STORE_MAX_SESSIONS="1", **none).json["records"]
    done = run("prune", "--store", story, **none)
    assert (2, "") == (done.code, done.stdout)
    assert "The settings set no bound: give --older-than" in done.stderr


def test_what_is_left_alone_is_said(tmp_path):
    """Records that cannot be sealed anew without their key stay, and why is told."""
    from support.story import STORY  # noqa: PLC0415 - likewise
    from tachograph.store.writer import Writer  # noqa: PLC0415 - for this one

    path = tmp_path / "keyed.db"
    writer = Writer(path, key=b"secret")
    writer.append(STORY)
    writer.close()

    done = run("prune", "--max-sessions", "1", "--store", str(path))

    assert (0, 15) == (done.code, records(str(path)))
    assert "Left alone: writer " in done.stdout
    with_key = run("prune", "--max-sessions", "1", "--store", str(path), "--json", TACHOGRAPH_AUDIT_KEY="secret")
    assert 13 == with_key.json["records"]


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["really", "dry"])
def test_a_store_that_is_not_there_or_none(tmp_path, options):
    """What is no store is named, and none is made."""
    text = tmp_path / "text"
    text.write_text("text")
    for path in (tmp_path / "missing", text):
        done = run("prune", "--max-sessions", "1", "--store", str(path), *options)
        assert (2, "", 1) == (done.code, done.stdout, len(done.stderr.splitlines()))
        assert str(path) in done.stderr
    assert [text] == [path for path in tmp_path.iterdir() if path.is_file()]


def test_on_a_terminal(story):
    """What was done stands alone in the end."""
    code, shown = on_terminal("prune", "--max-sessions", "1", "--store", story)

    assert (0, True) == (code, "Removed 13 records and 2 sessions" in shown.splitlines()[-1])


def test_bad_bounds_are_named(story):
    """A bound that is none is named with how to write it."""
    done = run("prune", "--older-than", "soon", "--store", story)

    assert isinstance(done, Finished)
    assert (2, True) == (done.code, "'soon' is no span of time; write it like 45s" in done.stderr)
