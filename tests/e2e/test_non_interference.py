"""Whatever fails inside Tachograph, the program that it records runs as it would without it.

Every function of the package that programs reach is broken in turn, and the programs are played again. Which these
functions are is measured. What is left that cannot be guarded, as it is what guards, is a short list.
"""

from __future__ import annotations

import ast
import contextlib
import contextvars
import functools
import gc
import inspect
import logging
import re
import tempfile
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import tachograph
from support import day, hosts, injection
from tachograph import cost
from tachograph.lines import LOGGER
from tachograph.live import Start
from tachograph.probes import Probe
from tachograph.processors import LogStamp

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator

DRIVER = (
    "tachograph.guard:Guard.__call__",
    "tachograph.drive:drive",
    "tachograph.streams:_generator",
    "tachograph.streams:_awaitable_generator",
    "tachograph.streams:_Steps.__await__",
    "tachograph.streams:_coroutine",
    "tachograph.streams:_Coroutine.__del__",
    "tachograph.streams:_async_generator",
)
"""The guard and the driver: what calls the host, and what keeps our failures from it. They cannot be guarded."""

MAX_DRIVER_LINES = 40

DOORS = {
    # Python calls these by their names, where the host does something with what we put in the place of its own.
    "tachograph.probes:Hooks.install_family.__init_subclass__": "a class is made",
    "tachograph.probes:_Announcement.above": "and its family's own __init_subclass__ is to be called",
    "tachograph.probes:_decorated": "the framework decorates a function that will run in a thread",
    "tachograph.streams:_StreamProxy._self_iterated": "an iterator is used",
    "tachograph.streams:_StreamProxy.__eq__": "it is compared",
    "tachograph.streams:_StreamProxy.__ne__": "likewise",
    "tachograph.streams:_StreamProxy.__hash__": "likewise",
    "tachograph.streams:_StreamProxy.__length_hint__": "a list is made of it",
    "tachograph.streams:_StreamProxy.__reduce_ex__": "it is copied or pickled",
    "tachograph.streams:_StreamProxy.__deepcopy__": "likewise",
    "tachograph.streams:_Copy.__get__": "likewise",
    "tachograph.streams:_copied": "likewise",
    "tachograph.streams:_IteratorProxy.__iter__": "it is used",
    "tachograph.streams:_IteratorProxy.__next__": "likewise",
    "tachograph.streams:_IteratorProxy.__enter__": "likewise",
    "tachograph.streams:_IteratorProxy.__exit__": "likewise",
    "tachograph.streams:_IteratorProxy.__getattr__": "likewise",
    "tachograph.streams:_IteratorProxy._self_close": "likewise",
    "tachograph.streams:_AsyncIteratorProxy.__aiter__": "an asynchronous iterator is used",
    "tachograph.streams:_AsyncIteratorProxy.__anext__": "likewise",
    "tachograph.streams:_AsyncIteratorProxy.__aenter__": "likewise",
    "tachograph.streams:_AsyncIteratorProxy.__getattr__": "likewise",
    "tachograph.streams:_AsyncIteratorProxy.__aexit__": "likewise",
    "tachograph.streams:_AsyncIteratorProxy._self_close_later": "likewise",
    "tachograph.drive:Method.__get__": "a method is looked up",
    "tachograph.drive:Method.__call__": "and called",
    "tachograph.drive:Method._self_with_keywords": "likewise",
    "tachograph.drive:StaticMethod.__get__": "likewise",
    "tachograph.drive:_BoundStandIn.__copy__": "a method is copied",
    "tachograph.drive:_BoundStandIn.__deepcopy__": "likewise",
    "tachograph.drive:_BoundStandIn.__reduce_ex__": "a method is pickled",
    "tachograph.drive:_bound_to": "likewise",
    "tachograph.drive:StandIn.__setattr__": "a function is given an attribute",
    "tachograph.drive:StandIn.__copy__": "a function is copied",
    "tachograph.drive:StandIn.__deepcopy__": "likewise",
    "tachograph.drive:StandIn.__reduce_ex__": "a function is pickled",
    # The SDK calls these.
    "tachograph.processors:SpanStamp.on_start": "a span starts",
    "tachograph.processors:SpanStamp.on_end": "and ends",
    "tachograph.processors:SpanStamp.force_flush": "a provider is flushed",
    "tachograph.processors:LogStamp.on_emit": "a log record is emitted",
    "tachograph.processors:LogStamp.force_flush": "likewise",
    "tachograph.exporters:LedgerSpanExporter.export": "spans have ended",
    # The program itself calls these.
    "tachograph.runtime:current": "all public functions begin with it",
    "tachograph.sessions:session": "public",
    "tachograph.sessions:correlation": "public",
    "tachograph.sessions:bind": "public",
    "tachograph.sessions:Binding.__init__": "public",
    "tachograph.sessions:Binding.__call__": "public",
    "tachograph.sessions:Binding.__enter__": "public",
    "tachograph.sessions:Binding.__exit__": "public",
    "tachograph.sessions:Binding._exit": "gives the caller's context back, which nobody else can",
    "tachograph.by_hand:task": "public",
    "tachograph.by_hand:agent": "public",
    "tachograph.by_hand:model": "public",
    "tachograph.by_hand:tool": "public",
    "tachograph.by_hand:switch": "public",
    "tachograph.by_hand:Block.__init__": "public",
    "tachograph.by_hand:Block.__call__": "public",
    "tachograph.by_hand:Block.__enter__": "public",
    "tachograph.by_hand:Block.__exit__": "public",
    "tachograph.by_hand:Block.__aenter__": "public",
    "tachograph.by_hand:Block.__aexit__": "public",
    "tachograph.by_hand:Handle.__init__": "public",
    "tachograph.by_hand:Handle.usage": "public",
    "tachograph.by_hand:Handle.tool_calls": "public",
    "tachograph.by_hand:Handle.answered": "public",
    "tachograph.by_hand:Handle.set": "public",
    "tachograph.by_hand:Handle.outcome": "public",
    "tachograph.by_hand:Handle.failed": "public",
    "tachograph.told:start_task": "public",
    "tachograph.told:end_task": "public",
    "tachograph.told:record_llm_call": "public",
    "tachograph.told:record_agent_execution": "public",
    "tachograph.told:record_tool_usage": "public",
    "tachograph.decisions:request_approval": "public",
    "tachograph.decisions:decide": "public",
    "tachograph.decisions:Approval.__init__": "public",
    "tachograph.decisions:Approval.decide": "public",
    "tachograph.events:emit": "public",
    "tachograph.events:session_created": "public",
    "tachograph.events:session_updated": "public",
    "tachograph.events:session_deleted": "public",
    "tachograph.events:message_added": "public",
    "tachograph.events:agent_registered": "public",
    "tachograph.events:agent_switched": "public",
    "tachograph.events:tool_approval_required": "public",
    "tachograph.events:hitl_approval_requested": "public",
    "tachograph.events:hitl_decision_made": "public",
    "tachograph.events:system_startup": "public",
    "tachograph.events:system_shutdown": "public",
    "tachograph.events:threshold_exceeded": "public",
    "tachograph.by_hand:_block": "the four of them are one",
    "tachograph.by_hand:Handle._say": "likewise of a handle's",
    "tachograph.by_hand:Block._exit": "gives the caller's context back, which nobody else can",
    "tachograph.by_hand:Block._left": "likewise",
    "tachograph.context:left": "likewise",
    "tachograph.told:_over": "refuses what is said wrong, as is documented",
    "tachograph.told:_nanoseconds": "likewise",
    "tachograph.told:_moment": "likewise",
    "tachograph.times:_within": "likewise",
    "tachograph.times:moment": "likewise",
    "tachograph.given:outcome": "likewise",
    "tachograph.decisions:_decide": "likewise",
    "tachograph.approvals:decision_of": "likewise",
    "tachograph.approvals:is_timeout": "likewise",
    "tachograph.runtime.assembly:Runtime.enabled": "asked first",
    "tachograph.runtime.assembly:Runtime.enable": "public",
    "tachograph:enable": "public",
    "tachograph:disable": "public",
}
"""Called by somebody else by name, so that nothing of ours can stand before them: they do little, or only hand on."""

ADMITTED = {
    ("tachograph.streams:_unseen", "async_generator_left_open"): (
        "it hides the host's asynchronous generator behind ours from the event loop; where that fails, a loop that "
        "shuts down while it is open closes both"
    ),
}
"""What is felt all the same when a function is broken, and in which program: nothing else."""

MAX_DOOR_LINES = 10

SHAPES = (
    "iterator_object",
    "iterator_that_is_iterated_otherwise",
    "async_iterator_object",
    "async_iterator_that_is_iterated_otherwise",
    "async_generator",
    "coroutine_function",
    "never_worked_off",
)
REAL = day.PROGRAMS


def a_team_with_content(log: hosts.Transcript, around: day.Surroundings) -> None:
    """The team, its prompts and answers captured."""
    REAL["a_team"](log, around)


def streams_with_content(log: hosts.Transcript, around: day.Surroundings) -> None:
    """Streams, what they said captured."""
    REAL["streams"](log, around)


def odd_content_captured(log: hosts.Transcript, around: day.Surroundings) -> None:
    """Long, odd and binary content, captured."""
    REAL["odd_content"](log, around)


def a_team_that_is_stored(log: hosts.Transcript, around: day.Surroundings) -> None:
    """The team, kept in a store."""
    REAL["a_team"](log, around)


def a_team_that_is_stored_at_once(log: hosts.Transcript, around: day.Surroundings) -> None:
    """The team, kept in a store before it goes on."""
    REAL["a_team"](log, around)


STORED = {a_team_that_is_stored: "events", a_team_that_is_stored_at_once: "through"}
CAPTURED = (a_team_with_content, streams_with_content, odd_content_captured)

QUICK = (
    a_team_that_is_stored_at_once,
    *CAPTURED,
    *(REAL[name] for name in ("a_team", "by_hand", "failures", "own_classes", "elsewhere")),
    *map(day.shape, SHAPES),
    *(REAL[name] for name in ("streams", "sessions")),
)
"""Programs that between them reach everything, the most different ones first and last."""

ALL = (*STORED, *CAPTURED, *day.PROGRAMS.values(), *map(day.shape, hosts.SHAPES))


class Play:
    """Plays programs, with and without us, with and without a fault, and keeps what they saw without us."""

    def __init__(self) -> None:
        self.known = injection.functions()
        self._plain: dict[str, list[Any]] = {}
        self._reached: dict[str, set[types.CodeType]] = {}

    def plain(self, program: day.Program) -> list[Any]:
        """What the program sees without us."""
        if program.__name__ not in self._plain:
            with _surroundings() as (around, _, _):
                self._plain[program.__name__] = _played(program, around)
        return self._plain[program.__name__]

    def reached(self, program: day.Program) -> set[types.CodeType]:
        """Code of ours that runs while the program does: measured, by profiling it in all its threads."""
        if program.__name__ not in self._reached:
            with _surroundings(program) as (around, _, runtime), injection.reached(self.known) as seen:
                _played(program, around)
                _stored(runtime)
            self._reached[program.__name__] = seen
        return self._reached[program.__name__]

    def on_the_path(self, programs: tuple[day.Program, ...]) -> dict[types.CodeType, list[day.Program]]:
        """Code that runs in the host's time, and the programs that reach it."""
        path: dict[types.CodeType, list[day.Program]] = {}
        for program in programs:
            for code in self.reached(program):
                path.setdefault(code, []).append(program)
        return dict(sorted(path.items(), key=lambda place: self.name(place[0])))

    def name(self, code: types.CodeType) -> str:
        """``module:qualified name``; of what is defined inside a function, the function's, its own and its line."""
        return self.known[code][0]

    def broken(self, code: types.CodeType, program: day.Program) -> str:
        """Play a program with one function broken; gives what is wrong with that, if anything."""
        trouble = ""
        for _ in range(3):  # whether a thread beside comes by there depends on when it looks
            trouble = self._broken(code, program)
            if injection.hits:
                break
        return trouble

    def _broken(self, code: types.CodeType, program: day.Program) -> str:
        with _surroundings(program) as (around, failures, runtime):
            injection.hits.clear()
            with injection.broken(code, *self.known[code]):
                seen = _played(program, around)
                _stored(runtime)
            counted = failures()
        expected = self.plain(program)
        if seen != expected:
            first = next((pair for pair in zip(expected, seen, strict=False) if pair[0] != pair[1]), None)
            return f"{program.__name__}: not as without us: {first or (len(expected), len(seen))}"
        if not injection.hits:
            return f"{program.__name__}: never struck"
        if not counted:
            return f"{program.__name__}: not counted"
        return ""


@contextlib.contextmanager
def _surroundings(recorded: day.Program | None = None) -> Iterator[tuple[day.Surroundings, Callable[[], int], Any]]:
    """OpenTelemetry as a host has it, the program ``recorded`` by us or none, and the count of failures."""
    reader, exporter = InMemoryMetricReader(), tachograph.LedgerSpanExporter()
    tracing = TracerProvider(shutdown_on_exit=False)
    metering = MeterProvider([reader], shutdown_on_exit=False)
    logs = LoggerProvider(shutdown_on_exit=False)
    # Who keeps a store may be what is broken, and still be writing when the host has ended.
    runtime, places = None, tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    cost._published.cache_clear()  # it is read anew, as in a process of its own
    if recorded:
        runtime = tachograph.init(
            tracer_provider=tracing,
            meter_provider=metering,
            logger_provider=logs,
            capture_content="span_and_event" if recorded in CAPTURED else "no_content",
            store=f"{places.name}/store.db" if recorded in STORED else "0",
            store_flush=STORED.get(recorded, "events"),
            thresholds={"total_requests": 0} if recorded is REAL["by_hand"] else None,
        )
        tracing.add_span_processor(SimpleSpanProcessor(exporter))
        logs.add_log_record_processor(LogStamp(runtime.guard))
        day.prober.append(functools.partial(_probe, runtime))
    try:
        yield (
            day.Surroundings(
                tracing.get_tracer("host"),
                logs.get_logger("host"),
                reader.get_metrics_data,
                (tracing, metering, logs),
            ),
            lambda: _failures(runtime, exporter),
            runtime,
        )
    finally:
        day.prober.clear()
        tachograph.shutdown()
        for provider in (tracing, metering, logs):
            provider.shutdown()
        places.cleanup()


def _stored(runtime: Any) -> None:
    """What is done on the thread that writes the store, to its end, with whatever is broken there."""
    if runtime.keeper is not None:
        with contextlib.suppress(injection.Injected):  # where the guard itself is broken
            runtime.guard(runtime.keeper.close, 1.0)


def _failures(runtime: Any, exporter: tachograph.LedgerSpanExporter) -> int:
    """What was swallowed, here and on the thread that writes the store."""
    tachograph.shutdown()
    return sum(runtime.guard.swallowed().values()) + sum(exporter.guard.swallowed().values())


def _probe(runtime: Any, owner: Any, attribute: str) -> None:
    def install() -> None:
        runtime.hooks.install(
            Probe(
                owner,
                attribute,
                began=lambda _: Start("tool", "probed", deferred=True),
                ended=lambda _: {},
                item=lambda *_: None,
                through=True,
            )
        )

    runtime.guard(install)


def _played(program: day.Program, around: day.Surroundings) -> list[Any]:
    return contextvars.copy_context().run(day.play, program, around)


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    """One for all tests: measuring is done once."""
    gc.collect()
    gc.freeze()  # the programs collect garbage; what was there before them need not be looked through each time
    with pytest.MonkeyPatch.context() as patch:
        # Somebody reads the log along, so that what writes there is on the path.
        patch.setattr(LOGGER, "propagate", False)
        patch.setattr(LOGGER, "handlers", [logging.NullHandler()])
        level = LOGGER.level
        LOGGER.setLevel(logging.DEBUG)
        yield Play()
        LOGGER.setLevel(level)
    gc.unfreeze()


def _place(name: str) -> str:
    """A name without the lines in it, which change."""
    module, qualname = name.split(":", 1)
    return f"{module}:{re.sub(r':[0-9]+', '', qualname)}"


def _listed(name: str) -> bool:
    return _place(name) in DRIVER or _place(name) in DOORS


# -------------------------------------------------------------------------------------------------- the programs
@pytest.mark.parametrize("program", ALL, ids=lambda program: program.__name__)
def test_recorded_programs_see_what_they_saw(play: Play, program: day.Program) -> None:
    """With us at work and nothing broken, a program sees, prints and leaves behind what it does without us."""
    with _surroundings(program) as (around, failures, _):
        assert play.plain(program) == _played(program, around)
        assert 0 == failures()


# --------------------------------------------------------------------------------------------------- the faults
PACKAGES = sorted({name.split(":")[0] for name, _, _ in injection.functions().values()})


@pytest.mark.parametrize("module", PACKAGES)
def test_a_broken_function_reaches_nobody(play: Play, module: str) -> None:
    """With any one function of a module raising whenever it runs, programs see what they see without us."""
    _break(play, module, QUICK, lambda reaching: {reaching[0], reaching[-1]})


@pytest.mark.long
@pytest.mark.parametrize("module", PACKAGES)
def test_a_broken_function_reaches_nobody_in_any_program(play: Play, module: str) -> None:
    """The same in every program that reaches the function, the small ones of all shapes among them."""
    _break(play, module, ALL, set)


def _break(play: Play, module: str, programs: tuple[day.Program, ...], some: Callable[[Any], set[Any]]) -> None:
    wrong = {
        f"{play.name(code)} in {trouble}"
        for code, reaching in play.on_the_path(programs).items()
        if play.name(code).startswith(f"{module}:") and not _listed(play.name(code))
        for program in some(reaching)
        if (_place(play.name(code)), program.__name__) not in ADMITTED
        if not play.name(code).endswith(".__del__")  # Python reports what that raises itself, and goes on
        if (trouble := play.broken(code, program))
    }

    assert set() == wrong


def test_faults_are_felt_where_nothing_guards(play: Play) -> None:
    """The check itself can fail: with the driver or a door broken, the programs do see it."""
    path = play.on_the_path(QUICK)
    unfelt = {
        play.name(code)
        for code, reaching in path.items()
        if _listed(play.name(code)) and not any(play.broken(code, program) for program in reaching)
    }

    assert set() == unfelt


def test_a_failure_that_cannot_be_noted_reaches_nobody(play: Play) -> None:
    """Where what notes failures is broken too, programs still see what they see without us."""
    codes = {play.name(code): code for code in play.known}
    noting = codes["tachograph.guard:Guard._swallow"]
    beginning = codes["tachograph.recorder:Recorder.begin"]
    with injection.broken(noting, *play.known[noting]):
        trouble = play.broken(beginning, REAL["a_team"])

    assert "a_team: not counted" == trouble
    assert {"tachograph.guard:Guard._swallow", "tachograph.recorder:Recorder.begin"} == set(injection.hits)


# ---------------------------------------------------------------------------------------------- what is unguarded
def test_what_cannot_be_guarded_is_little(play: Play) -> None:
    """The guard and the driver have at most 40 lines between them, and each door only a few."""
    lines = {name: _lines(function) for name, function in _unguarded(play).items()}

    assert {*DRIVER, *DOORS} == lines.keys()
    assert MAX_DRIVER_LINES >= sum(lines[name] for name in DRIVER)
    assert {} == {name: lines[name] for name in DOORS if lines[name] > MAX_DOOR_LINES}


def _unguarded(play: Play) -> dict[str, types.CodeType]:
    return {_place(name): code for code, (name, _, _) in play.known.items() if _listed(name)}


def _lines(code: types.CodeType) -> int:
    """Lines on which a statement begins, the docstring aside."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(code))).body
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function]
    text = [node for node in statements if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return len({node.lineno for node in statements} - {node.lineno for node in text})


# ------------------------------------------------------------------------------------------------------ the path
def test_most_of_what_records_is_on_the_path(play: Play) -> None:
    """The programs reach every function of the modules that run in the host's time, but for those listed here."""
    reached = {play.name(code) for code in play.on_the_path(ALL)}
    never = sorted(
        _place(name)
        for name, _, _ in play.known.values()
        if name not in reached and name.split(":")[0] in ON_THE_PATH and not _made_by_python(name)
    )

    assert {*NOT_ON_THE_PATH} ^ {*never} == set()


def _made_by_python(name: str) -> bool:
    # Dataclasses make methods; comprehensions are functions up to Python 3.11.
    return "comp>" in name or name.rsplit(".", 1)[-1] in (
        "__eq__",
        "__repr__",
        "__hash__",
        "__setattr__",
        "__delattr__",
        "__getstate__",
    )


ON_THE_PATH = {
    "tachograph.approvals",
    "tachograph.attendant",
    "tachograph.begun",
    "tachograph.beside",
    "tachograph.by_hand",
    "tachograph.clip",
    "tachograph.content",
    "tachograph.decisions",
    "tachograph.environment",
    "tachograph.events",
    "tachograph.given",
    "tachograph.guard",
    "tachograph.drive",
    "tachograph.lines",
    "tachograph.streams",
    "tachograph.probes",
    "tachograph.processors",
    "tachograph.live",
    "tachograph.moments",
    "tachograph.recorder",
    "tachograph.thresholds",
    "tachograph.told",
    "tachograph.integrations.smolagents.agent",
    "tachograph.integrations.smolagents.content",
    "tachograph.integrations.smolagents.model",
    "tachograph.integrations.smolagents.tool",
    "tachograph.integrations.smolagents.run",
}
NOT_ON_THE_PATH = {
    "tachograph.approvals:Approvals.__init__": "start",
    "tachograph.approvals:Approvals._heard": "where another process has decided: has tests of its own",
    "tachograph.approvals:Approvals.after_fork": "in a child process",
    "tachograph.approvals:Approvals.inherit": "start",
    "tachograph.approvals:Elsewhere.alone": "a protocol",
    "tachograph.approvals:Elsewhere.asked": "likewise",
    "tachograph.approvals:Elsewhere.decided": "likewise",
    "tachograph.approvals:Elsewhere.tell": "likewise",
    "tachograph.attendant:Attendance.__init__": "start",
    "tachograph.attendant:Attendance.look.<genexpr>": "start",
    "tachograph.attendant:_told": "start",
    "tachograph.attendant:_told.<genexpr>": "start",
    "tachograph.attendant:Attendant.began": "nobody calls what does nothing",
    "tachograph.attendant:Attendant.ended": "likewise",
    "tachograph.attendant:Attendant.ending": "likewise",
    "tachograph.attendant:Attendant.forget": "likewise",
    "tachograph.attendant:Attendant.happened": "likewise",
    "tachograph.begun:Begun.__init__": "start",
    "tachograph.begun:Begun.after_fork": "in a child process",
    "tachograph.begun:Begun.inherit": "start",
    "tachograph.by_hand:Block._it": "where one is left elsewhere than it was entered: has tests of its own",
    "tachograph.by_hand:Handle.id": "asked by the program",
    "tachograph.decisions:Approval.id": "asked by the program",
    "tachograph.decisions:approvals": "asked by the program",
    "tachograph.drive:StandIn.stand_for": "stop",
    "tachograph.environment:EnvironmentNote.__init__": "start",
    "tachograph.environment:EnvironmentNote.forget": "asked by the program",
    "tachograph.lines:Lines.__init__": "start",
    "tachograph.thresholds:Thresholds.__init__": "start",
    "tachograph.thresholds:Thresholds.forget": "asked by the program",
    "tachograph.guard:Guard._count": "only where something fails: has a test of its own",
    "tachograph.guard:Guard.after_fork": "in a child process",
    "tachograph.guard:Guard.keep": "only where something fails: has a test of its own",
    "tachograph.guard:Guard.reset": "asked by the program",
    "tachograph.beside:claim": "only beside others",
    "tachograph.clip:Beginning.__init__": "a dataclass, made by position",
    "tachograph.content:Capturing.__init__": "start",
    "tachograph.content:_read": "for views, asked by the program",
    "tachograph.content:capturing": "start",
    "tachograph.content:shown": "for views, asked by the program",
    "tachograph.guard:Guard.__init__": "start",
    "tachograph.guard:Guard._swallow": "only where something fails: has a test of its own",
    "tachograph.guard:Guard.swallowed": "asked by the program",
    "tachograph.guard:_code": "only where something fails: has a test of its own",
    "tachograph.guard:_code.<genexpr>": "likewise",
    "tachograph.guard:of_a_signal": "likewise",
    "tachograph.probes:Carry.__init__": "start",
    "tachograph.probes:Carry.label": "start",
    "tachograph.probes:Glance.__init__": "start",
    "tachograph.probes:Glance.label": "start",
    "tachograph.probes:Hooks.__init__": "start",
    "tachograph.probes:Hooks.after_fork": "start, and in a child process",
    "tachograph.probes:Hooks.install_family": "start",
    "tachograph.probes:Hooks.uninstall": "stop",
    "tachograph.probes:_Announcement.__init__": "start",
    "tachograph.probes:_take_out": "stop",
    "tachograph.probes:descendants": "start",
    "tachograph.probes:when_imported": "start",
    "tachograph.processors:LogStamp.__init__": "start",
    "tachograph.processors:LogStamp.shutdown": "stop",
    "tachograph.processors:SpanStamp.__init__": "start",
    "tachograph.processors:SpanStamp._session": "only for a model call of others in no session",
    "tachograph.processors:SpanStamp.after_fork": "in a child process",
    "tachograph.processors:SpanStamp.deafen": "stop",
    "tachograph.processors:SpanStamp.settle": "stop",
    "tachograph.processors:SpanStamp.shutdown": "stop",
    "tachograph.recorder:Recorder.__init__": "start",
    "tachograph.recorder:Recorder.abandon_all": "stop",
    "tachograph.recorder:Recorder.after_fork": "in a child process",
    "tachograph.recorder:Recorder.learn": "only where another process has decided",
    "tachograph.recorder:Recorder.prices": "start",
}
