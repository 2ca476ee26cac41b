"""Every way in, each in a process of its own: one import, the OpenTelemetry launcher, the command line, a call."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import sys
from typing import TYPE_CHECKING

import pytest

from support.otlp_receiver import OtlpReceiver
from support.programs import PATIENCE, Programs, program, script

if TYPE_CHECKING:
    from pathlib import Path

CREW_RUN = [
    ["agent", "boss"],
    ["model", "big"],
    ["agent", "clerk"],
    ["model", "small"],
    ["code", "python"],
    ["tool", "price"],
    ["tool", "final_answer"],
    ["model", "big"],
    ["tool", "final_answer"],
]
"""Kinds and names of what the crew does, in order of start."""

SUMMARY = "Tachograph · session "

STEPS = {
    "auto": "import tachograph.auto",
    "smolagents": "import smolagents",
    "providers": """
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracing, metering = TracerProvider(), MeterProvider([reader])
        tracing.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(tracing)
        metrics.set_meter_provider(metering)
        """,
    "agents": """
        from crew import boss, operations, tell

        team = boss()
        """,
    "work": """
        team.run("price of tea?")
        points = {
            metric.name: sum(p.sum if hasattr(p, "sum") else p.value for p in metric.data.data_points)
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }
        tell(
            ledger=sorted(operation["id"] for operation in operations()),
            spans=sorted(f"{span.context.span_id:016x}" for span in exporter.get_finished_spans()),
            tokens=[points["gen_ai.client.token.usage"], points["tachograph.session.tokens"]],
            still_theirs=[trace.get_tracer_provider() is tracing, metrics.get_meter_provider() is metering],
        )
        """,
}
ORDERS = [
    *((*order, "agents") for order in itertools.permutations(["auto", "smolagents", "providers"])),
    ("auto", "agents", "providers"),
]

CREW_PROGRAM = """
    from crew import boss, operations, tell

    answer = boss().run("price of tea?")
    tell(answer=answer, ledger=[[operation["kind"], operation["name"]] for operation in operations()])
    """


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


# ------------------------------------------------------------------------------------------------- one import
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_order_of_imports_and_providers_does_not_matter(programs, order):
    """Wherever the import stands, the program's own providers get everything and are never replaced by ours."""
    with OtlpReceiver() as receiver:
        done = programs.python(
            program(*(STEPS[step] for step in (*order, "work"))),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
            OTEL_LOGS_EXPORTER="none",
        )
        sent_past_them = receiver.spans, receiver.metrics

    assert (done.code, done.stderr) == (0, "")
    assert len(CREW_RUN) == len(done.told["ledger"])
    assert done.told["ledger"] == done.told["spans"]
    assert done.told["tokens"] == [404, 404]
    assert done.told["still_theirs"] == [True, True]
    assert sent_past_them == ([], [])


# -------------------------------------------------------------------------------------------------- launchers
@pytest.mark.parametrize(
    "command",
    [
        pytest.param((script("opentelemetry-instrument"), sys.executable, "app.py"), id="opentelemetry-instrument"),
        pytest.param((script("tachograph"), "run", "app.py"), id="tachograph run"),
        pytest.param((script("tachograph"), "run", "-m", "app"), id="tachograph run -m"),
        pytest.param((sys.executable, "-m", "tachograph", "run", "app.py"), id="python -m tachograph run"),
    ],
)
def test_launchers_record_an_unchanged_program(programs, command):
    """A launcher records a program that knows nothing of Tachograph, and says so, if at all, on standard error."""
    programs.write("app.py", CREW_PROGRAM)

    done = programs.run(*command)

    assert (done.code, done.told) == (0, {"answer": "tea costs 4", "ledger": CREW_RUN})
    assert len(done.stdout.splitlines()) == 1
    if "run" in command:
        assert done.stderr.startswith(SUMMARY)
        assert done.stderr.count(SUMMARY) == 1
    else:
        assert done.stderr == ""


def test_entry_point_is_there_for_the_launcher():
    """``opentelemetry-instrument`` finds us by the entry point group it reads."""
    found = importlib.metadata.entry_points(group="opentelemetry_instrumentor", name="tachograph")

    assert [point.value for point in found] == ["tachograph.instrumentor:TachographInstrumentor"]


def test_instrumentor_can_be_switched_off(programs):
    """``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=tachograph`` keeps the launcher from starting us."""
    programs.write("app.py", CREW_PROGRAM)

    done = programs.run(
        script("opentelemetry-instrument"),
        sys.executable,
        "app.py",
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="tachograph",
    )

    assert (done.code, done.told, done.stderr) == (0, {"answer": "tea costs 4", "ledger": []}, "")


# --------------------------------------------------------------------------------------------- init, shutdown
def test_init_is_idempotent_and_contradictions_raise(programs):
    """A further init() gives the runtime that is; one that wants something else raises and changes nothing."""
    done = programs.python("""
        import tachograph.auto
        from told import tell
        from opentelemetry.sdk.trace import TracerProvider

        first = tachograph.init()
        same = [tachograph.init(), tachograph.init(max_names=200), tachograph.init(metric_keys="session")]
        refused = []
        for arguments in ({"max_names": 5}, {"session_id": "x"}, {"tracer_provider": TracerProvider()}):
            try:
                tachograph.init(**arguments)
            except tachograph.ConfigError as error:
                refused.append(str(error))
        same.append(tachograph.init())
        tachograph.shutdown()
        second = tachograph.init(max_names=5)
        tell(
            same=all(runtime is first for runtime in same),
            refused=refused,
            another=second is not first,
            max_names=[first.config.max_names, second.config.max_names],
        )
        """)

    told = done.told
    assert (done.code, done.stderr) == (0, "")
    assert (told["same"], told["another"], told["max_names"]) == (True, True, [200, 5])
    assert ["tachograph.shutdown() first" in message for message in told["refused"]] == [True] * 3


def test_an_explicit_init_supersedes_an_automatic_start(programs):
    """A program that is recorded by itself may still say what it wants: its settings hold, nothing is hooked twice."""
    done = programs.python("""
        import tachograph.auto
        from crew import boss
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from told import tell

        with tachograph.session("before"):
            boss().run("price of tea?")
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        runtime = tachograph.init(max_names=5, tracer_provider=provider)
        with tachograph.session("after"):
            boss().run("price of tea?")
        figures = [tachograph.session_metrics(id).total_requests for id in ("before", "after")]
        spans = [span.attributes["session.id"] for span in exporter.get_finished_spans()]
        tell(max_names=runtime.config.max_names, figures=figures, spans=sorted(set(spans)))
        """)

    told = done.told
    assert (done.code, done.stderr) == (0, "")
    assert (told["max_names"], told["spans"]) == (5, ["after"])
    assert told["figures"][0] == told["figures"][1] > 0


def test_shutdown_restores_every_class_exactly(programs):
    """After shutdown() every class and module of the framework holds the very objects it held before."""
    done = programs.python("""
        import sys
        import types

        import crew
        import smolagents
        import tachograph
        from crew import boss, operations, tell

        class Duck:  # no Model, but what an agent may take for one
            def __init__(self):
                self.plays = crew.Scripted("duck", crew.ANSWER)

            def generate(self, messages, **kwargs):
                return self.plays.generate(messages)

        def everything():
            modules = [module for name, module in sys.modules.items() if name.split(".")[0] in ("smolagents", "crew")]
            classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
            return {owner: dict(vars(owner)) for owner in (*modules, *classes, Duck)}

        def changed(before, after):
            return sorted(
                f"{owner.__name__}.{name}"
                for owner in {**before, **after}
                for name in {**before.get(owner, {}), **after.get(owner, {})}
                if before.get(owner, {}).get(name, before) is not after.get(owner, {}).get(name, after)
            )

        def work():
            boss().run("price of tea?")
            duck = smolagents.ToolCallingAgent(tools=[], model=Duck(), **crew.QUIET)
            duck.run("quack")

        work()
        before = everything()
        tachograph.init()
        work()

        class Late(smolagents.Model):
            def generate(self, messages, **kwargs):
                return None

        late = [type(vars(Late)["generate"]) is types.FunctionType]
        while_on, hooked, recorded = everything(), tachograph.stats()["hooks"], len(operations())
        tachograph.shutdown()
        after = everything()
        work()
        tell(
            hooked=changed(before, while_on),
            hooks=hooked,
            left=changed(before, after),
            late=[*late, type(vars(Late)["generate"]) is types.FunctionType],
            recorded=[recorded, len(operations())],
        )
        """)

    told = done.told
    assert (done.code, done.stderr) == (0, "")
    assert {
        "MultiStepAgent.run",
        "Model.generate",
        "Model.__init_subclass__",
        "Scripted.generate",
        "Duck.generate",
        "BaseTool.__call__",
        "PythonExecutor.__init_subclass__",
        "smolagents.local_python_executor.timeout",
    } <= set(told["hooked"])
    assert told["hooks"] - 1 == len(told["hooked"]) - 3  # Late is in no module; three families listen for subclasses
    assert told["left"] == []
    assert told["late"] == [False, True]
    assert [len(CREW_RUN) + 3, 0] == told["recorded"]


def test_uninstrumenting_restores_too(programs):
    """The OpenTelemetry instrumentor's uninstrument() unhooks, and a second instrument() records again."""
    done = programs.python("""
        from crew import boss, operations, tell
        from smolagents import MultiStepAgent
        from tachograph.instrumentor import TachographInstrumentor

        original = vars(MultiStepAgent)["run"]
        counts = []
        instrumentor = TachographInstrumentor()
        for _ in range(2):
            instrumentor.instrument()
            boss().run("price of tea?")
            counts.append(len(operations()))
            instrumentor.uninstrument()
            counts.append(vars(MultiStepAgent)["run"] is original)
        tell(counts=counts)
        """)

    assert (done.code, done.stderr, done.told["counts"]) == (0, "", [9, True, 9, True])


# ------------------------------------------------------------------------------------------- summary at exit
def on_a_terminal(programs: Programs, source: str, **variables: str) -> str:
    """What a program says on a standard error that is a terminal."""
    ours, theirs = os.openpty()
    programs.write("app.py", source)
    with programs.start(sys.executable, "app.py", stderr=theirs, **variables) as process:
        os.close(theirs)
        process.communicate(timeout=PATIENCE)
        said = b""
        with contextlib.suppress(OSError):  # how Linux says that the other side is gone
            while piece := os.read(ours, 4096):
                said += piece
    os.close(ours)
    return said.decode()


AUTO_PROGRAM = program("import tachograph.auto", CREW_PROGRAM)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
@pytest.mark.parametrize(
    ("terminal", "variables", "told"),
    [
        (True, {}, 1),
        (True, {"TACHOGRAPH_SUMMARY": "0"}, 0),
        (True, {"OTEL_TRACES_EXPORTER": "console"}, 0),
        (False, {}, 0),
        (False, {"TACHOGRAPH_SUMMARY": "1"}, 1),
    ],
    ids=["terminal", "terminal, told not to", "terminal, exporting", "pipe", "pipe, told to"],
)
def test_summary_at_exit(programs, terminal, variables, told):
    """The import prints a summary on a terminal that nothing else serves, and elsewhere only when told to."""
    if terminal:
        said = on_a_terminal(programs, AUTO_PROGRAM, **variables)
    else:
        said = programs.python(AUTO_PROGRAM, **variables).stderr

    assert told == said.count(SUMMARY)
    assert bool(told) == ("boss → clerk ×1" in said)  # noqa: RUF001 - the multiplication sign is meant


def test_no_work_no_summary(programs):
    """A program that did nothing with agents ends without a word, wanted or not."""
    programs.write("app.py", "print('hello')")

    done = programs.run(script("tachograph"), "run", "app.py", TACHOGRAPH_SUMMARY="1")

    assert (done.code, done.stdout, done.stderr) == (0, "hello\n", "")
