"""How values of settings are read: what they may be, and which files and places they name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tachograph.config import Config, ConfigError

CONTENT = {
    "NO_CONTENT": "no_content",
    "false": "no_content",
    "SPAN_ONLY": "span_only",
    "Event_Only": "event_only",
    "SPAN_AND_EVENT": "span_and_event",
    " true ": "span_and_event",
}


@pytest.mark.parametrize("said", CONTENT)
def test_content_is_captured_by_the_standard_values(said: str, tmp_path: Path) -> None:
    """The variable of the conventions takes their values in any case, and the older yes and no."""
    environ = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": said}
    assert CONTENT[said] == Config.read(environ=environ, directory=tmp_path).capture_content


@pytest.mark.parametrize("content", [None, b"[m", b"\xff"])
def test_a_file_of_prices_must_be_readable(content: bytes | None, tmp_path: Path) -> None:
    """A file of prices that is missing or no TOML is named, with what it should be."""
    file = tmp_path / "prices.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"TACHOGRAPH_PRICES: .* expected the path of a TOML file of tables by model: "
    ):
        Config.read(environ={"TACHOGRAPH_PRICES": str(file)}, directory=tmp_path)


def test_the_stores_default_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Asked for without a path, a store is among the user's data."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for word in ("1", "true", "ON"):
        found = Config.read(environ={"TACHOGRAPH_STORE": word}, directory=tmp_path).store
        assert found is not None
        assert ("tachograph", "store.db") == Path(found).parts[-2:]
    assert None is Config.read({"store": False}, environ={}, directory=tmp_path).store


def test_a_stores_path_stays_what_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path is of the directory the program was started in, and a tilde of its user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = [Config.read({"store": path}, environ={}).store for path in ("a.db", "~/a.db")]

    assert [str(tmp_path / "a.db")] * 2 == paths or os.name == "nt"
