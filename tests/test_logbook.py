"""Log events, and their copies on spans."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context

from support.records import MOMENT, event, operation
from tachograph import names
from tachograph.guard import Guard
from tachograph.logbook import Logbook


class Written:
    """What a logbook writes: log records, and events on the span around."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self._spans = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._span = provider.get_tracer("test").start_span("around")
        self.context = set_span_in_context(self._span, Context())

    def book(self, *, listened: bool = True, copying: bool = True) -> Logbook:
        """One that writes here."""
        guard = Guard(strict=True)
        return Logbook(self.sent.append, lambda: listened, guard, capturing=None, copying=copying, clock=lambda: MOMENT)

    def copies(self) -> list[tuple[str, dict[str, Any]]]:
        """Events on the span, which is over now."""
        self._span.end()
        (span,) = self._spans.get_finished_spans()
        return [(copy.name, dict(copy.attributes or {})) for copy in span.events]


@pytest.fixture
def written() -> Written:
    """A place to write to."""
    return Written()


def test_an_event_is_a_log_event_and_a_copy(written: Written) -> None:
    """What happened is sent with its ids and payload, and stands on the span around it with the same."""
    written.book().event(event(1, "session_created", user="ada"), written.context)

    (record,) = written.sent
    attributes = {names.EVENT_ID: "event-1", names.SESSION_ID: "s", names.CORRELATION_ID: "r", "user": "ada"}
    assert ("tachograph.session_created", MOMENT, attributes) == (
        record.event_name,
        record.timestamp,
        dict(record.attributes),
    )
    assert [("tachograph.session_created", attributes)] == written.copies()


@pytest.mark.parametrize(("listened", "copying"), [(True, False), (False, True), (False, False)])
def test_what_nobody_wants_is_not_written(written: Written, listened: bool, copying: bool) -> None:  # noqa: FBT001 - cases
    """Where log events go nowhere none is made, and spans carry none where settings say so."""
    written.book(listened=listened, copying=copying).event(event(1, "session_created"), written.context)

    assert (listened, copying) == (len(written.sent) == 1, len(written.copies()) == 1)


def test_an_exception_of_a_model_call_is_a_warning(written: Written) -> None:
    """It has the type, the text and the ids, by the conventions' name."""
    call = operation(1, outcome="error", error_type="TimeoutError", error_message="too slow")
    written.book().model_failed(call, written.context)

    (record,) = written.sent
    assert (names.MODEL_EXCEPTION, "WARN", call.end_ns) == (
        record.event_name,
        record.severity_number.name,
        record.timestamp,
    )
    assert {"exception.type": "TimeoutError", "exception.message": "too slow"}.items() <= record.attributes.items()


def test_the_head_of_the_audit_chain_is_sent(written: Written) -> None:
    """Whoever collects the logs learns where the chain stands."""
    written.book().audit_head("w", 7, "ab", keyed=True)

    (record,) = written.sent
    assert (names.AUDIT_HEAD, MOMENT) == (record.event_name, record.timestamp)
    assert {
        names.AUDIT_WRITER: "w",
        names.AUDIT_COUNT: 7,
        names.AUDIT_LINK: "ab",
        names.AUDIT_KEYED: True,
    } == dict(record.attributes)
