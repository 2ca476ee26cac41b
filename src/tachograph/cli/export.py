"""``tachograph export``: sessions to take along."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from tachograph.cli import figures, screen
from tachograph.cli.progress import progress
from tachograph.cli.reading import reads, session_named

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
@click.option("--output", "-o", metavar="FILE", default="-", help="Write there; by default, or with -, to the output.")
@reads
def export(*, source: Source, session: str | None, every: bool, layout: str, output: str, as_json: bool) -> None:
    """Write sessions to a file, as JSON or as OTLP.

    One session in JSON is one document, all of them are one line each. A file that exists is replaced when the new
    one is complete. --json says what was written, where that is to a file. Exit code 1: there is no such session.
    """
    if (session is None) != every:
        raise click.UsageError("Say which: either a SESSION (an id, or 'last') or --all.", click.get_current_context())
    ids = source.sessions() if session is None else [session_named(source, session)]
    lines = 0
    with _writing(output) as file, progress("exporting", len(ids)) as more:
        for session_id in ids:
            for line in _lines(source, session_id, layout, indent=None if every else 2):
                file.write(f"{line}\n")
                lines += 1
            more(1)
    if output == "-":
        return
    written = {"file": output, "format": layout, "sessions": len(ids), "lines": lines, "bytes": os.stat(output).st_size}
    if as_json:
        screen.print_json(written)
    else:
        click.echo(f"{figures.counted(len(ids), 'session')} written to {output} ({figures.size(written['bytes'])})")


def _lines(source: Source, session_id: str, layout: str, *, indent: int | None) -> Iterator[str]:
    from tachograph.export import otlp_lines, session_export  # noqa: PLC0415 - loads what only exporting needs

    if layout == "otlp":
        yield from otlp_lines(source, session_id)
    else:
        yield json.dumps(session_export(source, session_id), indent=indent)


@contextlib.contextmanager
def _writing(output: str) -> Iterator[IO[str]]:
    """Where to write; a file stands under its name only when it is complete."""
    if output == "-":
        yield sys.stdout
        return
    path = Path(output)
    part = path.with_name(f"{path.name}.part")
    try:
        # What agents did is private: nobody else may read it, unless its owner lets them.
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
