"""Whatever is done to stored entries shows, and what cannot be shown is said."""

from __future__ import annotations

import itertools
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from support.records import event, operation
from support.stores import COLUMNS, checked, day, entries, opened, undone, written
from tachograph.store.chain import SealedWriter, seal
from tachograph.store.schema import StoreError, connect
from tachograph.store.verification import verify
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [None, b"secret"]


@pytest.fixture(params=KEYS, ids=["plain", "keyed"])
def key(request) -> bytes | None:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


# --------------------------------------------------------------------------------------------------- what is whole
def test_an_untouched_store_is_whole(path, key):
    """Chains of several writers, with a key or without, are followed to their ends."""
    head = written(path, key=key)
    other = written(path, key=key, records=day(100, "t"))

    found = checked(path, key=key, heads=[head, other])

    assert (True, 12, 2) == (found.ok, found.entries, found.writers)
    assert [head, other] == [str(known) for known in found.heads]


def test_an_empty_store_is_whole(path):
    """A writer that never wrote is no problem, nor is a store without any."""
    connect(path).close()
    assert checked(path).ok

    Writer(path).close()
    assert checked(path).ok


def test_earlier_heads_are_on_the_chain(path, key):
    """A head published on the way still proves what was there by then."""
    writer = Writer(path, key=key)
    heads = []
    for record in day():
        heads.append(str(writer.head))
        writer.append([record])
    writer.close()

    assert checked(path, key=key, heads=heads).ok


# ------------------------------------------------------------------------------------------------ what was changed
def variants(value: Any) -> list[Any]:
    """The value with any one of its bytes changed, or gone."""
    if isinstance(value, int):
        return [value ^ (1 << bit) for bit in range(63)] + [None]
    if value is None:
        return ["", "x", b"", 0]
    raw = value.encode() if isinstance(value, str) else value
    changed = [raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :] for at in range(len(raw)) for bit in (1, 0x80)]
    return [*changed, raw[:-1], raw + b" ", None]


def test_every_changed_byte_is_found(path, key):
    """A single byte changed in any column of any entry is found, and that entry is named."""
    written(path, key=key)
    with opened(path) as db:
        texts = dict.fromkeys(("id", "kind", "session_id", "correlation_id", "body"), "text")
        for place, column in itertools.product(range(6), COLUMNS):
            before = entries(db)[place]
            for value in variants(before[COLUMNS.index(column)]):
                with undone(db):
                    cast = f"CAST(? AS {texts[column]})" if column in texts and isinstance(value, bytes) else "?"
                    try:
                        db.execute(f"UPDATE records SET {column} = {cast} WHERE seq = ?", (value, place + 1))  # noqa: S608
                    except sqlite3.IntegrityError:
                        continue  # two with one number, or none where there has to be one: SQLite allows it to nobody
                    problem = verify(db, key=key).problems[0]
                if column not in ("writer", "number"):
                    assert ("changed", place + 1) == (problem.what, problem.number), (column, value)


@pytest.mark.parametrize("share", [pytest.param(0.01, id="some"), pytest.param(1, id="all", marks=pytest.mark.long)])
def test_every_changed_byte_of_the_file_is_found(path, tmp_path, share):
    """Whatever byte of the file is changed: the entries are as they were, or it is found."""
    written(path, key=b"k")
    with opened(path) as db:
        expected = entries(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    changed = tmp_path / "changed.db"
    dice = random.Random(1)  # noqa: S311 - the same bytes each time
    found = 0
    for at in range(len(whole)):
        if dice.random() > share:
            continue
        changed.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << dice.randrange(8))]) + whole[at + 1 :])
        try:
            with opened(changed) as db:
                if verify(db, key=b"k").ok:
                    assert expected == entries(db), at
                else:
                    found += 1
        except (sqlite3.Error, StoreError):
            found += 1
        for beside in tmp_path.glob("changed.db-*"):
            beside.unlink()

    assert found > 0


def test_every_removed_entry_is_found(path, key):
    """An entry taken out is named by its number; at the end of the chain it is said to be cut."""
    written(path, key=key)
    with opened(path) as db:
        for number in range(1, 7):
            with undone(db):
                db.execute("DELETE FROM records WHERE number = ?", (number,))
                problem = verify(db, key=key).problems[0]

            assert ("cut" if number == 6 else "removed", number) == (problem.what, problem.number)


def test_a_removed_entry_is_found_though_the_others_close_up(path, key):
    """Numbers written anew do not hide that one is missing."""
    written(path, key=key)
    with opened(path) as db:
        for number in range(1, 6):
            with undone(db):
                db.execute("DELETE FROM records WHERE number = ?", (number,))
                db.execute("UPDATE records SET number = -number WHERE number > ?", (number,))
                db.execute("UPDATE records SET number = -number - 1 WHERE number < 0")
                problem = verify(db, key=key).problems[0]

            assert number == problem.number


def test_every_swap_is_found(path, key):
    """Any two entries exchanged, by content, by number or by place in the file, are found: the first one is named."""
    written(path, key=key)
    with opened(path) as db:
        for one, other in itertools.combinations(range(1, 7), 2):
            for columns in (COLUMNS[2:11], COLUMNS[2:12], ("number",), ("seq",)):
                with undone(db):
                    _swap(db, one, other, columns)
                    problem = verify(db, key=key).problems[0]

                assert "reordered" == problem.what, (one, other, columns)
                assert problem.number in (one, other)


def _swap(db: sqlite3.Connection, one: int, other: int, columns: tuple[str, ...]) -> None:
    listed = ", ".join(columns)
    values = {
        seq: db.execute(f"SELECT {listed} FROM records WHERE seq = ?", (seq,)).fetchone()  # noqa: S608
        for seq in (one, other)
    }
    set_to = ", ".join(f"{column} = ?" for column in columns)
    hidden = {"number": "number = -1", "seq": "seq = -1"}.get(columns[0], "id = '-'")
    db.execute(f"UPDATE records SET {hidden} WHERE seq = ?", (one,))  # noqa: S608
    db.execute(f"UPDATE records SET {set_to} WHERE seq = ?", (*values[one], other))  # noqa: S608
    place = "seq = -1" if columns == ("seq",) else f"seq = {one}"
    db.execute(f"UPDATE records SET {set_to} WHERE {place}", values[other])  # noqa: S608


def test_every_cut_is_found(path, key):
    """A chain cut anywhere is found: by its seal, and where that is made anew, by the last head that was published."""
    head = written(path, key=key)
    with opened(path) as db:
        for left in range(6):
            with undone(db):
                db.execute("DELETE FROM records WHERE number > ?", (left,))
                problem = verify(db, key=key).problems[0]
                assert ("cut", left + 1) == (problem.what, problem.number)

                reseal(db, left)
                found = verify(db, key=key)
                if key is None:
                    assert found.ok
                    assert [limit for limit in found.limits if "cut from the end" in limit]
                else:
                    assert ["seal"] == [problem.what for problem in found.problems]
                problem = verify(db, heads=[head]).problems[0]
                if key is None:
                    assert ("cut", left + 1) == (problem.what, problem.number)


def reseal(db: sqlite3.Connection, count: int) -> None:
    """What somebody who can write the file but has no key can do to hide that entries are gone."""
    name, keyed = db.execute("SELECT name, keyed FROM writers").fetchone()
    last = db.execute("SELECT link FROM records WHERE number = ?", (count,)).fetchone()
    head = last[0] if last else db.execute("SELECT head FROM writers").fetchone()[0]
    if not last and not keyed:
        from tachograph.store.chain import first_link  # noqa: PLC0415 - only the enemy needs it here

        head = first_link(name, None)
    sealed = SealedWriter(name, count, head, 0, None, keyed)
    db.execute("UPDATE writers SET count = ?, head = ?, seal = ?", (count, head, seal(sealed, None)))


def test_an_added_entry_is_found(path, key):
    """An entry put in by anybody but the writer is found."""
    written(path, key=key)
    with opened(path) as db:
        for number, link in ((7, b"x" * 32), (0, b""), (99, b"x" * 32)):
            with undone(db):
                db.execute(
                    "INSERT INTO records (writer, number, id, kind, session_id, start_ns, end_ns, critical, body, link)"
                    " VALUES (1, ?, 'new', 'model', 's', 1, 2, 0, '{}', ?)",
                    (number, link),
                )
                assert not verify(db, key=key).ok


def test_entries_of_a_writer_that_is_gone_are_found(path):
    """Whoever removes a writer's row leaves its entries without one; with them, only a head tells."""
    head = written(path)
    with opened(path) as db:
        db.execute("DELETE FROM writers")
        assert ["unknown"] == [problem.what for problem in verify(db).problems]

        db.execute("DELETE FROM records")
        assert verify(db).ok
        problem = verify(db, heads=[head]).problems[0]

    assert "removed" == problem.what
    assert head.split(":")[0] in problem.where


@pytest.mark.parametrize("column", ["name", "count", "head", "pruned", "pruned_head", "keyed", "seal"])
def test_a_changed_writer_is_found(path, key, column):
    """What a writer's row says of its chain is sealed."""
    written(path, key=key)
    with opened(path) as db:
        value = {"name": "other", "count": 5, "pruned": 1, "keyed": int(key is None)}.get(column, b"x" * 32)
        for instead in (value, b"odd", "odd", 3.5, -1):
            with undone(db):
                db.execute(f"UPDATE writers SET {column} = ?", (instead,))  # noqa: S608
                assert not verify(db, key=key).ok


def test_a_chain_written_anew_is_found_by_a_head(path, tmp_path):
    """Without a key a chain can be written anew from any entry on; a head from before proves it is another."""
    head = written(path)
    forged = [*day()[:3], operation(77), *day()[4:]]
    name = head.split(":")[0]
    other = tmp_path / "forged.db"
    written(other, records=forged)
    shutil.copy(other, path)
    with opened(path) as db:
        db.execute("UPDATE writers SET name = ?", (name,))
        found = verify(db, heads=[head])

    assert not found.ok


def test_the_wrong_key_is_told_from_no_key(path):
    """A keyed chain is not whole without its key or with another, and it is said why."""
    written(path, key=b"right")

    without, wrong = checked(path), checked(path, key=b"wrong")

    assert ["key"] == [problem.what for problem in without.problems]
    assert ["seal"] == [problem.what for problem in wrong.problems]
    assert "another key" in wrong.problems[0].where


# ------------------------------------------------------------------------------------------------------- deletion
def delete_for_good(db: sqlite3.Connection, session_id: str) -> None:
    """What upkeep does with the entries of a session: the text goes, its digest stays."""
    import hashlib  # noqa: PLC0415 - only here

    db.create_function("digest", 1, lambda text: hashlib.sha256(text.encode()).digest())
    db.execute(
        "UPDATE records SET digest = digest(body), body = NULL WHERE session_id = ? AND kind <> 'session_deleted'",
        (session_id,),
    )


def test_deletion_keeps_the_chain_whole(path, key):
    """A session deleted softly is an entry more; for good, its texts are gone, and the chain is whole all the same."""
    written(path, key=key)
    written(path, key=key, records=day(100, "t"))
    written(path, key=key, records=[event(300, "session_deleted", session="s", request=None, hard=False)])
    assert checked(path, key=key).ok

    written(path, key=key, records=[event(301, "session_deleted", session="t", request=None, hard=True)])
    with opened(path) as db:
        delete_for_good(db, "t")

    found = checked(path, key=key)
    assert found.ok
    assert [limit for limit in found.limits if "deleted for good" in limit]


def test_a_text_that_is_gone_with_no_entry_to_say_so_is_found(path):
    """Who takes a text away and leaves the digest has removed an entry, unless it says that its session was deleted."""
    written(path)
    written(path, records=[event(300, "session_deleted", session="other", request=None, hard=True)])
    with opened(path) as db:
        delete_for_good(db, "s")
        assert ["deleted"] == [problem.what for problem in verify(db).problems]

        db.execute("UPDATE records SET session_id = 'other' WHERE session_id = 's'")
        assert ["changed"] == [problem.what for problem in verify(db).problems]


def test_what_retention_took_is_no_problem(path, key):
    """A chain without its beginning is whole where the seal says up to where, and the limits say it."""
    head = written(path, key=key)
    with opened(path) as db:
        name, keyed = db.execute("SELECT name, keyed FROM writers").fetchone()
        last = db.execute("SELECT link FROM records WHERE number = 4").fetchone()[0]
        count, link = db.execute("SELECT count, head FROM writers").fetchone()
        db.execute("DELETE FROM records WHERE number <= 4")
        sealed = seal(SealedWriter(name, count, link, 4, last, keyed), key)
        db.execute("UPDATE writers SET pruned = 4, pruned_head = ?, seal = ?", (last, sealed))

    found = checked(path, key=key, heads=[head, f"{name}:4:{last.hex()}", f"{name}:2:{'00' * 32}"])

    assert found.ok
    assert [limit for limit in found.limits if "retention" in limit]
    assert not checked(path, key=key, heads=[f"{name}:4:{'00' * 32}"]).ok


# -------------------------------------------------------------------------------------------------------- the limits
def test_limits_are_said(path):
    """What a chain without key or witness cannot prove is said, and what is proven is not."""
    head = written(path)
    without = checked(path).limits
    witnessed = checked(path, heads=[head]).limits

    assert [True, True] == [any("without a key" in limit for limit in limits) for limits in (without, witnessed)]
    assert [True, False] == [any("cut from the end" in limit for limit in limits) for limits in (without, witnessed)]
    assert [False, True] == [any("by then" in limit for limit in limits) for limits in (without, witnessed)]


def test_verifying_leaves_the_connection_as_it_was(path):
    """The connection may be in a transaction, is in the same one afterwards, and reads text as before."""
    written(path)
    with opened(path) as db:
        with undone(db):
            assert verify(db).ok
            assert db.in_transaction
        assert verify(db).ok
        assert not db.in_transaction
        assert str is db.text_factory


def test_a_text_that_is_no_head_is_said(path):
    """A witness that cannot be read is an error that shows it, not a chain without a witness."""
    written(path)
    with pytest.raises(ValueError, match="'nonsense' is no head of a chain"):
        checked(path, heads=["nonsense"])
