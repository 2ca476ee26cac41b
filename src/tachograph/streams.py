"""Results that are worked off later: generators, coroutines, iterators, each also in its asynchronous form.

Each driver below is the host's object again, of the same type: values, ``send``, ``throw``, ``close`` and return
value pass through as ``yield from`` passes them. Around each resumption, in the same call, our context is attached
and detached again: a generator runs in its *consumer's* context, so nothing of ours may stay there while it is
suspended. The operation ends exactly once: on exhaustion, error, close, garbage collection, or never begun.
"""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import sys
import time
import types
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import wrapt

from tachograph import names
from tachograph.context import CURRENT, enter, here
from tachograph.drive import StandIn, Watch, drive
from tachograph.guard import of_a_signal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator
    from contextvars import ContextVar

    from opentelemetry.context import Context

    from tachograph.guard import Guard
    from tachograph.live import Live

    _Proxy = wrapt.ObjectProxy[Any]
else:  # generic from wrapt 2 on
    _Proxy = wrapt.ObjectProxy

F = TypeVar("F", bound="Callable[..., Any]")
Step = tuple[type[BaseException] | None, "Callable[..., Any]", "Iterator[Any]"]
"""What is asked of a generator: the type of what is thrown in, if anything, how to resume it, and with what."""


class Stream(Watch):
    """What the drivers tell of a result that is worked off later, and the watch over each of its steps.

    Args:
        guard: around everything here.
        live: the operation it belongs to, if it has one.
        context: gives the context to resume it in, made from its consumer's, if it needs one.
        item: told of each thing yielded.
        skip: whether ``item`` need not be told of it.
        through: what a coroutine gives may be worked off later as well, and is part of it then.
        over: told once of the end: the exception, if any (``GeneratorExit``: nobody wanted the rest), and the
            value returned, or the iterator itself where that is none.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        live: Live | None = None,
        context: Callable[[Context], Context] | None = None,
        item: Callable[[Any], None] | None = None,
        skip: Callable[[Any], bool] | None = None,
        through: bool = False,
        over: Callable[[BaseException | None, Any], None] | None = None,
    ) -> None:
        self.guard = guard
        self.kind: type = types.GeneratorType
        self._live = live
        self._context = context
        self._item = item
        self._skip = skip
        self.through = through
        self._over = over
        self._iterator: weakref.ref[Any] | None = None
        self._base: Context | None = None
        self._ours: Context | None = None
        self._leaving = False
        self._active = 0.0
        self._resumed: float | None = None

    def begin(self, thrown: type[BaseException] | None, *_: Any) -> Stream:
        """The host's code is about to go on, in our context or in what it has made current on top of it."""
        if thrown is not None:
            self._leaving = issubclass(thrown, GeneratorExit)
        if self._resumed is None:
            # What an awaitable waits for is its work: its time goes on until it has a result.
            self._resumed = time.perf_counter()
        self.token = None
        if self._context is not None:
            around = self._theirs()
            if around is None:
                base = here()
                if base is not self._base:
                    self._base, self._ours = base, self.guard(self._context, base)
                around = self._ours
            self.token = None if around is None else enter(around)
        return self

    def returned(self, result: Any) -> Any:
        """A step gave a value; those of awaitables are futures, which are the event loop's business."""
        if self.kind is types.GeneratorType:
            self._yielded(result)
        return result

    def failed(self, error: BaseException) -> None:
        """A step gave no value: it stopped for good, but for the steps of asynchronous generators."""
        if self.kind is types.AsyncGeneratorType and isinstance(error, StopIteration):
            self._yielded(error.value)
        elif not isinstance(error, (StopIteration, StopAsyncIteration)):
            self._finished(error)
        elif self._leaving or not self.through or self.kind is not types.CoroutineType:
            self._finished(GeneratorExit() if self._leaving else None, getattr(error, "value", None))

    def gave(self, value: Any) -> Any:
        """What whoever awaited a coroutine is to have, which looks the same: driven, where it goes on with that."""
        if self._leaving or self.kind is not types.CoroutineType:
            return value
        self._pause()
        self.left = None
        driven = streamed(value, self)
        if driven is None:
            self._finished(None, value)
        return value if driven is None else driven

    def simply(self, inner: Any, items: Iterator[Any]) -> Generator[Any, Any, Step] | None:
        """The steps of a consumer who only asks for the next item, at a fraction of the cost; None if not to be had."""
        # Where the host's code has made a context of its own current, each step has to restore that.
        if self.kind is not types.GeneratorType or self._leaving or self._theirs() is not None or CURRENT is None:
            return None
        steps = self._simply(inner, items, CURRENT)
        next(steps)  # from here on nothing of ours can fail
        return steps

    def _simply(self, inner: Any, items: Iterator[Any], variable: ContextVar[Context]) -> Generator[Any, Any, Step]:
        # Whatever is out of the ordinary is left to a step of drive(), to which a generator that has ended raises what
        # is thrown into it.
        yield
        enter, leave, current = variable.set, variable.reset, variable.get
        step, clock, spent, item = inner.send, time.perf_counter, 0.0, next(items)
        ours, base, look, skip, guard = self._ours, self._base, self._item, self._skip, self.guard
        left = ours
        try:
            while True:
                try:
                    given = yield item
                except BaseException as error:  # noqa: BLE001 - it is on its way to the host's generator
                    return type(error), inner.throw, iter((error,))
                item = None
                if given is not None or left is not ours or (ours is not None and current() is not base):
                    return None, step, iter((given,))
                if ours is not None:
                    token = enter(ours)
                began = clock()
                try:
                    item = step(None)
                except BaseException as error:  # noqa: BLE001 - it is raised again
                    return None, inner.throw, iter((error,))
                finally:
                    spent += clock() - began
                    if ours is not None:
                        left = current()
                        leave(token)
                if look is not None:
                    try:
                        silent = skip is not None and skip(item)
                    except Exception as error:
                        if guard(of_a_signal, error):
                            raise
                        silent = False
                    if not silent:
                        guard(look, item)
        finally:
            self.left = left
            self._active += spent

    def _theirs(self) -> Context | None:
        # What the host's code has made current on top of our context, and left so when it stopped.
        return None if self.left is self._ours else self.left

    def _pause(self) -> None:
        if self._resumed is not None:
            self._active += time.perf_counter() - self._resumed
            self._resumed = None

    def _yielded(self, value: Any) -> None:
        if self._leaving:
            self._finished(GeneratorExit())  # it stays, as it would without us; we do not wait for it
            return
        self._pause()
        if self._live is not None and names.ACTIVE_SECONDS not in self._live.later:
            self._live.later[names.ACTIVE_SECONDS] = 0.0
            if self._live.kind == "model":
                self._live.later[names.TIME_TO_FIRST_CHUNK] = self._active
        if self._item is not None:
            self.guard(self._item, value)

    def _finished(self, error: BaseException | None, value: Any = None) -> None:
        self._pause()
        over, self._over = self._over, None
        if over is not None:
            if self._live is not None:
                self._live.watch = None
                self._live.later[names.ACTIVE_SECONDS] = self._active
            if value is None and error is None and self._iterator is not None:
                value = self._iterator()
            over(error, value)

    def of(self, iterator: Any) -> None:
        """It is worked off by an iterator, which may know more in the end. Weak, as it may hold its own driver."""
        if self._iterator is None and type(iterator).__weakrefoffset__:
            self._iterator = weakref.ref(iterator)

    def watch(self, driver: Any) -> None:
        """End the operation when ``driver`` is collected without having been begun: no frame of it ever runs."""
        if self._live is not None:
            self._live.watch = weakref.ref(driver, functools.partial(self.guard, self._dropped))

    def _dropped(self, _: object) -> None:
        self._finished(GeneratorExit())


def streamed(result: Any, stream: Stream) -> Any:
    """``result`` with ``stream`` being told of it; None if it is nothing that is worked off later."""
    driver: Any
    kind = type(result)  # not what it claims to be
    if kind is types.GeneratorType and result.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        stream.kind = types.CoroutineType
        driver = _awaitable_generator(_generator(result, stream))
    elif kind is types.GeneratorType:
        stream.kind = kind
        driver = _generator(result, stream)
    elif kind is types.CoroutineType:
        stream.kind = kind
        driver = _coroutine(_Coroutine((result, stream)))
    elif kind is types.AsyncGeneratorType:
        stream.kind = kind
        driver = _async_generator(result, stream)
    elif hasattr(kind, "__next__"):
        stream.kind = types.GeneratorType
        driver = (_EitherProxy if hasattr(kind, "__anext__") else _IteratorProxy)(result, stream)
    elif hasattr(kind, "__anext__"):
        stream.kind = types.AsyncGeneratorType
        driver = _AsyncIteratorProxy(result, stream)
    else:
        return None
    if isinstance(driver, _StreamProxy):
        stream.guard(stream.of, result)
    elif type(driver) is kind:
        driver.__name__, driver.__qualname__ = result.__name__, result.__qualname__
    stream.guard(stream.watch, driver)  # the driver of a coroutine is not to be thrown away any more
    return driver


def within(function: F, context: Callable[[], Context], guard: Guard) -> F:
    """``function``, running in what ``context`` gives at each call: same name, signature, kind and results."""
    plain = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    later = any(kind(plain) for kind in _WORKED_OFF_LATER)
    return cast("F", StandIn(function, functools.partial(drive, guard, lambda *_: _Within(context(), guard, later))))


_WORKED_OFF_LATER = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class _Within(Watch):
    """A call within a context, and its result as well if it is worked off ``later``."""

    def __init__(self, around: Context, guard: Guard, later: bool) -> None:  # noqa: FBT001
        self._around = around
        self._guard = guard
        self._later = later
        self.token = enter(around)

    def returned(self, result: Any) -> Any:
        if not self._later:
            return result
        driven = streamed(result, Stream(self._guard, context=lambda _: self._around))
        return result if driven is None else driven


_AT_FIRST: Final[tuple[Any, ...]] = (None,)
"""What a generator is given to begin with."""


def _generator(
    inner: Any, stream: Stream, thrown: type[BaseException] | None = None, _of: Any = None
) -> Generator[Any, Any, Any]:
    # A coroutine has no __next__, so it is begun and resumed as all of them can be. What goes in and out is handed on
    # in iterators: read once, they are empty, and no frame of ours holds what the host has let go. What a step is of
    # has to live as long as the step.
    resume, given = inner.send, iter(_AT_FIRST)
    while True:
        try:
            item = iter((drive(stream.guard, stream.begin, resume, thrown, given, {}),))
        except StopIteration as stop:
            return stream.guard(stream.gave, stop.value, default=stop.value) if stream.through else stop.value
        plain = stream.guard(stream.simply, inner, item)
        try:
            thrown, resume, given = (yield from plain) if plain else (None, inner.send, iter(((yield next(item)),)))
        except BaseException as error:  # noqa: BLE001 - whatever is thrown in goes on to the host's generator
            # close() as well: what comes of it is then what would have come of it without us.
            thrown, resume, given = type(error), inner.throw, iter((error,))


class _Steps(tuple):  # type: ignore[type-arg]  # what _generator is to be given, made without a line of our own
    """Something awaited, driven step by step."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, Any]:
        return _generator(*self)


class _Coroutine(_Steps):
    """A coroutine. If nobody ever awaits it, its driver says so, and it need not say so again."""

    def __del__(self) -> None:
        self[0].close()


@types.coroutine
def _awaitable_generator(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    return (yield from steps)


async def _coroutine(steps: _Coroutine) -> Any:
    return await steps


async def _async_generator(inner: AsyncGenerator[Any, Any], stream: Stream) -> AsyncGenerator[Any, Any]:
    step, thrown = stream.guard(_unseen, inner.__anext__) or inner.__anext__(), None
    while True:
        try:
            item = await _Steps((step, stream, thrown))
        except StopAsyncIteration:
            return
        try:
            step, thrown, item = inner.asend((yield item)), None, None
        except BaseException as error:  # noqa: BLE001 - whatever is thrown in goes on to the host's generator
            step, thrown, item = inner.athrow(error), type(error), None


def _unseen(begin: Callable[[], Any]) -> Any:
    """``begin()``, without the event loop being told of an async generator: it closes ours, and so this one."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return begin()
    finally:
        sys.set_asyncgen_hooks(*hooks)


class _Copy:
    """``__copy__`` of a proxy: its class can copy all, and the object says what the one it wraps says."""

    def __get__(self, proxy: Any, owner: type | None = None) -> Any:
        return _copied if proxy is None else proxy.__wrapped__.__copy__


def _copied(proxy: Any) -> Any:
    return copy.copy(proxy.__wrapped__)


class _StreamProxy(_Proxy):
    """What is iterated and no generator, passing for the object it wraps. What is copied of it is not driven."""

    __copy__ = _Copy()
    __deepcopy__ = property(lambda self: self.__wrapped__.__deepcopy__)

    def __init__(self, wrapped: Any, stream: Stream) -> None:
        super().__init__(wrapped)
        self._self_stream = self._self_closed = stream

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def __eq__(self, other: object) -> Any:
        return self.__wrapped__ == (other.__wrapped__ if type(other) is type(self) else other)

    def __ne__(self, other: object) -> Any:
        return self.__wrapped__ != (other.__wrapped__ if type(other) is type(self) else other)

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __length_hint__(self) -> Any:
        hint = operator.length_hint(self.__wrapped__, -1)
        return NotImplemented if hint < 0 else hint

    def _self_iterated(self, iterated: Any) -> Any:
        if iterated is self.__wrapped__:
            return self
        return self._self_stream.guard(self._self_follow, iterated, default=iterated)

    def _self_follow(self, iterated: Any) -> Any:
        # The other iterator may outlive this one, and answers for the stream from here on; closing this one ends it.
        stream, self._self_stream = self._self_stream, Stream(self._self_stream.guard)
        return streamed(iterated, stream)


class _IteratorProxy(_StreamProxy):
    """An iterator."""

    def __iter__(self) -> Any:
        return self._self_iterated(iter(self.__wrapped__))

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    def __exit__(self, *raised: object) -> Any:
        return self._self_close(functools.partial(self.__wrapped__.__exit__, *raised))

    def __next__(self) -> Any:
        return drive(self._self_stream.guard, self._self_stream.begin, next, None, (self.__wrapped__,), {})

    def __getattr__(self, name: str) -> Any:
        # Not a method, as not every iterator can be closed.
        found = super().__getattr__(name)
        return functools.partial(self._self_close, found) if name == "close" else found

    def _self_close(self, close: Callable[[], Any]) -> Any:
        return drive(self._self_closed.guard, self._self_closed.begin, close, GeneratorExit, (), {})


class _AsyncIteratorProxy(_StreamProxy):
    """An asynchronous iterator."""

    __iter__: Any = None  # who asks whether it can be iterated without waiting hears the truth

    def __aiter__(self) -> Any:
        return self._self_iterated(self.__wrapped__.__aiter__())

    async def __aenter__(self) -> Any:
        entered = await self.__wrapped__.__aenter__()
        return self if entered is self.__wrapped__ else entered

    def __aexit__(self, *raised: object) -> Any:
        return self._self_close_later(functools.partial(self.__wrapped__.__aexit__, *raised))

    def __anext__(self) -> Any:
        step, stream = self.__wrapped__.__anext__(), self._self_stream
        return stream.guard(self._self_driven, step, stream, None, default=step)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return functools.partial(self._self_close_later, found) if name in ("aclose", "close") else found

    def _self_close_later(self, close: Callable[[], Any]) -> Any:
        closing, stream = close(), self._self_closed
        return stream.guard(self._self_driven, closing, stream, GeneratorExit, default=closing)

    def _self_driven(self, step: Any, stream: Stream, thrown: type[BaseException] | None) -> Any:
        """One step of it, driven, if it is awaited as coroutines are."""
        if not hasattr(step, "send"):
            if thrown is not None:
                stream.failed(thrown())
            return step
        stream.kind = types.AsyncGeneratorType
        steps = step, stream, thrown, self  # which is not to be dropped meanwhile
        if type(step) is types.CoroutineType:
            driver: Any = _coroutine(_Coroutine(steps))
            driver.__name__, driver.__qualname__ = step.__name__, step.__qualname__
            return driver
        return _Steps(steps)


class _EitherProxy(_AsyncIteratorProxy, _IteratorProxy):
    """An iterator of both kinds, which is of the kind that it is asked as."""

    __iter__ = _IteratorProxy.__iter__
