"""What is seen not to be there: of each session, why what is known of it is not all there is to know."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from tachograph import names
from tachograph.redact import printable
from tachograph.spans import typed

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from tachograph.records import Operation
    from tachograph.spans import ReadLog, ReadSpan

_SPANS_ONLY: Final = "read from spans: events that had no span are not known"
_PRODUCER: Final = ("service.namespace", "service.name", "service.instance.id")
"""Attributes by which the spans and the logs of one program are seen to be of one."""


class Gaps:
    """What of each session is seen not to be there."""

    def __init__(self) -> None:
        self._told: dict[str, dict[str, None]] = {}
        self._spans_from: dict[tuple[str, ...], set[str]] = {}
        self._with_logs: set[tuple[str, ...]] = set()
        self._mentioned: dict[str, str] = {}
        self._spans_only: set[str] = set()
        self._sampled: dict[str, dict[str, None]] = {}
        self._foreign: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()

    def of(self, resource: Mapping[str, Any], *, has_logs: bool) -> Noted:
        """Who notes what the batches of a resource tell."""
        told = typed(resource).get(names.EXPORT_GAPS)
        if told is not None:
            return _Exported(told, self._told)
        producer = tuple(str(resource.get(name, "")) for name in _PRODUCER)
        if has_logs:
            self._with_logs.add(producer)
        sampler = typed(resource).get(names.SAMPLER)
        sessions = self._spans_from.setdefault(producer, set())
        return _Noted(sessions, self._mentioned, self._foreign, self._sampled, sampler)

    def close(self, records: Container[str]) -> None:
        """All has been read: ``records`` has the ids of all spans that are there."""
        for producer, sessions in self._spans_from.items():
            if producer not in self._with_logs:
                self._spans_only |= sessions
        self._missing.update(session for span_id, session in self._mentioned.items() if span_id not in records)
        self._mentioned.clear()

    def reasons(self, session_id: str | None) -> list[str]:
        """Why what is known of a session, or of all (None), is not all there is to know."""
        told, sampled = (
            of.values() if session_id is None else [of.get(session_id, {})] for of in (self._told, self._sampled)
        )
        found = list(dict.fromkeys(reason for reasons in told for reason in reasons))
        found += [
            f"spans were left out by sampling, by {printable(sampler)}: how many is not known"
            for sampler in dict.fromkeys(sampler for samplers in sampled for sampler in samplers)
        ]
        if session_id in self._spans_only or (session_id is None and self._spans_only):
            found.append(_SPANS_ONLY)
        missing, foreign = (
            sum(counts.values()) if session_id is None else counts[session_id]
            for counts in (self._missing, self._foreign)
        )
        if missing:
            found.append(
                f"spans told of that are not there (sampled out, not ended, or recorded elsewhere): {missing:,}"
            )
        if foreign:
            found.append(f"spans of other instrumentations, which are passed over: {foreign:,}")
        return found


class Noted(Protocol):
    """Who notes what the batches of a resource tell."""

    def span(self, span: ReadSpan, operation: Operation | None, /) -> None:
        """A span, and the operation it tells of, if any."""

    def log(self, log: ReadLog) -> None:
        """A log record."""


class _Noted:
    """Notes what spans and log records as a program sent them tell of others."""

    def __init__(
        self,
        sessions: set[str],
        mentioned: dict[str, str],
        foreign: Counter[str],
        sampled: dict[str, dict[str, None]],
        sampler: str | None,
    ) -> None:
        self._sessions = sessions
        self._mentioned = mentioned
        self._foreign = foreign
        self._sampled = sampled
        self._sampler = sampler

    def span(self, span: ReadSpan, operation: Operation | None) -> None:
        if operation is None:
            session_id = span.attributes.get(names.SESSION_ID)
            if session_id is not None:
                self._foreign[str(session_id)] += 1
            return
        self._sessions.add(operation.session_id)
        for sampler in filter(None, (span.attributes.get(names.SAMPLER), self._sampler)):
            self._sampled.setdefault(operation.session_id, {})[str(sampler)] = None
        if operation.parent_id is not None and not span.remote_parent:
            self._mentioned[operation.parent_id] = operation.session_id

    def log(self, log: ReadLog) -> None:
        if log.scope == names.SCOPE:
            for span_id in (log.span_id, log.attributes.get(names.OPERATION_ID)):
                if type(span_id) is str:
                    self._mentioned[span_id] = str(log.attributes.get(names.SESSION_ID, ""))


class _Exported:
    """Notes nothing of what :mod:`tachograph.export` wrote: it has said what is missing."""

    def __init__(self, told: tuple[str, ...], sessions: dict[str, dict[str, None]]) -> None:
        self._reasons = dict.fromkeys(told)
        self._sessions = sessions

    def span(self, _span: ReadSpan, operation: Operation | None) -> None:
        if operation is not None:
            self._of(operation.session_id)

    def log(self, log: ReadLog) -> None:
        self._of(str(log.attributes.get(names.SESSION_ID, "")))

    def _of(self, session_id: str) -> None:
        if self._reasons:
            self._sessions.setdefault(session_id, {}).update(self._reasons)
