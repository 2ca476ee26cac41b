"""Spans among spans: what is around one, what is in it, and what each tells the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph import names
from tachograph.facts import USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.dialects.said import Said
    from tachograph.records import Operation
    from tachograph.spans import ReadSpan

FILLED_IN: Final = (names.REQUEST_MODEL, names.RESPONSE_MODEL, *USAGE)
"""What the span of a model call may leave to those in it to say."""


class Nearest(NamedTuple):
    """The operation right around a span."""

    id: str
    kind: str
    name: str
    scope: str


class Around(NamedTuple):
    """What is known of what a span happens in.

    ``in_run`` says that it is an agent's run, ``in_call`` that it is a call of a model, which is counted there;
    ``served`` that it is the server's side of the nearest call.
    """

    session_id: str | None = None
    correlation_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    task_id: str | None = None
    in_run: bool = False
    in_call: bool = False
    nearest: Nearest | None = None
    served: bool = False


class Within(NamedTuple):
    """What is known, when a span has ended, of what happened in it.

    ``ours`` are kinds of operations of ours, ``call`` is what spans of model calls in it can fill in (tokens as a sum),
    ``failures`` the types of errors that agent runs ended with; ``counted`` says that a call in it was counted before
    it could be known to be in one; ``refused`` is the error that the server's side of a tool call told of.
    """

    ours: frozenset[str] = frozenset()
    call: Mapping[str, Any] = {}
    failures: frozenset[str | None] = frozenset()
    counted: bool = False
    refused: str | None = None


class Told(NamedTuple):
    """What there is to know of a span by itself, none of its content among it."""

    span: ReadSpan
    said: Said | None
    stamps: Mapping[str, Any]
    error_type: str | None = None
    ours: Operation | None = None


NOWHERE: Final = Around()
NOTHING: Final = Within()


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
        return _in(place, operation, tale.span.scope, served=tale.said is not None and tale.said.served)
    calls = tale.said is not None and tale.said.kind == "model"
    served = tale.said is not None and tale.said.served
    return place._replace(in_call=place.in_call or calls or names.COUNTED in tale.stamps, served=place.served or served)


def _in(place: Around, operation: Operation, scope: str, *, served: bool = False) -> Around:
    if operation.kind == "other":
        return place
    nearest = Nearest(operation.id, operation.kind, operation.name, scope)
    if operation.kind == "agent":
        return place._replace(agent=operation.name, in_run=True, nearest=nearest, served=False)
    if operation.kind == "task":
        return place._replace(task_id=operation.id, nearest=nearest, served=False)
    return place._replace(in_call=place.in_call or operation.kind == "model", nearest=nearest, served=served)


def told_upwards(tale: Told, within: Within) -> Within:
    """What a span and all in it is to what is around."""
    if tale.ours is not None:
        failed = tale.ours.kind == "agent" and tale.ours.outcome == "error"
        return Within(frozenset({tale.ours.kind}), {}, frozenset({tale.ours.error_type}) if failed else frozenset())
    if tale.said is None or tale.said.kind is None:
        return within
    if tale.said.kind == "model":
        said = {name: tale.said.facts[name] for name in FILLED_IN if name in tale.said.facts}
        return within._replace(call={**within.call, **said})
    if tale.said.kind == "agent":
        # An agent's calls are no part of a call around it; its own failure is what it hands up.
        return within._replace(call={}, failures=frozenset({tale.error_type}) if tale.span.failed else frozenset())
    if tale.said.kind == "tool":
        return within._replace(refused=tale.error_type if tale.said.served else None)
    return within
