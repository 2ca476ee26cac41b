"""Approvals in a store: they outlive who asked, are found by their call id, and are decided by one at a time."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.records import opened, operation
from support.stores import opened as opened_store
from tachograph import names
from tachograph.records import OUTLIVING
from tachograph.sources.sqlite import SqliteSource
from tachograph.store import deciding
from tachograph.store.deciding import Deciding
from tachograph.store.schema import StoreError
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from tachograph.records import Operation


def asked(number: int, call_id: str = "call-7", *, session: str = "s", waited_for: bool = True) -> Operation:
    """An approval that is decided."""
    facts = {names.TOOL_CALL_ID: call_id, names.APPROVAL_DECISION: "APPROVE"}
    if waited_for:
        facts[names.HUMAN_WAIT] = True
    return operation(number, "approval", "drop", at=number, session=session, attributes=facts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def place(path: Path) -> Deciding:
    return Deciding(path, lambda: None)


def died(writer: Writer) -> None:
    """Its process is gone, without a word."""
    writer.release()
    writer._absent()


# -------------------------------------------------------------------------------------------------- outliving a writer
@pytest.mark.parametrize("ending", ["closed", "died"])
def test_an_approval_outlives_who_asked(path: Path, ending: str) -> None:
    """When its writer closes or dies an approval stays open, and what the writer worked on is lost."""
    first = Writer(path)
    first.append((), [opened(asked(1)), opened(operation(2, "agent", "coder", at=2))])
    if ending == "closed":
        first.close()
    else:
        died(first)
    with closing(Writer(path)), closing(SqliteSource(path)) as source:
        assert [("approval", None)] == [(one.kind, one.outcome) for one in source.open_operations()]
        ended = [record for record in source.records() if record.end_ns is not None]
        assert [("agent", "lost")] == [(record.kind, record.outcome) for record in ended]
        assert "waiting" == source.session_metrics("s").status
        assert {"pending": 1} == {
            word: count for word, count in source.session_metrics("s").hitl["drop"].items() if count
        }
    assert {"approval"} == OUTLIVING


def test_who_reads_meanwhile_takes_a_dead_ones_approval_for_pending(path: Path) -> None:
    """Before any writer has closed the dead one, readers see its approval open and its other work lost."""
    first = Writer(path)
    first.append((), [opened(asked(1)), opened(operation(2, "agent", "coder", at=2))])
    died(first)
    with closing(SqliteSource(path)) as source:
        assert [("approval", None), ("agent", "lost")] == [(one.kind, one.outcome) for one in source.open_operations()]


def test_another_writer_ends_it(path: Path) -> None:
    """Whoever decides ends it: it is stored once, and open with nobody, also where the asker tells of it again."""
    with closing(Writer(path)) as asker, closing(Writer(path)) as decider:
        asker.append((), [opened(asked(1))])
        assert 1 == decider.append([asked(1)])
        assert 0 == asker.append((), [opened(asked(1))])
        assert 0 == asker.append([asked(1)._replace(attributes={})])
    with opened_store(path) as db:
        assert [] == db.execute("SELECT id FROM open").fetchall()
    with closing(SqliteSource(path)) as source:
        assert [asked(1)] == list(source.records())


# --------------------------------------------------------------------------------------------------- by its call id
def test_what_is_pending_is_meant_and_then_what_was_decided_last(path: Path) -> None:
    """A call id finds the pending approval, else the one decided last; of a session, where one is said."""
    with closing(Writer(path)) as writer:
        writer.append([asked(1), asked(2), asked(3, "another"), asked(4, session="t")])
        assert asked(4) != place(path).asked("call-7", "s")
        assert asked(2) == place(path).asked("call-7", "s")
        assert asked(4, session="t") == place(path).asked("call-7", None)
        writer.append((), [opened(asked(5))])
        assert opened(asked(5)) == place(path).asked("call-7", None)
        assert None is place(path).asked("unknown", None)
        assert None is place(path).asked("call-7", "unknown")


def test_what_nobody_was_asked_for_is_not_found(path: Path) -> None:
    """A decision on a request that nobody knew of is no answer to the next one."""
    with closing(Writer(path)) as writer:
        writer.append([asked(1, waited_for=False), operation(2, "tool", attributes={names.TOOL_CALL_ID: "call-7"})])
        assert None is place(path).asked("call-7", None)


def test_whether_it_is_decided_is_known_by_its_id(path: Path) -> None:
    """An approval is decided once its end is stored; one deleted for good, or in no store at all, is not known."""
    assert (None, []) == (place(path).asked("call-7", None), place(path).decided(["x"]))
    with closing(Writer(path)) as writer:
        writer.append((), [opened(asked(1))])
        assert [] == place(path).decided([asked(1).id])
        writer.append([asked(1)])
        assert [asked(1)] == place(path).decided([asked(1).id, "x"])
        with opened_store(path) as db:
            db.execute("UPDATE records SET body = NULL")
        assert [] == place(path).decided([asked(1).id])


def test_a_damaged_store_says_so(path: Path) -> None:
    """What cannot be read raises, with the file and the fix."""
    path.write_bytes(b"no database, but long enough to be looked at as one" * 100)
    with pytest.raises(StoreError, match=r"store\.db.*move it away"):
        place(path).asked("call-7", None)


# ------------------------------------------------------------------------------------------------------ one at a time
def test_one_decides_at_a_time(path: Path) -> None:
    """Who decides is alone until what they decided is stored; the next one waits for that."""
    steps: list[str] = []
    inside, told, tried = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with Deciding(path, lambda: steps.append("first is stored")).alone():
            inside.set()
            told.wait(20)
            steps.append("first")

    def second() -> None:
        inside.wait(20)
        tried.set()
        with Deciding(path, lambda: steps.append("second is stored")).alone():
            steps.append("second")

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    tried.wait(20)
    told.set()
    for thread in threads:
        thread.join()
    assert ["first", "first is stored", "second", "second is stored"] == steps


def test_nobody_waits_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that is never given back, or a folder that cannot be written, costs some patience and no decision."""
    monkeypatch.setattr(deciding, "_PATIENCE", 0.05)
    stored: list[str] = []
    with place(path).alone(), Deciding(path, lambda: stored.append("locked")).alone():
        pass
    with Deciding(path / "no" / "folder", lambda: stored.append("no folder")).alone():
        pass
    assert ["locked", "no folder"] == stored


def test_an_error_gives_the_lock_back(path: Path) -> None:
    """What raises within has decided nothing: nothing is stored, and others may decide."""
    stored: list[str] = []
    with pytest.raises(ValueError, match="no"), Deciding(path, lambda: stored.append("wrong")).alone():
        raise ValueError("no")
    with Deciding(path, lambda: stored.append("right")).alone():
        pass
    assert ["right"] == stored
