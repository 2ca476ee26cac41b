"""Callables of many shapes, as programs have them, and what a program can see of each.

A shape names its targets as a table of the settings would, and plays a small program with them: everything that can be
seen is written down. With and without a wrap the transcripts are the same.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import copy
import dataclasses
import enum
import functools
import gc
import inspect
import pickle
import sys
import types
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, overload, runtime_checkable

from support.hosts import pickled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from support.hosts import Transcript

HERE = sys.modules[__name__]

ANSWER = object()
"""What most of them give: to be told apart from its likeness."""

FAILURE = ValueError("no")
"""What most of them raise when told to."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """One shape.

    Args:
        targets: their places in this module.
        play: the program.
        refused: whether it is of a kind that cannot be wrapped.
        tables: about it, where the usual ones will not do; targets without the module.
    """

    targets: tuple[str, ...]
    play: Callable[[Transcript], None]
    refused: bool = False
    tables: tuple[dict[str, Any], ...] = ()


SHAPES: dict[str, Shape] = {}


def _shape(
    *targets: str, refused: bool = False, tables: tuple[dict[str, Any], ...] = ()
) -> Callable[[Callable[[Transcript], None]], None]:
    def keep(play: Callable[[Transcript], None]) -> None:
        SHAPES[play.__name__.strip("_")] = Shape(targets, play, refused, tables)

    return keep


def played(shape: Shape, log: Transcript) -> list[tuple[Any, ...]]:
    """Play a shape; gives the transcript."""
    log.named("answer", ANSWER)
    log.named("failure", FAILURE)
    FAILURE.__traceback__ = FAILURE.__context__ = None
    with log.unraisable(), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        log.attempt("the program", shape.play, log)
    log("warned", *(str(warning.message) for warning in warned))
    return log.closed()


def _about(log: Transcript, callable_: Any) -> None:
    """Everything one can ask of a callable without calling it."""
    log.attempt("signature", lambda: str(inspect.signature(callable_)))
    log("kinds", *(kind(callable_) for kind in _KINDS), callable(callable_))
    log("called", *(getattr(callable_, name, "none") for name in ("__name__", "__qualname__", "__module__", "__doc__")))
    log("defaults", *(getattr(callable_, name, "none") for name in ("__defaults__", "__kwdefaults__")))
    log("annotations", sorted(getattr(callable_, "__annotations__", {})))
    log("pickled", pickled(callable_))
    log.attempt("copied", lambda: copy.copy(callable_) == callable_)


_KINDS = (
    inspect.isfunction,
    inspect.ismethod,
    inspect.isroutine,
    inspect.isbuiltin,
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    inspect.isclass,
)


def _called(log: Transcript, callable_: Callable[..., Any]) -> None:
    """It is asked about, and called in all ways it can be."""
    _about(log, callable_)
    log.attempt("called", callable_)
    log.attempt("by position", callable_, "a")
    log.attempt("by name", callable_, key="b")
    log.attempt("fails", callable_, FAILURE)
    log.attempt("wrongly", callable_, 1, 2, 3, 4)
    log.attempt("misnamed", callable_, nonsense=1)


def _answer(key: Any) -> Any:
    if isinstance(key, BaseException):
        raise key
    return ANSWER if key is None else key


# ----------------------------------------------------------------------------------------------------- functions
def function(key: Any = None) -> Any:
    """A function of a module."""
    return _answer(key)


@_shape("function")
def function_(log: Transcript) -> None:
    _called(log, HERE.function)
    log("by reference", pickle.loads(pickle.dumps(HERE.function)) is HERE.function)  # noqa: S301 - our own


anonymous = lambda key=None: _answer(key)  # noqa: E731 - the shape


@_shape("anonymous")
def lambda_(log: Transcript) -> None:
    _called(log, HERE.anonymous)


def _logged(function_: Any) -> Any:
    @functools.wraps(function_)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function_(*args, **kwargs)

    return wrapper


@_logged
def decorated(key: Any = None) -> Any:
    """Decorated, as decorators should."""
    return _answer(key)


@_shape("decorated")
def decorated_function(log: Transcript) -> None:
    _called(log, HERE.decorated)
    log("wraps", HERE.decorated.__wrapped__.__name__)


@_logged
async def decorated_coroutine(key: Any = None) -> Any:
    await asyncio.sleep(0)
    return _answer(key)


@_shape("decorated_coroutine")
def decorated_coroutine_function(log: Transcript) -> None:
    _about(log, HERE.decorated_coroutine)
    log.attempt("ran", asyncio.run, _awaiting(log, HERE.decorated_coroutine))


@overload
def overloaded(key: str) -> str: ...
@overload
def overloaded(key: None = None) -> object: ...
def overloaded(key: Any = None) -> Any:
    return _answer(key)


@_shape("overloaded")
def overloaded_function(log: Transcript) -> None:
    _called(log, HERE.overloaded)


def parameters(first: Any, /, second: Any = 2, *rest: Any, named: Any = ANSWER, **others: Any) -> Any:
    return first, second, rest, named, others


@_shape("parameters")
def parameters_of_all_kinds(log: Transcript) -> None:
    _about(log, HERE.parameters)
    log.attempt("least", HERE.parameters, 1)
    log.attempt("most", HERE.parameters, 1, 2, 3, 4, named=5, other=6, key=7, first=8)
    log.attempt("missing", HERE.parameters)
    log.attempt("by name", HERE.parameters, first=1)


@functools.lru_cache(maxsize=2)
def cached(key: Any = None) -> Any:
    """Remembered."""
    return [_answer(key)]


@_shape("cached")
def cached_function(log: Transcript) -> None:
    HERE.cached.cache_clear()
    _about(log, HERE.cached)
    log("same", HERE.cached() is HERE.cached(), HERE.cached("a") is HERE.cached("a"))
    log.attempt("fails", HERE.cached, FAILURE)
    log("info", tuple(HERE.cached.cache_info()), HERE.cached.cache_parameters())


def recursive(depth: int) -> Any:
    return ANSWER if depth == 0 else HERE.recursive(depth - 1)


@_shape("recursive")
def recursive_function(log: Transcript) -> None:
    log.attempt("deep", HERE.recursive, 20)
    log.attempt("too deep", _too_deep)


def _too_deep() -> str:
    try:
        HERE.recursive(100_000)
    except RecursionError as error:
        return type(error).__name__
    return "came back"


half = functools.partial(function, "half")
size = len


@_shape("half", refused=True)
def partial_of_a_module(log: Transcript) -> None:
    _about(log, HERE.half)
    log.attempt("called", HERE.half)
    log("whose", type(HERE.half).__name__, HERE.half.func is function, HERE.half.args)


@_shape("size", refused=True)
def builtin_written_in_c(log: Transcript) -> None:
    _about(log, HERE.size)
    log("same", HERE.size is len)


# ------------------------------------------------------------------------------------------------------- methods
def kept(key: Any = None) -> Any:
    """One that others have as well."""
    return _answer(key)


renamed = kept


def keepers() -> list[Any]:
    """A registry, a class and a default argument that have it."""

    class Client:
        ask = staticmethod(kept)
        named = kept

    def calls(key: Any = None, call: Callable[..., Any] = kept) -> Any:
        return call(key)

    return [{"kept": kept}, Client, calls]


KEPT = keepers()


@_shape("kept")
def function_kept_elsewhere(log: Transcript) -> None:
    _called(log, HERE.renamed)
    log("renamed", HERE.renamed is HERE.kept)
    for callable_ in (KEPT[0]["kept"], KEPT[1].ask, KEPT[1].named, KEPT[2]):  # which are who they were before
        log.attempt("called", callable_, "a")
        log.attempt("fails", callable_, FAILURE)


class Service:
    """What programs have most of."""

    label = "service"

    def __init__(self, label: str = "made") -> None:
        self.label = label

    def method(self, key: Any = None) -> Any:
        """A method."""
        return _answer(key)

    @staticmethod
    def static(key: Any = None) -> Any:
        return _answer(key)

    @classmethod
    def of_class(cls, key: Any = None) -> Any:
        return cls if key == "a" else _answer(key)

    def hidden(self, key: Any = None) -> Any:
        return _answer(key)

    @property
    def shown(self) -> Any:
        return self.hidden

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Service) and other.label == self.label

    def __hash__(self) -> int:
        return hash(self.label)


@_shape("Service.method")
def method(log: Transcript) -> None:
    service = Service()
    _called(log, service.method)
    _about(log, Service.method)
    log.attempt("by class", Service.method, service, "a")
    log.attempt("by class, of nobody", Service.method)
    log("self", service.method.__self__ is service, service.method == service.method)
    log("named", Service.__dict__["method"].__name__, "method" in vars(Service))


@_shape("Service.static")
def static_method(log: Transcript) -> None:
    _called(log, Service.static)
    _called(log, Service().static)
    log("kind", isinstance(inspect.getattr_static(Service, "static"), staticmethod))


@_shape("Service.of_class")
def class_method(log: Transcript) -> None:
    _called(log, Service.of_class)
    log.attempt("of an object", Service().of_class, "a")
    log("kind", isinstance(inspect.getattr_static(Service, "of_class"), classmethod))


@_shape("Service.hidden")
def method_behind_a_property(log: Transcript) -> None:
    _called(log, Service().shown)


@_shape("Service.__init__")
def constructor(log: Transcript) -> None:
    _about(log, Service)
    log.attempt("made", lambda: Service("x").label)
    log.attempt("wrongly", Service, 1, 2, 3)
    log.attempt("pickled", lambda: pickle.loads(pickle.dumps(Service("x"))).label)  # noqa: S301 - our own


bound = Service("bound").method
keeper = Service("keeper")


@_shape("bound", refused=True)
def method_of_an_object_of_a_module(log: Transcript) -> None:
    _called(log, HERE.bound)


@_shape("keeper.method")
def method_of_one_object(log: Transcript) -> None:
    _called(log, HERE.keeper.method)
    _called(log, Service().method)


@_shape("Service.shown", refused=True)
def property_itself(log: Transcript) -> None:
    _called(log, Service().shown)
    log("kind", isinstance(inspect.getattr_static(Service, "shown"), property))


class Router:
    """An object that is called."""

    def __call__(self, key: Any = None) -> Any:
        """Call it."""
        return _answer(key)


router = Router()
other_router = Router()


@_shape("router")
def callable_object(log: Transcript) -> None:
    log("as it is", type(HERE.router) is Router, HERE.router is router)
    _called(log, HERE.router)
    _called(log, other_router)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int = 1

    def method(self, key: Any = None) -> Any:
        return _answer(key)


@_shape("Point.method")
def dataclass_method(log: Transcript) -> None:
    _called(log, Point().method)
    log("equal", Point() == Point(), repr(Point()), dataclasses.astuple(Point()), hash(Point()) == hash(Point()))


class Slotted:
    __slots__ = ("key",)

    def method(self, key: Any = None) -> Any:
        return _answer(key)


@_shape("Slotted.method")
def slots_class(log: Transcript) -> None:
    _called(log, Slotted().method)
    log("no dict", hasattr(Slotted(), "__dict__"), Slotted.__slots__)


class Colour(enum.Enum):
    RED = "red"

    def method(self, key: Any = None) -> Any:
        return self if key == "a" else _answer(key)


@_shape("Colour.method")
def enumeration_method(log: Transcript) -> None:
    _called(log, Colour.RED.method)
    log("members", [member.name for member in Colour], Colour("red") is Colour.RED)


class Pair(NamedTuple):
    left: int = 1

    def method(self, key: Any = None) -> Any:
        return _answer(key)


@_shape("Pair.method")
def named_tuple_method(log: Transcript) -> None:
    _called(log, Pair().method)
    log("tuple", Pair() == (1,), Pair._fields)


class Meta(type):
    made: ClassVar[list[str]] = []

    def create(cls, key: Any = None) -> Any:
        return cls if key == "a" else _answer(key)


class Made(metaclass=Meta):
    pass


@_shape("Meta.create")
def metaclass_method(log: Transcript) -> None:
    _called(log, Made.create)
    log("class", type(Made) is Meta, hasattr(Made(), "create"))


class Abstract(abc.ABC):
    @abc.abstractmethod
    def method(self, key: Any = None) -> Any:
        """To be defined."""
        return _answer(key)


class Concrete(Abstract):
    def method(self, key: Any = None) -> Any:
        return super().method(key)


@_shape("Abstract.method")
def abstract_method(log: Transcript) -> None:
    log.attempt("abstract", lambda: Abstract() and None)  # type: ignore[abstract]
    _called(log, Concrete().method)
    log("still", sorted(Abstract.__abstractmethods__), inspect.isabstract(Abstract), inspect.isabstract(Concrete))

    class Missing(Abstract):
        pass

    log.attempt("missing", lambda: Missing() and None)  # type: ignore[abstract]


@runtime_checkable
class Runs(Protocol):
    def method(self, key: Any = None) -> Any: ...


class Runner(Runs):
    def method(self, key: Any = None) -> Any:
        return _answer(key)


@_shape("Runs.method")
def protocol_implementation(log: Transcript) -> None:
    _called(log, Runner().method)
    log("is one", *(isinstance(each, Runs) for each in (Runner(), Service(), 3)), issubclass(Service, Runs))


class Outer:
    class Inner:  # noqa: D106 - the shape
        def method(self, key: Any = None) -> Any:
            return _answer(key)


@_shape("Outer.Inner.method")
def nested_class(log: Transcript) -> None:
    _called(log, Outer.Inner().method)


# --------------------------------------------------------------------------------------------------- inheritance
class Base:
    def inherited(self, key: Any = None) -> Any:
        return _answer(key)

    def overridden(self, key: Any = None) -> Any:
        return [type(self).__name__, _answer(key)]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()
        cls.announced = sorted(kwargs)  # type: ignore[attr-defined]


class Child(Base, loud=True):
    def overridden(self, key: Any = None) -> Any:
        return [*super().overridden(key), "child"]


class Sibling(Base):
    pass


@_shape("Child.inherited")
def inherited_method(log: Transcript) -> None:
    _called(log, Child().inherited)
    _called(log, Sibling().inherited)
    log("where", "inherited" in vars(Child), "inherited" in vars(Base), Child.inherited == Base.inherited)


@_shape("Base.overridden")
def overridden_method(log: Transcript) -> None:
    _called(log, Child().overridden)
    _called(log, Sibling().overridden)

    class Late(Child, late=1):
        def overridden(self, key: Any = None) -> Any:
            return [*super().overridden(key), "late"]

    _about(log, Late().overridden)
    log.attempt("late", Late().overridden, "a")
    log("announced", Child.announced, Late.announced)


class Mixin:
    def mixed(self, key: Any = None) -> Any:
        return [_answer(key), type(self).__name__]


class Mixed(Mixin, Base):
    pass


@_shape("Mixed.mixed")
def mixed_in_method(log: Transcript) -> None:
    _called(log, Mixed().mixed)
    log("order", [each.__name__ for each in Mixed.__mro__])


# ------------------------------------------------------------------------------------------------ worked off later
def stream(key: Any = None) -> Generator[Any, Any, Any]:
    """A generator of all trades."""
    try:
        got = yield ANSWER
        while got is not None:
            try:
                got = yield got
            except KeyError as error:  # noqa: PERF203 - a generator that catches
                got = yield ("caught", error)
        yield _answer(key)
    finally:
        if key == "late":
            yield "in the end"
    return ANSWER


@_shape("stream")
def generator(log: Transcript) -> None:
    _about(log, HERE.stream)
    made = HERE.stream()
    log("type", type(made) is types.GeneratorType, made.__name__, made.__qualname__, inspect.getgeneratorstate(made))
    log.attempt("all", list, HERE.stream("a"))
    log.attempt("returns", _returned, HERE.stream())
    log.attempt("fails", list, HERE.stream(FAILURE))
    talking = HERE.stream()
    log.attempt("next", next, talking)
    log.attempt("send", talking.send, "x")
    log.attempt("throw", talking.throw, KeyError("k"))
    log.attempt("throw through", talking.throw, FAILURE)
    log.attempt("after", next, talking)
    log.attempt("too early", HERE.stream().send, 1)
    closing = HERE.stream()
    next(closing)
    log.attempt("close", closing.close)
    log.attempt("closed", next, closing)
    staying = HERE.stream("late")
    next(staying)
    log.attempt("stays", staying.close)
    log.attempt("never begun", HERE.stream().close)


def _returned(made: Generator[Any, Any, Any]) -> Any:
    return (yield_from := _from(made)) and _last(yield_from)


def _from(made: Generator[Any, Any, Any]) -> Generator[Any, Any, None]:
    value = yield from made
    yield "returned", value


def _last(made: Iterator[Any]) -> Any:
    return list(made)[-1]


class Streaming:
    def __init__(self) -> None:
        self.current: Any = None

    def streaming(self, key: Any = None) -> Any:
        self.current = stream(key)
        return self.current

    def iterating(self) -> Any:
        self.current = map(str, [1, 2])
        return self.current

    async def process(self, key: Any = None) -> AsyncIterator[Any]:
        """Stream."""
        try:
            got = yield ANSWER
            while got is not None:
                try:
                    got = yield got
                except KeyError as error:  # noqa: PERF203 - likewise
                    got = yield ("caught", error)
            await asyncio.sleep(0)
            yield _answer(key)
        finally:
            await asyncio.sleep(0)


@_shape("Streaming.streaming")
def method_that_returns_a_generator(log: Transcript) -> None:
    _about(log, Streaming().streaming)
    log.attempt("all", list, Streaming().streaming("a"))
    log.attempt("fails", list, Streaming().streaming(FAILURE))


@_shape("Streaming.iterating")
def method_that_returns_an_iterator(log: Transcript) -> None:
    log.attempt("all", list, Streaming().iterating())


@_shape("Streaming.process")
def async_generator(log: Transcript) -> None:
    _about(log, Streaming().process)
    made = Streaming().process()
    log("type", type(made) is types.AsyncGeneratorType, made.__name__, made.__qualname__)
    log.attempt("ran", asyncio.run, _streaming(log, Streaming()))


async def _streaming(log: Transcript, host: Any) -> None:
    await log.attempted("all", _all(host.process("a")))
    await log.attempted("fails", _all(host.process(FAILURE)))
    talking = host.process()
    await log.attempted("next", talking.__anext__())
    await log.attempted("send", talking.asend("x"))
    await log.attempted("throw", talking.athrow(KeyError("k")))
    await log.attempted("throw through", talking.athrow(FAILURE))
    await log.attempted("after", talking.__anext__())
    closing = host.process()
    await closing.__anext__()
    await log.attempted("close", closing.aclose())
    await log.attempted("closed", closing.__anext__())
    await log.attempted("never begun", host.process().aclose())
    left = host.process()
    await left.__anext__()


async def _all(made: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in made]


async def coroutine(key: Any = None) -> Any:
    """A coroutine function."""
    await asyncio.sleep(0)
    return _answer(key)


@_shape("coroutine")
def coroutine_function(log: Transcript) -> None:
    _about(log, HERE.coroutine)
    log.attempt("ran", asyncio.run, _awaiting(log, HERE.coroutine))


async def _awaiting(log: Transcript, function_: Any) -> None:
    made = function_()
    log("type", type(made) is types.CoroutineType, made.__name__, made.__qualname__)
    await log.attempted("awaited", made)
    await log.attempted("again", made)
    await log.attempted("fails", function_(FAILURE))
    await log.attempted("task", asyncio.create_task(function_("a")))
    await log.attempted("gathered", asyncio.gather(function_("a"), function_("b")))
    waiting = asyncio.create_task(function_("c"))
    waiting.cancel()
    await log.attempted("cancelled", waiting)


@_shape("coroutine")
def coroutine_never_awaited(log: Transcript) -> None:
    HERE.coroutine()
    gc.collect()


@types.coroutine
def awaitable(key: Any = None) -> Generator[Any, Any, Any]:
    """A generator that may be awaited: what coroutines were before they had a syntax."""
    yield from asyncio.sleep(0).__await__()
    return _answer(key)


@_shape("awaitable")
def generator_that_is_awaited(log: Transcript) -> None:
    async def main() -> None:
        made = HERE.awaitable()
        log("type", type(made) is types.GeneratorType, inspect.isawaitable(made), made.__name__, made.__qualname__)
        await log.attempted("awaited", made)
        await log.attempted("fails", HERE.awaitable(FAILURE))
        waiting = asyncio.ensure_future(HERE.awaitable("a"))
        waiting.cancel()
        await log.attempted("cancelled", waiting)

    _about(log, HERE.awaitable)
    log.attempt("ran", asyncio.run, main())
    log("by hand", *HERE.awaitable("b"))


@contextlib.contextmanager
def opened(key: Any = None) -> Iterator[Any]:
    """A context manager."""
    yield _answer(key)


@_shape("opened")
def context_manager(log: Transcript) -> None:
    _about(log, HERE.opened)
    with HERE.opened() as inside:
        log("inside", inside)
    log.attempt("fails", lambda: HERE.opened(FAILURE).__enter__())
    with contextlib.suppress(KeyError), HERE.opened():
        raise KeyError("k")
    log.attempt("as a decorator", HERE.opened()(lambda: ANSWER))


@contextlib.asynccontextmanager
async def aopened(key: Any = None) -> AsyncIterator[Any]:
    yield _answer(key)


@_shape("aopened")
def async_context_manager(log: Transcript) -> None:
    async def main() -> None:
        async with HERE.aopened() as inside:
            log("inside", inside)
        await log.attempted("fails", HERE.aopened(FAILURE).__aenter__())

    _about(log, HERE.aopened)
    log.attempt("ran", asyncio.run, main())


# ------------------------------------------------------------------------------------------------------ hostile
class Hostile:
    """An object that does not like to be looked at."""

    @property
    def name(self) -> Any:
        raise KeyError("not for you")

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __eq__(self, other: object) -> bool:
        raise TypeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("asked for its truth")

    def __len__(self) -> int:
        raise TypeError("measured")

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("iterated")

    def __str__(self) -> str:
        raise TypeError("shown")

    __repr__ = __str__

    def method(self, key: Any = None) -> Any:
        return key


@_shape("Hostile.method")
def hostile_object(log: Transcript) -> None:
    host = log.named("host", Hostile())
    given = log.named("given", Hostile())
    log.attempt("called", host.method, given)
    log.attempt("called", host.method)


@_shape("Service.metod", "nowhere", "keeper.metod", "Nobody.method", "Service", "FAILURE", refused=True)
def what_is_not_there(log: Transcript) -> None:
    _called(log, HERE.keeper.method)


WRONG: tuple[dict[str, Any], ...] = (
    {"target": "function", "as": "tool", "nmae": "key", "fields": {"x": "kye", "y": "a..b"}, "outcome": "result"},
    {"target": "nowhere_at_all.module:function", "as": "tool"},
    {"target": "support.nowhere:function", "as": "tool"},
)


@_shape("function", tables=WRONG)
def what_is_written_wrongly(log: Transcript) -> None:
    _called(log, HERE.function)


# -------------------------------------------------------------------------------------------------- a small system
class Settings:
    model = "small"


class Client:
    """A model, at once and streamed."""

    async def ask(self, messages: list[str]) -> Any:
        return [part async for part in self.stream(messages)]

    async def stream(self, messages: list[str]) -> AsyncIterator[Any]:
        for _ in messages:
            yield {"usage": {"prompt_tokens": 2, "completion_tokens": 1}, "calls": [1]}
        yield {"id": "answer", "kind": "last"}


class Worker:
    """An agent of several."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def work(self, task: str) -> Any:
        if task == "fail":
            raise FAILURE
        self.use("search", {"query": task})
        self.decide("search", "call-1", "approve" if task == "a" else "reject")
        return await Client().ask([task, task])

    def use(self, tool: str, arguments: dict[str, Any]) -> str:
        return f"{tool} {len(arguments)}"

    def decide(self, tool: str, call_id: str, decision: str) -> str:
        return decision


class System:
    """Hands a task on from worker to worker."""

    async def process(self, session_id: str, *tasks: str) -> AsyncIterator[Any]:
        for number, task in enumerate(tasks):
            yield {"kind": "switch", "to": f"worker{number}"}
            yield await Worker(f"worker{number}").work(task)


SYSTEM: tuple[dict[str, Any], ...] = (
    {
        "target": "System.process",
        "as": "task",
        "name": "=system",
        "session_id": "session_id",
        "id": "tasks.0",
        "folder": "tasks.1",
    },
    {
        "target": "System.process",
        "as": "event",
        "event": "agent_switched",
        "when": "item",
        "if": {"item.kind": "switch"},
        "payload": {"from_agent": "=system", "to_agent": "item.to"},
    },
    {"target": "Worker.work", "as": "agent", "name": "self.name", "switch": True, "description": "task"},
    {"target": "Worker.use", "as": "tool", "name": "tool", "arguments": "arguments", "result": "result"},
    {"target": "Worker.decide", "as": "tool", "name": "tool", "refused": True, "if": {"decision": "reject"}},
    {
        "target": "Worker.decide",
        "as": "event",
        "event": "hitl_decision_made",
        "payload": {"call_id": "call_id", "decision": "decision", "tool_name": "tool"},
    },
    {"target": "Client.ask", "as": "model", "model": f"{__name__}:Settings.model", "messages": "messages"},
    {
        "target": "Client.stream",
        "as": "model",
        "model": f"{__name__}:Settings.model",
        "usage": "item.usage",
        "usage_style": "delta",
        "response_id": "item.id",
        "tool_calls": "item.calls",
    },
)


@_shape("System.process", "Worker.work", "Worker.use", "Worker.decide", "Client.ask", "Client.stream", tables=SYSTEM)
def small_system(log: Transcript) -> None:
    async def main() -> None:
        await log.attempted("done", _all(System().process("wrapped", "a", "b")))
        await log.attempted("failed", _all(System().process("wrapped", "a", "fail")))
        await log.attempted("streamed", _all(Client().stream(["x"])))

    log.attempt("ran", asyncio.run, main())
