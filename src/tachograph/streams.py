"""Results that are worked off later: generators, iterators, coroutines, async generators.

Each driver below is the host's object again, of the same type: values, ``send``, ``throw``, ``close`` and return
value pass through as ``yield from`` passes them. Around each resumption, in the same call, our context is attached
and detached again: a generator runs in its *consumer's* context, so nothing of ours may stay there while it is
suspended. The operation ends exactly once: on exhaustion, error, close, garbage collection, or never begun.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import time
import types
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, cast

import wrapt
from opentelemetry.context import attach, detach, get_current

from tachograph import names

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator

    from opentelemetry.context import Context

    from tachograph.guard import Guard
    from tachograph.recorder import Live

    _Proxy = wrapt.ObjectProxy[Any]
    _Function = wrapt.FunctionWrapper[..., Any]
    _BoundFunction = wrapt.BoundFunctionWrapper[..., Any]
else:  # generic from wrapt 2 on
    _Proxy, _Function, _BoundFunction = wrapt.ObjectProxy, wrapt.FunctionWrapper, wrapt.BoundFunctionWrapper

F = TypeVar("F", bound="Callable[..., Any]")


class _BoundStandIn(_BoundFunction):
    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        owner = _bound_to(self)
        return self if owner is None else getattr(copy.deepcopy(owner, memo), self.__name__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        owner = _bound_to(self)
        if owner is None:  # asked of its class, whose name its own name has
            owner = functools.reduce(getattr, self.__qualname__.split(".")[:-1], sys.modules[self.__module__])
        return getattr, (owner, self.__name__)


class StandIn(_Function):
    """A function or method in the place of the host's: copied and pickled as the host's would be."""

    __bound_function_wrapper__ = _BoundStandIn

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__qualname__


def _bound_to(method: Any) -> Any:
    return getattr(method, "__self__", None)


class Stream:
    """What the drivers tell of a result that is worked off later.

    Args:
        live: the operation it belongs to, if it has one.
        context: gives the context to resume it in, if it needs one.
        guard: around everything here.
        item: told of each thing yielded.
        over: told once of the end: the exception, if any (``GeneratorExit``: nobody wanted the rest), and the
            value returned.
    """

    __slots__ = (
        "_active_ns",
        "_context",
        "_item",
        "_live",
        "_ours",
        "_over",
        "_resumed_ns",
        "_theirs",
        "_token",
        "guard",
    )

    def __init__(
        self,
        guard: Guard,
        *,
        live: Live | None = None,
        context: Callable[[], Context] | None = None,
        item: Callable[[Any], None] | None = None,
        over: Callable[[BaseException | None, Any], None] | None = None,
    ) -> None:
        self.guard = guard
        self._live = live
        self._context = context
        self._item = item
        self._over = over
        self._token: Any = None
        self._ours: Context | None = None
        self._theirs: Context | None = None
        self._active_ns = 0
        self._resumed_ns = 0

    def enter(self) -> None:
        """The host's code is about to go on."""
        self.attach()
        self.resume()

    def leave(self) -> None:
        """The host's code has stopped again."""
        self._active_ns += time.perf_counter_ns() - self._resumed_ns
        self.detach()

    def resume(self) -> None:
        """What counts as its time goes on."""
        self._resumed_ns = time.perf_counter_ns()

    def attach(self) -> None:
        """Our context comes into force, or the one the host's code has made current on top of it."""
        self._token = None
        if self._context is not None:
            around = self._theirs
            if around is None:
                around = self._ours = self._context()
            self._token = attach(around)

    def detach(self) -> None:
        """The caller's context is back, in the same call."""
        token, self._token = self._token, None
        if token is not None:
            now = get_current()
            self._theirs = None if now is self._ours else now
            detach(token)

    def got(self, value: Any) -> None:
        """It stopped because it yielded a value."""
        self.leave()
        if self._live is not None and names.ACTIVE_SECONDS not in self._live.later:
            self._live.later[names.ACTIVE_SECONDS] = 0.0
            if self._live.kind == "model":
                self._live.later[names.TIME_TO_FIRST_CHUNK] = self._active_ns / 1_000_000_000
        if self._item is not None:
            self._item(value)

    def finished(self, error: BaseException | None, value: Any = None) -> None:
        """It stopped for good."""
        self.leave()
        over, self._over = self._over, None
        if over is not None:
            if self._live is not None:
                self._live.watch = None
                self._live.later[names.ACTIVE_SECONDS] = self._active_ns / 1_000_000_000
            over(error, value)

    def dropped(self, _: object = None) -> None:
        """Nobody ever began with it, and now nobody can."""
        self.guard(self._drop)

    def _drop(self) -> None:
        self.resume()
        self.finished(GeneratorExit())

    def watch(self, driver: Any) -> None:
        """End the operation when ``driver`` is collected without having been begun: no frame of it ever runs."""
        if self._live is not None:
            self._live.watch = weakref.ref(driver, self.dropped)


def streamed(result: Any, stream: Stream) -> Any:
    """``result`` with ``stream`` being told of it; None if it is nothing that is worked off later."""
    driver: Any
    if isinstance(result, types.GeneratorType):
        driver = _generator(result, stream)
    elif isinstance(result, types.CoroutineType):
        driver = _coroutine(_Coroutine(result, _Step(stream)), stream)
    elif isinstance(result, types.AsyncGeneratorType):
        driver = _async_generator(result, stream)
    elif hasattr(type(result), "__next__"):
        return _IteratorProxy(result, stream)
    else:
        return None
    driver.__name__, driver.__qualname__ = result.__name__, result.__qualname__
    stream.watch(driver)
    return driver


def within(function: F, context: Callable[[], Context], guard: Guard) -> F:
    """``function``, running in what ``context`` gives at each call: same name, signature, kind and results."""

    def drive(wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        around = guard(context)
        if around is None:
            return wrapped(*args, **kwargs)
        token = guard(attach, around)
        try:
            result = wrapped(*args, **kwargs)
        finally:
            if token is not None:
                guard(detach, token)
        if not later:
            return result
        driven = guard(streamed, result, Stream(guard, context=lambda: around))
        return result if driven is None else driven

    plain = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    later = any(kind(plain) for kind in _WORKED_OFF_LATER)
    return cast("F", StandIn(function, drive))


_WORKED_OFF_LATER = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def _generator(inner: Any, stream: Stream) -> Generator[Any, Any, Any]:
    # A coroutine has no __next__, so it is begun and resumed as all of them can be.
    guard = stream.guard
    resume: Callable[..., Any] = inner.send
    value: Any = None
    leaving = False
    while True:
        guard(stream.enter)
        try:
            item = resume(value)
        except StopIteration as stop:
            guard(stream.finished, GeneratorExit() if leaving else None, stop.value)
            return stop.value
        except BaseException as error:
            value = None  # else an exception thrown in would hold this frame, which holds it
            guard(stream.finished, error)
            raise
        if leaving:
            guard(stream.finished, GeneratorExit())  # it stays, as it would without us; we do not wait for it
        else:
            guard(stream.got, item)
        value = None
        try:
            value = yield item
            resume = inner.send
        except BaseException as error:  # noqa: BLE001 - whatever is thrown in goes on to the host's generator
            # close() as well: what comes of it is then what would have come of it without us.
            leaving = isinstance(error, GeneratorExit)
            resume, value = inner.throw, error
        item = None


class _Steps:
    """Something awaited, driven step by step."""

    __slots__ = ("_inner", "_stream")

    def __init__(self, inner: Any, stream: Stream) -> None:
        self._inner = inner
        self._stream = stream

    def __await__(self) -> Generator[Any, Any, Any]:
        return _generator(self._inner, self._stream)


class _Coroutine(_Steps):
    """A coroutine. If nobody ever awaits it, its driver says so, and it need not say so again."""

    __slots__ = ()

    def __del__(self) -> None:
        self._inner.close()


async def _coroutine(steps: _Coroutine, stream: Stream) -> Any:
    try:
        value = await steps
    except BaseException as error:
        stream.guard(stream.finished, error)
        raise
    stream.guard(stream.finished, None, value)
    return value


async def _async_generator(inner: AsyncGenerator[Any, Any], stream: Stream) -> AsyncGenerator[Any, Any]:
    guard = stream.guard
    step = _unseen(inner.__anext__)
    leaving = False
    while True:
        try:
            item = await _Steps(step, _Step(stream))
        except StopAsyncIteration:
            guard(stream.finished, GeneratorExit() if leaving else None)
            return
        except BaseException as error:
            step = None
            guard(stream.finished, error)
            raise
        if leaving:
            guard(stream.finished, GeneratorExit())
        else:
            guard(stream.got, item)
        try:
            sent = yield item
            step = inner.asend(sent)
        except BaseException as error:  # noqa: BLE001 - whatever is thrown in goes on to the host's generator
            leaving = isinstance(error, GeneratorExit)
            step = inner.athrow(error)
        item = sent = None


def _unseen(begin: Callable[[], Any]) -> Any:
    """``begin()``, without the event loop being told of an async generator: it closes ours, and so this one."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return begin()
    finally:
        sys.set_asyncgen_hooks(*hooks)


class _Step(Stream):
    """One step of an async generator, or a whole coroutine: an awaitable that has an end of its own.

    Our context is in force while its code runs; its time is all of it, as what it waits for is its work.
    """

    __slots__ = ("_whole",)

    def __init__(self, whole: Stream) -> None:
        super().__init__(whole.guard)
        self._whole = whole
        whole.resume()

    def enter(self) -> None:
        self._whole.attach()

    def leave(self) -> None:
        self._whole.detach()

    def got(self, value: Any) -> None:  # noqa: ARG002 - what it passes up are the event loop's futures
        self._whole.detach()

    def finished(self, error: BaseException | None, value: Any = None) -> None:  # noqa: ARG002 - of one step only
        self._whole.detach()


class _IteratorProxy(_Proxy):
    """An iterator that is no generator, passing for the object it wraps."""

    def __init__(self, wrapped: Any, stream: Stream) -> None:
        super().__init__(wrapped)
        self._self_stream = stream

    def __iter__(self) -> Iterator[Any]:
        iterated = iter(self.__wrapped__)
        if iterated is self.__wrapped__:
            return self
        # The other iterator may outlive this one, and answers for the stream from here on.
        stream, self._self_stream = self._self_stream, Stream(self._self_stream.guard)
        return cast("Iterator[Any]", stream.guard(streamed, iterated, stream, default=iterated))

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    def __next__(self) -> Any:
        stream = self._self_stream
        stream.guard(stream.enter)
        try:
            item = next(self.__wrapped__)
        except StopIteration:
            stream.guard(stream.finished, None)
            raise
        except BaseException as error:
            stream.guard(stream.finished, error)
            raise
        stream.guard(stream.got, item)
        return item

    def __getattr__(self, name: str) -> Any:
        # Not a method, as not every iterator can be closed.
        found = super().__getattr__(name)
        return functools.partial(self._self_close, found) if name == "close" else found

    def _self_close(self, close: Callable[[], Any]) -> Any:
        stream = self._self_stream
        stream.guard(stream.enter)
        try:
            return close()
        finally:
            stream.guard(stream.finished, GeneratorExit())

    def __del__(self) -> None:
        stream = getattr(self, "_self_stream", None)
        if stream is not None:
            stream.dropped()
