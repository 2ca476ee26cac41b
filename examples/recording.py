"""Runs an example program recorded, its code untouched, and prints what the record says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tachograph
from tachograph.summary import session_summary

if TYPE_CHECKING:
    from tachograph.sources import Source

_HEAD = ("timestamp", "event_type", "event_id", "session_id", "correlation_id", "trace_id", "span_id", "critical")


def record(program: Path, store: Path) -> None:
    """Run a program as `tachograph run` does, by the settings beside it.

    Raises:
        subprocess.CalledProcessError: if it does not end well.
    """
    settings = {
        "TACHOGRAPH_CONFIG": str(program.with_name("tachograph.toml")),
        "TACHOGRAPH_STORE": str(store),
        "TACHOGRAPH_SUMMARY": "0",
    }
    command = [sys.executable, "-m", "tachograph", "run", str(program)]
    subprocess.run(command, env={**os.environ, **settings}, check=True)  # noqa: S603 - our own command


def show(source: Source) -> None:
    """Print each session's summary, timeline and audit log, deleted ones included, in the order they began."""
    for metrics in sorted(source.session_list(deleted=True), key=lambda metrics: metrics.first_seen or ""):
        print(f"\n{'─' * 100}\n{session_summary(metrics)}\n")
        print(source.timeline(session_id=metrics.session_id))
        print("\n".join(_line(entry) for entry in source.audit_log(session_id=metrics.session_id)))


def main(program: Path, arguments: list[str]) -> None:
    """Record a program and show the record; an argument is the path of a store to keep it in."""
    with tempfile.TemporaryDirectory() as directory:
        store = Path(arguments[0] if arguments else Path(directory) / "store.db").resolve()
        record(program, store)
        source = tachograph.read(store)
        try:
            show(source)
        finally:
            source.close()


def _line(entry: dict[str, Any]) -> str:
    mark = "!" if entry["critical"] else " "
    said = " ".join(f"{name}={value!r}" for name, value in entry.items() if name not in _HEAD and value is not None)
    return f"{entry['timestamp'][11:23]} {mark} {entry['event_type']:<26} {said}"
