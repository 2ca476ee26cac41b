"""One request through several processes, by real HTTP, is one trace, one session, one request, and counted once."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.otlp_receiver import OtlpReceiver
from support.programs import Programs, script
from support.services import services
from tachograph import names
from tachograph.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


INSTANCE = "service.instance.id"
TREE = [
    "gateway SERVER GET /ask/{session}/{request}",
    " gateway CLIENT GET",
    "  agents SERVER GET /research/{thing}",
    "   agents INTERNAL invoke_agent researcher",
    "    agents CLIENT chat gpt-4.1",
    "    agents CLIENT GET",
    "     tools SERVER GET /price/{thing}",
    "      tools INTERNAL execute_tool price",
]


def tree(spans: list[Any]) -> list[str]:
    """Spans as an indented list: service, kind and name; without what FastAPI tells of its sending."""

    def below(parent: str | None, depth: int) -> list[str]:
        found = []
        for span in sorted(spans, key=lambda span: span.start_ns):
            if span.parent_span_id == parent and " http " not in span.name:
                service = span.resource["service.name"]
                found += [f"{' ' * depth}{service} {span.kind} {span.name}", *below(span.span_id, depth + 1)]
        return found

    return below(None, 0)


def test_one_trace_session_and_request_through_three_services(programs, tmp_path) -> None:
    """From gateway to tool there is one trace, everything in it is of the session and request the gateway named."""
    store = tmp_path / "s.db"
    with OtlpReceiver() as receiver:
        with services(
            programs,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
            OTEL_SEMCONV_STABILITY_OPT_IN="http",
            TACHOGRAPH_STORE=str(store),
        ) as asked:
            assert {"answer": "tea costs 4"} == asked.ask("chat-1", "request-7")
            asked.end()
        spans = receiver.spans
    within = [span for span in spans if span.name != "GET /ask/{session}/{request}" and " http " not in span.name]

    assert TREE == tree(spans)
    assert 1 == len({span.trace_id for span in spans})
    assert {("chat-1", "request-7", "ada")} == {
        tuple(span.attributes.get(name) for name in (names.SESSION_ID, names.CORRELATION_ID, names.USER_ID))
        for span in within
    }
    assert 3 == len({span.resource[INSTANCE] for span in spans})
    with contextlib.closing(open_source(store)) as kept:
        assert ["chat-1"] == kept.sessions()
        metrics = kept.session_metrics("chat-1", "request-7")
        assert kept.session_metrics("chat-1").to_dict() == metrics.to_dict()
        assert (1, 1, 1, 110) == (metrics.agent_runs, metrics.tool_calls, metrics.total_requests, metrics.total_tokens)
        timeline = kept.timeline(session_id="chat-1")
        assert ["GET 127.0.0.1", "researcher", "gpt-4.1", "GET 127.0.0.1", "price"] == [
            entry.name for entry in timeline.entries if entry.kind != "event"
        ]


@pytest.mark.long
def test_without_asking_nothing_goes_to_other_services(programs, tmp_path) -> None:
    """Unless the gateway says so its ids stay with it; the trace is one all the same."""
    with OtlpReceiver() as receiver:
        with services(programs, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint) as asked:
            asked.ask("chat-1", "request-7", quietly=True)
            asked.end()
        spans = receiver.spans
    elsewhere = [span for span in spans if span.resource["service.name"] != "gateway"]

    assert 1 == len({span.trace_id for span in spans})
    assert elsewhere
    assert not {"chat-1", "request-7", "ada"} & {value for span in elsewhere for value in span.attributes.values()}


# ------------------------------------------------------------------------------------------------- workers, forked
WORK = """
import os
import tachograph


def work(number):
    with tachograph.session(f"chat-{number % 3}", correlation_id=f"r-{number}"), tachograph.agent("worker"):
        with tachograph.model("gpt-4.1", provider="openai") as call:
            call.usage(input_tokens=100, output_tokens=number)
    return os.getpid()
"""


def told_once(receiver: OtlpReceiver, store: Path, count: int, processes: int) -> None:
    """So many pieces of work by so many processes are there, each once, in what was sent and in the store."""
    spans = receiver.spans
    assert 2 * count == len(spans) == len({span.span_id for span in spans})
    assert {f"r-{number}" for number in range(count)} == {span.attributes[names.CORRELATION_ID] for span in spans}
    assert processes == len({span.resource[INSTANCE] for span in spans})
    for metric, figure in (("tachograph.session.tokens", "value"), ("gen_ai.client.token.usage", "sum")):
        assert 100 * count == last_of_all(receiver, metric, figure, "input")
        assert sum(range(count)) == last_of_all(receiver, metric, figure, "output")
    with contextlib.closing(open_source(store)) as kept:
        total = kept.total()
        assert (count, count) == (total.agent_runs, total.total_requests)
        assert sum(range(count)) == total.total_completion_tokens
        assert sorted(f"chat-{number}" for number in range(min(3, count))) == sorted(kept.sessions())


def last_of_all(receiver: OtlpReceiver, metric: str, figure: str, token_type: str) -> float:
    """What a backend shows that adds up the processes: of each series the last point."""
    last = {
        (point.resource[INSTANCE], *sorted(point.attributes.items())): getattr(point, figure)
        for point in receiver.metrics
        if point.metric == metric and point.attributes[names.TOKEN_TYPE] == token_type
    }
    return sum(last.values())


def sent_to(receiver: OtlpReceiver, store: Path, protocol: str = "http/protobuf") -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "TACHOGRAPH_STORE": str(store),
    }


OTHER = pytest.mark.long
"""Another way to the same: the quick suite has one of each."""


@pytest.mark.parametrize(
    ("method", "protocol"),
    [
        ("fork", "http/protobuf"),
        pytest.param("fork", "grpc", marks=OTHER),
        pytest.param("spawn", "http/protobuf", marks=OTHER),
        pytest.param("forkserver", "http/protobuf", marks=OTHER),
    ],
)
def test_processes_of_multiprocessing(programs, tmp_path, method, protocol) -> None:
    """What each child records is sent and stored once, by a process of its own; what the parent has open stays its."""
    programs.write("work.py", f"{WORK}\ntachograph.init()\n")
    store = tmp_path / "s.db"
    with OtlpReceiver() as receiver:
        done = programs.python(
            f"""
            import multiprocessing
            from work import tachograph, work

            if __name__ == "__main__":
                work(0)
                context = multiprocessing.get_context({method!r})
                with tachograph.session("chat-1", correlation_id="r-1"), tachograph.agent("boss"):
                    with tachograph.model("gpt-4.1", provider="openai") as call:
                        children = [context.Process(target=work, args=(number,)) for number in (2, 3, 4)]
                        for child in children:
                            child.start()
                        for child in children:
                            child.join()
                        call.usage(input_tokens=100, output_tokens=1)
            """,
            **sent_to(receiver, store, protocol),
        )
        assert (0, "") == (done.code, done.stderr)
        told_once(receiver, store, 5, 4)


@pytest.mark.parametrize("kind", ["futures", pytest.param("pool", marks=OTHER)])
def test_a_pool_of_workers_that_inherit(programs, tmp_path, kind) -> None:
    """Workers that a pool forks from a process that has recorded, as task queues do: nothing lost, nothing twice."""
    programs.write("work.py", f"{WORK}\ntachograph.init()\n")
    store = tmp_path / "s.db"
    with OtlpReceiver() as receiver:
        done = programs.python(
            f"""
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor
            from opentelemetry import metrics
            from told import tell
            from work import tachograph, work

            if __name__ == "__main__":
                work(0)
                metrics.get_meter_provider().force_flush()  # so that the SDK has counted when it is forked
                context = multiprocessing.get_context("fork")
                if {kind!r} == "futures":
                    with ProcessPoolExecutor(2, mp_context=context) as pool:
                        workers = [*pool.map(work, range(1, 40))]
                else:
                    pool = context.Pool(2, maxtasksperchild=15)
                    workers = pool.map(work, range(1, 40), chunksize=1)
                    pool.close()
                    pool.join()
                tell(workers=len(set(workers)))
            """,
            **sent_to(receiver, store),
        )
        assert (0, "") == (done.code, done.stderr)
        told_once(receiver, store, 40, 1 + done.told["workers"])


@pytest.mark.parametrize("preload", [True, pytest.param(False, marks=OTHER)])
@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs fork")
def test_gunicorns_workers(programs, tmp_path, preload) -> None:
    """Workers forked before or after the program was loaded: each request counts once, each worker is an instance."""
    programs.write(
        "web.py",
        f"""{WORK}
tachograph.init()


def app(environ, start_response):
    pid = work(int(environ["PATH_INFO"].strip("/")))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(pid).encode()]
""",
    )
    store, address = tmp_path / "s.db", tmp_path / "socket"
    with OtlpReceiver() as receiver:
        command = [script("gunicorn"), "--workers", "2", "--bind", f"unix:{address}", "--no-control-socket", "web:app"]
        with programs.start(*command, *(["--preload"] if preload else []), **sent_to(receiver, store)) as server:
            workers = ask_all(address, 40)
            server.terminate()
            said = server.communicate(timeout=60)[1]
        assert 0 == server.returncode, said
        told_once(receiver, store, 40, len(workers))


def ask_all(address: Path, count: int) -> set[str]:
    """Ask a server on a socket so many times, as soon as it listens; the workers that answered."""
    over = time.monotonic() + 60
    while True:
        with socket.socket(socket.AF_UNIX) as tried, contextlib.suppress(OSError):
            tried.connect(str(address))
            break
        assert time.monotonic() < over
        time.sleep(0.02)  # it has no way to tell
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(address)), base_url="http://web", timeout=60) as client:
        return {client.get(f"/{number}").text for number in range(count)}
