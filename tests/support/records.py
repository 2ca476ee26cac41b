"""Lawful random histories: records as the recorder could have written them, and every order they may arrive in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from hypothesis import strategies as st

from tachograph import names
from tachograph.ledger import Ledger
from tachograph.records import Event, Kind, Operation, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tachograph.records import Record

MOMENT = 1_768_654_800_000_000_000
"""2026-01-17T13:00:00Z, when histories begin."""

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND

KINDS: tuple[Kind, ...] = get_args(Kind)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SESSIONS = ("alpha", "beta", "gamma")
AGENTS = ("manager", "coder", "critic")
MODELS = ("gpt-4.1", "small")
TOOLS = ("search", "write_file", "final_answer")
ERRORS = ("ValueError", "TimeoutError")
_NAMES = {"agent": AGENTS, "plan": AGENTS, "task": AGENTS, "model": MODELS, "tool": TOOLS}
_SUBJECTS = {
    "agent": names.AGENT_NAME,
    "plan": names.AGENT_NAME,
    "task": names.WORKFLOW_NAME,
    "model": names.REQUEST_MODEL,
    "tool": names.TOOL_NAME,
    "approval": names.TOOL_NAME,
}


# ------------------------------------------------------------------------------------------------ by hand
def identifier(number: int) -> str:
    """The id of the operation with that number: 16 hex digits."""
    return f"{number:016x}"


def operation(  # noqa: PLR0913 - so that a test says in one line what matters to it
    number: int,
    kind: Kind = "model",
    name: str = "gpt-4.1",
    *,
    at: float = 0,
    took: float | None = 1_000,
    outcome: Outcome | None = "ok",
    session: str = "s",
    request: str = "r",
    parent: int | None = None,
    attributes: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Operation:
    """An operation; ``at`` and ``took`` in milliseconds, one that ``took`` None is open."""
    start = MOMENT + round(at * MILLISECOND)
    return Operation(
        id=identifier(number),
        kind=kind,
        name=name,
        session_id=session,
        correlation_id=request,
        start_ns=start,
        end_ns=None if took is None else start + round(took * MILLISECOND),
        outcome=None if took is None else outcome,
        parent_id=None if parent is None else identifier(parent),
        attributes={} if attributes is None else attributes,
        **fields,
    )


def event(
    number: int,
    event_type: str,
    *,
    at: float = 0,
    session: str = "s",
    request: str | None = "r",
    inside: int | None = None,
    **payload: Any,
) -> Event:
    """An event; ``at`` in milliseconds, ``inside`` the operation around it."""
    return Event(
        id=f"event-{number}",
        type=event_type,
        session_id=session,
        correlation_id=request,
        timestamp_ns=MOMENT + round(at * MILLISECOND),
        span_id=None if inside is None else identifier(inside),
        payload=payload,
    )


def opened(ended: Operation) -> Operation:
    """An operation as it was before it ended."""
    return ended._replace(end_ns=None, outcome=None, error_type=None, error_message=None)


def ledger_of(records: Iterable[Record], **bounds: int) -> Ledger:
    """A ledger that was given these records, in this order."""
    ledger = Ledger(**bounds)
    for record in records:
        ledger.apply(record)
    return ledger


# ------------------------------------------------------------------------------------------ for the codec
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_floats = st.floats(-1e9, 1e9)
_ids = st.integers(1, 2**64 - 1).map(identifier)
_of_type: dict[type, st.SearchStrategy[Any]] = {
    str: _texts,
    int: st.integers(-(2**63), 2**63 - 1),
    float: _floats,
    bool: st.booleans(),
    tuple: st.lists(_texts, max_size=3).map(tuple),
}
FIELD_ATTRIBUTES = frozenset(
    {
        names.CORRELATION_ID,
        names.ERROR_TYPE,
        names.EXCEPTION_MESSAGE,
        names.KIND,
        names.OPERATION_ID,
        names.OPERATION_NAME,
        names.OUTCOME,
        names.PARENT_ID,
        names.RUN_BY,
        names.SAMPLER,
        names.SESSION_ID,
        names.SUBJECT,
        names.USER_ID,
    }
)
"""Attributes by which a span says what is a field in the record."""

COUNTED_AT_START = frozenset({names.NESTED, names.SWITCH_FROM, names.SWITCH_TO})
"""Facts that decide what a start counts as, so never known only at the end."""

_free = sorted(name for name, row in names.ATTRIBUTES.items() if name not in FIELD_ATTRIBUTES and not row.local)


@st.composite
def facts(draw: st.DrawFn, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Attributes from the table, each of its own type, none of them a field of the record."""
    chosen = draw(st.lists(st.sampled_from(sorted(set(_free) - set(without))), max_size=5, unique=True))
    return {name: draw(_of_type[names.ATTRIBUTES[name].type]) for name in chosen}


@dataclass(frozen=True)
class Written:
    """A record, what was known of it at the start, what the end added, and the parent its span has."""

    record: Operation
    at_start: Mapping[str, Any]
    at_end: Mapping[str, Any]
    span_parent_id: str | None


@st.composite
def writings(draw: st.DrawFn) -> Written:
    """Every kind of operation with every outcome and any facts, inside another span or not."""
    kind = draw(st.sampled_from(KINDS))
    outcome = draw(st.sampled_from(OUTCOMES))
    subject = _SUBJECTS.get(kind, "")
    at_start = draw(facts())
    if subject and draw(st.booleans()):
        at_start[subject] = draw(_texts)
    at_end = draw(facts(without={*at_start, names.AGENT_NAME}))  # which is known from the start
    name = draw(st.one_of(_texts, st.just(at_start.get(subject, ""))))
    failed = outcome in ("error", "refused")
    start = draw(st.integers(1, 2**62))
    parent_id = draw(st.none() | _ids)
    # An operation with nothing around it has no parent; one inside a foreign span may belong to another operation.
    span_parent_id = None if parent_id is None else draw(st.sampled_from([parent_id, None]) | _ids)
    record = Operation(
        id=draw(_ids),
        kind=kind,
        name=name,
        session_id=draw(_words),
        correlation_id=draw(_words),
        start_ns=start,
        end_ns=start + draw(st.integers(0, 2**40)),
        outcome=outcome,
        error_type=draw(st.none() | _words) if failed else None,
        error_message=draw(st.none() | _words) if failed else None,
        agent=draw(st.none() | _words),
        parent_id=parent_id,
        trace_id=f"{draw(st.integers(1, 2**128 - 1)):032x}",
        user_id=draw(st.none() | _words),
        attributes={**at_start, **at_end},
    )
    return Written(record, at_start, at_end, span_parent_id)


payloads = st.dictionaries(
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8).filter(
        lambda name: name not in names.CONTENT_FIELDS
    ),
    st.one_of(_texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), _floats),
    max_size=4,
)
"""What an event may say that a span can hold and that is sent as it is."""


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Every type of event with any payload that a span can hold, on a span."""
    return Event(
        id=draw(_words),
        type=draw(st.sampled_from(sorted(names.EVENTS))),
        session_id=draw(_texts),
        correlation_id=draw(st.none() | _words),
        timestamp_ns=draw(st.integers(1, 2**62)),
        trace_id=f"{draw(st.integers(1, 2**128 - 1)):032x}",
        span_id=draw(_ids),
        payload=draw(payloads),
    )


# ------------------------------------------------------------------------------------------ for the ledger
@dataclass(frozen=True)
class Work:
    """One operation in its two writings; the second is missing while it is open."""

    started: Operation
    ended: Operation | None

    @property
    def last(self) -> Operation:
        """What is known of it in the end."""
        return self.ended or self.started


@dataclass(frozen=True)
class History:
    """What happened: nested operations of several sessions, one during the other, and events."""

    works: tuple[Work, ...]
    events: tuple[Event, ...]

    def last(self) -> list[Record]:
        """Each fact once: operations as they ended, open ones as they began, and the events."""
        return [*(work.last for work in self.works), *self.events]

    def live(self) -> list[Record]:
        """Everything in the order it happened: starts, ends and events."""
        timed: list[tuple[int, int, Record]] = []
        for number, work in enumerate(self.works):
            timed.append((work.started.start_ns, number, work.started))
            if work.ended is not None:
                # Of operations that end in the same moment the inner one ends first.
                timed.append((work.ended.end_ns or 0, 1_000_000 - number, work.ended))
        timed += [(happened.timestamp_ns, 500_000, happened) for happened in self.events]
        return [record for *_, record in sorted(timed, key=lambda entry: entry[:2])]


_counts = st.none() | st.integers(0, 5_000)
_steps = st.tuples(
    st.integers(0, 40),  # which of the operations so far it happens in; beyond them, in none
    st.sampled_from(["agent", "agent", "model", "model", "tool", "tool", "plan", "code", "task", "other", "approval"]),
    st.integers(0, 5),  # which name
    st.sampled_from([*OUTCOMES, "ok", "ok", "ok", "error"]),
    st.just(0) | st.integers(0, 3 * SECOND),  # nanoseconds after its parent's start
    st.just(0) | st.integers(0, 2 * SECOND),  # nanoseconds it took
)
EMITTED = (
    "session_created",
    "session_updated",
    "session_deleted",
    "message_added",
    "agent_registered",
    "agent_switched",
    "tool_approval_required",
    "hitl_approval_requested",
    "hitl_decision_made",
    "system_startup",
    "system_shutdown",
    "threshold_exceeded",
)
"""Types of events that are sent as such; the others are the starts and ends of operations."""

_happenings = st.tuples(
    st.integers(0, 40),
    st.sampled_from([*EMITTED, "agent_switched", "agent_switched"]),
    st.integers(0, 5 * SECOND),
)


@st.composite
def histories(draw: st.DrawFn, *, max_size: int = 16, still_open: bool = True) -> History:
    """Random histories.

    Args:
        draw: Hypothesis' own.
        max_size: most operations.
        still_open: whether some operations may not have ended.
    """
    works: list[Work] = []
    for number, step in enumerate(draw(st.lists(_steps, max_size=max_size)), start=1):
        works.append(draw(_works(number, step, works, still_open=still_open)))
    happened = []
    for number, (place, event_type, after) in enumerate(draw(st.lists(_happenings, max_size=4))):
        around = works[place].started if place < len(works) else None
        copies = event_type == "agent_switched" and around is not None and after % 2
        payload: dict[str, Any] = {"from_agent": "manager", "to_agent": "critic", "note": after}
        if copies and around is not None:
            payload[names.OPERATION_ID] = around.id  # the log event of what an operation carries already
        happened.append(
            Event(
                id=f"event-{number}",
                type=event_type,
                session_id=around.session_id if around else "alpha",
                correlation_id=around.correlation_id if around else None,
                timestamp_ns=MOMENT + after,
                span_id=around.id if around else None,
                payload=payload,
            )
        )
    return History(tuple(works), tuple(happened))


@st.composite
def _works(draw: st.DrawFn, number: int, step: tuple[Any, ...], works: list[Work], *, still_open: bool) -> Work:
    place, kind, pick, outcome, gap, took = step
    parent = works[place].started if place < len(works) else None
    run = _enclosing_run(parent, works)
    pool = _NAMES.get(kind, ("step",))
    name = pool[pick % len(pool)]
    if outcome == "refused" and kind != "tool":
        outcome = "ok"
    at_start, at_end = draw(_facts_of(kind)), draw(_facts_of(kind, ended=True))
    if kind == "agent":
        if run is not None:
            at_start[names.NESTED] = True
            if pick % 2:
                at_start |= {names.SWITCH_FROM: run.name, names.SWITCH_TO: name}
        if outcome == "error" and pick % 3 == 0:
            at_end[names.HANDED_UP] = True
    failed = outcome in ("error", "refused")
    started = Operation(
        id=identifier(number),
        kind=kind,
        name=name,
        session_id=parent.session_id if parent else SESSIONS[pick % 3],
        correlation_id=parent.correlation_id if parent else f"request-{pick}",
        start_ns=(parent.start_ns if parent else MOMENT) + gap,
        agent=None if run is None else run.name,
        parent_id=parent.id if parent else draw(st.sampled_from([None, None, identifier(999)])),
        trace_id=draw(st.sampled_from([None, f"{1:032x}"])),
        user_id=parent.user_id if parent else draw(st.sampled_from([None, "ada", "bob"])),
        attributes=at_start,
    )
    if still_open and draw(st.integers(0, 9)) == 0:
        return Work(started, None)
    ended = started._replace(
        end_ns=started.start_ns + (0 if outcome == "refused" else took),
        outcome=outcome,
        error_type=ERRORS[pick % 2] if failed else None,
        error_message=draw(st.sampled_from([None, "it broke"])) if failed else None,
        attributes={**at_start, **at_end},
    )
    return Work(started, ended)


def _enclosing_run(inner: Operation | None, works: list[Work]) -> Operation | None:
    known = {work.started.id: work.started for work in works}
    while inner is not None and inner.kind != "agent":
        inner = known.get(inner.parent_id or "")
    return inner


_model_facts = st.fixed_dictionaries(
    {},
    optional={
        names.INPUT_TOKENS: st.integers(0, 5_000),
        names.OUTPUT_TOKENS: st.integers(0, 5_000),
        names.CACHED_TOKENS: st.integers(0, 50),
        names.REASONING_TOKENS: st.integers(0, 50),
        names.RESPONSE_TOOL_CALLS: st.integers(0, 3),
        names.ACTIVE_SECONDS: st.floats(0, 2),
    },
)
_run_facts = st.fixed_dictionaries(
    {}, optional={names.STEPS: st.integers(1, 9), names.RECOVERED: st.lists(st.sampled_from(ERRORS), max_size=2)}
).map(lambda made: {**made, **({names.RECOVERED: tuple(made[names.RECOVERED])} if names.RECOVERED in made else {})})
_tool_facts = st.fixed_dictionaries({}, optional={names.HUMAN_WAIT: st.just(value=True)})
_call_facts = st.fixed_dictionaries(
    {}, optional={names.REQUEST_STREAM: st.just(value=True), names.STEP: st.integers(1, 9)}
)
_AT_START = {"model": _call_facts, "tool": st.fixed_dictionaries({}, optional={names.TOOL_CALL_ID: st.just("call_1")})}
_AT_END = {"model": _model_facts, "agent": _run_facts, "tool": _tool_facts}


def _facts_of(kind: str, *, ended: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    return (_AT_END if ended else _AT_START).get(kind, st.just({})).map(dict)


@st.composite
def deliveries(draw: st.DrawFn, history: History) -> list[Record]:
    """A history's records as they may arrive: interleaved as they happened, or late, or in no order, with repeats."""
    records = history.live()
    if not records:
        return records
    repeats = draw(st.lists(st.sampled_from(records), max_size=5))
    if draw(st.booleans()):
        return [*records, *repeats]
    return draw(st.permutations([*records, *repeats]))
