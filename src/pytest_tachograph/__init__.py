"""The door of Tachograph's pytest plugin: every pytest run in an environment with Tachograph comes through here.

So it is a package of its own, as importing ``tachograph`` loads OpenTelemetry, and it does nothing where pytest is too
old. PYTEST_DONT_REWRITE: it asserts nothing.
"""

from __future__ import annotations

from typing import Final

import pytest

FIXTURE: Final = "tachograph_session"
BUDGET: Final = "tachograph_budget"
BASELINE: Final = "tachograph_baseline"

_OLDEST: Final = (8, 0)
"""Version of pytest whose hooks may wrap others as ours do."""


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let in what there is, with its options."""
    if getattr(pytest, "version_tuple", ())[:2] >= _OLDEST:
        from pytest_tachograph import hooks  # noqa: PLC0415 - older versions of pytest cannot load it

        pluginmanager.register(hooks, "tachograph-hooks")
