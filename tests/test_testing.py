"""The public test kit: what it captures, how predictable it is, and that it leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import tachograph
from tachograph import names, runtime, session
from tachograph.config import Config, ConfigError
from tachograph.frameworks import IntegrationError
from tachograph.live import Start
from tachograph.probes import Probe
from tachograph.testing import OrderedIds, TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.testing import Capture


@pytest.fixture(autouse=True)
def _nothing_started() -> Iterator[None]:
    """A process in which nobody has started Tachograph; whoever runs the tests gets theirs back."""
    before = runtime.install(None)
    yield
    runtime.stop()
    runtime.install(before)


def work(name: str = "t", **details: Any) -> Any:
    """One operation in the runtime in force."""
    recorder = runtime.current().recorder
    live = recorder.begin(Start("tool", name))
    recorder.end(live, **details)
    return live.record


class Host:
    """A class of the program's, hooked by the tests."""

    def run(self) -> str:
        return "ran"


def hook(captured: Capture | None = None, name: str = "run") -> None:
    """Hook it in the runtime in force."""
    running = captured.runtime if captured is not None else runtime.current()
    running.hooks.install(Probe(Host, "run", began=lambda _: Start("tool", name)))


def test_a_capture_has_every_writing() -> None:
    """Spans, log events, metric points, the ledger and the ledger from spans alone are there in the block and after."""
    with capture() as captured, session("s"):
        work()
        captured.runtime.recorder.event("message_added", {"role": "user"})

        assert captured.runtime is runtime.current()
        assert names.TOOL_DURATION in {name for name, *_ in captured.points()}
    assert ["execute_tool"] == [span.name for span in captured.spans]
    assert ["tachograph.message_added"] == [log.log_record.event_name for log in captured.logs]
    assert 1 == captured.ledger.session_metrics("s").tool_calls == captured.spans_only.session_metrics("s").tool_calls


def test_what_was_recording_before_waits() -> None:
    """The runtime of the program records nothing of the block, is in force again after it, and so are its hooks."""
    outer = tachograph.init()
    hook()
    Host().run()
    with capture() as captured:
        hook(captured)
        Host().run()
        work()
    Host().run()

    assert outer is runtime.current()
    assert 2 == captured.ledger.total().tool_calls
    assert 2 == outer.ledger.total().tool_calls


def test_captures_nest() -> None:
    """The innermost capture records, and the outer one goes on after it."""
    with capture() as outer:
        hook(outer, "outer")
        with capture() as inner:
            hook(inner, "inner")
            Host().run()
        Host().run()

    assert ({"inner"}, {"outer"}) == (set(inner.ledger.total().tools), set(outer.ledger.total().tools))
    assert not hasattr(vars(Host)["run"], "__wrapped__")


def test_a_runtime_stopped_meanwhile_stays_stopped() -> None:
    """A capture does not wake up the hooks of a runtime that was stopped while it lasted."""
    outer = tachograph.init()
    hook()
    ours, original = Host.run, Host.run.__wrapped__
    Host.run = lambda self: f"somebody else's {ours(self)}"
    try:
        with capture():
            outer.stop()
        Host().run()
    finally:
        Host.run = original

    assert 0 == outer.ledger.total().tool_calls


def test_a_capture_is_over_whatever_happens() -> None:
    """An exception leaves the block as it is, and everything is put back."""
    failure = ValueError("no")
    with pytest.raises(ValueError, match="no") as raised, capture() as captured:  # noqa: PT012 - the block is the test
        hook(captured)
        captured.runtime.recorder.begin(Start("agent", "a"))
        raise failure

    assert failure is raised.value
    assert captured.runtime.stopped
    assert ["abandoned"] == [(span.attributes or {})[names.OUTCOME] for span in captured.spans]
    assert not hasattr(vars(Host)["run"], "__wrapped__")


def test_a_fault_of_ours_is_loud_or_counted() -> None:
    """A strict capture raises what goes wrong inside Tachograph; one that is not counts it."""

    class Broken(Exception):  # noqa: N818 - its name is no matter
        def __str__(self) -> str:
            raise ZeroDivisionError("ours")

    with capture(), pytest.raises(ZeroDivisionError, match="ours"):
        work(outcome="error", error=Broken())
    with capture(strict=False) as captured:
        work(outcome="error", error=Broken())

        assert {"error_text": 1} == captured.runtime.guard.swallowed()


def test_time_can_be_made_predictable() -> None:
    """With a ticking clock every reading is one step later, in spans and ledger alike."""
    with capture(clock=TickingClock(1_000, 7)) as captured:
        work()
        work()

    assert [(1_000, 1_007), (1_014, 1_021)] == [(span.start_time, span.end_time) for span in captured.spans]
    assert [1_000, 1_007] == [reading for clock in [TickingClock(1_000, 7)] for reading in (clock(), clock())]


def test_ids_are_in_order() -> None:
    """Spans have the ids 1, 2, 3 and so on, in every capture anew."""
    for _ in range(2):
        with capture():
            assert ["0000000000000001", "0000000000000002"] == [work().id, work().id]
    ids = OrderedIds()

    assert (1, 2, 1, 2) == (
        ids.generate_span_id(),
        ids.generate_span_id(),
        ids.generate_trace_id(),
        ids.generate_trace_id(),
    )


def test_a_sampler_may_be_brought_along() -> None:
    """What a sampler drops is in no span, and in the ledger."""
    with capture(sampler=ALWAYS_OFF) as captured:
        work()

    assert ((), 0, 1) == (captured.spans, captured.spans_only.total().tool_calls, captured.ledger.total().tool_calls)


def test_without_an_sdk_there_is_the_ledger() -> None:
    """``sdk=False`` records as a program without OpenTelemetry's SDK would, and sets no provider."""
    with capture(sdk=False) as captured:
        record = work()

        assert (None, None) == (record.trace_id, record.span_id)
        assert ((), (), []) == (captured.spans, captured.logs, captured.points())
        assert 1 == captured.ledger.total().tool_calls
    assert "Proxy" in type(trace.get_tracer_provider()).__name__


def test_settings_are_as_in_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are those of ``init()``, and the environment of the machine that runs the tests is none."""
    monkeypatch.setenv("TACHOGRAPH_MAX_RECORDS", "5")
    monkeypatch.setenv("TACHOGRAPH_SESSION_ID", "from the machine")
    with capture(session_id="mine") as captured:
        assert "mine" == work().session_id
        assert Config.settings()["max_records"].variable == "TACHOGRAPH_MAX_RECORDS"
        assert 10_000 == captured.runtime.config.max_records
    with pytest.raises(ConfigError, match="max_records"), capture(max_records="many"):
        raise AssertionError("not reached")
    with pytest.raises(IntegrationError, match="pigeon"), capture(integrations=["pigeon"]):
        raise AssertionError("not reached")
    assert runtime.install(None) is None


def test_a_capture_stores_nothing_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose programs are stored has tests that are not, but for one that asks for it."""
    (tmp_path / "pyproject.toml").write_text('[tool.tachograph]\nstore = "project.db"\n', "utf-8")
    monkeypatch.chdir(tmp_path)
    for settings, files in (({}, set()), ({"store": tmp_path / "test.db"}, {"test.db"})):
        with capture(**settings) as everything:
            everything.runtime.recorder.event("message_added", {})

        assert files == {file.name for file in tmp_path.glob("*.db")}
