"""Who stands by because settings say so; see :mod:`tachograph.attendant`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tachograph.code_changes import CodeChanges
from tachograph.context import Scope
from tachograph.environment import EnvironmentNote
from tachograph.lines import Lines
from tachograph.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.attendant import Attendant
    from tachograph.config import Config
    from tachograph.ledger import Ledger
    from tachograph.recorder import Recorder
    from tachograph.records import Operation


def attendants(config: Config, ledger: Ledger, recorder: Recorder) -> Iterator[Attendant]:
    """Each of them, in the order they are told.

    Args:
        config: says which.
        ledger: has the figures of sessions that some look at.
        recorder: takes the events of those that have something to report.
    """

    def exceeded(record: Operation, metric: str, value: float, limit: float) -> None:
        scope = Scope(record.session_id, record.correlation_id, record.user_id)
        recorder.event("threshold_exceeded", {"metric": metric, "value": value, "limit": limit}, scope)

    yield Lines(ledger.session_metrics)
    if config.environment:
        yield EnvironmentNote(config.environment_variables, sessions=config.max_sessions)
    if config.code_changes:
        yield CodeChanges()
    if config.thresholds:
        yield Thresholds(config.thresholds, ledger.session_metrics, exceeded)
