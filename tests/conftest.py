"""What every test may use."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tachograph.testing import Capture, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

# Settings of the machine that runs the tests are none of theirs, and nothing here is to reach for a hub.
for name in [name for name in os.environ if name.startswith(("OTEL_", "TACHOGRAPH_", "OPENAI_", "COLUMNS", "LINES"))]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"
_data = tempfile.TemporaryDirectory(prefix="tachograph-tests-")
os.environ["XDG_DATA_HOME"] = _data.name  # nor is the store of whoever runs them

# How long a machine takes is no law.
settings.register_profile("tachograph", parent=settings(), deadline=None)
settings.load_profile("tachograph")

# A shell's background job ignores interrupts, and so would every program that is started and interrupted here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def captured() -> Iterator[Capture]:
    """Everything recorded during the test, by a strict guard."""
    with capture() as everything:
        yield everything


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: what is packed holds the second it was packed in, and each worker packs its own."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes may take them."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(0))
