"""Spans of somebody else's, as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.spans import ReadEvent, ReadSpan

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE = "a" * 32
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}


def identifier(number: int | None) -> str | None:
    """The id of a span by its number."""
    return None if number is None else f"{number:016x}"


def span(
    number: int,
    attributes: Mapping[str, Any],
    *,
    parent: int | None = None,
    error: str | None = None,
    **changed: Any,
) -> ReadSpan:
    """One that lasts from ``number`` to 1,000 less that, so that those in it may have higher numbers.

    Args:
        number: of the span, in its trace.
        attributes: as the package set them.
        parent: number of the one it is in.
        error: type of the exception it failed with.
        changed: other fields.
    """
    events = () if error is None else (ReadEvent("exception", 1, {"exception.type": error}),)
    made = ReadSpan(
        scope="somebody.else",
        trace_id=TRACE,
        span_id=identifier(number) or "",
        parent_id=identifier(parent),
        name="name",
        kind="INTERNAL",
        start_ns=number,
        end_ns=1_000 - number,
        failed=error is not None,
        status_text=None,
        attributes=attributes,
        events=events,
    )
    return made._replace(**changed)
