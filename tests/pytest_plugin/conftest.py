"""Runs of pytest inside the tests' own process, which are to leave it as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tachograph
from tachograph import runtime
from tachograph.probes import when_imported
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package", autouse=True)
def _everything_loaded() -> None:
    """What is loaded late is loaded before the first run inside.

    Such a run forgets the modules that it is the first to load, and takes away the finders that it is the first to set:
    others would then have modules twice, or wait for ever for one to be imported.
    """
    import support.agents  # noqa: F401, PLC0415
    from tachograph.pytest_plugin import recorded  # noqa: F401, PLC0415

    when_imported("a module that nobody has", lambda _: None)
    with capture(), tachograph.model("gpt-4.1", provider="openai") as call:
        call.usage(input_tokens=1)


@pytest.fixture
def inside(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.Pytester]:
    """Runs in this process, in which nobody has started Tachograph; warnings are errors."""
    before = runtime.install(None)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider -p no:schemathesis -W error")
    yield pytester
    runtime.stop()
    runtime.install(before)
