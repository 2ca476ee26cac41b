"""``tachograph import``: recorded sessions from files into the store."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any, Final

import click

from tachograph import figures
from tachograph.cli import Misuse, screen
from tachograph.cli.arguments import PLACE
from tachograph.cli.progress import progress
from tachograph.cli.reading import json_option
from tachograph.cli.screen import Column, Table
from tachograph.cli.writing import store_option, writing
from tachograph.records import Event
from tachograph.redact import printable
from tachograph.sources import SourceError, open_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.records import Record
    from tachograph.sources import Source
    from tachograph.store.writer import Writer

_BATCH: Final = 1_000
"""Records stored in one transaction."""


@click.command("import")
@click.argument("files", type=PLACE, metavar="FILE…", nargs=-1, required=True)
@store_option
@json_option
def import_(*, files: tuple[str, ...], place: str | None, as_json: bool) -> None:
    """Read recorded sessions from files into the store.

    A FILE is a store, or OTLP as the Collector's file exporter or `tachograph export --format otlp` writes it. What is
    in the store already is left as it is, so a second import changes nothing. What has not ended is not imported.
    Exit code 2: a file could not be read at all; the others are imported all the same.
    """
    rows, unread = [], []
    with contextlib.ExitStack() as opened, progress("importing records") as more:
        writer = None  # not before there is something to write: no store is made for a file that cannot be read
        for file in files:
            try:
                with contextlib.closing(open_source(file)) as source:
                    writer = writer or opened.enter_context(writing(place, make=True))
                    rows.append({"file": file, **_taken(source, writer, more)})
            except SourceError as error:  # noqa: PERF203 - each file by itself
                unread.append(printable(str(error)))
    if as_json:
        screen.print_json({"files": rows, "unread": unread})
    elif rows:
        _show(rows)
    if unread:
        raise Misuse("\n       ".join(unread))


def _taken(source: Source, writer: Writer, more: Callable[[int], None]) -> dict[str, Any]:
    """Store what a source has; gives how many records are new, known already, not ended and bad."""
    new = known = under_way = 0
    records = iter(source.records())
    while batch := list(itertools.islice(records, _BATCH)):
        ended = [record for record in batch if _has_ended(record)]
        added = writer.append(ended)
        new, known, under_way = new + added, known + len(ended) - added, under_way + len(batch) - len(ended)
        more(len(batch))
    stats = source.stats()
    return {
        "new": new,
        "known": known,
        "under_way": under_way,
        "bad": stats.get("bad", 0),
        "problems": stats.get("problems", []),
    }


def _has_ended(record: Record) -> bool:
    return isinstance(record, Event) or record.end_ns is not None


def _show(rows: list[dict[str, Any]]) -> None:
    out = screen.console()
    columns = (
        Column("file", least=12),
        Column("new", right=True),
        Column("known", right=True),
        Column("not ended", right=True),
        Column("bad", right=True),
    )
    cells = [
        [
            row["file"],
            row["new"],
            row["known"],
            row["under_way"],
            screen.safe(f"{row['bad']:,}", "red" * bool(row["bad"])),
        ]
        for row in rows
    ]
    screen.print_lines(out, Table(columns, [*cells]).lines(out.width))
    for row in rows:
        for problem in row["problems"]:
            screen.print_lines(out, screen.hanging(screen.safe("bad  ", "red"), screen.safe(problem), out.width))
    new = sum(row["new"] for row in rows)
    if new:
        click.echo(f"{figures.counted(new, 'record')} imported; tachograph sessions lists what there is now")
