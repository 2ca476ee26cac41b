"""What happens at a moment, as an event: whose it is, and where it happened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from tachograph import names
from tachograph.content import plain_payload
from tachograph.records import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

    from tachograph.content import Capturing
    from tachograph.context import Scope
    from tachograph.records import Operation


def reported(
    event_type: str,
    payload: Mapping[str, Any],
    scope: Scope,
    *,
    base: Context,
    moment_ns: int,
    capturing: Capturing | None,
) -> Event:
    """The event that a program reports.

    Args:
        event_type: one of :data:`tachograph.names.EVENTS`.
        payload: the fields of that type; of content only an outline is kept, unless it is captured.
        scope: whose it is.
        base: where it happened: on the span that is current there; in an operation that has none, on that.
        moment_ns: when, in nanoseconds since the epoch.
        capturing: what content is captured, if any is.
    """
    around, operation = trace.get_current_span(base).get_span_context(), scope.operation
    trace_id = span_id = None
    if operation is not None and operation.span is None:  # no SDK is at work
        trace_id, span_id = operation.record.trace_id, operation.record.id
    elif around.is_valid:
        trace_id, span_id = format_trace_id(around.trace_id), format_span_id(around.span_id)
    return Event(
        os.urandom(16).hex(),
        event_type,
        scope.session_id,
        scope.correlation_id,
        moment_ns,
        trace_id,
        span_id,
        scope.user_id,
        plain_payload(payload, capturing),
    )


def switched(run: Operation, base: Context) -> Event:
    """That an agent was handed to, as its run says; ``base`` is where that began.

    Only a log event: the ledger has it from the run.
    """
    around = trace.get_current_span(base).get_span_context()
    return Event(
        id=f"{run.id}:agent_switched",
        type="agent_switched",
        session_id=run.session_id,
        correlation_id=run.correlation_id,
        timestamp_ns=run.start_ns,
        trace_id=run.trace_id,
        span_id=format_span_id(around.span_id) if around.is_valid else None,
        user_id=run.user_id,
        payload={
            "from_agent": run.attributes[names.SWITCH_FROM],
            "to_agent": run.attributes.get(names.SWITCH_TO, run.name),
            "reason": run.attributes.get(names.SWITCH_REASON),
            names.OPERATION_ID: run.id,
        },
    )
