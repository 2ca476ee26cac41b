"""Text for a terminal, a pipe or a file: tables that fit, colours where there are any, nothing that does harm.

Names and messages are other people's: what is not printable is shown as a replacement character, and no text is read as
markup. A terminal is never overrun; what is piped is never cut.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tachograph.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Cell = str | int | Text
"""What stands in a table: a text of whatever origin, a number, or a text of ours with its colours."""

GAP: Final = 2
_BEGUN: Final = re.compile(r"(?<!\S)[\d,.]*\d[\d,.]*\Z")
_MORE: Final = re.compile(r"[\d,.]*\d")
"""The beginning of a number and the rest of it: cut in between it would read as another."""

UNBOUNDED: Final = 100_000
"""Width of what is no terminal: nothing is cut."""


class _Out(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line what becomes of it."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, markup: bool = False) -> Console:
    """Standard output, as wide as it is; what is no terminal is as wide as the text, unless COLUMNS says how wide.

    With NO_COLOR there is no escape code at all, not even for bold.

    Args:
        markup: whether the caller writes rich's markup, and escapes what is not its own.
    """
    plain = bool(os.environ.get("NO_COLOR"))
    colours: Literal["auto"] | None = None if plain else "auto"
    made = _Out(file=sys.stdout, highlight=False, markup=markup, emoji=False, color_system=colours)
    columns = os.environ.get("COLUMNS", "")
    if not columns.strip("0"):  # 0 says as little as nothing does
        made.width = shutil.get_terminal_size().columns if made.is_terminal else UNBOUNDED
    return made


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """A value as JSON: ASCII, without colour, on one line where there is no ``indent``."""
    click.echo(json.dumps(value, indent=indent))


def safe(text: object, style: str = "") -> Text:
    """A text of whatever origin on one line, with nothing in it that a terminal would obey."""
    said = str(text)
    return Text(said if said.isprintable() else printable(" ".join(said.splitlines()).replace("\t", " ")), style)


def cut(text: Text, width: int) -> Text:
    """A text in so many cells of a terminal, visibly cut where it is longer, but never within a number."""
    if cell_len(text.plain) <= width:
        return text
    shorter = text.copy()
    shorter.truncate(width - 1, overflow="crop")
    begun = _BEGUN.search(shorter.plain)
    if begun and _MORE.match(text.plain, len(shorter.plain)):
        shorter.right_crop(len(begun[0]))
    shorter.rstrip()
    return shorter.append("…")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        title: above it.
        right: whether it is flush right, as numbers are.
        least: cells it may be cut down to where there is too little room; None: it is never cut.
        rank: columns of the highest rank are left out first where even cutting does not help; 0: never.
        style: of what stands in it.
    """

    title: str
    right: bool = False
    least: int | None = None
    rank: int = 0
    style: str = ""


@dataclass(slots=True)
class Table:
    """Rows under titles, laid out for a width.

    Args:
        columns: from left to right.
        rows: one cell for each column.
        title: above all of it.
    """

    columns: Sequence[Column]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    title: str = ""

    def lines(self, width: int) -> list[Text]:
        """The table in lines of at most ``width`` cells, as far as its columns allow."""
        rows = [[_text(cell, column) for cell, column in zip(row, self.columns, strict=True)] for row in self.rows]
        widths = fitted(self.columns, rows, width)
        lines = [Text(self.title, "bold")] if self.title else []
        lines.append(row_text([Text(column.title, "dim") for column in self.columns], self.columns, widths))
        return lines + [row_text(row, self.columns, widths) for row in rows]


def _text(cell: Cell, column: Column) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text(f"{cell:,}", column.style) if isinstance(cell, int) else safe(cell, column.style)


def fitted(columns: Sequence[Column], rows: Iterable[Sequence[Text]], width: int) -> list[int | None]:
    """How wide each column is; None for one that is left out."""
    natural = [cell_len(column.title) for column in columns]
    for row in rows:
        natural = [max(known, cell_len(cell.plain)) for known, cell in zip(natural, row, strict=True)]
    kept = set(range(len(columns)))
    while True:
        widths = {at: natural[at] for at in sorted(kept)}
        over = sum(widths.values()) + GAP * (len(kept) - 1) - width
        spare = {at: widths[at] - least for at in kept if (least := columns[at].least) and widths[at] > least}
        last = max(kept, key=lambda at: columns[at].rank)
        if over <= sum(spare.values()) or not columns[last].rank:
            break
        kept.remove(last)
    while over > 0 and any(spare.values()):
        # The widest first, down to the next widest, so that short texts stay whole beside long ones.
        widest = max((at for at in spare if spare[at]), key=lambda at: widths[at])
        widths[widest] -= 1
        spare[widest] -= 1
        over -= 1
    return [widths.get(at) for at in range(len(columns))]


def row_text(row: Sequence[Text], columns: Sequence[Column], widths: Sequence[int | None]) -> Text:
    """One line of a table; without blanks at its end."""
    line = Text()
    blank = ""
    for cell, column, width in zip(row, columns, widths, strict=True):
        if width:
            inside = cut(cell, width)
            rest = " " * (width - cell_len(inside.plain)) if column is not columns[-1] or column.right else ""
            line.append(blank + rest if column.right else blank).append_text(inside)
            blank = " " * GAP if column.right else rest + " " * GAP
    line.rstrip()
    return line


def print_lines(out: Console, lines: Iterable[Text]) -> None:
    """Lines as they are: a terminal cuts what is too long, nobody wraps it. One that may overflow is never cut."""
    for line in lines:
        shown = line if line.overflow == "ignore" else cut(line, out.width)
        if out.color_system is None:  # a log may be long, and rich takes its time
            out.file.write(f"{shown.plain}\n")
        else:
            out.print(shown, no_wrap=True, overflow="ignore", crop=False)
    out.file.flush()


def hanging(label: Text, body: Text, width: int) -> list[Text]:
    """A sentence beside its label, broken between words into lines of at most ``width`` cells."""
    indent = cell_len(label.plain)
    inside = max(20, width - indent)
    lines = body.wrap(Console(width=inside), inside) if cell_len(body.plain) > inside else [body]
    for line in lines:
        line.rstrip()
    return [label + lines[0], *(Text(" " * indent) + line for line in lines[1:])]
