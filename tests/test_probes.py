"""What a probe is put on cannot be told from what it was, and what is put on can be taken off."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import functools
import gc
import importlib
import inspect
import logging
import pickle
import sys
import threading
import weakref
from collections import Counter
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.context import attach, detach, get_current, get_value, set_value

from support import hosts
from tachograph import runtime
from tachograph.context import current
from tachograph.drive import Watch
from tachograph.live import Start
from tachograph.probes import Call, Carry, Glance, Note, Probe, descendants, when_imported
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tachograph.testing import Capture


def begin(call: Call) -> Start:
    """Begin an operation that ends when the result has been worked off."""
    return Start("tool", "probed", deferred=True)


def nothing(*_: Any) -> None:
    """Find out nothing."""


@pytest.fixture(autouse=True)
def _silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry's context is never misused, whatever a test does."""
    caplog.set_level(logging.DEBUG)
    yield
    assert [] == [record for record in caplog.records if record.name == "opentelemetry.context"]


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """Many tests collect garbage: what was there before them need not be looked through each time."""
    gc.freeze()
    yield
    gc.unfreeze()


# ------------------------------------------------------------------------------------------- not to be told apart
PROBINGS: dict[str, Callable[[Any, str], Probe | Glance]] = {
    "operation": lambda owner, attribute: Probe(owner, attribute, began=begin, ended=lambda _: {}, item=nothing),
    "agent": lambda owner, attribute: Probe(
        owner, attribute, began=lambda _: Start("agent", "probed", deferred=True), ended=nothing
    ),
    "through": lambda owner, attribute: Probe(
        owner, attribute, began=begin, ended=lambda _: {}, item=nothing, through=True
    ),
    "note": lambda owner, attribute: Probe(owner, attribute, began=lambda _: Note(object()), ended=nothing),
    "facts only": lambda owner, attribute: Probe(owner, attribute, ended=nothing, item=nothing),
    "nothing": lambda owner, attribute: Probe(owner, attribute, began=nothing, ended=nothing, item=nothing),
    "glance": lambda owner, attribute: Glance(owner, attribute, nothing),
    "glance that watches": lambda owner, attribute: Glance(owner, attribute, lambda *_: Watch()),
}


@pytest.mark.parametrize("shape", hosts.SHAPES)
@pytest.mark.parametrize("probing", PROBINGS)
def test_a_probed_program_sees_what_it_saw_unprobed(captured: Capture, shape: str, probing: str) -> None:
    """Results, exceptions, their identity and looks, and every call of the host are the same with a probe on it."""
    plain = hosts.play(shape)
    probed = hosts.play(
        shape, lambda owner, attribute: captured.runtime.hooks.install(PROBINGS[probing](owner, attribute))
    )
    gc.collect()

    assert plain == probed
    assert {} == captured.runtime.guard.swallowed()
    assert [] == captured.ledger.open_operations()


@pytest.mark.parametrize("shape", hosts.SHAPES)
def test_each_call_is_one_operation(captured: Capture, shape: str) -> None:
    """Every call of a probed callable begins one operation and ends it once, whatever becomes of its result."""
    begun: list[Call] = []
    ended: list[Call] = []

    def install(owner: Any, attribute: str) -> None:
        captured.runtime.hooks.install(
            Probe(owner, attribute, began=lambda call: begun.append(call) or begin(call), ended=ended.append)
        )

    hosts.play(shape, install)
    gc.collect()

    assert begun
    assert sorted(map(id, begun)) == sorted(map(id, ended))
    assert len(begun) == len(captured.spans) == captured.ledger.stats()["records"]


FAULTS = ("began", "ended", "item")


@pytest.mark.parametrize("shape", hosts.SHAPES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_ours_stays_ours(shape: str, fault: str) -> None:
    """A fact-function that raises changes nothing for the host."""

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("ours")

    def install(owner: Any, attribute: str) -> None:
        facts: dict[str, Any] = {"began": begin, "ended": nothing, "item": nothing, fault: broken}
        captured.runtime.hooks.install(Probe(owner, attribute, **facts))

    plain = hosts.play(shape)
    with capture(strict=False) as captured:
        probed = hosts.play(shape, install)
        gc.collect()

        assert plain == probed
        assert [] == captured.ledger.open_operations()
        if fault != "item":
            assert {f"{test_a_fault_of_ours_stays_ours.__name__}.<locals>.broken"} == set(
                captured.runtime.guard.swallowed()
            )


@pytest.mark.parametrize(("fault", "count"), [("began", 1), ("ended", 1), ("item", 3)])
def test_a_fault_of_ours_is_counted(fault: str, count: int) -> None:
    """Each failure of a fact-function is counted at its site, and costs no more than the facts it was to give."""

    class Engine:
        def stream(self) -> Iterator[int]:
            yield from range(3)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("ours")

    with capture(strict=False) as captured:
        facts: dict[str, Any] = {"began": begin, "ended": nothing, "item": nothing, fault: broken}
        captured.runtime.hooks.install(Probe(Engine, "stream", **facts))

        assert [0, 1, 2] == list(Engine().stream())
        assert [count] == list(captured.runtime.guard.swallowed().values())
        assert (0 if fault == "began" else 1) == captured.ledger.stats()["records"]


def test_nothing_of_ours_stays_in_a_failure(captured: Capture) -> None:
    """An exception that passed through is freed with its last reference, and with it the host's frames."""

    class Local:
        pass

    class Engine:
        def run(self) -> None:
            local = Local()
            freed.append(weakref.ref(local))
            raise ValueError("no")

        def stream(self) -> Iterator[int]:
            local = Local()
            freed.append(weakref.ref(local))
            yield 1

    for attribute in ("run", "stream"):
        captured.runtime.hooks.install(Probe(Engine, attribute, began=begin, ended=nothing))
    freed: list[weakref.ref[Local]] = []
    gc.disable()
    try:
        with pytest.raises(ValueError, match="no") as raised:
            Engine().run()
        del raised
        stream = Engine().stream()
        next(stream)
        with pytest.raises(OSError, match="in") as raised:
            stream.throw(OSError("in"))
        del raised, stream

        assert [None, None] == [reference() for reference in freed]
    finally:
        gc.enable()


# ------------------------------------------------------------------------------------------------------ the end
class Engine:
    """A host of every kind whose work is its own inside, told what to do."""

    def run(self, error: BaseException | None = None) -> str:
        if error is not None:
            raise error
        return "done"

    def stream(self, error: BaseException | None = None) -> Iterator[int]:
        yield 1
        if error is not None:
            raise error
        yield 2

    async def arun(self, error: BaseException | None = None, wait: asyncio.Event | None = None) -> str:
        await asyncio.sleep(0)
        if wait is not None:
            await wait.wait()
        if error is not None:
            raise error
        return "done"

    def returning(self) -> Iterator[int]:
        with contextlib.suppress(GeneratorExit):
            yield 1

    def staying(self) -> Iterator[int]:
        try:
            yield 1
        finally:
            yield 2

    async def astream(self, error: BaseException | None = None) -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield 1
        if error is not None:
            raise error
        yield 2

    async def areturning(self) -> AsyncIterator[int]:
        with contextlib.suppress(GeneratorExit):
            yield 1

    def iterate(self) -> Chunks:
        return Chunks()

    def giving(self) -> Chunks:
        return GivingChunks()

    def agiving(self) -> AsyncChunks:
        return GivingAsyncChunks(None)

    def aiterate(self, error: Exception | None = None) -> AsyncChunks:
        return AsyncChunks(error)

    async def asked(self, error: Exception | None = None) -> AsyncChunks:
        await asyncio.sleep(0)
        return AsyncChunks(error)


class AsyncChunks:
    """An asynchronous iterator that is no generator."""

    def __init__(self, error: Exception | None) -> None:
        self.left, self.error = iter((1, 2)), error

    def __aiter__(self) -> AsyncChunks:
        return self

    async def __anext__(self) -> int:
        await asyncio.sleep(0)
        for item in self.left:
            return item
        raise self.error or StopAsyncIteration

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.left = iter(())


class Chunks:
    """An iterator that is no generator."""

    def __init__(self) -> None:
        self.left = iter((1, 2))

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> int:
        return next(self.left)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.left = iter(())


HELD: list[Any] = []
"""What is over before it is dropped."""


class GivingChunks(Chunks):
    """One that is iterated by another iterator."""

    def __iter__(self) -> Any:
        yield from self.left


class GivingAsyncChunks(AsyncChunks):
    """Likewise."""

    async def __aiter__(self) -> Any:
        for item in self.left:
            yield item


ENDS: dict[str, tuple[str, Callable[[Engine], Any]]] = {}


def _ends(outcome: str) -> Callable[[Callable[[Engine], Any]], None]:
    def add(way: Callable[[Engine], Any]) -> None:
        ENDS[way.__name__.strip("_").replace("_", " ")] = (outcome, way)

    return add


@_ends("ok")
def _call_that_returns(engine: Engine) -> None:
    engine.run()


@_ends("error")
def _call_that_raises(engine: Engine) -> None:
    with pytest.raises(OSError, match="no"):
        engine.run(OSError("no"))


@_ends("interrupted")
def _call_that_is_interrupted(engine: Engine) -> None:
    with pytest.raises(KeyboardInterrupt):
        engine.run(KeyboardInterrupt())


@_ends("ok")
def _generator_read_to_the_end(engine: Engine) -> None:
    list(engine.stream())


@_ends("abandoned")
def _generator_left_by_break(engine: Engine) -> None:
    for _ in engine.stream():
        break


@_ends("abandoned")
def _generator_closed(engine: Engine) -> None:
    stream = engine.stream()
    next(stream)
    stream.close()
    stream.close()
    list(stream)


@_ends("abandoned")
def _generator_that_returns_when_closed(engine: Engine) -> None:
    stream = engine.returning()
    next(stream)
    stream.close()


@_ends("abandoned")
def _generator_that_stays_when_closed(engine: Engine) -> None:
    stream = engine.staying()
    next(stream)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        stream.close()
    assert [] == runtime.current().recorder.open("tool")
    with pytest.raises(GeneratorExit):
        next(stream)


@_ends("error")
def _generator_that_raises(engine: Engine) -> None:
    with pytest.raises(OSError, match="no"):
        list(engine.stream(OSError("no")))


@_ends("error")
def _generator_thrown_into(engine: Engine) -> None:
    stream = engine.stream()
    next(stream)
    with pytest.raises(OSError, match="in"):
        stream.throw(OSError("in"))


@_ends("abandoned")
def _generator_never_begun(engine: Engine) -> None:
    engine.stream()


@_ends("abandoned")
def _generator_closed_before_it_began(engine: Engine) -> None:
    engine.stream().close()


@_ends("abandoned")
def _generator_dropped(engine: Engine) -> None:
    stream = engine.stream()
    next(stream)
    del stream


@_ends("abandoned")
def _generator_closed_in_another_thread(engine: Engine) -> None:
    stream = engine.stream()
    next(stream)
    _in_a_thread(stream.close)


@_ends("abandoned")
def _generator_dropped_in_another_thread(engine: Engine) -> None:
    streams = [engine.stream()]
    next(streams[0])
    _in_a_thread(streams.clear)


@_ends("ok")
def _generator_finished_in_another_thread(engine: Engine) -> None:
    stream = engine.stream()
    next(stream)
    _in_a_thread(lambda: list(stream))


@_ends("abandoned")
def _generator_closed_in_another_task(engine: Engine) -> None:
    async def main() -> None:
        stream = engine.stream()

        async def begin_with_it() -> None:
            next(stream)

        async def close_it() -> None:
            stream.close()

        await asyncio.create_task(begin_with_it())
        await asyncio.create_task(close_it())

    asyncio.run(main())


@_ends("abandoned")
def _generator_collected_in_a_cycle(engine: Engine) -> None:
    cycle: list[Any] = [engine.stream()]
    next(cycle[0])
    cycle.append(cycle)


@_ends("ok")
def _program_that_ends_here(engine: Engine) -> None:
    with pytest.raises(SystemExit):
        engine.run(SystemExit(0))


@_ends("error")
def _program_that_gives_up(engine: Engine) -> None:
    with pytest.raises(SystemExit):
        engine.run(SystemExit("no"))


@_ends("abandoned")
def _generator_never_begun_in_a_cycle(engine: Engine) -> None:
    cycle: list[Any] = [engine.stream()]
    cycle.append(cycle)


@_ends("ok")
def _iterator_read_to_the_end(engine: Engine) -> None:
    list(engine.iterate())


@_ends("ok")
def _iterator_read_within_its_own_block(engine: Engine) -> None:
    with engine.iterate() as chunks:
        list(chunks)


@_ends("abandoned")
def _iterator_left_by_its_own_block(engine: Engine) -> None:
    with engine.iterate() as chunks:
        next(chunks)
    HELD[:] = [chunks]


@_ends("abandoned")
def _iterator_of_another_left_by_its_own_block(engine: Engine) -> None:
    with engine.giving() as chunks:
        items = iter(chunks)
        next(items)
    HELD[:] = [chunks, items]


@_ends("abandoned")
def _async_iterator_of_another_left_by_its_own_block(engine: Engine) -> None:
    async def main() -> None:
        async with engine.agiving() as chunks:
            items = chunks.__aiter__()
            await items.__anext__()
        HELD[:] = [chunks, items]

    asyncio.run(main())


@_ends("abandoned")
def _iterator_closed(engine: Engine) -> None:
    chunks = engine.iterate()
    next(chunks)
    chunks.close()


@_ends("abandoned")
def _iterator_dropped(engine: Engine) -> None:
    next(engine.iterate())


@_ends("abandoned")
def _iterator_never_begun_in_a_cycle(engine: Engine) -> None:
    cycle: list[Any] = [engine.iterate()]
    cycle.append(cycle)


def _ends_given_either_way(outcome: str) -> Callable[[Callable[[Callable[..., Any]], Any]], None]:
    """Of an asynchronous iterator that is given at once, and one that a coroutine gives."""

    def add(way: Callable[[Callable[..., Any]], Any]) -> None:
        async def at_once(engine: Engine) -> Any:
            async def ask(*arguments: Any) -> Any:
                return engine.aiterate(*arguments)

            await way(ask)

        async def awaited(engine: Engine) -> Any:
            await way(engine.asked)

        name = way.__name__.strip("_").replace("_", " ")
        ENDS[f"{name}, at once"] = (outcome, lambda engine: asyncio.run(at_once(engine)))
        ENDS[f"{name}, awaited"] = (outcome, lambda engine: asyncio.run(awaited(engine)))

    return add


@_ends_given_either_way("abandoned")
async def _async_iterator_left_by_its_own_block(ask: Callable[..., Any]) -> None:
    async with await ask() as chunks:
        await chunks.__anext__()
    HELD[:] = [chunks]


@_ends_given_either_way("ok")
async def _async_iterator_read_to_the_end(ask: Callable[..., Any]) -> None:
    assert [1, 2] == [item async for item in await ask()]


@_ends_given_either_way("ok")
async def _async_iterator_read_within_its_own_block(ask: Callable[..., Any]) -> None:
    async with await ask() as chunks:
        assert [1, 2] == [item async for item in chunks]


@_ends_given_either_way("error")
async def _async_iterator_that_raises(ask: Callable[..., Any]) -> None:
    with pytest.raises(OSError, match="no"):
        [item async for item in await ask(OSError("no"))]


@_ends_given_either_way("abandoned")
async def _async_iterator_closed(ask: Callable[..., Any]) -> None:
    chunks = await ask()
    await chunks.__anext__()
    await chunks.close()


@_ends_given_either_way("abandoned")
async def _async_iterator_left(ask: Callable[..., Any]) -> None:
    async for _ in await ask():
        break


@_ends_given_either_way("abandoned")
async def _async_iterator_never_begun(ask: Callable[..., Any]) -> None:
    await ask()


@_ends_given_either_way("interrupted")
async def _async_iterator_cancelled(ask: Callable[..., Any]) -> None:
    task = asyncio.create_task((await ask()).__anext__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@_ends("ok")
def _coroutine_awaited(engine: Engine) -> None:
    assert "done" == asyncio.run(engine.arun())


@_ends("error")
def _coroutine_that_raises(engine: Engine) -> None:
    with pytest.raises(OSError, match="no"):
        asyncio.run(engine.arun(OSError("no")))


@_ends("interrupted")
def _coroutine_cancelled(engine: Engine) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(engine.arun(wait=asyncio.Event()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


@_ends("abandoned")
def _coroutine_closed(engine: Engine) -> None:
    coroutine: Any = engine.arun()
    coroutine.send(None)
    coroutine.close()


@_ends("abandoned")
def _coroutine_never_awaited(engine: Engine) -> None:
    with pytest.warns(RuntimeWarning, match="never awaited") as warned:
        _let_go(engine.arun())

    assert 1 == len(warned)


@_ends("ok")
def _async_generator_read_to_the_end(engine: Engine) -> None:
    async def main() -> None:
        assert [1, 2] == [item async for item in engine.astream()]

    asyncio.run(main())


@_ends("error")
def _async_generator_that_raises(engine: Engine) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="no"):
            assert [] == [item async for item in engine.astream(OSError("no"))]

    asyncio.run(main())


@_ends("abandoned")
def _async_generator_closed(engine: Engine) -> None:
    async def main() -> None:
        stream: Any = engine.astream()
        await anext(stream)
        await stream.aclose()

    asyncio.run(main())


@_ends("abandoned")
def _async_generator_that_returns_when_closed(engine: Engine) -> None:
    async def main() -> None:
        stream = engine.areturning()
        await anext(stream)
        await stream.aclose()

    asyncio.run(main())


@_ends("abandoned")
def _async_generator_closed_in_another_task(engine: Engine) -> None:
    async def main() -> None:
        stream: Any = engine.astream()
        await asyncio.ensure_future(stream.asend(None))
        await asyncio.ensure_future(stream.aclose())

    asyncio.run(main())


@_ends("abandoned")
def _async_generator_left_to_the_loop(engine: Engine) -> None:
    kept: list[Any] = []

    async def main() -> None:
        kept.append(engine.astream())
        await anext(kept[0])

    asyncio.run(main())


@_ends("abandoned")
def _async_generator_dropped(engine: Engine) -> None:
    async def main() -> None:
        async for _ in engine.astream():
            break

    asyncio.run(main())


@_ends("abandoned")
def _async_generator_never_begun(engine: Engine) -> None:
    engine.astream()


@_ends("interrupted")
def _async_generator_cancelled_in_a_step(engine: Engine) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(engine.astream().asend(None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def _let_go(_: object) -> None:
    """Take a thing whose last reference is in this call."""


def _in_a_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize("way", ENDS)
def test_an_operation_ends_once_and_says_how(captured: Capture, way: str) -> None:
    """However a result is worked off, or is not, its operation ends once, with the outcome that is true."""
    outcome, work = ENDS[way]

    class Host(Engine):
        pass

    for attribute, method in vars(Engine).items():
        if not attribute.startswith("_"):
            setattr(Host, attribute, method)
            probe = Probe(Host, attribute, began=begin, ended=lambda _: ended.append(1), through=True)
            captured.runtime.hooks.install(probe)
    ended: list[int] = []
    work(Host())
    gc.collect()

    assert [1] == ended
    assert [] == captured.ledger.open_operations()
    assert [outcome] == [entry.outcome for entry in captured.ledger.timeline().entries if entry.kind == "tool"]
    assert [outcome] == [entry.outcome for entry in captured.spans_only.timeline().entries if entry.kind == "tool"]


# --------------------------------------------------------------------------------------------------- the context
def test_the_callers_context_is_the_same_object_after_each_step(captured: Capture) -> None:
    """Around each resumption of a stream the caller's OpenTelemetry context is one and the same object."""

    class Host:
        def stream(self) -> Iterator[Any]:
            while True:
                yield current().operation

        def iterate(self) -> Iterator[Any]:
            return iter(lambda: current().operation, None)

    for attribute in ("stream", "iterate"):
        captured.runtime.hooks.install(Probe(Host, attribute, began=begin))
        before = get_current()
        stream = getattr(Host(), attribute)()
        seen = []
        for _ in range(3):
            assert before is get_current()
            seen.append(next(stream))
            assert before is get_current()
        stream_operation = captured.runtime.recorder.open("tool")[0]
        if attribute == "stream":
            stream.close()
        assert before is get_current()
        del stream

        assert [stream_operation] * 3 == seen
        assert current() is None


def test_a_tasks_context_is_the_same_object_after_each_step(captured: Capture) -> None:
    """Around each step of a coroutine or async generator the task's OpenTelemetry context is the same object."""

    class Host:
        async def run(self) -> Any:
            await asyncio.sleep(0)
            return current().operation

        async def stream(self) -> AsyncIterator[Any]:
            for _ in range(2):
                await asyncio.sleep(0)
                yield current().operation

    async def main() -> None:
        before = get_current()
        assert "tool" == (await Host().run()).kind
        assert before is get_current()
        async for operation in Host().stream():
            assert before is get_current()
            assert "tool" == operation.kind
        assert before is get_current()

    for attribute in ("run", "stream"):
        captured.runtime.hooks.install(Probe(Host, attribute, began=begin))
    asyncio.run(main())

    assert 2 == len(captured.spans)


def test_streams_read_in_turns_do_not_mix(captured: Capture) -> None:
    """What happens inside a stream belongs to that stream, however many are read in turns, nested or recursive."""

    class Host:
        def __init__(self, name: str) -> None:
            self.name = name

        def stream(self, inner: Iterator[Any] | None = None) -> Iterator[Any]:
            for _ in range(2):
                self.step()
                yield inner and next(inner, None)

        def step(self) -> None:
            pass

    hooks = captured.runtime.hooks
    hooks.install(Probe(Host, "stream", began=lambda call: Start("agent", call.instance.name, deferred=True)))
    hooks.install(Probe(Host, "step", began=lambda call: Start("tool", f"step of {call.instance.name}")))
    first, second = Host("first").stream(), Host("second").stream(Host("inner").stream())
    for _ in zip(first, second, strict=False):
        pass
    list(second)

    operations = {entry.id: entry for entry in captured.ledger.timeline().entries}
    parents = {
        (entry.name, operations[entry.parent_id].name if entry.parent_id in operations else None)
        for entry in operations.values()
    }
    assert {
        ("first", None),
        ("second", None),
        ("inner", None),  # called outside, though read inside
        ("step of first", "first"),
        ("step of second", "second"),
        ("step of inner", "inner"),
    } == parents


def test_a_probed_call_within_its_own_facts_is_harmless(captured: Capture) -> None:
    """A fact-function that comes by a probed callable again is one more call, not a loop without end."""

    class Host:
        def run(self) -> str:
            return "ran"

    def ended(call: Call) -> None:
        if len(calls) < 3:
            calls.append(call)
            call.instance.run()

    calls: list[Call] = []
    captured.runtime.hooks.install(Probe(Host, "run", began=begin, ended=ended))

    assert "ran" == Host().run()
    assert 4 == captured.ledger.stats()["records"]


# ------------------------------------------------------------------------------------------------------ the facts
def test_what_a_call_was_given_is_found_however_it_was_passed(captured: Capture) -> None:
    """``Call.argument`` finds an argument by position or name, and its default where it was not given."""

    class Host:
        def run(self, first: Any, second: Any = None) -> None:
            pass

    def began(call: Call) -> None:
        found.append((call.argument(0, "first"), call.argument(1, "second", "default"), call.instance is host))

    found: list[Any] = []
    host = Host()
    captured.runtime.hooks.install(Probe(Host, "run", began=began))
    host.run(1)
    host.run(1, 2)
    host.run(second=2, first=1)
    Host.run(host, 1)

    assert [(1, "default", True), (1, 2, True), (1, 2, True), (1, "default", True)] == found


def test_a_glance_sees_each_call_before_it_is_made(captured: Capture) -> None:
    """It is given the instance and the arguments, before the call; what it gives hears of a failure; no operation."""

    class Host:
        def run(self, first: Any, *, second: Any = None) -> str:
            seen.append("made")
            if second is not None:
                raise second
            return "ran"

    class Failures(Watch):
        def failed(self, error: BaseException) -> None:
            seen.append(error)

    def look(recorder: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch:
        seen.append((recorder is captured.runtime.recorder, instance is host, args, kwargs))
        return Failures()

    seen: list[Any] = []
    host, no = Host(), OSError("no")
    captured.runtime.hooks.install(Glance(Host, "run", look))

    assert "ran" == host.run(1)
    with pytest.raises(OSError, match="no"):
        host.run(2, second=no)
    assert [(True, True, (1,), {}), "made", (True, True, (2,), {"second": no}), "made", no] == seen
    assert () == captured.spans


def test_a_glance_that_fails_is_counted_by_its_own_name() -> None:
    """A look that raises changes nothing for the host, and the failure says which look it was."""

    class Host:
        def run(self) -> str:
            return "ran"

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("ours")

    with capture(strict=False) as captured:
        captured.runtime.hooks.install(Glance(Host, "run", broken))

        assert "ran" == Host().run()
        assert {f"{test_a_glance_that_fails_is_counted_by_its_own_name.__name__}.<locals>.broken": 1} == (
            captured.runtime.guard.swallowed()
        )


def test_a_glance_under_a_patch_of_others_is_without_effect_once_taken_off(captured: Capture) -> None:
    """What the program has put over ours stays, and ours looks at nothing any more."""

    class Host:
        def run(self) -> str:
            return "ran"

    seen: list[Any] = []
    captured.runtime.hooks.install(Glance(Host, "run", lambda *given: seen.append(given)))
    ours = Host.run
    Host.run = lambda self: f"<{ours(self)}>"  # type: ignore[method-assign]
    captured.runtime.hooks.uninstall()

    assert "<ran>" == Host().run()
    assert [] == seen


def test_a_note_reaches_the_probes_inside_and_nobody_else(captured: Capture) -> None:
    """What a probe notes is known to the calls inside its own, and gone after it; it makes no operation."""

    class Host:
        def outer(self) -> None:
            self.inner()

        def inner(self) -> None:
            pass

    notes: list[Any] = []
    hooks = captured.runtime.hooks
    hooks.install(Probe(Host, "outer", began=lambda _: Note("about this"), ended=lambda call: notes.append(call.data)))
    hooks.install(Probe(Host, "inner", began=lambda call: notes.append(call.note)))
    Host().inner()
    Host().outer()
    Host().inner()

    assert [None, "about this", "about this", None] == notes
    assert () == captured.spans


def test_facts_without_an_operation_go_to_the_one_around(captured: Capture) -> None:
    """What a probe without an operation of its own finds out belongs to the operation it was called in."""

    class Host:
        def outer(self) -> None:
            self.inner()

        def inner(self) -> None:
            pass

    hooks = captured.runtime.hooks
    hooks.install(Probe(Host, "outer", began=lambda _: Start("model", "m")))
    hooks.install(Probe(Host, "inner", ended=lambda _: {"gen_ai.response.id": "r1"}))
    Host().inner()
    Host().outer()

    (span,) = captured.spans
    assert "r1" == (span.attributes or {})["gen_ai.response.id"]


def test_a_call_knows_the_run_it_is_in(captured: Capture) -> None:
    """``Call.run`` is the nearest agent run, through whatever lies between."""

    class Host:
        def run(self) -> None:
            self.use()

        def use(self) -> None:
            self.look()

        def look(self) -> None:
            pass

    seen: list[Any] = []
    hooks = captured.runtime.hooks
    hooks.install(Probe(Host, "run", began=lambda _: Start("agent", "a")))
    hooks.install(Probe(Host, "use", began=lambda call: seen.append(call.run) or Start("tool", "t")))
    hooks.install(Probe(Host, "look", began=lambda call: seen.extend((call.run, call.inside))))
    Host().run()
    Host().look()

    assert ["agent", "agent", "tool", None, None] == [live and live.kind for live in seen]


def test_probes_that_only_the_call_can_name_are_there_before_it_goes_on(captured: Capture) -> None:
    """Hooks that a starting operation asks for are installed before the host's function runs."""

    class Model:
        def generate(self) -> None:
            pass

    class Agent:
        def run(self) -> None:
            Model().generate()

    inner = Probe(Model, "generate", began=lambda _: Start("model", "m"))
    captured.runtime.hooks.install(Probe(Agent, "run", began=lambda _: Start("agent", "a", probes=(inner,))))
    Agent().run()

    assert ["m", "a"] == [entry.name for entry in map(_record, captured.spans)]


def _record(span: Any) -> Any:
    from tachograph.codec import operation_from_span  # noqa: PLC0415 - the only use
    from tachograph.spans import from_sdk  # noqa: PLC0415 - likewise

    return operation_from_span(from_sdk(span))


# ------------------------------------------------------------------------------------------------------ the hooks
def test_hooked_twice_is_hooked_once(captured: Capture) -> None:
    """Installing a probe again changes nothing: one call is one operation."""

    class Host:
        def run(self) -> None:
            pass

    hooks = captured.runtime.hooks
    hooks.install(Probe(Host, "run", began=begin))
    patched = vars(Host)["run"]
    hooks.install(Probe(Host, "run", began=begin))
    Host().run()

    assert patched is vars(Host)["run"]
    assert 1 == len(captured.spans)


def test_uninstalled_is_as_before() -> None:
    """After ``uninstall`` a class or module has the very objects it had, and owns nothing it did not own."""

    class Base:
        def run(self) -> None:
            pass

    class Host(Base):
        def __init__(self) -> None:
            pass

        @classmethod
        def build(cls) -> None:
            pass

        @staticmethod
        def rate() -> None:
            pass

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)

    class Plain:
        def run(self) -> None:
            pass

    module = ModuleType("engine_room")
    module.work = lambda: None
    before = {owner: dict(vars(owner)) for owner in (Host, Plain, Base, module)}
    with capture() as captured:
        hooks = captured.runtime.hooks
        for owner, attribute in ((Host, "__init__"), (Host, "build"), (Host, "rate"), (Host, "run"), (module, "work")):
            hooks.install(Probe(owner, attribute, began=begin))
        hooks.install_family(Host, ("run",), lambda owner, attribute: Probe(owner, attribute, began=begin))
        hooks.install_family(Plain, ("run",), lambda owner, attribute: Probe(owner, attribute, began=begin))

        assert "run" not in vars(Host)
        assert "__init_subclass__" in vars(Plain)
        assert before[Host]["build"] is not vars(Host)["build"]
    for owner, attributes in before.items():
        assert attributes.keys() == vars(owner).keys()
        assert [] == [name for name, value in attributes.items() if vars(owner)[name] is not value]


def test_a_foreign_patch_above_ours_survives() -> None:
    """A patch that somebody put over ours stays when ours goes, and ours, still called by it, does nothing more."""

    class Host:
        def run(self) -> str:
            return "ran"

    with capture() as captured:
        captured.runtime.hooks.install(Probe(Host, "run", began=begin))
        ours = Host.run

        @functools.wraps(ours)
        def foreign(self: Host) -> str:
            return f"foreign {ours(self)}"

        Host.run = foreign
        assert "foreign ran" == Host().run()
    assert vars(Host)["run"] is foreign
    assert "foreign ran" == Host().run()
    assert 1 == captured.ledger.stats()["records"]


def test_a_foreign_init_subclass_above_ours_survives() -> None:
    """The same for the family's ``__init_subclass__``: classes made after the end are hooked no more."""

    class Root:
        def run(self) -> str:
            return "ran"

    with capture() as captured:
        captured.runtime.hooks.install_family(Root, ("run",), lambda o, a: Probe(o, a, began=begin))
        ours = vars(Root)["__init_subclass__"]
        foreign = classmethod(lambda cls, **kwargs: ours.__get__(None, cls)(**kwargs))
        Root.__init_subclass__ = foreign
    late = type("Late", (Root,), {"run": lambda _: "late"})

    assert vars(Root)["__init_subclass__"] is foreign
    assert not hasattr(late.run, "__wrapped__")
    assert "late" == late().run()


def test_what_fails_at_the_end_costs_no_result() -> None:
    """Where an operation cannot be ended the host gets its result, or its exception, all the same."""

    class Host:
        def run(self, error: Exception | None = None) -> str:
            if error is not None:
                raise error
            return "ran"

    def clock() -> int:
        if len(readings) % 2:
            readings.append(0)
            raise ZeroDivisionError("ours")
        readings.append(0)
        return 10**18

    readings: list[int] = []
    with capture(strict=False, clock=clock) as captured:
        captured.runtime.hooks.install(Probe(Host, "run", began=begin))

        assert "ran" == Host().run()
        with pytest.raises(OSError, match="no"):
            Host().run(OSError("no"))
        assert 2 == sum(captured.runtime.guard.swallowed().values())


def test_what_is_not_there_is_a_row_and_no_news(captured: Capture) -> None:
    """A callable that this version of a framework has not is not hooked, and says so in one row."""

    class Host:
        def run(self) -> None:
            pass

    class Heir(Host):
        pass

    hooks = captured.runtime.hooks
    hooks.rows.clear()
    hooks.install(Probe(Host, "run", began=begin))
    hooks.install(Probe(Host, "gone", began=begin, optional=True))
    hooks.install(Probe(Heir, "run", began=begin))

    assert [(True, False), (False, True), (False, False)] == [(row.hooked, row.optional) for row in hooks.rows.values()]
    assert "run" not in vars(Heir)
    assert all("<locals>.H" in label for label in hooks.rows)


def test_a_family_is_hooked_with_those_yet_to_come(captured: Capture) -> None:
    """Root, subclasses and every class made later are hooked where they define the method, and only there."""

    class Root:
        def run(self) -> str:
            return "root"

        def __init_subclass__(cls, *, mark: str = "none", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.mark = mark

    class Early(Root):
        def run(self) -> str:
            return "early " + super().run()

    captured.runtime.hooks.install_family(Root, ("run", "stop"), lambda o, a: Probe(o, a, began=begin))

    class Late(Early, mark="late"):
        def run(self) -> str:
            return "late " + super().run()

    class Idle(Late):
        pass

    assert "late early root" == Idle().run()
    assert 3 == len(captured.spans)
    assert ["late", "none"] == [Late.mark, Idle.mark]
    assert "run" not in vars(Idle)


def test_a_class_that_cannot_be_hooked_costs_no_other() -> None:
    """One whose metaclass lets nothing be set, or does not hash, is left as it is; the rest of its family is hooked."""

    class Root:
        def run(self) -> str:
            return "ran"

    class Sealed(type):
        def __setattr__(cls, name: str, value: Any) -> None:
            raise TypeError(name)

    class Unhashable(type):
        def __eq__(cls, other: object) -> bool:
            return cls is other

        __hash__ = None  # type: ignore[assignment]

    with capture(strict=False) as captured:
        members = [meta(f"A{meta.__name__}", (Root,), {"run": lambda _: "ran"}) for meta in (Sealed, Unhashable, type)]
        captured.runtime.hooks.install_family(Root, ("run",), lambda o, a: Probe(o, a, began=begin))
        members += [meta(f"B{meta.__name__}", (Root,), {"run": lambda _: "ran"}) for meta in (Sealed, Unhashable, type)]

        assert ["ran"] * 6 == [member().run() for member in members]
        assert 2 == len(captured.spans)
        assert ["its class lets nothing be replaced (TypeError)"] * 2 == [
            row.why for row in captured.runtime.hooks.rows.values() if row.why
        ]


def test_a_class_that_refuses_subclass_arguments_still_does(captured: Capture) -> None:
    """Without an ``__init_subclass__`` of its own a hooked family refuses what it refused, in the same words."""

    def words() -> str:
        class Root:
            pass

        if probed:
            captured.runtime.hooks.install_family(Root, ("run",), lambda o, a: Probe(o, a, began=begin))
        with pytest.raises(TypeError) as refused:
            type("Late", (Root,), {}, mark="late")
        return str(refused.value)

    probed = False
    plain = words()
    probed = True

    assert plain == words()


def test_a_class_made_while_recording_is_off_is_recorded_later(captured: Capture) -> None:
    """A class of a hooked family that is made while recording is off is hooked like any other, and silent as long."""

    class Root:
        pass

    captured.runtime.hooks.install_family(Root, ("run",), lambda o, a: Probe(o, a, began=begin))
    captured.runtime.enable(on=False)
    late = type("Late", (Root,), {"run": lambda _: "ran"})
    assert ("ran", 0) == (late().run(), captured.ledger.stats()["records"])
    captured.runtime.enable(on=True)
    assert ("ran", 1) == (late().run(), captured.ledger.stats()["records"])


def test_a_late_subclass_survives_a_probe_that_cannot_be_made() -> None:
    """A class is made even when hooking it fails."""

    class Root:
        pass

    def no_probe(*_: Any) -> Probe:
        raise ZeroDivisionError("ours")

    with capture(strict=False) as captured:
        captured.runtime.hooks.install_family(Root, ("run",), no_probe)
        late = type("Late", (Root,), {"run": lambda _: "ran"})

        assert "ran" == late().run()
        assert [1] == list(captured.runtime.guard.swallowed().values())


def test_classes_made_inside_functions_are_collected(captured: Capture) -> None:
    """A hooked class that nobody uses any more goes, though it was hooked with its family."""

    class Root:
        def run(self) -> None:
            pass

    def made() -> weakref.ref[type]:
        class Local(Root):
            def run(self) -> None:
                super().run()

        Local().run()
        return weakref.ref(Local)

    early = made()
    captured.runtime.hooks.install_family(Root, ("run",), lambda o, a: Probe(o, a, began=begin))
    late = [made() for _ in range(3)]
    gc.collect()

    assert [None] * 4 == [reference() for reference in (early, *late)]
    assert {Root} == {
        owner for owner in captured.runtime.hooks._patched if getattr(owner, "__module__", None) == __name__
    }


def test_rows_are_bounded(captured: Capture) -> None:
    """A program that makes hooked classes without end does not make the table of hooks grow without end."""
    hooks = captured.runtime.hooks
    for n in range(1_100):
        hooks.install(Probe(type(f"Host{n}", (), {"run": lambda _: None}), "run", began=begin))

    assert 1_000 == len(hooks.rows)


def test_descendants_are_each_found_once() -> None:
    """All generations below a class, a diamond's tip once."""

    class Root:
        pass

    class Left(Root):
        pass

    class Right(Root):
        pass

    class Tip(Left, Right):
        pass

    assert {Left, Right, Tip} == set(descendants(Root))
    assert 3 == len(descendants(Root))


def test_hooks_on_a_module_wait_for_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be done when a module is imported is done then, once, or at once if it has been."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late_framework.py").write_text("answer = 42\n")
    done: list[Any] = []
    when_imported("late_framework", done.append)
    assert [] == done

    module = importlib.import_module("late_framework")
    assert [module] == done
    when_imported("late_framework", done.append)
    assert [module, module] == done
    monkeypatch.delitem(sys.modules, "late_framework")


# ------------------------------------------------------------------------------------------- copied and pickled
WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),  # noqa: S301 - our own pickle
    "old pickle": lambda value: pickle.loads(pickle.dumps(value, 2)),  # noqa: S301 - our own pickle
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
def test_probed_callables_are_copied_and_pickled_as_before(captured: Capture, way: str) -> None:
    """Functions and methods, bound or not, travel to other processes and into copies as without a probe."""

    def travel() -> list[Any]:
        instance = hosts.Portable("mine")
        travelled: list[Any] = [
            WAYS[way](value)
            for value in (
                hosts.portable,
                hosts.Portable.method,
                instance.method,
                hosts.Portable.of_the_class,
                hosts.Portable.of_nobody,
                instance.of_nobody,
            )
        ]
        called = [hosts.Portable("given") if value.__qualname__ == "Portable.method" else None for value in travelled]
        return [
            travelled[0](),
            travelled[1](called[1]),
            *(value() for value in travelled[2:]),
            travelled[2].__self__ is instance,
        ]

    plain = travel()
    for owner, attribute in (
        (hosts, "portable"),
        (hosts.Portable, "method"),
        (hosts.Portable, "of_the_class"),
        (hosts.Portable, "of_nobody"),
    ):
        captured.runtime.hooks.install(Probe(owner, attribute, began=begin))

    assert plain == travel()
    assert len(plain) - 1 == len(captured.spans)


def test_a_pickle_of_a_probed_method_needs_nothing_of_ours(captured: Capture) -> None:
    """What a probed program pickles can be read where Tachograph is not installed."""
    for owner, attribute in ((hosts, "portable"), (hosts.Portable, "method")):
        captured.runtime.hooks.install(Probe(owner, attribute, began=begin))

    for value in (hosts.portable, hosts.Portable.method, hosts.Portable().method):
        assert b"tachograph" not in pickle.dumps(value)


# ------------------------------------------------------------------------------------------- told apart and held
def test_a_probed_method_is_bound_as_before(captured: Capture) -> None:
    """Who looks for overridden methods, holds one weakly, or asks what it is, finds what it found without a probe."""

    class Base:
        def method(self, *values: int, mark: str = "") -> Any:
            return type(self).__name__, values, mark

    class Same(Base):
        pass

    class Other(Base):
        def method(self, *values: int, mark: str = "") -> Any:
            return super().method(*values, mark=mark)

    def look() -> list[Any]:
        same, other = Same(), Other()
        weak: Any = weakref.WeakMethod(same.method)
        return [
            Same.method is Base.method,
            type(other).method is Base.method,
            same.method.__func__ is Base.method,
            vars(Base)["method"] is Base.method,
            type(same.method),
            {same.method: 1}[same.method],
            same.method == Same().method,
            repr(same.method).partition(" at ")[0],
            inspect.isfunction(Base.method),
            inspect.signature(Base.method),
            inspect.signature(same.method),
            weak()(1, mark="a"),
            Base.method(other, 2),
            Base.method(self=same),  # type: ignore[misc]  # Python takes it
            other.method(3),
        ]

    plain = look()
    for owner in (Base, Other):
        captured.runtime.hooks.install(Probe(owner, "method", began=begin))

    assert plain == look()
    assert 5 == len(captured.spans)
    for call in (Base.method, functools.partial(Base.method, mark="a")):
        with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'self'"):
            call()  # type: ignore[call-arg]


def test_a_probed_method_that_a_program_puts_elsewhere_too(captured: Capture) -> None:
    """In another class of the family it is the same method, recorded once, and taken out in the end."""

    class Base:
        pass

    captured.runtime.hooks.install_family(Base, ["method"], lambda owner, name: Probe(owner, name, began=begin))

    class First(Base):
        def method(self) -> str:
            return type(self).__name__

    class Alias(First):
        method = First.method

    @dataclasses.dataclass(slots=True)
    class Copied(Base):
        left: int = 0

        def method(self) -> str:
            return type(self).__name__

    assert Alias.method is First.method
    assert ["First", "Alias", "Copied"] == [made().method() for made in (First, Alias, Copied)]
    assert 3 == len(captured.spans)
    captured.runtime.hooks.uninstall()
    assert [FunctionType] * 3 == [type(vars(owner)["method"]) for owner in (First, Alias, Copied)]
    assert Alias.method is First.method


def test_a_probed_method_of_several_names(captured: Capture) -> None:
    """Called by another name of its class it is the same method, recorded by its own probe, if that name has one."""

    class Client:
        def ask(self) -> str:
            return "asked"

        __call__ = also = stream = ask

        @staticmethod
        def plain() -> str:
            return "plain"

        simple = plain

    def streaming(call: Call) -> Start:
        return Start("tool", "streamed")

    def look() -> list[Any]:
        client = Client()
        calls: list[Any] = [client.ask, client.also, client, client.stream, client.plain, Client.simple]
        return [*(call() for call in calls), Client.ask is Client.also, Client.plain is Client.simple]

    before, plain = dict(vars(Client)), look()
    for name, began in (("ask", begin), ("plain", begin), ("stream", streaming)):
        captured.runtime.hooks.install(Probe(Client, name, began=began))

    assert plain == look()
    assert {"probed": 5, "streamed": 1} == Counter(
        entry["tool_name"] for entry in captured.ledger.audit_log(event_type="tool_execution_started")
    )
    captured.runtime.hooks.uninstall()
    assert before == dict(vars(Client))


# ------------------------------------------------------------------------------------------------------- carrying
def test_a_carried_function_runs_in_the_callers_context(captured: Capture) -> None:
    """What a decorator factory runs in a thread of its own belongs to the operation that called for it."""
    framework = ModuleType("framework")

    def threaded(_seconds: float) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            @functools.wraps(function)
            def run(*args: Any) -> Any:
                results: list[Any] = []
                _in_a_thread(lambda: results.append(function(*args)))
                return results[0]

            return run

        return decorate

    class Agent:
        def run(self) -> Any:
            @framework.threaded(1.0)
            def work(value: int) -> Any:
                scope = current()
                return value, scope and scope.operation.kind

            return work(7)

    framework.threaded = threaded
    captured.runtime.hooks.install(Probe(Agent, "run", began=lambda _: Start("agent", "a")))
    assert (7, None) == Agent().run()
    captured.runtime.hooks.install(Carry(framework, "threaded"))
    assert (7, "agent") == Agent().run()
    ours = framework.threaded
    captured.runtime.hooks.uninstall()
    assert framework.threaded is threaded
    assert (7, None) == Agent().run()
    token = attach(set_value("gear", "first"))
    try:
        assert ours(1.0)(get_value)("gear") is None
    finally:
        detach(token)


def test_labels_name_the_place() -> None:
    """A probe or carry is called by module, class and attribute, as a person would look for it."""
    assert "support.hosts.Portable.method" == Probe(hosts.Portable, "method").label
    assert "support.hosts.portable" == Carry(hosts, "portable").label


def test_a_stopped_probe_costs_nothing_and_does_nothing(captured: Capture) -> None:
    """Where hooks are switched off the host's function is called, and none of ours."""

    class Host:
        def run(self) -> str:
            return "ran"

    def never(_: Call) -> None:
        raise AssertionError("asked")

    captured.runtime.hooks.install(Probe(Host, "run", began=never, ended=never))
    captured.runtime.hooks.enabled = False

    assert "ran" == Host().run()
    with contextlib.suppress(TypeError):
        Host().run(1)
    assert inspect.signature(Host.run) == inspect.signature(Host().run.__func__)
