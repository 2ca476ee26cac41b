"""Who stands by because settings say so."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph.config import Config
from tachograph.runtime.attending import attendants
from tachograph.testing import capture


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["Lines", "EnvironmentNote"]),
        ({"environment": False}, ["Lines"]),
        (
            {"code_changes": True, "thresholds": {"cost": 1}},
            ["Lines", "EnvironmentNote", "CodeChanges", "Thresholds"],
        ),
    ],
)
def test_settings_say_who_stands_by(settings: dict[str, Any], expected: list[str]) -> None:
    """Each of those asked for is there once, always in the same order."""
    with capture() as captured:
        found = attendants(Config.read(settings, environ={}), captured.ledger, captured.runtime.recorder)

        assert expected == [type(each).__name__ for each in found]
