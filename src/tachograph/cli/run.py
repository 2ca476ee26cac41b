"""``tachograph run``: a program, untouched, recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import click

RUN_VARIABLE: Final = "TACHOGRAPH_RUN"
"""Set for the program that ``run`` starts, and for it alone."""

_START = Path(__file__).with_name("start")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="PROGRAM is a module, as for python -m.")
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(*, module: bool, program: str, arguments: tuple[str, ...]) -> None:
    """Run PROGRAM as python would, and record what its agents do.

    A summary is printed at the end; TACHOGRAPH_SUMMARY=0 stops it. What is recorded is kept in a store;
    TACHOGRAPH_STORE says in which file, or 0 for none. The program is its own process with its own
    exit code, sees its own arguments, and starts no recorded children.
    """
    if not module and not Path(program).exists():
        raise click.UsageError(f"{program}: no such file; give the path of a Python program, or -m and a module")
    environ = {**os.environ, RUN_VARIABLE: "1"}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_START), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, *(["-m"] if module else []), program, *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # there, exec starts a second process and ends the first at once
        sys.exit(subprocess.run(command, env=environ, check=False).returncode)  # noqa: S603 - what was asked for
    os.execve(sys.executable, command, environ)  # noqa: S606 - what was asked for
