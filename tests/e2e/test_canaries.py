"""With content off, what people and programs say is nowhere but in the local record of an approval."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import tachograph
from support.agents import Lookup, Say, answer, caller
from tachograph import events, names
from tachograph.records import Event, Operation
from tachograph.testing import capture

if TYPE_CHECKING:
    import pytest

PROMPT, ARGUMENT, RESULT, ENVIRONMENT = (f"canary-{word}" for word in ("prompt", "argument", "result", "environment"))
CANARIES = (PROMPT, ARGUMENT, RESULT, ENVIRONMENT)


@tachograph.tool
def echo(argument: str) -> str:
    """A tool that is given and gives something."""
    return f"{argument} {RESULT}"


def work() -> None:
    """A framework's agent, a home-made one, a human and events, all of which are told secrets."""
    caller(Say(calls=(("lookup", {"key": ARGUMENT}),)), answer(RESULT), tools=[Lookup()], name="boss").run(PROMPT)
    with tachograph.session("s"), tachograph.task("t", description=PROMPT), tachograph.agent("home-made"):
        with tachograph.model("m") as call:
            call.usage(input_tokens=1, output_tokens=1)
        echo(ARGUMENT)
        asked = tachograph.request_approval(tool_name="echo", arguments={"text": ARGUMENT, "password": "hunter2"})
        asked.decide("EDIT", modified_arguments={"text": PROMPT})
        events.message_added("s", role="user", content=PROMPT)
        events.emit("tool_approval_required", {"tool_name": "echo", "call_id": "c", "arguments": {"text": ARGUMENT}})
        events.hitl_decision_made("c", "EDIT", modified_args={"text": PROMPT})


def local(record: Any) -> bool:
    """Whether a record is that of an approval, or of a task, which says here what it is about."""
    if isinstance(record, Event):
        return names.EVENTS[record.type][0] == "hitl" or record.type == "tool_approval_required"
    return isinstance(record, Operation) and record.kind in ("approval", "task")


def test_what_is_said_stays_where_it_was_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Prompts, arguments, results and variables are on no span, metric, log event or line, and in no other record."""
    monkeypatch.setenv("SECRET_OF_OURS", ENVIRONMENT)
    heard: list[dict[str, Any]] = []
    with (
        caplog.at_level(logging.DEBUG, "tachograph"),
        capture() as captured,
        tachograph.subscribe(heard.append, category="session"),
    ):
        work()
        everything = [
            *(f"{span.to_json()}" for span in captured.spans),
            *(f"{log.log_record.body} {log.log_record.attributes}" for log in captured.logs),
            str(captured.points()),
            *(record.getMessage() for record in caplog.records if record.name.startswith("tachograph")),
            *(str(record) for record in captured.ledger.records() if not local(record)),
            str([captured.ledger.session_metrics(session_id).to_dict() for session_id in captured.ledger.sessions()]),
            str(captured.ledger.metrics()),
            str(tachograph.stats()),
        ]
        kept = str(tachograph.approvals())
    assert len(everything) > 30
    assert [] == [text for text in [*everything, str(heard)] if any(canary in text for canary in CANARIES)]
    assert (True, True, False) == (ARGUMENT in kept, PROMPT in kept, "hunter2" in kept)
