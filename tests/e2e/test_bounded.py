"""Long-lived programs: whatever they do, and however long, memory, threads and tables stay within their bounds.

The quick test counts the blocks of memory that Python has in use, by bounds so low that they are soon reached. The
long one takes minutes, has the bounds that are the default, and looks at the memory of the whole process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support import programs as support
from support.programs import Programs

PER_RUN = 100
"""Bytes that a run may leave behind. The least there is to keep of one, its id, takes more."""

ARENA = 2**20
"""Bytes that Python takes from the system at a time."""

PROGRAM = '''
"""Short runs without end, then one of very many steps. Told: samples of memory and threads, and what is kept."""

import gc
import json
import os
import sys
import threading
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from rich.console import Console
from smolagents import AgentLogger, CodeAgent, LogLevel, Model, ToolCallingAgent, tool
from smolagents.models import (
    ChatMessage,
    ChatMessageStreamDelta,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    ChatMessageToolCallStreamDelta,
    MessageRole,
)
from smolagents.monitoring import TokenUsage
from told import tell

RECORDED, RUNS, STEPS = sys.argv[1] == "recorded", int(sys.argv[2]), int(sys.argv[3])  # or "alone": the host's own
QUIET = AgentLogger(level=LogLevel.OFF, console=Console(quiet=True))
EVERY = max(50, RUNS // 100)

# smolagents yields inside a finally, so a stream that is dropped complains from within; with or without us.
sys.unraisablehook = lambda _: None


class Counting(SpanExporter):
    spans = 0

    def export(self, spans):
        self.spans += len(spans)
        return SpanExportResult.SUCCESS


class Quick(Model):
    """Answers at once, and keeps the bill."""

    def __init__(self, steps=1):
        super().__init__(model_id="quick")
        self.steps, self.calls, self.prompt, self.completion = steps, 0, 0, 0

    def _use(self, prompt, completion):
        self.prompt += prompt
        self.completion += completion
        return TokenUsage(prompt, completion)

    def _call(self):
        self.calls += 1
        name = "final_answer" if self.calls % self.steps == 0 else "look"
        return name, {"answer": "x"} if name == "final_answer" else {"where": "here"}

    def generate(self, messages, stop_sequences=None, response_format=None, tools_to_call_from=None, **kwargs):
        name, arguments = self._call()
        if tools_to_call_from is None:
            text = "Thought: done\\n<code>\\nfinal_answer('x')\\n</code>"
            return ChatMessage(role=MessageRole.ASSISTANT, content=text, token_usage=self._use(9, 4))
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        call = ChatMessageToolCall(function=function, id=f"call_{self.calls}", type="function")
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call], token_usage=self._use(7, 3))

    def generate_stream(self, messages, stop_sequences=None, response_format=None, tools_to_call_from=None, **kwargs):
        name, arguments = self._call()
        yield ChatMessageStreamDelta(content="well", token_usage=self._use(5, 1))
        function = ChatMessageToolCallFunction(name=name, arguments=json.dumps(arguments))
        call = ChatMessageToolCallStreamDelta(index=0, id=f"call_{self.calls}", type="function", function=function)
        yield ChatMessageStreamDelta(tool_calls=[call], token_usage=self._use(0, 2))


@tool
def look(where: str) -> str:
    """Look somewhere.

    Args:
        where: to look.
    """
    return "nothing"


exporter, reader = Counting(), InMemoryMetricReader()
tracing, metering = TracerProvider(), MeterProvider([reader])
tracing.add_span_processor(BatchSpanProcessor(exporter))
if RECORDED:
    import tachograph
    from tachograph import runtime

    tachograph.init(tracer_provider=tracing, meter_provider=metering)


def in_session(name, work):
    if not RECORDED:
        return work()
    with tachograph.session(name):
        return work()


class Samples:
    """Memory of the process, blocks of it that Python has in use, and threads: taken now and then, all settled."""

    def __init__(self):
        self.at, self.memory, self.blocks, self.threads = [], [], [], []

    def take(self, at):
        tracing.force_flush()
        reader.collect()
        gc.collect()
        self.at.append(at)
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
        self.blocks.append(sys.getallocatedblocks())
        self.threads.append(threading.active_count())


def abandoned(agent):
    next(agent.run("go", stream=True))  # and that is the last anybody hears of it


plain, coder = (made(tools=[], model=Quick(), name="plain", logger=QUIET) for made in (ToolCallingAgent, CodeAgent))
streaming = ToolCallingAgent(tools=[], model=Quick(), name="streaming", stream_outputs=True, logger=QUIET)
works = [
    lambda: plain.run("go"),
    lambda: list(streaming.run("go", stream=True)),
    lambda: coder.run("go"),
    lambda: list(streaming.run("go", stream=True)),
    lambda: abandoned(streaming),
    *[lambda: plain.run("go"), lambda: list(streaming.run("go", stream=True))] * 2,
    lambda: (made_anew() if n % 100 == 99 else plain).run("go"),
]
assert len(works) == 10


def made_anew():
    return ToolCallingAgent(tools=[], model=plain.model, name="new", logger=QUIET)


runs = Samples()
for n in range(RUNS):
    in_session(f"session {n}", works[n % len(works)])
    if n % EVERY == EVERY - 1:
        runs.take(n)

walker = ToolCallingAgent(
    tools=[look],
    model=Quick(STEPS),
    name="walker",
    max_steps=STEPS + 1,
    logger=QUIET,
    step_callbacks=[lambda step, agent: agent.memory.steps.__delitem__(slice(1, -2))],  # else it remembers every step
)
steps = Samples()


def walk():
    for n, _ in enumerate(walker.run("go", stream=True)):  # else the run keeps every step till the end
        if n % (STEPS // 25) == 0:
            steps.take(n)


in_session("walk", walk)

models = [plain.model, streaming.model, coder.model, walker.model]
told = {"bill": [sum(getattr(model, field) for model in models) for field in ("calls", "prompt", "completion")]}
if RECORDED:
    tracing.force_flush()
    everything, walked = runtime.current().ledger.total(), tachograph.session_metrics("walk")
    told |= {
        "counted": [everything.total_requests, everything.total_prompt_tokens, everything.total_completion_tokens],
        "agents": {name: tally["count"] for name, tally in everything.to_dict()["agents"].items()},
        "outcomes": everything.outcomes,
        "evicted": everything.evicted,
        "walked": {"requests": walked.total_requests, "listed": len(walked.requests), "evicted": walked.evicted},
        "stats": tachograph.stats(),
        "open": sum(len(runtime.current().recorder.open(kind)) for kind in ("agent", "model", "tool", "code")),
        "spans": exporter.spans,
    }
tell(**told, runs=vars(runs), steps=vars(steps))
'''


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setattr(support, "PATIENCE", 900)  # it has much to do, on a busy machine too
    return Programs(tmp_path)


def slope(at: list[int], values: list[int]) -> float:
    """By how much the values grow with each of ``at``, by least squares over the second half."""
    half = len(at) // 2
    at, values = at[half:], values[half:]
    middle, level = sum(at) / len(at), sum(values) / len(values)
    return sum((x - middle) * (y - level) for x, y in zip(at, values, strict=True)) / sum((x - middle) ** 2 for x in at)


def assert_bounded(told: dict[str, Any], runs: int, steps: int, *, sessions: int, records: int, listed: int) -> None:
    """Nothing is open, no thread was added, every table is within its bound, and the totals are the bill."""
    assert told["bill"] == told["counted"]
    assert {"plain", "streaming", "new", "walker"} == set(told["agents"])
    assert sum(told["agents"].values()) == runs + 1
    assert told["outcomes"] == {"ok": runs * 9 // 10 + 1, "abandoned": runs // 10}
    assert (told["open"], told["stats"]["open_operations"], told["stats"]["active_sessions"]) == (0, 0, 0)
    assert told["stats"]["swallowed"] == {}
    assert (told["stats"]["sessions"], told["stats"]["records"]) == (sessions, records)
    requests = told["counted"][0]
    assert told["evicted"] == {"requests": requests - listed}
    assert told["walked"] == {"requests": steps, "listed": listed, "evicted": {"requests": steps - listed}}
    # Each operation is one span and one record; so is each agent's registration, but for the span.
    registered = 4 + runs // 100
    assert told["stats"]["evicted"] == {
        "sessions": runs + 1 - sessions,
        "correlations": runs + 1 - sessions,
        "records": told["spans"] + registered - records,
        "requests": requests - listed,
        "names": 0,
    }
    for samples in (told["runs"], told["steps"]):
        assert 1 == len(set(samples["threads"][1:]))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read where Linux tells it")
def test_a_thousand_runs_leave_nothing_behind(programs) -> None:
    """Runs and steps without end take no more memory, leave nothing open, and count to the unit."""
    done = programs.python(
        PROGRAM,
        "recorded",
        "1000",
        "100",
        TACHOGRAPH_MAX_SESSIONS="20",
        TACHOGRAPH_MAX_RECORDS="100",
        TACHOGRAPH_MAX_REQUESTS="10",
        TACHOGRAPH_METRIC_SESSIONS="5",
    )

    assert (done.code, done.stderr) == (0, "")
    assert_bounded(done.told, 1_000, 100, sessions=20, records=100, listed=10)
    # Blocks are of at least 16 bytes, and of 60 on average. The program by itself leaves 0.2 of a block in each run.
    assert slope(done.told["runs"]["at"], done.told["runs"]["blocks"]) < 1
    assert slope(done.told["steps"]["at"], done.told["steps"]["blocks"]) < 2


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read where Linux tells it")
def test_forty_thousand_runs_and_two_thousand_steps(programs) -> None:
    """A process that has reached its bounds takes no more memory, whatever it goes on to do."""
    done = programs.python(PROGRAM, "recorded", "40000", "2000")

    assert (done.code, done.stderr) == (0, "")
    assert_bounded(done.told, 40_000, 2_000, sessions=1_000, records=10_000, listed=100)
    assert slope(done.told["runs"]["at"], done.told["runs"]["blocks"]) < 0.1
    # The memory of a process grows by whole arenas; one may be due at any time, also in the program by itself.
    for samples in (done.told["runs"], done.told["steps"]):
        half = len(samples["at"]) // 2
        settled = samples["at"][-1] - samples["at"][half]
        assert samples["memory"][-1] - samples["memory"][half] < PER_RUN * settled + ARENA
