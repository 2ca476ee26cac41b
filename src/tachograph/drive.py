"""The driver: calls the host's function once, in between what we make of the call.

What stands in the place of a host's function is a :class:`StandIn`, a wrapt proxy; what it does is :func:`drive`.
"""

from __future__ import annotations

import copy
import functools
import sys
import types
from typing import TYPE_CHECKING, Any, Final

import wrapt

from tachograph.context import here, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context

    _Function = wrapt.FunctionWrapper[..., Any]
    _BoundFunction = wrapt.BoundFunctionWrapper[..., Any]
else:  # generic from wrapt 2 on
    _Function, _BoundFunction = wrapt.FunctionWrapper, wrapt.BoundFunctionWrapper

_NOBODY: Final = object()


class _BoundStandIn(_BoundFunction):
    __slots__ = ()  # one is made for each call

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

    __slots__ = ()
    __bound_function_wrapper__ = _BoundStandIn

    def __setattr__(self, name: str, value: Any) -> None:
        # Whoever says what the host's function wraps, as functools.update_wrapper does, says it of that.
        if name == "__wrapped__":
            setattr(self.__wrapped__, name, value)
        else:
            super().__setattr__(name, value)

    def stand_for(self, other: Any) -> None:
        """Stand in the place of another from now on."""
        super().__setattr__("__wrapped__", other)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__qualname__


def _bound_to(method: Any) -> Any:
    return getattr(method, "__self__", None)


class Method(StandIn):
    """A method in the place of one written in Python, bound as Python binds that.

    So a class gives the same object whenever it is asked, as who looks for overridden methods expects, and an object
    gives a method of Python's own, which can be held weakly, copied and pickled.
    """

    __slots__ = ()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, instance: Any = _NOBODY, /, *args: Any, **kwargs: Any) -> Any:
        """Call it with its object first, as Python calls what a method is made of."""
        if instance is _NOBODY:
            return self._self_with_keywords(kwargs)
        function: Any = self.__wrapped__
        wrapper: Any = self._self_wrapper
        bound = functools.partial(function, None) if instance is None else types.MethodType(function, instance)
        return wrapper(bound, instance, args, kwargs)

    def _self_with_keywords(self, kwargs: dict[str, Any]) -> Any:
        # Its object may be among them; a function that only stands in a class has none.
        function: Any = self.__wrapped__
        wrapper: Any = self._self_wrapper
        code = function.__code__
        first = code.co_varnames[: code.co_argcount][:1]
        if not code.co_posonlyargcount and first and first[0] in kwargs:
            return self(kwargs.pop(first[0]), **kwargs)
        if first and len(function.__defaults__ or ()) < code.co_argcount:
            return function(**kwargs)  # a mistake of the host's, which Python tells of
        return wrapper(function, None, (), kwargs)


class StaticMethod(StandIn):
    """A static method in the place of the host's: whoever is asked for it gives the same function."""

    __slots__ = ()

    def __init__(self, wrapped: Any, wrapper: Callable[..., Any]) -> None:
        super().__init__(wrapped, wrapper)
        self._self_function = StandIn(wrapped.__func__, wrapper)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self._self_function


def standing_in(owner: Any, original: Any, wrapper: Callable[..., Any]) -> StandIn:
    """What stands in the place of ``original`` in ``owner``, a class or module: each call of it is the wrapper's."""
    if isinstance(owner, type):
        if type(original) in (types.FunctionType, Method):
            return Method(original, wrapper)
        if type(original) in (staticmethod, StaticMethod):
            return StaticMethod(original, wrapper)
    return StandIn(original, wrapper)


def stands_in(value: Any) -> bool:
    """Whether this is ours; what it stands for is its ``__wrapped__``."""
    return issubclass(type(value), StandIn)  # not what it claims to be


def drive(
    guard: Callable[..., Any],
    begin: Callable[..., Watch | None],
    function: Callable[..., Any],
    instance: Any,
    args: Iterable[Any],
    kwargs: dict[str, Any],
) -> Any:
    """Call the host's function, once and with what it was given, and hand back what came of it.

    Everything of ours goes through here: calls, and each step of a result that is worked off later. Whatever fails
    in ``begin`` or the watch it gives, the function is called, its result or exception is the caller's, and the
    context is what it was.
    """
    if (watch := guard(begin, instance, args, kwargs)) is None:
        return function(*args, **kwargs)
    try:
        try:
            result = function(*args, **kwargs)
        finally:
            if watch.token is not None:
                watch.left = here()
                leave(watch.token)
    except BaseException as error:
        guard(watch.failed, error)
        raise
    return result if (returned := watch.returned) is None else guard(returned, result, default=result)


class Watch:
    """What we make of one call while it runs: begun, so to speak. A base that makes nothing of it.

    ``token`` gives the caller's context back where a watch has attached another, as the last thing done to begin it;
    ``left`` is what was current in the end.
    """

    token: Any = None
    left: Context | None = None
    returned: Callable[[Any], Any] | None = None
    """Given the result, it gives what the caller is to have, which looks the same."""

    def failed(self, error: BaseException) -> None:
        """It raised."""
