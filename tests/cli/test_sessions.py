"""``tachograph sessions``: what there is to look at."""

from __future__ import annotations

import pytest

from support.programs import Finished
from support.records import event, operation
from support.terminal import on_terminal, run
from tachograph.sources import open_source
from tachograph.store.writer import Writer

WIDE = """\
session  last active       status  user  agents                    requests  tokens     cost  agent time  errors
f00d     2026-01-17 13:01  idle          �[31mred�[0m [bold]�evil         0       0        -      1.00 s       0
chat-43  2026-01-17 13:01  idle    ada   boss, clerk                      2   2,360  unknown      3.60 s       1
chat-42  2026-01-17 13:00  idle    ada   boss, clerk                      2   2,360  unknown      2.40 s       0
"""
EIGHTY = """\
session  last active       status  requests  tokens     cost  agent time  errors
f00d     2026-01-17 13:01  idle           0       0        -      1.00 s       0
chat-43  2026-01-17 13:01  idle           2   2,360  unknown      3.60 s       1
chat-42  2026-01-17 13:00  idle           2   2,360  unknown      2.40 s       0
"""
FORTY = """\
session  last active       tokens  errors
f00d     2026-01-17 13:01       0       0
chat-43  2026-01-17 13:01   2,360       1
chat-42  2026-01-17 13:00   2,360       0
"""


def test_sessions_stand_the_one_last_active_first(story):
    """Each session is one line with its figures; a pipe gets every column."""
    assert Finished(0, WIDE, "") == run("sessions", "--from", story)


@pytest.mark.parametrize(("columns", "shown"), [(200, WIDE), (80, EIGHTY), (41, FORTY)])
def test_on_a_terminal_columns_are_left_out_where_there_is_no_room(story, columns, shown):
    """What matters least goes first, and no line is broken."""
    assert (0, shown) == on_terminal("sessions", "--from", story, columns=columns)


def test_json_has_the_figures_of_each(story):
    """JSON has what ``show --json`` has, without the lists of requests."""
    done = run("sessions", "--from", story, "--json")

    source = open_source(story)
    expected = [{**metrics.to_dict(), "requests": None} for metrics in source.session_list()]
    source.close()
    assert expected == done.json


def test_the_oldest_are_left_out_and_counted(story):
    """A limit shows the newest and says how many more there are; 0 is no limit."""
    assert ["session", "f00d", "… 2 more: --limit 3, or --limit 0 for all"] == [
        line if line.startswith("…") else line.split()[0]
        for line in run("sessions", "--from", story, "--limit", "1").stdout.splitlines()
    ]
    assert WIDE == run("sessions", "--from", story, "--limit", "0").stdout
    assert 2 == len(run("sessions", "--from", story, "--limit", "2", "--json").json)


def test_an_empty_store_says_what_to_do(empty):
    """Where nothing is recorded the next step is told, and that is no failure."""
    said = f"No session yet in {empty}.\nRecord a program first: tachograph run your_agents.py\n"

    assert Finished(0, said, "") == run("sessions", "--from", empty)
    assert [] == run("sessions", "--from", empty, "--json").json


def test_a_store_of_hidden_sessions_says_so(tmp_path):
    """Where every session was deleted nobody is told that nothing was recorded."""
    writer = Writer(tmp_path / "store.db")
    writer.append([operation(1), event(2, "session_deleted")])
    writer.close()
    store = str(tmp_path / "store.db")

    done = run("sessions", "--from", store)

    assert Finished(0, f"All sessions in {store} are hidden by deletion: --deleted lists them.\n", "") == done
    assert [] == run("sessions", "--from", store, "--json").json
    assert run("sessions", "--from", store, "--deleted").stdout.splitlines()[1].startswith("s ")
