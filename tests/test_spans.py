"""Spans as values, and attributes of the types that are expected of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from tachograph import names
from tachograph.spans import ReadEvent, ReadSpan, from_sdk, typed
from tachograph.testing import OrderedIds


@pytest.mark.parametrize("remote", [False, True])
def test_a_span_of_the_sdk_is_the_same_as_a_value(remote: bool) -> None:  # noqa: FBT001 - it is the case
    """Ids are hex digits, the kind a word, and the status, the events and the parent are what the span has."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=OrderedIds(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    around = set_span_in_context(NonRecordingSpan(SpanContext(7, 9, is_remote=remote, trace_flags=TraceFlags(1))))
    span = provider.get_tracer("host").start_span("work", around, SpanKind.CLIENT, {"a": 1}, start_time=5)
    span.add_event("noted", {"b": True}, 6)
    span.set_status(Status(StatusCode.ERROR, "broken"))
    span.end(8)
    provider.shutdown()

    assert ReadSpan(
        scope="host",
        trace_id=f"{7:032x}",
        span_id=f"{1:016x}",
        parent_id=f"{9:016x}",
        name="work",
        kind="CLIENT",
        start_ns=5,
        end_ns=8,
        failed=True,
        status_text="broken",
        attributes={"a": 1},
        events=(ReadEvent("noted", 6, {"b": True}),),
        remote_parent=remote,
    ) == from_sdk(exporter.get_finished_spans()[0])


UNKNOWN: Any = object()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (names.SESSION_ID, "s", "s"),
        (names.SESSION_ID, 42, "42"),
        (names.SESSION_ID, True, "true"),
        (names.SESSION_ID, None, UNKNOWN),
        (names.TOOL_ARGUMENTS, {"a": ["\u00e9"]}, '{"a":["\u00e9"]}'),
        (names.INPUT_TOKENS, 12, 12),
        (names.INPUT_TOKENS, "12", 12),
        (names.INPUT_TOKENS, str(2**63 - 1), 2**63 - 1),
        (names.INPUT_TOKENS, 12.0, 12),
        (names.INPUT_TOKENS, "12.0", 12),
        (names.INPUT_TOKENS, 12.5, UNKNOWN),
        (names.INPUT_TOKENS, True, UNKNOWN),
        (names.INPUT_TOKENS, "many", UNKNOWN),
        (names.INPUT_TOKENS, "9" * 5_000, UNKNOWN),
        (names.INPUT_TOKENS, math.inf, UNKNOWN),
        (names.INPUT_TOKENS, 1e300, UNKNOWN),
        (names.ACTIVE_SECONDS, 0.5, 0.5),
        (names.ACTIVE_SECONDS, 1, 1.0),
        (names.ACTIVE_SECONDS, "1e-3", 0.001),
        (names.ACTIVE_SECONDS, math.nan, UNKNOWN),
        (names.ACTIVE_SECONDS, "inf", UNKNOWN),
        (names.ACTIVE_SECONDS, 1e300, UNKNOWN),
        (names.ACTIVE_SECONDS, 10**400, UNKNOWN),
        (names.ACTIVE_SECONDS, [], UNKNOWN),
        (names.NESTED, True, True),
        (names.NESTED, " True", True),
        (names.NESTED, "false", False),
        (names.NESTED, "yes", UNKNOWN),
        (names.NESTED, 1, UNKNOWN),
        (names.RECOVERED, ("A", "B"), ("A", "B")),
        (names.RECOVERED, ["A", None, 1, {"b": 2}], ("A", "1", '{"b":2}')),
        (names.RECOVERED, '["A","B"]', ("A", "B")),
        (names.RECOVERED, "A", ("A",)),
        (names.RECOVERED, "[A", ("[A",)),
        (names.RECOVERED, "[" * 100_000, ("[" * 100_000,)),
        (names.RECOVERED, 1, UNKNOWN),
        ("host.list", ["a", 1], ("a", 1)),
        ("host.text", "12", "12"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_attributes_are_of_the_types_in_the_table(name: str, value: Any, expected: Any) -> None:
    """What can be of the type the table gives is, what cannot is left out, and unknown attributes stay as they are."""
    found = typed({name: value})

    assert ({} if expected is UNKNOWN else {name: expected}) == found
    assert type(expected) is type(found.get(name, UNKNOWN))
