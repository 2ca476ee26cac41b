"""What a record means, where whoever counts, shows or keeps it would otherwise read it each in a way of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.records import Event, Operation

SESSIONLESS: Final = frozenset({"agent_registered", "system_startup", "system_shutdown"})
"""Events that make no session, and count in the totals alone: they happen before anybody asked for anything."""

USAGE: Final = (names.INPUT_TOKENS, names.OUTPUT_TOKENS, names.CACHED_TOKENS, names.REASONING_TOKENS)
"""Tokens of a call; cached ones are part of the input, reasoning ones of the output."""

TOO_MANY: Final = 10**12
"""Tokens, or anything else, that no call uses: nonsense, and in sums too large for the 64 bits that backends have."""

PENDING: Final = "pending"
EXPIRED: Final = "EXPIRED"
"""What has become of an approval that nobody has decided: in time as yet, or too late."""


def outermost(run: Operation) -> bool:
    """Whether an agent run is a unit of work of its own: inside no other run, and in no task that says what it is."""
    return not run.attributes.get(names.NESTED) and names.TASK_ID not in run.attributes


def expired(asked: Operation, moment_ns: int) -> bool:
    """Whether an approval's time was up at a moment."""
    timeout = asked.attributes.get(names.APPROVAL_TIMEOUT)
    return timeout is not None and (moment_ns - asked.start_ns) / 1_000_000_000 > timeout


def settled(operation: Operation, moment_ns: int) -> Operation:
    """An operation as it stands at a moment: an approval that nobody decided in time was over when its time was up."""
    if operation.kind != "approval" or operation.attributes.get(names.APPROVAL_DECISION, EXPIRED) != EXPIRED:
        return operation
    until = moment_ns if operation.end_ns is None else operation.end_ns
    if not expired(operation, until):
        return operation
    facts = {**operation.attributes, names.APPROVAL_DECISION: EXPIRED}
    up_ns = operation.start_ns + round(facts[names.APPROVAL_TIMEOUT] * 1_000_000_000)
    return operation._replace(end_ns=min(up_ns, until), outcome="ok", attributes=facts)


def switch_of(payload: Mapping[str, Any]) -> tuple[str, str]:
    """Who handed over to whom, by the payload of an ``agent_switched``."""
    return str(payload.get("from_agent")), str(payload.get("to_agent"))


def repeats_operation(event: Event) -> bool:
    """Whether an event is the log event of what an operation carries: the same fact a second time, to be left out."""
    return names.OPERATION_ID in event.payload
