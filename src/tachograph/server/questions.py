"""What can be asked: the source, and the parameters of the endpoints with their meanings and bounds.

A parameter that does not exist is refused, as an answer to another question than the one asked misleads; but for
``/health``, which who watches may ask with whatever they put at the end.
"""

from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from starlette.convertors import Convertor, register_url_convertor

from tachograph import names
from tachograph.sources import Source

MOST: Final = 10_000
"""Rows a page may have."""

USUAL: Final = 1_000
"""Rows a page has where nobody says."""

_MOMENT: Final = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}


def _one_of(*words: str) -> dict[str, JsonValue]:
    return {"enum": [*words]}


async def _source(request: Request) -> Source:
    source: Source = request.app.state.source
    return source


Asked = Annotated[Source, Depends(_source)]
"""The source that is asked."""


class _AnyText(Convertor[str]):
    """Whatever is left of a path: slashes and line breaks as well, as an id may have any."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """The text itself."""
        return value

    def to_string(self, value: str) -> str:
        """The text itself."""
        return value


REST: Final = "tachograph_rest"
"""Name of the convertor for a session's id at the end of a path. The framework has one table of them for all apps."""

register_url_convertor(REST, _AnyText())

SessionId = Annotated[
    str,
    Path(min_length=1, description="id of the session: any text, percent-encoded", examples=["session-123"]),
]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def named(self) -> dict[str, Any]:
        """The parameters by name, as a source takes them."""
        return self.model_dump()


class Plain(_Question):
    """Nothing but the question itself."""


class Page(_Question):
    """Which part of a long answer."""

    limit: int = Field(USUAL, ge=1, le=MOST, description="at most so many")
    offset: int = Field(
        0, ge=0, le=1_000_000_000, description="so many are left out first; `next` of the page before says how many"
    )


class OfSession(Page):
    """Something of one session, or of all."""

    session_id: str | SkipJsonSchema[None] = Field(None, description="only of this session", examples=["session-123"])


class OfApprovals(OfSession):
    """Which approvals."""

    pending: bool = Field(
        default=True, description="those that wait for a decision; with `false` those that were decided or have expired"
    )


class OfRequest(OfSession):
    """Something of one session, of one request, or of one request within a session."""

    correlation_id: str | SkipJsonSchema[None] = Field(None, description="only of this request")


class Figures(_Question):
    """Which figures of a session."""

    correlation_id: str | SkipJsonSchema[None] = Field(None, description="only of this request within the session")


class Filters(_Question):
    """Which entries of the audit log."""

    session_id: str | SkipJsonSchema[None] = Field(
        None, description="only entries of this session", examples=["session-123"]
    )
    event_type: str | SkipJsonSchema[None] = Field(
        None, description="only entries of this type", json_schema_extra=_one_of(*names.EVENTS)
    )
    category: str | SkipJsonSchema[None] = Field(
        None,
        description="only entries of this category",
        json_schema_extra=_one_of(*sorted({category for category, _ in names.EVENTS.values()})),
    )
    correlation_id: str | SkipJsonSchema[None] = Field(None, description="only entries of this request")
    critical: Annotated[bool | None, WithJsonSchema({"type": "boolean"})] = Field(
        None, description="only critical entries, or only the others"
    )


class Log(Filters):
    """Which part of the audit log."""

    since: Annotated[str | None, WithJsonSchema(_MOMENT)] = Field(
        None,
        description="only entries from this moment on: ISO 8601 (without a zone: UTC), or seconds since the epoch",
        examples=["2026-01-17T13:00:00Z"],
    )
    limit: int = Field(USUAL, ge=1, le=MOST, description="at most so many, the newest")
    offset: int = Field(
        0, ge=0, le=1_000_000_000, description="so many of the newest are left out first; see `next` of the page before"
    )
