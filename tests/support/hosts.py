"""Small host programs of many shapes, played with and without a probe on what they call.

A shape is a generator function of one :class:`Transcript`: it makes its host (nothing is shared between two plays),
yields what of it is to be probed, and then plays the program, writing down everything the program can see. Two
transcripts are equal where two plays cannot be told apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import gc
import inspect
import itertools
import operator
import pickle
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from opentelemetry import context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Targets = list[tuple[Any, str]]
    Play = Iterator[Targets]
    Shape = Callable[["Transcript"], Play]

SHAPES: dict[str, Shape] = {}
"""Every shape by its name."""


class Portable:
    """A class that can be found by its name, as pickle wants it."""

    def __init__(self, mark: str = "portable") -> None:
        self.mark = mark

    def method(self, value: int = 1) -> Any:
        return self.mark, value

    @classmethod
    def of_the_class(cls) -> Any:
        return cls.__name__

    @staticmethod
    def of_nobody(value: int = 2) -> Any:
        return value


def portable(value: int = 3) -> Any:
    """A function that can be found by its name."""
    return value


class Transcript:
    """What a program sees: lines of plain values, in which known objects stand by the name they were given."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self._names: dict[int, tuple[str, Any]] = {}

    def named(self, name: str, value: Any) -> Any:
        """``value``, which will stand as ``name``: so is its identity compared, and not its looks."""
        self._names[id(value)] = (name, value)
        return value

    def __call__(self, *values: Any) -> None:
        self.lines.append(tuple(self._shown(value) for value in values))

    def attempt(self, what: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call and write down what comes of it."""
        try:
            value = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is written down
            self(what, "raised", error)
            return None
        self(what, "gave", value)
        return value

    async def attempted(self, what: str, awaitable: Any) -> Any:
        """Await and write down what comes of it."""
        try:
            value = await awaitable
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is written down
            self(what, "raised", error)
            return None
        self(what, "gave", value)
        return value

    def closed(self) -> list[tuple[Any, ...]]:
        """The lines. The objects are forgotten: an exception among them would keep the frames it came through."""
        self._names.clear()
        return self.lines

    @contextlib.contextmanager
    def unraisable(self) -> Iterator[None]:
        """Write down what is raised where nobody can catch it."""
        before, sys.unraisablehook = sys.unraisablehook, lambda what: self("unraisable", what.exc_value)
        try:
            yield
        finally:
            gc.collect()
            sys.unraisablehook = before

    def _shown(self, value: Any, depth: int = 0) -> Any:
        if id(value) in self._names:
            name = f"<{self._names[id(value)][0]}>"
            return (name, *self._failure(value, depth)) if isinstance(value, BaseException) else name
        if isinstance(value, BaseException):
            return self._failure(value, depth)
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        if isinstance(value, (list, tuple)):
            return type(value)(self._shown(part, depth) for part in value)
        if isinstance(value, dict):
            return {key: self._shown(part, depth) for key, part in value.items()}
        return f"a {value.__class__.__qualname__}", getattr(value, "__qualname__", None)

    def _failure(self, error: BaseException, depth: int) -> tuple[Any, ...]:
        """The exception, where in the host it came from, and all that hangs on it."""
        frames, traceback = [], error.__traceback__
        while traceback is not None:
            code = traceback.tb_frame.f_code
            if code.co_filename == __file__:
                frames.append((code.co_name, traceback.tb_lineno))
            traceback = traceback.tb_next
        linked = [
            None if link is None or depth > 8 else self._shown(link, depth + 1)
            for link in (error.__cause__, error.__context__)
        ]
        return type(error).__name__, str(error), error.__suppress_context__, tuple(frames), *linked


def play(name: str, probe: Callable[[Any, str], None] | None = None) -> list[tuple[Any, ...]]:
    """Play a shape, with ``probe`` put on whatever it offers for that; gives its transcript."""
    log = Transcript()
    performance = SHAPES[name](log)
    for owner, attribute in next(performance):
        if probe is not None:
            probe(owner, attribute)
    for _ in performance:
        raise AssertionError("a shape yields once")
    return log.closed()


def _shape(play: Shape) -> Shape:
    SHAPES[play.__name__] = play
    return play


def _about(log: Transcript, callable_: Any) -> None:
    """Everything one can ask of a callable without calling it."""
    log("signature", str(inspect.signature(callable_)))
    log("kinds", *(kind(callable_) for kind in _KINDS))
    log("called", *(getattr(callable_, name, "none") for name in ("__name__", "__qualname__", "__module__", "__doc__")))
    log("defaults", *(getattr(callable_, name, "none") for name in ("__defaults__", "__kwdefaults__")))
    log("annotations", sorted(getattr(callable_, "__annotations__", {})), callable(callable_))
    log("source", inspect.getsource(callable_))
    log.attempt("copied", lambda: copy.copy(callable_) == callable_)
    log.attempt("copied deeply", lambda: copy.deepcopy(callable_).__name__)
    log("pickled", pickled(callable_))


def pickled(callable_: Any) -> str:
    """What comes of pickling it."""
    try:
        return type(pickle.loads(pickle.dumps(callable_))).__name__ and "like any other"  # noqa: S301 - our own
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        return type(error).__name__  # its text has an address in it


_KINDS = (
    inspect.isfunction,
    inspect.ismethod,
    inspect.isroutine,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


# -------------------------------------------------------------------------------------------------- plain calls
@_shape
def function_of_a_module(log: Transcript) -> Play:
    """A function, called every way its signature allows."""
    answer = log.named("answer", object())

    def work(first: int, /, second: str = "two", *rest: Any, third: float = 3.0, **more: Any) -> Any:
        """Work."""
        log("ran", first, second, rest, third, more)
        return answer

    module = types.ModuleType("engine_room")
    module.work = work
    yield [(module, "work")]
    _about(log, module.work)
    log.attempt("plain", module.work, 1)
    log.attempt("all", module.work, 1, "b", "c", "d", third=4.0, fourth=5)
    log("names like ours", module.work(1, wrapped=1, instance=2, args=3, kwargs=4, self=5, call=6, error=7))
    log.attempt("too few", module.work)
    log.attempt("partial", functools.partial(module.work, 1), third=9)
    log("same", module.work is module.work, module.work == module.work, hash(module.work) == hash(module.work))


@_shape
def method(log: Transcript) -> Play:
    """A method, by instance, by class and bound beforehand."""

    class Engine:
        def run(self, speed: int = 1) -> Any:
            """Run."""
            log("ran", self, speed)
            return self

    engine = log.named("engine", Engine())
    yield [(Engine, "run")]
    _about(log, Engine.run)
    _about(log, engine.run)
    log.attempt("instance", engine.run, speed=2)
    log.attempt("class", Engine.run, engine, 3)
    log.attempt("wrong", engine.run, 1, 2)
    log.attempt("class, by names", Engine.run, self=engine, speed=4)
    log.attempt("of nothing", Engine.run, None)
    log.attempt("too few", Engine.run)
    log.attempt("too few, by name", Engine.run, speed=1)
    log("the same", Engine.run is Engine.run, engine.run.__func__ is Engine.run, type(engine.run) is types.MethodType)
    bound = engine.run
    log.attempt("bound", bound)
    log("bound to", bound.__self__, bound.__func__.__name__, engine.run == engine.run, engine.run == Engine().run)
    log("own attributes", vars(engine), "run" in vars(Engine), sorted(vars(Engine)))


@_shape
def function_that_stands_in_a_class(log: Transcript) -> Play:
    """Functions of no object, kept together in a class that is never instantiated."""

    class Engine:
        def look(query="all", limit=3):  # type: ignore[no-untyped-def]  # noqa: N805
            log("looked", query, limit)

        def every(*queries, **more):  # type: ignore[no-untyped-def]
            log("looked", queries, more)

        def only(query="all", /, limit=3):  # type: ignore[no-untyped-def]  # noqa: N805
            log("looked", query, limit)

    yield [(Engine, "look"), (Engine, "every"), (Engine, "only")]
    for name in ("look", "every", "only"):
        function = getattr(Engine, name)
        log.attempt("none", function, None)
        log.attempt("nothing", function)
        log.attempt("by name", function, query="one", limit=2)
        log.attempt("limited", function, limit=4)
        log.attempt("both", function, "two", limit=5)


@_shape
def class_method(log: Transcript) -> Play:
    """A class method, called on its class, on a subclass and on an instance."""

    class Engine:
        @classmethod
        def build(cls, size: int = 1) -> Any:
            """Build."""
            log("ran", cls, size)
            return cls

    class Diesel(Engine):
        pass

    log.named("Engine", Engine)
    log.named("Diesel", Diesel)
    yield [(Engine, "build")]
    _about(log, Engine.build)
    log.attempt("class", Engine.build, 2)
    log.attempt("subclass", Diesel.build)
    log.attempt("instance", Diesel().build, size=3)
    log("kind", isinstance(inspect.getattr_static(Engine, "build"), classmethod), Engine.build.__self__)


@_shape
def static_method(log: Transcript) -> Play:
    """A static method, which gets no instance."""

    class Engine:
        @staticmethod
        def rate(*values: Any) -> Any:
            """Rate."""
            log("ran", values)
            return values

    yield [(Engine, "rate")]
    _about(log, Engine.rate)
    log.attempt("class", Engine.rate, 1, 2)
    log.attempt("instance", Engine().rate, 3)
    log("kind", isinstance(inspect.getattr_static(Engine, "rate"), staticmethod))


@_shape
def callable_object(log: Transcript) -> Play:
    """``__call__``, which Python looks up on the class."""

    class Tool:
        def __call__(self, **arguments: Any) -> Any:
            log("ran", arguments)
            return arguments

    tool = Tool()
    yield [(Tool, "__call__")]
    log.attempt("called", tool, a=1)
    log("signature", str(inspect.signature(tool)))


@_shape
def subclass_override(log: Transcript) -> Play:
    """Only the inherited method is probed; the overriding one never comes to it."""

    class Engine:
        def run(self) -> Any:
            log("base ran")
            return "base"

    class Diesel(Engine):
        def run(self) -> Any:
            log("override ran")
            return "override"

    yield [(Engine, "run")]
    log.attempt("override", Diesel().run)
    log.attempt("base", Engine().run)
    log("inherits", "run" in vars(Diesel), Diesel.run.__qualname__)


@_shape
def super_chain(log: Transcript) -> Play:
    """Three generations, all probed, each calling the one above."""

    class Engine:
        def run(self, *marks: str) -> Any:
            log("engine", marks)
            return marks

    class Diesel(Engine):
        def run(self, *marks: str) -> Any:
            log("diesel", marks)
            return super().run(*marks, "diesel")

    class Turbo(Diesel):
        def run(self, *marks: str) -> Any:
            log("turbo", marks)
            return super().run(*marks, "turbo")

    yield [(Engine, "run"), (Diesel, "run"), (Turbo, "run")]
    log.attempt("chain", Turbo().run)
    log.attempt("by class", Diesel.run, Turbo(), "x")


@_shape
def class_construction(log: Transcript) -> Play:
    """``__init__``: what is made, how often, and what it refuses."""

    class Engine:
        def __init__(self, size: int, *, fuel: str = "diesel") -> None:
            log("made", size, fuel)
            self.size = size

    yield [(Engine, "__init__")]
    _about(log, Engine.__init__)
    log("signature", str(inspect.signature(Engine)))
    log("size", Engine(2).size, type(Engine(3)).__name__)
    log.attempt("too few", Engine)


@_shape
def recursion(log: Transcript) -> Play:
    """A probed function that calls itself through the probe."""
    module = types.ModuleType("engine_room")

    def down(depth: int) -> Any:
        log("at", depth)
        return depth if depth == 0 else module.down(depth - 1)

    module.down = down
    yield [(module, "down")]
    log.attempt("down", module.down, 3)


@_shape
def equal_to_nothing(log: Transcript) -> Play:
    """A result that lets nobody look at it."""

    class Untouchable:
        def _no(self, *_: Any) -> Any:
            raise AssertionError("somebody touched it")

        __eq__ = __bool__ = __len__ = __iter__ = __repr__ = __str__ = __hash__ = _no

    result = log.named("result", Untouchable())

    class Engine:
        def run(self, value: Any) -> Any:
            log("ran", value)
            return value

    yield [(Engine, "run")]
    log.attempt("result", Engine().run, result)


# --------------------------------------------------------------------------------------------------- exceptions
@_shape
def exception_with_cause(log: Transcript) -> Play:
    """An exception raised from another."""

    class Engine:
        def run(self) -> Any:
            try:
                raise KeyError("inner")  # noqa: TRY301
            except KeyError as inner:
                raise log.named("outer", ValueError("outer")) from inner

    yield [(Engine, "run")]
    log.attempt("run", Engine().run)


@_shape
def exception_with_context(log: Transcript) -> Play:
    """An exception raised while another one was handled, inside and around the call."""

    class Engine:
        def run(self) -> Any:
            try:
                raise KeyError("inner")  # noqa: TRY301
            except KeyError:
                raise ValueError("outer")  # noqa: B904 - the context is the point

        def hide(self) -> Any:
            try:
                raise KeyError("inner")  # noqa: TRY301
            except KeyError:
                raise ValueError("outer") from None

    def around() -> None:
        try:
            raise LookupError("around")  # noqa: TRY301
        except LookupError:
            Engine().run()

    yield [(Engine, "run"), (Engine, "hide")]
    log.attempt("run", Engine().run)
    log.attempt("hide", Engine().hide)
    log.attempt("around", around)


@_shape
def the_same_exception_twice(log: Transcript) -> Play:
    """One exception object, raised again and again."""
    failure = log.named("failure", ValueError("always the same"))

    class Engine:
        def run(self) -> Any:
            raise failure

    yield [(Engine, "run")]
    log.attempt("first", Engine().run)
    log.attempt("second", Engine().run)
    failure.__traceback__ = None


@_shape
def base_exceptions(log: Transcript) -> Play:
    """What is no ``Exception`` passes as well."""

    class Stop(BaseException):
        pass

    class Engine:
        def run(self, error: BaseException) -> Any:
            raise error

    yield [(Engine, "run")]
    for error in (KeyboardInterrupt("k"), SystemExit(3), GeneratorExit("g"), asyncio.CancelledError("c"), Stop("s")):
        log.attempt(type(error).__name__, Engine().run, log.named("error", error))
    log.attempt("StopIteration", Engine().run, StopIteration(1))


@_shape
def exception_that_cannot_be_shown(log: Transcript) -> Play:
    """An exception whose own text raises."""

    class Broken(Exception):  # noqa: N818 - its name is no matter
        def __str__(self) -> str:
            return "shown"

        def __eq__(self, other: object) -> bool:
            raise AssertionError("somebody compared it")

        __hash__ = None

    class Engine:
        def run(self) -> Any:
            raise log.named("broken", Broken())

    yield [(Engine, "run")]
    log.attempt("run", Engine().run)


# --------------------------------------------------------------------------------------------------- generators
@_shape
def generator_read_to_the_end(log: Transcript) -> Play:
    """A generator with a return value, in a loop, by hand and by ``yield from``."""
    items = [log.named(f"item {n}", object()) for n in range(3)]

    class Engine:
        def stream(self, n: int = 3) -> Any:
            """Stream."""
            log("began")
            yield from items[:n]
            log("over")
            return "returned"

    def delegating() -> Any:
        log("returned", (yield from Engine().stream()))

    yield [(Engine, "stream")]
    _about(log, Engine.stream)
    stream = Engine().stream()
    log("type", type(stream) is types.GeneratorType, inspect.isgenerator(stream), inspect.getgeneratorstate(stream))
    log("called", stream.__name__, stream.__qualname__, iter(stream) is stream, hasattr(stream, "__anext__"))
    log.attempt("loop", list, stream)
    log.attempt("exhausted", next, stream)
    log("state", inspect.getgeneratorstate(stream))
    log.attempt("delegated", list, delegating())
    log.attempt("empty", next, Engine().stream(0))
    log.attempt("default", next, Engine().stream(0), "default")
    with log.unraisable():
        del stream


@_shape
def generator_send(log: Transcript) -> Play:
    """Values sent in arrive, and in order."""

    def echo() -> Any:
        got = yield "first"
        while got != "stop":
            log("got", got)
            got = yield got
        return "stopped"

    module = types.ModuleType("engine_room")
    module.echo = echo
    yield [(module, "echo")]
    stream = module.echo()
    log.attempt("too early", stream.send, "x")
    log.attempt("begin", stream.send, None)
    sent = log.named("sent", object())
    log.attempt("send", stream.send, sent)
    log.attempt("none", stream.send, None)
    log.attempt("next", next, stream)
    log.attempt("stop", stream.send, "stop")


@_shape
def generator_throw(log: Transcript) -> Play:
    """Exceptions thrown in are the very ones that arrive, and may be answered."""

    def patient() -> Any:
        heard = 0
        while True:
            try:
                yield heard
            except LookupError as error:  # noqa: PERF203 - each is to be answered
                log("heard", error)
                heard += 1
            except ValueError as error:
                raise TypeError("translated") from error

    module = types.ModuleType("engine_room")
    module.patient = patient
    yield [(module, "patient")]
    stream = module.patient()
    log.attempt("begin", next, stream)
    log.attempt("answered", stream.throw, log.named("lookup", LookupError("one")))
    log.attempt("again", stream.throw, KeyError("two"))
    log.attempt("goes on", next, stream)
    log.attempt("translated", stream.throw, log.named("value", ValueError("three")))
    log.attempt("over", next, stream)
    log.attempt("through", _begun(module.patient()).throw, log.named("os", OSError("four")))
    early = OSError("five")
    try:
        module.patient().throw(early)
    except OSError as caught:
        log("before it began", caught is early)
        early.__traceback__ = None  # it holds the stream
    log.attempt("a StopIteration", _begun(module.patient()).throw, log.named("stop", StopIteration(6)))
    log.attempt("an interrupt", _begun(module.patient()).throw, log.named("k", KeyboardInterrupt()))


def _begun(stream: Any) -> Any:
    next(stream)
    return stream


@_shape
def generator_closed_midway(log: Transcript) -> Play:
    """``close`` runs what is to be cleaned up, once, and may be repeated."""

    class Engine:
        def stream(self) -> Any:
            try:
                yield 1
                yield 2
            except GeneratorExit as leaving:
                log("told to leave", type(leaving).__name__, leaving.__context__)
                raise
            finally:
                log("cleaned up")

    yield [(Engine, "stream")]
    stream = _begun(Engine().stream())
    log.attempt("close", stream.close)
    log.attempt("again", stream.close)
    log.attempt("next", next, stream)
    log.attempt("never begun", Engine().stream().close)
    with contextlib.closing(Engine().stream()) as closing:
        log.attempt("within", next, closing)
    for item in Engine().stream():
        log("left at", item)
        break


@_shape
def generator_close_returns_a_value(log: Transcript) -> Play:
    """A generator that answers ``close`` with a return: its value from Python 3.13 on, None before."""

    class Engine:
        def stream(self) -> Any:
            try:
                yield 1
            except GeneratorExit:
                return "partial"

    yield [(Engine, "stream")]
    log.attempt("close", _begun(Engine().stream()).close)
    log.attempt("thrown", _begun(Engine().stream()).throw, GeneratorExit())


@_shape
def generator_that_stays(log: Transcript) -> Play:
    """A generator that goes on although it is told to leave: ``RuntimeError``, and it is still there."""

    class Engine:
        def stream(self) -> Any:
            try:
                yield 1
            finally:
                log("cleaning up")
                yield 2
                log("cleaned up")

    yield [(Engine, "stream")]
    with log.unraisable():
        stream = _begun(Engine().stream())
        log.attempt("close", stream.close)
        log.attempt("still there", next, stream)
        log.attempt("thrown", _begun(Engine().stream()).throw, log.named("exit", GeneratorExit("leave")))
        dropped = _begun(Engine().stream())
        del dropped


@_shape
def generator_that_fails_to_close(log: Transcript) -> Play:
    """A generator that raises when it is told to leave."""

    class Engine:
        def stream(self) -> Any:
            try:
                yield 1
            except GeneratorExit:
                raise log.named("failure", OSError("stuck"))  # noqa: B904 - the context is the point

    yield [(Engine, "stream")]
    log.attempt("close", _begun(Engine().stream()).close)
    with log.unraisable():
        stream = _begun(Engine().stream())
        del stream


@_shape
def generator_that_fails(log: Transcript) -> Play:
    """An exception between two items, with all that hangs on it."""

    class Engine:
        def stream(self) -> Any:
            yield 1
            try:
                raise KeyError("inner")  # noqa: TRY301
            except KeyError as inner:
                raise log.named("outer", ValueError("outer")) from inner

        def stops(self) -> Any:
            yield 1
            raise StopIteration(2)  # noqa: PLR1708 - a mistake that hosts make

        def at_once(self) -> Any:
            raise log.named("at once", ValueError("at once"))
            yield

    yield [(Engine, "stream"), (Engine, "stops"), (Engine, "at_once")]
    stream = Engine().stream()
    log.attempt("first", next, stream)
    log.attempt("fails", next, stream)
    log.attempt("over", next, stream)
    log.attempt("stops", list, Engine().stops())
    log.attempt("at once", next, Engine().at_once())


@_shape
def generators_interleaved(log: Transcript) -> Play:
    """Two streams read in turns, and one that reads another of its own kind."""

    class Engine:
        def stream(self, name: str, inner: Any = ()) -> Any:
            for n in range(2):
                log(name, n)
                yield name, n
            yield from inner

    yield [(Engine, "stream")]
    engine = Engine()
    log.attempt("in turns", list, zip(engine.stream("a"), engine.stream("b"), strict=True))
    log.attempt("nested", list, engine.stream("out", engine.stream("mid", engine.stream("in"))))


@_shape
def generator_that_reads_itself(log: Transcript) -> Play:
    """A generator resumed while it runs is refused, and goes on."""
    held: list[Any] = []

    class Engine:
        def stream(self) -> Any:
            log.attempt("resumed while running", next, held[0])
            yield 1

    yield [(Engine, "stream")]
    held.append(Engine().stream())
    log.attempt("read", list, held[0])


@_shape
def generator_across_threads(log: Transcript) -> Play:
    """A stream begun here and read on in another thread."""

    class Engine:
        def stream(self) -> Any:
            yield 1
            yield 2
            yield 3

    yield [(Engine, "stream")]
    stream = _begun(Engine().stream())
    thread = threading.Thread(target=lambda: log.attempt("there", next, stream))
    thread.start()
    thread.join()
    log.attempt("here", list, stream)


@_shape
def generator_with_context_variables(log: Transcript) -> Play:
    """What a generator sets in its consumer's context stays there, and what its consumer sets it sees."""
    gear: contextvars.ContextVar[Any] = contextvars.ContextVar("gear", default="neutral")
    road: contextvars.ContextVar[Any] = contextvars.ContextVar("road", default="town")

    class Engine:
        def stream(self) -> Any:
            for step in ("first", "second"):
                log("inside", gear.get(), road.get())
                gear.set(step)
                yield step
            token = gear.set("third")
            yield "third"
            gear.reset(token)

    yield [(Engine, "stream")]
    stream = Engine().stream()
    for n in range(3):
        next(stream)
        log("outside", gear.get(), road.get())
        road.set(f"road {n}")
    log.attempt("rest", list, stream)
    log("after", gear.get(), road.get())
    gear.set("neutral")
    road.set("town")


@_shape
def streams_with_a_context_of_their_own(log: Transcript) -> Play:
    """An OpenTelemetry context that a host makes current in its own code is current there until it detaches it."""

    def seen() -> Any:
        return context.get_value("gear"), context.get_value("road")

    class Engine:
        def stream(self) -> Any:
            outer = context.attach(context.set_value("gear", "first"))
            yield 1
            log("generator, after a yield", seen())
            inner = context.attach(context.set_value("gear", "second"))
            yield 2
            log("generator, two deep", seen())
            context.detach(inner)
            log("generator, one less", seen())
            yield 3
            log("generator, still one", seen())
            context.detach(outer)
            yield 4
            log("generator, all gone", seen()[0])

        async def run(self) -> None:
            token = context.attach(context.set_value("gear", "third"))
            await asyncio.sleep(0)
            log("coroutine, after an await", seen())
            context.detach(token)
            await asyncio.sleep(0)
            log("coroutine, all gone", seen())

        async def astream(self) -> AsyncIterator[int]:
            token = context.attach(context.set_value("gear", "fourth"))
            await asyncio.sleep(0)
            log("async generator, after an await", seen())
            yield 1
            log("async generator, after a yield", seen())
            context.detach(token)
            yield 2

    async def main() -> None:
        await Engine().run()
        log("caller", seen())
        log([item async for item in Engine().astream()])
        log("caller", seen())

    yield [(Engine, "stream"), (Engine, "run"), (Engine, "astream")]
    token = context.attach(context.set_value("road", "town"))
    log.attempt("stream", list, Engine().stream())
    log.attempt("main", asyncio.run, main())
    context.detach(token)


# ---------------------------------------------------------------------------------------- iterators of other kinds
@_shape
def iterator_object(log: Transcript) -> Play:
    """An iterator of a class of its own, with attributes, ``close`` and a context manager."""

    class Chunks:
        def __init__(self) -> None:
            self.left, self.status = 3, 200

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> int:
            if not self.left:
                raise StopIteration
            self.left -= 1
            return self.left

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> str:
            log("closed")
            self.left = 0
            return "closed"

    class Engine:
        def stream(self) -> Any:
            return Chunks()

    yield [(Engine, "stream")]
    chunks = Engine().stream()
    log("looks", isinstance(chunks, Chunks), chunks.status, hasattr(chunks, "send"), iter(chunks) is chunks)
    log.attempt("next", next, chunks)
    chunks.status = 404
    log("changed", chunks.status, chunks.left)
    same = chunks
    log("equal", chunks == same, chunks != same, chunks in (same, 1), chunks == Chunks(), {chunks: 1}[same])
    log.attempt("copied", lambda: list(copy.copy(chunks)))
    log.attempt("copied deeply", lambda: list(copy.deepcopy(chunks)))
    log("pickled", pickled(chunks), operator.length_hint(chunks, 7))
    log.attempt("rest", list, chunks)
    log.attempt("over", next, chunks)
    log.attempt("close", chunks.close)
    log("teed", [list(part) for part in itertools.tee(Engine().stream())])
    with Engine().stream() as entered:
        log.attempt("within", list, entered)
    with contextlib.closing(Engine().stream()) as closing:
        log.attempt("closing", next, closing)


@_shape
def async_iterator_object(log: Transcript) -> Play:  # noqa: C901 - one of everything
    """An asynchronous iterator of a class of its own, given at once and by a coroutine, as model clients give them."""

    class Chunks:
        def __init__(self) -> None:
            self.left, self.status = 3, 200

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> int:
            await asyncio.sleep(0)
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            if self.left == 7:
                raise FAULT
            return self.left

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None:
            await self.aclose()

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = None  # type: ignore[assignment]

        async def aclose(self) -> str:
            await asyncio.sleep(0)
            log("closed")
            self.left = 0
            return "closed"

    class Engine:
        def stream(self) -> Any:
            return Chunks()

        async def asked(self, error: Exception | None = None) -> Any:
            await asyncio.sleep(0)
            if error is not None:
                raise error
            return Chunks()

        async def text(self) -> str:
            return "text"

    async def read(chunks: Any) -> None:
        log("looks", isinstance(chunks, Chunks), chunks.status, hasattr(chunks, "asend"), aiter_of(chunks) is chunks)
        step = chunks.__anext__()
        log("step", type(step), step.__name__, step.__qualname__, inspect.iscoroutine(step))
        await log.attempted("next", step)
        await log.attempted("in a task", asyncio.create_task(chunks.__anext__()))
        chunks.status = 404
        log("changed", chunks.status, chunks.left)
        same = chunks
        log("equal", chunks == same, chunks != same, chunks in (same, 1), chunks == Chunks())
        log("kinds", isinstance(chunks, AsyncIterator), isinstance(chunks, Iterable))
        log("copied", copy.copy(chunks).left, copy.deepcopy(chunks).status, pickled(chunks))
        log.attempt("hash", hash, chunks)
        with contextlib.suppress(TypeError):
            log("iter", iter(chunks))
        log("rest", [item async for item in chunks])
        await log.attempted("over", chunks.__anext__())
        await log.attempted("close", chunks.aclose())

    async def main() -> None:
        await read(Engine().stream())
        await read(await Engine().asked())
        async with Engine().stream() as entered:
            log("within", [item async for item in entered])
        async with await Engine().asked() as entered:
            await log.attempted("left", entered.__anext__())
        failing = Engine().stream()
        failing.left = 8
        await log.attempted("it fails", failing.__anext__())
        await log.attempted("and again", failing.__anext__())
        await log.attempted("nothing comes of it", Engine().asked(log.named("no", LookupError("no"))))
        await log.attempted("text", Engine().text())
        async with contextlib.aclosing(await Engine().asked()) as closing:
            await log.attempted("closing", closing.__anext__())
        with log.unraisable():
            Engine().stream()

    def aiter_of(chunks: Any) -> Any:
        return type(chunks).__aiter__(chunks)

    FAULT = log.named("fault", OSError("stalled"))  # noqa: N806 - a constant of this play
    yield [(Engine, "stream"), (Engine, "asked"), (Engine, "text")]
    asyncio.run(main())


@_shape
def async_iterator_that_is_iterated_otherwise(log: Transcript) -> Play:  # noqa: C901 - one of everything
    """An asynchronous iterator whose steps are those of a generator, and one whose steps are no coroutines."""

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(0)
            yield 2
        finally:
            log("cleaned up")

    class Chunks:
        def __init__(self) -> None:
            self._items: Any = items()

        async def __aiter__(self) -> Any:
            log("iterated")
            async for item in self._items:
                yield item

        def __anext__(self) -> Any:
            return self._items.__anext__()

        async def __aenter__(self) -> Any:
            return "entered"

        async def __aexit__(self, *_: object) -> None:
            pass

        async def close(self) -> None:
            await self._items.aclose()

    class Futures:
        left = 2

        def __aiter__(self) -> Any:
            return self

        def __anext__(self) -> Any:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            future = asyncio.get_running_loop().create_future()
            future.set_result(self.left)
            return future

    class Engine:
        def stream(self) -> Any:
            return Chunks()

        async def asked(self) -> Any:
            return Chunks()

        def futures(self) -> Any:
            return Futures()

    async def main() -> None:
        for chunks in (Engine().stream(), await Engine().asked()):
            log("loop", [item async for item in chunks])
            await log.attempted("close", chunks.close())
        for chunks in (Engine().stream(), await Engine().asked()):
            await log.attempted("next", chunks.__anext__())
            await log.attempted("last", chunks.__anext__())
            await log.attempted("over", chunks.__anext__())
        async with Engine().stream() as entered:
            log("entered", entered)
        left = Engine().stream()
        await log.attempted("next", left.__anext__())
        await log.attempted("close", left.close())
        futures = Engine().futures()
        log("future", asyncio.isfuture(futures.__anext__()), [item async for item in futures])
        log.attempt("over", futures.__anext__)
        log("none to close", hasattr(futures, "aclose"), hasattr(futures, "close"))
        del futures  # nobody sees its end, so it is over when it is gone: also where a traceback holds this frame

    yield [(Engine, "stream"), (Engine, "asked"), (Engine, "futures")]
    asyncio.run(main())


@_shape
def iterator_of_both_kinds(log: Transcript) -> Play:
    """An iterator that can be asked as an asynchronous one too, given at once and by a coroutine."""

    class Chunks:
        left = 2

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> int:
            if not self.left:
                raise StopIteration
            self.left -= 1
            return self.left

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> int:
            await asyncio.sleep(0)
            if not self.left:
                raise StopAsyncIteration
            return next(self)

        def close(self) -> str:
            return "closed"

    class Engine:
        def stream(self) -> Any:
            return Chunks()

        async def asked(self) -> Any:
            return Chunks()

    async def main() -> None:
        for chunks in (Engine().stream(), await Engine().asked()):
            log("awaited", [item async for item in chunks], list(chunks))
            await log.attempted("over", chunks.__anext__())
        mixed = await Engine().asked()
        log("one", next(mixed), "other", [item async for item in mixed])
        left = await Engine().asked()
        await log.attempted("one", left.__anext__())
        log.attempt("close", left.close)

    yield [(Engine, "stream"), (Engine, "asked")]
    chunks = Engine().stream()
    log("kinds", isinstance(chunks, AsyncIterator), isinstance(chunks, Iterable), iter(chunks) is chunks)
    log("plainly", list(chunks), list(chunks), chunks.close())
    asyncio.run(main())


@_shape
def iterator_that_is_iterated_otherwise(log: Transcript) -> Play:
    """An iterator whose ``__iter__`` is a generator, as that of a model client's stream is."""

    class Chunks:
        asked = False

        def __iter__(self) -> Any:
            log("iterated")
            yield from (1, 2)
            log("over")

        def __next__(self) -> int:
            if self.asked:
                raise StopIteration
            self.asked = True
            return 3

        def __enter__(self) -> Any:
            return "entered"

        def __exit__(self, *_: object) -> None:
            pass

    class Engine:
        def stream(self) -> Any:
            return Chunks()

    yield [(Engine, "stream")]
    chunks = Engine().stream()
    log.attempt("next", next, chunks)
    log.attempt("loop", list, chunks)
    log.attempt("once more", list, chunks)
    log.attempt("at once", list, Engine().stream())
    with Engine().stream() as entered:
        log("entered", entered)


@_shape
def iterators_of_the_language(log: Transcript) -> Play:
    """``map``, ``zip``, ``iter`` and friends: iterators without ``close``."""

    class Engine:
        def stream(self, kind: str) -> Any:
            made = {"map": map(str, range(2)), "list": iter([1, 2]), "zip": zip("ab", "cd", strict=True)}
            return made[kind]

    yield [(Engine, "stream")]
    for kind in ("map", "list", "zip"):
        stream = Engine().stream(kind)
        log("looks", stream.__class__.__name__, hasattr(stream, "close"), hasattr(stream, "send"))
        log.attempt(kind, list, stream)


@_shape
def iterator_that_fails(log: Transcript) -> Play:
    """An iterator object that raises in the middle and goes on afterwards."""

    class Chunks:
        step = 0

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> int:
            self.step += 1
            if self.step == 2:
                raise log.named("failure", OSError("cut"))
            if self.step == 4:
                raise StopIteration
            return self.step

    class Engine:
        def stream(self) -> Any:
            return Chunks()

    yield [(Engine, "stream")]
    chunks = Engine().stream()
    for n in range(4):
        log.attempt(str(n), next, chunks)


@_shape
def iterables_are_no_iterators(log: Transcript) -> Play:
    """Lists, strings, ranges and files' names come back as they are."""
    kept = [log.named("list", [1, 2]), log.named("range", range(2)), log.named("dict", {"a": 1})]

    class Engine:
        def stream(self, n: int) -> Any:
            return kept[n]

    yield [(Engine, "stream")]
    for n in range(3):
        log.attempt(str(n), Engine().stream, n)


# ------------------------------------------------------------------------------------------------------- async
@_shape
def coroutine_function(log: Transcript) -> Play:
    """A coroutine function: results, exceptions and what one can ask of it."""
    answer = log.named("answer", object())

    class Engine:
        async def run(self, error: BaseException | None = None) -> Any:
            """Run."""
            log("began")
            await asyncio.sleep(0)
            if error is not None:
                raise error
            return answer

    async def main() -> None:
        coroutine = Engine().run()
        log(
            "type",
            type(coroutine) is types.CoroutineType,
            inspect.iscoroutine(coroutine),
            inspect.isawaitable(coroutine),
        )
        log("called", coroutine.__name__, coroutine.__qualname__, inspect.getcoroutinestate(coroutine))
        await log.attempted("awaited", coroutine)
        log("state", inspect.getcoroutinestate(coroutine))
        await log.attempted("again", coroutine)
        await log.attempted("fails", Engine().run(log.named("failure", ValueError("no"))))
        await log.attempted("task", asyncio.create_task(Engine().run()))
        await log.attempted("gathered", asyncio.gather(Engine().run(), Engine().run()))
        await log.attempted("in time", asyncio.wait_for(Engine().run(), 60))

    yield [(Engine, "run")]
    _about(log, Engine.run)
    _about(log, Engine().run)
    log.attempt("main", asyncio.run, main())


@_shape
def coroutine_cancelled(log: Transcript) -> Play:
    """A task that is cancelled cleans up, or refuses to go."""

    class Engine:
        async def run(self, *, stay: bool = False) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                log("cancelled", error)
                if not stay:
                    raise
            finally:
                await asyncio.sleep(0)
                log("cleaned up")
            return "stayed"

    async def main() -> None:
        for stay in (False, True):
            task = asyncio.create_task(Engine().run(stay=stay))
            await asyncio.sleep(0)
            task.cancel("enough")
            await log.attempted("task", task)
            log("was cancelled", task.cancelled())
        await log.attempted("too late", asyncio.wait_for(Engine().run(), 0.001))

    yield [(Engine, "run")]
    log.attempt("main", asyncio.run, main())


@_shape
def coroutine_driven_by_hand(log: Transcript) -> Play:
    """``send``, ``throw`` and ``close``, as event loops other than asyncio's use them."""

    @types.coroutine
    def pause(value: Any) -> Any:
        return (yield value)

    class Engine:
        async def run(self) -> Any:
            try:
                log("got", await pause("one"))
                log("got", await pause("two"))
            except LookupError as error:
                return error
            finally:
                log("cleaned up")
            return "done"

    yield [(Engine, "run")]
    coroutine = Engine().run()
    log.attempt("begin", coroutine.send, None)
    log.attempt("send", coroutine.send, log.named("sent", object()))
    log.attempt("end", coroutine.send, None)
    coroutine = Engine().run()
    coroutine.send(None)
    log.attempt("throw", coroutine.throw, log.named("lookup", LookupError("in")))
    coroutine = Engine().run()
    coroutine.send(None)
    log.attempt("close", coroutine.close)
    log.attempt("never begun", Engine().run().close)


@_shape
def async_generator(log: Transcript) -> Play:
    """An async generator: in a loop, by ``asend``, ``athrow`` and ``aclose``."""
    items = [log.named(f"item {n}", object()) for n in range(2)]

    class Engine:
        async def stream(self) -> AsyncIterator[Any]:
            """Stream."""
            try:
                for item in items:
                    await asyncio.sleep(0)
                    try:
                        log("got", (yield item))
                    except LookupError as error:
                        log("heard", error)
                        yield "answer"
            finally:
                await asyncio.sleep(0)
                log("cleaned up")

    async def main() -> None:
        stream = Engine().stream()
        log("type", type(stream) is types.AsyncGeneratorType, stream.__name__, stream.__qualname__)
        log("loop", [item async for item in stream])
        await log.attempted("over", anext(stream))
        stream = Engine().stream()
        await log.attempted("first", stream.asend(None))
        await log.attempted("asend", stream.asend(log.named("sent", object())))
        await log.attempted("athrow", stream.athrow(log.named("lookup", LookupError("in"))))
        await log.attempted("through", stream.athrow(log.named("value", ValueError("out"))))
        await log.attempted("over", anext(stream))
        stream = Engine().stream()
        await log.attempted("begun", anext(stream))
        await log.attempted("aclose", stream.aclose())
        await log.attempted("again", stream.aclose())
        await log.attempted("over", anext(stream))
        await log.attempted("never begun", Engine().stream().aclose())
        async for item in (stream := Engine().stream()):
            log("left at", item)
            break
        await stream.aclose()

    yield [(Engine, "stream")]
    _about(log, Engine.stream)
    log.attempt("main", asyncio.run, main())


@_shape
def async_generator_that_misbehaves(log: Transcript) -> Play:
    """Async generators that stay, fail while leaving, or return when told to leave."""

    class Engine:
        async def stays(self) -> AsyncIterator[Any]:
            try:
                yield 1
            finally:
                yield 2

        async def stuck(self) -> AsyncIterator[Any]:
            try:
                yield 1
            except GeneratorExit:
                raise log.named("stuck", OSError("stuck"))  # noqa: B904 - the context is the point

        async def returns(self) -> AsyncIterator[Any]:
            try:
                yield 1
            except GeneratorExit as leaving:
                log("told to leave", type(leaving).__name__, leaving.__context__)

    async def main() -> None:
        for name in ("stays", "stuck", "returns"):
            stream = getattr(Engine(), name)()
            await log.attempted(name, anext(stream))
            await log.attempted("aclose", stream.aclose())
            await log.attempted("after", anext(stream))

    yield [(Engine, "stays"), (Engine, "stuck"), (Engine, "returns")]
    with log.unraisable():
        log.attempt("main", asyncio.run, main())


@_shape
def async_generator_left_open(log: Transcript) -> Play:
    """What the event loop closes for those who forget, it closes once and in peace."""

    class Engine:
        async def stream(self) -> AsyncIterator[Any]:
            try:
                yield 1
                yield 2
            finally:
                for _ in range(3):
                    await asyncio.sleep(0)
                log("cleaned up")

    kept: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, details: log("loop complains", details["message"]))
        kept.append(Engine().stream())
        await log.attempted("kept until the loop ends", anext(kept[0]))
        dropped = Engine().stream()
        await log.attempted("dropped", anext(dropped))
        del dropped
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
        log("main is over")

    yield [(Engine, "stream")]
    with log.unraisable():
        log.attempt("main", asyncio.run, main())


@_shape
def async_tasks_interleaved(log: Transcript) -> Play:
    """Coroutines and async generators of several tasks, in turns."""

    class Engine:
        async def stream(self, name: str) -> AsyncIterator[Any]:
            for n in range(2):
                await asyncio.sleep(0)
                yield name, n

        async def run(self, name: str) -> Any:
            return [item async for item in self.stream(name)]

    async def main() -> None:
        await log.attempted("both", asyncio.gather(*(Engine().run(name) for name in "abc")))

    yield [(Engine, "stream"), (Engine, "run")]
    log.attempt("main", asyncio.run, main())


@_shape
def async_context_variables(log: Transcript) -> Play:
    """What a coroutine or an async generator sets in its task's context stays there."""
    gear: contextvars.ContextVar[str] = contextvars.ContextVar("gear", default="neutral")

    class Engine:
        async def shift(self) -> None:
            gear.set("first")
            await asyncio.sleep(0)
            log("inside", gear.get())

        async def stream(self) -> AsyncIterator[str]:
            gear.set("second")
            yield gear.get()
            gear.set("third")
            yield gear.get()

    async def main() -> None:
        await Engine().shift()
        log("after", gear.get())
        async for _ in Engine().stream():
            log("between", gear.get())
        log("at last", gear.get())

    yield [(Engine, "shift"), (Engine, "stream")]
    log.attempt("main", asyncio.run, main())


# ------------------------------------------------------------------------------------------------ never finished
@_shape
def never_worked_off(log: Transcript) -> Play:
    """Results nobody ever begins with."""

    class Engine:
        def stream(self) -> Any:
            log("began")
            yield 1

        async def run(self) -> None:
            log("began")

        async def astream(self) -> AsyncIterator[int]:
            log("began")
            yield 1

        def iterate(self) -> Any:
            return iter([1])

    yield [(Engine, name) for name in ("stream", "run", "astream", "iterate")]
    engine = Engine()
    with log.unraisable(), warnings_shown(log):
        for name in ("stream", "run", "astream", "iterate"):
            getattr(engine, name)()
            gc.collect()
            log("dropped", name)


@contextlib.contextmanager
def warnings_shown(log: Transcript) -> Iterator[None]:
    """Write down the warnings of the block."""
    import warnings  # noqa: PLC0415 - the only use

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        yield
        gc.collect()
    log("warnings", [str(warning.message) for warning in shown])


@_shape
def collected_midway(log: Transcript) -> Play:
    """A stream in a reference cycle, cleaned up by the garbage collector."""

    class Engine:
        def stream(self) -> Any:
            try:
                yield 1
            finally:
                log("cleaned up")

    class Holder:
        stream: Any = None

    yield [(Engine, "stream")]
    holder = Holder()
    holder.stream = _begun(Engine().stream())
    holder.me = holder
    log("in a cycle")
    del holder
    gc.collect()
    log("collected")
