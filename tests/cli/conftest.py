"""What every test of the command line may use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.story import write_story

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def story(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with three sessions; its path."""
    return str(write_story(tmp_path_factory.mktemp("story") / "story.db"))


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The clock on the wall shows UTC, and the store that programs record into is the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def empty(tmp_path: Path) -> str:
    """A store without any session; its path."""
    from tachograph.store.writer import Writer  # noqa: PLC0415 - only here

    path = tmp_path / "empty.db"
    Writer(path).close()
    return str(path)
