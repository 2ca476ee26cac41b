"""Results that are worked off later are the host's again, and what is told of them is true."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import signal
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context, attach, detach, get_current, get_value, set_value

from support.values import named
from tachograph import names, streams
from tachograph.guard import Guard
from tachograph.live import Start
from tachograph.probes import Probe
from tachograph.streams import Stream, streamed, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tachograph.testing import Capture


class Told:
    """What a stream is told, written down."""

    def __init__(
        self, *, strict: bool = True, context: Callable[[], Context] | None = None, through: bool = False
    ) -> None:
        self.items: list[Any] = []
        self.ends: list[Any] = []
        self.guard = Guard(strict=strict)
        self.stream = Stream(
            self.guard,
            context=context,
            item=self.items.append,
            through=through,
            over=lambda error, value: self.ends.append((type(error).__name__ if error else None, value)),
        )

    def of(self, result: Any) -> Any:
        """The result, driven."""
        return streamed(result, self.stream)


# -------------------------------------------------------------------------------------------- law: the same stream
class _Interpreter:
    """A host generator that does what a program says, step by step: (what, how it takes what is thrown into it)."""

    def __init__(self, program: list[tuple[str, str]]) -> None:
        self.program = program
        self.heard: list[Any] = []
        self.told_to_leave = False

    def _enough(self, error: BaseException) -> bool:
        """Told to leave a second time, even the most stubborn goes; else the garbage collector would complain."""
        twice = self.told_to_leave and isinstance(error, GeneratorExit)
        self.told_to_leave |= isinstance(error, GeneratorExit)
        return twice

    def plain(self) -> Any:
        for number, (what, manner) in enumerate(self.program):
            if what == "raise":
                raise LookupError(number)
            if what == "return":
                return number
            try:
                self.heard.append((yield number))
            except BaseException as error:
                self.heard.append(_looks(error))
                if manner == "pass on" or self._enough(error):
                    raise
                if manner == "replace":
                    raise OSError(number) from error
                if manner == "leave":
                    return f"left at {number}"
                if manner == "answer":
                    self.heard.append((yield f"answer {number}"))
            finally:
                self.heard.append(f"past {number}")
        return "end"

    async def awaiting(self) -> Any:
        for number, (what, manner) in enumerate(self.program):
            self.heard.append(await _pause(number))
            if what == "raise":
                raise LookupError(number)
            if what == "return":
                return
            try:
                self.heard.append((yield number))
            except BaseException as error:
                self.heard.append(_looks(error))
                if self._enough(error):
                    raise
                await _pause(number)
                if manner == "pass on":
                    raise
                if manner == "replace":
                    raise OSError(number) from error
                if manner == "leave":
                    return
                if manner == "answer":
                    self.heard.append((yield f"answer {number}"))
            finally:
                self.heard.append(f"past {number}")


@types.coroutine
def _pause(value: Any) -> Any:
    return (yield value)


def _looks(error: BaseException | None, depth: int = 0) -> Any:
    if error is None or depth > 5:
        return None
    return (
        type(error).__name__,
        str(error),
        _looks(error.__cause__, depth + 1),
        _looks(error.__context__, depth + 1),
    )


def _driven_by_hand(awaitable: Any) -> Any:
    """What an event loop does with an awaitable: everything that it passes up, and its result."""
    passed = []
    steps = awaitable.__await__()
    value = None
    while True:
        try:
            passed.append(steps.send(value))
        except StopIteration as stop:
            return passed, stop.value
        value = f"woken {len(passed)}"


PROGRAMS = st.lists(
    st.tuples(
        st.sampled_from(["yield", "yield", "yield", "raise", "return"]),
        st.sampled_from(["pass on", "replace", "leave", "answer", "swallow"]),
    ),
    max_size=6,
)
SCRIPTS = st.lists(st.sampled_from(["next", "send", "throw", "leave", "close"]), max_size=8)


def _played(stream: Any, script: list[str], host: _Interpreter, *, by_hand: bool) -> list[Any]:
    seen: list[Any] = []
    actions: dict[str, Callable[[], Any]] = {
        "next": stream.__anext__ if by_hand else stream.__next__,
        "send": lambda: (stream.asend if by_hand else stream.send)("sent"),
        "throw": lambda: (stream.athrow if by_hand else stream.throw)(ValueError("thrown")),
        "leave": lambda: (stream.athrow if by_hand else stream.throw)(GeneratorExit("leave")),
        "close": stream.aclose if by_hand else stream.close,
    }
    for action in script:
        try:
            seen.append(_driven_by_hand(actions[action]()) if by_hand else actions[action]())
        except BaseException as error:  # noqa: BLE001, PERF203 - whatever it is, it is written down
            seen.append(_looks(error))
    seen.append(list(host.heard))
    return seen


def _begun(script: list[str]) -> int:
    """1 where the script begins with the stream: what is sent too early does not, and what ends it before it began."""
    return int(next((action for action in script if action != "send"), None) == "next")


def _let_go(close: Callable[[], Any]) -> None:
    """Close a stream that may refuse to go, before the garbage collector complains that it did."""
    while True:
        try:
            close()
        except (LookupError, OSError, RuntimeError):
            continue
        except StopAsyncIteration:  # of one that refused once: it is asked no second time
            pass
        return


@settings(max_examples=300)
@given(program=PROGRAMS, script=SCRIPTS)
def test_a_driven_generator_is_the_generator(program: list[tuple[str, str]], script: list[str]) -> None:
    """Whatever a generator does and whatever is done to it, both sides see the same with a driver between them."""
    plain, driven, told = _Interpreter(program), _Interpreter(program), Told()
    without = plain.plain()
    with_driver = told.of(driven.plain())

    assert _played(without, script, plain, by_hand=False) == _played(with_driver, script, driven, by_hand=False)
    assert inspect.getgeneratorstate(without) == inspect.getgeneratorstate(with_driver)
    for stream in (without, with_driver):
        _let_go(stream.close)
    assert _begun(script) == len(told.ends)


@settings(max_examples=300)
@given(program=PROGRAMS, script=SCRIPTS)
def test_a_driven_async_generator_is_the_async_generator(program: list[tuple[str, str]], script: list[str]) -> None:
    """The same for async generators, with all that they pass up to the event loop and get back from it."""
    plain, driven, told = _Interpreter(program), _Interpreter(program), Told()
    without = plain.awaiting()
    with_driver = told.of(driven.awaiting())

    assert _played(without, script, plain, by_hand=True) == _played(with_driver, script, driven, by_hand=True)
    for stream in (without, with_driver):
        _let_go(lambda stream=stream: _driven_by_hand(stream.aclose()))
    assert _begun(script) == len(told.ends)


# --------------------------------------------------------------------------------------------------- what is told
def test_a_generators_items_and_end_are_told() -> None:
    """Each item is told in its turn, and the end once, with the value returned."""

    def host() -> Any:
        yield 1
        yield 2
        return "returned"

    told = Told()

    assert [1, 2] == list(told.of(host()))
    assert [1, 2] == told.items
    assert [(None, "returned")] == told.ends


def test_an_iterators_items_and_end_are_told() -> None:
    """The same for an iterator that is no generator, whichever way it is iterated; in the end it is told of itself."""

    class Two:
        def __iter__(self) -> Iterator[int]:
            yield from (1, 2)

        def __next__(self) -> int:
            raise AssertionError("never asked for")

    two = Two()
    for made, known in ((iter([1, 2]), None), (two, two)):  # the former cannot be held weakly
        told = Told()

        assert [1, 2] == list(told.of(made))
        gc.collect()
        assert [1, 2] == told.items
        assert [(None, known)] == told.ends


def test_an_async_generators_items_are_told_and_its_waiting_is_not() -> None:
    """What an async generator yields is told; the futures it awaits on the way are the event loop's."""

    async def host() -> AsyncIterator[int]:
        await asyncio.sleep(0.001)
        yield 1
        await asyncio.sleep(0)

    async def main() -> list[int]:
        return [item async for item in told.of(host())]

    told = Told()

    assert [1] == asyncio.run(main())
    assert [1] == told.items
    assert [(None, None)] == told.ends


def test_a_coroutines_end_is_told_and_its_waiting_is_not() -> None:
    """A coroutine has no items: its one end is told, with its result or its exception."""

    async def host(error: Exception | None = None) -> str:
        await asyncio.sleep(0.001)
        if error is not None:
            raise error
        return "result"

    told, failed = Told(), Told()

    assert "result" == asyncio.run(told.of(host()))
    with pytest.raises(ValueError, match="no"):
        asyncio.run(failed.of(host(ValueError("no"))))
    assert ([], [(None, "result")]) == (told.items, told.ends)
    assert ([], [("ValueError", None)]) == (failed.items, failed.ends)


class _Letters:
    """An asynchronous iterator."""

    def __init__(self) -> None:
        self._left = iter("ab")

    def __aiter__(self) -> _Letters:
        return self

    async def __anext__(self) -> str:
        await asyncio.sleep(0)
        for letter in self._left:
            return letter
        raise StopAsyncIteration


async def _async_letters() -> AsyncIterator[str]:
    for letter in "ab":
        await asyncio.sleep(0)
        yield letter


def _letters() -> Any:
    yield from "ab"
    return "returned"


@types.coroutine
def _of_old(result: Any) -> Any:
    yield from asyncio.sleep(0).__await__()
    return result


async def _later(result: Any) -> Any:
    await asyncio.sleep(0)
    return result


def test_an_iterator_of_both_kinds_is_told_as_it_is_asked() -> None:
    """Asked with or without waiting, each item is told, and the end once; one that is closed was abandoned."""

    class Both(_Letters):
        def __iter__(self) -> Both:
            return self

        def __next__(self) -> str:
            return next(self._left)

        def close(self) -> None:
            pass

    async def main(chunks: Any) -> list[str]:
        return [item async for item in chunks]

    plainly, awaited, closed = Told(), Told(), Told()

    both = Both(), Both()

    assert ["a", "b"] == list(plainly.of(both[0])) == asyncio.run(main(awaited.of(both[1])))
    assert ["a", "b"] == plainly.items == awaited.items
    assert [(None, each) for each in both] == [*plainly.ends, *awaited.ends]
    closed.of(Both()).close()
    assert [("GeneratorExit", None)] == closed.ends


@pytest.mark.parametrize("coroutine", [_later, _of_old])
@pytest.mark.parametrize("make", [_Letters, _async_letters, _letters, lambda: iter("ab")], ids=named)
def test_what_a_coroutine_gives_is_part_of_it(make: Any, coroutine: Any) -> None:
    """Where it is looked through, a coroutine is over when what it gave is, whose items are told; else with itself."""

    async def main(told: Told) -> list[Any]:
        given = await told.of(coroutine(made))
        ends = list(told.ends)
        items = list(given) if hasattr(given, "__next__") else [item async for item in given]
        return [given is made, type(given) is type(made), ends, items, told.items]

    made = make()
    whole, through = Told(), Told(through=True)
    generates = type(made) in (types.GeneratorType, types.AsyncGeneratorType)

    assert [True, True, [(None, made)], ["a", "b"], []] == asyncio.run(main(whole))
    made = make()
    assert [False, generates, [], ["a", "b"], ["a", "b"]] == asyncio.run(main(through))
    assert [(None, "returned" if make is _letters else made if make is _Letters else None)] == through.ends


@pytest.mark.parametrize("coroutine", [_later, _of_old])
def test_a_coroutine_that_gives_no_stream_ends_with_itself(coroutine: Any) -> None:
    """Looked through or not, a value is a coroutine's result, and one that is closed was abandoned."""
    told, closed = Told(through=True), Told(through=True)
    begun: Any = closed.of(coroutine("text"))
    begun.send(None)
    begun.close()

    async def main() -> Any:
        return await told.of(coroutine("text"))

    assert "text" == asyncio.run(main())
    assert ([(None, "text")], [("GeneratorExit", None)]) == (told.ends, closed.ends)


@pytest.mark.parametrize("result", [None, 1, "text", [1], (1,), {"a": 1}, range(2), object(), lambda: None], ids=named)
def test_what_is_not_worked_off_later_has_no_driver(result: Any) -> None:
    """Values, and things that can be iterated any number of times, are not streams."""
    told = Told()

    assert told.of(result) is None
    assert [] == told.ends


def test_the_event_loop_sees_one_async_generator() -> None:
    """A loop closes the async generators it knows of; the host's own, inside the driver, is not among them."""

    async def host() -> AsyncIterator[int]:
        yield 1

    async def main() -> list[Any]:
        seen: list[Any] = []
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(seen.append, hooks.finalizer)
        async for _ in (driver := Told().of(host())):
            pass
        assert (seen.append, hooks.finalizer) == tuple(sys.get_asyncgen_hooks())
        sys.set_asyncgen_hooks(*hooks)
        return [stream is driver for stream in seen]

    assert [True] == asyncio.run(main())


def test_a_broken_observer_is_no_broken_stream() -> None:
    """Where whatever is told raises, the stream goes on and ends as it would."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("ours")

    def host() -> Any:
        yield 1
        yield 2
        return 3

    guard = Guard()
    stream = Stream(guard, context=broken, item=broken, over=broken)
    seen: list[Any] = []

    def consumer() -> Any:
        seen.append((yield from streamed(host(), stream)))

    assert [1, 2] == list(consumer())
    assert [3] == seen
    # a context once for one consumer, two items, one end
    assert 4 == sum(guard.swallowed().values())


def test_what_is_skipped_is_not_looked_at() -> None:
    """Once a stream is under way, an item worth skipping is not told of; where that is not to be found out, it is."""

    def host() -> Any:
        yield from ["first", "odd", "word", None, "word", 0]

    told: list[Any] = []
    stream = Stream(Guard(), item=told.append, skip=lambda item: len(item) > 3)

    assert ["first", "odd", "word", None, "word", 0] == list(streamed(host(), stream))
    assert ["first", "odd", None, 0] == told


def test_what_interrupts_a_look_at_an_item_is_the_hosts() -> None:
    """What a signal handler of the program raises while we look whether an item is worth it ends its stream."""

    def out_of_time(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGTERM, out_of_time)
    try:
        stream = Stream(Guard(), skip=lambda _: signal.raise_signal(signal.SIGTERM), item=lambda _: None)
        with pytest.raises(TimeoutError):
            list(streamed((number for number in range(3)), stream))
    finally:
        signal.signal(signal.SIGTERM, before)


# ----------------------------------------------------------------------------------------------------- the time
class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def perf_counter(self) -> float:
        """Seconds."""
        return self.now

    def pass_seconds(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that streams measure their own time with."""
    clock = Clock()
    monkeypatch.setattr(streams, "time", clock)
    return clock


def _figures(captured: Capture) -> tuple[Any, Any]:
    (span,) = captured.spans
    attributes = span.attributes or {}
    return attributes.get(names.ACTIVE_SECONDS), attributes.get(names.TIME_TO_FIRST_CHUNK)


def _install(captured: Capture, owner: Any, attribute: str, kind: Any = "model") -> None:
    captured.runtime.hooks.install(Probe(owner, attribute, began=lambda _: Start(kind, "m", deferred=True)))


@pytest.mark.parametrize("kind", ["model", "agent"])
def test_a_streams_time_leaves_out_its_consumers(captured: Capture, clock: Clock, kind: str) -> None:
    """Time between two items is the consumer's; a model's wait for the first item is kept by itself."""

    class Host:
        def stream(self) -> Iterator[int]:
            clock.pass_seconds(3)
            yield 1
            clock.pass_seconds(4)
            yield 2
            clock.pass_seconds(5)

        def iterate(self) -> Iterator[int]:
            def each() -> int:
                clock.pass_seconds(12 if len(asked) else 3)
                asked.append(1)
                return len(asked)

            asked: list[int] = []
            return iter(each, 2)

    for n, attribute in enumerate(("stream", "iterate")):
        _install(captured, Host, attribute, kind)
        stream = getattr(Host(), attribute)()
        clock.pass_seconds(100)
        for _ in stream:
            clock.pass_seconds(1000)

        assert (15.0 if n else 12.0, 3.0 if kind == "model" else None) == _figures(captured)
        captured.span_exporter.clear()


def test_waiting_is_work_of_what_waits(captured: Capture, clock: Clock) -> None:
    """A coroutine's or async generator's time includes what it awaits: a model's answer is waited for."""

    class Host:
        async def run(self) -> None:
            clock.pass_seconds(1)
            await elsewhere()
            clock.pass_seconds(2)

        async def stream(self) -> AsyncIterator[int]:
            await elsewhere()
            yield 1
            clock.pass_seconds(2)
            await elsewhere()

    async def elsewhere() -> None:
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(clock.pass_seconds, 10)
        for _ in range(3):
            await asyncio.sleep(0)

    async def consume() -> None:
        async for _ in Host().stream():
            clock.pass_seconds(1000)

    _install(captured, Host, "run")
    asyncio.run(Host().run())
    assert (13.0, None) == _figures(captured)
    captured.span_exporter.clear()

    _install(captured, Host, "stream")
    asyncio.run(consume())
    assert (22.0, 10.0) == _figures(captured)


def test_a_stream_nobody_began_took_no_time(captured: Capture, clock: Clock) -> None:
    """A stream that is dropped unread has worked for no time, however long it lay there."""

    class Host:
        def stream(self) -> Iterator[int]:
            yield 1

    _install(captured, Host, "stream")
    stream = Host().stream()
    clock.pass_seconds(100)
    del stream

    assert (0.0, None) == _figures(captured)


# ------------------------------------------------------------------------------------------------- within a context
def _gear() -> Any:
    return get_value("gear")


class Shapes:
    """Callables of each kind that give what they see."""

    def plain(self, more: int = 1) -> Any:
        """Plain."""
        return [_gear()] * more

    def generator(self, more: int = 1) -> Any:
        """Stream."""
        for _ in range(more):
            yield _gear()

    async def coroutine(self, more: int = 1) -> Any:
        """Await."""
        await asyncio.sleep(0)
        return [_gear()] * more

    async def async_generator(self, more: int = 1) -> Any:
        """Stream and await."""
        for _ in range(more):
            await asyncio.sleep(0)
            yield _gear()


def _worked_off(result: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [item async for item in result]

    if inspect.iscoroutine(result):
        return asyncio.run(result)
    return asyncio.run(collect()) if hasattr(result, "__anext__") else list(result)


KINDS = ("plain", "generator", "coroutine", "async_generator")


@pytest.mark.parametrize("kind", KINDS)
def test_within_a_context(kind: str) -> None:
    """A bound callable of any kind runs in the context that is given at its call, and keeps its looks."""
    gears = iter(("first", "second"))
    method = getattr(Shapes(), kind)
    bound = within(method, lambda: set_value("gear", next(gears)), Guard(strict=True))
    before = get_current()

    assert ["first"] == _worked_off(bound())
    assert ["second", "second"] == _worked_off(bound(more=2))
    assert before is get_current()
    assert (method.__name__, method.__doc__) == (bound.__name__, bound.__doc__)
    assert str(inspect.signature(method)) == str(inspect.signature(bound))
    for test in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert test(method) == test(bound)


@pytest.mark.parametrize("wrap", [staticmethod, classmethod, lambda function: function], ids=["static", "class", "own"])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_within_a_context_as_a_decorator_in_a_class(wrap: Any, kind: str, *, inside: bool) -> None:
    """In a class body it may stand above or below ``@staticmethod`` and ``@classmethod``, for every kind."""

    def decorate(function: Any) -> Any:
        return within(function, lambda: set_value("gear", "first"), Guard(strict=True))

    plain = _without_self(kind) if wrap is staticmethod else vars(Shapes)[kind]
    host = type("Host", (), {"work": wrap(decorate(plain)) if inside else decorate(wrap(plain))})

    assert ["first", "first"] == _worked_off(host().work(more=2))


def _without_self(kind: str) -> Any:
    """One of the shapes as a function of no instance."""
    shape = vars(Shapes)[kind]
    body = types.FunctionType(shape.__code__, shape.__globals__, kind, (1,), shape.__closure__)
    return functools.update_wrapper(functools.partial(body, None), body)


def test_a_consumer_never_sees_the_context_of_a_bound_generator() -> None:
    """Between two items the consumer is where it was, even where it changes its own context meanwhile."""
    stream = within(Shapes().generator, lambda: set_value("gear", "inside"), Guard(strict=True))(more=3)
    seen = []
    for item in stream:
        seen.append((item, _gear()))
        token = attach(set_value("gear", "outside"))
        seen.append((next(stream, None), _gear()))
        detach(token)

    assert [("inside", None), ("inside", "outside"), ("inside", None), (None, "outside")] == seen


def test_a_context_that_cannot_be_had_is_done_without() -> None:
    """Where our context fails the host's callable runs all the same."""

    def broken() -> Context:
        raise ZeroDivisionError("ours")

    guard = Guard()

    assert [None] == within(Shapes().plain, broken, guard)()
    assert [1] == list(guard.swallowed().values())


def test_a_bound_callables_exception_is_its_own() -> None:
    """What a bound callable raises passes, and the context is put back."""

    def fail() -> None:
        raise failure

    failure = ValueError("no")
    before = get_current()
    with pytest.raises(ValueError, match="no") as raised:
        within(fail, lambda: set_value("gear", "x"), Guard(strict=True))()

    assert failure is raised.value
    assert before is get_current()
