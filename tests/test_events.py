"""What only the program knows: each function is an entry, a log event and a copy on the span, with its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from support.records import EMITTED
from tachograph import events, names
from tachograph.clip import digest
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.testing import Capture

HEAD = {"timestamp", "event_id", "trace_id", "span_id", "user_id"}

SAID: list[tuple[Callable[[], None], dict[str, Any]]] = [
    (
        lambda: events.session_created("s", agent_type="helper"),
        {"event_type": "session_created", "critical": False, "session_id": "s", "agent_type": "helper"},
    ),
    (
        lambda: events.session_updated("s", field="title"),
        {"event_type": "session_updated", "critical": False, "session_id": "s", "field": "title"},
    ),
    (
        lambda: events.session_deleted("s"),
        {"event_type": "session_deleted", "critical": True, "session_id": "s"},
    ),
    (
        lambda: events.message_added("s", role="user", content={"text": "hello"}, length=5),
        {
            "event_type": "message_added",
            "critical": False,
            "session_id": "s",
            "role": "user",
            "content_names": ["text"],
            "content_digest": digest({"text": "hello"}),
            "length": 5,
        },
    ),
    (
        lambda: events.agent_registered("coder", version=2),
        {"event_type": "agent_registered", "critical": False, "agent_type": "coder", "version": 2},
    ),
    (
        lambda: events.agent_switched("a", "b", "needs code", confidence=0.9, session_id="s", correlation_id="r"),
        {
            "event_type": "agent_switched",
            "critical": True,
            "session_id": "s",
            "correlation_id": "r",
            "from_agent": "a",
            "to_agent": "b",
            "reason": "needs code",
            "confidence": 0.9,
        },
    ),
    (lambda: events.system_startup(port=80), {"event_type": "system_startup", "critical": False, "port": 80}),
    (events.system_shutdown, {"event_type": "system_shutdown", "critical": False}),
    (
        lambda: events.threshold_exceeded("cost", 2.0, 1.0, session_id="s"),
        {
            "event_type": "threshold_exceeded",
            "critical": True,
            "session_id": "s",
            "metric": "cost",
            "value": 2.0,
            "limit": 1.0,
        },
    ),
]


@pytest.mark.parametrize(("say", "expected"), SAID, ids=[expected["event_type"] for _, expected in SAID])
def test_an_event_is_an_entry_with_its_fields(
    captured: Capture, say: Callable[[], None], expected: dict[str, Any]
) -> None:
    """Each function is one entry of the audit log, with the fields it was given and no others."""
    say()
    (entry,) = captured.ledger.audit_log()
    aside = HEAD if "session_id" in expected else {*HEAD, "session_id"}
    assert expected == {name: value for name, value in entry.items() if name not in aside and value is not None}


@pytest.mark.parametrize(("say", "expected"), SAID, ids=[expected["event_type"] for _, expected in SAID])
def test_an_event_is_sent_as_it_is_kept(captured: Capture, say: Callable[[], None], expected: dict[str, Any]) -> None:
    """The log event and the copy on the current span have the same name and fields as the entry."""
    with tachograph.agent("a"):
        say()
    name = f"tachograph.{expected['event_type']}"
    (entry,) = [e for e in captured.ledger.audit_log() if e["event_type"] == expected["event_type"]]
    (log,) = [log.log_record for log in captured.logs if log.log_record.event_name == name]
    (copy,) = [copy for span in captured.spans for copy in span.events if copy.name == name]
    sent = {key: list(value) if isinstance(value, tuple) else value for key, value in (log.attributes or {}).items()}
    assert dict(copy.attributes or {}).keys() == sent.keys()
    assert entry["event_id"] == sent.pop(names.EVENT_ID)
    assert entry["session_id"] == sent.pop(names.SESSION_ID)
    assert entry["correlation_id"] == sent.pop(names.CORRELATION_ID, None)
    assert sent.items() <= entry.items()
    assert captured.spans_only.audit_log(event_type=expected["event_type"])[0]["event_id"] == entry["event_id"]


def test_there_is_a_function_for_every_event_that_is_sent() -> None:
    """The module has a public function for each emitted type, and one for any type."""
    functions = {name for name, value in vars(events).items() if getattr(value, "__module__", "") == events.__name__}
    assert {name for name in functions if name[0] != "_"} == {*EMITTED, "emit"}


def test_a_switch_that_is_told_counts(captured: Capture) -> None:
    """A hand-over told as an event is counted in its session."""
    with tachograph.session("s"):
        events.agent_switched("a", "b")
        tachograph.switch("c", source="b")
        with tachograph.agent("d"):
            tachograph.switch("e", reason="why", confidence=1)
    assert {"a_to_b": 1, "b_to_c": 1, "d_to_e": 1} == captured.ledger.session_metrics("s").switches


def test_a_deleted_session_is_listed_no_more(captured: Capture) -> None:
    """A session said to be deleted says so, and is not among the sessions."""
    for session_id in ("a", "b"):
        events.session_created(session_id)
    events.session_deleted("a")
    assert ("deleted", ["b"]) == (captured.ledger.session_metrics("a").status, captured.ledger.sessions())


def test_an_event_belongs_to_what_is_around(captured: Capture) -> None:
    """Session, request and user are those of the code that calls, unless others are given."""
    with tachograph.session("s", user_id="ada", correlation_id="r"):
        events.system_startup()
        events.emit("message_added", session_id="t")
        events.emit("message_added", {"role": "user"}, correlation_id="q", user_id="bob")
    assert [("s", "r"), ("t", None), ("s", "q")] == [
        (entry["session_id"], entry["correlation_id"]) for entry in captured.ledger.audit_log()
    ]
    assert ["ada", None, "bob"] == [record.user_id for record in captured.ledger.records()]


def test_a_type_that_does_not_exist_is_refused(captured: Capture) -> None:
    """The error names the type and those there are."""
    with pytest.raises(ValueError, match="event_type='lunch': no such type; there are: session_created, "):
        events.emit("lunch")
    assert [] == captured.ledger.audit_log()


def test_content_is_outlined_unless_captured() -> None:
    """What people said is kept as names and a digest, and whole where its capture is on."""
    for setting, expected in (("no_content", False), ("event_only", True)):
        with capture(capture_content=setting) as captured:
            events.message_added("s", role="user", content="canary")
            texts = str(captured.ledger.audit_log()), str(captured.logs[0].log_record.attributes)
        assert [expected] * 2 == ["canary" in text for text in texts]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("api_key=sk-abcdefghijkl", "api_key=[redacted]"),
        ("ü\ud800", "ü?"),
        (2**70, 2**70),
        (float("inf"), float("inf")),
        ([1, "a"], [1, "a"]),
        (object(), "<object>"),
        ({"password": "x"}, {"password": "[redacted]"}),
    ],
)
def test_any_value_can_be_said(captured: Capture, value: Any, expected: Any) -> None:
    """Values are plain and without credentials in the entry, and such as every backend holds in the log event."""
    events.session_updated("s", value=value)
    assert expected == captured.ledger.audit_log()[0]["value"]
    sent = captured.logs[0].log_record.attributes["value"]
    assert type(sent) in (str, float)


def test_nothing_is_said_while_disabled(captured: Capture) -> None:
    """While recording is off an event leaves nothing, and raises nothing."""
    tachograph.disable()
    events.session_created("s")
    tachograph.switch("a", source="b")
    tachograph.enable()
    assert ([], ()) == (captured.ledger.audit_log(), captured.logs)


def test_nothing_is_recorded_where_settings_say_so() -> None:
    """With ``enabled`` off nothing said, asked or done by hand is recorded, and ``enable()`` does not change that."""
    with capture(enabled=False) as captured:
        tachograph.enable()
        events.session_created("s")
        with tachograph.task("t"), tachograph.agent("a"):
            tachograph.request_approval(tool_name="t").decide("APPROVE")
        tachograph.tool(len)([])
        tachograph.record_llm_call("m", 1, 2)
        assert (0, [], ()) == (captured.ledger.stats()["records"], tachograph.approvals(), captured.spans)
