"""What reading a store takes: medians of questions put to 1,000,000 operations in 10,000 sessions.

    python tests/benchmarks/store.py [--operations N] [--sessions N] [--rounds N] [--file PATH] [--busy]

The store is built first, by the writer that programs use; with --file it is kept there and used again. With --busy a
second process appends to it all the while. Each question is put to many sessions in turn, from one thread.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.stores import fill, session_name, work
from tachograph import names
from tachograph.records import Operation
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.sources import Source

BATCH = 500


def build(path: Path, operations: int, sessions: int) -> None:
    """Fill a store and say what that took."""
    began = time.perf_counter()
    with closing(Writer(path)) as writer:
        stored = fill(writer, work(operations, sessions), batch=BATCH)
    took = time.perf_counter() - began
    size = path.stat().st_size
    print(
        f"stored {stored:,} records in {took:.1f} s, {took / stored * 1e6:.1f} us each; {size / stored:.0f} bytes each"
    )


def write_on(path: Path) -> None:
    """Append to a store until somebody ends us."""
    with closing(Writer(path)) as writer:
        for number in range(10**9):
            at = time.time_ns()
            records = [
                Operation(f"{at + one:016x}", "model", "m", f"busy-{number % 50}", "r", at, at + 10, "ok")
                for one in range(20)
            ]
            writer.append(records)
            time.sleep(0.01)


def questions(source: Source, sessions: int) -> dict[str, Callable[[int], object]]:
    """What is asked, each by the number of the round."""

    def one(number: int) -> str:
        return session_name(number * 3_701 % sessions)

    def request(number: int) -> str:
        return f"{number * 3_701 % sessions:08x}{3:024x}"

    def log(**asked: Any) -> Callable[[int], object]:
        return lambda _: source.audit_log(**asked, limit=20)

    return {
        "session_metrics(session)": lambda n: source.session_metrics(one(n)),
        "session_metrics(session).to_dict()": lambda n: source.session_metrics(one(n)).to_dict(),
        "session_metrics(session, request)": lambda n: source.session_metrics(one(n), request(n)),
        "metrics()": lambda _: source.metrics(),
        "total()": lambda _: source.total(),
        "session_list(limit=50)": lambda _: source.session_list(limit=50),
        "session_list(limit=50, offset=sessions-50)": lambda _: source.session_list(limit=50, offset=sessions - 50),
        "sessions()": lambda _: source.sessions(),
        "session_count()": lambda _: source.session_count(),
        "timeline(session)": lambda n: source.timeline(session_id=one(n)),
        "audit_log(limit=20)": log(),
        "… session": lambda n: source.audit_log(session_id=one(n), limit=20),
        "… request": lambda n: source.audit_log(correlation_id=request(n), limit=20),
        "… critical": log(critical=True),
        "… not critical": log(critical=False),
        "… since long ago": log(since=0),
        **{
            f"… category {category}": log(category=category)
            for category in sorted({c for c, _ in names.EVENTS.values()})
        },
        **{f"… type {event_type}": log(event_type=event_type) for event_type in names.EVENTS},
    }


def measure(path: Path, sessions: int, rounds: int) -> None:
    """Print the median, and the slowest, of each question."""
    with closing(SqliteSource(path)) as source:
        for name, ask in questions(source, sessions).items():
            took = []
            for number in range(rounds):
                began = time.perf_counter()
                ask(number)
                took.append((time.perf_counter() - began) * 1_000)
            print(f"{name:45} {statistics.median(took):9.2f} ms   slowest {max(took):9.2f} ms", flush=True)


def main() -> None:
    """Build, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--write-on", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write_on:
        write_on(asked.write_on)
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or Path(folder) / "store.db"
        if not path.exists():
            build(path, asked.operations, asked.sessions)
        if not asked.busy:
            measure(path, asked.sessions, asked.rounds)
            return
        writer = subprocess.Popen([sys.executable, __file__, "--write-on", str(path)])
        try:
            measure(path, asked.sessions, asked.rounds)
        finally:
            writer.terminate()
            writer.wait()


if __name__ == "__main__":
    main()
