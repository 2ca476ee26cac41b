"""``tachograph doctor``: what is hooked, what is not and why, where it exports, which settings are in force."""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import click

from tachograph import beside, figures
from tachograph.config import Config
from tachograph.frameworks import IntegrationError, Status
from tachograph.runtime.assembly import Runtime
from tachograph.sources import default_place
from tachograph.version import VERSION

_WHICH: Final = re.compile(r"wrap [0-9]+(?: \(.*\))?$")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Say what is hooked, what is kept and exported, and what is wrong.

    Imports the frameworks, and the program's modules that [[tool.tachograph.wrap]] names. Exit code 1 when something
    is wrong that can be mended.
    """
    problems: list[str] = []
    found = examine(problems)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _show(found)
    sys.exit(1 if problems else 0)


def examine(problems: list[str]) -> dict[str, Any]:
    """Start as ``import tachograph.auto`` would in this environment, and look."""
    tachograph = Runtime(Config.read(complain=problems.append), complain=problems.append)
    tachograph.instruments.enabled = False  # looking is nothing to send metrics about
    try:
        tachograph.instrument()
    except IntegrationError as error:
        problems.append(str(error))
    waiting = {status.integration.module: status.integration.name for status in _waiting(tachograph)}
    wrapped = tachograph.wraps.modules()
    if wrapped:
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as python -m has it
    for module in (*waiting, *wrapped):
        if module not in sys.modules:
            try:
                importlib.import_module(module)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what cannot be imported is what this is to say
                what = waiting.get(module, module)
                problems.append(f"{what} cannot be imported: {type(error).__name__}: {error}")
    config = tachograph.config
    found = {
        "tachograph": VERSION,
        "python": platform.python_version(),
        "integrations": [
            {
                "name": status.integration.name,
                "version": status.version,
                "state": status.state,
                "note": status.note,
                "also_active": [f"{name} {at}" for name in status.integration.also if (at := _installed(name))],
            }
            for status in tachograph.frameworks.statuses.values()
        ],
        "beside": [
            {"name": name, "version": at, "effect": effect}
            for name, effect in beside.CLIENTS.items()
            if (at := _installed(name))
        ],
        "wraps": [
            {"wrap": row.label, "as": row.kind, "state": row.state, "note": row.note} for row in tachograph.wraps.rows()
        ],
        "hooks": [
            {"hook": hook.label, "hooked": hook.hooked, "why": hook.why} for hook in tachograph.hooks.rows.values()
        ],
        "export": tachograph.providers.describe(),
        "store": _store(config, problems),
        "settings": [
            {
                "setting": name,
                "value": setting.shown(getattr(config, name)),
                "from": config.sources.get(name, "default"),
                "variable": setting.variable,
                "meaning": setting.meaning,
            }
            for name, setting in Config.settings().items()
        ],
        "problems": problems,
    }
    tachograph.stop()
    return found


def _store(config: Config, problems: list[str]) -> dict[str, Any]:
    """Where records are kept, by whom, and how it stands."""
    path = default_place(config)
    found: dict[str, Any] = {"path": str(path), "recording": "every program" if config.store else "tachograph run"}
    if not path.exists():
        folder = next(folder for folder in path.parents if folder.exists())
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return {**found, "state": "not there yet"}
        why = "may not be written to" if folder.is_dir() else "is no folder"
        problems.append(f"store {path}: {folder} {why}; name another place in TACHOGRAPH_STORE")
        return {**found, "state": "cannot be made"}
    from tachograph.store.schema import StoreError  # noqa: PLC0415 - loads SQLite
    from tachograph.store.upkeep import storage  # noqa: PLC0415 - likewise

    try:
        kept = storage(path)
    except StoreError as error:
        problems.append(str(error))
        return {**found, "state": "cannot be read"}
    sessions, size = figures.counted(kept["sessions"], "session"), figures.size(kept["bytes"])
    living = kept["writers"]["living"]
    return {**found, "state": f"{sessions}, {size}" + (f", {living:,} recording now" if living else "")}


def _waiting(tachograph: Runtime) -> list[Status]:
    return [status for status in tachograph.frameworks.statuses.values() if status.state == "waiting"]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


_MORE = " only; TACHOGRAPH_STORE=1 keeps what every program records"


def _show(found: dict[str, Any]) -> None:
    from rich.markup import escape  # noqa: PLC0415 - loaded by text views only
    from rich.table import Table  # noqa: PLC0415

    from tachograph.cli import screen  # noqa: PLC0415

    console = screen.console(markup=True)
    console.print(f"[bold]tachograph {found['tachograph']}[/] on Python {found['python']}\n")

    table = Table("integration", "version", "state", "note", box=None, title="Frameworks", title_justify="left")
    for row in found["integrations"]:
        colour = {"installed": "green", "absent": "dim"}.get(row["state"], "red")
        notes = [row["note"], *(f"{other} is installed too: still counted once here" for other in row["also_active"])]
        table.add_row(
            row["name"], row["version"] or "-", f"[{colour}]{row['state']}[/]", escape("; ".join(filter(None, notes)))
        )
    console.print(table)

    for row in found["beside"]:
        console.print(f"{row['name']} {row['version']} is installed too: {escape(row['effect'])}")

    wraps = Table("wrap", "as", "state", "note", box=None, title="\nWraps", title_justify="left")
    for row in found["wraps"]:
        colour = "green" if row["state"] == "hooked" else "red"
        wraps.add_row(
            escape(_WHICH.findall(row["wrap"])[-1]), row["as"], f"[{colour}]{row['state']}[/]", escape(row["note"])
        )
    if found["wraps"]:
        console.print(wraps)

    hooks = Table("", "hook", "why not", box=None, title="\nHooks", title_justify="left")
    for row in found["hooks"]:
        hooks.add_row("[green]✓[/]" if row["hooked"] else "[red]✗[/]", escape(row["hook"]), escape(row["why"]))
    console.print(hooks if found["hooks"] else "\nHooks\n  none")

    export = Table("signal", "goes to", box=None, title="\nExport", title_justify="left")
    for signal, place in found["export"].items():
        export.add_row(signal, escape(place))
    console.print(export)

    kept = found["store"]
    store = Table("", "", box=None, title="\nStore", title_justify="left", show_header=False)
    store.add_row("place", escape(kept["path"]))
    store.add_row("state", escape(kept["state"]))
    store.add_row("records", kept["recording"] + ("" if kept["recording"] != "tachograph run" else _MORE))
    console.print(store)

    settings = Table("setting", "value", "from", "meaning", box=None, title="\nSettings", title_justify="left")
    for row in found["settings"]:
        value = ", ".join(row["value"]) if isinstance(row["value"], tuple) else str(row["value"])
        place = row["from"] if row["from"] != "default" else f"[dim]default; {row['variable']}[/]"
        settings.add_row(row["setting"], escape(value) or "-", place, escape(row["meaning"]))
    console.print(settings)

    console.print("\n[bold]Problems[/]" if found["problems"] else "\n[green]No problems.[/]")
    for problem in found["problems"]:
        console.print(f"  [red]✗[/] {escape(problem)}")
