"""``tachograph audit --verify``: has anybody touched what was recorded?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from tachograph import figures
from tachograph.cli import screen
from tachograph.cli.reading import No, audit_key, connected, store_path
from tachograph.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.store.verification import Verification


def verify(place: str, heads: tuple[str, ...], *, as_json: bool) -> None:
    """Check the chains of a store and say what was found, and what could not have been.

    Raises:
        No: when something is wrong.
        Misuse: for what is no store, and for a head that is none.
    """
    found = _verified(store_path(place), heads)
    if as_json:
        screen.print_json(_plain(found))
    else:
        out = screen.console()
        screen.print_lines(out, _page(found, out.width))
    if not found.ok:
        raise No(f"{place} is not as it was recorded; see above")


def _verified(path: Path, heads: tuple[str, ...]) -> Verification:
    from tachograph.store.verification import verify as verified  # noqa: PLC0415 - loads SQLite

    with connected(path) as db:
        try:
            return verified(db, key=audit_key(), heads=heads)
        except ValueError as error:
            raise click.UsageError(printable(str(error)), click.get_current_context()) from None


def _plain(found: Verification) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "entries": found.entries,
        "writers": found.writers,
        "problems": [dataclasses.asdict(problem) for problem in found.problems],
        "limits": list(found.limits),
        "heads": [str(head) for head in found.heads],
    }


def _page(found: Verification, width: int) -> Iterator[Text]:
    entries = "1 entry" if found.entries == 1 else f"{found.entries:,} entries"
    chains = f"{entries} in {figures.counted(found.writers, 'chain')}"
    if found.ok:
        said = Text(f"{chains}: none changed, removed, reordered or cut.", "bold green")
        yield from screen.hanging(Text("✓ ", "bold green"), said, width)
    else:
        said = Text(f"{chains}, and the first thing wrong in each:", "bold red")
        yield from screen.hanging(Text("✗ ", "bold red"), said, width)
        for problem in found.problems:
            yield from screen.hanging(Text(f"  {problem.what:<10}", "bold red"), screen.safe(problem.where), width)
    heads = [head for head in found.heads if head.entries]
    if heads:
        yield Text()
        yield Text("Heads, to keep elsewhere and give as --head", "bold")
        for head in heads:
            line = screen.safe(f"  {head}")
            line.overflow = "ignore"  # it is to be copied
            yield line
    if found.limits:
        yield Text()
        yield Text("What this cannot show", "bold")
        for limit in found.limits:
            yield from screen.hanging(Text("  · "), screen.safe(limit), width)
