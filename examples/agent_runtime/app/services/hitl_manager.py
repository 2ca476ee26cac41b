"""Humans in the loop: tool calls that wait for somebody's decision."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.models.schemas import HITLDecision
    from app.services.database import Database


class NotPendingError(LookupError):
    """A decision about a call that waits for none."""


class ApprovalExpiredError(Exception):
    """A decision that came too late."""


@dataclass(frozen=True)
class Decision:
    """What a human has decided, with the arguments to use if they are others than the model's."""

    decision: HITLDecision
    modified_arguments: dict[str, Any] | None = None
    feedback: str | None = None


@dataclass(frozen=True)
class PendingApproval:
    """A tool call that waits."""

    session_id: str
    call_id: str
    tool_name: str
    arguments: dict[str, Any]
    reason: str
    timeout_seconds: float
    correlation_id: str
    decided: asyncio.Future[Decision]


class HITLManager:
    """Keeps the calls that wait, and the decisions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[tuple[str, str], PendingApproval] = {}

    async def add_pending(
        self,
        session_id: str,
        call_id: str,
        tool_name: str,
        arguments: dict[str, Any],
        reason: str,
        timeout_seconds: float,
        correlation_id: str,
    ) -> PendingApproval:
        """Have a tool call wait for a decision.

        Args:
            session_id: the session whose user is to decide.
            call_id: the model's id of the call.
            tool_name: the tool.
            arguments: what the model wants to call it with.
            reason: why the tool does not run without being asked for.
            timeout_seconds: how long the user has.
            correlation_id: the user's request that the call is part of.
        """
        decided = asyncio.get_running_loop().create_future()
        pending = PendingApproval(
            session_id, call_id, tool_name, arguments, reason, timeout_seconds, correlation_id, decided
        )
        self._pending[session_id, call_id] = pending
        return pending

    async def wait_for_decision(self, pending: PendingApproval) -> Decision | None:
        """Return what the user has decided, or None if time ran out."""
        try:
            return await asyncio.wait_for(pending.decided, pending.timeout_seconds)
        except asyncio.TimeoutError:
            return None  # it stays pending: whoever decides now is told that it is too late

    async def decide(
        self,
        session_id: str,
        call_id: str,
        decision: HITLDecision,
        modified_arguments: dict[str, Any] | None = None,
        feedback: str | None = None,
    ) -> None:
        """Take down what a user decides and let the waiting call go on.

        Raises:
            NotPendingError: if no call of that id waits in that session.
            ApprovalExpiredError: if it no longer waits; what the user decided is taken down all the same.
        """
        pending = self._pending.pop((session_id, call_id), None)
        if pending is None:
            raise NotPendingError(f"no call {call_id!r} of session {session_id!r} waits for a decision")
        await self.log_decision(
            session_id,
            call_id,
            pending.tool_name,
            pending.arguments,
            decision,
            modified_arguments,
            feedback,
            pending.correlation_id,
        )
        if pending.decided.done():
            raise ApprovalExpiredError(f"call {call_id!r} waited {pending.timeout_seconds:g} s and no longer does")
        pending.decided.set_result(Decision(decision, modified_arguments, feedback))

    async def log_decision(
        self,
        session_id: str,
        call_id: str,
        tool_name: str,
        original_arguments: dict[str, Any],
        decision: HITLDecision,
        modified_arguments: dict[str, Any] | None,
        feedback: str | None,
        correlation_id: str,
    ) -> None:
        """Keep a decision in the database, in time or not."""
        await self._database.save_decision(
            session_id,
            correlation_id,
            call_id,
            tool_name,
            json.dumps(original_arguments),
            decision.value,
            None if modified_arguments is None else json.dumps(modified_arguments),
            feedback,
        )
