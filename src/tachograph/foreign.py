"""Spans of other instrumentations that are worth a place: as operations like our own.

An agent run, a model call or a tool call by anybody's instrumentation is counted as ours are; a database query and an
HTTP request have a place on the timeline. What such a span says :mod:`tachograph.dialects` understands; here it is
decided whether that is told of already, and where it belongs:

- The outermost model call is the call. What is told of one inside it fills in what it does not say, and adds nothing.
- What our own hooks recorded wins over what others say of the same.
- A tool call or agent run of which two instrumentations tell, one right inside the other, is the outer one's.
- Session, request, user and agent are those of what is around, where a span does not say.

What is around a span, :mod:`tachograph.processors` has stamped on it when it started, if it was of ours; what of others
is around and inside :mod:`tachograph.traces` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph import names
from tachograph.dialects import understood
from tachograph.dialects.said import IDS, USAGE
from tachograph.records import Operation
from tachograph.spans import typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.cost import Prices
    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

UNATTRIBUTED: Final = "unattributed"
"""Session of spans that nobody put into one."""

HOOKED: Final = frozenset({"smolagents"})
"""Last words of the scopes that others use for frameworks whose calls our own hooks record."""

_STAMPS: Final = (*IDS, names.RUN_BY, names.PARENT_ID, names.COUNTED)
_BOUNDED: Final = frozenset({"agent", "task", "tool"})


class Nearest(NamedTuple):
    """The operation right around a span."""

    id: str
    kind: str
    name: str
    scope: str


class Around(NamedTuple):
    """What is known of what a span happens in.

    ``in_run`` says that it is an agent's run, ``in_call`` that it is a call of a model, which is counted there.
    """

    session_id: str | None = None
    correlation_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    task_id: str | None = None
    in_run: bool = False
    in_call: bool = False
    nearest: Nearest | None = None


class Within(NamedTuple):
    """What is known, when a span has ended, of what happened in it.

    ``ours`` are kinds of operations of ours, ``usage`` the tokens of model calls, ``failures`` the types of errors that
    agent runs ended with; ``counted`` says that a call in it was counted before it could be known to be in one.
    """

    ours: frozenset[str] = frozenset()
    usage: Mapping[str, int] = {}
    failures: frozenset[str | None] = frozenset()
    counted: bool = False


class Told(NamedTuple):
    """What there is to know of a span by itself, none of its content among it."""

    span: ReadSpan
    said: Said | None
    stamps: Mapping[str, Any]
    error_type: str | None = None
    ours: Operation | None = None


NOWHERE: Final = Around()
NOTHING: Final = Within()
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
    if said is None or said.kind is None or span.end_ns is None or _repeats(tale, said, around, within):
        return None
    kind, place = said.kind, inside_of(tale, around)
    if kind == "other" and place.session_id is None:
        return None  # a service's queries in nobody's name would push out what agents did
    return Operation(
        id=span.span_id,
        kind=kind,
        name=said.name,
        session_id=place.session_id or UNATTRIBUTED,
        # Where nobody names a request it is the trace; queries are too many to be requests of their own.
        correlation_id=place.correlation_id or ("" if kind == "other" else span.trace_id),
        start_ns=span.start_ns,
        end_ns=max(span.start_ns, span.end_ns),
        outcome="error" if span.failed else "ok",
        error_type=error_type,
        agent=place.agent,
        parent_id=around.nearest.id if around.nearest else stamps.get(names.PARENT_ID) or span.parent_id,
        trace_id=span.trace_id,
        user_id=place.user_id,
        attributes={
            **{name: value for name, value in said.facts.items() if name not in _STAMPS or name in _ALSO_KEPT},
            **_more(said, error_type, failed=span.failed, place=place, within=within),
        },
    )


_ALSO_KEPT: Final = frozenset({names.CONVERSATION_ID})


def _more(said: Said, error_type: str | None, *, failed: bool, place: Around, within: Within) -> dict[str, Any]:
    """What only those around and inside can say."""
    if said.kind == "model":
        return {name: within.usage[name] for name in USAGE if name in within.usage and name not in said.facts}
    if said.kind != "agent":
        return {}
    return {
        **({names.NESTED: True} if place.in_run else {}),
        **({names.TASK_ID: place.task_id} if place.task_id is not None and not place.in_run else {}),
        **({names.HANDED_UP: True} if failed and error_type in within.failures else {}),
    }


def _repeats(tale: Told, said: Said, around: Around, within: Within) -> bool:
    """Whether what a span tells of is counted by what is around it, or by ours in it."""
    kind, nearest, scope = said.kind, around.nearest, tale.span.scope
    if kind == "model":
        return bool(tale.stamps.get(names.COUNTED)) or around.in_call or within.counted or "model" in within.ours
    if kind not in _BOUNDED:
        return False
    hooked = _framework(scope) in HOOKED
    if hooked and kind in within.ours:
        return True
    if kind == "task":
        return around.in_run or around.task_id is not None
    if said.served and tale.span.parent_id is not None and nearest is None:
        return True  # the side that called tells of it, wherever it is
    if nearest is None or nearest.kind != kind:
        return False
    if nearest.scope == names.SCOPE:
        return hooked or nearest.name == said.name or said.dialect == _CALLED_BY_TOOLS
    other = nearest.scope != scope
    return other and (
        nearest.name == said.name or _framework(nearest.scope) == _framework(scope) or said.dialect == _CALLED_BY_TOOLS
    )


_CALLED_BY_TOOLS: Final = "mcp"
"""A dialect whose calls are how a tool does what it is called for."""


def _framework(scope: str) -> str:
    return scope.rpartition(".")[2]


def inside_of(tale: Told, around: Around) -> Around:
    """Where a span belongs: as it says itself, else as what is around it."""
    stamps = tale.stamps
    return around._replace(
        # A conversation is a session, but that of an agent that works for another is part of the other's.
        session_id=stamps.get(names.SESSION_ID) or around.session_id or stamps.get(names.CONVERSATION_ID),
        correlation_id=stamps.get(names.CORRELATION_ID) or around.correlation_id,
        user_id=stamps.get(names.USER_ID) or around.user_id,
        agent=around.agent or stamps.get(names.RUN_BY),
        in_run=around.in_run or names.RUN_BY in stamps,
    )


def around_those_in(tale: Told, around: Around, operation: Operation | None) -> Around:
    """What is around those that happen in a span.

    Args:
        tale: what the span tells.
        around: what is around it.
        operation: the one it tells of, if it is counted.
    """
    if tale.ours is not None:
        ours = tale.ours
        place = Around(
            session_id=ours.session_id or None,
            correlation_id=ours.correlation_id or None,
            user_id=ours.user_id,
            agent=ours.agent or around.agent,
            task_id=around.task_id,
            in_run=ours.agent is not None or around.in_run,
        )
        return _in(place, ours, names.SCOPE)
    place = inside_of(tale, around)
    if operation is not None:
        return _in(place, operation, tale.span.scope)
    calls = tale.said is not None and tale.said.kind == "model"
    return place._replace(in_call=True) if calls or names.COUNTED in tale.stamps else place


def _in(place: Around, operation: Operation, scope: str) -> Around:
    if operation.kind == "other":
        return place
    nearest = Nearest(operation.id, operation.kind, operation.name, scope)
    if operation.kind == "agent":
        return place._replace(agent=operation.name, in_run=True, in_call=False, nearest=nearest)
    if operation.kind == "task":
        return place._replace(task_id=operation.id, nearest=nearest)
    return place._replace(in_call=place.in_call or operation.kind == "model", nearest=nearest)


def _error_type(span: ReadSpan) -> str | None:
    events = (typed(event.attributes).get(names.EXCEPTION_TYPE) for event in span.events)
    said = typed({names.ERROR_TYPE: span.attributes.get(names.ERROR_TYPE)})
    return said.get(names.ERROR_TYPE) or next(filter(None, events), None)
