"""``tachograph delete``: a session hidden, or gone for good."""

from __future__ import annotations

import getpass
import time
from contextlib import closing
from pathlib import Path

import pytest

from support.programs import Finished
from support.records import opened, operation
from support.terminal import run, terminal
from tachograph.store.writer import Writer


def listed(story: str, *options: str) -> list[str]:
    return [session["session_id"] for session in run("sessions", "--from", story, "--json", *options).json]


def test_hidden_it_is_listed_no_more_and_all_is_kept(story):
    """A hidden session is not listed, its detail stays, and the log says who hid it."""
    done = run("delete", "chat-43", "--yes", "--by", "ada", "--store", story)

    assert Finished(0, "Session chat-43 is hidden.\n", "") == done
    assert ["f00d", "chat-42"] == listed(story)
    assert {"chat-43", "f00d", "chat-42"} == {*listed(story, "--deleted")}
    assert "deleted" == run("show", "chat-43", "--from", story, "--json").json["status"]
    (entry,) = run("audit", "--type", "session_deleted", "--from", story, "--json").json
    assert ("chat-43", "ada", False) == (entry["session_id"], entry["by"], entry["hard"])
    assert 0 == run("audit", "--verify", "--from", story).code


def test_for_good_it_is_overwritten(story):
    """Nothing of what a session said is left in the file, the chain holds, and the log says who did it."""
    done = run("delete", "f00", "--hard", "--yes", "--store", story)

    assert Finished(0, "Session f00d is deleted for good.\n", "") == done
    (entry,) = run("audit", "--session", "f00d", "--from", story, "--json").json
    assert ("session_deleted", getpass.getuser(), True) == (entry["event_type"], entry["by"], entry["hard"])
    assert 0 == run("audit", "--verify", "--from", story).code


def test_what_goes_on_is_recorded_anew(story):
    """Of a session that a program is recording it is said that more will come and be visible, and so it is."""
    with closing(Writer(Path(story))) as writer:
        writer.append([], [opened(operation(1, "agent", session="live"))])
        done = run("delete", "live", "--yes", "--store", story)
        writer.append([operation(2, session="live")._replace(start_ns=time.time_ns(), end_ns=time.time_ns())], None)

    assert (0, "Session live is hidden.\n") == (done.code, done.stdout)
    assert "A program is recording it: what it goes on to do is recorded anew, and visible.\n" == done.stderr
    assert "live" in listed(story)


@pytest.mark.parametrize("hard", [(), ("--hard",)])
def test_twice_is_once(story, hard):
    """What was deleted is deleted; a second time says so, and is no failure."""
    run("delete", "chat-43", "--yes", "--store", story, *hard)

    done = run("delete", "chat-43", "--yes", "--store", story, *hard)

    assert Finished(0, "Session chat-43 was deleted before; nothing to do.\n", "") == done
    assert {"session_id": "chat-43", "hard": bool(hard), "deleted": False} == run(
        "delete", "chat-43", "--yes", "--store", story, "--json", *hard
    ).json


def test_it_asks_first(story):
    """On a terminal it says what goes and waits for a yes; anything else leaves all as it is."""
    for answer, code, left in (("n\n", 1, 3), ("y\n", 0, 2)):
        with terminal("delete", "chat-43", "--store", story) as shown:
            shown.wait_for(lambda text: "[y/N]" in text)
            shown.type(answer)
            ended, text = shown.end()
        assert "Delete session chat-43 (2 requests, 2 tool calls) from view? [y/N]" in text
        assert (code, left) == (ended, len(listed(story)))


def test_where_nobody_can_be_asked_it_needs_a_yes(story):
    """A script says --yes; without it nothing is deleted."""
    done = run("delete", "chat-43", "--store", story)

    assert Finished(2, "", "Error: session chat-43 was not deleted: nobody is here to ask; give --yes\n") == done
    assert 3 == len(listed(story))


def test_a_session_or_store_that_is_not_there(story, tmp_path):
    """No such session is a no, no such store bad usage; none is made."""
    assert 1 == run("delete", "nope", "--yes", "--store", story).code
    missing = tmp_path / "none.db"
    done = run("delete", "chat-43", "--yes", "--store", str(missing))
    assert (2, True, False) == (done.code, f"{missing}: no such file" in done.stderr, missing.exists())
