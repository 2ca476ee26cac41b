"""What leaves a process by OTLP is what its ledger holds, however the process ends."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support.otlp_receiver import OtlpReceiver, ReceivedSpan
from support.programs import Finished, Programs, by_id, program, script
from tachograph.exporters import asked_exporters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDS = {"session.id": "chat-1", "tachograph.correlation.id": "request-1", "user.id": "me"}
KINDS = {"invoke_agent": "agent", "chat": "model", "execute_tool": "tool"}
SUBJECTS = {"agent": "gen_ai.agent.name", "model": "gen_ai.request.model", "tool": "gen_ai.tool.name"}


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


def endpoint(receiver: OtlpReceiver, protocol: str) -> dict[str, str]:
    """The variables that send everything to the receiver."""
    if protocol == "grpc":
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_endpoint}


def ours(receiver: OtlpReceiver) -> list[ReceivedSpan]:
    return [span for span in receiver.spans if span.scope == "tachograph"]


def row(span: ReceivedSpan) -> dict[str, Any]:
    """A received span as the row of the operation it should be."""
    facts = span.attributes
    kind = facts.get("tachograph.operation.kind") or KINDS[str(facts["gen_ai.operation.name"])]
    return {
        "id": span.span_id,
        "kind": kind,
        "name": facts.get("tachograph.operation.name") or facts[SUBJECTS[str(kind)]],
        "parent": span.parent_span_id,
        "session": facts["session.id"],
        "outcome": facts.get("tachograph.outcome") or ("error" if span.status == "ERROR" else "ok"),
    }


def rows(receiver: OtlpReceiver) -> list[Any]:
    return by_id(row(span) for span in ours(receiver))


def sums(receiver: OtlpReceiver, metric: str) -> dict[str, float]:
    """The last state of a metric's series, by token type."""
    last = {tuple(sorted(point.attributes.items())): point for point in receiver.metrics if point.metric == metric}
    totals: dict[str, float] = {}
    for point in last.values():
        token_type = str(point.attributes["gen_ai.token.type"])
        totals[token_type] = totals.get(token_type, 0) + (point.value if point.value is not None else point.sum)
    return totals


# ------------------------------------------------------------------------------------------ all of it, at any end
ENDINGS = {
    "return": ("ANSWER", "", 0),
    "exit 3": ("ANSWER", "sys.exit(3)", 3),
    "uncaught": ("OSError('the model is down')", "", 1),
    "atexit": ("ANSWER", "atexit.register(lambda: loner().run('late'))", 0),
}


@pytest.mark.parametrize(
    ("protocol", "ending"), [*(("http", ending) for ending in ENDINGS), ("grpc", "return"), ("grpc", "uncaught")]
)
def test_what_arrives_is_what_the_ledger_holds(programs, receiver, protocol, ending):
    """Spans arrive as the same operations in the same tree, ids on everything, metrics with the same tokens."""
    last, end, code = ENDINGS[ending]
    done = programs.python(
        f"""
        import atexit
        import sys

        import tachograph.auto
        from crew import ANSWER, boss, loner, operations, tell

        def report():
            figures = tachograph.session_metrics("chat-1")
            tell(
                ledger=operations(),
                tokens={{"input": figures.total_prompt_tokens, "output": figures.total_completion_tokens}},
            )

        atexit.register(report)
        with tachograph.session("chat-1", correlation_id="request-1", user_id="me"):
            boss(last={last}).run("price of tea?")
            {end}
        """,
        **endpoint(receiver, protocol),
    )

    told = done.told
    assert code == done.code
    assert ("Traceback" in done.stderr) == (ending == "uncaught")
    assert {"return": 9, "exit 3": 9, "uncaught": 8, "atexit": 12}[ending] == len(told["ledger"])
    assert by_id(told["ledger"]) == rows(receiver)
    in_session = [span for span in ours(receiver) if span.attributes["session.id"] == "chat-1"]
    assert [IDS] * len(in_session) == [{name: span.attributes.get(name) for name in IDS} for span in in_session]
    assert len({span.trace_id for span in in_session}) == 1
    assert {"app"} == {span.resource["service.name"] for span in receiver.spans}
    logs = [log for log in receiver.logs if log.attributes["session.id"] == "chat-1"]
    assert {"tachograph.agent_registered", "tachograph.agent_switched"} <= {log.event_name for log in logs}
    assert ["request-1"] * len(logs) == [log.attributes["tachograph.correlation.id"] for log in logs]
    own = [point for point in receiver.metrics if point.attributes.get("session.id") == "chat-1"]
    assert told["tokens"] == {
        point.attributes["gen_ai.token.type"]: point.value
        for point in own
        if point.metric == "tachograph.session.tokens"
    }
    if ending != "atexit":  # there another session has used tokens, too
        assert told["tokens"] == sums(receiver, "gen_ai.client.token.usage")


def test_the_opentelemetry_launcher_exports(programs, receiver):
    """Under ``opentelemetry-instrument`` everything arrives, too, from a program that knows nothing of it."""
    programs.write(
        "app.py",
        """
        from crew import boss, operations, tell

        boss().run("price of tea?")
        tell(ledger=operations())
        """,
    )

    done = programs.run(script("opentelemetry-instrument"), sys.executable, "app.py", **endpoint(receiver, "http"))

    assert (done.code, done.stderr, len(done.told["ledger"])) == (0, "", 9)
    assert by_id(done.told["ledger"]) == rows(receiver)
    assert sums(receiver, "gen_ai.client.token.usage") == {"input": 400, "output": 4}


def test_sigterm_under_run_loses_nothing(programs, receiver):
    """A program that is asked to terminate under ``tachograph run`` dies of it, its work open and done delivered."""
    programs.write(
        "app.py",
        """
        import time

        from crew import Price, boss, operations, tell

        class Slow(Price):
            def forward(self, thing):
                tell(ledger=operations())
                time.sleep(600)

        boss(Slow()).run("price of tea?")
        """,
    )
    with programs.start(script("tachograph"), "run", "app.py", **endpoint(receiver, "http")) as process:
        told = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        done = programs.finish(process)

    under_way = Finished(0, told, "").told["ledger"]
    expected = [{**operation, "outcome": operation["outcome"] or "abandoned"} for operation in under_way]
    assert done.code == -signal.SIGTERM
    assert [each["outcome"] for each in expected] == ["abandoned", "ok", "abandoned", "ok", "abandoned", "abandoned"]
    assert by_id(expected) == rows(receiver)
    assert done.stderr.count("Tachograph · session ") == 1


FORKS = {
    "a pool, which ends its workers by SIGTERM": """
        import multiprocessing

        def fork():
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return pool.map(abs, [-4, -5])
        """,
    "a child that leaves through the agent's frames and atexit": """
        import os

        def fork():
            if os.fork() == 0:
                raise SystemExit(6)
            return os.waitstatus_to_exitcode(os.wait()[1])
        """,
}


@pytest.mark.parametrize("fork", FORKS)
def test_forked_workers_repeat_nothing(programs, receiver, fork):
    """Processes forked off in the middle of an agent's run neither end its operations nor print its summary."""
    programs.write(
        "app.py",
        program(
            FORKS[fork],
            """
            from crew import ANSWER, QUIET, Price, Scripted, ToolCallingAgent, operations, tell

            class Forking(Price):
                def forward(self, thing):
                    return str(fork())

            model = Scripted("big", ("price", {"thing": "tea"}), ANSWER)
            agent = ToolCallingAgent(tools=[Forking()], model=model, name="loner", **QUIET)
            agent.run("price of tea?")
            tell(ledger=operations(), found=agent.memory.steps[1].observations)
            """,
        ),
    )

    done = programs.run(script("tachograph"), "run", "app.py", **endpoint(receiver, "http"))

    assert (done.code, done.told["found"]) == (0, "[4, 5]" if "pool" in fork else "6")
    assert len(done.told["ledger"]) == 5
    assert by_id(done.told["ledger"]) == rows(receiver)
    assert done.stderr.count("Tachograph · session ") == 1
    # Whether a worker of a pool gets to say anything is a matter of luck: if so, it has no session of the parent's.
    counted = [point for point in receiver.metrics if point.metric == "tachograph.session.tool_calls"]
    assert [point.value for point in counted] == [2]


# ----------------------------------------------------------------------------------------------- foreign telemetry
FOREIGN = """
    from crew import loner

    with tachograph.session("x", correlation_id="y"):
        with tracer.start_as_current_span("before"):
            loner().run("go")
        with tracer.start_as_current_span("after"):
            pass
    with tracer.start_as_current_span("outside"):
        pass
    """
OUR_PROVIDER = """
    import tachograph
    from opentelemetry import trace

    tracer = trace.get_tracer("app")
    tachograph.init()
    """
THEIR_PROVIDER = """
    import tachograph.auto
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    tracer = trace.get_tracer("app")
    """


@pytest.mark.parametrize("provider", [OUR_PROVIDER, THEIR_PROVIDER], ids=["our provider", "their provider"])
def test_foreign_spans_carry_the_session(programs, receiver, provider):
    """The program's own spans inside a session arrive with its ids, the very first one too; those outside without."""
    source = program(provider, FOREIGN)

    done = programs.python(source, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint, OTEL_METRICS_EXPORTER="none")

    assert (done.code, done.stderr) == (0, "")
    ids = {
        span.name: (span.attributes.get("session.id"), span.attributes.get("tachograph.correlation.id"))
        for span in receiver.spans
        if span.scope == "app"
    }
    assert ids == {"before": ("x", "y"), "after": ("x", "y"), "outside": (None, None)}
    roots = [span.name for span in receiver.spans if span.parent_span_id is None]
    assert sorted(roots) == ["after", "before", "outside"]


def test_after_shutdown_foreign_spans_are_left_alone(programs):
    """What is not started, or is shut down, stamps nothing, not even in a session that is still in force."""
    done = programs.python("""
        import tachograph
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from told import tell

        trace.set_tracer_provider(TracerProvider())
        stamped = []

        def look():
            with trace.get_tracer("app").start_as_current_span("theirs") as span:
                stamped.append("session.id" in span.attributes)

        with tachograph.session("x"):
            look()
        tachograph.init()
        with tachograph.session("x"):
            look()
            tachograph.shutdown()
            look()
        tell(stamped=stamped)
        """)

    assert (done.code, done.stderr, done.told) == (0, "", {"stamped": [False, True, False]})


def test_what_starts_again_after_shutdown_exports_again(programs, receiver):
    """After ``shutdown()`` a further ``init()`` sends spans, metrics and log events as the first one did."""
    done = programs.python(
        """
        import tachograph
        from opentelemetry import trace

        for turn in ("first", "second", "third"):
            tachograph.init(service_name=turn)
            with tachograph.session(turn), tachograph.agent(turn), tachograph.model("m") as call:
                call.usage(input_tokens=100, output_tokens=1)
                with trace.get_tracer("app").start_as_current_span("theirs"):
                    tachograph.switch("next")
            tachograph.shutdown()
        """,
        **endpoint(receiver, "http"),
    )

    turns = ["first", "second", "third"]
    assert (done.code, done.stderr) == (0, "")
    assert [(turn, turn) for turn in turns for _ in range(3)] == [
        (span.resource["service.name"], span.attributes["session.id"]) for span in receiver.spans
    ]
    assert turns == [
        log.attributes["session.id"] for log in receiver.logs if log.event_name == "tachograph.agent_switched"
    ]
    assert [(turn, 100) for turn in turns] == [
        (point.resource["service.name"], point.sum)
        for point in receiver.metrics
        if point.metric == "gen_ai.client.token.usage" and point.attributes["gen_ai.token.type"] == "input"
    ]


def test_log_events_before_the_first_operation_arrive(programs, receiver):
    """What happened before providers were resolved, agents being made, arrives with its ids all the same."""
    done = programs.python(
        """
        import tachograph.auto
        from crew import boss

        with tachograph.session("x"):
            team = boss()
        team.run("price of tea?")
        """,
        **endpoint(receiver, "http"),
    )

    assert (done.code, done.stderr) == (0, "")
    assert [
        (log.attributes["agent_type"], log.attributes["session.id"])
        for log in receiver.logs
        if log.event_name == "tachograph.agent_registered"
    ] == [("clerk", "x"), ("boss", "x")]


CONTENT = "gen_ai.input.messages"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("where", [None, "NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"])
def test_content_leaves_where_the_standard_variable_says(programs, receiver, protocol, where):
    """By default no word of a program is sent; spans carry JSON, events values, each only if asked to."""
    variable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    done = programs.python(
        """
        import tachograph.auto
        from crew import boss

        boss().run("price of tea?")
        """,
        **endpoint(receiver, protocol),
        **({} if where is None else {variable: where}),
    )

    assert (done.code, done.stderr) == (0, "")
    on_spans = [json.loads(str(span.attributes[CONTENT])) for span in receiver.spans if CONTENT in span.attributes]
    on_events = [log.attributes[CONTENT] for log in receiver.logs if CONTENT in log.attributes]
    assert (5 if where in ("SPAN_ONLY", "SPAN_AND_EVENT") else 0) == len(on_spans)  # three model calls, two agents
    assert (3 if where in ("EVENT_ONLY", "SPAN_AND_EVENT") else 0) == len(on_events)
    for messages in (*on_spans, *on_events):
        assert all({"role", "parts"} == message.keys() for message in messages)
    assert ("tea" in f"{receiver.spans}{receiver.logs}") == (where not in (None, "NO_CONTENT"))


def test_foreign_log_events_carry_the_session(programs, receiver):
    """The program's own log events, sent by a provider we built, carry the ids of the session around them."""
    done = programs.python(
        """
        import tachograph
        from opentelemetry import _logs

        tachograph.init()
        logger = _logs.get_logger("app")
        with tachograph.session("x", user_id="me"):
            logger.emit(_logs.LogRecord(event_name="inside", attributes={"user.id": "them"}))
        logger.emit(_logs.LogRecord(event_name="outside"))
        """,
        **endpoint(receiver, "http"),
    )

    assert (done.code, done.stderr) == (0, "")
    arrived = {log.event_name: log.attributes for log in receiver.logs}
    assert arrived == {"inside": {"session.id": "x", "user.id": "them"}, "outside": {}}


# ------------------------------------------------------------------------------------------- nowhere to send it
@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port where nobody listens and nobody will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_nobody_listening_changes_nothing(programs, protocol):
    """With nobody at the endpoint the program's result and exit code are its own, and the ledger is whole."""
    with closed_port() as port:
        done = programs.python(
            """
            import sys

            import tachograph.auto
            from crew import boss, operations, tell

            answer = boss().run("price of tea?")
            tell(answer=answer, recorded=len(operations()), swallowed=tachograph.stats()["swallowed"])
            sys.exit(3)
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT="1",
        )

    assert done.code == 3
    assert done.told == {"answer": "tea costs 4", "recorded": 9, "swallowed": {}}


@pytest.mark.parametrize("disabled", [True, False], ids=["OTEL_SDK_DISABLED", "no OTEL_* at all"])
def test_nothing_is_sent_unasked(programs, receiver, disabled):
    """Without a word from OTEL_*, or with the SDK disabled by it, no socket is opened and the ledger works."""
    asked = {**endpoint(receiver, "http"), "OTEL_SDK_DISABLED": "true"} if disabled else {}
    done = programs.python(
        """
        import sys
        import threading

        sockets = []
        sending = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg")
        sys.addaudithook(lambda event, arguments: sockets.append(event) if event in sending else None)
        import tachograph.auto
        from crew import boss, operations, tell

        boss().run("price of tea?")
        exporters = sorted(name for name in sys.modules if name.startswith("opentelemetry.exporter"))
        tell(recorded=len(operations()), sockets=sockets, exporters=exporters, threads=threading.active_count())
        """,
        **asked,
    )

    assert (done.code, done.stderr) == (0, "")
    assert done.told == {"recorded": 9, "sockets": [], "exporters": [], "threads": 1}
    assert [*receiver.spans, *receiver.logs, *receiver.metrics] == []


@pytest.mark.parametrize("start", ["import tachograph.auto", "import tachograph; tachograph.init()"])
def test_switched_off_is_off(programs, receiver, start):
    """With TACHOGRAPH_ENABLED=0 nothing is hooked, recorded, built, sent or said, however it is started."""
    done = programs.python(
        program(
            start,
            """
            from crew import boss, operations, tell
            from opentelemetry import trace

            with tachograph.session("x"):
                boss().run("price of tea?")
            provider = type(trace.get_tracer_provider()).__name__
            tell(recorded=len(operations()), hooks=tachograph.stats()["hooks"], provider=provider)
            """,
        ),
        TACHOGRAPH_ENABLED="0",
        TACHOGRAPH_SUMMARY="1",
        **endpoint(receiver, "http"),
    )

    assert (done.code, done.stderr) == (0, "")
    assert done.told == {"recorded": 0, "hooks": 0, "provider": "ProxyTracerProvider"}
    assert [*receiver.spans, *receiver.logs, *receiver.metrics] == []


def test_a_signal_can_be_left_out(programs, receiver):
    """``OTEL_METRICS_EXPORTER=none`` and ``OTEL_LOGS_EXPORTER=none`` leave the traces alone."""
    done = programs.python(
        """
        import tachograph.auto
        from crew import boss

        boss().run("price of tea?")
        """,
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        **endpoint(receiver, "http"),
    )

    assert (done.code, done.stderr) == (0, "")
    assert (len(ours(receiver)), receiver.metrics, receiver.logs) == (9, [], [])


# ------------------------------------------------------------------------------------------------- who is asked
def everywhere(exporter: str) -> dict[str, list[str]]:
    return {signal: [exporter] for signal in ("traces", "metrics", "logs")}


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({}, {}),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:4317"}, everywhere("otlp_proto_grpc")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:4317/"}, everywhere("otlp_proto_grpc")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "host:4317"}, everywhere("otlp_proto_grpc")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:4318"}, everywhere("otlp_proto_http")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://host"}, everywhere("otlp_proto_http")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            everywhere("otlp_proto_http"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:1", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"},
            {**everywhere("otlp_proto_http"), "logs": ["otlp_proto_grpc"]},
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://host:4317"}, {"traces": ["otlp_proto_grpc"]}),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, {"traces": ["console", "otlp_proto_http"]}),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:1",
                "OTEL_LOGS_EXPORTER": "none",
                "OTEL_TRACES_EXPORTER": "none",
            },
            {"metrics": ["otlp_proto_http"]},
        ),
        ({"OTEL_SDK_DISABLED": "True ", "OTEL_TRACES_EXPORTER": "console"}, {}),
        ({"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {}),
    ],
    ids=str,
)
def test_what_the_variables_ask_for(environ, asked):
    """An endpoint alone asks for all three signals: by gRPC on port 4317, by HTTP elsewhere, unless told otherwise."""
    assert asked == asked_exporters(environ)
