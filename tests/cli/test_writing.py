"""Commands that change a store say plainly when they cannot, and change nothing then."""

from __future__ import annotations

import sqlite3

import pytest

from support.terminal import run

CHANGING = {
    "delete": ("delete", "chat-43", "--yes"),
    "prune": ("prune", "--max-sessions", "1"),
}


@pytest.mark.parametrize("command", CHANGING.values(), ids=CHANGING)
def test_a_store_that_somebody_holds(story, command):
    """A store that another program does not let go of is named in one line, with exit code 2."""
    holder = sqlite3.connect(story, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    done = run(*command, "--store", story)
    holder.close()

    assert (2, "", 1) == (done.code, done.stdout, len(done.stderr.splitlines()))
    assert f"Error: {story}: cannot be written: " in done.stderr
    assert 3 == len(run("sessions", "--from", story, "--json").json)


@pytest.mark.parametrize("command", CHANGING.values(), ids=CHANGING)
def test_without_a_place_it_is_the_store_that_programs_record_into(story, command):
    """The settings say which store is changed."""
    assert 0 == run(*command, TACHOGRAPH_STORE=story).code
    assert 3 > len(run("sessions", "--from", story, "--json").json)
