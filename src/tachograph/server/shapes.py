"""The shape of each answer, for the OpenAPI description: made from the dataclasses the answers are made from.

Nothing is validated against these when answering; tests are, and clients may be.
"""

import dataclasses
import sys
from typing import Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from tachograph.records import Operation
from tachograph.views import timeline as views_timeline
from tachograph.views.session import SessionMetrics
from tachograph.views.totals import Totals

NESTED: Final = ("agent_switches", "tool_calls", "processing_duration_ms", "errors")
"""Figures of a session that one of the in-house systems has under ``metrics``; here they are there as well."""


def _hints(of: type) -> dict[str, Any]:
    # The module of the dataclass imports some names for type checkers alone.
    return get_type_hints(of, globalns={**vars(sys.modules[of.__module__]), "Operation": Operation})


def _model(name: str, of: type, *, leave_out: tuple[str, ...] = (), **more: Any) -> type[BaseModel]:
    """A model with the fields of a dataclass and some more."""
    hints = _hints(of)
    fields = {field.name: (hints[field.name], ...) for field in dataclasses.fields(of) if field.name not in leave_out}
    return create_model(name, __doc__=of.__doc__, **{**fields, **more})


Nested = create_model("Nested", **{name: (_hints(SessionMetrics)[name], ...) for name in NESTED})  # type: ignore[call-overload]
SessionFigures = _model(
    "SessionFigures",
    SessionMetrics,
    leave_out=("calls",),
    requests=(list[dict[str, Any]], Field(description="the newest model calls, in the order they began")),
    metrics=(Nested, Field(description="some of the figures again, where one of the in-house systems has them")),
    timestamp=(str, Field(description="when this was asked")),
)
AllFigures = _model("AllFigures", Totals)
Entry = _model("Entry", views_timeline.TimelineEntry)

_NEXT: Final[Any] = Field(description="`offset` of the page after this one; null where this is the last")


class _Page(BaseModel):
    next: int | None = _NEXT


class Sessions(_Page):
    """Ids of sessions, the one last active last. The first page has the newest."""

    sessions: list[str]
    count: int = Field(description="sessions there are, on all pages")


class AuditEntry(BaseModel):
    """Who did, asked or decided something; beside these fields it has those of its type."""

    model_config = ConfigDict(extra="allow")
    timestamp: str
    event_type: str
    event_id: str = Field(description="the same whenever and wherever the entry is read")
    session_id: str
    correlation_id: str | None
    trace_id: str | None
    span_id: str | None
    critical: bool


class AuditLog(_Page):
    """Entries, oldest first. The first page has the newest."""

    entries: list[AuditEntry]
    count: int = Field(description="entries on this page")


Timeline = _model(
    "Timeline",
    views_timeline.Timeline,
    leave_out=("entries",),
    entries=(list[Entry], ...),  # type: ignore[valid-type]  # made above
    count=(int, Field(description="entries there are, on all pages")),
    next=(int | None, _NEXT),
)


class Execution(BaseModel):
    """The call that an approval allowed."""

    id: str
    started_at: str
    outcome: str | None = Field(description="null while it is under way")
    duration_ms: float | None


class Approval(BaseModel):
    """What a human was asked, what they decided, how long it took, and what came of it."""

    id: str
    call_id: str | None
    tool_name: str
    session_id: str
    correlation_id: str
    user_id: str | None
    agent: str | None = Field(description="the agent that asked")
    status: Literal["pending", "APPROVE", "EDIT", "REJECT", "EXPIRED"]
    reason: str | None
    timeout_seconds: float | None
    requested_at: str
    decided_at: str | None
    waiting_ms: float = Field(description="until the decision, or until now")
    decided_by: str | None
    late_decision: str | None = Field(description="what was decided when it had expired")
    arguments: Any = Field(description="redacted and cut; null where they are not kept")
    modified_arguments: Any = Field(description="what it was to run with instead, by an EDIT")
    changes: dict[str, dict[str, Any]] | None = Field(description="what an EDIT `added`, `removed` and `changed`")
    argument_names: list[str]
    arguments_digest: str | None
    modified_digest: str | None
    execution: Execution | None


class Approvals(_Page):
    """Approvals, the one that was asked for first first."""

    approvals: list[Approval]
    count: int = Field(description="approvals there are, on all pages")


class Health(BaseModel):
    """Whether what was recorded can be read: `ok` or `unavailable`."""

    status: str


class Problem(BaseModel):
    """What is wrong, and what to do about it, in a sentence."""

    detail: str
