"""``tachograph delete``: a session hidden, or gone for good."""

from __future__ import annotations

import getpass
import sys

import click

from tachograph import figures
from tachograph.cli import Misuse, screen
from tachograph.cli.reading import json_option, reading, session_named, store_path
from tachograph.cli.writing import existing, store_option, writing
from tachograph.redact import printable


@click.command()
@click.argument("session")
@click.option("--hard", is_flag=True, help="For good: what was recorded is overwritten.")
@click.option("--by", metavar="WHO", help="Who asks, for the audit log; by default the user of the operating system.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def delete(*, session: str, hard: bool, by: str | None, yes: bool, place: str | None, as_json: bool) -> None:
    """Delete a session: hide it, or remove it for good.

    Hidden, it is listed no more (but `sessions --deleted` shows it), counts in totals, and all is kept. With --hard
    what its records say is overwritten; their digests stay, so that the audit chain still holds, and its figures stay
    without the user. Either way the audit log says who deleted it, and work that begins in it later brings it back.
    Exit code 1: there is no such session, or you said no.
    """
    path = existing(store_path(place))
    with reading(str(path)) as source:
        session_id = session_named(source, session)
        metrics = source.session_metrics(session_id)
    if not yes:
        kept = (
            f"{figures.counted(metrics.total_requests, 'request')}, {figures.counted(metrics.tool_calls, 'tool call')}"
        )
        question = "for good? This cannot be undone." if hard else "from view?"
        if not sys.stdin.isatty():
            raise Misuse(f"session {printable(session_id)} was not deleted: nobody is here to ask; give --yes")
        click.confirm(f"Delete session {printable(session_id)} ({kept}) {question}", abort=True)
    from tachograph.store.upkeep import delete_session  # noqa: PLC0415 - loads SQLite

    with writing(str(path)) as writer:
        done = delete_session(writer, session_id, hard=hard, by=_user() if by is None else by)
    if as_json:
        screen.print_json({"session_id": session_id, "hard": hard, "deleted": done})
    elif done:
        click.echo(f"Session {printable(session_id)} is {'deleted for good' if hard else 'hidden'}.")
    else:
        click.echo(f"Session {printable(session_id)} was deleted before; nothing to do.")
    if metrics.status == "active":
        click.echo("A program is recording it: what it goes on to do is recorded anew, and visible.", err=True)


def _user() -> str | None:
    """Who runs this, where the operating system knows."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container may have no entry for its user
        return None
