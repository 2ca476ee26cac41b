"""Spans of other instrumentations that are worth a place: as operations like our own.

An agent run, a model call or a tool call by anybody's instrumentation is counted as ours are; a database query and an
HTTP request have a place on the timeline. What such a span says :mod:`tachograph.dialects` understands; whether that is
told of already :mod:`tachograph.repeats` says. Session, request, user and agent are those of what is around, where a
span does not say; and what a model call does not say of itself, those in it fill in.

What is around a span, :mod:`tachograph.processors` has stamped on it when it started, if it was of ours; what of others
is around and inside :mod:`tachograph.traces` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.dialects import mcp, understood
from tachograph.dialects.said import IDS
from tachograph.kin import FILLED_IN, NOTHING, NOWHERE, Around, Told, Within, inside_of
from tachograph.records import Operation
from tachograph.repeats import repeats
from tachograph.spans import typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.cost import Prices
    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

UNATTRIBUTED: Final = "unattributed"
"""Session of spans that nobody put into one."""

_STAMPS: Final = (*IDS, names.RUN_BY, names.PARENT_ID, names.COUNTED)
_NOTHING_SAID: Final[Mapping[str, Any]] = {}


def told(span: ReadSpan) -> Told:
    """What somebody else's ended span tells by itself."""
    said = understood(span)
    stamps = typed({name: span.attributes[name] for name in _STAMPS if name in span.attributes})
    return Told(
        span._replace(attributes=_NOTHING_SAID, events=(), status_text=None),
        said,
        {**stamps, **{name: said.facts[name] for name in IDS if name in said.facts}} if said is not None else stamps,
        _error_type(span) if span.failed and said is not None else None,
    )


def told_by_us(span: ReadSpan, operation: Operation) -> Told:
    """What a span of ours tells those around it."""
    ours = operation._replace(attributes={})
    return Told(span._replace(attributes=_NOTHING_SAID, events=(), status_text=None), None, _NOTHING_SAID, None, ours)


def operation_from_foreign(
    span: ReadSpan, prices: Prices | None = None, around: Around = NOWHERE, within: Within = NOTHING
) -> Operation | None:
    """The operation that somebody else's ended span tells of; None for ours, and for one that is worth no place.

    Args:
        span: it, with what was stamped on it.
        prices: to say what a model call costs.
        around: what it happened in.
        within: what happened in it.
    """
    if span.scope == names.SCOPE or span.end_ns is None:
        return None
    operation = operation_of(told(span), around, within)
    return None if operation is None else priced(operation, prices)


def priced(operation: Operation, prices: Prices | None) -> Operation:
    """The same, with what it costs where it is a model call whose price is known."""
    if operation.kind != "model" or prices is None:
        return operation
    amount = prices.amount(operation.attributes, operation.start_ns)
    if amount is None:
        return operation
    return operation._replace(attributes={**operation.attributes, names.COST: amount})


def operation_of(tale: Told, around: Around, within: Within) -> Operation | None:
    """The operation that a span tells of, where that is counted nowhere else."""
    span, said, stamps, error_type, _ = tale
    if said is None or said.kind is None or span.end_ns is None or repeats(tale, said, around, within):
        return None
    kind, place = said.kind, inside_of(tale, around)
    # The client's side of a call has got an answer, whatever that says.
    refused = within.refused if said.dialect == mcp.NAME else None
    failed = span.failed or refused is not None
    more = _more(said, error_type, failed=span.failed, place=place, within=within)
    if kind == "other" and place.session_id is None:
        return None  # a service's queries in nobody's name would push out what agents did
    return Operation(
        id=span.span_id,
        kind=kind,
        name=_name(said, more),
        session_id=place.session_id or UNATTRIBUTED,
        # Where nobody names a request it is the trace; queries are too many to be requests of their own.
        correlation_id=place.correlation_id or ("" if kind == "other" else span.trace_id),
        start_ns=span.start_ns,
        end_ns=max(span.start_ns, span.end_ns),
        outcome="error" if failed else "ok",
        error_type=error_type or refused,
        agent=place.agent or (said.facts.get(names.AGENT_NAME) if kind in _BY_AGENTS else None),
        parent_id=around.nearest.id if around.nearest else stamps.get(names.PARENT_ID) or span.parent_id,
        trace_id=span.trace_id,
        user_id=place.user_id,
        attributes={
            names.TOLD_BY: said.dialect,
            **{name: value for name, value in said.facts.items() if name not in _STAMPS or name in _ALSO_KEPT},
            **more,
        },
    )


_BY_AGENTS: Final = frozenset({"model", "tool"})
_ALSO_KEPT: Final = frozenset({names.CONVERSATION_ID})


def _more(said: Said, error_type: str | None, *, failed: bool, place: Around, within: Within) -> dict[str, Any]:
    """What only those around and inside can say."""
    if said.kind == "model":
        return {name: within.call[name] for name in FILLED_IN if name in within.call and name not in said.facts}
    if said.kind != "agent":
        return {}
    return {
        **({names.NESTED: True} if place.in_run else {}),
        **({names.TASK_ID: place.task_id} if place.task_id is not None and not place.in_run else {}),
        **({names.HANDED_UP: True} if failed and error_type in within.failures else {}),
    }


def _name(said: Said, more: Mapping[str, Any]) -> str:
    if said.kind != "model" or names.REQUEST_MODEL in said.facts or names.RESPONSE_MODEL in said.facts:
        return said.name
    return more.get(names.REQUEST_MODEL) or more.get(names.RESPONSE_MODEL) or said.name


def _error_type(span: ReadSpan) -> str | None:
    events = (typed(event.attributes).get(names.EXCEPTION_TYPE) for event in span.events)
    said = typed({names.ERROR_TYPE: span.attributes.get(names.ERROR_TYPE)})
    return said.get(names.ERROR_TYPE) or next(filter(None, events), None)
