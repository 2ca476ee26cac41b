"""What all of these tests begin with: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tachograph import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _nothing_started() -> Iterator[None]:
    """A process in which nobody has started Tachograph yet; whoever runs the tests gets theirs back."""
    before = runtime.install(None)
    yield
    runtime.stop()
    runtime.install(before)
