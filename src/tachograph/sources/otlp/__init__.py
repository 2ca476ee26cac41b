"""Sessions from files of OTLP, as the Collector's file exporter and others write them.

What the spans and log events of a file say goes into a ledger that evicts nothing, which answers. A file may not have
everything that was recorded; as far as that can be seen, ``complete`` and ``reasons`` of a session say so:

- log events that had no span are known only where the same program's logs are there too;
- a span or log event may tell of a span that is not there: sampled out, not ended, or recorded elsewhere;
- spans of other instrumentations are passed over, but for those of a dialect (:mod:`tachograph.dialects`);
- lines that are damaged may have held anything.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.codec import event_from_log, events_from_span, operation_from_span
from tachograph.cost import Prices
from tachograph.foreign import told, told_by_us
from tachograph.ledger import Ledger
from tachograph.records import Event
from tachograph.sources import SourceError
from tachograph.sources.otlp.files import Report, batches
from tachograph.sources.otlp.gaps import Gaps
from tachograph.traces import Traces
from tachograph.views.audit import last_moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.guard import Guard
    from tachograph.kin import Told
    from tachograph.records import Operation, Record
    from tachograph.sources.otlp.gaps import Noted
    from tachograph.spans import Batch, ReadSpan
    from tachograph.views.session import SessionMetrics

_ALL: Final = 2**62
"""A bound that nothing reaches: what is in a file is to be had."""


class OtlpSource(Ledger):
    """The sessions of files of OTLP.

    Everything is read at once, when it is made; a file that grows afterwards is read by making another. Several files
    are read as one: often spans are in one file and log events in another.

    Args:
        path: of a file, or of a folder whose files are read, those of them that are OTLP.
        more: further ones.
        guard: around the folding of each record.

    Raises:
        SourceError: for a path that cannot be read or is no OTLP; it names it and says what is expected.
    """

    def __init__(self, path: str | Path, *more: str | Path, guard: Guard | None = None) -> None:
        super().__init__(max_sessions=_ALL, max_requests=_ALL, max_records=_ALL, max_names=_ALL, guard=guard)
        self._paths = [Path(each) for each in (path, *more)]
        self._report = Report()
        self._gaps = Gaps()
        self._seen = {"spans": 0, "foreign_spans": 0, "logs": 0, "foreign_logs": 0}
        records = _Records()
        # Whatever is in the files is seen before any of it is decided: the order is that of writing.
        traces, others = Traces(limit=_ALL, prices=Prices()), _Others()
        for place in self._paths:
            for batch in _read(place, self._report):
                self._take_in(batch, records, traces, others)
        for operation in traces.rest():
            records.add(operation)
            others.tell(operation)
        # The order of arrival at whoever wrote the file is that of sending; here it is that of happening.
        for record in sorted(records.found(), key=last_moment):
            self.apply(record)
        self._gaps.close(records)

    @property
    def place(self) -> str:
        """The paths that were read."""
        return ", ".join(map(str, self._paths))

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
        """Figures of a session, or of one request within it, and what of it cannot be known from these files."""
        metrics = super().session_metrics(session_id, correlation_id)
        return self._with(metrics, self._gaps.reasons(session_id))

    def total(self) -> SessionMetrics:
        """Everything that was read, in the shape of one session with the id ``*``."""
        return self._with(super().total(), self._gaps.reasons(None))

    def _with(self, metrics: SessionMetrics, reasons: list[str]) -> SessionMetrics:
        report = self._report
        if report.bad:
            more = [] if report.bad <= len(report.problems) else [f"… {report.bad - len(report.problems):,} more"]
            reasons = [*reasons, *(f"could not be read: {problem}" for problem in [*report.problems, *more])]
        reasons = [*metrics.reasons, *reasons]
        return dataclasses.replace(metrics, complete=not reasons, reasons=reasons)

    def stats(self) -> dict[str, Any]:
        """How much was read, and what could not be: ``bad`` with the first ``problems``, ``unfinished`` files."""
        return {
            **super().stats(),
            **self._seen,
            "files": self._report.files,
            "requests": self._report.requests,
            "bad": self._report.bad,
            "problems": list(self._report.problems),
            "unfinished": list(self._report.unfinished),
        }


def _read(path: Path, report: Report) -> Iterator[Batch]:
    if not path.is_dir():
        yield from batches(path, report)
        return
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    before = report.files
    for file in files:
        yield from _of_folder(file, report)
    if report.files == before:
        raise SourceError(f"{path}: none of the {len(files)} files in this folder is of OTLP; give another path")


def _of_folder(file: Path, report: Report) -> Iterator[Batch]:
    try:
        yield from batches(file, report)
    except SourceError as error:
        report.problem(str(file), str(error).removeprefix(f"{file}: "))


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
