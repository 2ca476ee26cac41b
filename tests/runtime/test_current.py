"""One runtime in a process: made when it is needed, succeeded without loss, stopped once, and at home in a fork."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import tachograph
from support.programs import Programs
from support.runtimes import Host, hook, work
from tachograph import runtime, session
from tachograph.config import ConfigError
from tachograph.frameworks import IntegrationError
from tachograph.live import Start

if TYPE_CHECKING:
    from pathlib import Path


# -------------------------------------------------------------------------------------------------- before the start
def test_there_is_always_a_runtime() -> None:
    """Used before anybody started it, Tachograph answers, and hooks nothing."""
    assert [] == tachograph.sessions()
    first = runtime.current()

    assert first is runtime.current()
    assert not first.started
    assert {} == first.hooks.rows
    assert 0 == tachograph.session_metrics("s").tool_calls


def test_a_first_use_by_many_threads_makes_one_runtime() -> None:
    """However many threads use it first, there is one runtime."""
    barrier, found = threading.Barrier(8), []

    def use() -> None:
        barrier.wait()
        found.append(runtime.current())

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len({id(each) for each in found})


def test_the_process_has_one_session_of_its_own() -> None:
    """Work that nobody put into a session is in one, the same for all threads, from the first on."""
    barrier, found = threading.Barrier(8), []

    def use() -> None:
        barrier.wait()
        found.append(work().session_id)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)

    assert {runtime.current().process_session()} == set(found)
    assert [found[0]] == tachograph.sessions()


def test_the_process_session_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """``TACHOGRAPH_SESSION_ID`` names the session of work without one."""
    monkeypatch.setenv("TACHOGRAPH_SESSION_ID", "nightly")

    assert "nightly" == work().session_id


# ------------------------------------------------------------------------------------------------------- the start
def test_a_start_keeps_what_was_recorded_before() -> None:
    """What was recorded, counted and swallowed before the start belongs to the runtime that is started."""

    def broken() -> None:
        raise ZeroDivisionError("ours")

    with session("  early  ", correlation_id="c"):
        work()
    alone = work()
    session("s").__exit__(None, None, None)
    early = runtime.current()
    early.guard(broken)
    started = tachograph.init()

    assert started is runtime.current() is not early
    assert 1 == tachograph.session_metrics("early").tool_calls
    assert alone.session_id == work().session_id
    assert 2 == tachograph.session_metrics(alone.session_id).tool_calls
    stats = tachograph.stats()
    assert (1, 1, 1) == (stats["ids_cleaned"], stats["misused"], sum(stats["swallowed"].values()))


def test_what_was_open_at_the_start_ends_in_the_same_ledger() -> None:
    """An operation begun before the start and ended after it is one operation."""
    early = runtime.current()
    live = early.recorder.begin(Start("tool", "t"))
    tachograph.init()
    assert 1 == tachograph.stats()["open_operations"]
    early.recorder.end(live)

    assert 0 == tachograph.stats()["open_operations"]
    assert 1 == tachograph.metrics().tool_executions["t"]["completed"]


def test_what_was_bound_before_the_start_is_recorded_after_it() -> None:
    """Decorators of modules that were imported before the start work in the runtime that is started."""

    @session("s")
    def decorated() -> None:
        work()

    bound = tachograph.bind(work)
    tachograph.init()
    decorated()
    bound()

    assert 1 == tachograph.session_metrics("s").tool_calls
    assert 2 == tachograph.metrics().tool_executions["t"]["completed"]


def test_a_second_start_with_nothing_new_is_the_same() -> None:
    """A further ``init()`` gives the runtime that is, also with the settings that are in force."""
    started = tachograph.init(max_records=7)

    assert started is tachograph.init() is tachograph.init(max_records=7) is runtime.start(automatic=True)
    assert 7 == started.config.max_records


@pytest.mark.parametrize("said", [{"max_records": 8}, {"tracer_provider": TracerProvider(shutdown_on_exit=False)}])
def test_a_start_that_contradicts_is_refused(said: dict[str, Any]) -> None:
    """Two starts that want different things are an error, which leaves the first in force."""
    started = tachograph.init(max_records=7)
    with pytest.raises(ConfigError, match="already started with other settings"):
        tachograph.init(**said)

    assert started is runtime.current()
    assert not started.stopped


@pytest.mark.parametrize("said", [{"max_records": "many"}, {"no_such_setting": 1}])
def test_a_bad_start_starts_nothing(said: dict[str, Any]) -> None:
    """A setting that cannot be read is an error, and what was in force before still is."""
    early = runtime.current()
    with pytest.raises(ConfigError):
        tachograph.init(**said)

    assert early is runtime.current()
    assert not early.started


def test_an_integration_that_does_not_exist_starts_nothing() -> None:
    """An integration asked for by name that there is not is an error, and nothing stays hooked."""
    with pytest.raises(IntegrationError, match="no such integration; there are: anthropic, openai, smolagents"):
        tachograph.init(integrations=["pigeon"])

    assert not runtime.current().started


def test_switched_off_records_nothing_by_itself() -> None:
    """``enabled=False`` hooks nothing, and says so."""
    started = tachograph.init(enabled=False)

    assert {} == started.hooks.rows
    assert {} == started.frameworks.statuses
    assert not tachograph.stats()["enabled"]


def test_an_explicit_start_takes_over_from_an_automatic_one() -> None:
    """A program that says what it wants wins over a start nobody asked for: one runtime, hooks that count once."""
    automatic = runtime.start(automatic=True)
    hook(automatic)
    Host().run()
    explicit = tachograph.init(max_records=7)
    hook(explicit)
    Host().run()

    assert explicit is runtime.current() is not automatic
    assert 7 == explicit.config.max_records
    assert 2 == tachograph.metrics().tool_executions["run"]["completed"]
    with pytest.raises(ConfigError):
        tachograph.init(max_records=8)


# --------------------------------------------------------------------------------------------------------- the stop
def test_a_stop_without_a_start_is_nothing() -> None:
    """There is nothing to stop where nothing was started, and nothing is started by it."""
    tachograph.shutdown()

    assert runtime.install(None) is None


def test_after_a_stop_a_new_start_begins_anew() -> None:
    """The next runtime knows nothing of the one before, and may have other settings."""
    tachograph.init(max_records=7)
    work()
    tachograph.shutdown()

    assert {} == tachograph.metrics().tool_executions
    assert 8 == tachograph.init(max_records=8).config.max_records


# ----------------------------------------------------------------------------------------------------------- a fork
FORK = """
import os
import sys
import threading

import tachograph
from tachograph import runtime
from tachograph.live import Start
from told import tell


def work(name):
    recorder = runtime.current().recorder
    live = recorder.begin(Start("tool", name))
    recorder.end(live)
    return live.record.session_id


held = sys.argv[1]
if held != "not started":
    tachograph.init()
before = work("parent")
open_ = runtime.current().recorder.begin(Start("agent", "a"))
locks = {
    "ledger": lambda: runtime.current().ledger._lock,
    "providers": lambda: runtime.current().providers._lock,
    "runtime": lambda: runtime._lock,
}
if held in ("providers", "runtime"):
    runtime.stop()
    if held == "providers":
        runtime.start(automatic=True)  # which has not looked for providers yet
release, taken = threading.Event(), threading.Event()


def hold():
    if held not in locks:
        taken.set()
        return
    with locks[held]():
        taken.set()
        release.wait()


holder = threading.Thread(target=hold)
holder.start()
taken.wait()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    with tachograph.session("child"):
        inside = work("child")
    alone = work("child")
    calls = tachograph.session_metrics("child").tool_calls
    tachograph.clear_session("child")
    unchanged = runtime.current().recorder.open("agent")
    tachograph.shutdown()
    os.write(writer, f"{inside} {alone != before} {calls} {len(unchanged)}".encode())
    os._exit(0)
os.close(writer)
answer = os.read(reader, 100).decode()
_, status = os.waitpid(child, 0)
release.set()
holder.join()
if held not in ("providers", "runtime"):
    runtime.current().recorder.end(open_)
tell(answer=answer, status=status, same=work("parent") == before or held in ("providers", "runtime"),
     agents=sum(row["count"] for row in tachograph.metrics().agent_processing.values()))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("held", ["nothing", "not started", "ledger", "providers", "runtime"])
def test_a_forked_child_goes_on_by_itself(tmp_path: Path, held: str) -> None:
    """A forked child has a process session of its own and a ledger that works, whatever lock was held meanwhile."""
    told = Programs(tmp_path).python(FORK, held).told

    assert {"answer": "child True 1 0", "status": 0, "same": True} == {
        name: told[name] for name in ("answer", "status", "same")
    }
    assert (0 if held in ("providers", "runtime") else 1) == told["agents"]
