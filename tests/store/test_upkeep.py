"""How a store stands, and that what looks after it has one door."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.records import opened, operation
from tachograph.store import upkeep
from tachograph.store.schema import VERSION, StoreError
from tachograph.store.upkeep import delete_session, prune, storage
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

DIES = "import os, sys; from pathlib import Path; from tachograph.store.writer import Writer; "
DIES += "Writer(Path(sys.argv[1])); os._exit(1)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_how_an_empty_store_stands(path: Path) -> None:
    """Nothing is said to be nothing."""
    Writer(path).close()
    found = storage(path)

    assert found.pop("bytes") == path.stat().st_size
    assert found == {
        "path": str(path),
        "records": 0,
        "sessions": 0,
        "deleted_sessions": 0,
        "writers": {"living": 0, "closed": 1, "dead": 0},
        "open_operations": 0,
        "oldest": None,
        "newest": None,
        "schema": VERSION,
        "pruned": 0,
    }


def test_how_a_store_stands(path: Path) -> None:
    """It says what is there, hidden, gone and under way, since when and until when, and who lives to write more."""
    Writer(path).close()
    with closing(Writer(path)) as writer:
        writer.append(
            [operation(number, at=1_000 * number, session=f"s{number}") for number in range(1, 5)],
            [opened(operation(9, session="s4"))],
        )
        prune(writer, max_records=3)
        delete_session(writer, "s2", now_ns=operation(1, at=60_000).start_ns)
        ran = subprocess.run([sys.executable, "-c", DIES, str(path)], env={**os.environ}, check=False)
        assert 1 == ran.returncode
        found = storage(path)

        log = path.with_name(f"{path.name}-wal")
        assert found.pop("bytes") == path.stat().st_size + log.stat().st_size
        assert found == {
            "path": str(path),
            "records": 4,
            "sessions": 2,
            "deleted_sessions": 1,
            "writers": {"living": 1, "closed": 1, "dead": 1},
            "open_operations": 1,
            "oldest": "2026-01-17T13:00:03Z",
            "newest": "2026-01-17T13:01:00Z",
            "schema": VERSION,
            "pruned": 1,
        }


def test_what_is_no_store_does_not_stand(path: Path) -> None:
    """A file that is no store raises an error that names it."""
    with pytest.raises(StoreError, match="no such file"):
        storage(path)
    path.write_text("hello " * 100, "utf-8")
    with pytest.raises(StoreError, match="is no SQLite database"):
        storage(path)


def test_the_door_has_what_looks_after_a_store() -> None:
    """Deleting, pruning and describing are found in one place."""
    assert upkeep.__all__ == sorted(upkeep.__all__) == ["Pruned", "delete_session", "prune", "storage"]
