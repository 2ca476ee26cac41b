"""Looking after a store: deleting sessions, keeping it within bounds, saying how it stands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from tachograph.store.deletion import delete_session
from tachograph.store.look import Look
from tachograph.store.presence import is_alive
from tachograph.store.readers import Readers
from tachograph.store.retention import Pruned, prune
from tachograph.store.schema import VERSION
from tachograph.times import timestamp

if TYPE_CHECKING:
    from pathlib import Path

    from tachograph.config import Config
    from tachograph.store.writer import Writer

__all__ = ["Pruned", "delete_session", "keep_within", "prune", "storage"]

_SECONDS: Final = 0.5
"""Of the thread that stores a program's records, which wait meanwhile, as does a fork."""


def keep_within(writer: Writer, config: Config) -> Pruned:
    """Prune by the settings, for half a second at most; ``finished`` says whether to come back soon."""
    if not config.store_max_age and not config.store_max_sessions and _size(writer.path) <= _bytes(config):
        return Pruned()  # as nearly always: without a question to the database
    return prune(
        writer,
        max_age_days=config.store_max_age,
        max_sessions=config.store_max_sessions,
        max_bytes=config.store_max_size * 1_000_000,
        seconds=_SECONDS,
    )


def _bytes(config: Config) -> float:
    return config.store_max_size * 1_000_000 or math.inf


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, path.with_name(f"{path.name}-wal")) if file.exists())


def storage(path: Path) -> dict[str, Any]:
    """How a store stands, for people and JSON.

    ``writers`` are ``living``, ``closed``, or ``dead`` without having closed; ``oldest`` and ``newest`` are the last
    moments of records; ``bytes`` are of the database and of the log that runs ahead of it.

    Raises:
        StoreError: for a file that is no store or cannot be read.
    """
    readers = Readers(path)
    try:
        with readers.look() as db:
            now = Look(db, path)
            writers = db.execute("SELECT name, closed_ns FROM writers").fetchall()
            living = sum(closed_ns is None and is_alive(path, name) for name, closed_ns in writers)
            closed = sum(closed_ns is not None for _, closed_ns in writers)
            oldest, newest = (
                db.execute(f"SELECT {which}(end_ns) FROM records").fetchone()[0]  # noqa: S608 - our own texts
                for which in ("min", "max")
            )
            stats = now.stats()
            sessions = now.session_count(deleted=False)
    finally:
        readers.close()
    return {
        "path": str(path),
        "bytes": _size(path),
        "records": stats["records"],
        "sessions": sessions,
        "deleted_sessions": stats["sessions"] - sessions,
        "writers": {"living": living, "closed": closed, "dead": len(writers) - living - closed},
        "open_operations": stats["open_operations"],
        "oldest": None if oldest is None else timestamp(oldest),
        "newest": None if newest is None else timestamp(newest),
        "schema": VERSION,
        "pruned": stats["evicted"]["records"],
    }
