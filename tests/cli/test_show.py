"""``tachograph show``: one session on one page."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from support.programs import Finished
from support.records import operation
from support.story import UNDER_WAY
from support.terminal import on_terminal, run
from tachograph.cli.show import page
from tachograph.sources import open_source
from tachograph.store.writer import Writer
from tachograph.views.session import SessionMetrics

PAGE = """\
Session chat-43
idle · 2026-01-17 13:01:00 to 13:01:10 · user ada

requests  tokens     cost  agent time  tool calls  switches  errors
       2   2,360  unknown      3.60 s           2         1       1
tokens    2,200 in (1,024 cached) + 160 out (64 reasoning)
requests  0.82 s on average · 1 streamed
cost      price or tokens not known for big, 小さい
errors    went on after 1 more

Agents
agent  runs  ok  failed    time
boss      1   0       1  3.60 s
clerk     1   0       1  1.35 s

Models
model   requests  tokens in  cached  tokens out  reasoning  tokens     cost
big            1      1,500   1,024         120         64   1,620  unknown
小さい         1        700       0          40          0     740  unknown

Tools
tool        requested  ok  failed  refused  to approve    time
delete_all          1   0       0        1           0    0 ms
search              1   0       1        0           0  0.38 s

Switches between agents
switch        times
boss → clerk      1

Errors
in           error         times
agent boss   TimeoutError      1  ended it
agent clerk  TimeoutError      1  ended it
agent clerk  ValueError        1  went on
tools        TimeoutError      1
"""
HOSTILE = """\
Session f00d
idle · 2026-01-17 13:01:20 to 13:01:21

requests  tokens  cost  agent time  tool calls  switches  errors
       0       0     -      1.00 s           1         0       0

Agents
agent                     runs  ok  failed    time
�[31mred�[0m [bold]�evil     1   1       0  1.00 s

Tools
tool                      requested  ok  failed  refused  to approve    time
�[31mred�[0m [bold]�evil          1   0       1        0           0  0.10 s

Errors
in     error                     times
tools  �[31mred�[0m [bold]�evil      1
"""


def text(metrics: SessionMetrics, width: int = 100) -> str:
    return "\n".join(line.plain for line in page(metrics, None, width))


@pytest.mark.parametrize("name", ["chat-43", "last~1"])
def test_a_session_is_one_page(story, name):
    """Header, figures, and a table for each of agents, models, tools, switches and errors that there is."""
    assert Finished(0, PAGE, "") == run("show", name, "--from", story)


def test_without_a_name_it_is_the_session_last_active(story):
    """``show`` alone shows the newest session; names that would harm a terminal do not."""
    assert Finished(0, HOSTILE, "") == run("show", "--from", story)
    assert HOSTILE == run("show", "last", "--from", story).stdout == run("show", "f0", "--from", story).stdout


def test_on_a_terminal_the_page_is_the_same_where_there_is_room(story):
    """Eighty columns are enough for the whole page of ordinary names."""
    assert (0, PAGE) == on_terminal("show", "chat-43", "--from", story)


def test_on_a_narrow_terminal_the_page_stays_in_its_width(story):
    """Names are cut and the least important columns left out."""
    code, shown = on_terminal("show", "chat-43", "--from", story, columns=50)

    assert 0 == code
    lines = shown.splitlines()
    assert "requests  tokens     cost  agent time  errors" in lines
    assert "小さい         1        700          40     740" in lines
    assert "to approve" not in shown
    assert max(map(cell_len, lines)) <= 50


def test_json_has_all_that_is_known(story):
    """JSON is the view's own."""
    source = open_source(story)
    expected = source.session_metrics("chat-43").to_dict()
    source.close()

    assert expected == run("show", "chat-43", "--from", story, "--json").json


def test_one_request_within_the_session(story):
    """A request is shown by its id or the beginning of it; a session has several."""
    with_one_more = Writer(Path(story))
    with_one_more.append([operation(60, "tool", "search", session="chat-42", request="other")])
    with_one_more.close()

    shown = run("show", "chat-42", "--correlation", "oth", "--from", story)

    assert (0, "Session chat-42 · request other") == (shown.code, shown.stdout.splitlines()[0])
    assert 1 == run("show", "chat-42", "--correlation", "other", "--from", story, "--json").json["tool_calls"]
    assert Finished(1, "", "Error: no request 'x' in session chat-42; there are: other, request-1\n") == run(
        "show", "chat-42", "--correlation", "x", "--from", story
    )


def test_what_is_under_way_is_said(story):
    """A session with work under way is active, and so many requests are."""
    writer = Writer(Path(story))
    writer.append((), [UNDER_WAY])

    lines = run("show", "chat-42", "--from", story).stdout.splitlines()
    writer.close()

    assert lines[1].startswith("active · ")
    assert "requests  0.55 s on average · 1 streamed · 1 under way" in lines


def test_approvals_are_a_table():
    """Who was asked about which tool, and what was decided."""
    decided = {"delete_all": {"APPROVE": 2, "EDIT": 0, "REJECT": 1, "EXPIRED": 0, "pending": 1}}

    assert (
        "Approvals\n"
        "tool        approve  edit  reject  expired  pending\n"
        "delete_all        2     0       1        0        1"
    ) in text(SessionMetrics(session_id="s", hitl=decided))


def test_what_is_not_kept_and_not_known_is_said():
    """What bounds have dropped, and why the figures may not be all, stand below the figures."""
    metrics = SessionMetrics(
        session_id="s",
        evicted={"requests": 1_200, "others": 0},
        complete=False,
        reasons=["spans were sampled, so that there is less here than happened", "no logs"],
    )

    lines = text(metrics, 60).splitlines()

    assert [
        "not kept  the oldest 1,200 requests in detail; the figures",
        "          count them",
        "not all   spans were sampled, so that there is less here",
        "          than happened",
        "not all   no logs",
    ] == lines[-5:]


def test_a_cost_is_shown_as_far_as_it_is_known():
    """A cost of which a part is missing is a lower bound, and the models without a price are named."""
    cost = {"amount": 1.5, "currency": "USD", "complete": False, "unpriced_models": ["homemade"]}

    shown = text(SessionMetrics(session_id="s", cost=cost))

    assert "≥ 1.5000 USD" in shown
    assert "cost      price or tokens not known for homemade" in shown


def test_runs_that_were_cut_short_are_told():
    """A run that was interrupted or out of steps is said to be, though it is no error."""
    shown = text(SessionMetrics(session_id="s", outcomes={"interrupted": 1, "max_steps": 2, "ok": 3}))

    assert "runs      1 interrupted, 2 max_steps" in shown.splitlines()


def test_an_agent_run_that_never_ended_needs_no_times():
    """Figures of a session that only has an event are zeros, and nothing fails."""
    lines = text(SessionMetrics(session_id="s", status="idle")).splitlines()

    assert ["Session s", "idle"] == lines[:2]
