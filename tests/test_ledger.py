"""The ledger answers at once, whatever order records come in, and never grows beyond its bounds."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.records import (
    AGENTS,
    MODELS,
    SESSIONS,
    TOOLS,
    History,
    deliveries,
    event,
    histories,
    identifier,
    ledger_of,
    opened,
    operation,
)
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.records import Operation
from tachograph.tap import Tap
from tachograph.views.session import SessionMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tachograph.records import Kind, Record


def answers(ledger: Ledger, correlations: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Everything that can be asked of a ledger, as plain values."""
    return {
        "sessions": sorted(ledger.sessions()),
        "session": {session_id: ledger.session_metrics(session_id).to_dict() for session_id in SESSIONS},
        "request": {key: ledger.session_metrics(*key).to_dict() for key in correlations},
        "total": ledger.total().to_dict(),
        "metrics": ledger.metrics().to_dict(),
        "audit": ledger.audit_log(),
        "audit of a session": {session_id: ledger.audit_log(session_id=session_id) for session_id in SESSIONS},
        "timeline": ledger.timeline().to_dict(),
        "timeline of a session": {
            session_id: ledger.timeline(session_id=session_id).to_dict() for session_id in SESSIONS
        },
        "open": sorted(operation.id for operation in ledger.open_operations()),
    }


def requests_of(history: History) -> list[tuple[str, str]]:
    return sorted({(work.last.session_id, work.last.correlation_id) for work in history.works})


# ----------------------------------------------------------------------------------------------------- the law
@settings(max_examples=200)
@given(st.data())
def test_the_live_ledger_is_the_ledger_rebuilt(data: st.DataObject) -> None:
    """Fed interleaved, late and with repeats, it answers like one given each fact once, in any order."""
    history = data.draw(histories())
    live = ledger_of(data.draw(deliveries(history)))
    rebuilt = ledger_of(data.draw(st.permutations(history.last())))
    assert answers(rebuilt, requests_of(history)) == answers(live, requests_of(history))


@settings(max_examples=50)
@given(histories())
def test_reading_changes_nothing(history: History) -> None:
    """A ledger read after every record says in the end what one that nobody read says."""
    watched = Ledger()
    for record in history.live():
        watched.apply(record)
        answers(watched)
    assert answers(ledger_of(history.live())) == answers(watched)


@settings(max_examples=100)
@given(histories(still_open=False))
def test_the_requests_of_a_session_add_up_to_it(history: History) -> None:
    """Counters of a session are the sums of the counters of its requests, as far as events name a request."""
    ledger = ledger_of([record for record in history.last() if isinstance(record, Operation)])
    sums = ("agent_runs", "tool_calls", "total_requests", "total_tokens", "errors", "agent_switches", "tasks")
    for session_id in SESSIONS:
        parts = [ledger.session_metrics(*key) for key in requests_of(history) if key[0] == session_id]
        assert {name: sum(getattr(part, name) for part in parts) for name in sums} == {
            name: getattr(ledger.session_metrics(session_id), name) for name in sums
        }


class Ledgers(RuleBasedStateMachine):
    """A ledger whose sessions are cleared while work is under way, beside a plain list of what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.count = 0
        self.open: dict[str, Operation] = {}
        self.unseen: set[str] = set()  # open when their session was cleared: nothing is counted before they end
        self.done: list[Record] = []
        self.kept: dict[str, list[Record]] = defaultdict(list)

    @rule(session=st.sampled_from(SESSIONS), kind=st.sampled_from(["agent", "model", "tool"]), pick=st.integers(0, 5))
    def begins(self, session: str, kind: Kind, pick: int) -> None:
        self.count += 1
        pool = {"agent": AGENTS, "model": MODELS, "tool": TOOLS}[kind]
        facts = {names.SWITCH_FROM: "manager", names.NESTED: True} if kind == "agent" and pick % 2 else {}
        begun = opened(operation(self.count, kind, pool[pick % len(pool)], session=session, attributes=facts))
        self.open[begun.id] = begun
        self.ledger.apply(begun)

    @rule(pick=st.integers(0, 50), outcome=st.sampled_from(["ok", "error", "interrupted"]))
    def ends(self, pick: int, outcome: Any) -> None:
        if self.open:
            begun = sorted(self.open.values(), key=lambda begun: begun.id)[pick % len(self.open)]
            del self.open[begun.id]
            self.unseen.discard(begun.id)
            ended = operation(
                int(begun.id, 16),
                begun.kind,
                begun.name,
                session=begun.session_id,
                outcome=outcome,
                attributes={**begun.attributes, names.INPUT_TOKENS: 7},
            )
            self.keep(ended)

    @rule(session=st.sampled_from(SESSIONS))
    def happens(self, session: str) -> None:
        self.count += 1
        self.keep(event(self.count, "agent_switched", session=session, from_agent="coder", to_agent="critic"))

    def keep(self, record: Record) -> None:
        self.done.append(record)
        self.kept[record.session_id].append(record)
        self.ledger.apply(record)

    @rule(pick=st.integers(0, 50))
    def is_told_again(self, pick: int) -> None:
        if self.done:
            again = self.done[pick % len(self.done)]
            self.ledger.apply(again)
            if isinstance(again, Operation):
                self.ledger.apply(opened(again))

    @rule(session=st.sampled_from(SESSIONS))
    def is_cleared(self, session: str) -> None:
        under_way = {begun.id for begun in self.open.values() if begun.session_id == session}
        known = bool(self.kept[session] or under_way - self.unseen)
        self.kept[session] = []
        self.unseen |= under_way
        assert known == self.ledger.clear_session(session)

    def seen(self, session: str) -> list[Record]:
        under_way = [begun for begun in self.open.values() if begun.session_id == session]
        return [*self.kept[session], *(begun for begun in under_way if begun.id not in self.unseen)]

    @invariant()
    def totals_are_those_of_everything(self) -> None:
        everything = ledger_of([*self.done, *self.open.values()])
        assert everything.total() == self.ledger.total()
        assert everything.metrics() == self.ledger.metrics()

    @invariant()
    def a_session_is_what_happened_since_it_was_cleared(self) -> None:
        for session in SESSIONS:
            since = ledger_of(self.seen(session))
            assert since.session_metrics(session) == self.ledger.session_metrics(session)
            assert since.session_metrics(session, "r") == self.ledger.session_metrics(session, "r")
            assert since.audit_log() == self.ledger.audit_log(session_id=session)
            assert since.timeline() == self.ledger.timeline(session_id=session)


class TestLedgers(Ledgers.TestCase):  # type: ignore[name-defined,misc]
    """Totals outlive whatever is cleared, and a cleared session starts from nothing."""

    settings = settings(max_examples=60, stateful_step_count=25)


# ------------------------------------------------------------------------------------------------ unknown ids
def test_an_unknown_session_is_zeros() -> None:
    """Asking for a session or a request that nobody has heard of gives zeros and makes no session."""
    ledger = ledger_of([operation(1)])
    nothing = {"amount": 0.0, "currency": "USD", "complete": True, "unpriced_models": []}
    assert SessionMetrics(session_id="x", cost=nothing) == ledger.session_metrics("x")
    assert SessionMetrics(session_id="s", cost=nothing) == ledger.session_metrics("s", "x")
    assert (
        ledger.audit_log(session_id="x"),
        ledger.timeline(session_id="x").entries,
        ledger.sessions(),
    ) == ([], (), ["s"])
    assert not ledger.clear_session("x")


@pytest.mark.parametrize("event_type", ["agent_registered", "system_startup", "system_shutdown"])
def test_what_happens_before_any_work_makes_no_session(event_type: str) -> None:
    """Registrations and the process' own events are in the audit log, but no session comes of them."""
    ledger = ledger_of([event(1, event_type, session="process", request=None)])
    assert (ledger.sessions(), len(ledger.audit_log(session_id="process"))) == ([], 1)


# ------------------------------------------------------------------------------- one thread within itself, many
class Meddling(dict[str, Any]):
    """Attributes that do something the first time a fold looks at them."""

    def __init__(self, meddle: Callable[[], object], **facts: Any) -> None:
        super().__init__(facts)
        self.todo: list[Callable[[], object]] = [meddle]

    def get(self, key: str, default: Any = None) -> Any:
        while self.todo:
            self.todo.pop()()
        return super().get(key, default)


def fold(ledger: Ledger, record: Record) -> None:
    """Give the ledger a record and have it folded."""
    ledger.apply(record)
    ledger.sessions()


def in_time(work: Callable[[], object]) -> None:
    """Do it on a thread of its own, so that a deadlock is a failure and not a hang."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "deadlock"
    assert failures == []


def test_what_waits_to_be_counted_is_bounded_and_is_counted_when_somebody_reads() -> None:
    """Where nobody reads, some thousand records wait and no more; whoever reads sees all of them, each once."""
    ledger, most = Ledger(max_records=10), 0
    for number in range(5_000):
        ledger.apply(operation(number, at=number))
        most = max(most, len(ledger._inbox))
    assert 64 < most <= 2_048
    assert (5_000, 0) == (ledger.total().total_requests, len(ledger._inbox))


def test_one_that_is_written_down_waits_less() -> None:
    """A tap reads along: what it is given in batches does not wait for thousands."""
    ledger, tap = Ledger(), Tap(1_000, lambda: None, lambda: None, 500)
    ledger.tap(tap)
    for number in range(100):
        ledger.apply(operation(number, at=number))
    assert len(tap) >= 64
    ledger.untap(tap)
    for number in range(100, 200):
        ledger.apply(operation(number, at=number))
    assert (100, 200) == (len(ledger._inbox), ledger.total().total_requests)


def test_a_record_that_comes_in_the_middle_of_a_fold_is_kept() -> None:
    """A call of apply from inside a fold neither waits for itself nor loses its record nor the fold's."""
    ledger = Ledger()

    def meddle() -> None:
        for number in (2, 3, 2, 1):
            ledger.apply(operation(number, at=number))

    in_time(lambda: fold(ledger, operation(1, attributes=Meddling(meddle))))
    assert (
        ledger.total().total_requests,
        ledger.session_metrics("s").total_requests,
        len(ledger.timeline().entries),
    ) == (3, 3, 3)


def test_a_stream_collected_in_the_middle_of_a_fold_is_recorded() -> None:
    """The garbage collector may end an abandoned stream while the ledger is folding another record."""
    ledger = Ledger()

    class Stream:
        def __init__(self) -> None:
            self.itself = self

    weakref.finalize(Stream(), ledger.apply, operation(2, outcome="abandoned"))
    assert ledger.total().total_requests == 0
    in_time(lambda: fold(ledger, operation(1, attributes=Meddling(gc.collect))))
    assert (ledger.total().successful_requests, ledger.total().incomplete_requests) == (1, 1)


def test_a_record_that_comes_in_the_middle_of_a_reading_is_kept() -> None:
    """A call of apply from inside a reading is folded before the next one."""
    meddling = Meddling(lambda: ledger.apply(operation(2)))
    ledger = ledger_of([operation(1, "agent", took=None, attributes=meddling)])
    in_time(ledger.total)
    assert (meddling.todo, ledger.total().total_requests) == ([], 1)


def test_reading_in_the_middle_of_a_fold_neither_waits_nor_breaks_it() -> None:
    """Whoever reads and writes from inside a fold gets an answer, and every record is counted once."""
    ledger = Ledger()

    def meddle() -> None:
        ledger.apply(operation(2))
        ledger.session_metrics("s")
        ledger.apply(operation(3))

    in_time(lambda: fold(ledger, operation(1, attributes=Meddling(meddle))))
    assert 3 == ledger.total().total_requests == ledger.session_metrics("s").total_requests


def test_a_second_thread_waits_for_the_fold_of_the_first() -> None:
    """What comes from another thread in the middle of a fold, a repeat or a question, sees the fold done."""
    ledger = Ledger()
    answered: list[tuple[int, int]] = []

    def ask() -> None:
        ledger.apply(operation(1))
        metrics = ledger.session_metrics("s")
        answered.append((metrics.total_requests, len(metrics.requests)))

    other = threading.Thread(target=ask, daemon=True)

    def meddle() -> None:
        other.start()
        other.join(0.3)  # it cannot end before the fold does, unless it did not wait

    in_time(lambda: fold(ledger, operation(1, attributes=Meddling(meddle))))
    other.join(30)
    assert answered == [(1, 1)]


def test_many_threads_lose_and_double_nothing() -> None:
    """Eight threads of 500 operations each, with readers beside them, come to exact counts."""
    ledger = Ledger(max_records=20_000)
    sessions = [f"session-{n}" for n in range(4)]
    done = threading.Event()

    def work(thread: int) -> None:
        for n in range(500):
            session = sessions[n % 4]
            begun = operation(thread * 1_000 + n, session=session, request=f"r{n}", took=None)
            ledger.apply(begun)
            ended = operation(
                thread * 1_000 + n,
                session=session,
                request=f"r{n}",
                outcome="ok" if n % 5 else "error",
                attributes={names.INPUT_TOKENS: 3, names.OUTPUT_TOKENS: 2},
            )
            ledger.apply(ended)
            if n % 10 == 0:
                ledger.apply(ended)
                ledger.apply(event(thread * 1_000 + n, "message_added", session=session))

    def read() -> None:
        while not done.is_set():
            for session in ledger.sessions():
                metrics = ledger.session_metrics(session)
                assert metrics.total_tokens == 5 * metrics.total_requests
            ledger.timeline(session_id=sessions[0])
            ledger.stats()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(10) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for worker in [pool.submit(work, thread) for thread in range(8)]:
                    worker.result()
            finally:
                done.set()
            for reader in readers:
                reader.result()
    finally:
        sys.setswitchinterval(before)
    total = ledger.total()
    assert (
        total.total_requests,
        total.successful_requests,
        total.failed_requests,
        total.total_tokens,
        total.active_requests,
    ) == (4_000, 3_200, 800, 20_000, 0)
    assert {(1_000, 5_000)} == {
        (ledger.session_metrics(session).total_requests, ledger.session_metrics(session).total_tokens)
        for session in sessions
    }
    assert {ledger.session_metrics(sessions[n % 4], f"r{n}").total_requests for n in range(500)} == {8}
    assert (ledger.stats()["records"], ledger.stats()["open_operations"]) == (4_400, 0)


def test_a_child_process_begins_anew() -> None:
    """What was recorded before a fork is the parent's, and a lock that another thread held does not stop the child."""
    ledger = ledger_of([operation(2), operation(3, session="before")])
    assert ledger.total().total_requests == 2
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger._lock:
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        ledger.after_fork()
        in_time(lambda: ledger.apply(operation(1)))
    finally:
        release.set()
        holder.join(30)
    assert (ledger.total().total_requests, len(ledger.sessions()), ledger.stats()["records"]) == (1, 1, 1)


# ---------------------------------------------------------------------------------------------------- the bounds
def test_the_newest_model_calls_are_listed() -> None:
    """A session lists its newest model calls and says how many it has dropped; its counters have them all."""
    metrics = ledger_of([operation(n, at=n) for n in range(7)], max_requests=3).session_metrics("s")
    assert [call["timestamp"][11:23] for call in metrics.requests] == ["13:00:00.004", "13:00:00.005", "13:00:00.006"]
    assert (metrics.evicted, metrics.total_requests) == ({"requests": 4}, 7)


def test_no_model_calls_are_listed_where_none_are_wanted() -> None:
    """With a bound of 0 nothing is listed and everything counted."""
    ledger = ledger_of([operation(n) for n in range(7)], max_requests=0, max_records=0)
    metrics = ledger.session_metrics("s")
    assert (metrics.requests, metrics.evicted, metrics.total_requests) == ([], {"requests": 7}, 7)
    assert (ledger.audit_log(), ledger.timeline().entries, ledger.stats()["evicted"]["records"]) == ([], (), 7)


def test_the_newest_records_are_kept() -> None:
    """Audit log and timeline have the newest records, and what went is counted."""
    ledger = ledger_of([operation(n, at=n) for n in range(10)], max_records=4)
    assert [identifier(n) for n in range(6, 10)] == [entry.id for entry in ledger.timeline().entries]
    assert [f"{identifier(n)}:llm_request_started" for n in range(6, 10)] == [
        entry["event_id"] for entry in ledger.audit_log(event_type="llm_request_started")
    ]
    assert (
        ledger.stats()["records"],
        ledger.stats()["evicted"]["records"],
        ledger.total().total_requests,
    ) == (4, 6, 10)


def test_names_too_many_are_other() -> None:
    """A table lists the names it met first, up to its bound; all further ones are counted together as other."""
    names_of = [f"name-{n}" for n in range(5)]
    records: list[Record] = []
    for n, name in enumerate(names_of * 2):
        records += [
            operation(100 + n, "model", name, attributes={names.INPUT_TOKENS: 2}),
            operation(200 + n, "tool", name, outcome="error", error_type=name),
            operation(300 + n, "agent", name, outcome="error", error_type=name, attributes={names.SWITCH_FROM: "x"}),
        ]
    metrics = ledger_of(records, max_names=2).session_metrics("s")
    counted = {"name-0": 2, "name-1": 2, "other": 6}
    assert counted == {name: model["requests"] for name, model in metrics.tokens_by_model.items()}
    assert counted == {name: tool["failed"] for name, tool in metrics.tools.items()}
    assert counted == {name: tool["requested"] for name, tool in metrics.tools.items()}
    assert counted == {name: agent["failure_count"] for name, agent in metrics.agents.items()}
    assert counted == metrics.tool_errors
    assert {f"x_to_{name}": 2 for name in ("name-0", "name-1")} | {"other": 6} == metrics.switches
    assert sum(metrics.errors_by_agent["other"].values()) == 6
    assert (metrics.total_tokens, metrics.tool_calls, metrics.errors) == (20, 10, 10)


@settings(max_examples=200)
@given(histories(), st.integers(1, 3))
def test_bounds_cost_detail_and_never_the_totals(history: History, bound: int) -> None:
    """However small the bounds, totals are those of an unbounded ledger, and no counter says what cannot be."""
    small = ledger_of(history.live(), max_sessions=bound, max_records=bound, max_requests=bound)
    whole, total = ledger_of(history.live()).total().to_dict(), small.total().to_dict()
    del whole["requests"], whole["evicted"], total["requests"], total["evicted"]
    assert whole == total
    stats = small.stats()
    assert stats["sessions"] <= bound
    assert stats["records"] <= bound
    assert len(history.last()) == stats["records"] + stats["evicted"]["records"] + len(
        [work for work in history.works if work.ended is None]
    ) + sum(names.OPERATION_ID in happened.payload for happened in history.events)
    for session_id in small.sessions():
        metrics = small.session_metrics(session_id)
        assert len(metrics.requests) <= bound
        assert metrics.active_requests >= 0
        for tool in metrics.tools.values():
            assert tool["completed"] + tool["failed"] + tool["refused"] <= tool["requested"]
        for agent in metrics.agents.values():
            assert agent["success_count"] + agent["failure_count"] <= agent["count"]
        under_way = {begun.session_id for begun in small.open_operations()}
        if session_id not in under_way:
            assert metrics.status != "active"


def reachable(root: object) -> int:
    """How many objects it holds, directly and indirectly, classes and modules aside."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        thing = todo.pop()
        if id(thing) not in seen and not isinstance(thing, (type, type(sys))) and not callable(thing):
            seen.add(id(thing))
            todo += gc.get_referents(thing)
    return len(seen)


def test_memory_is_bounded() -> None:
    """Once its bounds are reached a ledger holds no more objects, whatever comes and by whatever names."""
    ledger = Ledger(max_sessions=5, max_requests=5, max_records=5, max_names=5)
    sizes = []
    for part in range(4):
        for n in range(part * 2_000, (part + 1) * 2_000):
            kind: Kind = ("agent", "model", "tool")[n % 3]  # type: ignore[assignment]
            fields: dict[str, Any] = {
                "session": f"session-{n // 7}",
                "request": f"request-{n // 3}",
                "attributes": {names.SWITCH_FROM: f"from-{n}", names.RECOVERED: (f"recovered-{n}",)},
            }
            ledger.apply(operation(n, kind, f"name-{n}", took=None, **fields))
            ledger.apply(operation(n, kind, f"name-{n}", outcome="error", error_type=f"error-{n}", **fields))
            ledger.apply(event(n, "message_added", session=f"session-{n // 7}"))
        sizes.append(reachable(ledger))
    # Three full parts after the first: what still moves are tables of the sessions just at hand.
    assert sizes[3] < 1.05 * sizes[1]


# ----------------------------------------------------------------------------------------------------- clearing
def test_clearing_a_session_forgets_it_everywhere_but_in_the_totals() -> None:
    """Its counters, its requests', its audit log and its timeline are gone; other sessions and the totals stay."""
    ledger = ledger_of([operation(1), operation(2, session="other"), event(3, "message_added")])
    assert ledger.clear_session("s")
    assert not ledger.clear_session("s")
    assert (
        ledger.sessions(),
        ledger.session_metrics("s").total_requests,
        ledger.session_metrics("s", "r").total_requests,
        ledger.audit_log(session_id="s"),
        ledger.timeline(session_id="s").entries,
    ) == (["other"], 0, 0, [], ())
    assert (ledger.session_metrics("other").total_requests, ledger.total().total_requests) == (1, 2)


def test_what_was_cleared_does_not_come_back_by_repeats() -> None:
    """A repeat of a record of a cleared session changes nothing."""
    ledger = ledger_of([operation(1), event(2, "message_added")])
    ledger.clear_session("s")
    for again in (operation(1), opened(operation(1)), event(2, "message_added")):
        ledger.apply(again)
    assert (ledger.sessions(), ledger.total().total_requests) == ([], 1)


def test_work_under_way_in_a_cleared_session_is_counted_once() -> None:
    """Its end is the new session's, from start to end, and the totals have it once."""
    ledger = ledger_of([operation(1, "agent", "coder", took=None), operation(2, took=None)])
    ledger.clear_session("s")
    for ended in (operation(2), operation(1, "agent", "coder")):
        ledger.apply(ended)
    for metrics in (ledger.session_metrics("s"), ledger.session_metrics("s", "r"), ledger.total()):
        assert (
            metrics.status,
            metrics.agent_runs,
            metrics.total_requests,
            metrics.active_requests,
        ) == ("idle", 1, 1, 0)


# ------------------------------------------------------------------------------------------------- small rules
def test_what_is_under_way_is_in_the_log_and_on_the_timeline() -> None:
    """Open operations are seen by the audit log and the timeline before they end, and once when they have."""
    ledger = ledger_of([operation(1, took=None)])
    assert ([entry.duration_ms for entry in ledger.timeline().entries], len(ledger.audit_log())) == ([None], 1)
    ledger.apply(operation(1))
    assert ([entry.duration_ms for entry in ledger.timeline().entries], len(ledger.audit_log())) == ([1_000], 2)


def test_the_log_event_of_a_switch_is_no_second_switch() -> None:
    """What an operation carries is counted there; the event that says the same is passed over."""
    run = operation(1, "agent", "coder", attributes={names.SWITCH_FROM: "manager", names.NESTED: True})
    copy = event(2, "agent_switched", from_agent="manager", to_agent="coder", **{names.OPERATION_ID: run.id})
    own = event(3, "agent_switched", from_agent="coder", to_agent="critic")
    ledger = ledger_of([run, copy, own])
    assert ledger.session_metrics("s").switches == {"coder_to_critic": 1, "manager_to_coder": 1}
    assert len(ledger.audit_log(event_type="agent_switched")) == 2


def test_the_first_end_of_an_operation_is_its_end() -> None:
    """A second, different end changes nothing, and neither does a start that comes after the end."""
    ledger = ledger_of([operation(1), operation(1, outcome="error"), opened(operation(1))])
    metrics = ledger.session_metrics("s")
    assert (
        metrics.successful_requests,
        metrics.failed_requests,
        metrics.active_requests,
        metrics.status,
    ) == (1, 0, 0, "idle")


def test_stats_say_how_full_it_is() -> None:
    """Sessions, those at work, open operations and records are what is held now."""
    ledger = ledger_of([operation(1), operation(2, session="b", took=None), event(3, "message_added")])
    assert ledger.stats() == {
        "sessions": 2,
        "active_sessions": 1,
        "open_operations": 1,
        "records": 2,
        "evicted": {"sessions": 0, "correlations": 0, "records": 0, "requests": 0, "names": 0},
    }
    assert [identifier(2)] == [begun.id for begun in ledger.open_operations()]


def test_what_is_known_can_be_asked():
    """Of ids those are known whose records have ended or happened; what is open is not yet."""
    ledger = Ledger()
    ledger.apply(operation(1))
    ledger.apply(operation(2, took=None))
    ledger.apply(event(3, "agent_switched", from_agent="a", to_agent="b"))

    records = [operation(1), operation(2), event(3, "agent_switched"), operation(4)]
    assert {records[0].id, records[2].id} == ledger.known(record.id for record in records)
