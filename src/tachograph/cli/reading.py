"""What every reading command shares: where it reads, which session is meant, and plain words when it cannot."""

from __future__ import annotations

import contextlib
import difflib
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tachograph.cli import Misuse
from tachograph.cli.arguments import PLACE
from tachograph.config import Config
from tachograph.ledger import Ledger
from tachograph.redact import printable
from tachograph.sources import JAEGER, SourceError, default_place, open_source

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from tachograph.sources import Source

_SHOWN: Final = 6
"""Candidates named in an error."""

TO_BEGIN: Final = "Record a program first: tachograph run your_agents.py"

from_option = click.option(
    "--from",
    "place",
    type=PLACE,
    metavar="PLACE",
    help="Read this store, file or jaeger://host:port; by default the store that programs record into.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class No(click.ClickException):
    """The answer is no: exit code 1."""

    exit_code = 1


class Nothing(Ledger):
    """The store that programs record into, before any has.

    Args:
        place: where it will be.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    @property
    def place(self) -> str:
        """Where the store will be."""
        return self._place


@contextlib.contextmanager
def reading(place: str | None, *, make: bool = False) -> Iterator[Source]:
    """The source at a place, while the block lasts.

    Args:
        place: a store or a file; None is the store that programs record into, be it there yet or not.
        make: make that store if it is not there, so that what is recorded later is seen.

    Raises:
        Misuse: when it cannot be read.
    """
    try:
        with contextlib.closing(_store(make=make) if place is None else open_source(place)) as source:
            yield source
    except SourceError as error:
        raise Misuse(printable(str(error))) from None


def settings() -> Config:
    """The settings in force; what is wrong with them is a warning."""
    return Config.read(complain=lambda said: click.echo(f"Warning: {printable(said)}", err=True))


def store_path(place: str | None = None) -> Path:
    """Where the store is: what was given, or where programs record into by the settings in force.

    Raises:
        Misuse: for a place that is no file.
    """
    if place is not None and place.lower().startswith(JAEGER):
        raise Misuse(f"{printable(place)}: is a Jaeger, and this is for stores; give the path of one")
    return default_place(settings()) if place is None else Path(place)


def audit_key() -> bytes | None:
    """The key of the audit chain, where the settings have one."""
    key = settings().audit_key
    return None if key is None else key.encode()


def _store(*, make: bool) -> Source:
    path = store_path()
    if not path.exists():
        if not make:
            return Nothing(str(path))
        from tachograph.store.schema import connect  # noqa: PLC0415 - loads SQLite

        connect(path).close()
    return open_source(path)


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a store, for reading, while the block lasts.

    Raises:
        Misuse: for what is no store, or cannot be read.
    """
    import sqlite3  # noqa: PLC0415 - loaded by those commands only that open a store

    from tachograph.store.schema import StoreError, connect_to_read  # noqa: PLC0415 - likewise

    try:
        with contextlib.closing(connect_to_read(path)) as db:
            yield db
    except StoreError as error:
        raise Misuse(printable(str(error))) from None
    except sqlite3.Error as error:
        raise Misuse(f"{printable(str(path))}: cannot be read: {printable(str(error))}") from None


def reads(command: Callable[..., None]) -> Callable[..., None]:
    """A command with ``--from`` and ``--json`` that is handed the ``source`` named there."""

    def handed(place: str | None, **given: Any) -> None:
        with reading(place, make=given.get("follow", False)) as source:
            command(source=source, **given)

    return from_option(json_option(functools.update_wrapper(handed, command)))


def session_named(source: Source, given: str) -> str:
    """The id of the session that is meant: by its id, the beginning of its id, ``last``, or ``last~2`` and so on.

    Raises:
        No: when there is none.
        Misuse: when several are.
    """
    if source.session_metrics(given).status != "unknown":
        return given
    if counted := re.fullmatch(r"last(?:~(\d{1,9}))?", given, re.ASCII):
        newest = source.session_list(limit=1, offset=int(counted[1] or 0))
        if not newest:
            count = source.session_count()
            raise No(
                f"no session {given!r}: {source.place} has {count:,} session{'' if count == 1 else 's'}"
                if count
                else f"no session yet in {source.place}. {TO_BEGIN}"
            )
        return newest[0].session_id
    known = source.sessions()[::-1]
    beginning = [session_id for session_id in known if given and session_id.startswith(given)]
    if len(beginning) == 1:
        return beginning[0]
    if beginning:
        raise Misuse(f"{printable(given)!r} may be any of {len(beginning):,} sessions: {_listed(beginning)}")
    near = [session_id for session_id in known if given and given.lower() in session_id.lower()]
    near = near or difflib.get_close_matches(given, known[:10_000], _SHOWN)
    hint = f"Did you mean {_listed(near)}?" if near else "See tachograph sessions" if known else TO_BEGIN
    raise No(f"no session {printable(given)!r} in {source.place}. {hint}")


def request_named(source: Source, session_id: str, given: str) -> str:
    """The correlation id of the request that is meant: by its id or the beginning of it.

    Raises:
        No: when the session has no such request.
        Misuse: when several are meant.
    """
    if source.session_metrics(session_id, given).status != "unknown":
        return given
    known = dict.fromkeys(filter(None, (record.correlation_id for record in source.records(session_id))))
    beginning = [request for request in known if given and request.startswith(given)]
    if len(beginning) == 1:
        return beginning[0]
    if beginning:
        raise Misuse(f"{printable(given)!r} may be any of {len(beginning):,} requests: {_listed(beginning)}")
    hint = f"there are: {_listed([*known][::-1])}" if known else "it has none"
    raise No(f"no request {printable(given)!r} in session {printable(session_id)}; {hint}")


def _listed(ids: list[str]) -> str:
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return ", ".join(map(printable, ids[:_SHOWN])) + more
