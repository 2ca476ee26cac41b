"""What a target is: the callable it names, where that is to be hooked, and how its arguments are found.

A method is hooked in the class that defines it, and in each class that overrides it, now or later. One that is only
inherited is hooked where it is defined, and recorded for the class that was named and those below it. An object that
is called is hooked in its class, and recorded for that object alone: so neither it nor its class change.
"""

from __future__ import annotations

import functools
import inspect
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from tachograph.drive import stands_in
from tachograph.integrations.wrapping.paths import NOTHING
from tachograph.integrations.wrapping.tables import near

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.probes import Call

_WRITTEN_IN_C: Final = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.MethodWrapperType,
)
_CACHE: Final = type(functools.cache(len))
_DOORS: Final = ("__init_subclass__", "__class_getitem__", "__set_name__")


class TargetError(LookupError):
    """A target cannot be wrapped; the message says why, and what can be."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to hook, and for whom to record.

    Args:
        owner: class or module that defines the callable.
        attribute: its name there.
        family: class that was named; what overrides the method below it is hooked as well.
        single: the object that was named, where it is one that is called.
    """

    owner: Any
    attribute: str
    family: type | None = None
    single: Any = None


def find(module: Any, place: str) -> Target:
    """The callable at ``place`` in ``module``.

    Raises:
        TargetError: saying what is there instead.
    """
    *way, name = place.split(".")
    owner = module
    for number, part in enumerate(way):
        if part not in _names(owner):
            raise _missing(owner, way[:number], part)
        owner = getattr(owner, part)
    if issubclass(type(owner), type):
        return _method(owner, name, way)
    if owner is not module and not issubclass(type(owner), types.ModuleType):
        if name in getattr(owner, "__dict__", {}):
            raise TargetError(f"{name} belongs to the object {'.'.join(way)} itself; name what is in its class")
        method = _method(type(owner), name, way)
        return Target(method.owner, method.attribute, single=owner)
    if name not in _names(owner):
        raise _missing(owner, way, name)
    value = original(vars(owner)[name])
    if _is_function(value):
        return Target(owner, name)
    return _object(value, name)


def _names(owner: Any) -> list[str]:
    if issubclass(type(owner), types.ModuleType):
        return list(vars(owner))
    places = owner.__mro__ if issubclass(type(owner), type) else (owner, *type(owner).__mro__)
    return list(dict.fromkeys(name for place in places for name in getattr(place, "__dict__", ())))


def _missing(owner: Any, way: list[str], name: str) -> TargetError:
    names = _names(owner)
    there = [known for known in names if name.startswith("_") or not known.startswith("_")]
    hint = near(name, there)
    if issubclass(type(owner), types.ModuleType) and "__getattr__" in names:
        # Asking would import what the program may never want.
        hint = f"it looks for names when they are asked for: write the module where {name} is defined"
    return TargetError(f"{'.'.join(way) or f'module {owner.__name__}'} has no {name}; {hint}")


def _method(owner: type, name: str, way: list[str]) -> Target:
    defining = next((each for each in owner.__mro__ if name in vars(each)), None)
    if defining is None:
        raise _missing(owner, way, name)
    value = original(vars(defining)[name])
    plain = function_of(value)
    if name in _DOORS:
        raise TargetError(f"{name} is called by Python itself; name a method that does the work")
    if issubclass(type(value), (property, functools.cached_property)):
        raise TargetError(f"{name} is a property; name a method, such as one that it calls")
    if issubclass(type(value), functools.partialmethod):
        raise TargetError(f"{name} is a partialmethod; name the method that it calls")
    if _is_function(plain):
        return Target(defining, name, family=owner)
    return _object(plain, name)


def original(value: Any) -> Any:
    """What stands in a class or module without us: a runtime that is about to end may still be over it."""
    while stands_in(value):
        value = value.__wrapped__
    return value


def function_of(value: Any) -> Any:
    """The function in what stands in a class or module."""
    return value.__func__ if type(value) in (staticmethod, classmethod) else value


def _is_function(value: Any) -> bool:
    if type(value) in _WRITTEN_IN_C:
        raise TargetError("is written in C, and cannot be replaced; name a function that calls it")
    kind = type(value)
    # A cache of functools is one, and what a compiler makes of a function.
    return kind in (types.FunctionType, _CACHE) or kind.__name__ == "cython_function_or_method"


def _object(value: Any, name: str) -> Target:
    """Something that is no function. It is not asked what it claims to be."""
    if issubclass(type(value), type):
        raise TargetError(f"is a class; name one of its methods, such as {name}.__init__")
    if issubclass(type(value), functools.partial):
        raise TargetError(f"is a functools.partial; name what it calls: {_named(value.func)}")
    if issubclass(type(value), types.MethodType):
        raise TargetError(f"is a method of an object; name it in its class: {_named(value.__func__)}")
    kind = type(value)
    if not callable(value):
        raise TargetError(f"is no callable, but of type {kind.__name__}")
    defining = next(each for each in kind.__mro__ if "__call__" in vars(each))
    if not _is_function(original(vars(defining)["__call__"])):
        raise TargetError(f"is of type {kind.__name__}, which cannot be hooked; name a function that it calls")
    return Target(defining, "__call__", single=value)


def _named(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"


# ---------------------------------------------------------------------------------------------------- arguments
class _Place(NamedTuple):
    """Where an argument is: at ``position``, under its name where it may be named, else it is its default."""

    position: int | None
    named: bool
    default: Any
    rest: bool = False


def _is_handed_on(function: Any) -> bool:
    """Whether a function takes any arguments and says that another's are its own, as what a decorator makes does."""
    code = getattr(function, "__code__", None)
    return hasattr(function, "__wrapped__") and code is not None and bool(code.co_flags & inspect.CO_VARARGS)


class Arguments:
    """How a callable's arguments are found in a call of it.

    Args:
        callable_: as it stands in its class or module, without us.
        method: whether the first argument is the object it is called on.
    """

    __slots__ = ("_first", "_keywords", "_open", "_places", "_second_hand")

    def __init__(self, callable_: Any, *, method: bool) -> None:
        bound = method and type(callable_) is not staticmethod
        self._places: dict[str, _Place] = {}
        self._keywords: str | None = None
        self._second_hand = _is_handed_on(function_of(callable_))
        self._first: tuple[str, ...] = ("self", "cls") if bound else ()
        try:
            parameters = list(inspect.signature(function_of(callable_)).parameters.values())
        except (TypeError, ValueError):
            self._open = True
            return
        if bound and parameters and parameters[0].kind is not parameters[0].VAR_POSITIONAL:
            self._first = (*self._first, parameters.pop(0).name)
        for position, parameter in enumerate(parameters):
            kind = parameter.kind
            default = NOTHING if parameter.default is parameter.empty else parameter.default
            if kind is parameter.VAR_KEYWORD:
                self._keywords = parameter.name
            elif kind is parameter.VAR_POSITIONAL:
                self._places[parameter.name] = _Place(position, named=False, default=(), rest=True)
            else:
                ordered = kind is not parameter.KEYWORD_ONLY
                named = kind is not parameter.POSITIONAL_ONLY
                self._places[parameter.name] = _Place(position if ordered else None, named, default)
        self._open = self._keywords is not None

    def has(self, name: str) -> bool:
        """Whether there may be an argument of this name."""
        return self._open or name in self._places or name in self._first

    def _fits(self, call: Call) -> bool:
        """Whether the arguments are those of the function that is known, where a decorator may give it others."""
        if not self._second_hand:
            return True
        most = 0
        for name, place in self._places.items():
            ordered = place.position is not None
            given = ordered and cast("int", place.position) < len(call.args)
            if place.default is NOTHING and not given and name not in call.kwargs:
                return False
            most = len(call.args) if place.rest else most + ordered
        return len(call.args) <= most

    def names(self) -> Iterable[str]:
        """Those there are."""
        return (*self._first[-1:], *self._places)

    def of(self, call: Call, name: str) -> Any:
        """What it is in a call, its default where it was not given."""
        place = self._places.get(name)
        if place is None:
            if name in self._first:
                return call.instance
            if name == self._keywords:
                return {key: value for key, value in call.kwargs.items() if key not in self._places}
            return call.kwargs.get(name, NOTHING)
        if place.named and name in call.kwargs:
            return call.kwargs[name]
        if place.position is not None and place.position < len(call.args) and self._fits(call):
            return call.args[place.position :] if place.rest else call.args[place.position]
        return place.default
