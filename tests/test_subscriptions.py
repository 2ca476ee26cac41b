"""Subscriptions: every entry once and in order, bounded and counted, and nobody held up."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

import tachograph
from support.records import History, event, histories, ledger_of, opened, operation
from tachograph import events, subscriptions
from tachograph.facts import repeats_operation
from tachograph.guard import Guard
from tachograph.records import Event
from tachograph.subscriptions import Subscriptions, news
from tachograph.testing import capture
from tachograph.views.audit import audit_view, entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.testing import Capture

LONG = 30.0
"""Seconds that no test waits unless something is wrong."""


class Heard(list[dict[str, Any]]):
    """A handler that keeps what it is told."""

    def __call__(self, entry: dict[str, Any]) -> None:
        self.append(entry)

    @property
    def types(self) -> list[str]:
        """Types of the entries."""
        return [entry["event_type"] for entry in self]


@pytest.fixture
def quiet() -> Iterator[Capture]:
    """Everything recorded, by a guard that keeps failures to itself."""
    with capture(strict=False) as captured:
        yield captured


# -------------------------------------------------------------------------------------------------------- delivered
def test_everything_is_heard_once_and_in_order(captured: Capture) -> None:
    """A subscriber of everything hears the audit log, entry by entry as it comes to be."""
    heard = Heard()
    with tachograph.subscribe(heard), tachograph.session("s"):
        events.session_created("s")
        with tachograph.task("t"), tachograph.agent("a"):
            with tachograph.model("m"):
                pass
            with tachograph.tool("t"):
                tachograph.request_approval(tool_name="t", call_id="c").decide("APPROVE")
            tachograph.record_tool_usage("u", 0.0)
    assert sorted(entry["event_id"] for entry in captured.ledger.audit_log()) == sorted(
        entry["event_id"] for entry in heard
    )
    assert [
        "session_created",
        "task_started",
        "agent_processing_started",
        "llm_request_started",
        "llm_request_completed",
        "tool_execution_requested",
        "tool_execution_started",
        "tool_approval_required",
        "hitl_approval_requested",
        "hitl_decision_made",
        "tool_execution_completed",
        "tool_execution_requested",
        "tool_execution_started",
        "tool_execution_completed",
        "agent_processing_completed",
        "task_completed",
    ] == heard.types


def test_a_subscriber_hears_what_it_asked_for(captured: Capture) -> None:
    """By type, category and session, and nothing from before it was there or after it is closed."""
    filters: list[dict[str, str]] = [
        {"event_type": "llm_request_started"},
        {"category": "tool"},
        {"session_id": "b"},
        {"category": "session", "session_id": "a"},
    ]
    events.session_created("a")
    heard = [Heard() for _ in filters]
    known = [tachograph.subscribe(h, **f) for h, f in zip(heard, filters, strict=True)]
    for session_id in ("a", "b"):
        with tachograph.session(session_id), tachograph.tool("t"), tachograph.model("m"):
            pass
        events.session_updated(session_id)
    for subscription in known:
        subscription.close()
    events.session_updated("a")
    started, tools, of_b, mixed = (h.types for h in heard)
    assert ["llm_request_started"] * 2 == started
    assert ["tool_execution_requested", "tool_execution_started", "tool_execution_completed"] * 2 == tools
    assert 6 == len(of_b)
    assert ["session_updated"] == mixed


class Awaited:
    """An object whose call is a coroutine function."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    async def __call__(self, entry: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.numbers.append(entry["number"])


def test_coroutine_functions_are_handlers(captured: Capture) -> None:
    """A coroutine function, a partial one and an object with one are awaited, one entry after the other."""
    numbers: list[int] = []

    async def handler(into: list[int], entry: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        into.append(entry["number"])

    waiting = Awaited()
    known = [tachograph.subscribe(functools.partial(handler, numbers)), tachograph.subscribe(waiting)]
    for number in range(200):
        events.session_updated("s", number=number)
    assert all(subscription.flush(LONG) for subscription in known)
    assert [list(range(200))] * 2 == [numbers, waiting.numbers]
    for subscription in known:
        subscription.close()


def test_what_a_handler_starts_on_its_loop_ends_with_it(captured: Capture) -> None:
    """A task that a handler leaves behind has its turn, and is cancelled when the subscription ends."""
    seen: list[str] = []

    async def later() -> None:
        try:
            seen.append("began")
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    tasks = []

    async def handler(_: dict[str, Any]) -> None:
        tasks.append(asyncio.ensure_future(later()))

    with tachograph.subscribe(handler):
        events.session_updated("s")
    assert ["began", "cancelled"] == seen


def test_many_threads_lose_nothing(captured: Capture) -> None:
    """What several threads say at once all arrives, each thread's in its order."""
    heard = Heard()

    def say(thread: int) -> None:
        for number in range(500):
            events.session_updated("s", thread=thread, number=number)

    with tachograph.subscribe(heard):
        threads = [threading.Thread(target=say, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(4):
        assert list(range(500)) == [entry["number"] for entry in heard if entry["thread"] == number]


def test_subscribers_do_not_see_each_other(captured: Capture) -> None:
    """An entry that one handler alters is whole for the next, and in the audit log."""
    heard = Heard()
    with tachograph.subscribe(lambda entry: entry.clear()), tachograph.subscribe(heard):
        events.session_updated("s", note="x")
    assert ["x", "x"] == [heard[0]["note"], captured.ledger.audit_log()[0]["note"]]


# ----------------------------------------------------------------------------------------------------------- trouble
@pytest.mark.parametrize(
    ("deferred", "error"), [(False, ZeroDivisionError), (True, ZeroDivisionError), (True, asyncio.CancelledError)]
)
def test_a_handler_that_fails_hears_on(quiet: Capture, deferred: Any, error: type[BaseException]) -> None:
    """What a handler raises, or is cancelled by, is counted, by a strict guard too; it is told of the next entry."""
    numbers: list[int] = []

    def fail(entry: dict[str, Any]) -> None:
        numbers.append(entry["number"])
        raise error

    async def fail_later(entry: dict[str, Any]) -> None:
        fail(entry)

    for strict in (False, True):
        quiet.runtime.guard.strict = strict
        with tachograph.subscribe(fail_later if deferred else fail):
            for number in range(3):
                events.session_updated("s", number=number)
    assert [0, 1, 2] * 2 == numbers
    assert [6] == list(quiet.runtime.guard.swallowed().values())


def test_an_entry_that_cannot_be_made_costs_no_other(quiet: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where we fail at making an entry it is counted, and the next is delivered."""
    real = subscriptions.news

    def fail_once(*what: Any) -> Any:
        monkeypatch.setattr(subscriptions, "news", real)
        raise ZeroDivisionError

    monkeypatch.setattr(subscriptions, "news", fail_once)
    heard = Heard()
    with tachograph.subscribe(heard):
        for number in range(3):
            events.session_updated("s", number=number)
    assert [1, 2] == [entry["number"] for entry in heard]
    assert {"_News.entries": 1} == quiet.runtime.guard.swallowed()


def test_a_slow_handler_holds_up_nobody(quiet: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program and other subscribers go on; what the slow one has no room for is dropped, oldest first, counted."""
    monkeypatch.setattr(subscriptions, "MAX_WAITING", 10)
    go, entered, numbers, heard = threading.Event(), threading.Event(), [], Heard()

    def slow(entry: dict[str, Any]) -> None:
        entered.set()
        go.wait(LONG)
        numbers.append(entry["number"])

    subscription = tachograph.subscribe(slow)
    events.session_updated("s", number=0)
    assert entered.wait(LONG)
    for number in range(1, 31):
        events.session_updated("s", number=number)
    with tachograph.subscribe(heard):
        events.session_updated("s", number=31)
    assert [31] == [entry["number"] for entry in heard]
    assert subscription.dropped == 21
    assert not subscription.flush(0.01)
    go.set()
    assert subscription.flush(LONG)
    subscription.close()
    assert [0, *range(22, 32)] == numbers
    assert {"active": 0, "delivered": 12, "dropped": 21} == tachograph.stats()["subscriptions"]


def test_a_handler_may_end_its_own_subscription(captured: Capture) -> None:
    """Closing, and waiting, from within the handler neither hangs nor tells of more."""
    numbers, done = [], threading.Event()

    def once(entry: dict[str, Any]) -> None:
        numbers.append(entry["number"])
        assert not subscription.flush()
        subscription.close()
        done.set()

    subscription = tachograph.subscribe(once)
    events.session_updated("s", number=0)
    assert done.wait(LONG)
    subscription.close()
    events.session_updated("s", number=1)
    assert [0] == numbers


def test_a_handler_may_say_something_itself(captured: Capture) -> None:
    """What a handler reports is heard as well, after what it was told of."""
    heard = Heard()

    def answer(entry: dict[str, Any]) -> None:
        heard(entry)
        if entry["event_type"] == "session_created":
            events.session_updated("s")

    with tachograph.subscribe(answer) as subscription:
        events.session_created("s")
        assert subscription.flush(LONG)
        assert subscription.flush(LONG)
    assert ["session_created", "session_updated"] == heard.types


def test_whoever_waits_for_a_thread_that_ended_waits_no_more(
    captured: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that leaves its thread ends the subscription; waiting for it gives an answer."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def leave(_: dict[str, Any]) -> None:
        raise SystemExit

    subscription = tachograph.subscribe(leave)
    events.session_updated("s")
    subscription._thread.join(LONG)
    events.session_updated("s")
    assert (True, True) == (subscription.closed, subscription.flush(LONG))


def test_what_cannot_be_subscribed_is_refused(captured: Capture) -> None:
    """A type or category that does not exist, or a handler that cannot be called, is named."""
    with pytest.raises(ValueError, match="event_type='lunch': no such type"):
        tachograph.subscribe(print, event_type="lunch")
    with pytest.raises(ValueError, match="category='food': no such category"):
        tachograph.subscribe(print, category="food")
    with pytest.raises(TypeError, match="handler=3: expected a function of one entry"):
        tachograph.subscribe(3)  # type: ignore[arg-type]
    assert 0 == tachograph.stats()["subscriptions"]["active"]


# ---------------------------------------------------------------------------------------------------------- the end
def test_shutting_down_delivers_what_waits() -> None:
    """What has happened until the end is delivered, what was open and ends then too."""
    heard = Heard()
    with capture() as captured:
        tachograph.subscribe(heard)
        captured.runtime.recorder.begin(tachograph.tool("t").start())
        captured.runtime.stop()
    assert ["tool_execution_requested", "tool_execution_started", "tool_execution_failed"] == heard.types


def test_ending_waits_so_long_and_no_longer() -> None:
    """Handlers that do not come to an end are left behind, all together after one time-out."""
    go = threading.Event()
    all_ = Subscriptions(Guard())
    known = [all_.add(lambda _: go.wait(LONG)) for _ in range(3)]
    all_.happened(event(1, "message_added"))
    all_.close(0.05)
    assert [True] * 3 == [subscription._thread.is_alive() for subscription in known]
    go.set()
    for subscription in known:
        subscription.close(LONG)
    assert {"active": 0, "delivered": 3, "dropped": 0} == all_.stats()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_process_tells_nobody(captured: Capture) -> None:
    """After a fork the parent's subscribers are the parent's: the child goes on without them, and can have its own."""
    heard, subscription = Heard(), tachograph.subscribe(print)
    child = os.fork()
    if child == 0:
        try:
            with tachograph.subscribe(heard):
                events.session_updated("s")
            subscription.flush(LONG)
            subscription.close()
            os._exit(0 if ["session_updated"] == heard.types and subscription.closed else 1)
        except BaseException:  # noqa: BLE001 - whatever it is, this process is not to go on with the tests
            os._exit(2)
    assert 0 == os.waitpid(child, 0)[1]
    subscription.close()


def test_closed_subscriptions_stay_counted(captured: Capture) -> None:
    """What subscriptions were told that are no more is still in the sum."""
    for _ in range(3):
        with tachograph.subscribe(Heard()):
            events.session_updated("s")
    assert {"active": 0, "delivered": 3, "dropped": 0} == tachograph.stats()["subscriptions"]


# ----------------------------------------------------------------------------------------------------------- the law
@given(histories(still_open=False))
def test_news_are_the_audit_log_once_and_in_order(history: History) -> None:
    """Told of the start and the end of everything, news are the audit log: each entry once, none besides."""
    live = [record for record in history.live() if getattr(record, "outcome", None) != "refused"]
    refused = {record.id for record in history.live() if getattr(record, "outcome", None) == "refused"}
    waited = {record.id for record in history.live() if getattr(record, "outcome", None) == "waiting"}
    live = [
        record
        for record in live
        if record.id not in refused and not (isinstance(record, Event) and repeats_operation(record))
    ]
    told = [
        entry["event_id"]
        for record in live
        for entry in news(record, whole=isinstance(record, Event))
        # A tool that stopped for a human was said to have started, which the log takes back.
        if not (record.id in waited and entry["event_type"] == "tool_execution_started")
    ]
    ledger = ledger_of(live)
    assert sorted(told) == sorted(entry["event_id"] for entry in audit_view(ledger.records()))
    for record in live:
        of_one = [entry["event_id"] for *_, entry in entries(record)]
        mine = [id_ for id_ in told if id_ in of_one]
        assert mine == [id_ for id_ in of_one if id_ in mine]


def test_what_was_told_at_once_is_news_at_once() -> None:
    """Of an operation whose start nobody told of, the start is news with its end."""
    call = operation(1, "model", "m")
    assert ["llm_request_started", "llm_request_completed"] == [e["event_type"] for e in news(call, whole=True)]
    assert ["llm_request_completed"] == [e["event_type"] for e in news(call, whole=False)]
    assert ["llm_request_started"] == [e["event_type"] for e in news(opened(call), whole=False)]
