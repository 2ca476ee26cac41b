"""``tachograph serve``: what a source answers, over HTTP; and what others send by OTLP, into it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tachograph.cli import Misuse
from tachograph.cli.arguments import PLACE
from tachograph.cli.reading import audit_key, from_option, reading, settings
from tachograph.ledger import Ledger
from tachograph.redact import printable
from tachograph.variables import TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tachograph.server import Receiver
    from tachograph.sources import Source
    from tachograph.store.verification import Verification


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Name or address; any but loopback needs a token.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8001, show_default=True, help="0 takes a free one.")
@click.option(
    "--token-file", type=PLACE, metavar="FILE", help=f"Read the token from there; by default from {TOKEN_VARIABLE}."
)
@click.option("--memory", is_flag=True, help="Serve what is sent by OTLP from now on, and keep it in memory only.")
@click.option("--no-otlp", is_flag=True, help="Take no OTLP in.")
@from_option
def serve(*, host: str, port: int, token_file: str | None, memory: bool, no_otlp: bool, place: str | None) -> None:
    """Serve the store over HTTP: pages, REST, live events, and OTLP in.

    What any program sends to the endpoint is kept in the store and served like what was recorded. With a token every
    request must send it, as `Authorization: Bearer …`, and a browser asks for it; without one only this machine is
    answered. Ctrl-C or SIGTERM stops it.
    """
    try:
        from tachograph.server import serve as listen  # noqa: PLC0415 - the web framework, which may not be installed
    except ModuleNotFoundError as error:
        raise Misuse(str(error)) from None
    from tachograph.export import session_export  # noqa: PLC0415 - loads what only exporting needs

    if memory and place is not None:
        raise Misuse(f"--memory and --from {place}: give one of them")
    token = _token(token_file)
    with _source(place, memory=memory) as source, _receiver(source, wanted=not no_otlp) as (receiver, why_not):

        def ready(address: str) -> None:
            click.echo(f"Serving {printable(source.place)} at {address}")
            if receiver is not None:
                click.echo(f"OTLP is taken in: {_where(address, token)}")
            elif why_not:
                click.echo(f"No OTLP is taken in: {printable(why_not)}")
            click.echo(
                "A browser asks for the token; every other request must send it: Authorization: Bearer …"
                if token
                else f"Only this machine is answered; to let others in, set {TOKEN_VARIABLE} or give --token-file"
            )
            click.echo("Ctrl-C stops it.")

        try:
            listen(
                source,
                host,
                port,
                token,
                export=session_export,
                verify=_check_of(source),
                receiver=receiver,
                ready=ready,
            )
        except ValueError as error:  # the address, or a token that no header can carry; never the token itself
            raise Misuse(printable(str(error))) from None


def _check_of(source: Source) -> Callable[[], Verification] | None:
    """What checks the audit chains of a store; what is no store has none."""
    from tachograph.sources.sqlite import SqliteSource  # noqa: PLC0415 - loads SQLite

    if not isinstance(source, SqliteSource):
        return None
    from tachograph.store.schema import connect_to_read  # noqa: PLC0415 - likewise
    from tachograph.store.verification import verify  # noqa: PLC0415 - likewise

    key = audit_key()

    def check() -> Verification:
        with contextlib.closing(connect_to_read(Path(source.place))) as db:
            return verify(db, key=key)

    return check


@contextlib.contextmanager
def _source(place: str | None, *, memory: bool) -> Iterator[Source]:
    if memory:
        yield Ledger()
        return
    with reading(place, make=True) as source:
        yield source


@contextlib.contextmanager
def _receiver(source: Source, *, wanted: bool) -> Iterator[tuple[Receiver | None, str]]:
    """Who takes OTLP in, while the block lasts; nobody, and why, where nothing can be added to what is served."""
    from tachograph.server import Receiver  # noqa: PLC0415 - as above

    if not wanted:
        yield None, ""
        return
    try:
        receiver = Receiver(source, settings(), complain=_warn)
    except ValueError as error:
        yield None, str(error)
        return
    with contextlib.closing(receiver):
        yield receiver, ""


def _warn(said: str) -> None:
    click.echo(f"Warning: {printable(said)}", err=True)


def _where(address: str, token: str | None) -> str:
    """What a program that sends OTLP is to be told."""
    variables = [f"OTEL_EXPORTER_OTLP_ENDPOINT={address}", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"]
    return " ".join([*variables, *(["OTEL_EXPORTER_OTLP_HEADERS=x-internal-auth=…"] if token else [])])


def _token(file: str | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misuse(f"--token-file {file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not token:
        raise Misuse(f"--token-file {file}: is empty; write a long random text into it")
    return token
