"""``tachograph audit``: who did, asked and decided what."""

from __future__ import annotations

import difflib
import itertools
import time
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource
from rich.cells import cell_len
from rich.text import Text

from tachograph import figures, names
from tachograph.cli import screen
from tachograph.cli.arguments import LIMIT, MOMENT
from tachograph.cli.reading import TO_BEGIN, reads, session_named
from tachograph.cli.screen import Column
from tachograph.cli.verify import verify
from tachograph.gist import told
from tachograph.redact import printable
from tachograph.sources.follow import Follower

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tachograph.sources import Source
    from tachograph.views.audit import Entry

_WAIT_SECONDS: Final = 0.5
"""Between two looks at what is new."""

_TYPE_WIDTH: Final = max(map(len, names.EVENTS))
_CATEGORIES: Final = sorted({category for category, _ in names.EVENTS.values()})


@click.command()
@click.option("--session", metavar="SESSION", help="Only this session: its id, the beginning of it, or 'last'.")
@click.option("--type", "event_type", metavar="TYPE", help="Only this type, e.g. agent_switched.")
@click.option("--category", type=click.Choice(_CATEGORIES), help="Only types of this category.")
@click.option("--correlation", metavar="ID", help="Only this request.")
@click.option("--critical", is_flag=True, help="Only critical entries, marked ! in the table.")
@click.option("--since", type=MOMENT, help="Only entries from then on, e.g. 2026-01-17T13:00 or 2h (ago).")
@click.option("--limit", type=LIMIT, default=50, show_default=True, help="Newest so many; 0: all.")
@click.option("--follow", "-f", is_flag=True, help="Go on printing what comes, until Ctrl-C; JSON comes in lines.")
@click.option("--verify", "check", is_flag=True, help="Check that nobody has touched what the store keeps.")
@click.option(
    "--head", "heads", metavar="HEAD", multiple=True, help="With --verify: a head kept elsewhere; repeatable."
)
@reads
def audit(  # noqa: PLR0913 - its options
    *,
    source: Source,
    session: str | None,
    event_type: str | None,
    category: str | None,
    correlation: str | None,
    critical: bool,
    since: datetime | None,
    limit: int,
    follow: bool,
    check: bool,
    heads: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print who did, asked and decided what; follow or verify it.

    Oldest first, in local time; in JSON times are UTC. With --follow an empty log is waited for.

    With --verify the chain of every writer is followed through the whole store; the first entry that was changed,
    removed, reordered or cut is named, and what such a check cannot show is said. Exit code 1: something is wrong.
    """
    if check:
        ctx = click.get_current_context()
        beside = [
            param.opts[0]
            for param in ctx.command.params
            if param.name not in ("place", "as_json", "check", "heads")
            and ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        ]
        if beside:
            raise click.UsageError(f"--verify checks all that the store keeps; leave out {', '.join(beside)}", ctx)
        verify(source.place, heads, as_json=as_json)
        return
    if heads:
        raise click.UsageError("--head is for --verify; give both", click.get_current_context())
    if event_type is not None and event_type not in names.EVENTS:
        near = difflib.get_close_matches(event_type, names.EVENTS, 3)
        near = near or [known for known in names.EVENTS if event_type.lower() in known] or [*names.EVENTS]
        raise click.BadParameter(
            f"{printable(event_type)!r}: no such type; there are {', '.join(near)}",
            click.get_current_context(),
            param_hint="--type",
        )
    filters: dict[str, Any] = {
        "session_id": None if session is None else session_named(source, session),
        "event_type": event_type,
        "category": category,
        "correlation_id": correlation,
        "critical": True if critical else None,
        "since": since,
    }
    try:
        if follow:
            _follow(Follower(source, last=limit or None, **filters), of_one=session is not None, as_json=as_json)
            return
        entries = source.audit_log(**filters, limit=limit or None)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        screen.print_json(entries)
    elif entries:
        out = screen.console()
        lines = Lines(out.width, of_one=session is not None, known=entries)
        screen.print_lines(out, itertools.chain([lines.title()], map(lines.line, entries)))
    elif source.session_count(deleted=True):
        click.echo("No such entries.")
    else:
        click.echo(f"Nothing recorded yet in {source.place}.\n{TO_BEGIN}")


def _follow(follower: Follower, *, of_one: bool, as_json: bool) -> None:
    out = screen.console()
    lines = Lines(out.width, of_one=of_one)
    if not as_json:
        screen.print_lines(out, [lines.title()])
    try:
        while True:
            for entry in follower.new():
                if as_json:
                    screen.print_json(entry, indent=None)
                else:
                    screen.print_lines(out, [lines.line(entry)])
            time.sleep(_WAIT_SECONDS)
    except KeyboardInterrupt:
        return


class Lines:
    """Entries as lines of a table whose columns are decided before the first.

    Args:
        width: cells of a line.
        of_one: whether all entries are of one session, which then is not told again in each line.
        known: entries the columns are to fit; without any they fit whatever may come.
    """

    def __init__(self, width: int, *, of_one: bool, known: Sequence[Entry] = ()) -> None:
        self._of_one = of_one
        session = () if of_one else (Column("session", least=8, rank=1, style="dim"),)
        self._columns = (Column("time"), Column(""), Column("type"), *session, Column("what", least=20))
        days = {figures.local(entry["timestamp"])[:10] for entry in known}
        self._narrow = width < _ROOMY
        self._layout = "%Y-%m-%d " if not self._narrow else "" if len(days) == 1 else "%m-%d "
        # Of a long log the columns fit some of it, but the longest type and session; before anything is known, any.
        rows = [self._cells(entry) for entry in (*known[:_SAMPLE], *known[-_SAMPLE:], _longest(known))]
        if not known:
            rows = [[*rows[0][:-1], Text("w" * _LONG_TEXT)]]
        self._widths = screen.fitted(self._columns, rows, width)
        others = [taken for taken in self._widths[:-1] if taken]
        self._widths[-1] = width - sum(others) - screen.GAP * len(others)  # what is long has all the room that is left

    def title(self) -> Text:
        """The line above all others."""
        return screen.row_text([Text(column.title, "dim") for column in self._columns], self._columns, self._widths)

    def line(self, entry: Entry) -> Text:
        """The line of one entry."""
        return screen.row_text(self._cells(entry), self._columns, self._widths)

    def _cells(self, entry: Entry) -> list[Text]:
        style = "bold red" if entry["event_type"] in _BAD else "bold yellow" if entry["critical"] else ""
        when = figures.local(entry["timestamp"], f"{self._layout}%H:%M:%S.%f")[:-3]
        session = [] if self._of_one else [screen.safe(entry["session_id"], "dim")]
        if self._narrow:  # what happened is worth more room than a whole id
            session = [screen.cut(each, _SHORT_ID) for each in session]
        return [
            Text(when, "dim"),
            Text("!" if entry["critical"] else "", style),
            screen.safe(entry["event_type"], style),
            *session,
            screen.safe(told(entry)),
        ]


_ROOMY: Final = 120
"""Cells from which on there is room for a whole date in each line."""

_SHORT_ID: Final = 10

_BAD: Final = frozenset(event_type for event_type in names.EVENTS if event_type.endswith(("_error", "_failed")))

_LONG_TEXT: Final = 200
_SAMPLE: Final = 200


def _longest(known: Sequence[Entry]) -> Entry:
    """An entry of the longest type and the longest session id of all; of any where none are known."""
    return {
        "timestamp": known[0]["timestamp"] if known else "2026-01-17T13:00:00Z",
        "event_type": max((entry["event_type"] for entry in known), key=len, default=max(names.EVENTS, key=len)),
        "session_id": max((entry["session_id"] for entry in known), key=cell_len, default="s" * 32),
        "critical": any(entry["critical"] for entry in known) or not known,
    }
