"""What is recorded is stored soon, without the program waiting for it; whatever goes wrong, the program goes on."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from support.records import operation
from support.stores import checked, opened
from tachograph import names
from tachograph.canonical import record_from_text
from tachograph.config import Config
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.store import keeper as keeping
from tachograph.store import trouble
from tachograph.store.keeper import Keeper
from tachograph.store.schema import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tachograph.records import Operation

PATIENCE = 20.0
FOREVER = 3_600.0


class Kept:
    """A ledger, its keeper, and what the keeper said."""

    def __init__(self, path: Path, *, ledger: Ledger | None = None, strict: bool = True, **settings: Any) -> None:
        self.path = path
        self.upkeep: list[Any] = []
        self.ledger = ledger or Ledger()
        self.lines: list[str] = []
        self.heads: list[tuple[str, int, str, bool]] = []
        self.published = threading.Event()
        self.under_way: list[Operation] = []
        self.guard = Guard(strict=strict)
        self.ledger.attend(self.going_on)
        self.keeper = Keeper(
            Config(store=str(path), **{"store_debounce": 0.0, "audit_interval": 0.1, **settings}),
            ledger=self.ledger,
            guard=self.guard,
            complain=self.lines.append,
            publish=self.publish,
            program="test",
            upkeep=self.upkeep.append,
        )

    def going_on(self) -> list[Operation]:
        return self.under_way

    def publish(self, *head: Any) -> None:
        self.heads.append(head)
        self.published.set()

    def stored(self) -> list[str]:
        with opened(self.path) as db:
            return [record_from_text(body).id for (body,) in db.execute("SELECT body FROM records ORDER BY seq")]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    kept: list[Kept] = []

    def make(**settings: Any) -> Kept:
        kept.append(Kept(tmp_path / "store.db", **settings))
        return kept[-1]

    yield make
    for one in kept:
        one.keeper.close(1.0)


def wait_for(what: Callable[[], Any]) -> Any:
    """What another thread brings about, and says nowhere."""
    until = time.monotonic() + PATIENCE
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


# ------------------------------------------------------------------------------------------------------- when
def test_nothing_is_there_before_the_first_record(keep):
    """Without a record there is neither a thread nor a file, not even at the end."""
    kept = keep()
    assert "idle" == kept.keeper.stats()["state"]
    assert kept.keeper.flush()
    kept.keeper.close()

    assert not kept.path.exists()
    assert [] == [thread for thread in threading.enumerate() if thread.name == "tachograph-store"]


def test_what_is_recorded_is_stored_soon(keep):
    """After a record, and the time that others may come in, it is in the store with nobody asking, by one thread."""
    before = {*threading.enumerate()}
    kept = keep(store_debounce=0.01)
    kept.ledger.apply(operation(1))

    assert kept.published.wait(PATIENCE)
    assert [operation(1).id] == kept.stored()
    assert ["tachograph-store"] == [thread.name for thread in threading.enumerate() if thread not in before]


def test_a_full_batch_does_not_wait(keep):
    """So many records as are stored together are stored at once, the others later."""
    kept = keep(store_debounce=FOREVER, store_batch=64)
    for number in range(70):
        kept.ledger.apply(operation(number))

    assert kept.published.wait(PATIENCE)
    assert 64 <= len(kept.stored()) <= 70


def test_through(keep):
    """Written through, a record is committed when the program goes on."""
    kept = keep(store_flush="through")
    for number in range(3):
        kept.ledger.apply(operation(number))

        assert number + 1 == len(kept.stored())


def test_by_the_timer(keep):
    """By the timer a record alone stirs nobody, and is stored with the next round."""
    kept = keep(store_flush="timer", store_interval=FOREVER)
    kept.ledger.apply(operation(1))
    kept.ledger.stir()
    assert not kept.published.wait(0.05)
    kept.keeper.close()

    often = keep(store_flush="timer", store_interval=0.01)
    often.ledger.apply(operation(2))
    assert often.published.wait(PATIENCE)
    assert [operation(1).id, operation(2).id] == often.stored()


def test_what_is_under_way_is_stored_when_it_begins(keep):
    """The start of an operation is enough to have it among those under way, until it ends."""
    kept = keep()
    begun = operation(1, took=None)
    kept.under_way.append(begun)
    kept.ledger.stir()
    assert kept.published.wait(PATIENCE) or True
    with opened(kept.path) as db:
        assert wait_for(lambda: [(begun.id,)] == db.execute("SELECT id FROM open").fetchall())

        kept.ledger.apply(operation(1))
        kept.under_way.clear()
        assert kept.keeper.flush()
        assert [] == db.execute("SELECT id FROM open").fetchall()


def test_what_the_ledger_had_already_is_stored_too(keep):
    """A ledger that was used before gives what it has kept."""
    ledger = Ledger()
    ledger.apply(operation(1))
    ledger.apply(operation(2, took=None))
    kept = keep(ledger=ledger)

    assert kept.keeper.flush()
    assert [operation(1).id] == kept.stored()


# --------------------------------------------------------------------------------------------------------- the end
def test_closing_writes_what_is_left(keep):
    """The end waits for what is not stored yet, publishes the last head, and ends the thread; once."""
    kept = keep(store_debounce=FOREVER)
    for number in range(10):
        kept.ledger.apply(operation(number))
    kept.keeper.close()
    kept.keeper.close()

    assert 10 == len(kept.stored())
    name, count, link, keyed = kept.heads[-1]
    assert (10, False) == (count, keyed)
    assert checked(kept.path, heads=[f"{name}:{count}:{link}"]).ok
    assert [] == [thread for thread in threading.enumerate() if thread.name == "tachograph-store"]
    assert ["store.db"] == [file.name for file in kept.path.parent.iterdir()]
    assert not kept.keeper.flush() or not len(kept.keeper._tap)


def test_heads_are_published_at_intervals(keep):
    """With the key set heads say so; one is published only when the chain has grown."""
    kept = keep(audit_key="k")
    for number in range(3):
        kept.published.clear()
        kept.ledger.apply(operation(number))
        assert kept.published.wait(PATIENCE)
    kept.keeper.close()

    assert [1, 2, 3] == [count for _, count, _, _ in kept.heads]
    assert {True} == {keyed for *_, keyed in kept.heads}
    assert checked(kept.path, key=b"k", heads=[":".join(map(str, head[:3])) for head in kept.heads]).ok


def test_a_witness_is_told_when_it_is_about_to_go(keep):
    """The head is published out of turn when whoever is to see it will not be there later."""
    kept = keep(audit_interval=FOREVER)
    kept.ledger.apply(operation(1))
    assert kept.published.wait(PATIENCE)
    kept.ledger.apply(operation(2))
    assert kept.keeper.witness()

    assert wait_for(lambda: [1, 2] == [count for _, count, _, _ in kept.heads])


def test_a_witness_that_comes_while_something_is_written(keep):
    """A head that goes out meanwhile is not taken for the one that was asked for."""
    kept = keep(audit_interval=FOREVER)
    kept.ledger.apply(operation(1))
    assert kept.published.wait(PATIENCE)
    witness = threading.Thread(target=kept.keeper.witness)
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        kept.ledger.apply(operation(2))
        assert wait_for(lambda: kept.keeper._in_hand)  # it waits for its turn to write that
        kept.ledger.apply(operation(3))
        witness.start()
        assert wait_for(lambda: kept.keeper._requests)
        other.execute("COMMIT")
    witness.join(PATIENCE)

    assert 3 == kept.heads[-1][1]


def test_another_keeper_goes_on(keep):
    """Handed over, what is under way is not lost, but told of by the other."""
    kept = keep()
    kept.under_way.append(operation(1, took=None))
    kept.ledger.apply(operation(2))
    assert kept.keeper.flush()
    other = keep(ledger=kept.ledger)
    kept.keeper.hand_over()
    assert other.keeper.flush()

    with opened(kept.path) as db:
        assert [(operation(1).id, 2)] == db.execute("SELECT id, writer FROM open").fetchall()
    other.under_way.clear()
    kept.under_way.clear()
    kept.ledger.apply(operation(1))
    assert other.keeper.flush()
    assert sorted([operation(2).id, operation(1).id]) == sorted(kept.stored())


def test_upkeep_is_done_at_the_start(keep):
    """Retention is applied on the thread, with the writer in hand, once records are written."""
    kept = keep()
    kept.ledger.apply(operation(1))
    assert kept.keeper.flush()

    assert wait_for(lambda: 1 == len(kept.upkeep))


# -------------------------------------------------------------------------------------------------------- trouble
def test_a_locked_store_is_waited_for(keep, monkeypatch):
    """While another process has it locked memory goes on; one line says so, one that it is over, nothing is lost."""
    monkeypatch.setattr(trouble, "_LOCKED_SECONDS", 0.5)
    kept = keep()
    with closing(connect(kept.path)) as db:
        db.execute("BEGIN IMMEDIATE")
        kept.ledger.apply(operation(1))
        assert not kept.keeper.flush(0.1)
        assert wait_for(lambda: kept.lines)
        stats = kept.keeper.stats()
        assert ("trouble", 1, 0) == (stats["state"], stats["waiting"], stats["dropped"])
        assert stats["failures"] > 0
        db.execute("ROLLBACK")
    assert kept.keeper.flush(PATIENCE)

    assert [operation(1).id] == kept.stored()
    assert 2 == len(kept.lines)
    assert "another process has it locked" in kept.lines[0]
    assert "is written again" in kept.lines[1]
    assert ("writing", 0, 1) == tuple(kept.keeper.stats()[name] for name in ("state", "waiting", "written"))


def test_through_does_not_wait_while_there_is_trouble(keep):
    """Written through, a program waits once for a store that cannot be written, and then goes on without it."""
    kept = keep(store_flush="through")
    with closing(connect(kept.path)) as db:
        db.execute("BEGIN IMMEDIATE")
        kept.keeper._late = True
        began = time.monotonic()
        for number in range(5):
            kept.ledger.apply(operation(number))
        assert time.monotonic() - began < 2
        db.execute("ROLLBACK")
    assert kept.keeper.flush(PATIENCE)

    assert 5 == len(kept.stored())


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\x00" + b"\xff" * 5_000], ids=["text", "header"])
def test_a_file_that_is_no_store_is_left_alone(keep, content):
    """A damaged or foreign file is not touched; once it is moved away a new one is made, with what waited."""
    kept = keep()
    kept.path.write_bytes(content)
    kept.ledger.apply(operation(1))
    assert not kept.keeper.flush(0.3)
    assert 1 == len(kept.lines)
    assert "damaged" in kept.lines[0]
    assert content == kept.path.read_bytes()
    kept.path.rename(kept.path.with_name("aside"))

    assert kept.keeper.flush(PATIENCE)
    assert [operation(1).id] == kept.stored()
    assert "is written again" in kept.lines[1]


def test_a_store_of_a_newer_version_is_left_alone(keep):
    """What a newer version wrote is not written into; the line names both versions and the fix."""
    kept = keep()
    with closing(connect(kept.path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version = 99")
    kept.ledger.apply(operation(1))
    assert not kept.keeper.flush(0.3)
    assert ["upgrade Tachograph or give another path" in line and "99" in line for line in kept.lines] == [True]
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {version}")

    assert kept.keeper.flush(PATIENCE)
    assert [operation(1).id] == kept.stored()


def test_a_store_that_is_taken_away_is_made_anew(keep):
    """Moved away while it is written, the old file has what was stored until then, and a new one the rest."""
    kept = keep()
    kept.ledger.apply(operation(1))
    assert kept.keeper.flush()
    for file in list(kept.path.parent.glob("store.db*")):
        if "writer" not in file.name:
            file.rename(file.with_name(file.name.replace("store", "old")))
    kept.ledger.apply(operation(2))

    assert kept.keeper.flush(PATIENCE)
    assert [operation(2).id] == kept.stored()
    assert checked(kept.path).ok


def test_a_damaged_page_is_said(keep):
    """A page that was overwritten is found when it is needed, and said; the rest waits for another file."""
    kept = keep()
    for number in range(2_000):
        kept.ledger.apply(operation(number, session=f"session-{number}"))
    kept.keeper.close()
    whole = bytearray(kept.path.read_bytes())
    whole[8_192:] = b"\xff" * (len(whole) - 8_192)
    kept.path.write_bytes(whole)
    after = keep(ledger=Ledger())
    after.ledger.apply(operation(9_000))

    assert not after.keeper.flush(0.5)
    assert ["damaged" in line for line in after.lines] == [True]
    kept.path.unlink()
    assert after.keeper.flush(PATIENCE)


def test_what_cannot_be_stored_costs_only_itself(keep):
    """A record that no database holds is left out, counted and noted; those around it are stored."""
    kept = keep(strict=False, store_debounce=FOREVER)
    for number, start in ((1, 1), (2, 2**70), (3, 3)):
        kept.ledger.apply(operation(number)._replace(start_ns=start, end_ns=start + 1))
    assert kept.keeper.flush()

    assert [operation(1).id, operation(3).id] == kept.stored()
    assert 1 == kept.keeper.stats()["dropped"]
    assert {"Batches._attempt": 2} == kept.guard.swallowed()
    assert checked(kept.path).ok


def test_what_waits_is_bounded(keep, monkeypatch):
    """While nothing can be written the oldest go beyond the bound, and the line of the end says how many."""
    monkeypatch.setattr(keeping, "MAX_WAITING", 100)
    monkeypatch.setattr(trouble, "_LOCKED_SECONDS", 0.0)
    kept = keep(store_batch=50)
    with closing(connect(kept.path)) as db:
        db.execute("BEGIN IMMEDIATE")
        kept.ledger.apply(operation(0))
        assert not kept.keeper.flush(0.3)
        for number in range(1, 300):
            kept.ledger.apply(operation(number, attributes={names.STEP: number}))
        kept.ledger.settle()
        assert not kept.keeper.flush(0.5)
        db.execute("ROLLBACK")
    assert kept.keeper.flush(PATIENCE)

    assert [operation(number).id for number in range(200, 300)] == kept.stored()
    assert "200 records were too many to wait for it" in kept.lines[-1]
    assert 200 == kept.keeper.stats()["dropped"]


def test_closing_is_bounded(keep):
    """The end does not wait for a store that stays locked, and says what is not in it."""
    kept = keep(store_debounce=FOREVER)
    with closing(connect(kept.path)) as db:
        db.execute("BEGIN IMMEDIATE")
        kept.ledger.apply(operation(1))
        began = time.monotonic()
        kept.keeper.close(0.5)
        assert time.monotonic() - began < 3
        db.execute("ROLLBACK")

    assert [
        "1 records could not be written before the end: another process has it locked" in line for line in kept.lines
    ] == [True]
