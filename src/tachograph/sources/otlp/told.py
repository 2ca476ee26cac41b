"""A ledger of what spans and log events tell that were kept somewhere: it answers, and says what it cannot know."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.codec import event_from_log, events_from_span, operation_from_span
from tachograph.cost import Prices
from tachograph.foreign import told, told_by_us
from tachograph.ledger import Ledger
from tachograph.records import Event
from tachograph.sources.otlp.gaps import Gaps
from tachograph.traces import Traces
from tachograph.views.audit import last_moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.guard import Guard
    from tachograph.kin import Told
    from tachograph.records import Operation, Record
    from tachograph.sources.otlp.gaps import Noted
    from tachograph.spans import Batch, ReadSpan
    from tachograph.views.session import SessionMetrics

_ALL: Final = 2**62
"""A bound that nothing reaches: what was kept is to be had."""


class ToldLedger(Ledger):
    """A ledger that is filled once and evicts nothing.

    Args:
        batches: what it is filled with; all of it is taken at once.
        guard: around the folding of each record.
    """

    def __init__(self, batches: Iterable[Batch], *, guard: Guard | None = None) -> None:
        super().__init__(max_sessions=_ALL, max_requests=_ALL, max_records=_ALL, max_names=_ALL, guard=guard)
        self._gaps = Gaps()
        self._seen = {"spans": 0, "foreign_spans": 0, "logs": 0, "foreign_logs": 0}
        records = _Records()
        # Whatever was kept is seen before any of it is decided: the order is that of keeping.
        traces, others = Traces(limit=_ALL, prices=Prices()), _Others()
        for batch in batches:
            self._take_in(batch, records, traces, others)
        for operation in traces.rest():
            records.add(operation)
            others.tell(operation)
        # The order of arrival at whoever kept them is that of sending; here it is that of happening.
        for record in sorted(records.found(), key=last_moment):
            self.apply(record)
        self._gaps.close(records)

    def _take_in(self, batch: Batch, records: _Records, traces: Traces, others: _Others) -> None:
        noted = self._gaps.of(batch.resource, has_logs=batch.has_logs)
        for span in batch.spans:
            ours = operation_from_span(span)
            self._seen["foreign_spans" if ours is None else "spans"] += 1
            tale = told(span) if ours is None else told_by_us(span, ours)
            if tale.said is None:
                noted.span(span, ours)
            else:
                others.add(tale, noted)
            records.span(span, ours)
            traces.hear(tale, top=False)
        for log in batch.logs:
            event = event_from_log(log)
            self._seen["logs" if log.scope == names.SCOPE else "foreign_logs"] += 1
            noted.log(log)
            if event is not None:
                records.add(event)

    # ------------------------------------------------------------------------------------------------- reading
    def session_metrics(self, session_id: str, correlation_id: str | None = None) -> SessionMetrics:
        """Figures of a session, or of one request within it, and what of it cannot be known."""
        return _with(super().session_metrics(session_id, correlation_id), self._unknown(session_id))

    def total(self) -> SessionMetrics:
        """Everything that was read, in the shape of one session with the id ``*``, and what cannot be known."""
        return _with(super().total(), self._unknown(None))

    def _unknown(self, session_id: str | None) -> list[str]:
        """Why what is known of a session, or of all (None), is not all there is to know."""
        return self._gaps.reasons(session_id)

    def stats(self) -> dict[str, Any]:
        """How much was read."""
        return {**super().stats(), **self._seen}


def _with(metrics: SessionMetrics, reasons: list[str]) -> SessionMetrics:
    reasons = [*metrics.reasons, *reasons]
    return dataclasses.replace(metrics, complete=not reasons, reasons=reasons)


class _Others:
    """Spans of others that were understood, and who is told what becomes of them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Told, Noted]] = {}

    def add(self, tale: Told, noted: Noted) -> None:
        self._known[tale.span.span_id] = tale, noted

    def tell(self, operation: Operation) -> None:
        tale, noted = self._known[operation.id]
        noted.span(tale.span, operation)


class _Records:
    """What was found, each once: spans are sent again when an answer was lost."""

    def __init__(self) -> None:
        self._found: dict[str, Record] = {}
        self._copies: dict[str, Event] = {}
        self._foreign: set[str] = set()

    def span(self, span: ReadSpan, operation: Operation | None) -> None:
        if operation is None:
            self._foreign.add(span.span_id)
        else:
            self.add(operation)
        for event in events_from_span(span):
            self._copies[event.id] = event

    def add(self, record: Record) -> None:
        before = self._found.get(record.id)
        if before is None or (not isinstance(before, Event) and before.end_ns is None):
            self._found[record.id] = record

    def found(self) -> list[Record]:
        # A copy on a span has lost what a span cannot hold: the log event itself is better.
        return [*self._found.values(), *(copy for id_, copy in self._copies.items() if id_ not in self._found)]

    def __contains__(self, span_id: object) -> bool:
        return span_id in self._found or span_id in self._foreign
