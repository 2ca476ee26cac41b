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
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on the wall shows UTC, and a missing store is looked for nowhere else than in the test's directory."""
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
