"""The human decision, for programs that ask one: request, decide, list.

::

    approval = tachograph.request_approval(tool_name="write_file", arguments={"path": "a.py"}, call_id=call.id)
    ...                                                 # show it to somebody; hours may pass
    approval.decide("EDIT", modified_arguments={"path": "b.py"}, decided_by="ada")

From another request, thread or process, by the call id: ``tachograph.decide(call_id, "APPROVE")``. Across processes
that takes a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph import runtime
from tachograph.approvals import DECISIONS, Approvals, decision_of, is_timeout
from tachograph.context import clean_id, new_id
from tachograph.sources import approvals_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.records import Operation
    from tachograph.sources import Source


class Approval:
    """One approval that was asked for."""

    __slots__ = ("_record", "call_id", "session_id", "tool_name")

    def __init__(self, record: Operation | None, call_id: str, tool_name: str) -> None:
        self._record = record
        self.call_id = call_id
        self.tool_name = tool_name
        self.session_id = "" if record is None else record.session_id

    @property
    def id(self) -> str | None:
        """Id of the operation in the ledger; None where nothing is recorded."""
        return None if self._record is None else self._record.id

    def decide(
        self,
        decision: str,
        *,
        modified_arguments: Mapping[str, Any] | None = None,
        decided_by: str | None = None,
    ) -> bool:
        """Somebody has decided; see :func:`decide`.

        Returns:
            Whether this is the decision: False where somebody had decided before, here or in another process, and where
                the time was up.

        Raises:
            ValueError: for a decision that is none.
        """
        payload = {"call_id": self.call_id, "tool_name": self.tool_name}
        return _decide(payload, self.session_id or None, decision, modified_arguments, decided_by)

    def __repr__(self) -> str:
        return f"Approval({self.call_id!r}, {self.tool_name!r})"


def request_approval(
    *,
    tool_name: str,
    arguments: Mapping[str, Any] | None = None,
    reason: str | None = None,
    timeout_seconds: float | None = None,
    call_id: str | None = None,
) -> Approval:
    """A human is asked whether a tool may run. Waiting is the human's time: no error, and not the tool's.

    Args:
        tool_name: of the tool.
        arguments: it is to run with. Kept redacted and cut; only their names and a digest are exported.
        reason: why somebody has to agree.
        timeout_seconds: after which nobody has decided, and the approval is EXPIRED.
        call_id: the model's id of the call; made up if there is none.

    Raises:
        ValueError: for a timeout that is no number of seconds.
    """
    if timeout_seconds is not None and not is_timeout(timeout_seconds):
        raise ValueError(f"timeout_seconds={timeout_seconds!r}: expected a number of seconds, from 0 up")
    tachograph = runtime.current()
    payload = {
        "tool_name": tool_name,
        "call_id": call_id,
        "arguments": arguments,
        "reason": reason,
        "timeout_seconds": timeout_seconds,
    }
    record = tachograph.guard(tachograph.approvals.ask, payload) if tachograph.enabled else None
    return Approval(record, tachograph.guard(_known, record, call_id, default=call_id), tool_name)


def _known(record: Operation | None, call_id: str | None) -> str:
    """By which id an approval is decided, recorded or not."""
    known = clean_id(call_id) if record is None else Approvals.call_id(record)
    return known or f"approval-{new_id()}"


def decide(
    call_id: str,
    decision: str,
    *,
    session_id: str | None = None,
    modified_arguments: Mapping[str, Any] | None = None,
    decided_by: str | None = None,
) -> bool:
    """Somebody has decided on the approval of a call, wherever it was asked for.

    Args:
        call_id: of the approval.
        decision: ``APPROVE``, ``EDIT`` or ``REJECT``, in any case; an enumeration's member says it by value or name.
        session_id: of the request, where call ids repeat; by default the session the caller is in, else the newest.
        modified_arguments: what the tool is to run with instead.
        decided_by: who.

    Returns:
        Whether this is the decision: False where somebody had decided before, here or in another process, and where the
            time was up.

    Raises:
        ValueError: for a decision that is none.
    """
    return _decide({"call_id": call_id}, session_id, decision, modified_arguments, decided_by)


def _decide(
    known: Mapping[str, Any],
    session_id: str | None,
    decision: str,
    modified_arguments: Mapping[str, Any] | None,
    decided_by: str | None,
) -> bool:
    word = decision_of(decision)
    if word is None:
        raise ValueError(f"decision={decision!r}: expected one of: {', '.join(DECISIONS)}")
    tachograph = runtime.current()
    if tachograph.enabled:
        payload = {**known, "decision": word, "modified_args": modified_arguments, "decided_by": decided_by}
        counts: bool = tachograph.guard(tachograph.approvals.decide, payload, session_id, default=True)
        return counts
    return True


def approvals(
    *, session_id: str | None = None, pending: bool | None = None, source: Source | None = None
) -> list[dict[str, Any]]:
    """Approvals that this process knows of, oldest first; see :func:`tachograph.views.approvals.approvals_view`.

    With a store those that it has asked for are as other processes have decided on them.

    Args:
        session_id: only those of this session.
        pending: only those that wait for a decision, or only the others.
        source: what to ask instead: with a store ``tachograph.read()`` knows of those of all processes.

    Raises:
        SourceError: where the source cannot be read.
    """
    tachograph = runtime.current()
    if source is None:
        tachograph.guard(tachograph.approvals.catch_up)
    asked = tachograph.ledger if source is None else source
    return approvals_of(asked, tachograph.recorder.now(), session_id=session_id, pending=pending)
