"""What happened, as values: immutable, passive. No clock, no ids made here, no input or output.

A record is the ledger's writing of a fact; the other writing is an OpenTelemetry span or log event, and
:mod:`tachograph.codec` turns one into the other. Everything every view needs is a field; the rest stays in
``attributes`` under the names and types of :mod:`tachograph.names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tachograph import names

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["task", "agent", "plan", "model", "tool", "code", "approval", "other"]
"""``task`` one unit of work asked for · ``agent`` one run · ``plan`` a planning step · ``model`` one call ·
``tool`` one call · ``code`` generated code being executed · ``approval`` a human asked · ``other`` foreign."""

Outcome = Literal["ok", "error", "max_steps", "interrupted", "abandoned", "waiting", "refused", "lost"]
"""``max_steps`` gave up · ``interrupted`` stopped on request · ``abandoned`` a stream nobody finished ·
``waiting`` stopped for a human · ``refused`` a tool call that never ran · ``lost`` open when the process died.
Only ``error`` is a failure."""

OUTLIVING: Final = frozenset({"approval"})
"""Kinds of operations that go on when the process that began them has ended."""

_NOTHING: Final[Mapping[str, Any]] = {}


class Operation(NamedTuple):
    """One piece of work with a start and, once it ended, an end and an outcome.

    Times are nanoseconds since the epoch. ``id`` is the span id (16 hex digits) wherever a span exists and an
    id of the same shape where none does; ``name`` is what the views tabulate by (agent, model or tool name).
    """

    id: str
    kind: Kind
    name: str
    session_id: str
    correlation_id: str
    start_ns: int
    end_ns: int | None = None
    outcome: Outcome | None = None
    error_type: str | None = None
    error_message: str | None = None
    agent: str | None = None
    parent_id: str | None = None
    trace_id: str | None = None
    user_id: str | None = None
    attributes: Mapping[str, Any] = _NOTHING

    def with_ids(self, operation_id: str, trace_id: str | None) -> Operation:
        """The same operation, by the ids of its span."""
        return tuple.__new__(Operation, (operation_id, *self[1:12], trace_id, *self[13:]))

    def over(
        self, end_ns: int, outcome: Outcome, error: str | None, message: str | None, facts: Mapping[str, Any]
    ) -> Operation:
        """The same operation, ended; where the clock was put back meanwhile, at its start.

        Args:
            end_ns: nanoseconds since the epoch.
            outcome: how it ended.
            error: the type of its error, if any.
            message: what that said.
            facts: its attributes now.
        """
        # Written out and past the named tuple's own constructor, as there is one of these for each operation.
        id_, kind, name, session, request, start, _, _, _, _, run, above, trace, user, _ = self
        end_ns = max(end_ns, start)
        ended = (
            id_, kind, name, session, request, start, end_ns, outcome, error, message, run, above, trace, user, facts
        )  # fmt: skip
        return tuple.__new__(Operation, ended)

    @property
    def span_id(self) -> str | None:
        """Id of the span this operation was written to, if it was."""
        return self.id if self.trace_id else None

    @property
    def duration_ns(self) -> int:
        """Nanoseconds the ended operation worked; a stream's consumer and a human who decides do not count.

        0 while it is open.
        """
        facts = self.attributes
        active: float | None = facts.get(names.ACTIVE_SECONDS)
        took = (self.end_ns or self.start_ns) - self.start_ns if active is None else round(active * 1_000_000_000)
        if names.HUMAN_SECONDS in facts:
            took -= round(facts[names.HUMAN_SECONDS] * 1_000_000_000)
        return max(0, took)


class Event(NamedTuple):
    """One thing that happened at a moment and is sent as a log event: a switch, a registration, a decision.

    ``type`` is an audit ``event_type`` of :data:`tachograph.names.EVENTS`; ``payload`` holds the fields that
    belong to that type.
    """

    id: str
    type: str
    session_id: str
    correlation_id: str | None
    timestamp_ns: int
    trace_id: str | None = None
    span_id: str | None = None
    user_id: str | None = None
    payload: Mapping[str, Any] = _NOTHING


Record = Operation | Event
