"""``tachograph timeline``: what happened when, and inside what."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.programs import Finished
from support.records import operation
from support.story import UNDER_WAY
from support.terminal import on_terminal, run
from tachograph import names
from tachograph.sources import open_source
from tachograph.store.writer import Writer

EIGHTY = """\
  start    took                         what
   0 ms  3.60 s  ████████               boss  error TimeoutError
  50 ms  1.20 s  ███                      model big  1,620 tokens
 0.95 s  1.35 s   ████                    clerk  error TimeoutError
 1.00 s  0.45 s    █                        model 小さい  740 tokens
 1.40 s  0.38 s    ██                       tool search  error TimeoutError
 1.70 s    0 ms     █                       tool delete_all  refused UnknownTool
10.00 s                              ·  threshold_exceeded
"""


def written(story: str, *records, under_way=()) -> str:
    """The store of the story, with more in it."""
    writer = Writer(Path(story))
    writer.append(records, under_way)
    writer.close() if not under_way else writer.release()
    return story


def lines(*arguments: str) -> list[str]:
    return run("timeline", *arguments).stdout.splitlines()


def test_a_terminal_gets_as_long_bars_as_there_is_room_for(story):
    """When, how long, a bar on a common scale, and what inside what; bars take what the texts leave."""
    assert (0, EIGHTY) == on_terminal("timeline", "chat-43", "--from", story)
    narrow = on_terminal("timeline", "chat-43", "--from", story, columns=40)[1].splitlines()
    wide = on_terminal("timeline", "chat-43", "--from", story, columns=200)[1].splitlines()

    assert [10, 21, 80] == [line.index("what") - 19 for line in (narrow[0], EIGHTY.splitlines()[0], wide[0])]
    assert "   0 ms  3.60 s  ████        boss  erro…" == narrow[1]


def test_a_pipe_gets_whole_texts(story):
    """What is no terminal gets bars of a readable length, and every text as a whole."""
    done = run("timeline", "chat-43", "--from", story)

    assert (0, "") == (done.code, done.stderr)
    assert [line.split(None, 5)[-1].split("  ")[0] for line in EIGHTY.splitlines()[1:]] == [
        line.split(None, 5)[-1].split("  ")[0] for line in done.stdout.splitlines()[1:]
    ]


def test_json_is_the_view(story):
    """JSON has every entry with its offset, duration and depth."""
    source = open_source(story)
    expected = source.timeline(session_id="chat-43").to_dict()
    source.close()

    assert expected == run("timeline", "chat-43", "--from", story, "--json").json


def test_without_a_name_it_is_the_session_last_active(story):
    """``timeline`` alone draws the newest session, hostile names made harmless."""
    shown = lines("--from", story)

    assert lines("f00d", "--from", story) == shown
    assert shown[1].endswith("�[31mred�[0m [bold]�evil")


def test_one_request_within_the_session(story):
    """A request is drawn by itself, from its own start."""
    written(story, operation(60, "tool", "later", at=50_000, session="chat-42", request="other"))

    assert 8 == len(lines("chat-42", "--from", story))
    assert ["later"] == [line.split()[-1] for line in lines("chat-42", "--correlation", "oth", "--from", story)[1:]]
    assert Finished(1, "", "Error: no request 'x' in session chat-42; there are: other, request-1\n") == run(
        "timeline", "chat-42", "--correlation", "x", "--from", story
    )


def test_what_waits_or_runs_is_marked(story):
    """What a human decides is told apart from what a machine does, and what has not ended has no end."""
    asked = operation(61, "tool", "pay", at=85_000, session="chat-42", attributes={names.HUMAN_WAIT: True})
    written(story, asked, under_way=[UNDER_WAY])

    waiting, running = lines("chat-42", "--from", story)[-2:]

    assert ("░" in waiting, "waited for a human" in waiting) == (True, True)
    assert ("running" in running, running.endswith("model big")) == (True, True)


@pytest.mark.parametrize("columns", [1, 20, 30])
def test_however_narrow_it_does_not_fail(story, columns):
    """A terminal of a few columns shows what goes in."""
    code, shown = on_terminal("timeline", "chat-43", "--from", story, columns=columns)

    assert (0, 8) == (code, len(shown.splitlines()))
