"""Events as they are made: whose they are, and where they happened."""

from __future__ import annotations

from types import SimpleNamespace

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext

from support.records import operation
from tachograph import names
from tachograph.context import Scope
from tachograph.moments import reported, switched

SPAN = NonRecordingSpan(SpanContext(trace_id=0xA1, span_id=0xB2, is_remote=False))
WITHIN = trace.set_span_in_context(SPAN, Context())
TRACE_ID, SPAN_ID = f"{0xA1:032x}", f"{0xB2:016x}"
ADA = Scope("s", "c", "ada")


def test_what_is_reported_is_of_its_scope_and_on_the_span_there() -> None:
    """An event has the ids of its scope, those of the span that is current where it happened, and an id of its own."""
    one, other = (
        reported("session_updated", {"status": "idle"}, ADA, base=WITHIN, moment_ns=7, capturing=None) for _ in range(2)
    )

    assert ("session_updated", "s", "c", 7, TRACE_ID, SPAN_ID, "ada", {"status": "idle"}) == one[1:]
    assert 32 == len(one.id) != other.id


def test_what_happens_outside_of_any_span_is_on_none() -> None:
    """Without a span around it an event names no trace, and loses nothing else."""
    event = reported("session_updated", {}, ADA, base=Context(), moment_ns=7, capturing=None)

    assert (None, None, "s", "c") == (event.trace_id, event.span_id, event.session_id, event.correlation_id)


def test_what_happens_where_no_sdk_is_at_work_is_in_its_operation() -> None:
    """An operation without a span has its events by its own id, whatever span of others is around."""
    record = operation(1, "agent", "coder", trace_id=None)
    inside = ADA._replace(operation=SimpleNamespace(record=record, span=None))

    for base in (Context(), WITHIN):
        event = reported("session_updated", {}, inside, base=base, moment_ns=7, capturing=None)
        assert (None, record.id) == (event.trace_id, event.span_id)


def test_content_is_not_kept_unless_it_is_captured() -> None:
    """Of a message that is reported only an outline is in the event."""
    event = reported("message_added", {"content": "a secret"}, ADA, base=WITHIN, moment_ns=7, capturing=None)

    assert "a secret" not in repr(event)


def test_a_switch_says_of_which_run_it_is() -> None:
    """The event of a hand-over is that of the run it began, at its start, so that nobody counts it twice."""
    facts = {names.SWITCH_FROM: "manager", names.SWITCH_TO: "coder", names.SWITCH_REASON: "asked"}
    run = operation(1, "agent", "coder", attributes=facts, user_id="ada")
    event = switched(run, WITHIN)

    assert (f"{run.id}:agent_switched", run.start_ns, SPAN_ID, "ada") == (
        event.id,
        event.timestamp_ns,
        event.span_id,
        event.user_id,
    )
    assert {
        "from_agent": "manager",
        "to_agent": "coder",
        "reason": "asked",
        names.OPERATION_ID: run.id,
    } == event.payload


def test_who_takes_over_is_the_run_that_begins() -> None:
    """Where only the agent that hands over is known, the other is the one whose run begins."""
    run = operation(1, "agent", "coder", attributes={names.SWITCH_FROM: "manager"})

    assert "coder" == switched(run, Context()).payload["to_agent"]
