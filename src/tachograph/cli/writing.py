"""What every command that changes the store shares: which store, its key, and plain words when it cannot."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from tachograph.cli import Misuse
from tachograph.cli.arguments import PLACE
from tachograph.cli.reading import audit_key, store_path
from tachograph.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.store.writer import Writer

store_option = click.option(
    "--store",
    "place",
    type=PLACE,
    metavar="PATH",
    help="Change this store; by default the one that programs record into.",
)


@contextlib.contextmanager
def writing(place: str | None, *, make: bool = False) -> Iterator[Writer]:
    """A writer to a store, while the block lasts.

    Args:
        place: of the store; None is the one that programs record into.
        make: whether a store that is not there is made.

    Raises:
        Misuse: when it is not there, or cannot be written.
    """
    import sqlite3  # noqa: PLC0415 - loaded by those commands only that open a store

    from tachograph.store.writer import Writer  # noqa: PLC0415 - likewise

    path = store_path(place)
    if not make:
        existing(path)
    try:
        with contextlib.closing(Writer(path, key=audit_key(), program="tachograph")) as writer:
            yield writer
    except sqlite3.Error as error:
        raise Misuse(f"{path}: cannot be written: {printable(str(error))}; nothing more was changed") from None


def existing(path: Path) -> Path:
    """The path, if there is a store.

    Raises:
        Misuse: when there is none.
    """
    if not path.is_file():
        from tachograph.store.schema import no_file  # noqa: PLC0415 - loads SQLite

        raise Misuse(f"{path}: {no_file(path)}; give the path of a store, or record one: tachograph run your_agents.py")
    return path
