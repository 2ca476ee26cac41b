"""A writer is alive for exactly as long as its process is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tachograph.store.presence import Presence, file_of, is_alive

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import os, sys
from pathlib import Path
from tachograph.store.presence import Presence

presence = Presence(Path(sys.argv[1]), "other")
if sys.argv[2] == "fork" and os.fork() == 0:
    presence.forget()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
if sys.argv[2] != "fork":
    print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def holder(store: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(store), how]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    return process


def test_a_process_that_is_killed_is_dead(store):
    """Another process is alive until it ends, even if it could not say so, and its file is removed then."""
    with holder(store, "alone") as process:
        assert is_alive(store, "other")
        process.kill()
        process.wait()

    assert not is_alive(store, "other")
    assert not file_of(store, "other").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_child_neither_keeps_nor_ends_the_presence_of_its_parent(store):
    """A forked child lets go of what it inherited: the parent lives on, and is dead when it dies."""
    with holder(store, "fork") as process:
        assert is_alive(store, "other")
        process.kill()
        process.wait()

        assert not is_alive(store, "other")  # though the child still runs


def test_presence_within_one_process(store):
    """Two writers of one process see each other, and one that gave up is gone."""
    presence = Presence(store, "one")

    assert is_alive(store, "one")
    assert not is_alive(store, "two")
    with pytest.raises(OSError, match="is locked by another process"):
        Presence(store, "one")

    presence.give_up()
    presence.give_up()
    assert not is_alive(store, "one")
    assert [] == list(store.parent.iterdir())


def test_where_nothing_can_be_written_that_is_said(tmp_path):
    """A folder that is not there is an error that names the file."""
    with pytest.raises(FileNotFoundError, match=r"store\.db-writer-one"):
        Presence(tmp_path / "missing" / "store.db", "one")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may open everything")
def test_one_that_cannot_be_asked_is_taken_for_alive(store):
    """A file that is not ours to open says nothing, so that its writer is not written off."""
    Presence(store, "one").forget()
    file_of(store, "one").chmod(0)

    assert is_alive(store, "one")
