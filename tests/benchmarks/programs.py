"""What is measured: a real smolagents program, and the four ways to record it.

`handwritten` is the yardstick: the spans and metrics of a run written by hand on the OpenTelemetry SDK, without a
ledger. An agent run is a span and one point, a model call a span and three points, a tool call a span and one point,
with ids on every span. Content is off wherever it can be.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import context, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from smolagents import Tool, ToolCallingAgent
from smolagents.models import (
    ChatMessage,
    ChatMessageStreamDelta,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    MessageRole,
    Model,
)
from smolagents.monitoring import LogLevel, TokenUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

IDS = {"session.id": "s-1", "tachograph.correlation.id": "c-1"}
clock = time.perf_counter


# -------------------------------------------------------------------------------------------------- the program
class FakeModel(Model):
    """Asks for one tool call a step, then answers; ``seconds`` is how long a real one would take."""

    def __init__(self) -> None:
        super().__init__(model_id="bench-model")
        self.steps = self.calls = self.chunks = 0
        self.seconds = 0.0

    def generate(
        self,
        messages: Any,
        stop_sequences: Any = None,
        response_format: Any = None,
        tools_to_call_from: Any = None,
        **_: Any,
    ) -> ChatMessage:
        """One call."""
        if self.seconds:
            time.sleep(self.seconds)
        self.calls += 1
        name, arguments = ("lookup", {"key": "k"}) if self.calls <= self.steps else ("final_answer", {"answer": "done"})
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content="next",
            tool_calls=[ChatMessageToolCall(id=f"call_{self.calls}", type="function", function=function)],
            token_usage=TokenUsage(input_tokens=100 + self.calls, output_tokens=20),
        )

    def generate_stream(self, *_: Any, **__: Any) -> Iterator[ChatMessageStreamDelta]:
        """One streamed call, each chunk made as it comes; usage comes with the last."""
        for _ in range(self.chunks - 1):
            yield ChatMessageStreamDelta(content="word ")
        yield ChatMessageStreamDelta(content="end", token_usage=TokenUsage(input_tokens=100, output_tokens=self.chunks))


class Lookup(Tool):
    """A tool that is done at once."""

    name = "lookup"
    description = "Looks a key up."
    inputs = {"key": {"type": "string", "description": "the key"}}  # noqa: RUF012 - as the framework has it
    output_type = "string"

    def forward(self, key: str) -> str:
        """The value."""
        return "value"


class Replay(Tool):
    """Calls a model and a tool, over and over, inside one agent run: steps without the framework's own work."""

    name = "replay"
    description = "Replays steps."
    inputs = {"steps": {"type": "integer", "description": "how many"}}  # noqa: RUF012
    output_type = "any"

    def __init__(self, model: Model, tool: Tool) -> None:
        super().__init__()
        self.model, self.tool, self.took = model, tool, list[int]()

    def forward(self, steps: int) -> Any:
        """Nanoseconds of CPU each step took."""
        self.took, messages = [], list[Any]()
        for _ in range(steps):
            began = time.thread_time_ns()
            self.model.generate(messages)
            self.tool("k")
            self.took.append(time.thread_time_ns() - began)
            messages += [None, None]
        return "done"


class Program:
    """An agent, its model and its tools."""

    def __init__(self) -> None:
        self.model, lookup, self.runs = FakeModel(), Lookup(), 0
        self.replay = Replay(self.model, lookup)
        tools = [lookup, self.replay]
        self.agent = ToolCallingAgent(
            tools=tools, model=self.model, name="bench", max_steps=10_000, verbosity_level=LogLevel.OFF
        )

    def run(self, steps: int) -> None:
        """One run of so many steps and the answer."""
        self.runs += 1
        self.model.steps, self.model.calls = steps, 0
        if self.agent.run("go") != "done":
            raise AssertionError

    def run_until(self, runs: int, steps: int) -> None:
        """As many runs as there are to be in all."""
        while self.runs < runs:
            self.run(steps)

    def stream(self, chunks: int) -> None:
        """One streamed model call, consumed."""
        self.model.chunks = chunks
        for _ in self.model.generate_stream([]):
            pass


# --------------------------------------------------------------------------------- where it goes, the same for all
class Counting(SpanExporter):
    """Counts and forgets."""

    count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """So many more."""
        self.count += len(spans)
        return SpanExportResult.SUCCESS


def providers() -> tuple[TracerProvider, Counting, InMemoryMetricReader]:
    """Spans through a batch processor to an exporter that counts, metrics to a reader."""
    tracing, counting, reader = TracerProvider(), Counting(), InMemoryMetricReader()
    tracing.add_span_processor(BatchSpanProcessor(counting, max_queue_size=65_536))
    trace.set_tracer_provider(tracing)
    metrics.set_meter_provider(MeterProvider([reader]))
    return tracing, counting, reader


# ------------------------------------------------------------------------------------------------------- the modes
def none(_: TracerProvider) -> None:
    """The program alone."""


def tachograph(_: TracerProvider) -> None:
    """Recorded by us, ledger included."""
    os.environ["TACHOGRAPH_SUMMARY"] = "0"
    import tachograph  # noqa: PLC0415 - not in the other modes

    tachograph.init()


def stored(tracing: TracerProvider) -> None:
    """Recorded by us, and kept in a store."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["TACHOGRAPH_STORE"] = f"{folder}/store.db"
    tachograph(tracing)


def openinference(tracing: TracerProvider) -> None:
    """Recorded by OpenInference's package, its content hidden."""
    os.environ["OPENINFERENCE_HIDE_INPUTS"] = os.environ["OPENINFERENCE_HIDE_OUTPUTS"] = "true"
    import smolagents  # noqa: PLC0415
    from openinference.instrumentation.smolagents import SmolagentsInstrumentor  # noqa: PLC0415 - may be missing

    smolagents.FakeModel = FakeModel  # it looks for models among the package's own names
    SmolagentsInstrumentor().instrument(tracer_provider=tracing)


def handwritten(_: TracerProvider, *, in_its_span: bool = False) -> None:  # noqa: C901 - what is written by hand is written out
    """Recorded by hand."""
    tracer, meter = trace.get_tracer("handwritten"), metrics.get_meter("handwritten")
    duration = meter.create_histogram("gen_ai.client.operation.duration", "s")
    first_chunk = meter.create_histogram("gen_ai.client.operation.time_to_first_chunk", "s")
    tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}")
    agent_duration = meter.create_histogram("gen_ai.invoke_agent.duration", "s")
    tool_duration = meter.create_histogram("gen_ai.execute_tool.duration", "s")
    original_run, original_call = ToolCallingAgent.run, Tool.__call__
    original_generate, original_stream = FakeModel.generate, FakeModel.generate_stream

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self.name, **IDS}
        began = clock()
        with tracer.start_as_current_span(f"invoke_agent {self.name}", attributes=attributes):
            result = original_run(self, *args, **kwargs)
        agent_duration.record(clock() - began, {"gen_ai.agent.name": self.name})
        return result

    def chat(name: str) -> dict[str, Any]:
        return {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "smolagents", "gen_ai.request.model": name}

    def used(name: str, usage: TokenUsage) -> None:
        tokens.record(usage.input_tokens, {**chat(name), "gen_ai.token.type": "input"})
        tokens.record(usage.output_tokens, {**chat(name), "gen_ai.token.type": "output"})

    def generate(self: Any, messages: Any, *args: Any, **kwargs: Any) -> Any:
        name = self.model_id
        began = clock()
        with tracer.start_as_current_span(
            f"chat {name}", kind=SpanKind.CLIENT, attributes={**chat(name), **IDS}
        ) as span:
            result = original_generate(self, messages, *args, **kwargs)
            usage = result.token_usage
            span.set_attributes(
                {
                    "gen_ai.response.model": name,
                    "gen_ai.usage.input_tokens": usage.input_tokens,
                    "gen_ai.usage.output_tokens": usage.output_tokens,
                    "gen_ai.response.finish_reasons": ("tool_calls",),
                }
            )
        duration.record(clock() - began, chat(name))
        used(name, usage)
        return result

    class PassThrough:
        """An iterator around another: hands every chunk on, looks for usage, ends the span once.

        It does less than it should: its span is not current while the chunk is made, so that what is recorded within
        is torn off, and its duration counts the time that its consumer takes.
        """

        def __init__(self, inner: Iterator[Any], name: str) -> None:
            self.inner, self.name = inner, name
            self.usage: Any = None
            self.first: float | None = None
            self.began = clock()
            self.span = tracer.start_span(f"chat {name}", kind=SpanKind.CLIENT, attributes={**chat(name), **IDS})

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            try:
                chunk = next(self.inner)
            except StopIteration:
                self.end()
                raise
            except BaseException as error:
                self.span.set_status(Status(StatusCode.ERROR, str(error)))
                self.end()
                raise
            if self.first is None:
                self.first = clock() - self.began
            usage = chunk.token_usage
            if usage is not None:
                self.usage = usage
            return chunk

        def end(self) -> None:
            if self.usage is not None:
                used(self.name, self.usage)
            self.span.end()
            first_chunk.record(self.first or 0.0, chat(self.name))
            duration.record(clock() - self.began, chat(self.name))

    class InItsSpan(PassThrough):
        """The same that does what it should: around each chunk its span is current, and only that time is counted."""

        def __init__(self, inner: Iterator[Any], name: str) -> None:
            super().__init__(inner, name)
            self.spent = 0.0

        def __next__(self) -> Any:
            token = context.attach(trace.set_span_in_context(self.span))
            began = clock()
            try:
                return super().__next__()
            finally:
                self.spent += clock() - began
                context.detach(token)

    def generate_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        return pass_through(original_stream(self, *args, **kwargs), self.model_id)

    pass_through = InItsSpan if in_its_span else PassThrough

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": self.name,
            "gen_ai.tool.type": "function",
            "gen_ai.agent.name": "bench",
            **IDS,
        }
        began = clock()
        with tracer.start_as_current_span(f"execute_tool {self.name}", attributes=attributes):
            result = original_call(self, *args, **kwargs)
        tool_duration.record(clock() - began, {"gen_ai.tool.name": self.name, "gen_ai.tool.type": "function"})
        return result

    replacements: list[tuple[type, str, Callable[..., Any]]] = [
        (ToolCallingAgent, "run", run),
        (FakeModel, "generate", generate),
        (FakeModel, "generate_stream", generate_stream),
        (Tool, "__call__", call),
    ]
    for owner, name, function in replacements:
        setattr(owner, name, function)


def in_its_span(tracing: TracerProvider) -> None:
    """Recorded by hand, each chunk of a stream within its span."""
    handwritten(tracing, in_its_span=True)


MODES = {mode.__name__: mode for mode in (none, handwritten, in_its_span, tachograph, stored, openinference)}
