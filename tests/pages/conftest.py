"""Sessions to show: a good one, one that went wrong, one with hostile names, and what waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.records import event, ledger_of, operation
from support.story import STORY, UNDER_WAY
from tachograph import names
from tachograph.pages.frame import frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.ledger import Ledger
    from tachograph.pages.frame import Frame

ASKED = {
    names.TOOL_CALL_ID: "call_7",
    names.APPROVAL_ARGUMENTS: '{"path":"a.py","text":"x\\ny"}',
    names.APPROVAL_REASON: "writes <files>",
}
EDITED = {"changed": {"path": {"from": "a.py", "to": "b.py"}}}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on the wall shows UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def source() -> Ledger:
    """The story, with a call under way, a question to a human, and a decision."""
    within = {"session": "chat-42", "request": "request-4"}
    return ledger_of(
        [
            *STORY,
            UNDER_WAY,
            operation(60, "approval", "write_file", at=91_000, took=None, outcome=None, attributes=ASKED, **within),
            event(
                61, "hitl_decision_made", at=92_000, tool_name="write_file", decision="EDIT", changes=EDITED, **within
            ),
        ]
    )


@pytest.fixture
def around(source: Ledger) -> Frame:
    """What is around each page."""
    return frame(source, "sessions")
