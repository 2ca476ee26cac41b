"""Looking after a store: deleting sessions, keeping it within bounds, saying how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.store.deletion import delete_session
from tachograph.store.look import Look
from tachograph.store.presence import is_alive
from tachograph.store.readers import Readers
from tachograph.store.retention import Pruned, prune
from tachograph.store.schema import VERSION
from tachograph.times import timestamp

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Pruned", "delete_session", "prune", "storage"]


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
        "bytes": sum(file.stat().st_size for file in (path, path.with_name(f"{path.name}-wal")) if file.exists()),
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
