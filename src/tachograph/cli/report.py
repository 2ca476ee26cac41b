"""``tachograph report``: a session's page as one file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tachograph import figures
from tachograph.cli import Misuse, screen
from tachograph.cli.arguments import PLACE
from tachograph.cli.export import written
from tachograph.cli.reading import reads, request_named, session_named

if TYPE_CHECKING:
    from tachograph.sources import Source

_LENGTH: Final = 50
"""Characters of an id in a file's name: whatever they are, the name is not too long for a disk."""


@click.command()
@click.argument("session", default="last")
@click.option("--correlation", metavar="ID", help="Only this request within the session.")
@click.option(
    "--output", "-o", type=PLACE, metavar="FILE", help="Write there; by default to tachograph-SESSION.html here."
)
@reads
def report(*, source: Source, session: str, correlation: str | None, output: str | None, as_json: bool) -> None:
    """Write a session's page to a file, to send or to print.

    The file has everything in it: it loads nothing, runs nothing, and works without a network. SESSION is an id or the
    beginning of one; 'last', which is the default, is the session last active. With -o - it goes to the output. A file
    that exists is replaced. Exit code 1: there is no such session or request.
    """
    try:
        from tachograph.pages.report import report as made  # noqa: PLC0415 - the templates' engine may not be there
    except ModuleNotFoundError as error:
        raise Misuse(str(error)) from None
    session_id = session_named(source, session)
    request = None if correlation is None else request_named(source, session_id, correlation)
    place = f"tachograph-{_plain(session_id)}.html" if output is None else output
    with written(place) as file:
        file.write(made(source, session_id, request))
    if place == "-":
        return
    size = Path(place).stat().st_size
    if as_json:
        screen.print_json({"file": place, "session_id": session_id, "bytes": size})
    else:
        click.echo(f"Report written to {place} ({figures.size(size)})")


def _plain(session_id: str) -> str:
    """An id as a part of a file's name; where it cannot stand as it is, no other id has the same."""
    plain = "".join(char if char.isalnum() or char in "-_." else "-" for char in session_id)[:_LENGTH]
    if plain == session_id:
        return plain
    return f"{plain}-{hashlib.sha256(session_id.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
