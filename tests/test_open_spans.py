"""Spans of others that have begun and not ended."""

from __future__ import annotations

from tachograph import open_spans
from tachograph.open_spans import OpenSpans


def test_what_has_ended_around_is_passed_over() -> None:
    """Around a span is the nearest one that has not ended."""
    spans = OpenSpans()
    outer, between = spans.begun(1, 0, session=False), spans.begun(2, 1, session=False)
    inner = spans.begun(3, 2, session=False)

    assert between is inner.around()
    spans.ended(2)
    assert outer is inner.around()
    spans.ended(1)
    assert inner.around() is None


def test_a_span_in_ours_stands_alone() -> None:
    """One whose parent is none of these has nothing around it; one that was not known ends as well."""
    spans = OpenSpans()

    assert spans.begun(1, 99, session=False).around() is None
    assert (None, None) == (spans.get(2), spans.ended(2))


def test_all_around_are_told_that_something_waits() -> None:
    """Whatever is open around a span learns that something in it waits for its end; its neighbours do not."""
    spans = OpenSpans()
    outer, inner = spans.begun(1, 0, session=False), spans.begun(2, 1, session=False)
    beside = spans.begun(3, 1, session=False)

    inner.await_all()

    assert [True, False, False] == [span.awaited for span in (outer, inner, beside)]


def test_a_session_is_said_for_those_inside() -> None:
    """A span in one that has said its session need not."""
    spans = OpenSpans()
    spans.begun(1, 0, session=True)

    assert [True, False] == [spans.begun(number, parent, session=False).session for number, parent in ((2, 1), (3, 0))]


def test_those_never_ended_are_forgotten(monkeypatch) -> None:
    """Of more than are kept in mind the oldest count as ended."""
    monkeypatch.setattr(open_spans, "_MOST", 2)
    spans = OpenSpans()
    spans.begun(1, 0, session=False)
    inner = spans.begun(2, 1, session=False)

    spans.begun(3, 2, session=False)

    assert (None, None) == (spans.get(1), inner.around())
