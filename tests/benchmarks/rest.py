"""What asking over HTTP costs: milliseconds an answer of a big store takes, one after the other on one connection.

Of a page it is the time until its first byte, which is when a browser begins to show it.

    python tests/benchmarks/rest.py [--operations 1000000] [--sessions 10000] [--rounds 200] [--store FILE]

The store is made first, which takes a minute or two, in a temporary directory or at ``--store``, where it is kept and
found again. Server and client are two processes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))
from support.stores import fill, session_name, work

SERVE = """
import sys
from pathlib import Path

from tachograph.server import serve
from tachograph.sources.sqlite import SqliteSource

serve(SqliteSource(Path(sys.argv[1])), port=0, ready=lambda address: print(address, flush=True))
"""


def made(path: Path, operations: int, sessions: int) -> None:
    """Make the store, unless it is there."""
    if path.exists():
        return
    from tachograph.store.writer import Writer  # noqa: PLC0415 - most runs of the tests need none of it

    began = time.perf_counter()
    writer = Writer(path)
    fill(writer, work(operations, sessions))
    writer.close()
    print(f"{operations:,} operations in {sessions:,} sessions stored in {time.perf_counter() - began:,.0f} s")


def measure(url: str, sessions: int, rounds: int) -> None:
    """Print a line for each question."""
    chosen = random.Random(1)  # noqa: S311 - no secret

    def session() -> str:
        return session_name(chosen.randrange(sessions))

    questions = {
        "session": lambda: f"/events/metrics/session/{session()}",
        "metrics": lambda: "/events/metrics",
        "sessions": lambda: "/events/metrics/sessions?limit=100",
        "audit log, newest 100": lambda: "/events/audit-log?limit=100",
        "audit log of a session": lambda: f"/events/audit-log?session_id={session()}",
        "timeline of a session": lambda: f"/events/timeline?session_id={session()}",
        "stats": lambda: "/events/stats",
        "page: sessions": lambda: "/",
        "page: sessions, page 9": lambda: "/?offset=400",
        "page: sessions by tokens": lambda: "/?order=total_tokens",
        "page: sessions found": lambda: f"/?search={session()[-3:]}",
        "page: a session": lambda: f"/session/{session()}",
        "page: audit log": lambda: "/audit",
        "page: approvals": lambda: "/approvals",
        "page: totals": lambda: "/totals",
        "health": lambda: "/health",
    }
    print(f"{'':<26}{'median ms':>10}{'95 %':>10}{'worst':>10}")
    with httpx.Client(base_url=url, timeout=600) as client:
        for name, question in questions.items():
            took = []
            for _ in range(rounds):
                path = question()
                began = time.perf_counter()
                with client.stream("GET", path) as answer:
                    if not name.startswith("page"):
                        answer.read()
                    took.append((time.perf_counter() - began) * 1_000)
                    answer.raise_for_status()
                    answer.read()
            took.sort()
            print(f"{name:<26}{statistics.median(took):>10.2f}{took[int(len(took) * 0.95)]:>10.2f}{took[-1]:>10.2f}")


def main() -> None:
    """Make, serve, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--store", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = asked.store or Path(directory) / "sessions.db"
        made(path, asked.operations, asked.sessions)
        with subprocess.Popen([sys.executable, "-c", SERVE, str(path)], stdout=subprocess.PIPE, text=True) as server:
            try:
                measure(server.stdout.readline().strip() if server.stdout else "", asked.sessions, asked.rounds)
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
