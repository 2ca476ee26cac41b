"""``tachograph serve``: what a source answers, over HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tachograph.cli import Misuse
from tachograph.cli.reading import from_option, reading
from tachograph.config import TOKEN_VARIABLE
from tachograph.redact import printable


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Name or address; any but loopback needs a token.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8001, show_default=True, help="0 takes a free one.")
@click.option("--token-file", metavar="FILE", help=f"Read the token from there; by default from {TOKEN_VARIABLE}.")
@from_option
def serve(*, host: str, port: int, token_file: str | None, place: str | None) -> None:
    """Serve the store over HTTP: REST and live events.

    With a token every request must send it, as `Authorization: Bearer …`; without one only this machine is answered.
    Ctrl-C or SIGTERM stops it.
    """
    try:
        from tachograph.server import serve as listen  # noqa: PLC0415 - the web framework, which may not be installed
    except ModuleNotFoundError as error:
        raise Misuse(str(error)) from None
    from tachograph.export import session_export  # noqa: PLC0415 - loads what only exporting needs

    token = _token(token_file)

    def ready(address: str) -> None:
        click.echo(f"Serving {printable(source.place)} at {address}")
        click.echo(
            "Every request must send the token: Authorization: Bearer …"
            if token
            else f"Only this machine is answered; to let others in, set {TOKEN_VARIABLE} or give --token-file"
        )
        click.echo("Ctrl-C stops it.")

    with reading(place, make=True) as source:
        try:
            listen(source, host, port, token, export=session_export, ready=ready)
        except ValueError as error:  # the address, or a token that no header can carry; never the token itself
            raise Misuse(printable(str(error))) from None


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
