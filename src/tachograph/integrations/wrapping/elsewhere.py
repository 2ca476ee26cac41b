"""Where else a callable is kept than where it is hooked: what is called from there is not recorded.

A registry, a default argument, a ``functools.partial`` or another module's ``from … import`` has the function itself.
Nothing of the program's is changed to get at those, but they can be named.
"""

from __future__ import annotations

import gc
import sys
import types
from typing import TYPE_CHECKING, Any, Final

from tachograph.drive import stands_in
from tachograph.integrations.wrapping.targets import function_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST: Final = 3
_RUNNING: Final = (types.FrameType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
"""What holds a function because it is being called."""


def elsewhere(owner: Any, attribute: str) -> str:
    """Who has what is called ``attribute`` in ``owner`` as well, for people; empty for nobody.

    Args:
        owner: class or module.
        attribute: of a function or method in it, not hooked yet.
    """
    namespace = vars(owner)
    # As almost always; else the whole heap is gone through. No name here may hold the function before that.
    if stands_in(namespace[attribute]) or _held(namespace, attribute) <= _held(_alike(namespace, attribute), attribute):
        return ""
    holders = list(_holders(namespace, attribute))
    more = f" and {len(holders) - _MOST} more" if len(holders) > _MOST else ""
    function = function_of(namespace[attribute])
    return ", ".join(dict.fromkeys(_name(holder, function) for holder in holders[:_MOST])) + more


def _held(namespace: Mapping[str, Any], name: str) -> int:
    """How many hold a function, to be compared with how many hold another that is found in the same way."""
    return sys.getrefcount(function_of(namespace[name]))


def _alike(namespace: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A namespace with a function of the same kind, that nobody else holds."""
    kind, function = type(namespace[name]), types.FunctionType(_alike.__code__, {})
    return {name: kind(function) if kind in (staticmethod, classmethod) else function}


def _holders(namespace: Mapping[str, Any], attribute: str) -> Iterator[Any]:
    value = namespace[attribute]
    # Of a class only a view of its dictionary is to be had, which refers to that.
    contents = namespace if isinstance(namespace, dict) else gc.get_referents(namespace)[0]
    # A static method refers to its function itself, and by its own __dict__.
    own = {id(contents), id(value), id(getattr(value, "__dict__", None))}
    for holder in gc.get_referrers(function_of(value)):
        if id(holder) not in own and not isinstance(holder, _RUNNING):
            yield holder


def _name(holder: Any, function: Any) -> str:
    """Where a holder of a function stands in a module, else what it is."""
    for module in list(sys.modules.values()):
        if issubclass(type(module), types.ModuleType):
            contents = object.__getattribute__(module, "__dict__")  # so that one that loads itself when asked does not
            wanted = function if contents is holder else holder
            for name, value in list(contents.items()):
                if value is wanted:
                    return f"{module.__name__}:{name}"
    kind = type(holder)
    if kind in (tuple, dict):  # the default arguments of another
        for above in gc.get_referrers(holder):
            if isinstance(above, types.FunctionType):
                return f"{above.__module__}:{above.__qualname__}"
    return "a closure" if kind is types.CellType else f"a {kind.__name__}"
