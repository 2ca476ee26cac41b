"""Limits on a session's figures: the first time one is exceeded it is said, as an event.

Callbacks subscribe to it: ``tachograph.subscribe(handler, event_type="threshold_exceeded")``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from tachograph.attendant import Attendant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tachograph.records import Operation
    from tachograph.views.session import SessionMetrics

_READ: Final[dict[str, Callable[[SessionMetrics], float]]] = {
    "agent_switches": lambda metrics: metrics.agent_switches,
    "average_duration_ms": lambda metrics: metrics.average_duration_ms,
    "average_tokens_per_request": lambda metrics: metrics.average_tokens_per_request,
    "cost": lambda metrics: metrics.cost["amount"] or 0.0,
    "error_rate": lambda metrics: metrics.failed_requests / max(metrics.total_requests, 1),
    "errors": lambda metrics: metrics.errors,
    "total_requests": lambda metrics: metrics.total_requests,
    "total_tokens": lambda metrics: metrics.total_tokens,
}
"""How each of the figures that settings can limit is read off a session."""

_MAX_SAID: Final = 10_000


class Thresholds(Attendant):
    """Looks at a session whenever something in it has ended.

    Args:
        limits: by figure.
        metrics: gives a session's figures.
        report: is told of the session, its figure, the value and the limit: once for each session and figure.
    """

    kinds = frozenset({"model", "agent"})

    def __init__(
        self,
        limits: Mapping[str, float],
        metrics: Callable[[str], SessionMetrics],
        report: Callable[[Operation, str, float, float], None],
    ) -> None:
        self._limits = dict(limits)
        self._metrics = metrics
        self._report = report
        self._said: OrderedDict[tuple[str, str], object] = OrderedDict()

    def forget(self, session_id: str) -> None:
        """A session was cleared: its figures begin at nothing, and exceed limits again."""
        for figure in self._limits:
            self._said.pop((session_id, figure), None)

    def ended(self, record: Operation, whole: bool) -> None:  # noqa: ARG002, FBT001 - every attendant's signature
        """A model call or an agent run has ended."""
        metrics = self._metrics(record.session_id)
        for figure, limit in self._limits.items():
            value = _READ[figure](metrics)
            key = record.session_id, figure
            mine = object()  # whoever of several threads puts its own there says it
            if value > limit and self._said.setdefault(key, mine) is mine:
                if len(self._said) > _MAX_SAID:
                    self._said.popitem(last=False)
                self._report(record, figure, round(value, 6), limit)
