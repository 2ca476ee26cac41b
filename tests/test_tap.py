"""The queue between the ledger and who writes."""

from __future__ import annotations

from support.records import event, opened, operation
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.tap import Tap


def tap(limit: int = 100, batch: int = 100) -> tuple[Tap, list[str]]:
    told: list[str] = []
    return Tap(limit, lambda: told.append("nudge"), lambda: told.append("full"), batch), told


def test_each_record_comes_once():
    """What the ledger keeps is there in order, without repeats, what is open, and second writings."""
    ledger, (queue, told) = Ledger(), tap()
    ledger.apply(operation(1))
    ledger.settle()
    ledger.tap(queue)
    for record in (operation(1), opened(operation(2)), operation(2), operation(2), event(1, "message_added")):
        ledger.apply(record)
    ledger.apply(event(2, "agent_switched", **{names.OPERATION_ID: "x"}))
    ledger.stir()
    ledger.settle()

    assert [operation(2), event(1, "message_added")] == queue.take(10)
    assert 7 == len(told)
    assert 0 == len(queue)


def test_a_tap_that_is_taken_off_gets_nothing_more():
    """Where another has taken its place, that one stays."""
    ledger, (one, _), (other, _) = Ledger(), tap(), tap()
    ledger.tap(one)
    ledger.tap(other)
    ledger.untap(one)
    ledger.apply(operation(1))
    ledger.settle()
    ledger.untap(other)
    ledger.apply(operation(2))
    ledger.settle()

    assert ([], [operation(1)]) == (one.take(9), other.take(9))


def test_the_oldest_are_dropped_and_counted():
    """Beyond the limit the oldest go, whether they were just put or given back."""
    queue, _ = tap(limit=3)
    for number in range(5):
        queue.put(operation(number))
    assert 2 == queue.dropped

    taken = queue.take(2)
    queue.put(operation(5))
    queue.give_back(taken)

    assert 3 == queue.dropped
    assert [operation(number) for number in (3, 4, 5)] == queue.take(9)


def test_a_full_batch_is_said_once():
    """When so many wait as are written together, that is said, and not again for each further one."""
    queue, told = tap(batch=2)
    for number in range(4):
        queue.put(operation(number))

    assert ["full"] == told


def test_who_is_reading_knows_it():
    """The ledger says whether the asking thread holds it, which must not wait for another thread that reads."""
    ledger = Ledger()
    seen = []
    queue = Tap(9, lambda: None, lambda: seen.append(ledger.held), 1)
    ledger.tap(queue)
    ledger.apply(operation(1))
    ledger.settle()

    assert [True] == seen
    assert not ledger.held
