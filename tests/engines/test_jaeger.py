"""What Jaeger has of the examples is what their own ledgers have: the same spans, tree, names, status and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.engines import read, wait_for
from tachograph import names
from tachograph.records import Event, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = [pytest.mark.engines, pytest.mark.parametrize("example", ["quickstart", "agent_runtime", "sop_agents"])]

INTERNAL, CLIENT = 1, 3
ERROR = 2
WORDS = {
    "task": "invoke_workflow",
    "agent": "invoke_agent",
    "plan": "plan",
    "model": "chat",
    "tool": "execute_tool",
    "code": "execute_code",
    "approval": "approval",
}
UNNAMED = {"code"}
"""Kinds whose spans have no name besides."""


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in span.get("attributes", ())}


def operation_id(span: dict[str, Any]) -> str:
    """Id of the operation that a span is of: its own, but for an approval, which another process may have ended."""
    return attributes(span).get(names.OPERATION_ID, span["spanId"])


@pytest.fixture
def ledger(example, examples) -> dict[str, Any]:
    """All records of an example's own store, those of deleted sessions too, by id."""
    source = examples[example].source
    sessions = [metrics.session_id for metrics in source.session_list(deleted=True)]
    return {record.id: record for session in sessions for record in source.records(session)}


@pytest.fixture
def stored(example, backends, examples, ledger) -> dict[str, dict[str, Any]]:
    """Our spans of an example in Jaeger, by operation."""
    count = sum(isinstance(record, Operation) for record in ledger.values())

    def ours() -> list[dict[str, Any]]:
        found = [span for span in backends.jaeger.traces(example) if span["scope"] == names.SCOPE]
        return found if len(found) >= count else []

    spans = wait_for(f"{count} spans of {example} are in Jaeger", ours)
    assert len(spans) == len({span["spanId"] for span in spans})
    return {operation_id(span): span for span in spans}


def operations(ledger: dict[str, Any]) -> dict[str, Operation]:
    return {id_: record for id_, record in ledger.items() if isinstance(record, Operation)}


def name_of(operation: Operation) -> str:
    if operation.outcome == "refused":
        return "refused_tool"
    nameless = operation.kind in UNNAMED or (operation.kind in ("agent", "plan") and not agent_named(operation))
    return WORDS[operation.kind] + ("" if nameless else f" {operation.name}")


def agent_named(operation: Operation) -> bool:
    return names.AGENT_NAME in operation.attributes


def test_spans_are_the_ledgers_operations(example, ledger, stored):
    """Each operation is one span: its name, kind, trace, parent, times to the nanosecond, status and message."""
    expected = {
        id_: {
            "name": name_of(operation),
            "kind": CLIENT if operation.kind == "model" else INTERNAL,
            "trace": operation.trace_id,
            "parent": operation.parent_id,
            "start": operation.start_ns,
            "end": operation.end_ns,
            "status": ERROR if operation.outcome == "error" else 0,
            "message": operation.error_message if operation.outcome == "error" else None,
        }
        for id_, operation in operations(ledger).items()
    }
    found = {
        id_: {
            "name": span["name"],
            "kind": span["kind"],
            "trace": span["traceId"],
            "parent": span.get("parentSpanId"),
            "start": int(span["startTimeUnixNano"]),
            "end": int(span["endTimeUnixNano"]),
            "status": span["status"].get("code", 0),
            "message": span["status"].get("message"),
        }
        for id_, span in stored.items()
    }

    assert expected == found


def test_facts_are_the_ledgers(example, ledger, stored):
    """Session, request, user, error type, outcome and every fact that is sent are on the span."""
    for id_, operation in operations(ledger).items():
        there = attributes(stored[id_])
        assert operation.session_id == there[names.SESSION_ID]
        assert operation.correlation_id == there[names.CORRELATION_ID]
        assert operation.user_id == there.get(names.USER_ID)
        assert operation.error_type == there.get(names.ERROR_TYPE)
        outcome = there.get(names.OUTCOME) or ("error" if stored[id_]["status"].get("code") == ERROR else "ok")
        assert operation.outcome == outcome
        sent = {
            name: value
            for name, value in operation.attributes.items()
            if not (name in names.ATTRIBUTES and names.ATTRIBUTES[name].local)
        }
        assert sent.keys() <= there.keys()
        for name, value in sent.items():
            if type(value) in (int, float):  # OTLP-JSON has large numbers as text
                assert value == type(value)(there[name]), name


def test_the_tree_is_the_timelines(example, examples, ledger, stored):
    """Sorted by start, each below its parent, the spans are the ledger's timeline of each session."""
    spans = sorted(stored.items(), key=lambda item: (int(item[1]["startTimeUnixNano"]), item[0]))
    for session in {operation.session_id for operation in operations(ledger).values()}:
        own = {id_: span for id_, span in spans if attributes(span)[names.SESSION_ID] == session}

        def below(parent: str | None, depth: int, own: dict[str, Any] = own) -> Iterable[tuple[int, str]]:
            for id_, span in own.items():
                above = span.get("parentSpanId")
                if (above if above in own else None) == parent:
                    yield depth, id_
                    yield from below(id_, depth + 1)

        timeline = examples[example].source.timeline(session_id=session)
        assert [(entry.depth, entry.id) for entry in timeline.entries if entry.kind != "event"] == [*below(None, 0)]


def test_events_are_the_audit_logs(example, backends, ledger, stored):
    """Every event that has a span is on it, once, with the id that its log event and its audit entry have."""
    on_spans = {
        attributes(event)[names.EVENT_ID]: event["name"].removeprefix(names.EVENT_PREFIX)
        # An event may be on the span of an HTTP request around us.
        for span in backends.jaeger.traces(example)
        for event in span.get("events", ())
        if event["name"].startswith(names.EVENT_PREFIX)
    }
    logged = {
        attributes(log)[names.EVENT_ID]: log["eventName"].removeprefix(names.EVENT_PREFIX)
        for log in logs(backends, example)
        if log.get("spanId") and names.EVENT_ID in attributes(log)
    }
    kept = {id_: record.type for id_, record in ledger.items() if isinstance(record, Event)}

    assert on_spans
    assert logged == on_spans
    # A hand-over to an agent that is run in this one is told by the run, and so is the entry made of it.
    assert on_spans == {
        **dict.fromkeys(on_spans, "agent_switched"),
        **{id_: kept[id_] for id_ in on_spans.keys() & kept.keys()},
    }
    assert {id_ for id_, record in ledger.items() if isinstance(record, Event) and record.span_id} <= on_spans.keys()


def logs(backends: Any, service: str) -> list[dict[str, Any]]:
    return [
        log
        for document in read(backends.collector.file)
        for resource in document.get("resourceLogs", ())
        if attributes(resource["resource"])["service.name"] == service
        for scope in resource["scopeLogs"]
        for log in scope["logRecords"]
    ]
