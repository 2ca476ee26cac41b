"""The store in real programs: killed, forked, under ``tachograph run``, on disks that are full or read-only."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import PATIENCE, Finished, Programs, clean_environment, program, script
from support.records import ledger_of
from support.stores import checked
from tachograph.canonical import record_from_text, tally_from_text
from tachograph.records import Operation
from tachograph.store.schema import connect_to_read
from tachograph.store.writer import Writer
from tachograph.views.session import session_view

if TYPE_CHECKING:
    from pathlib import Path

    from tachograph.records import Record

WINDOW = 0.1 + 0.9
"""Seconds that a program killed may be behind: the time others may come in, and to write on a machine under load."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def stored(path: Path) -> list[Record]:
    return [record_from_text(body) for (body,) in rows(path, "SELECT body FROM records ORDER BY seq")]


def rows(path: Path, query: str) -> list[Any]:
    with closing(connect_to_read(path)) as db:
        return db.execute(query).fetchall()


def whole(path: Path, **arguments: Any) -> None:
    """Nothing is wrong with a store: not the file, not the chains, nor the counters, which are those of its records."""
    assert () == checked(path, **arguments).problems
    (body,) = rows(path, "SELECT body FROM counters WHERE scope = 0")[0]
    counted, expected = (
        {**figures.to_dict(), "requests": [], "evicted": {}}
        for figures in (session_view("*", tally_from_text(body)), ledger_of(stored(path), max_records=10**6).total())
    )
    assert expected == counted


# ----------------------------------------------------------------------------------------------------- kill -9
LOAD = """
    import itertools
    import os
    import sys
    import time

    from tachograph import runtime
    from tachograph.live import Start

    path, how, log = sys.argv[1:]
    running = runtime.start({"store": path, "store_flush": how, "store_debounce": 0.1, "summary": "0"})
    record = running.recorder
    out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    outer = record.begin(Start("agent", "never ends"))
    assert running.keeper.flush(30)
    print("ready", outer.record.id, flush=True)
    for number in itertools.count():
        live = record.begin(Start("model", "m", parent=outer))
        record.end(live)
        os.write(out, f"{live.record.id} {time.time()} {running.keeper.stats()['written']}\\n".encode())
        if how == "events":
            time.sleep(0.001)
    """


def due(log: Path, how: str, killed: float) -> list[str]:
    """Ids of what a program that was killed had recorded and is to be in the store."""
    lines = [line.split() for line in log.read_text().split("\n")[:-1]] if log.exists() else []
    if how == "through":
        return [id_ for id_, *_ in lines]
    written = max((int(count) for *_, count in lines), default=0)  # as it saw itself
    return [id_ for n, (id_, at, _) in enumerate(lines) if n < written or float(at) < killed - WINDOW]


@pytest.mark.parametrize(
    ("kills", "seconds"), [(20, 0.2), pytest.param(200, 0.8, marks=pytest.mark.long)], ids=["20", "200"]
)
def test_killed_at_any_moment(programs, tmp_path, kills, seconds):
    """Killed under load, four at once: the file and all chains are whole, what was committed is there, open is lost."""
    store, dice = tmp_path / "store.db", random.Random(kills)  # noqa: S311 - the same moments each time
    programs.write("load.py", LOAD)
    never_ended: set[str] = set()
    for turn in range(kills // 4):
        hows = ("through", "events", "through", "events")
        logs = [tmp_path / f"{turn}-{n}.log" for n in range(4)]
        running = [
            subprocess.Popen(
                [sys.executable, "load.py", str(store), how, str(log)],
                cwd=tmp_path,
                env=clean_environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
            for how, log in zip(hows, logs, strict=True)
        ]
        try:
            never_ended |= {process.stdout.readline().split()[1] for process in running}
            killed = []
            for process in running:
                time.sleep(dice.uniform(0, seconds))
                process.kill()
                killed.append(time.time())
        finally:
            for process in running:
                process.kill()
                process.communicate()

        whole(store)
        there = {record.id for record in stored(store)}
        for how, log, moment in zip(hows, logs, killed, strict=True):
            recorded = due(log, how, moment)
            assert [] == [id_ for id_ in recorded if id_ not in there], how

    Writer(store).close()
    ended = {record.id: record for record in stored(store) if isinstance(record, Operation)}
    assert {"lost"} == {ended[id_].outcome for id_ in never_ended}
    assert [] == rows(store, "SELECT id FROM open")
    assert [] == [file.name for file in tmp_path.glob("store.db-writer-*")]
    whole(store)


# ------------------------------------------------------------------------------------------------- tachograph run
RUN = (script("tachograph"), "run")
BOSS = "import tachograph\nfrom crew import boss, tell\nboss().run('price of tea?')\ntell(**tachograph.stats())\n"


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, "data/tachograph/store.db"),
        ({"TACHOGRAPH_STORE": "1"}, "data/tachograph/store.db"),
        ({"TACHOGRAPH_STORE": "mine/it.db"}, "mine/it.db"),
        ({"TACHOGRAPH_STORE": "0"}, None),
    ],
    ids=["default", "on", "path", "off"],
)
def test_a_recorded_program_is_stored(programs, variables, place):
    """Under ``tachograph run`` there is a store, in the user's data unless settings say where, or no."""
    programs.write("app.py", BOSS)
    done = programs.run(*RUN, "app.py", TACHOGRAPH_SUMMARY="0", **variables)

    assert (0, "") == (done.code, done.stderr)
    found = {file.relative_to(programs.directory).as_posix() for file in programs.directory.rglob("*.db*")}
    assert ({place} if place else set()) == found
    if place:
        store = programs.directory / place
        whole(store)
        assert {"agent": 2, "model": 3, "tool": 3, "code": 1} == _kinds(store)
        assert str(store) == done.told["store"]["path"]
    else:
        assert done.told["store"] is None


def _kinds(store: Path) -> dict[str, int]:
    kinds = [record.kind for record in stored(store) if isinstance(record, Operation)]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(sorted(kinds))}


def test_without_run_nothing_is_stored(programs):
    """A program that starts recording by itself has a store only if settings say so."""
    done = programs.python("import tachograph.auto\n" + BOSS)
    assert done.told["store"] is None
    assert [] == [*programs.directory.rglob("*.db")]

    done = programs.python("import tachograph.auto\n" + BOSS, TACHOGRAPH_STORE="it.db")
    assert (0, "") == (done.code, done.stderr)
    whole(programs.directory / "it.db")


def test_a_program_with_settings_of_its_own_is_stored_once(programs):
    """A program under run that starts recording by itself too goes on in the same store, each record once."""
    programs.write(
        "app.py",
        """
        import tachograph
        from crew import boss, tell

        boss().run("price of tea?")
        tachograph.init(session_id="mine")
        boss().run("price of tea?")
        """,
    )
    done = programs.run(*RUN, "app.py", TACHOGRAPH_SUMMARY="0")

    assert (0, "") == (done.code, done.stderr)
    store = programs.directory / "data/tachograph/store.db"
    whole(store)
    assert {"agent": 4, "model": 6, "tool": 6, "code": 2} == _kinds(store)
    assert [(2,)] == rows(store, "SELECT count(*) FROM writers WHERE closed_ns IS NOT NULL")


def test_sigterm_loses_nothing(programs):
    """Asked to terminate, a program under run stores what it has, what was under way as abandoned, then ends."""
    programs.write(
        "app.py",
        """
        import signal
        import time

        from crew import boss, Price

        class Slow(Price):
            def forward(self, thing):
                print("ready", flush=True)
                time.sleep(600)

        boss(Slow()).run("price of tea?")
        """,
    )
    with programs.start(*RUN, "app.py", TACHOGRAPH_SUMMARY="0") as process:
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        done = programs.finish(process)

    assert (-signal.SIGTERM, "") == (done.code, done.stderr)
    store = programs.directory / "data/tachograph/store.db"
    whole(store)
    assert {"abandoned": 4, "ok": 2} == _outcomes(store)


@needs_fork
def test_a_pool_that_is_left_loses_nothing(programs):
    """The workers of a pool, which are told to terminate where its block ends, store what they have."""
    programs.write("work.py", "import tachograph\n\ndef job(n):\n    with tachograph.tool('job'):\n        return n\n")
    programs.write(
        "app.py",
        """
        import multiprocessing

        from work import job

        if __name__ == "__main__":
            with multiprocessing.get_context("fork").Pool(2) as pool:
                print(sum(pool.map(job, range(20))))
        """,
    )
    done = programs.run(*RUN, "app.py", TACHOGRAPH_SUMMARY="0")

    assert (0, "190\n", "") == (done.code, done.stdout, done.stderr)
    store = programs.directory / "data/tachograph/store.db"
    whole(store)
    assert {"ok": 20} == _outcomes(store)


def _outcomes(store: Path) -> dict[str, int]:
    outcomes = [record.outcome for record in stored(store) if isinstance(record, Operation)]
    return {outcome: outcomes.count(outcome) for outcome in sorted(set(filter(None, outcomes)))}


def test_the_last_head_goes_out(programs):
    """A program's own log provider, which ends at exit, has the head of all that was stored: it proves the chain."""
    programs.write(
        "app.py",
        """
        from opentelemetry import _logs
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor

        provider = LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(ConsoleLogRecordExporter()))
        _logs.set_logger_provider(provider)

        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        trace.set_tracer_provider(TracerProvider())

        from crew import boss

        boss().run("price of tea?")
        """,
    )
    done = programs.run(*RUN, "app.py", TACHOGRAPH_SUMMARY="0", TACHOGRAPH_STORE="it.db", TACHOGRAPH_AUDIT_KEY="secret")

    assert (0, "") == (done.code, done.stderr)
    decoder, at, heads = json.JSONDecoder(), 0, []
    while at < len(done.stdout.rstrip()):
        found, at = decoder.raw_decode(done.stdout, at)
        at += 1
        if found["event_name"] == "tachograph.audit.head":
            facts = found["attributes"]
            heads.append(":".join(str(facts[f"tachograph.audit.{part}"]) for part in ("writer", "count", "link")))
    store = programs.directory / "it.db"
    assert "secret" not in done.stdout
    assert checked(store, key=b"secret", heads=heads).ok
    assert [heads[-1]] == [str(head) for head in checked(store, key=b"secret").heads]


# ---------------------------------------------------------------------------------------------------------- forks
FORK = """
    import multiprocessing
    import os
    import sys
    import warnings

    warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # as Python 3.12 says wherever a thread is

    import tachograph
    from tachograph import runtime
    from tachograph.live import Start

    def work(name, count=3):
        record = runtime.current().recorder
        for _ in range(count):
            record.end(record.begin(Start("model", name)))

    running = runtime.start({"store": "it.db", "store_debounce": 0.05})
    work("parent", 3)
    assert running.keeper.flush(30)
    open_here = running.recorder.begin(Start("agent", "of the parent"))
    work("parent", 3)
    """


@needs_fork
def test_a_child_has_a_writer_of_its_own(programs):
    """What the parent recorded is stored by the parent alone, what a child records by the child, both to their ends."""
    done = programs.python(
        program(
            FORK,
            """
            if os.fork() == 0:
                work("child", 4)
                sys.exit(0)
            work("parent", 4)
            os.wait()
            running.recorder.end(open_here)
            """,
        )
    )

    assert (0, "") == (done.code, done.stderr)
    store = programs.directory / "it.db"
    whole(store)
    by = "SELECT writer, json_extract(body, '$.name'), count(*) FROM records GROUP BY 1, 2 ORDER BY 1, 2"
    assert [(1, "of the parent", 1), (1, "parent", 10), (2, "child", 4)] == rows(store, by)
    assert [] == rows(store, "SELECT * FROM open")


@needs_fork
def test_children_of_multiprocessing(programs):
    """Children that end without what is done at exit, as those of multiprocessing do, store what they recorded."""
    done = programs.python(
        program(
            FORK,
            """
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=work, args=(f"child {n}", 5)) for n in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            running.recorder.end(open_here)
            """,
        )
    )

    assert (0, "") == (done.code, done.stderr)
    store = programs.directory / "it.db"
    whole(store)
    by = "SELECT json_extract(body, '$.name'), count(*) FROM records GROUP BY 1 ORDER BY 1"
    assert [*((f"child {n}", 5) for n in range(3)), ("of the parent", 1), ("parent", 6)] == rows(store, by)


@needs_fork
def test_forks_under_load(programs):
    """Forked again and again while the store is written, parent and children lose nothing and the file stays whole."""
    done = programs.python(
        program(
            FORK,
            """
            import threading

            stop = threading.Event()

            def load():
                while not stop.wait(0.005):
                    work("parent", 5)

            thread = threading.Thread(target=load)
            thread.start()
            for number in range(20):
                pid = os.fork()
                if pid == 0:
                    stop.set()
                    work("child", 5)
                    runtime.stop()
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
            stop.set()
            thread.join()
            running.recorder.end(open_here)
            expected = running.ledger.total().total_requests
            runtime.stop()
            print(__import__("json").dumps(expected))
            """,
        )
    )

    assert (0, "") == (done.code, done.stderr)
    store = programs.directory / "it.db"
    whole(store)
    named = "SELECT count(*) FROM records WHERE json_extract(body, '$.name') = "
    assert [(100,)] == rows(store, named + "'child'")
    assert [(done.told,)] == rows(store, named + "'parent'")


# ------------------------------------------------------------------------------------------------- disks in trouble
def _can_mount() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    try_it = ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(try_it, check=False, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="no file system can be mounted here")

TROUBLE = """
    import subprocess
    import sys

    import tachograph
    from tachograph import runtime
    from tachograph.live import Start

    def work(count):
        record = runtime.current().recorder
        for _ in range(count):
            record.end(record.begin(Start("model", "m", {"gen_ai.request.model": "m" * 500})))

    def mount(options):
        subprocess.run(["mount", "-o", f"remount,{options}", "disk"], check=True)

    running = runtime.start({"store": "disk/it.db", "store_debounce": 0.01, "summary": "0"})
    keeper = running.keeper
    """


def on_a_disk(programs: Programs, options: str, source: str, before: str = "true") -> Finished:
    """Run a program with a file system of its own in the folder ``disk``, copied to ``kept`` at the end."""
    programs.write("app.py", program(TROUBLE, source))
    (programs.directory / "disk").mkdir()
    steps = (
        f"mount -t tmpfs -o size=4m none disk && {before} && mount -o remount,{options} disk && {sys.executable} app.py"
    )
    return programs.run("unshare", "-Urm", "sh", "-c", f"{steps} && cp -r disk kept")


@needs_mounts
def test_a_full_disk(programs):
    """On a full disk the program goes on, with one line; once there is room everything is stored."""
    done = on_a_disk(
        programs,
        "size=300k",
        """
        work(2_000)
        assert not keeper.flush(1), keeper.stats()
        assert tachograph.metrics() and running.ledger.total().total_requests == 2_000
        assert keeper.stats()["state"] == "trouble"
        mount("size=50m")
        assert keeper.flush(30), keeper.stats()
        assert keeper.stats()["state"] == "writing"
        """,
    )

    assert 0 == done.code, done.stderr
    first, second = done.stderr.splitlines()
    assert "the disk is full; free some space" in first
    assert "is written again" in second
    store = programs.directory / "kept" / "it.db"
    whole(store)
    assert 2_000 == len(stored(store))


@needs_mounts
@pytest.mark.parametrize("before", ["true", "cp old.db disk/it.db"], ids=["none yet", "one is there"])
def test_a_read_only_disk(programs, before):
    """On a read-only disk the program goes on, with one line; once it can be written everything is stored."""
    Writer(programs.directory / "old.db").close()
    done = on_a_disk(
        programs,
        "ro",
        """
        work(10)
        assert not keeper.flush(1), keeper.stats()
        mount("rw")
        assert keeper.flush(30), keeper.stats()
        """,
        before,
    )

    assert 0 == done.code, done.stderr
    first, second = done.stderr.splitlines()
    assert "cannot be written" in first
    assert "is written again" in second
    whole(programs.directory / "kept" / "it.db")


@pytest.mark.parametrize("place", ["file/store.db", "/proc/nowhere/store.db"], ids=["under a file", "no such place"])
def test_a_place_that_cannot_be(programs, place):
    """A store that can be made nowhere, as with a home that is none, costs a program under run one line."""
    programs.write("file", "")
    programs.write("app.py", BOSS)
    done = programs.run(*RUN, "app.py", TACHOGRAPH_SUMMARY="0", TACHOGRAPH_STORE=place)

    assert 0 == done.code
    said = done.stderr.splitlines()
    assert ["cannot be written", "could not be written before the end"] == [
        next((words for words in ("cannot be written", "could not be written before the end") if words in line), line)
        for line in said
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_file_that_may_not_grow(programs):
    """Where the system lets the file grow no further, what fits is whole and the program goes on."""
    done = programs.python(
        program(
            TROUBLE.replace("disk/it.db", "it.db"),
            """
            import resource

            work(100)
            assert keeper.flush(30)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
            work(2_000)
            assert not keeper.flush(1), keeper.stats()
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert keeper.flush(30), keeper.stats()
            """,
        )
    )

    assert 0 == done.code, done.stderr
    store = programs.directory / "it.db"
    whole(store)
    assert 2_100 == len(stored(store))


def test_the_end_does_not_wait_for_others(programs):
    """A program that ends while another process has the store locked ends in its time, and says what is missing."""
    Writer(programs.directory / "it.db").close()
    with closing(sqlite3.connect(programs.directory / "it.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        done = programs.python(program(TROUBLE.replace("disk/it.db", "it.db"), "work(10)"))

        assert time.monotonic() - began < PATIENCE / 4
    assert 0 == done.code
    assert "10 records could not be written before the end: another process has it locked" in done.stderr
