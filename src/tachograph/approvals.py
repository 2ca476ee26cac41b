"""Approvals: what a human is asked to decide, from the request to the decision, whoever decides and wherever.

An approval is one operation. It is open while it is pending, also after its process has ended: the store keeps it, and
any process may decide it by its call id. The decision ends it; its span, from request to decision, is written then.
Request and decision are log events as well, and entries of the audit log.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from opentelemetry import trace
from opentelemetry.context import Context, get_current

from tachograph import names
from tachograph.clip import MAX_NAMES, as_json, as_text, clipped, digest
from tachograph.context import Scope, clean_id, current, new_id
from tachograph.facts import EXPIRED, expired
from tachograph.live import run_of
from tachograph.records import Event, Operation
from tachograph.times import timestamp
from tachograph.views.approvals import changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tachograph.recorder import Recorder

_log = logging.getLogger("tachograph")

DECISIONS: Final = ("APPROVE", "EDIT", "REJECT")
ASKED: Final = ("tool_approval_required", "hitl_approval_requested")
DECIDED: Final = "hitl_decision_made"

_MAX_PENDING: Final = 10_000


class _Asked(NamedTuple):
    """A pending approval: its record, where it was asked, and which of :data:`ASKED` was said."""

    record: Operation
    base: Context
    said: frozenset[str]
    events: tuple[Event, ...]


class Elsewhere(Protocol):
    """Where other processes ask and decide too: :class:`tachograph.store.deciding.Deciding`."""

    def tell(self) -> None:
        """What was asked here is known to all from now on."""

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else decides in this block, and what it decided is known to all at its end."""

    def asked(self, call_id: str, session_id: str | None) -> Operation | None:
        """The approval asked for by this call id: one that is pending, else the newest that was decided."""

    def decided(self, operation_ids: Iterable[str]) -> list[Operation]:
        """The approvals among those with these ids that are decided."""


class Approvals:
    """The approvals that this process has asked for and nobody has decided yet.

    Args:
        recorder: writes them down.
        limit: characters of arguments kept.
        elsewhere: gives the place in which other processes ask and decide too, if there is one.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        limit: int,
        elsewhere: Callable[[], Elsewhere | None] = lambda: None,
    ) -> None:
        self._recorder = recorder
        self._limit = limit
        self._elsewhere = elsewhere
        self._asked: OrderedDict[tuple[str, str], _Asked] = OrderedDict()
        self._decided: OrderedDict[tuple[str, str], Operation] = OrderedDict()
        self.after_fork()

    def after_fork(self) -> None:
        """A child process: what is pending is the parent's, and is found in the store like anybody's."""
        self._lock = threading.Lock()
        self._deciding = threading.RLock()
        self._asked.clear()
        self._decided.clear()

    def inherit(self, before: Approvals) -> None:
        """What another one was asked for is decided here from now on."""
        with before._lock:
            moved = list(before._asked.items())
            before._asked.clear()
        with self._lock:
            self._asked.update(moved)
            self._decided.update(before._decided)

    def under_way(self) -> list[Operation]:
        """Records of what is pending."""
        return [asked.record for asked in list(self._asked.values())]

    def carry(self, event_type: str, payload: Mapping[str, Any], scope: Scope | None) -> None:
        """An event speaks of an approval."""
        if event_type == DECIDED:
            self.decide(payload, scope.session_id if scope is not None and scope.explicit else None)
        else:
            self.ask(payload, (event_type,), scope)

    def ask(self, payload: Mapping[str, Any], said: tuple[str, ...] = ASKED, scope: Scope | None = None) -> Operation:
        """A human is asked. Asked again by the same call id while it is pending, it is the same approval.

        Args:
            payload: ``tool_name``, ``call_id``, ``arguments``, ``reason``, ``timeout_seconds``; each may be missing.
            said: the events it is reported by.
            scope: whose it is; by default that of the code that runs now.
        """
        call_id = clean_id(payload.get("call_id")) or f"approval-{new_id()}"
        scope = scope or self._recorder.scope()
        key = scope.session_id, call_id
        with self._lock:
            asked = self._asked.get(key)
            if asked is None:
                asked = self._begun(call_id, payload, scope)
            record = asked.record
            missing = {name: value for name, value in self._facts(payload).items() if name not in record.attributes}
            record = record._replace(attributes={**record.attributes, **missing})
            events = [
                self._event(record, event_type, self._recorder.now(), self._question(record))
                for event_type in said
                if event_type not in asked.said
            ]
            self._asked[key] = _Asked(record, asked.base, asked.said | {*said}, (*asked.events, *events))
            self._decided.pop(key, None)  # by the same id something is asked anew
            if len(self._asked) > _MAX_PENDING:
                self._asked.popitem(last=False)  # the store still has it
        for event in events:
            self._recorder.tell(event, asked.base)
        elsewhere = self._recorder.guard(self._elsewhere) if events else None
        if elsewhere is not None:
            self._recorder.guard(elsewhere.tell)
        return record

    def decide(self, payload: Mapping[str, Any], session_id: str | None = None) -> bool:
        """A human has decided. A decision that nobody is known to have asked for is kept too.

        Each approval is decided once: what is decided already stays so, and who comes second is told.

        Args:
            payload: ``call_id``, ``decision``, ``modified_args``, ``decided_by``, and ``tool_name`` and
                ``original_args`` in case the request is not known.
            session_id: of the request, where call ids repeat.

        Returns:
            Whether this is the decision.

        Raises:
            ValueError: for a decision that is none.
        """
        call_id = clean_id(payload.get("call_id")) or f"approval-{new_id()}"
        session_id = clean_id(session_id)
        decision = decision_of(payload.get("decision"))
        if decision is None:
            raise ValueError(f"decision={payload.get('decision')!r}: expected one of: {', '.join(DECISIONS)}")
        elsewhere = self._recorder.guard(self._elsewhere)
        # One at a time: until the first one's decision is written, a second one is to find that it is being made.
        with self._deciding, contextlib.nullcontext() if elsewhere is None else elsewhere.alone():
            asked = self._take(call_id, session_id, elsewhere)
            if asked is None:
                asked = self._unasked(call_id, payload, session_id)
                if not payload.get("tool_name"):  # who decides by the id alone means a request that was made
                    _log.warning("tachograph: %s", _unheard(asked.record, decision, elsewhere))
            if asked.record.end_ns is not None:
                _log.warning("tachograph: %s", _too_late(asked.record, decision))
                return False
            return self._end(asked, decision, payload)

    def _end(self, asked: _Asked, decision: str, payload: Mapping[str, Any]) -> bool:
        """Write it down; whether it came in time."""
        now = max(self._recorder.now(), asked.record.start_ns)
        late = expired(asked.record, now)
        facts = {
            names.APPROVAL_DECISION: EXPIRED if late else decision,
            names.APPROVAL_LATE: decision if late else None,
            names.APPROVAL_BY: as_text(payload.get("decided_by")),
            **self._edited(asked.record, payload.get("modified_args")),
        }
        known = {name: value for name, value in facts.items() if value is not None}
        record = asked.record._replace(end_ns=now, outcome="ok", attributes={**asked.record.attributes, **known})
        event = self._event(record, DECIDED, now, {**self._answer(record), "decision": decision, "late": late or None})
        inside = None if (around := current(asked.base)) is None else around.operation
        if inside is not None:
            inside.waited(record.start_ns, now)
        record = self._recorder.write(record, asked.base, (*asked.events, event))
        self._recorder.tell(event, asked.base)
        if names.HUMAN_WAIT in record.attributes:
            self._settled(record)
        return not late

    def catch_up(self) -> None:
        """Hear what other processes have decided on what was asked for here."""
        pending = {asked.record.id: key for key, asked in list(self._asked.items())}
        elsewhere = self._recorder.guard(self._elsewhere) if pending else None
        if elsewhere is None:
            return
        for ended in self._recorder.guard(elsewhere.decided, pending, default=[]):
            key = pending[ended.id]
            with self._lock:
                asked = self._asked.get(key)
                if asked is None or asked.record.id != ended.id:
                    continue  # decided here meanwhile
                del self._asked[key]
            self._heard(asked, ended)

    def _heard(self, asked: _Asked, ended: Operation) -> None:
        """What another process has decided is what is known here from now on."""
        inside = None if (around := current(asked.base)) is None else around.operation
        if inside is not None and ended.end_ns is not None:
            inside.waited(ended.start_ns, ended.end_ns)
        self._recorder.learn(ended)
        self._settled(ended)

    def _settled(self, record: Operation) -> None:
        with self._lock:
            self._decided[record.session_id, self.call_id(record)] = record
            if len(self._decided) > _MAX_PENDING:
                self._decided.popitem(last=False)

    # ------------------------------------------------------------------------------------------------- by call id
    def _take(self, call_id: str, session_id: str | None, elsewhere: Elsewhere | None) -> _Asked | None:
        """What was asked for by this id, pending or decided by now; None if it is not known."""
        here = self._recorder.scope().session_id
        with self._lock:
            pending, decided = (_meant(table, call_id, session_id, here) for table in (self._asked, self._decided))
            asked = None if pending is None else self._asked.pop(pending)
        if asked is not None:
            known = None if elsewhere is None else self._recorder.guard(elsewhere.decided, [asked.record.id])
            if not known:
                return asked
            self._heard(asked, known[0])  # another process was faster
            return asked._replace(record=known[0])
        record = None if elsewhere is None else self._recorder.guard(elsewhere.asked, call_id, session_id)
        if (record is None or record.end_ns is not None) and decided is not None:
            record = self._decided.get(decided, record)
        return None if record is None else _Asked(record, _around(record), frozenset(), ())

    def _begun(self, call_id: str, payload: Mapping[str, Any], scope: Scope) -> _Asked:
        base = get_current()
        around = trace.get_current_span(base).get_span_context()
        around_id = trace.format_span_id(around.span_id) if around.is_valid else None
        inside = scope.operation
        record = Operation(
            os.urandom(8).hex(),
            "approval",
            as_text(payload.get("tool_name")) or "unnamed",
            scope.session_id,
            scope.correlation_id or new_id(),
            self._recorder.now(),
            agent=None if (run := run_of(inside)) is None else run.record.name,
            parent_id=around_id if inside is None else inside.record.id,
            trace_id=trace.format_trace_id(around.trace_id) if around.is_valid else None,
            user_id=scope.user_id,
            attributes={
                names.TOOL_CALL_ID: call_id,
                names.TOOL_NAME: as_text(payload.get("tool_name")) or "unnamed",
                names.HUMAN_WAIT: True,
            },
        )
        return _Asked(record, base, frozenset(), ())

    def _unasked(self, call_id: str, payload: Mapping[str, Any], session_id: str | None) -> _Asked:
        scope = self._recorder.scope()
        if session_id not in (None, scope.session_id):
            scope = Scope(session_id or "", explicit=True)
        asked = self._begun(call_id, payload, scope)
        given = {**payload, "arguments": payload.get("original_args")}
        record = asked.record
        known = {name: value for name, value in record.attributes.items() if name != names.HUMAN_WAIT}
        return asked._replace(record=record._replace(attributes={**known, **self._facts(given)}))

    # -------------------------------------------------------------------------------------------------- its facts
    def _facts(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        timeout, arguments = payload.get("timeout_seconds"), payload.get("arguments")
        facts: dict[str, Any] = {
            names.APPROVAL_REASON: as_text(payload.get("reason")),
            names.APPROVAL_TIMEOUT: float(timeout) if timeout is not None and is_timeout(timeout) else None,
        }
        if arguments is not None:
            facts |= {
                names.APPROVAL_ARGUMENTS: as_json(clipped(arguments, self._limit)),
                names.APPROVAL_NAMES: tuple(itertools.islice(_names(arguments), MAX_NAMES)),
                names.APPROVAL_DIGEST: digest(arguments),
            }
        return {name: value for name, value in facts.items() if value is not None}

    def _edited(self, record: Operation, modified: Any) -> dict[str, Any]:
        if modified is None:
            return {}
        kept = as_json(clipped(modified, self._limit))
        difference = changes(record.attributes.get(names.APPROVAL_ARGUMENTS), kept) or {}
        return {
            names.APPROVAL_EDITED: kept,
            names.APPROVAL_EDITED_NAMES: tuple(
                sorted({key for part in difference.values() for key in part})[:MAX_NAMES]
            ),
            names.APPROVAL_EDITED_DIGEST: digest(modified),
        }

    @staticmethod
    def call_id(record: Operation) -> str:
        """By which an approval is decided."""
        call_id: str = record.attributes[names.TOOL_CALL_ID]
        return call_id

    @staticmethod
    def _question(record: Operation) -> dict[str, Any]:
        facts = record.attributes
        return {
            "tool_name": record.name,
            "call_id": facts[names.TOOL_CALL_ID],
            "reason": facts.get(names.APPROVAL_REASON),
            "timeout_seconds": facts.get(names.APPROVAL_TIMEOUT),
            "arguments": _parsed(facts.get(names.APPROVAL_ARGUMENTS)),
        }

    @staticmethod
    def _answer(record: Operation) -> dict[str, Any]:
        facts = record.attributes
        original, modified = facts.get(names.APPROVAL_ARGUMENTS), facts.get(names.APPROVAL_EDITED)
        return {
            "call_id": facts[names.TOOL_CALL_ID],
            "tool_name": record.name,
            "original_args": _parsed(original),
            "modified_args": _parsed(modified),
            "changes": changes(original, modified),
            "decided_by": facts.get(names.APPROVAL_BY),
            "waiting_ms": round(((record.end_ns or record.start_ns) - record.start_ns) / 1_000_000, 3),
        }

    @staticmethod
    def _event(record: Operation, event_type: str, moment_ns: int, payload: Mapping[str, Any]) -> Event:
        return Event(
            id=f"{record.id}:{event_type}",
            type=event_type,
            session_id=record.session_id,
            correlation_id=record.correlation_id,
            timestamp_ns=moment_ns,
            trace_id=record.trace_id,
            span_id=record.parent_id,
            user_id=record.user_id,
            payload={name: value for name, value in payload.items() if value is not None},
        )


def is_timeout(given: Any) -> bool:
    """Whether it is a number of seconds that somebody can be given."""
    return isinstance(given, (int, float)) and not isinstance(given, bool) and 0 <= given <= sys.float_info.max


def decision_of(given: Any) -> str | None:
    """The decision that a word, or a member of an enumeration, says; None if it says none."""
    for word in (given, getattr(given, "value", None), getattr(given, "name", None)):
        if type(word) is str and word.upper() in DECISIONS:
            return word.upper()
    return None


def _meant(
    table: Mapping[tuple[str, str], Any], call_id: str, session_id: str | None, here: str
) -> tuple[str, str] | None:
    """Where the same id is in several sessions, the one the caller is in is meant; else the newest."""
    keys = [key for key in table if key[1] == call_id and session_id in (None, key[0])]
    return next((key for key in keys if key[0] == here), keys[-1] if keys else None)


def _too_late(record: Operation, decision: str) -> str:
    facts = record.attributes
    by = None if names.APPROVAL_LATE in facts else facts.get(names.APPROVAL_BY)
    return (
        f"approval of call {Approvals.call_id(record)!r} in session {record.session_id!r}: was decided already "
        f"({facts.get(names.APPROVAL_DECISION)}{f' by {by}' if by else ''}, {timestamp(record.end_ns or 0)}); "
        f"this {decision} changes nothing"
    )


def _unheard(record: Operation, decision: str, elsewhere: Elsewhere | None) -> str:
    where = "in this process, and no store is set to look into (TACHOGRAPH_STORE)" if elsewhere is None else "here"
    return (
        f"approval of call {Approvals.call_id(record)!r}: nobody is known to have asked for it {where}; "
        f"this {decision} is kept, but nobody waits for it"
    )


def _around(record: Operation) -> Context:
    """Where another process asked, as far as ids say."""
    if record.trace_id is None or record.parent_id is None:
        return Context()
    asked_in = trace.SpanContext(
        int(record.trace_id, 16), int(record.parent_id, 16), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(asked_in), Context())


def _names(arguments: Any) -> Iterator[str]:
    return (key for key in dict.keys(arguments) if type(key) is str) if isinstance(arguments, dict) else iter(())


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text) if text[:1] in ("{", "[") else text
