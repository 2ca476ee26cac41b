"""The command line: one file per command, loaded when it is called.

Exit codes: 0 done, 1 the answer is no, 2 bad usage or something that cannot be read. As with any program 130 is
Ctrl-C, and 141 that nobody reads on.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from tachograph.redact import printable
from tachograph.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator


class Known(NamedTuple):
    """A command that is not loaded yet."""

    module: str
    function: str
    says: str
    """What it is for, in one line; the command's own help begins with the same."""


SECTIONS: Final[dict[str, dict[str, Known]]] = {
    "Record": {
        "run": Known("run", "run", "Run PROGRAM as python would, and record what its agents do."),
        "doctor": Known("doctor", "doctor", "Say what is hooked, what is kept and exported, and what is wrong."),
    },
    "Look": {
        "sessions": Known("sessions", "sessions", "List sessions, the one last active first."),
        "show": Known("show", "show", "Show what a session did, used and cost, and what went wrong."),
        "timeline": Known("timeline", "timeline", "Draw what happened when, and inside what."),
        "audit": Known("audit", "audit", "Print who did, asked and decided what; follow or verify it."),
        "report": Known("report", "report", "Write a session's page to a file, to send or to print."),
        "compare": Known("compare", "compare", "Put two sessions side by side; fail when figures grew too much."),
    },
    "Keep": {
        "store": Known("store", "store", "Say what is kept, how much of it, and who writes."),
        "export": Known("export", "export", "Write sessions to a file, as JSON or as OTLP."),
        "import": Known("importing", "import_", "Read recorded sessions from files into the store."),
        "delete": Known("delete", "delete", "Delete a session: hide it, or remove it for good."),
        "prune": Known("prune", "prune", "Remove what is old or too much."),
        "serve": Known("serve", "serve", "Serve the store over HTTP: pages, REST, live events, and OTLP in."),
    },
}
"""Every command, in the order of the help."""

_COMMANDS: Final = {name: known for section in SECTIONS.values() for name, known in section.items()}

_EPILOG: Final = (
    "SESSION is an id, the beginning of one, or 'last' for the session last active. What is read is the store that "
    "programs record into, or what --from names. Every command has --help and, but for run and serve, --json. "
    "Exit codes: 0 done, 1 the answer is no, 2 bad usage or something that cannot be read."
)


class Misuse(click.ClickException):
    """What cannot be done as asked, in one line and, where there is help, a second."""

    exit_code = 2

    def __init__(self, message: str, command: str = "") -> None:
        super().__init__(f"{message}\nTry '{command} --help'." if command else message)


_INTERRUPTED: Final = 130
_UNREAD: Final = 141
"""Exit codes, as shells have them for SIGINT and SIGPIPE."""


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except (KeyboardInterrupt, click.Abort) as error:
        if not isinstance(error.__context__ if isinstance(error, click.Abort) else error, KeyboardInterrupt):
            raise  # a question was answered with no
        click.echo("\nAborted!", err=True)
        raise click.exceptions.Exit(_INTERRUPTED) from None
    except click.UsageError as error:
        raise Misuse(
            error.format_message() + _beyond_options(error), error.ctx.command_path if error.ctx else ""
        ) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # who read has gone, which is no error
            _say_no_more()
            raise click.exceptions.Exit(_UNREAD) from None
        raise Misuse(": ".join(str(part) for part in (error.filename, error.strerror or error) if part)) from None


def _beyond_options(error: click.UsageError) -> str:
    """How to give what was taken for an option, where it may be none."""
    if not isinstance(error, click.NoSuchOption) or error.possibilities or error.ctx is None:
        return ""
    takes_any = any(isinstance(param, click.Argument) for param in error.ctx.command.params)
    return f" Anything else that begins with - stands after --: {error.ctx.command_path} -- -…" * takes_any


def _say_no_more() -> None:
    """Let what is still to be written go nowhere: Python would complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # it is no file
            os.dup2(nowhere, stream.fileno())


class Commands(click.Group):
    """The commands of :data:`SECTIONS`, each loaded when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command, in the order of the help."""
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """The command of that name, loaded now."""
        known = _COMMANDS.get(cmd_name)
        if known is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{known.module}"), known.function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown command is named with those most like it."""
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            near = difflib.get_close_matches(args[0], _COMMANDS, 3, 0.5)
            raise click.UsageError(
                f"No such command {printable(args[0])!r}." + (f" Did you mean {' or '.join(near)}?" if near else ""),
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """The commands by section, without loading any."""
        width = max(map(len, _COMMANDS))
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), known.says) for name, known in commands.items()])

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """As click does; what is wrong is said plainly, and what the output has no letters for as question marks."""
        if isinstance(sys.stdout, io.TextIOWrapper):  # bars and arrows are more than many a pipe or terminal takes
            sys.stdout.reconfigure(errors="replace")
        with _plainly():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """As click does; what is wrong is said plainly."""
        with _plainly():
            return super().invoke(ctx)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    epilog=_EPILOG,
)
@click.version_option(VERSION, prog_name="tachograph")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Record what AI agents do, and look at what was recorded."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        click.echo("\nTo begin: tachograph run your_agents.py, then tachograph sessions")
