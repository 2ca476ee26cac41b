"""``tachograph compare``: two sessions side by side, for people and for a build that must not get dearer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from tachograph import figures
from tachograph.cli import screen
from tachograph.cli.arguments import PLACE, Limit
from tachograph.cli.comparison import FIGURES, OF_ALL, TITLES, comparison, count_text, side
from tachograph.cli.reading import No, reading, reads, session_named
from tachograph.cli.screen import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tachograph.cli.comparison import Compared
    from tachograph.sources import Source


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--from-b", type=PLACE, metavar="PLACE", help="Read B from this store or file; by default from where A is."
)
@click.option(
    "--max-increase",
    "limits",
    type=Limit(tuple(figure.name for figure in FIGURES)),
    multiple=True,
    help=f"Exit code 1 when B has more than so much over A, e.g. 10% (of {', '.join(OF_ALL)}) or tokens=10%.",
)
@reads
def compare(
    *, source: Source, a: str, b: str, from_b: str | None, limits: tuple[tuple[str, float], ...], as_json: bool
) -> None:
    """Put two sessions side by side; fail when figures grew too much.

    A and B are ids or the beginning of ids; 'last' is the session last active, 'last~1' the one before. Exit code 1:
    there is no such session, or a figure has grown by more than --max-increase allows. A figure that is not known on
    both sides is compared only when it is asked for by name, and then the answer is no.
    """
    with contextlib.ExitStack() as stack:
        other = source if from_b is None else stack.enter_context(reading(from_b))
        found = comparison(side(source, session_named(source, a)), side(other, session_named(other, b)), limits)
    if as_json:
        screen.print_json(found)
    else:
        out = screen.console()
        screen.print_lines(out, _page(found, out.width))
    if found["exceeded"]:
        raise No("\n       ".join(found["exceeded"]))


# ---------------------------------------------------------------------------------------------------------- text
def _page(found: dict[str, Any], width: int) -> Iterator[Text]:
    shown = {figure.name: figure for figure in FIGURES}
    rows = [
        _row(TITLES.get(name, name), row, shown[name].shown, worse=shown[name].worse)
        for name, row in found["figures"].items()
    ]
    yield Text("A  ", "dim").append_text(screen.safe(found["a"], "bold"))
    yield Text("B  ", "dim").append_text(screen.safe(found["b"], "bold"))
    yield Text()
    yield from _table("", rows).lines(width)
    path = found["switch_path"]
    yield Text()
    yield Text("Switch path" + (", the same in both" if path["same"] else ""), "bold")
    for at in ("a",) if path["same"] else ("a", "b"):
        label = "" if path["same"] else f"{at.upper()}  "
        yield from screen.hanging(Text(label, "dim"), screen.safe(" → ".join(path[at]) or "none"), width)
    for key, title, show, worse in (
        ("tokens_by_model", "Tokens by model", count_text, True),
        ("agents", "Runs by agent", count_text, True),
        ("agent_time_ms", "Time by agent", figures.duration, True),
        ("tools", "Calls by tool", count_text, True),
        ("failed_tools", "Failed calls by tool", count_text, True),
        ("errors", "Errors", count_text, True),
    ):
        if found[key]:
            yield Text()
            table = [_row(name, row, show, worse=worse) for name, row in found[key].items()]
            yield from _table(title, table).lines(width)


def _table(title: str, rows: list[list[Text]]) -> Table:
    columns = (
        Column("", least=16),
        Column("A", right=True),
        Column("B", right=True),
        Column("difference", right=True),
        Column("", right=True),
    )
    return Table(columns, [*rows], title)


def _row(name: str, row: Compared, show: Callable[[float], str], *, worse: bool) -> list[Text]:
    a, b, difference = row["a"], row["b"], row["difference"]
    cells = [screen.safe(name), *(Text("unknown" if value is None else show(value)) for value in (a, b))]
    if difference is None:
        return [*cells, Text(), Text()]
    if not difference:
        return [*cells, Text("=", "dim"), Text()]
    style = "yellow" if (difference > 0) == worse else "green"
    sign = "+" if difference > 0 else "-"
    share = "new" if row["relative"] is None else f"{row['relative']:+.1%}"
    return [*cells, Text(f"{sign}{show(abs(difference))}", style), Text(share, style)]
