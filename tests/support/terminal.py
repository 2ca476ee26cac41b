"""The command line as people and scripts meet it: in this process, through a pipe, on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from support.programs import PATIENCE, Finished, clean_environment, script
from tachograph.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = (script("tachograph"),)


def run(*arguments: str, stdin: str | None = None, **variables: str) -> Finished:
    """Run a command in this process, its output no terminal."""
    environment: dict[str, str | None] = {**dict.fromkeys(("COLUMNS", "FORCE_COLOR", "NO_COLOR")), **variables}
    done = CliRunner(env=environment).invoke(
        main, arguments, input=stdin, catch_exceptions=False, prog_name="tachograph"
    )
    return Finished(done.exit_code, done.stdout, done.stderr)


class Terminal:
    """A program on a terminal of its own.

    Args:
        process: the program.
        screen: the terminal's other end.
    """

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self._screen = screen
        self.shown = ""

    def wait_for(self, seen: Callable[[str], Any]) -> str:
        """Read until what is shown satisfies ``seen``, or the program has ended; gives all that was shown."""
        deadline = time.monotonic() + PATIENCE
        while not seen(self.shown) and time.monotonic() < deadline:
            if not select.select([self._screen], [], [], deadline - time.monotonic())[0]:
                break
            try:
                piece = os.read(self._screen, 65_536)
            except OSError:  # the program has ended, and with it the terminal
                piece = b""
            if not piece:
                return self.shown
            self.shown += piece.decode("utf-8", "replace").replace("\r\n", "\n")
        assert seen(self.shown), f"never shown; there was only:\n{self.shown}"
        return self.shown

    def type(self, keys: str) -> None:
        """Type on its keyboard."""
        os.write(self._screen, keys.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the program's end; gives its exit code and all that was shown."""
        self.wait_for(lambda _: False) if self.process.poll() is None else self.drain()
        return self.process.wait(PATIENCE), self.shown

    def drain(self) -> None:
        """Read what is left."""
        while select.select([self._screen], [], [], 0)[0]:
            try:
                piece = os.read(self._screen, 65_536)
            except OSError:
                return
            if not piece:
                return
            self.shown += piece.decode("utf-8", "replace").replace("\r\n", "\n")


@contextlib.contextmanager
def terminal(*arguments: str, columns: int = 80, colour: bool = False, **variables: str) -> Iterator[Terminal]:
    """Run a command on a terminal of so many columns; at the end of the block it is over, by force if need be."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = clean_environment(TERM="xterm-256color", TZ="UTC", **variables)
    for name in ("COLUMNS", "LINES", *(["NO_COLOR"] if colour else [])):
        environment.pop(name, None)
    command = [*COMMAND, *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


def on_terminal(*arguments: str, columns: int = 80, colour: bool = False, **variables: str) -> tuple[int, str]:
    """Run a command on a terminal to its end; gives its exit code and what was shown."""
    with terminal(*arguments, columns=columns, colour=colour, **variables) as shown:
        return shown.end()
