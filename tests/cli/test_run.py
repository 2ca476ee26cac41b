"""``tachograph run``: the program is what it is under plain Python, and recorded."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from support.programs import Finished, Programs, script
from tachograph.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

RUN = (script("tachograph"), "run")
RUN_HERE = (sys.executable, "-m", "tachograph", "run")
"""By the interpreter's very path: a console script may have it spelled otherwise, python for python3."""
SUMMARY = "Tachograph · session "

LOOK_AROUND = """
    import json
    import os
    import signal
    import subprocess
    import sys

    main = sys.modules["__main__"]
    child = '''import json, os, sys
    print(json.dumps([sorted(os.environ.items()), sys.path, "tachograph" in sys.modules]))'''
    print(json.dumps({
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "stdin": sys.stdin.read(),
        "main": [main.__name__, main.__file__, main.__package__, main.__spec__ and main.__spec__.name],
        "is main": __name__,
        "path": sys.path,
        "environ": sorted(os.environ.items()),
        "cwd": os.getcwd(),
        "flags": list(sys.flags),
        "executable": sys.executable,
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "own sitecustomize": getattr(sys, "own_sitecustomize", None),
        "child": json.loads(subprocess.run([sys.executable, "-c", child], stdout=-1, check=True).stdout),
    }))
    sys.exit(7)
    """


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def frames(stderr: str) -> list[str]:
    """What a traceback says, without the lines that only show where it passed through us."""
    lines, kept = stderr.splitlines(), []
    passing = False
    for line in lines:
        if line.startswith("  File "):
            passing = re.search(r"[/\\](tachograph|wrapt)[/\\]", line) is not None
        elif not line.startswith("    "):
            passing = False
        if not passing:
            kept.append(line)
    return kept


# --------------------------------------------------------------------------------------------- the program, untouched
@pytest.mark.parametrize("python_path", [None, "site", ":site"], ids=["no PYTHONPATH", "PYTHONPATH", "and the cwd"])
@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        (("app.py",), ("--help", "-m", "--", "x y", "")),
        (("-m", "package.app"), ("--json", "--")),
        (("-m", "package"), ()),
        (("package",), ("-V",)),
    ],
    ids=["script", "module", "package", "directory"],
)
def test_the_program_sees_what_it_would_see(programs, target, arguments, python_path):
    """Arguments, stdin, ``__main__``, path, environment, children, own sitecustomize: all as under plain Python."""
    for name in ("app.py", "package/app.py", "package/__main__.py"):
        programs.write(name, LOOK_AROUND)
    programs.write("package/__init__.py", "")
    programs.write("site/sitecustomize.py", "import sys\nsys.own_sitecustomize = __file__\n")
    variables = {} if python_path is None else {"PYTHONPATH": python_path}

    plain = programs.run(sys.executable, *target, *arguments, stdin="hello\n", **variables)
    recorded = programs.run(*RUN_HERE, *target, *arguments, stdin="hello\n", **variables)

    assert (plain.code, plain.stderr) == (7, "")
    assert plain.told == recorded.told
    assert plain == recorded
    assert (python_path is None) == (plain.told["own sitecustomize"] is None)
    assert [*arguments] == recorded.told["argv"][1:]
    assert recorded.told["child"][-1] is False


@pytest.mark.parametrize("target", [("app.py",), ("-m", "app")], ids=["script", "module"])
def test_an_uncaught_exception_ends_the_program_as_it_would(programs, target):
    """Exit code and traceback of a program that fails inside an agent's run are its own."""
    programs.write(
        "app.py",
        """
        from crew import boss

        boss(last=OSError("the model is down")).run("price of tea?")
        """,
    )

    plain = programs.run(sys.executable, *target)
    recorded = programs.run(*RUN, *target, TACHOGRAPH_SUMMARY="0")

    assert (recorded.code, recorded.stdout) == (1, "")
    assert "the model is down" in plain.stderr
    assert (plain.code, frames(plain.stderr)) == (recorded.code, frames(recorded.stderr))


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("sys.exit('sorry')", 1),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("nonsense(", 1),
    ],
)
def test_exit_codes_are_the_programs_own(programs, end, code):
    """However the program ends, the exit code is the one it would have had."""
    programs.write("app.py", f"import os\nimport signal\nimport sys\n{end}\n")

    plain = programs.run(sys.executable, "app.py")
    recorded = programs.run(*RUN, "app.py")

    assert (code, plain) == (recorded.code, recorded)


@pytest.mark.parametrize("settings", [{}, {"TACHOGRAPH_STORE": "store.db"}, {"TACHOGRAPH_OTLP_FILE": "out.jsonl"}])
def test_a_program_that_is_interrupted_ends_of_that(programs, settings):
    """Who waits for it sees the signal, whatever there is to be kept or sent at the end."""
    programs.write("app.py", "from crew import boss\nboss().run('x')\nraise KeyboardInterrupt\n")

    for argument in (["app.py"], ["-m", "app"]):
        recorded = programs.run(*RUN, *argument, TACHOGRAPH_SUMMARY="0", **settings)
        assert -signal.SIGINT == recorded.code


def test_a_broken_sitecustomize_of_its_own_is_pythons_to_report(programs):
    """What the environment's own sitecustomize raises is said as ever, and recording starts all the same."""
    programs.write("app.py", "from crew import operations, boss, tell\nboss().run('x')\ntell(n=len(operations()))")
    for content in ("import no_such_module_anywhere", "1 / 0"):
        programs.write("site/sitecustomize.py", content)

        plain = programs.run(sys.executable, "app.py", PYTHONPATH="site")
        recorded = programs.run(*RUN, "app.py", PYTHONPATH="site", TACHOGRAPH_SUMMARY="0")

        assert "Error in sitecustomize" in plain.stderr
        # Twice, as the command line is a Python program, too.
        assert (0, {"n": 9}, 2 * plain.stderr) == (recorded.code, recorded.told, recorded.stderr)


# ------------------------------------------------------------------------------------------------------- signals
HANDLES = """
    import os
    import signal
    import sys
    import time

    from crew import boss

    {handler}
    boss().run("price of tea?")
    print("ready", flush=True)
    time.sleep(600)
    """


@pytest.mark.parametrize(
    ("handler", "code", "output"),
    [
        ("", -signal.SIGTERM, ""),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))", 5, ""),
        (
            "before = signal.signal(signal.SIGTERM, lambda *given: os.write(1, b'mine\\n') and before(*given))",
            -signal.SIGTERM,
            "mine\n",
        ),
    ],
    ids=["none", "its own", "its own, which chains"],
)
def test_sigterm(programs, handler, code, output):
    """Asked to terminate, the program ends as it would, its own handler first, and the summary is printed once."""
    programs.write("app.py", HANDLES.replace("{handler}", handler))
    with programs.start(*RUN, "app.py") as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        done = programs.finish(process)

    assert (code, output, 1) == (done.code, done.stdout, done.stderr.count(SUMMARY))


def test_an_ignored_sigterm_stays_ignored(programs):
    """A program started with SIGTERM ignored, as under nohup's kin, goes on ignoring it."""
    programs.write(
        "app.py",
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint(signal.getsignal(signal.SIGTERM).name)",
    )
    code = (
        f"import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.execv({RUN[0]!r}, {[*RUN, 'app.py']!r})"
    )

    done = programs.run(sys.executable, "-c", code)

    assert (done.code, done.stdout, done.stderr) == (0, "SIG_IGN\n", "")


# ------------------------------------------------------------------------------------------------------ the summary
def test_the_summary_says_what_happened(programs):
    """The summary is on standard error, in figures of the session the program named."""
    programs.write(
        "app.py",
        """
        import tachograph
        from crew import boss

        with tachograph.session("chat-1"):
            boss().run("price of tea?")
        """,
    )

    done = programs.run(*RUN, "app.py")

    assert (done.code, done.stdout) == (0, "")
    head, *rest = done.stderr.splitlines()
    assert re.fullmatch(r"Tachograph · session chat-1 · \d+\.\d\d s of agent time", head)
    assert rest == [
        "  agents    2 runs (boss ×1, clerk ×1)",  # noqa: RUF001 - the multiplication sign is meant
        "  switches  1 (boss → clerk ×1)",  # noqa: RUF001
        "  models    3 requests · tokens by model: big 303, small 101",
        "  tokens    404 = 400 in + 4 out · price unknown",
        "  tools     3 calls (final_answer ×2, price ×1)",  # noqa: RUF001
        "  errors    0",
    ]


@pytest.mark.parametrize("setting", ["0", "1", "auto"])
def test_the_summary_can_be_stopped(programs, setting):
    """TACHOGRAPH_SUMMARY=0 stops the summary; nothing else does under run, as people ran it to see one."""
    programs.write("app.py", "from crew import boss\nboss().run('price of tea?')")

    done = programs.run(*RUN, "app.py", TACHOGRAPH_SUMMARY=setting)

    assert (0, "", int(setting != "0")) == (done.code, done.stdout, done.stderr.count(SUMMARY))


def test_children_are_not_recorded(programs):
    """Programs that the program starts are theirs: no recording, no summary, no variable of ours in sight."""
    programs.write(
        "app.py",
        """
        import os
        import subprocess
        import sys

        from crew import boss

        if sys.argv[1:] != ["child"]:
            subprocess.run([sys.executable, "app.py", "child"], check=True)
        else:
            boss().run("price of tea?")
            print("tachograph" in sys.modules, [name for name in os.environ if "TACHOGRAPH" in name])
        """,
    )

    done = programs.run(*RUN, "app.py")

    assert (done.code, done.stdout, done.stderr) == (0, "False []\n", "")


# ----------------------------------------------------------------------------------------------- the command line
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("missing.py",), 2, "missing.py: no such file"),
        ((), 2, "Missing argument 'PROGRAM'"),
        (("--help",), 0, "Run PROGRAM as python would"),
    ],
    ids=["no such file", "nothing", "help"],
)
def test_usage(programs, arguments, code, said):
    """A program that is not there is a usage error in one line, and nothing is run."""
    done = programs.run(*RUN, *arguments)

    assert (code, True) == (done.code, said in done.stdout + done.stderr)


def test_a_module_that_is_not_there_is_pythons_to_report(programs):
    """``run -m`` of a module that does not exist says what ``python -m`` says."""
    plain = programs.run(sys.executable, "-m", "no_such_module")
    recorded = programs.run(*RUN_HERE, "-m", "no_such_module")

    assert plain == recorded


def test_version(programs):
    """``tachograph --version`` and ``python -m tachograph --version`` say the same."""
    expected = Finished(0, f"tachograph, version {VERSION}\n", "")

    assert [expected] * 2 == [
        programs.run(script("tachograph"), "--version"),
        programs.run(sys.executable, "-m", "tachograph", "--version"),
    ]
