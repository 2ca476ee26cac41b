"""What is particular to a store as a source: files come and go, programs die, walks are short, many ask at once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from support.records import identifier, opened, operation
from support.stores import fill
from tachograph.config import Config
from tachograph.sources import SourceError, default_place, open_source
from tachograph.sources.sqlite import MAX_RECORDS, SqliteSource
from tachograph.store.look import MAX_REQUESTS
from tachograph.store.writer import Writer
from tachograph.testing import capture
from tachograph.values import default_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.records import Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    with closing(Writer(path)) as found:
        yield found


@pytest.fixture
def source(path: Path) -> Iterator[SqliteSource]:
    with closing(SqliteSource(path)) as found:
        yield found


def written(path: Path, *records: Record) -> Path:
    """A store with these records, and nobody writing."""
    with closing(Writer(path)) as writer:
        writer.append(records)
    return path


def changed(path: Path, statement: str) -> None:
    """A store that somebody has had their hands on."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


QUESTIONS: dict[str, Any] = {
    "session_count": lambda source: source.session_count(),
    "session_list": lambda source: source.session_list(),
    "sessions": lambda source: source.sessions(),
    "session_metrics": lambda source: source.session_metrics("s"),
    "metrics": lambda source: source.metrics(),
    "total": lambda source: source.total(),
    "audit_log": lambda source: source.audit_log(),
    "timeline": lambda source: source.timeline(),
    "records": lambda source: list(source.records()),
    "open_operations": lambda source: source.open_operations(),
    "stats": lambda source: source.stats(),
}


# -------------------------------------------------------------------------------------------------- files come and go
@pytest.mark.parametrize("question", QUESTIONS)
def test_what_cannot_be_read_is_said_and_asked_again(question: str, path: Path, source: SqliteSource) -> None:
    """Every question to a file that is not there, or no database, says so and the fix; later ones are answered."""
    for content, told in ((None, "no such file"), ("{}", "is no SQLite database"), ("SQLite", "is no SQLite database")):
        if content is not None:
            path.write_text(content * 100, "utf-8")
        with pytest.raises(SourceError, match=rf"store\.db.*{told}.*; "):
            QUESTIONS[question](source)
    path.unlink()
    written(path, operation(1))

    QUESTIONS[question](source)
    assert 1 == source.total().total_requests


def test_what_others_write_is_seen(path: Path, source: SqliteSource) -> None:
    """A record is in the answers as soon as it is committed; a store put in the place of another answers instead."""
    with closing(Writer(path)) as writer:
        for number in (1, 2):
            writer.append([operation(number)])
            assert number == source.session_metrics("s").total_requests
        source.close()  # or the writer, not being the last to close, leaves its log beside the file
    written(path.with_name("other.db"), operation(9, session="other")).replace(path)

    assert ["other"] == source.sessions()


def test_a_closed_source_may_be_asked(path: Path, source: SqliteSource) -> None:
    """Closing gives the files back, twice as well, and who asks again is answered."""
    written(path, operation(1))
    source.close()
    source.close()

    assert (["s"], str(path)) == (source.sessions(), source.place)


@pytest.mark.parametrize(
    ("statement", "question", "told"),
    [
        ("UPDATE records SET body = 'x'", "audit_log", "'x' is no record"),
        ("UPDATE records SET body = 'x'", "records", "'x' is no record"),
        ("UPDATE records SET body = 'x'", "session_metrics", "'x' is no record"),
        ("UPDATE counters SET body = 'x'", "session_list", "'x' is no tally"),
        ("DROP TABLE counters", "sessions", "no such table: counters"),
    ],
)
def test_a_damaged_store_says_what_is(
    statement: str, question: str, told: str, path: Path, source: SqliteSource
) -> None:
    """What somebody has changed into nonsense is shown, with the file and what to do."""
    changed(written(path, operation(1)), statement)

    with pytest.raises(SourceError, match=rf"store\.db: {told}.*; "):
        QUESTIONS[question](source)


# ------------------------------------------------------------------------------------------- what cannot be written
@contextmanager
def only_reading(folder: Path) -> Iterator[None]:
    """A folder that we may read and not write, whoever we are."""
    files = [folder, *folder.iterdir()]
    for file in files:
        file.chmod(stat.S_IMODE(file.stat().st_mode) & ~0o222 | 0o444 | (0o111 if file.is_dir() else 0))
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        assert not os.access(folder, os.W_OK, effective_ids=True)
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may look into."""
    found = Path(tempfile.mkdtemp())
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


@pytest.mark.skipif(sys.platform == "win32", reason="folders are no such thing there")
def test_a_store_in_a_folder_that_cannot_be_written(folder: Path) -> None:
    """A store that was put away read-only answers every question."""
    path = written(folder / "store.db", operation(1), operation(2, session="t"))
    with only_reading(folder), closing(SqliteSource(path)) as source:
        for ask in QUESTIONS.values():
            ask(source)
        assert 2 == source.total().total_requests


@pytest.mark.skipif(sys.platform == "win32", reason="folders are no such thing there")
def test_a_store_that_somebody_else_writes(folder: Path) -> None:
    """Who may only read a store sees what its owner is writing to it now."""
    path = folder / "store.db"
    with closing(Writer(path)) as writer:
        writer.append([operation(1)])
        with only_reading(folder), closing(SqliteSource(path)) as source:
            assert 1 == source.total().total_requests
        writer.append([operation(2)])


# ------------------------------------------------------------------------------------------------------ programs die
DYING = """
    import os, sys
    from pathlib import Path
    from support.records import opened, operation
    from tachograph.store.writer import Writer

    writer = Writer(Path(sys.argv[1]), clock=lambda: operation(1, at=60_000).start_ns)
    tool = operation(3, "tool", "search", at=50, parent=1)
    writer.append([operation(4, at=20, parent=1)], [opened(operation(1, "agent", "manager")), opened(tool)])
    os._exit(9)
    """


def test_what_a_dead_program_had_under_way_is_lost(path: Path, source: SqliteSource) -> None:
    """It ended, as ``lost``, when the program was last heard of: before anybody settles that, and after, alike."""
    code = "\n".join(line.strip() for line in DYING.splitlines())
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    died = subprocess.run([sys.executable, "-c", code, str(path)], env=environ, check=False)
    assert 9 == died.returncode
    lost = source.open_operations()

    assert [(identifier(1), "lost"), (identifier(3), "lost")] == [(found.id, found.outcome) for found in lost]
    assert {operation(1, at=60_000).start_ns} == {found.end_ns for found in lost}
    before = found_by(source)
    assert ("idle", 1, {"lost": 1}) == (
        before["metrics"].status,
        before["metrics"].agent_runs,
        before["metrics"].outcomes,
    )
    written(path)  # whoever writes next settles it
    assert [] == source.open_operations()
    assert before == found_by(source)


def found_by(source: SqliteSource) -> dict[str, Any]:
    """Answers that are the same whether or not what is lost was settled."""
    return {
        "metrics": source.session_metrics("s"),
        "request": source.session_metrics("s", "r"),
        "total": source.total(),
        "list": source.session_list(),
        "log": source.audit_log(),
        "newest": source.audit_log(limit=2),
        "timeline": source.timeline(),
        "active": source.stats()["active_sessions"],
    }


def test_what_is_under_way_in_two_programs_of_one_family(writer: Writer, path: Path, source: SqliteSource) -> None:
    """After a fork both have the same under way; once one tells its end it has ended, whatever the other says."""
    with closing(Writer(path)) as child:
        for one in (writer, child):
            one.append([], [opened(operation(1))])
        assert [opened(operation(1))] == source.open_operations()
        child.append([operation(1)])

        assert ([], 1, 0) == (
            source.open_operations(),
            source.session_metrics("s").total_requests,
            source.session_metrics("s").active_requests,
        )


# ----------------------------------------------------------------------------------------------------------- bounds
def test_the_newest_requests_are_listed(writer: Writer, source: SqliteSource) -> None:
    """Of many model calls the newest hundred are listed, what is missing is counted, and the figures are of all."""
    writer.append([operation(number, at=number, took=1) for number in range(1, 251)])
    metrics = source.session_metrics("s")

    assert (250, MAX_REQUESTS, {"requests": 150}) == (metrics.total_requests, len(metrics.calls), metrics.evicted)
    assert [identifier(number) for number in range(151, 251)] == [call.id for call in metrics.calls]


def test_a_long_timeline_says_what_it_leaves_out(writer: Writer, source: SqliteSource) -> None:
    """Of very many records the newest are on the timeline, which says how many are not."""
    fill(writer, (operation(number, at=number, took=1) for number in range(1, MAX_RECORDS + 31)))
    writer.append([], [opened(operation(1_000_000, at=99_000_000))])
    timeline = source.timeline(session_id="s")

    assert (MAX_RECORDS + 1, 30, identifier(31)) == (
        len(timeline.entries),
        timeline.left_out,
        timeline.entries[0].id,
    )
    assert "30 earlier ones are left out" == str(timeline).splitlines()[0]
    assert 30 == timeline.to_dict()["left_out"]


def test_records_are_streamed(writer: Writer, source: SqliteSource) -> None:
    """Records come page by page, so that a reader may take its time while the store is written and tidied."""
    fill(writer, (operation(number, at=number, took=1) for number in range(1, 1_301)))
    records = source.records("s")
    first = next(records)
    writer.append([operation(2_000)])

    assert (operation(1, at=1, took=1), 1_299) == (first, len(list(records)))


# ---------------------------------------------------------------------------------------------------- many at once
def test_many_threads_ask_while_programs_write(path: Path, writer: Writer, source: SqliteSource) -> None:
    """Whatever is written meanwhile, every answer is of one moment: figures, log and list agree."""
    problems: list[object] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                listed = source.session_list()
                problems.extend(found for found in listed if found.total_requests != len(found.calls))
                source.audit_log(limit=5)
                source.total()
        except Exception as error:  # noqa: BLE001 - to be shown
            problems.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(1, 200):
        writer.append([operation(number, at=number, session=f"s{number % 7}")], [opened(operation(number + 1))])
    done.set()
    for thread in threads:
        thread.join()
    assert [] == problems
    assert 199 == source.total().total_requests


# ------------------------------------------------------------------------------------------------------------ doors
def test_a_place_is_opened_by_what_is_in_it(path: Path, tmp_path: Path) -> None:
    """A store is a store under any name; a file of OTLP is told from it by its content."""
    odd = written(tmp_path / "exported.jsonl", operation(1))
    path.write_text('{"resourceSpans":[]}\n', "utf-8")

    with closing(open_source(odd)) as store, closing(open_source(str(path))) as file:
        assert (SqliteSource, "OtlpSource") == (type(store), type(file).__name__)
        assert (str(odd), ["s"], []) == (store.place, store.sessions(), file.sessions())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("", None, "is a directory"),
        ("nothing.db", None, "no such file"),
        ("empty", b"", "is empty"),
        ("bad\0name", None, "cannot be read"),
        ("photo.jpg", b"\xff\xd8\xff\xe0" * 20, "photo.jpg"),
        ("half.db", b"SQLite format 3\0" + b"\xff" * 200, "no SQLite database"),
    ],
)
def test_what_is_no_place_is_said(name: str, content: bytes | None, told: str, tmp_path: Path) -> None:
    """A place that cannot be read as sessions raises at once, with its name and what to give instead."""
    place = tmp_path / name if name else tmp_path
    if content is not None:
        place.write_bytes(content)

    with pytest.raises(SourceError, match=told):
        open_source(place)


def test_a_database_of_somebody_else_is_no_store(path: Path) -> None:
    """A SQLite database that is no store is left alone, and said to be none."""
    changed(path, "CREATE TABLE theirs (x)")

    with pytest.raises(SourceError, match="no store of Tachograph"):
        open_source(path)


def test_the_store_in_force_is_read_by_default(path: Path) -> None:
    """``tachograph.read()`` opens the store that is recorded into, and a place that is given instead of it."""
    other = written(path.with_name("other.db"), operation(2, session="other"))
    with capture(store=str(path)) as captured:
        with pytest.raises(SourceError, match="no such file"):
            tachograph.read()
        captured.ledger.apply(operation(1))
        assert captured.runtime.keeper.flush()
        with closing(tachograph.read()) as source, closing(tachograph.read(other)) as second:
            assert (str(path), ["s"], ["other"]) == (source.place, source.sessions(), second.sessions())


def test_where_a_store_is_by_default(path: Path) -> None:
    """Without a setting it is where the platform keeps what belongs to a user; with one it is there."""
    assert Path(default_store()) == default_place(Config())
    assert path == default_place(Config.read({"store": str(path)}, environ={}))
