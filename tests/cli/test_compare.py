"""``tachograph compare``: two sessions side by side, for people and for a build that must not get dearer."""

from __future__ import annotations

import pytest

from support.programs import Finished
from support.story import write_story
from support.terminal import on_terminal, run

PAGE = """\
A  chat-42
B  chat-43

                           A        B  difference
requests                   2        2           =
failed requests            0        0           =
tokens                 2,360    2,360           =
  prompt               2,200    2,200           =
    of it cached       1,024    1,024           =
  completion             160      160           =
    of it reasoning       64       64           =
cost                 unknown  unknown
agent time            2.40 s   3.60 s     +1.20 s  +50.0%
model time            1.10 s   1.65 s     +0.55 s  +50.0%
agent runs                 2        2           =
switches                   1        1           =
tool calls                 2        2           =
errors                     0        1          +1     new
recovered errors           1        1           =

Switch path, the same in both
boss → clerk

Tokens by model
            A      B  difference
big     1,620  1,620           =
小さい    740    740           =

Runs by agent
       A  B  difference
boss   1  1           =
clerk  1  1           =

Time by agent
            A       B  difference
boss   2.40 s  3.60 s     +1.20 s  +50.0%
clerk  0.90 s  1.35 s     +0.45 s  +50.0%

Calls by tool
            A  B  difference
delete_all  1  1           =
search      1  1           =

Failed calls by tool
        A  B  difference
search  0  1          +1  new

Errors
                        A  B  difference
TimeoutError in a tool  0  1          +1  new
TimeoutError in boss    0  1          +1  new
TimeoutError in clerk   0  1          +1  new
"""


def test_two_sessions_side_by_side(story):
    """Every figure of both, and how much more or less the second has."""
    assert Finished(0, PAGE, "") == run("compare", "chat-42", "chat-43", "--from", story)
    assert (0, PAGE) == on_terminal("compare", "chat-42", "chat-43", "--from", story, columns=60)


def test_paths_that_differ_stand_below_each_other(story):
    """Where the agents had the work in another order, both orders are shown."""
    lines = run("compare", "chat-42", "f00d", "--from", story).stdout.splitlines()
    at = lines.index("Switch path")

    assert ["A  boss → clerk", "B  none"] == lines[at + 1 : at + 3]


def test_the_other_side_may_be_elsewhere(story, tmp_path):
    """B is read from another place where one is named."""
    other = str(write_story(tmp_path / "other.db"))

    done = run("compare", "chat-42", "chat-43", "--from", story, "--from-b", other)

    assert Finished(0, PAGE, "") == done
    missing = run("compare", "chat-42", "chat-43", "--from", story, "--from-b", str(tmp_path / "none"))
    assert (2, "") == (missing.code, missing.stdout)


@pytest.mark.parametrize(
    ("limits", "code", "said"),
    [
        (["50%", "errors=100%"], 1, ["errors grew from nothing: from 0 to 1; 100% is allowed"]),
        (["tokens=0%"], 0, []),
        (["duration=49.9%"], 1, ["agent time grew +50.0%: from 2.40 s to 3.60 s; 49.9% is allowed"]),
        (["duration=50%"], 0, []),
        (
            ["10%"],
            1,
            [
                "agent time grew +50.0%: from 2.40 s to 3.60 s; 10% is allowed",
                "errors grew from nothing: from 0 to 1; 10% is allowed",
            ],
        ),
        (["cost=10%"], 1, ["cost is not known on both sides, so nobody can say that it grew by 10% at most"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_limits_for_builds(story, limits, code, said):
    """What grew by more than it may is named on standard error, each in a line, and the exit code says so."""
    options = [option for limit in limits for option in ("--max-increase", limit)]

    done = run("compare", "chat-42", "chat-43", "--from", story, *options)
    told = run("compare", "chat-42", "chat-43", "--from", story, "--json", *options)

    assert (code, PAGE) == (done.code, done.stdout)
    assert (code, said) == (told.code, told.json["exceeded"])
    assert said == [line.removeprefix("Error:").strip() for line in done.stderr.splitlines()]


def test_bad_limits_are_named(story):
    """A limit that is none, or for a figure that is none, is bad usage."""
    for limit, said in (
        ("10", "'10' is no limit"),
        ("time=10%", "'time': no such figure; there are: requests, failed"),
    ):
        done = run("compare", "chat-42", "chat-43", "--from", story, "--max-increase", limit)
        assert (2, "", True) == (done.code, done.stdout, said in done.stderr)
