"""Work that a program reports itself: the same functions, results and exceptions, and whole records of them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import inspect
import threading
import types
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import get_current

import tachograph
from support.figures import tree
from tachograph import names
from tachograph.context import current
from tachograph.records import Operation
from tachograph.testing import Capture, TickingClock, capture

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator


@pytest.fixture
def recorded() -> Iterator[Capture]:
    """Everything recorded by a ticking clock; afterwards nothing is open or current, and the spans say the same."""
    before = get_current()
    with capture(clock=TickingClock()) as captured:
        yield captured
        assert [] == captured.ledger.open_operations()
        assert get_current() is before
        assert captured.ledger.total().to_dict() == captured.spans_only.total().to_dict()


@pytest.fixture
def quiet() -> Iterator[Capture]:
    """Everything recorded, by a guard that keeps failures to itself."""
    with capture(strict=False) as captured:
        yield captured


def operations(captured: Capture) -> list[Operation]:
    """What ended, in order of its end."""
    return [record for record in captured.ledger.records() if isinstance(record, Operation) and record.outcome]


def only(captured: Capture) -> Operation:
    """The one operation there is."""
    (found,) = operations(captured)
    return found


# --------------------------------------------------------------------------------------------------- with, async with
def test_a_home_made_agent_is_a_whole_session(recorded: Capture) -> None:
    """Tasks, agents, models and tools by hand nest, count, and cost what any others do."""
    with (
        tachograph.session("s"),
        tachograph.task("analysis", id="t1", description="look into it", category="research"),
        tachograph.agent("boss", description="leads"),
    ):
        with tachograph.model("gpt-4.1", provider="openai", messages=2, tools=3, stream=True) as call:
            call.usage(input_tokens=1_000, cached_tokens=400, output_tokens=500, reasoning_tokens=100)
            call.tool_calls(1)
            call.answered(model="gpt-4.1-2025-04-14", response_id="r1", reason="stop")
            call.set(cache_hit=True, response_quality_score=0.9, note="fine", nothing=None, thing=object())
        with tachograph.tool("search", call_id="call_1"), tachograph.agent("helper"):
            pass
    assert [
        "task analysis",
        "  agent boss",
        "    model gpt-4.1",
        "    tool search",
        "      agent helper",
    ] == tree(recorded)
    metrics = recorded.ledger.session_metrics("s")
    assert (1, 2, 1, 1, 0.0054) == (
        metrics.tasks,
        metrics.agent_runs,
        metrics.tool_calls,
        metrics.total_requests,
        metrics.cost["amount"],
    )
    (request,) = metrics.requests
    assert {
        "model": "gpt-4.1",
        "prompt_tokens": 1_000,
        "completion_tokens": 500,
        "cost": 0.0054,
        "has_tool_calls": True,
        "success": True,
        "cache_hit": True,
        "response_quality_score": 0.9,
        "note": "fine",
    } == {
        name: value
        for name, value in request.items()
        if name not in ("timestamp", "duration_ms", "total_tokens", "error")
    }
    (span,) = [span for span in recorded.spans if span.name == "chat gpt-4.1"]
    assert {
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4.1-2025-04-14",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.cache_read.input_tokens": 400,
        "gen_ai.usage.reasoning.output_tokens": 100,
        "tachograph.field.cache_hit": True,
        "tachograph.field.response_quality_score": 0.9,
        "session.id": "s",
    }.items() <= span.attributes.items()


def test_what_a_task_is_about_stays_here(recorded: Capture) -> None:
    """A task's description is in the record, without credentials, and on no span: it may be what a user said."""
    with tachograph.task("t", description="my password=hunter2 canary"):
        pass
    assert "my password=[redacted] canary" == only(recorded).attributes[names.TASK_DESCRIPTION]
    assert "canary" not in str([span.attributes for span in recorded.spans])


def test_a_block_that_raises_ends_as_an_error(recorded: Capture) -> None:
    """The exception is the program's, the same object; the operation has its type and text."""
    error = LookupError("not there")
    with pytest.raises(LookupError) as raised, tachograph.tool("t"):
        raise error
    assert raised.value is error
    record = only(recorded)
    assert ("error", "LookupError", "not there") == (record.outcome, record.error_type, record.error_message)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("bad"), ("error", "ValueError", "bad")),
        ("RateLimitError", ("error", "RateLimitError", None)),
        ("it broke, token=abcdef123", ("error", "error", "it broke, token=[redacted]")),
    ],
)
def test_a_failure_that_nobody_raises_can_be_told(recorded: Capture, error: Any, expected: tuple[Any, ...]) -> None:
    """An error that is handed over is one like any other: an exception, a type's name, or words."""
    with tachograph.agent("a") as run:
        run.failed(error)
    record = only(recorded)
    assert expected == (record.outcome, record.error_type, record.error_message)
    assert 1 == recorded.ledger.total().errors


def test_texts_of_errors_are_kept_only_where_settings_say_so() -> None:
    """With errors' types alone the words of a told error are not kept either."""
    with capture(capture_errors="type") as captured:
        with tachograph.tool("t") as call:
            call.failed("all my secrets")
        tachograph.record_tool_usage("t", error="all my secrets")
    assert [("error", None)] * 2 == [(record.error_type, record.error_message) for record in operations(captured)]


@pytest.mark.parametrize("word", ["waiting", "interrupted", "max_steps", "failed", "completed"])
def test_an_outcome_can_be_said(recorded: Capture, word: Any) -> None:
    """How something ended can be said where no exception does; a word that says none is refused."""
    with tachograph.tool("t") as call:
        call.outcome(word)
        with pytest.raises(ValueError, match="'perhaps' is no status; there are: "):
            call.outcome("perhaps")  # type: ignore[arg-type]
    assert {"failed": "error", "completed": "ok"}.get(word, word) == only(recorded).outcome


@pytest.mark.parametrize("count", [-1, 1.5, "3", True, None, 2**64])
def test_a_count_that_is_none_is_unknown(recorded: Capture, count: Any) -> None:
    """What is no number of tokens is left out, not made 0."""
    with tachograph.model("m") as call:
        call.usage(input_tokens=count, output_tokens=5)
        call.tool_calls(count)
    assert {names.OUTPUT_TOKENS: 5} == {
        name: value for name, value in only(recorded).attributes.items() if name != names.REQUEST_MODEL
    }


@pytest.mark.parametrize(("says", "prompt"), [({}, 60), ({"input_tokens": 70}, 70)], ids=["silent", "says"])
def test_a_model_call_inside_of_another_is_part_of_it(recorded: Capture, says: dict[str, int], prompt: int) -> None:
    """The outermost call is the one that counts; what it does not say itself those inside fill in, tokens as a sum."""

    @tachograph.model
    def asked() -> str:
        return "answer"

    with tachograph.model("router", provider="openai") as call:
        call.usage(**says)
        with contextlib.suppress(TimeoutError), tachograph.model("first") as first:
            first.usage(input_tokens=10, output_tokens=1)
            raise TimeoutError
        with tachograph.model("second", provider="anthropic") as second, tachograph.model("third") as third:
            third.usage(input_tokens=1, cached_tokens=1)
            second.usage(input_tokens=20, output_tokens=2)
            second.set(hit=True)
            second.outcome("waiting")
        tachograph.record_llm_call("fourth", 30, 3, error="TimeoutError")
        assert "answer" == asked()

    request = recorded.ledger.total().requests[0]
    assert ["model router"] == tree(recorded)
    assert (prompt, 6, True) == (request["prompt_tokens"], request["completion_tokens"], request["success"])
    assert ("openai", 1, True) == tuple(
        only(recorded).attributes[name] for name in (names.PROVIDER_NAME, names.CACHED_TOKENS, f"{names.CUSTOM}hit")
    )


def test_a_block_may_be_entered_at_once_and_again(recorded: Capture) -> None:
    """One block is entered by several threads at once, inside itself, and anew: each time it is a run of its own."""
    block, barrier = tachograph.agent("a"), threading.Barrier(3)

    def work() -> None:
        with block:
            barrier.wait(30)
            with block:
                barrier.wait(30)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with block:
        pass
    assert ["agent a", "  agent a"] * 3 + ["agent a"] == tree(recorded)


def test_async_with_and_tasks(recorded: Capture) -> None:
    """Blocks work in coroutines; those that run at once nest each in its own."""

    async def work(name: str) -> None:
        async with tachograph.agent(name):
            await asyncio.sleep(0)
            async with tachograph.tool(f"{name}'s"):
                await asyncio.sleep(0)

    async def main() -> None:
        async with tachograph.task("t"):
            await asyncio.gather(work("a"), work("b"))

    asyncio.run(main())
    lines = tree(recorded)
    assert "task t" == lines.pop(0)
    assert [["  agent a", "    tool a's"], ["  agent b", "    tool b's"]] == sorted([lines[:2], lines[2:]])


def test_a_block_left_elsewhere_ends_all_the_same(recorded: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """Left in another context than it was entered in, as the halves of a fixture are, the operation ends; counted."""
    block = tachograph.agent("a")
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert "ok" == only(recorded).outcome
    assert 1 == tachograph.stats()["misused"]
    assert ["WARNING"] == [record.levelname for record in caplog.records if "session_misused" in record.getMessage()]


def test_a_block_in_a_stream_that_its_reader_leaves(recorded: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """The event loop ends such a generator in a copy of its reader's context: the block is over, which is one line."""

    async def steps() -> AsyncIterator[int]:
        async with tachograph.agent("a"):
            yield 1
            yield 2

    async def main() -> None:
        async for _ in steps():
            break
        await asyncio.sleep(0.01)

    contextvars.copy_context().run(asyncio.run, main())
    assert "abandoned" == only(recorded).outcome
    (line,) = [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]
    assert "the agent block was left in a copy of the context it was entered in" in line


def test_a_block_left_out_of_order_ends_its_own(recorded: Capture) -> None:
    """What is left while something in it was not is what ends."""
    outer, inner = tachograph.agent("outer"), tachograph.tool("inner")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert ["outer"] == [record.name for record in recorded.ledger.records() if record.end_ns is not None]
    inner.__exit__(None, None, None)


def test_a_thread_takes_its_place_along(recorded: Capture) -> None:
    """A function bound where a run is works in it, in any thread."""

    @tachograph.tool
    def work() -> None:
        pass

    with tachograph.agent("a"):
        thread = threading.Thread(target=tachograph.bind(work))
        thread.start()
        thread.join()
    assert ["agent a", "  tool work"] == tree(recorded)


# -------------------------------------------------------------------------------------------------------- decorators
class Kit:
    """Callables of every shape, each giving or raising what it is told to."""

    @tachograph.tool
    def method(self, given: Any) -> Any:
        """A method."""
        return _play(given)

    @tachograph.tool
    @classmethod
    def of_class(cls, given: Any) -> Any:
        """A class method."""
        assert cls is Kit
        return _play(given)

    @tachograph.tool
    @staticmethod
    def of_nobody(given: Any) -> Any:
        """A static method."""
        return _play(given)

    @classmethod
    @tachograph.tool
    def inside(cls, given: Any) -> Any:
        """A function that becomes a class method."""
        assert cls is Kit
        return _play(given)


def _play(given: Any) -> Any:
    if isinstance(given, BaseException):
        raise given
    return given


@tachograph.tool
def plain(given: Any) -> Any:
    """A function."""
    return _play(given)


@tachograph.tool()
def bracketed(given: Any) -> Any:
    """A function, decorated by a call."""
    return _play(given)


@tachograph.tool("plain")
@tachograph.tool("inner")
def twice(given: Any) -> Any:
    """A function, decorated twice."""
    return _play(given)


@functools.wraps(plain)
def wrapper(given: Any) -> Any:
    """A wrapper."""
    return plain(given)


CALLS: dict[str, Callable[[Any], Any]] = {
    "plain": plain,
    "bracketed": bracketed,
    "twice": twice,
    "wrapped": wrapper,
    "bound": Kit().method,
    "class": Kit.of_class,
    "class of object": Kit().of_class,
    "static": Kit.of_nobody,
    "inside": Kit.inside,
    "partial": tachograph.tool(functools.partial(_play)),
    "built-in": tachograph.tool(_play.__call__),
    "lambda": tachograph.tool(lambda given=None: _play(given)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_decorated_function_gives_what_it_gave(recorded: Capture, name: str) -> None:
    """The result is the same object, the exception is the same object, and each call is an operation."""
    thing, error = object(), LookupError("x")
    assert thing is CALLS[name](thing)
    with pytest.raises(LookupError) as raised:
        CALLS[name](error)
    assert raised.value is error
    assert {"ok", "error"} == {record.outcome for record in operations(recorded)}
    assert Counter("tool" for _ in operations(recorded)) == Counter(record.kind for record in operations(recorded))


def test_a_decorated_function_looks_like_itself() -> None:
    """Name, signature, text, kind and copies are those of the function; it is asked for as it would be."""
    assert ("plain", "A function.", ["given"]) == (
        plain.__name__,
        plain.__doc__,
        list(inspect.signature(plain).parameters),
    )
    assert ["self", "given"] == list(inspect.signature(Kit.method).parameters)
    assert ["given"] == list(inspect.signature(Kit().method).parameters)
    assert inspect.isroutine(plain)
    assert copy.deepcopy(plain) is plain
    assert inspect.iscoroutinefunction(tachograph.model(_coroutine))
    assert inspect.isgeneratorfunction(tachograph.model(_generator))
    assert inspect.isasyncgenfunction(tachograph.model(_async_generator))


async def _coroutine(given: Any) -> Any:
    await asyncio.sleep(0)
    return _play(given)


def _generator(given: Any) -> Generator[Any, Any, Any]:
    received = yield given
    yield received
    return "returned"


async def _async_generator(given: Any) -> AsyncGenerator[Any, Any]:
    received = yield given
    yield received


class Later:
    """An object whose call is a coroutine function."""

    async def __call__(self, given: Any) -> Any:
        """One call."""
        return await _coroutine(given)


@functools.wraps(_coroutine)
def _wrapping(given: Any) -> Any:
    return _coroutine(given)


COROUTINES: dict[str, Any] = {
    "function": tachograph.model(_coroutine),
    "object": tachograph.model(Later()),
    "wrapper": tachograph.model(_wrapping),
    "partial": tachograph.model(functools.partial(_coroutine)),
}


@pytest.mark.parametrize("name", COROUTINES)
def test_a_coroutine_function_is_one_operation_until_it_is_done(recorded: Capture, name: str) -> None:
    """Whatever gives the coroutine, the call lasts until its result is there, and the result is the same object."""
    thing = object()
    given = COROUTINES[name](thing)
    assert types.CoroutineType is type(given)
    assert [] == operations(recorded)
    assert asyncio.run(given) is thing
    error = LookupError("x")
    with pytest.raises(LookupError) as raised:
        asyncio.run(COROUTINES[name](error))
    assert raised.value is error
    assert ["ok", "error"] == [record.outcome for record in operations(recorded)]


def test_a_generator_is_one_operation_until_it_is_worked_off(recorded: Capture) -> None:
    """Values, ``send`` and the value returned pass through; the operation ends with the generator."""
    stream = tachograph.model(_generator)("first")
    assert types.GeneratorType is type(stream)
    assert ["first", "second"] == [next(stream), stream.send("second")]
    assert [] == operations(recorded)
    with pytest.raises(StopIteration) as stopped:
        next(stream)
    assert "returned" == stopped.value.value
    half = tachograph.model(_generator)("first")
    next(half)
    half.close()
    assert ["ok", "abandoned"] == [record.outcome for record in operations(recorded)]


def test_an_async_generator_is_one_operation_until_it_is_worked_off(recorded: Capture) -> None:
    """Values and ``asend`` pass through; the operation ends with the generator."""

    async def main() -> None:
        stream = tachograph.model(_async_generator)("first")
        assert ["first", "second"] == [await stream.__anext__(), await stream.asend("second")]
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()

    asyncio.run(main())
    assert ["ok"] == [record.outcome for record in operations(recorded)]


def test_what_runs_inside_a_decorated_function_is_inside(recorded: Capture) -> None:
    """Decorated functions nest as they call each other, coroutines and generators too."""

    @tachograph.model("m")
    async def ask() -> AsyncIterator[str]:
        yield await look()

    @tachograph.tool
    async def look() -> str:
        return "x"

    @tachograph.agent("a")
    async def run() -> list[str]:
        return [answer async for answer in ask()]

    assert ["x"] == asyncio.run(run())
    assert ["agent a", "  model m", "    tool look"] == tree(recorded)


@pytest.mark.parametrize("thing", [int, Kit, 3, None, object()])
def test_only_functions_are_decorated(recorded: Capture, thing: Any) -> None:
    """A class, or what cannot be called, is refused with the fix."""
    with pytest.raises(TypeError, match="is no function; decorate a function or method"):
        tachograph.tool("t")(thing)


def test_nothing_of_ours_reaches_the_program(quiet: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every function of the recorder failing, all that is decorated, entered and reported goes on as without."""

    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    for name, value in vars(type(quiet.runtime.recorder)).items():
        if inspect.isfunction(value) and not name.startswith("__"):
            monkeypatch.setattr(quiet.runtime.recorder, name, fail, raising=False)
    thing, error = object(), LookupError()
    for name, call in CALLS.items():
        assert call(thing) is thing, name
        with pytest.raises(LookupError) as raised:
            call(error)
        assert raised.value is error
    for call in COROUTINES.values():
        assert asyncio.run(call(thing)) is thing
    assert [1, None] == list(tachograph.model(_generator)(1))
    with tachograph.task("t"), tachograph.agent("a") as run:
        run.usage(input_tokens=1)
        run.set(x=1)
        run.failed("x")
        run.outcome("waiting")
        assert run.id is None
    tachograph.start_task("t")
    tachograph.end_task("t")
    tachograph.switch("b")
    tachograph.record_llm_call("m", 1, 1, 1.0, ended_at=1_700_000_000)
    tachograph.record_agent_execution("a", ended_at=1_700_000_000)
    tachograph.record_tool_usage("t", ended_at=1_700_000_000)
    assert current() is None
    assert quiet.runtime.guard.swallowed()


# ------------------------------------------------------------------------------------------------------ on and off
def test_off_in_the_middle_of_open_work(recorded: Capture) -> None:
    """What is under way ends as it would have; what begins while recording is off is not recorded."""
    block = tachograph.agent("a")
    stream = tachograph.model(_generator)("x")
    with block:
        next(stream)
        tachograph.start_task("t")
        tachograph.disable()
        assert not tachograph.is_enabled()
        with tachograph.tool("unseen"), contextlib.suppress(LookupError):
            plain(LookupError())
        tachograph.record_llm_call("unseen", 1, 1)
        assert tachograph.start_task("unseen").id is None
        list(stream)
        tachograph.end_task("t")
    tachograph.enable()
    with block:
        pass
    assert ["model _generator", "task task", "agent a", "agent a"] == [
        f"{record.kind} {record.name}" for record in operations(recorded)
    ]


def test_a_block_outlives_its_runtime() -> None:
    """A block that is entered in one capture and left in none ends with the capture, and leaves nothing current."""
    block = tachograph.agent("a")
    before = get_current()
    with capture(strict=False) as captured:
        block.__enter__()
    block.__exit__(None, None, None)
    assert get_current() is before
    assert "abandoned" == only(captured).outcome
