"""``tachograph audit``: who did, asked and decided what."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.programs import PATIENCE, Finished, clean_environment, ended
from support.records import event, operation
from support.terminal import COMMAND, on_terminal, run, terminal
from tachograph.sources import open_source
from tachograph.store.writer import Writer

NEWEST = """\
time                        type                        session  what
2026-01-17 13:01:03.600  !  agent_error                 chat-43  boss: TimeoutError: no answer within 30 s, handed up
2026-01-17 13:01:03.600     agent_processing_completed  chat-43  boss: error, 3.60 s
2026-01-17 13:01:03.600     task_completed              chat-43  boss: error
2026-01-17 13:01:10.000  !  threshold_exceeded          chat-43  figure=tokens limit=1000
2026-01-17 13:01:20.000     task_started                f00d     �[31mred�[0m [bold]�evil
2026-01-17 13:01:20.000     agent_processing_started    f00d     �[31mred�[0m [bold]�evil
2026-01-17 13:01:20.100     tool_execution_requested    f00d     �[31mred�[0m [bold]�evil
2026-01-17 13:01:20.100     tool_execution_started      f00d     �[31mred�[0m [bold]�evil
2026-01-17 13:01:20.200     tool_execution_failed       f00d     �[31mred�[0m [bold]�evil: �[31mred�[0m [bold]�evil: �[31mred�[0m [bold]�evil
2026-01-17 13:01:21.000     agent_processing_completed  f00d     �[31mred�[0m [bold]�evil: 1.00 s
2026-01-17 13:01:21.000     task_completed              f00d     �[31mred�[0m [bold]�evil: ok
"""  # noqa: E501 - as it is printed
EIGHTY = """\
time             type                session  what
13:00:00.950  !  agent_switched      chat-42  boss → clerk
13:01:00.950  !  agent_switched      chat-43  boss → clerk
13:01:02.300  !  agent_error         chat-43  clerk: TimeoutError: no answer wi…
13:01:03.600  !  agent_error         chat-43  boss: TimeoutError: no answer wit…
13:01:10.000  !  threshold_exceeded  chat-43  figure=tokens limit=1000
"""


def kinds(*arguments: str) -> list[str]:
    return [entry["event_type"] for entry in run("audit", "--json", *arguments).json]


def test_the_newest_entries_stand_oldest_first(story):
    """Each entry is one line: when, whether it is critical, its type, its session, and what."""
    assert Finished(0, NEWEST, "") == run("audit", "--limit", "11", "--from", story)


def test_on_a_terminal_the_lines_fit(story):
    """In eighty columns times have no date where all are of one day, and long texts are cut."""
    code, shown = on_terminal("audit", "--critical", "--from", story)

    assert (0, EIGHTY) == (code, shown)


def test_within_one_session_its_id_is_not_repeated(story):
    """Where a session is asked for the lines do not say which."""
    lines = run("audit", "--session", "chat-43", "--category", "task", "--from", story).stdout.splitlines()

    assert [
        "time                     type            what",
        "2026-01-17 13:01:00.000  task_started    boss",
        "2026-01-17 13:01:03.600  task_completed  boss: error",
    ] == lines


def test_entries_of_several_days_have_their_date(story):
    """Where entries are of more than one day, each line says which, in eighty columns too."""
    writer = Writer(Path(story))
    writer.append([event(90, "threshold_exceeded", at=86_400_000)])
    writer.close()

    shown = on_terminal("audit", "--type", "threshold_exceeded", "--from", story)[1].splitlines()

    assert ["01-17 13:01:10.000", "01-18 13:00:00.000"] == [line[:18] for line in shown[1:]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--type", "agent_switched"], ["agent_switched"] * 2),
        (["--category", "task", "--session", "chat-42"], ["task_started", "task_completed"]),
        (["--critical", "--session", "last~1"], ["agent_switched", "agent_error", "agent_error", "threshold_exceeded"]),
        (["--correlation", "request-3", "--category", "task"], ["task_started", "task_completed"]),
        (["--since", "2026-01-17T13:01:20", "--category", "task"], ["task_started", "task_completed"]),
        (["--since", "2026-01-17T14:01:20+01:00", "--category", "task"], ["task_started", "task_completed"]),
        (["--since", "1h"], []),
        (["--limit", "2"], ["agent_processing_completed", "task_completed"]),
    ],
    ids=lambda value: " ".join(value[:1]) if value and value[0].startswith("--") else "",
)
def test_filters(story, options, expected):
    """Each filter leaves what was asked for; together they leave what passes all."""
    assert expected == kinds(*options, "--from", story)


def test_json_is_the_log(story):
    """JSON is the view's own, all of it without a limit."""
    source = open_source(story)
    expected = source.audit_log()
    source.close()

    assert expected == run("audit", "--limit", "0", "--from", story, "--json").json


def test_nothing_found_is_said(story, empty):
    """No entries is one thing, nothing recorded at all another; neither is a failure."""
    assert Finished(0, "No such entries.\n", "") == run("audit", "--since", "1h", "--from", story)
    assert Finished(
        0, f"Nothing recorded yet in {empty}.\nRecord a program first: tachograph run your_agents.py\n", ""
    ) == run("audit", "--from", empty)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--type", "agent_switch"), "'agent_switch': no such type; there are agent_switched"),
        (("--type", "hitl"), "'hitl': no such type; there are hitl_approval_requested, hitl_decision_made"),
        (("--category", "agents"), "'agents' is not one of 'agent', 'hitl'"),
        (("--since", "then"), "'then' is no moment"),
        (("--limit", "-1"), "-1 is not in the range"),
        (("--head", "x"), "--head is for --verify"),
        (("--verify", "--session", "last"), "--verify checks all that the store keeps; leave out --session"),
        (("--verify", "--type", "task_started", "-f"), "leave out --type, --follow"),
        (("--verify", "--limit", "50", "--since", "1h", "--critical"), "leave out --critical, --since, --limit"),
    ],
)
def test_bad_filters_are_named(story, options, said):
    """What cannot be asked for is named, with what can."""
    done = run("audit", *options, "--from", story)

    assert (2, "", True) == (done.code, done.stdout, said in done.stderr)
    assert "Try 'tachograph audit --help'." == done.stderr.splitlines()[-1]


# ------------------------------------------------------------------------------------------------------ following
def test_following_prints_what_comes_until_interrupted(story):
    """New entries appear while they are recorded, each once; Ctrl-C ends it, which is no failure."""
    writer = Writer(Path(story))
    with terminal("audit", "--follow", "--limit", "1", "--from", story, columns=120) as shown:
        shown.wait_for(lambda text: "task_completed" in text)
        writer.append([operation(70, "tool", "first", at=90_000, session="new")])
        shown.wait_for(lambda text: "tool_execution_completed" in text)
        writer.append([event(71, "threshold_exceeded", at=92_000, session="new", figure="cost")])
        shown.wait_for(lambda text: "figure=cost" in text)
        shown.process.send_signal(signal.SIGINT)
        code, text = shown.end()
    writer.close()

    assert 0 == code
    lines = [line for line in text.splitlines() if "2026-" in line]
    assert [
        "task_completed",
        "tool_execution_requested",
        "tool_execution_started",
        "tool_execution_completed",
        "threshold_exceeded",
    ] == [line.replace("!", " ").split()[2] for line in lines]
    assert "Traceback" not in text


def test_following_as_json_is_a_line_each(tmp_path):
    """A store that is not there yet is waited for, and each entry is a line of JSON at once, also in a pipe."""
    path = tmp_path / "new" / "store.db"
    with (
        subprocess.Popen(
            [*COMMAND, "audit", "--follow", "--json", "--type", "threshold_exceeded"],
            env=clean_environment(TACHOGRAPH_STORE=str(path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
        ended(process),
    ):
        deadline = time.monotonic() + PATIENCE
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)  # there is nothing to wait on but the file
        writer = Writer(path)
        writer.append([event(1, "threshold_exceeded", figure="\x1b"), event(2, "message_added")])
        first = process.stdout.readline()
        writer.append([event(3, "threshold_exceeded", figure="cost")])
        second = process.stdout.readline()
        writer.close()
        process.send_signal(signal.SIGINT)

        assert (b"", b"") == (process.stdout.read(), process.stderr.read())
        assert 0 == process.wait(PATIENCE)
    assert ["\x1b", "cost"] == [json.loads(line)["figure"] for line in (first, second)]
