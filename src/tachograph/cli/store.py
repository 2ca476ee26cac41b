"""``tachograph store``: what is kept, how much of it, and who writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from tachograph import figures
from tachograph.cli import Misuse, screen
from tachograph.cli.arguments import PLACE
from tachograph.cli.reading import TO_BEGIN, json_option, store_path
from tachograph.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.option(
    "--from", "place", type=PLACE, metavar="PATH", help="This store; by default the one that programs record into."
)
@json_option
def store(*, place: str | None, as_json: bool) -> None:
    """Say what is kept, how much of it, and who writes."""
    path = store_path(place)
    if not path.exists() and place is None:
        if as_json:
            screen.print_json({"path": str(path), "exists": False})
        else:
            click.echo(f"No store yet; it will be {path}.\n{TO_BEGIN}")
        return
    from tachograph.store.schema import StoreError  # noqa: PLC0415 - loads SQLite
    from tachograph.store.upkeep import storage  # noqa: PLC0415 - likewise

    try:
        found = storage(path)
    except StoreError as error:
        raise Misuse(printable(str(error))) from None
    if as_json:
        screen.print_json({"exists": True, **found})
    else:
        out = screen.console()
        screen.print_lines(out, _lines(found))


def _lines(found: dict[str, Any]) -> Iterator[Text]:
    writers = found["writers"]
    told = {
        "store": printable(found["path"]),
        "size": figures.size(found["bytes"]),
        "sessions": f"{found['sessions']:,}"
        + (f" and {found['deleted_sessions']:,} hidden" * bool(found["deleted_sessions"])),
        "records": f"{found['records']:,}" + (f" and {found['pruned']:,} pruned" * bool(found["pruned"])),
        "from": f"{figures.local(found['oldest'])} to {figures.local(found['newest'])}" if found["records"] else "-",
        "under way": f"{found['open_operations']:,}",
        "writers": ", ".join(
            f"{writers[state]:,} {said}"
            for state, said in (("living", "recording now"), ("closed", "ended"), ("dead", "ended without closing"))
            if writers[state]
        )
        or "none",
        "schema": str(found["schema"]),
    }
    width = max(map(len, told)) + screen.GAP
    for what, value in told.items():
        yield Text.assemble((what.ljust(width), "dim"), value)
