"""``tachograph timeline``: what happened when, and inside what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.cells import cell_len
from rich.text import Text

from tachograph import figures
from tachograph.cli import screen
from tachograph.cli.reading import reads, request_named, session_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.sources import Source
    from tachograph.views.timeline import Timeline, TimelineEntry

_STYLES: Final = {
    "task": "bold",
    "agent": "bold cyan",
    "plan": "blue",
    "model": "green",
    "tool": "magenta",
    "code": "yellow",
    "approval": "bold yellow",
    "event": "dim",
}
_BAD: Final = frozenset({"error", "lost"})
_LEAST_BAR: Final = 10
_MOST_BAR: Final = 80
_WIDE: Final = 120
"""Width of what has none of its own: a pipe, a file."""


@click.command()
@click.argument("session", default="last")
@click.option("--correlation", metavar="ID", help="Only this request within the session.")
@reads
def timeline(*, source: Source, session: str, correlation: str | None, as_json: bool) -> None:
    """Draw what happened when, and inside what.

    SESSION is an id or the beginning of one; 'last', which is the default, is the session last active. Exit code 1:
    there is no such session or request.
    """
    session_id = session_named(source, session)
    request = None if correlation is None else request_named(source, session_id, correlation)
    view = source.timeline(session_id=session_id, correlation_id=request)
    if as_json:
        screen.print_json(view.to_dict())
        return
    out = screen.console()
    screen.print_lines(out, _waterfall(view, out.width))


def _waterfall(view: Timeline, width: int) -> Iterator[Text]:
    if not view.entries:
        yield Text("No operation is kept of it; its figures are: tachograph show")
        return
    length = max(entry.offset_ms + (entry.duration_ms or 0) for entry in view.entries) or 1
    labels = [_label(entry) for entry in view.entries]
    whens = [figures.duration(entry.offset_ms) for entry in view.entries]
    tooks = [_took(entry) for entry in view.entries]
    when_width, took_width = max(map(len, (*whens, "start"))), max(map(len, (*tooks, "took")))
    left = when_width + took_width + 3 * screen.GAP
    longest = max(cell_len(label.plain) for label in labels)
    room = width if width < screen.UNBOUNDED else _WIDE
    bar_width = max(_LEAST_BAR, min(_MOST_BAR, room - left - longest))
    title = f"{'start':>{when_width}}  {'took':>{took_width}}  {'':{bar_width}}  what"
    yield Text(title, "dim")
    for entry, label, when, took in zip(view.entries, labels, whens, tooks, strict=True):
        line = Text.assemble((f"{when:>{when_width}}", "dim"), f"  {took:>{took_width}}  ")
        line.append_text(_bar(entry, length, bar_width)).append("  ").append_text(label)
        yield screen.cut(line, width)


def _took(entry: TimelineEntry) -> str:
    if entry.kind == "event":
        return ""
    return "running" if entry.duration_ms is None else figures.duration(entry.duration_ms)


def _bar(entry: TimelineEntry, length: float, width: int) -> Text:
    first = min(width - 1, int(entry.offset_ms / length * width))
    if entry.kind == "event":
        bar = "·"
    elif entry.duration_ms is None:
        bar = "▒" * (width - first)
    else:
        last = min(width, max(first + 1, round((entry.offset_ms + entry.duration_ms) / length * width)))
        bar = ("░" if entry.human_wait else "█") * (last - first)
    style = "red" if entry.outcome in _BAD else _STYLES.get(entry.kind, "")
    return Text.assemble(" " * first, (bar, style.replace("bold ", "")), " " * (width - first - len(bar)))


def _label(entry: TimelineEntry) -> Text:
    style = _STYLES.get(entry.kind, "")
    label = Text("  " * entry.depth)
    if entry.kind not in ("agent", "event"):
        label.append(f"{entry.kind} ", "dim")
    label.append_text(screen.safe(entry.name, style))
    if entry.total_tokens is not None:
        label.append(f"  {entry.total_tokens:,} tokens", "dim")
    if entry.human:
        label.append("  ").append_text(screen.safe(entry.human, "yellow"))
    if entry.outcome not in (None, "ok"):
        ending = " ".join(filter(None, (entry.outcome, entry.error_type)))
        label.append("  ").append_text(screen.safe(ending, "bold red" if entry.outcome in _BAD else "yellow"))
    return label
