"""What is new, told to all who listen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from support.records import ledger_of, operation
from tachograph.ledger import Ledger
from tachograph.server.broadcast import Broadcast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tachograph.server.broadcast import Client
    from tachograph.views.audit import Entry

ALL: dict[str, None] = {}


def run(scene: Callable[[], Awaitable[None]]) -> None:
    anyio.run(scene)


async def taken(client: Client) -> list[str]:
    return [entry["event_id"] for entry in await client.take(0.01)]


def ids(entries: list[Entry]) -> list[str]:
    return [entry["event_id"] for entry in entries]


def test_everybody_is_told_once():
    """All clients are told what is new since they joined, in order, each once."""
    ledger = ledger_of([operation(1)])

    async def scene() -> None:
        broadcast = Broadcast(ledger, every=0)
        await broadcast.look()
        with broadcast.joined(ALL) as one, broadcast.joined(ALL) as other:
            assert [] == await taken(one)
            ledger.apply(operation(2, at=2_000))
            await broadcast.look()
            await broadcast.look()
            new = ids(ledger.audit_log()[2:])
            assert new == await taken(one) == await taken(other)
            assert [] == await taken(one)

    run(scene)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"session_id": "a"}, 2),
        ({"event_type": "llm_request_started"}, 2),
        ({"category": "tool"}, 3),
        ({"category": "tool", "session_id": "a"}, 0),
        ({"critical": True}, 0),
        ({"critical": False}, 7),
        ({"correlation_id": "r", "session_id": None}, 7),
        ({"correlation_id": "x"}, 0),
    ],
    ids=str,
)
def test_filters(filters, expected):
    """A client is told what it listens for, as the audit log would be filtered."""
    ledger = Ledger()

    async def scene() -> None:
        broadcast = Broadcast(ledger, every=0)
        with broadcast.joined(filters) as client:
            await broadcast.look()
            ledger.apply(operation(1, session="a"))
            ledger.apply(operation(2, session="b"))
            ledger.apply(operation(3, "tool", "search", session="b"))
            await broadcast.look()
            assert ids(ledger.audit_log(**filters)) == await taken(client)

    run(scene)
    assert expected == len(ledger.audit_log(**filters))


def test_one_that_takes_nothing_is_dropped():
    """What a client does not take waits up to the bound; then the client is dropped, and the others are not."""
    ledger = Ledger()

    async def scene() -> None:
        broadcast = Broadcast(ledger, every=0, waiting=4)
        await broadcast.look()
        with broadcast.joined(ALL) as idle, broadcast.joined(ALL) as busy:
            for number in (1, 2, 3):
                ledger.apply(operation(number))
                await broadcast.look()
                assert 2 == len(await taken(busy))
            assert idle.over.is_set()
            assert not busy.over.is_set()
            assert 4 == len(await taken(idle))

    run(scene)


def test_no_more_than_may():
    """No more clients may listen than the bound says, and none once the server stops; who goes makes room."""

    async def scene() -> None:
        broadcast = Broadcast(Ledger(), clients=2)
        with broadcast.joined(ALL) as first:
            assert not broadcast.full
            with broadcast.joined(ALL):
                assert broadcast.full
            assert not broadcast.full
            broadcast.stop()
            assert first.over.is_set()
            assert broadcast.full

    run(scene)


def test_coming_back():
    """Who comes back is told what came after the entry it saw last, also while nobody listened; too old is None."""
    ledger = ledger_of([operation(number, at=number) for number in (1, 2, 3)])

    async def scene() -> None:
        broadcast = Broadcast(ledger, every=0, kept=6)
        await broadcast.look()
        first, *others = ids(ledger.audit_log())
        assert others == ids(broadcast.since(first) or [])
        assert [] == broadcast.since(others[-1])
        ledger.apply(operation(4, at=10_000))
        await broadcast.look()
        assert broadcast.since(first) is None
        assert [*others[2:], *ids(ledger.audit_log(limit=2))] == ids(broadcast.since(others[1]) or [])

    run(scene)


class Watched(Ledger):
    """A ledger that says how often and where its log was read, and holds up who reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def audit_log(self, **filters):
        self.threads.append(threading.current_thread())
        self.asked.set()
        assert self.go_on.wait(30)
        return super().audit_log(**filters)


def test_one_look_for_all():
    """However many want to look, one does, in a thread of its own, and nobody does again soon after."""
    ledger = Watched()

    async def scene() -> None:
        broadcast = Broadcast(ledger, every=3_600)
        ledger.go_on.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(broadcast.look)
            await anyio.lowlevel.checkpoint()
            ledger.go_on.set()
        looked = len(ledger.threads)
        await broadcast.look()
        assert looked == len(ledger.threads) <= 5
        assert threading.current_thread() not in ledger.threads

    run(scene)


def test_a_look_that_is_cancelled_loses_nothing():
    """A client that goes while it looks for all takes nothing away from the others."""
    ledger = Watched()

    async def scene() -> None:
        broadcast = Broadcast(ledger, every=0)
        await broadcast.look()
        with broadcast.joined(ALL) as client:
            ledger.apply(operation(1))
            ledger.go_on.clear()
            async with anyio.create_task_group() as tasks:
                ledger.asked.clear()
                tasks.start_soon(broadcast.look)
                await anyio.to_thread.run_sync(ledger.asked.wait)
                tasks.cancel_scope.cancel()
                ledger.go_on.set()
            await broadcast.look()
            assert ids(ledger.audit_log()) == await taken(client)

    run(scene)


class Failing(Ledger):
    """A ledger whose log cannot be read while it says so."""

    wrong = False

    def audit_log(self, **filters):
        if self.wrong:
            raise OSError("gone")
        return super().audit_log(**filters)


def test_a_look_that_fails():
    """Where the source cannot be read whoever looks hears of it, and the next look is as if it had not been."""
    ledger = Failing()

    async def scene() -> None:
        broadcast = Broadcast(ledger, every=0)
        await broadcast.look()
        with broadcast.joined(ALL) as client:
            ledger.apply(operation(1))
            ledger.wrong = True
            with pytest.raises(OSError, match="gone"):
                await broadcast.look()
            ledger.wrong = False
            await broadcast.look()
            assert ids(ledger.audit_log()) == await taken(client)

    run(scene)
