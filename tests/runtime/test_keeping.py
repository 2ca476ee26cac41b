"""The store of a runtime: there where settings ask for one, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tachograph.config import Config
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.runtime.keeping import elsewhere, keeper
from tachograph.store.deciding import Deciding

if TYPE_CHECKING:
    from pathlib import Path


def kept(**settings: Any) -> Any:
    """The keeper that these settings ask for."""
    complaints: list[str] = []
    config = Config.read(settings, environ={})
    return keeper(
        config, ledger=Ledger(), guard=Guard(strict=True), complain=complaints.append, publish=lambda *_, **__: None
    )


@pytest.mark.parametrize("settings", [{}, {"store": False}, {"store": "it.db", "enabled": False}])
def test_nothing_is_kept_unasked(settings: dict[str, Any]) -> None:
    """Without a store, or where nothing is recorded, there is no keeper, and nobody decides elsewhere."""
    assert None is kept(**settings)
    assert None is elsewhere(None)


def test_a_store_is_kept_where_settings_say(tmp_path: Path) -> None:
    """The keeper writes to the path of the settings, and others decide there too."""
    path = tmp_path / "it.db"
    found = kept(store=str(path))
    try:
        assert str(path) == str(found.path)
        assert isinstance(elsewhere(found), Deciding)
    finally:
        found.close()
