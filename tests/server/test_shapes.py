"""What the description says answers look like is what they look like."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from tachograph.server import shapes
from tachograph.views.session import SessionMetrics
from tachograph.views.timeline import TimelineEntry
from tachograph.views.totals import Totals

if TYPE_CHECKING:
    import httpx

ANSWERS = {
    "/events/metrics": shapes.AllFigures,
    "/events/metrics/sessions": shapes.Sessions,
    "/events/metrics/session/quickstart": shapes.SessionFigures,
    "/events/metrics/session/never heard of": shapes.SessionFigures,
    "/events/audit-log": shapes.AuditLog,
    "/events/timeline?session_id=quickstart": shapes.Timeline,
    "/events/approvals": shapes.Approvals,
    "/health": shapes.Health,
    "/events/audit-log?limit=x": shapes.Problem,
}


@pytest.mark.parametrize("path", ANSWERS)
def test_answers_have_their_shape(client: httpx.Client, path: str) -> None:
    """An answer has exactly the fields of its shape, with values of their types."""
    answer: dict[str, Any] = client.get(path).json()
    read = ANSWERS[path].model_validate(answer, strict=True)

    assert ANSWERS[path].model_fields.keys() == answer.keys()
    assert answer == read.model_dump()


def test_shapes_are_made_from_what_answers_are_made_from() -> None:
    """A figure that is added to a view is in the description without being added there."""
    figures = {field.name for field in dataclasses.fields(SessionMetrics)} - {"calls"}

    assert figures | {"requests", "metrics", "timestamp"} == shapes.SessionFigures.model_fields.keys()
    assert {field.name for field in dataclasses.fields(Totals)} == shapes.AllFigures.model_fields.keys()
    assert {field.name for field in dataclasses.fields(TimelineEntry)} == shapes.Entry.model_fields.keys()
