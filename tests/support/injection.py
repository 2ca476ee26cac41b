"""Faults put into our own code: every function there is, which of them a program reaches, and one of them broken.

A function is broken by exchanging its code, so that every reference to it is: bound methods, closures, and what
others have imported by name. The exchanged code counts and raises, whatever it is called with.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import pkgutil
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import tachograph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOT_TO_BE_IMPORTED = {
    "tachograph.__main__": "is the command line",
    "tachograph.auto": "starts recording, and has no function",
    "tachograph.testing": "the test kit is no part of what runs in a host",
}


class Injected(Exception):  # noqa: N818 - it is what it says
    """The fault."""


hits: list[str] = []
"""Where a fault has struck, in order."""


def strike(name: str) -> None:
    """What the code of a broken function does."""
    hits.append(name)
    raise Injected(name)


# ------------------------------------------------------------------------------------------------- what there is
def functions() -> dict[types.CodeType, tuple[str, Any, tuple[int, ...]]]:
    """Every code object of the package: its name, the function that has it, and the way there through constants.

    Functions, methods of all kinds, properties, what dataclasses are given, and all that is defined inside those.
    """
    found: dict[types.CodeType, tuple[str, Any, tuple[int, ...]]] = {}
    for module in modules():
        for name, function in _functions(module, module.__name__, ""):
            for code, inner, way in _codes(function.__code__, name, ()):
                found.setdefault(code, (inner, function, way))
    return found


def _functions(owner: Any, module: str, place: str) -> Iterator[tuple[str, types.FunctionType]]:
    for name, value in list(vars(owner).items()):
        if isinstance(value, type):
            if value.__module__ == module and value.__qualname__ == f"{place}{name}":
                yield from _functions(value, module, f"{place}{name}.")
            continue
        parts = (value.fget, value.fset) if isinstance(value, property) else (value, getattr(value, "__func__", None))
        for part in parts:
            inner = getattr(part, "__wrapped__", part)
            if isinstance(inner, types.FunctionType) and _is_ours(inner, module):
                yield f"{module}:{place}{name}", inner


def _codes(code: types.CodeType, name: str, way: tuple[int, ...]) -> Iterator[tuple[types.CodeType, str, Any]]:
    yield code, name, way
    for position, constant in enumerate(code.co_consts):
        if isinstance(constant, types.CodeType):
            yield from _codes(constant, f"{name}.{constant.co_name}:{constant.co_firstlineno}", (*way, position))


def modules() -> list[types.ModuleType]:
    """All modules of the package, imported."""
    names = ["tachograph", *(m.name for m in pkgutil.walk_packages(tachograph.__path__, "tachograph."))]
    return [importlib.import_module(name) for name in names if name not in NOT_TO_BE_IMPORTED]


def _is_ours(function: types.FunctionType, module: str) -> bool:
    file = function.__code__.co_filename
    return function.__module__ == module and (file == sys.modules[module].__file__ or file.startswith("<string>"))


# ---------------------------------------------------------------------------------------------- what is reached
@contextlib.contextmanager
def reached(known: Any) -> Iterator[set[types.CodeType]]:
    """Which of the code objects ``known`` run in the block, in any thread that starts in it."""
    seen: set[types.CodeType] = set()

    def profile(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in known:
            seen.add(frame.f_code)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- what is broken
@contextlib.contextmanager
def broken(code: types.CodeType, name: str, function: Any, way: tuple[int, ...]) -> Iterator[None]:
    """Within the block the function with this code raises, always; so does every function made of it by then."""
    fault = _fault(name, code)
    whole = function.__code__
    changed = [function]
    if way:
        # Defined inside another: those that exist by now, and, by way of the constants, those yet to be made.
        inner = [one for one in gc.get_referrers(code) if isinstance(one, types.FunctionType) and one.__code__ is code]
        for one in inner:
            one.__code__ = fault
        changed += inner
    function.__code__ = _within(whole, way, fault)
    try:
        yield
    finally:
        function.__code__ = whole
        for one in changed[1:]:
            one.__code__ = code


def _within(code: types.CodeType, way: tuple[int, ...], fault: types.CodeType) -> types.CodeType:
    if not way:
        return fault
    constants = list(code.co_consts)
    constants[way[0]] = _within(constants[way[0]], way[1:], fault)
    return code.replace(co_consts=tuple(constants))


def _fault(name: str, code: types.CodeType) -> types.CodeType:
    """Code that strikes when it runs: called, or, where that makes a generator or the like, begun."""
    variables = "".join(f"v{n} = " for n in range(len(code.co_freevars)))
    used = "".join(f"v{n}, " for n in range(len(code.co_freevars)))
    asynchronous = code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    yields = code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR)
    source = f"""
def enclosing():
    {variables}None
    {"async " if asynchronous else ""}def fault(*args, **kwargs):
        __import__("sys").modules[{__name__!r}].strike({name!r})
        ({used})
        {"yield" if yields else ""}
    return fault
"""
    scope: dict[str, Callable[[], types.FunctionType]] = {}
    exec(source, scope)  # noqa: S102 - our own source
    return scope["enclosing"]().__code__
