"""A host under load, whose exporter keeps account: which spans were made, answered for, given up on, never offered.

Run as a program, with the seconds it is to work and the operations it is to do in each of them; the last line it prints
is its account. Its results are checked as it goes, so that it ends badly if recording ever changes one.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import format_span_id

import tachograph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

PER_ROUND = 4
"""Operations of one round: an agent's run with two model calls and a tool in it."""


class Accountant(OTLPSpanExporter):
    """The SDK's own exporter, which notes what became of each span."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: list[str] = []
        self.given_up: list[str] = []
        self.processor_seconds = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        before = time.thread_time()
        result = super().export(spans)
        self.processor_seconds += time.thread_time() - before
        ids = self.answered if result is SpanExportResult.SUCCESS else self.given_up
        ids.extend(format_span_id(span.context.span_id) for span in spans)
        return result


def lookup(word: str) -> str:
    return word.upper()


def one_round(number: int) -> list[str]:
    """One request of one session; gives the ids of its operations."""
    ids = []
    with tachograph.session(f"load-{number % 500}"), tachograph.agent("worker"):
        ids.append(here())
        for _ in range(2):
            with tachograph.model("m", provider="p") as call:
                call.usage(input_tokens=100, output_tokens=10)
                ids.append(here())
        with tachograph.tool("lookup"):
            ids.append(here())
            assert lookup("x") == "X"
    return ids


def here() -> str:
    return format_span_id(trace.get_current_span().get_span_context().span_id)


def main(seconds: float, per_second: float) -> None:
    exporter = Accountant()
    provider = TracerProvider(resource=Resource.create(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    tachograph.init()
    made: list[str] = []
    longest = 0.0
    memory = []
    began = time.monotonic()
    print("working", flush=True)  # noqa: T201 - it is a program
    for number in range(round(seconds * per_second / PER_ROUND)):  # later, on a machine that cannot do so many
        before = time.perf_counter()
        made += one_round(number)
        longest = max(longest, time.perf_counter() - before)
        if number % 500 == 0:
            memory.append(resource_megabytes())
        ahead = number * PER_ROUND / per_second - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    worked = time.monotonic() - began
    provider.shutdown()
    tachograph.shutdown()
    answered, given_up = set(exporter.answered), set(exporter.given_up)
    print(  # noqa: T201 - it is a program
        json.dumps(
            {
                "made": made,
                "answered": sorted(answered),
                "given_up": sorted(given_up),
                "never_offered": sorted(set(made) - answered - given_up),
                "longest_ms": longest * 1_000,
                "operations_per_second": len(made) / worked,
                "seconds_to_end": time.monotonic() - began - worked,
                "processor_seconds": time.process_time(),
                "exporter_processor_seconds": exporter.processor_seconds,
                "memory_mb": memory,
                "threads": threading.active_count(),
            }
        )
    )


def resource_megabytes() -> float:
    """Resident memory now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - it is no file
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
