"""Lines of the log about model calls, for who reads along: the logger ``tachograph.requests`` at INFO.

Nobody else pays for them: below that level nothing is written or counted. A level that is set while an operation is
under way counts from the next outermost one on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tachograph import names
from tachograph.attendant import Attendant

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.live import Live
    from tachograph.records import Event, Operation
    from tachograph.views.session import SessionMetrics

LOGGER: Final = logging.getLogger("tachograph.requests")


class Lines(Attendant):
    """Writes a line when a model call begins and two when it has ended; everything else at DEBUG.

    Args:
        metrics: gives a session's figures.
    """

    def __init__(self, metrics: Callable[[str], SessionMetrics]) -> None:
        self._metrics = metrics

    def awake(self) -> bool:
        """Whether anybody reads along."""
        return LOGGER.isEnabledFor(logging.INFO)

    def began(self, live: Live) -> None:
        """An operation has begun."""
        record = live.record
        if record.kind == "model":
            if LOGGER.isEnabledFor(logging.INFO):
                LOGGER.info("LLM request started for session %s", record.session_id)
        elif LOGGER.isEnabledFor(logging.DEBUG):
            LOGGER.debug("%s %s started for session %s", record.kind, record.name, record.session_id)

    def ended(self, record: Operation, whole: bool) -> None:  # noqa: ARG002, FBT001 - every attendant's signature
        """An operation has ended."""
        if record.kind == "model":
            if LOGGER.isEnabledFor(logging.INFO):
                self._call_ended(record)
        elif LOGGER.isEnabledFor(logging.DEBUG):
            took = round(record.duration_ns / 1_000_000)
            session_id = record.session_id
            LOGGER.debug("%s %s %s for session %s: %dms", record.kind, record.name, record.outcome, session_id, took)

    def _call_ended(self, call: Operation) -> None:
        session_id, facts = call.session_id, call.attributes
        if call.outcome == "error":
            LOGGER.info("LLM request failed for session %s: %s", session_id, call.error_message or call.error_type)
        else:
            tokens = (facts.get(names.INPUT_TOKENS) or 0) + (facts.get(names.OUTPUT_TOKENS) or 0)
            took = round(call.duration_ns / 1_000_000)
            LOGGER.info("LLM request completed for session %s: %dms, %d tokens", session_id, took, tokens)
        metrics = self._metrics(session_id)
        LOGGER.info(
            "Session %s metrics updated: %d requests, %d tokens",
            session_id,
            metrics.total_requests,
            metrics.total_tokens,
        )

    def happened(self, event: Event) -> None:
        """Something was reported."""
        if LOGGER.isEnabledFor(logging.DEBUG):
            LOGGER.debug("%s for session %s", event.type, event.session_id)
