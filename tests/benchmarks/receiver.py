"""How fast OTLP is taken in, beside bare protobuf parsing of the same payloads: spans a second, and the ratio.

    python tests/benchmarks/receiver.py [--spans 512] [--requests 40] [--rounds 5]

Each line is the best of the rounds, and all are measured in turn in one run, so that the ratios hold on a busy machine;
the first two are timed request by request, and each counts as when nothing else came between:

- ``parsed``: ``ExportTraceServiceRequest.FromString``, which is C, and nothing else;
- ``taken``: what the server does before it answers: parse, look at each span for what has to be refused, let it wait;
- ``taken over HTTP``: the same with a client, a socket and a server around it, which keeps what it has taken meanwhile;
- ``kept in memory``, ``kept in a store``: from the first byte until the records can be asked for, which the sender does
  not wait for. Turning a span into a record of its session is Python, and takes many times as long as to parse it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, str(Path(__file__).parent.parent))
from support.sent import as_protobuf, request, span
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.server import Receiver
from tachograph.server.receiver.wire import Sent, check
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.schema import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.sources import Source

ROOM = 2**30
"""Bytes that may wait: what is measured is how fast requests are taken, not how soon the room is full."""

PROTOBUF = {"content-type": "application/x-protobuf"}


def payloads(requests: int, spans: int, start: int) -> list[bytes]:
    """So many requests of so many spans, as an agent's program sends them: mostly model calls, in sessions."""
    return [
        as_protobuf(
            request(
                *(call(start + each * spans + number, each) for number in range(spans)), **{"service.name": "agents"}
            )
        ).body
        for each in range(requests)
    ]


def call(number: int, session: int) -> object:
    """One model call of a session."""
    return span(
        number + 1,
        {
            names.SESSION_ID: f"session-{session}",
            names.OPERATION_NAME: "chat",
            names.PROVIDER_NAME: "openai",
            names.REQUEST_MODEL: "gpt-4.1",
            names.RESPONSE_MODEL: "gpt-4.1-2025-04-14",
            names.RESPONSE_ID: f"chatcmpl-{number:032x}",
            names.FINISH_REASONS: ["stop"],
            names.INPUT_TOKENS: 1_200,
            names.OUTPUT_TOKENS: 80,
            names.CACHED_TOKENS: 1_000,
            names.SERVER_ADDRESS: "api.openai.com",
            names.SERVER_PORT: 443,
        },
        trace=session + 1,
    )


def parsed(bodies: list[bytes]) -> list[float]:
    """Seconds to parse each."""
    return [timed(ExportTraceServiceRequest.FromString, body) for body in bodies]


def taken(bodies: list[bytes]) -> list[float]:
    """Seconds to take each; the thread that keeps them waits until then."""
    receiver = Receiver(Ledger(), waiting=ROOM)
    receiver._thread = threading.current_thread()  # so that none is started, and nothing is kept meanwhile
    return [timed(take, receiver, body) for body in bodies]


def timed(work: Callable[..., object], *arguments: object) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def take(receiver: Receiver, body: bytes) -> None:
    """What is done with a request that has been read, before it is answered."""
    receiver.room.take(len(body))
    sent = Sent("traces", is_json=False, body=body)
    receiver.put(sent, check(sent))


SERVE = f"""
from tachograph.ledger import Ledger
from tachograph.server import Receiver, serve

ledger = Ledger()
receiver = Receiver(ledger, waiting={ROOM})
serve(ledger, port=0, receiver=receiver, ready=lambda address: print(address, flush=True))
"""


def over_http(bodies: list[bytes]) -> list[float]:
    """Seconds until a client that sends them one after the other has all answers of a server that does nothing else."""
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip() if server.stdout else ""
            with httpx.Client(base_url=url, timeout=600) as client:
                client.post("/v1/traces", content=b"", headers=PROTOBUF).raise_for_status()
                began = time.perf_counter()
                for body in bodies:
                    client.post("/v1/traces", content=body, headers=PROTOBUF).raise_for_status()
                return [time.perf_counter() - began]
        finally:
            server.kill()


def kept(source: Source, bodies: list[bytes]) -> list[float]:
    """Seconds until all of them are records."""
    receiver = Receiver(source, waiting=ROOM)
    began = time.perf_counter()
    for body in bodies:
        take(receiver, body)
    receiver.settle(600)
    took = time.perf_counter() - began
    receiver.close(600)
    return [took]


def in_memory(bodies: list[bytes]) -> list[float]:
    """Kept in a ledger."""
    return kept(Ledger(), bodies)


def in_store(bodies: list[bytes]) -> list[float]:
    """Kept in a store, which is committed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        connect(path).close()
        source = SqliteSource(path)
        took = kept(source, bodies)
        source.close()
        return took


WAYS: dict[str, Callable[[list[bytes]], list[float]]] = {
    "parsed": parsed,
    "taken": taken,
    "taken over HTTP": over_http,
    "kept in memory": in_memory,
    "kept in a store": in_store,
}


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=512)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    bodies = payloads(asked.requests, asked.spans, 0)
    spans, size = asked.requests * asked.spans, sum(map(len, bodies))
    print(f"{asked.requests:,} requests of {asked.spans:,} spans, {size / spans:,.0f} bytes a span")
    best: dict[str, list[float]] = {}
    for _ in range(asked.rounds):
        for way, measure in WAYS.items():
            for _ in range(10 if measure in (parsed, taken) else 1):  # those that take milliseconds more often
                took = measure(bodies)
                best[way] = [min(both) for both in zip(took, best.get(way, took), strict=True)]
    for way, parts in best.items():
        seconds = sum(parts)
        print(f"{way:<18}{spans / seconds:>12,.0f} spans/s{sum(best['parsed']) / seconds:>8.3f} of parsing")


if __name__ == "__main__":
    main()
