"""``tachograph export``: sessions to take along."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from tachograph import figures
from tachograph.cli import Misuse, screen
from tachograph.cli.arguments import PLACE
from tachograph.cli.progress import progress
from tachograph.cli.reading import reads, session_named
from tachograph.export import otlp_lines, session_export
from tachograph.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.sources import Source


@click.command()
@click.argument("session", required=False)
@click.option("--all", "every", is_flag=True, help="Every session there is, instead of one.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["json", "otlp"]),
    default="json",
    show_default=True,
    help="json: figures, log and timeline; otlp: spans and logs as lines of OTLP JSON, which import reads.",
)
@click.option(
    "--output",
    "-o",
    type=PLACE,
    metavar="FILE",
    default="-",
    help="Write there; by default, or with -, to the output.",
)
@reads
def export(*, source: Source, session: str | None, every: bool, layout: str, output: str, as_json: bool) -> None:
    """Write sessions to a file, as JSON or as OTLP.

    One session in JSON is one document, several are one line each. A file that exists is replaced when the new
    one is complete. --json says what was written, where that is to a file. Exit code 1: there is no such session.
    """
    if (session is None) != every:
        raise click.UsageError("Say which: either a SESSION (an id, or 'last') or --all.", click.get_current_context())
    ids = source.sessions() if session is None else [session_named(source, session)]
    pieces = otlp_lines(source, None if every else ids[0]) if layout == "otlp" else _documents(source, ids)
    with written(output) as file, progress("exporting", None if layout == "otlp" else len(ids)) as more:
        for piece in pieces:
            file.write(f"{piece}\n")
            more(1)
    if output == "-":
        return
    size = Path(output).stat().st_size
    if as_json:
        screen.print_json({"file": output, "format": layout, "sessions": len(ids), "bytes": size})
    else:
        click.echo(f"{figures.counted(len(ids), 'session')} written to {output} ({figures.size(size)})")


def _documents(source: Source, ids: list[str]) -> Iterator[str]:
    for session_id in ids:
        yield json.dumps(session_export(source, session_id), indent=2 if len(ids) == 1 else None)


@contextlib.contextmanager
def written(output: str) -> Iterator[IO[str]]:
    """Where to write; a file stands under its name only when it is complete."""
    if output == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):  # as in a file, whatever else this output is given
            sys.stdout.reconfigure(encoding="utf-8")
        yield sys.stdout
        sys.stdout.flush()  # while who reads no more is no error
        return
    path = Path(output)
    if path.is_dir():
        raise Misuse(f"{printable(output)}: is a directory; give the path of a file")
    if path.exists() and not path.is_file():  # a device or a pipe is written to, and never replaced
        with path.open("w", encoding="utf-8") as file:
            yield file
        return
    part = path.with_name(f"{path.name}.part")
    try:
        # What agents did is private: nobody else may read it, unless its owner lets them.
        part.touch(0o600)
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    except OSError as error:
        if error.filename != str(part):
            raise
        raise Misuse(f"{printable(output)}: cannot be written: {error.strerror}; give another file") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
