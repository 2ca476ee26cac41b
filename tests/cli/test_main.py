"""The command line as a whole: help, errors, exit codes, what it loads and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import click
import pytest

from support.programs import PATIENCE, clean_environment, ended, program
from support.terminal import COMMAND, on_terminal, run, terminal
from tachograph.cli import SECTIONS, main
from tachograph.version import VERSION

NAMES = [name for section in SECTIONS.values() for name in section]


def test_alone_it_shows_every_command_and_where_to_begin():
    """The first screen has each command with what it is for, the exit codes, and the first step."""
    done = run()

    assert (0, "") == (done.code, done.stderr)
    assert "To begin: tachograph run your_agents.py, then tachograph sessions" == done.stdout.splitlines()[-1]
    for section, commands in SECTIONS.items():
        assert f"{section}:" in done.stdout
        assert [name for name, known in commands.items() if f"  {name.ljust(8)}  {known.says}" not in done.stdout] == []
    assert "Exit codes: 0 done, 1 the answer is no, 2 bad usage" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_the_list_says_what_the_command_says(name):
    """What the list has of a command, without loading it, is how its own help begins."""
    with click.Context(main) as ctx:
        command = main.get_command(ctx, name)

    assert command.name == name
    assert {**SECTIONS["Record"], **SECTIONS["Look"], **SECTIONS["Keep"]}[name].says == command.help.split("\n\n")[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_and_json(name):
    """Each command explains itself in eighty columns, and but for those that run and serve each has JSON."""
    done = run(name, "--help")

    assert (0, "") == (done.code, done.stderr)
    assert ("--json" in done.stdout) == (name not in ("run", "serve"))
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_version():
    """The version is told."""
    assert f"tachograph, version {VERSION}\n" == run("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shwo",), ["Error: No such command 'shwo'. Did you mean show?", "Try 'tachograph --help'."]),
        (("\x1b[31m",), ["Error: No such command '�[31m'.", "Try 'tachograph --help'."]),
        (("--nope",), ["Error: No such option '--nope'.", "Try 'tachograph --help'."]),
        (("show", "--jsn"), ["Error: No such option '--jsn'. Did you mean '--json'?", "Try 'tachograph show --help'."]),
        (("compare", "a"), ["Error: Missing argument 'B'.", "Try 'tachograph compare --help'."]),
        (
            ("sessions", "--limit", "x"),
            [
                "Error: Invalid value for '--limit': 'x' is not a valid integer range.",
                "Try 'tachograph sessions --help'.",
            ],
        ),
    ],
)
def test_bad_usage_is_two_lines_and_code_2(arguments, said):
    """What is wrong is one line, and where the help is another."""
    done = run(*arguments)

    assert (2, "") == (done.code, done.stdout)
    # Old versions of click word some of this otherwise.
    assert said[-1] == done.stderr.splitlines()[-1]
    assert (
        said[0].rstrip(".").split(" Did you")[0].replace("'--", "").split()[:4]
        == (
            done.stderr.splitlines()[0]
            .rstrip(".")
            .split(" Did you")[0]
            .replace("'--", "")
            .replace(": --", " ")
            .split()[:4]
        )
    )


def test_an_id_that_begins_with_a_dash():
    """What is taken for an option is told where else to stand, where anything else could stand at all."""
    hint = "Anything else that begins with - stands after --: tachograph show -- -…"
    assert hint in run("show", "-dash").stderr.splitlines()[0]
    assert "no session '-dash'" in run("show", "--", "-dash").stderr
    assert "stands after" not in run("sessions", "-dash").stderr + run("show", "--jsn").stderr


@pytest.mark.parametrize(
    "command",
    [
        ("sessions", "--limit"),
        ("audit", "--limit"),
        ("prune", "--max-records"),
        ("prune", "--max-sessions"),
        ("prune", "--max-size"),
    ],
    ids=" ".join,
)
def test_a_number_that_is_too_great(story, command):
    """A number greater than a store can hold is named in two lines, with exit code 2."""
    done = run(*command, "9" * 20, "--store" if command[0] == "prune" else "--from", story)

    assert (2, "", 2) == (done.code, done.stdout, len(done.stderr.splitlines()))
    assert f"Error: Invalid value for '{command[1]}': " in done.stderr
    assert "9" * 20 in done.stderr


PLACES = [
    *((name, "last", "--from") for name in ("show", "timeline", "report", "export")),
    *((name, "--from") for name in ("sessions", "audit", "store", "serve")),
    ("compare", "last", "last", "--from"),
    ("compare", "last", "last", "--from-b"),
    ("delete", "last", "--yes", "--store"),
    ("prune", "--max-records", "1", "--store"),
    ("import", "some.jsonl", "--store"),
    ("import",),
    ("report", "last", "-o"),
    ("export", "last", "-o"),
    ("serve", "--token-file"),
]


@pytest.mark.parametrize("command", PLACES, ids=" ".join)
def test_an_empty_place_is_none(story, command):
    """An empty text, as of a shell's variable that is not set, never means the store that programs record into."""
    done = run(*command, "", TACHOGRAPH_STORE=story)

    assert (2, "") == (done.code, done.stdout)
    assert "'' is no path; give one, or leave this out" in done.stderr.splitlines()[0]
    assert 15 == run("store", "--from", story, "--json").json["records"]


def test_an_empty_variable_is_none():
    """``TACHOGRAPH_STORE`` that is empty is as one that is not set."""
    assert run("store").stdout == run("store", TACHOGRAPH_STORE="").stdout


def test_help_loads_next_to_nothing():
    """Neither the help nor the version loads a command, rich, SQLite, a framework or a server."""
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            program(
                """
                import json, sys
                from tachograph.cli import main
                main(["--help"], standalone_mode=False)
                heavy = ("rich", "sqlite3", "fastapi", "uvicorn", "smolagents", "platformdirs")
                print(json.dumps([name for name in sys.modules
                                  if name.split(".")[0] in heavy or name.startswith("tachograph.cli.")]))
                """
            ),
        ],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
    ).stdout

    assert [] == json.loads(loaded.splitlines()[-1])


LONG = [
    ("audit", "--limit", "0"),
    ("audit", "--limit", "0", "--json"),
    ("audit", "--verify"),
    ("audit", "--follow"),
    ("sessions",),
    ("store",),
    ("export", "--all"),
    ("export", "f00d", "--format", "otlp"),
    ("report", "f00d", "-o", "-"),
]


@pytest.mark.parametrize("together", [False, True], ids=["output", "output and errors"])
@pytest.mark.parametrize("command", LONG, ids=" ".join)
def test_a_reader_that_goes_away_is_no_error(story, command, together):
    """A pipe closed early, as by ``head``, ends a command quietly, and with the exit code of no answer."""
    with (
        subprocess.Popen(
            [*COMMAND, *command, "--from", story],
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if together else subprocess.PIPE,
        ) as process,
        ended(process),
    ):
        process.stdout.close()

        assert together or b"" == process.stderr.read()
        assert 141 == process.wait(PATIENCE)


def test_help_that_nobody_reads():
    """Help into a pipe that is closed is no answer either."""
    process = subprocess.Popen([*COMMAND, "--help"], env=clean_environment(), stdout=subprocess.PIPE)
    with process, ended(process):
        process.stdout.close()
        assert 141 == process.wait(PATIENCE)


@pytest.mark.parametrize("command", [("sessions",), ("audit", "--verify"), ("show", "last")], ids=" ".join)
def test_ctrl_c_is_no_answer(tmp_path, command):
    """Ctrl-C ends a command that is at work with exit code 130 and without a traceback."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [*COMMAND, *command, "--from", pipe], env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process, ended(process), pipe.open("wb"):  # when it reads
        process.send_signal(signal.SIGINT)

        assert (b"", b"\nAborted!\n") == process.communicate(timeout=PATIENCE)
        assert 130 == process.returncode


def test_ctrl_c_at_a_question(story):
    """Who interrupts a question has not said no, and nothing is done."""
    with terminal("delete", "chat-43", "--store", story) as shown:
        shown.wait_for(lambda text: "[y/N]" in text)
        time.sleep(0.3)  # readline overlooks what comes between its prompt and its waiting
        shown.process.send_signal(signal.SIGINT)
        assert 130 == shown.end()[0]
    assert 3 == len(run("sessions", "--from", story, "--json").json)


EVERYTHING = [
    ("sessions",),
    ("show", "f00d"),
    ("show", "chat-43"),
    ("timeline", "f00d"),
    ("audit",),
    ("audit", "--verify"),
    ("compare", "chat-42", "f00d"),
    ("store",),
]


@pytest.mark.parametrize("command", EVERYTHING, ids=" ".join)
def test_colour_is_for_terminals_only(story, command):
    """On a terminal there is colour; in a pipe, with NO_COLOR and in JSON there is no escape code at all."""
    place = ("--from", story)

    assert "\x1b[" in on_terminal(*command, *place, columns=200, colour=True)[1] or command == ("sessions",)
    assert "\x1b" not in on_terminal(*command, *place, columns=200, NO_COLOR="1")[1]
    assert "\x1b" not in on_terminal(*command, *place, "--json", columns=200, colour=True)[1]
    assert "\x1b" not in run(*command, *place).stdout
    for shown in (run(*command, *place).stdout, on_terminal(*command, *place, columns=200)[1]):
        assert "\u202e" not in shown


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("command", EVERYTHING, ids=" ".join)
def test_no_line_is_wider_than_the_terminal(story, command, columns):
    """Whatever the width, a terminal never breaks a line; only what is to be copied may be longer."""
    from rich.cells import cell_len  # noqa: PLC0415 - as wide as the terminal has it

    code, shown = on_terminal(*command, "--from", story, columns=columns)

    wide = [line for line in shown.splitlines() if cell_len(line) > columns]
    assert 0 == code
    assert [line for line in wide if not line.startswith(("  ", "store  ")) or " " in line.strip()[8:]] == []


@pytest.mark.parametrize("command", EVERYTHING, ids=" ".join)
def test_json_is_what_it_says(story, command):
    """Whatever is shown can be had as JSON, with the same exit code."""
    done = run(*command, "--from", story, "--json")

    assert (run(*command, "--from", story).code, "") == (done.code, done.stderr)
    assert done.json


def printed(encoding: str, *arguments: str) -> tuple[int, bytes, bytes]:
    """The exit code of a command whose output takes an encoding's letters, that output, and what went wrong."""
    environ = clean_environment(TZ="UTC", PYTHONIOENCODING=encoding)
    done = subprocess.run([*COMMAND, *arguments], env=environ, capture_output=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_output_of_few_letters(story, encoding):
    """Where the output has no letter for a bar, an arrow or a name a question mark stands there, and nothing fails."""
    for command in ("timeline", "show"):
        code, shown, said = printed(encoding, command, "chat-43", "--from", story)

        assert (0, b"") == (code, said)
        assert "?" in shown.decode(encoding)
    assert (0, b"") == printed("ascii", "import", "--help")[::2]


def test_a_page_is_utf_8_wherever_it_goes(story):
    """A report to the output has every letter, as it says itself."""
    code, page, said = printed("ascii", "report", "chat-43", "-o", "-", "--from", story)

    assert (0, b"") == (code, said)
    assert "小さい" in page.decode("utf-8")
