"""``tachograph prune``: the store within bounds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from tachograph import figures
from tachograph.cli import screen
from tachograph.cli.arguments import AGE, COUNT, SIZE
from tachograph.cli.progress import progress
from tachograph.cli.reading import connected, json_option, settings, store_path
from tachograph.cli.writing import store_option, writing

if TYPE_CHECKING:
    from datetime import timedelta

    from tachograph.store.upkeep import Pruned

_DAY_SECONDS = 86_400


def _bound(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # noqa: ARG001 - click's signature
    if value is not None and not value:
        raise click.BadParameter("0 is no bound; give more, or leave this out")
    return value


@click.command()
@click.option("--older-than", type=AGE, callback=_bound, help="Records that ended longer ago, e.g. 30d.")
@click.option("--max-sessions", type=COUNT, help="The oldest sessions beyond so many, hidden ones first.")
@click.option("--max-records", type=COUNT, help="The oldest records beyond so many.")
@click.option(
    "--max-size",
    type=SIZE,
    callback=_bound,
    help="The oldest records, until the database has so many bytes, e.g. 500MB.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would be removed.")
@store_option
@json_option
def prune(
    *,
    older_than: timedelta | None,
    max_sessions: int | None,
    max_records: int | None,
    max_size: int | None,
    dry_run: bool,
    place: str | None,
    as_json: bool,
) -> None:
    """Remove what is old or too much.

    The oldest records go first, until every bound that is given is kept; without any those of the settings are, as
    `tachograph doctor` shows them. The totals over everything stay. Programs may
    go on recording meanwhile. The audit chain still holds, and its verification says how much was removed.
    """
    bounds: dict[str, Any] = {
        "max_age_days": older_than.total_seconds() / _DAY_SECONDS if older_than else 0,
        "max_sessions": max_sessions or 0,
        "max_records": max_records or 0,
        "max_bytes": max_size or 0,
    }
    if not any(bounds.values()):
        bounds = _of_settings()
    pruned = _foreseen(place, bounds) if dry_run else _pruned(place, bounds)
    if as_json:
        screen.print_json({**dataclasses.asdict(pruned), "dry_run": dry_run})
    else:
        _show(pruned, dry_run=dry_run)


def _of_settings() -> dict[str, Any]:
    found = settings()
    bounds = {
        "max_age_days": found.store_max_age,
        "max_sessions": found.store_max_sessions,
        "max_bytes": found.store_max_size * 1_000_000,
    }
    if not any(bounds.values()):
        raise click.UsageError(
            "The settings set no bound: give --older-than, --max-sessions, --max-records or --max-size.",
            click.get_current_context(),
        )
    return bounds


def _foreseen(place: str | None, bounds: dict[str, Any]) -> Pruned:
    from tachograph.store.retention import foresee  # noqa: PLC0415 - loads SQLite

    with connected(store_path(place)) as db:
        return foresee(db, **bounds)


def _pruned(place: str | None, bounds: dict[str, Any]) -> Pruned:
    from tachograph.store.upkeep import prune as prune_store  # noqa: PLC0415 - loads SQLite

    with writing(place) as writer, progress("pruning records") as more:
        seen = 0

        def gone(count: int) -> None:
            nonlocal seen
            more(count - seen)
            seen = count

        return prune_store(writer, **bounds, progress=gone)


def _show(pruned: Pruned, *, dry_run: bool) -> None:
    gone = f"{figures.counted(pruned.records, 'record')} and {figures.counted(pruned.sessions, 'session')}"
    size = figures.size(pruned.bytes)
    click.echo(f"Would remove {gone}, about {size}." if dry_run else f"Removed {gone}; {size} given back.")
    for why in pruned.left_alone:
        click.echo(f"Left alone: {why}")
