"""``tachograph store``: what is kept, how much of it, and who writes."""

from __future__ import annotations

import re
from pathlib import Path

from support.programs import Finished
from support.story import UNDER_WAY
from support.terminal import run
from tachograph.store.upkeep import storage
from tachograph.store.writer import Writer


def test_a_store_is_described(story):
    """Where it is, how big, what is in it, and whose."""
    done = run("store", "--from", story)

    assert (0, "") == (done.code, done.stderr)
    assert [
        f"store      {story}",
        "size       # kB",
        "sessions   3",
        "records    15",
        "from       2026-01-17 13:00:00 to 2026-01-17 13:01:21",
        "under way  0",
        "writers    1 ended",
        "schema     1",
    ] == re.sub(r"[\d.]+ kB", "# kB", done.stdout).splitlines()
    assert {"exists": True, **storage(Path(story))} == run("store", "--from", story, "--json").json


def test_what_goes_on_and_what_is_gone_is_told(story):
    """Who is recording now, what is under way, hidden and pruned."""
    run("delete", "f00d", "--yes", "--store", story)
    run("prune", "--max-sessions", "1", "--store", story)
    writer = Writer(Path(story))
    writer.append((), [UNDER_WAY])

    lines = run("store", "--from", story).stdout.splitlines()
    writer.close()

    assert "sessions   2 and 1 hidden" in lines
    assert any(re.fullmatch(r"records    \d+ and 6 pruned", line) for line in lines)
    assert "under way  1" in lines
    assert any(re.fullmatch(r"writers    1 recording now, \d+ ended", line) for line in lines)


def test_an_empty_store_and_none_at_all(empty, tmp_path):
    """A store without records has none to tell of; one that is not there yet is said to be, with what to do."""
    assert "from       -" in run("store", "--from", empty).stdout.splitlines()
    path = tmp_path / "later.db"

    done = run("store", TACHOGRAPH_STORE=str(path))

    said = f"No store yet; it will be {path}.\nRecord a program first: tachograph run your_agents.py\n"
    assert Finished(0, said, "") == done
    assert {"path": str(path), "exists": False} == run("store", "--json", TACHOGRAPH_STORE=str(path)).json
