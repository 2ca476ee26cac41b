"""``tachograph sessions``: what there is to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from tachograph import figures
from tachograph.cli import screen
from tachograph.cli.arguments import LIMIT
from tachograph.cli.reading import TO_BEGIN, reads
from tachograph.cli.screen import Column, Table

if TYPE_CHECKING:
    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics

_COLUMNS: Final = (
    Column("session", least=12, style="bold"),
    Column("last active", rank=1),
    Column("status", rank=4),
    Column("user", least=6, rank=7),
    Column("agents", least=10, rank=8),
    Column("requests", right=True, rank=5),
    Column("tokens", right=True),
    Column("cost", right=True, rank=3),
    Column("agent time", right=True, rank=2),
    Column("errors", right=True),
)


@click.command()
@click.option("--limit", type=LIMIT, default=20, show_default=True, help="At most so many; 0: all.")
@click.option("--deleted", is_flag=True, help="Those hidden by deletion too.")
@reads
def sessions(*, source: Source, limit: int, deleted: bool, as_json: bool) -> None:
    """List sessions, the one last active first.

    Times are local ones; in JSON they are UTC. Its sessions have the fields of `show --json`, without the list of
    requests.
    """
    listed = source.session_list(limit=limit or None, deleted=deleted)
    if as_json:
        screen.print_json([{**metrics.to_dict(), "requests": None} for metrics in listed])
        return
    if not listed and source.session_count(deleted=True):
        click.echo(f"All sessions in {source.place} are hidden by deletion: --deleted lists them.")
        return
    if not listed:
        click.echo(f"No session yet in {source.place}.\n{TO_BEGIN}")
        return
    out = screen.console()
    screen.print_lines(out, Table(_COLUMNS, [_row(metrics) for metrics in listed]).lines(out.width))
    count = source.session_count(deleted=deleted)
    if count > len(listed):
        click.echo(f"… {count - len(listed):,} more: --limit {count}, or --limit 0 for all")


def _row(metrics: SessionMetrics) -> list[screen.Cell]:
    return [
        metrics.session_id,
        figures.local(metrics.last_seen, "%Y-%m-%d %H:%M"),
        screen.safe(metrics.status, {"active": "green", "deleted": "red"}.get(metrics.status, "dim")),
        metrics.user_id or "",
        ", ".join(sorted(metrics.agents, key=lambda name: (-metrics.agents[name]["count"], name))),
        metrics.total_requests,
        figures.tokens(metrics.total_tokens, whole=not metrics.unmetered),
        figures.cost(metrics.cost),
        figures.duration(metrics.processing_duration_ms),
        screen.safe(f"{metrics.errors:,}", "bold red" if metrics.errors else ""),
    ]
