"""The parts of a runtime: together they take over from others, stop, and let go."""

from __future__ import annotations

import atexit
import gc
import weakref
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import tachograph
from support.runtimes import Host, Plain, hook, work
from tachograph import names, runtime, session
from tachograph.config import Config
from tachograph.live import Start
from tachograph.runtime.assembly import Runtime
from tachograph.testing import capture


@pytest.mark.parametrize("order", ["hooked before the other is gone", "hooked after the other is gone"])
def test_a_succession_of_runtimes_leaves_no_trace(order: str) -> None:
    """After several starts and one stop every class has the very objects it had in the beginning."""
    before = {root: dict(vars(root)) for root in (Host, Plain)}
    first = runtime.start(automatic=True)
    hook(first)
    second = Runtime(Config.read({}, environ={}), ledger=first.ledger)
    if "before" in order:
        hook(second)
        second.succeed(first)
    else:
        second.succeed(first)
        hook(second)
    late = type("Late", (Plain,), {"run": lambda _: "ran"})
    late().run()
    assert 1 == second.ledger.stats()["records"]
    second.stop()

    for root, attributes in before.items():
        assert attributes.keys() == vars(root).keys()
        assert [] == [name for name, value in attributes.items() if vars(root)[name] is not value]
    type("Later", (Plain,), {"run": lambda _: "ran"})
    assert 1 == second.ledger.stats()["records"]


def test_a_stop_ends_flushes_and_lets_go() -> None:
    """A stop unhooks, ends what is open as abandoned, and leaves the program's provider working and unstamped."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    running = tachograph.init(tracer_provider=provider)
    hook(running)
    running.recorder.begin(Start("agent", "a"))
    tachograph.shutdown()
    Host().run()
    with session("s"):
        provider.get_tracer("somebody.else").start_span("foreign").end()

    (ours, foreign) = exporter.get_finished_spans()
    assert ("invoke_agent", "abandoned") == (ours.name, (ours.attributes or {})[names.OUTCOME])
    assert ("foreign", {}) == (foreign.name, dict(foreign.attributes or {}))
    assert running.stopped
    assert not running.stats()["enabled"]


def test_a_second_stop_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped twice, at exit as well, is stopped once."""
    running = tachograph.init()
    tachograph.shutdown()
    asked: list[Any] = []
    monkeypatch.setattr(running.recorder, "abandon_all", lambda: asked.append(1))
    running.stop()
    running.at_exit()
    tachograph.shutdown()

    assert [] == asked


def test_a_part_that_cannot_be_stopped_does_not_keep_the_others() -> None:
    """Where one part fails to stop the rest is stopped, and the host hears nothing of it."""

    def broken() -> None:
        raise ZeroDivisionError("ours")

    running = tachograph.init()
    hook(running)
    running.providers.shutdown = broken
    running.recorder.abandon_all = broken
    tachograph.shutdown()

    assert "run" in vars(Host)
    assert not hasattr(vars(Host)["run"], "__wrapped__")
    assert 2 == sum(running.guard.swallowed().values())


def test_a_stopped_runtime_is_let_go() -> None:
    """Nothing holds a runtime that was stopped: not the exit of the process, not its provider, not a framework."""
    provider = TracerProvider(shutdown_on_exit=False)
    references = []
    for automatic in (False, True):
        running = runtime.start(tracer_provider=provider, automatic=automatic)
        work()
        references.append(weakref.ref(running))
        del running
        runtime.stop()
    with capture() as captured:
        work()
        references.append(weakref.ref(captured.runtime))
    del captured
    gc.collect()

    assert [None] * 3 == [reference() for reference in references]


def test_the_end_of_the_process_is_a_stop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """At exit what is open ends, the summary is printed where it is wanted, and everything stops."""
    registered: list[Any] = []
    monkeypatch.setattr(atexit, "register", lambda function: registered.append(function) or function)
    running = runtime.start(summary_wanted=True)
    with session("mine"):
        running.recorder.begin(Start("tool", "t"))
    running.at_exit()
    running.at_exit()

    assert running.at_exit in registered
    assert running.stopped
    assert 1 == capsys.readouterr().err.count("session mine")
    assert 0 == running.ledger.stats()["open_operations"]


@pytest.mark.parametrize(
    ("summary", "wanted", "printed"),
    [("auto", False, False), ("auto", True, True), ("0", True, False), ("1", False, True)],
)
def test_a_summary_is_printed_where_it_is_wanted(
    capsys: pytest.CaptureFixture[str], summary: str, *, wanted: bool, printed: bool
) -> None:
    """The setting decides, and without one whoever started; off a terminal nothing is printed unasked."""
    running = runtime.start({"summary": summary}, summary_wanted=wanted)
    work()
    running.at_exit()

    assert printed == ("Tachograph" in capsys.readouterr().err)
