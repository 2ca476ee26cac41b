"""Three sessions with everything a page can show: a good one, one that went wrong, one with hostile names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.records import event, opened, operation
from tachograph import names
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from tachograph.records import Record

HOSTILE = "\x1b[31mred\x1b[0m [bold]\u202eevil"
"""A name that would colour, mark up and turn around what stands beside it."""


def _tokens(prompt: int, completion: int, **more: int) -> dict[str, int]:
    return {names.INPUT_TOKENS: prompt, names.OUTPUT_TOKENS: completion, **more}


def _team(first: int, session: str, request: str, *, at: float, slower: float = 1, fails: bool = False) -> list[Record]:
    """A boss asks a clerk, who looks something up; if it ``fails``, so does everybody."""
    wrong = (
        {"outcome": "error", "error_type": "TimeoutError", "error_message": "no answer\nwithin 30 s"} if fails else {}
    )
    within = {"session": session, "request": request, "user_id": "ada"}
    switch = {names.NESTED: True, names.SWITCH_FROM: "boss", names.SWITCH_TO: "clerk"}
    reasoned = {names.CACHED_TOKENS: 1_024, names.REASONING_TOKENS: 64}
    return [
        operation(
            first + 2,
            "model",
            "big",
            at=at + 50,
            took=800 * slower,
            parent=first,
            **within,
            attributes=_tokens(1_500, 120, **reasoned, **{names.RESPONSE_TOOL_CALLS: 1, names.REQUEST_MESSAGES: 2}),
        ),
        operation(
            first + 4,
            "model",
            "小さい",
            at=at + 1_000,
            took=300 * slower,
            parent=first + 3,
            agent="clerk",
            **within,
            attributes=_tokens(700, 40, **{names.REQUEST_STREAM: True}),
        ),
        operation(
            first + 5,
            "tool",
            "search",
            at=at + 1_400,
            took=250 * slower,
            parent=first + 3,
            agent="clerk",
            **within,
            attributes={names.TOOL_CALL_ID: "call_1"},
            **wrong,
        ),
        operation(
            first + 6,
            "tool",
            "delete_all",
            at=at + 1_700,
            took=0,
            parent=first + 3,
            agent="clerk",
            **within,
            outcome="refused",
            error_type="UnknownTool",
        ),
        operation(
            first + 3,
            "agent",
            "clerk",
            at=at + 950,
            took=900 * slower,
            parent=first,
            agent="boss",
            **within,
            attributes={**switch, names.RECOVERED: ("ValueError",)},
            **wrong,
        ),
        operation(
            first,
            "agent",
            "boss",
            at=at,
            took=2_400 * slower,
            **within,
            attributes={names.HANDED_UP: True} if fails else {},
            **wrong,
        ),
    ]  # fmt: skip - one operation a paragraph


STORY: list[Record] = [
    *_team(10, "chat-42", "request-1", at=0),
    *_team(20, "chat-43", "request-2", at=60_000, slower=1.5, fails=True),
    event(31, "threshold_exceeded", at=70_000, session="chat-43", request=None, figure="tokens", limit=1_000),
    operation(40, "agent", HOSTILE, at=80_000, took=1_000, session="f00d", request="request-3"),
    operation(
        41,
        "tool",
        HOSTILE,
        at=80_100,
        took=100,
        session="f00d",
        request="request-3",
        parent=40,
        outcome="error",
        error_type=HOSTILE,
        error_message=HOSTILE,
    ),
]  # fmt: skip - likewise

UNDER_WAY = opened(operation(50, "model", "big", at=90_000, session="chat-42", request="request-4"))
"""A call that has not ended."""


def write_story(path: Path) -> Path:
    """A store with all of it; gives its path."""
    writer = Writer(path, program="story")
    writer.append(STORY)
    writer.close()
    return path
