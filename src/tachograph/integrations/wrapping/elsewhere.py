"""Where else callables are kept than where they are hooked: what is called from there is not recorded.

A registry, a default argument, a ``functools.partial`` or another module's ``from … import`` has the function itself.
Nothing of the program's is changed to get at those, but they can be named.
"""

from __future__ import annotations

import gc
import sys
import types
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph.drive import stands_in
from tachograph.integrations.wrapping.targets import function_of
from tachograph.probes import descendants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tachograph.integrations.wrapping.targets import Target

_MOST: Final = 3
_DEPTH: Final = 4
_WIDTH: Final = 100
_RUNNING: Final = (types.FrameType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
"""What holds a function because it is being called."""


class _Place(NamedTuple):
    """An attribute of a class or module, with a function or method that is not hooked yet."""

    owner: Any
    attribute: str


class _Where(NamedTuple):
    """What a holder is called, and whether what it holds is an attribute of that."""

    label: str
    by_name: bool = False

    def of(self, holder: Any, function: Any) -> str:
        """What a function is called that is held there."""
        if not self.by_name or type(holder) is not dict:
            return self.within().label
        return self.label + next((str(name) for name, each in holder.items() if function_of(each) is function), "")

    def within(self) -> _Where:
        """What is somewhere in there is called."""
        return _Where(self.label.rstrip(":."))


def elsewhere(targets: list[Target]) -> list[str]:
    """Who else has what is to be hooked for each target, for people; empty for nobody."""
    wanted = [list(_places(target)) for target in targets]
    places = [place for each in wanted for place in each]
    suspects = [place for place in places if _is_held(vars(place.owner), place.attribute)]
    if not suspects:
        return [""] * len(targets)  # as almost always; else the whole heap is gone through
    functions = {id(function): function for function in map(_function, suspects)}
    asked = tuple(functions.values())
    ours = {id(functions), id(asked), *(each for place in places for each in _of(place))}
    holders = [each for each in gc.get_referrers(*asked) if id(each) not in ours and _keeps(each)]
    classes = {_label(place.owner) for place in places if issubclass(type(place.owner), type)}
    known = _named(holders)
    found: dict[int, list[str]] = {}
    for holder in holders:
        where = known.get(id(holder), _Where(_kind(holder)))
        # A class that was made once more, as a dataclass with slots is, may not have been collected yet.
        if not where.by_name or where.label not in classes:
            for held in {id(each) for each in gc.get_referents(holder)} & functions.keys():
                found.setdefault(held, []).append(where.of(holder, functions[held]))
    return [_listed({name for place in each for name in found.get(id(_function(place)), ())}) for each in wanted]


def _places(target: Target) -> Iterator[_Place]:
    """Where it is to be hooked: where it is defined, and in each class that overrides it."""
    yield _Place(target.owner, target.attribute)
    for member in () if target.family is None else descendants(target.family):
        if target.attribute in vars(member):
            yield _Place(member, target.attribute)


def _function(place: _Place) -> Any:
    return function_of(vars(place.owner)[place.attribute])


def _is_held(namespace: Mapping[str, Any], attribute: str) -> bool:
    """Whether anybody else holds a function. No name here may hold it meanwhile."""
    if attribute.startswith("__") or stands_in(namespace[attribute]):  # which Python calls itself, or is known already
        return False
    kind, another = type(namespace[attribute]), types.FunctionType(_is_held.__code__, {})
    alike = {attribute: kind(another) if kind in (staticmethod, classmethod) else another}
    del another
    return _held(namespace, attribute) > _held(alike, attribute)


def _held(namespace: Mapping[str, Any], name: str) -> int:
    return sys.getrefcount(function_of(namespace[name]))


def _of(place: _Place) -> Iterator[int]:
    """What refers to a function because it stands in this place."""
    namespace = vars(place.owner)
    value = namespace[place.attribute]
    # Of a class only a view of its dictionary is to be had, which refers to that.
    yield id(namespace if type(namespace) is dict else gc.get_referents(namespace)[0])
    # A static method refers to its function itself, and by its own __dict__.
    yield id(value)
    yield id(getattr(value, "__dict__", None))


def _keeps(holder: Any) -> bool:
    return type(holder) not in _RUNNING  # not asked what it claims to be


def _named(holders: list[Any]) -> dict[int, _Where]:
    """Where holders are, by their ids: in a module, a class or a function's defaults, or in something that is."""
    known: dict[int, _Where] = {}
    for module in list(sys.modules.values()):
        if issubclass(type(module), types.ModuleType):
            contents = object.__getattribute__(module, "__dict__")  # so that one that loads itself when asked does not
            label = str(contents.get("__name__"))
            known.update((id(value), _Where(f"{label}:{name}")) for name, value in list(contents.items()))
            known[id(contents)] = _Where(f"{label}:", by_name=True)
    level, inside = holders, {id(each): [id(each)] for each in holders}
    for _ in range(_DEPTH):
        unknown = tuple(each for each in level if id(each) not in known)[:_WIDTH]
        ours = {id(holders), id(level), id(unknown), id(inside)}
        above = [each for each in gc.get_referrers(*unknown) if id(each) not in ours and _keeps(each)]
        level = []
        for each in above:
            where = _as_class(each) or known.get(id(each)) or _as_function(each)
            children = {id(below) for below in gc.get_referents(each)} & {id(below) for below in unknown}
            if where is None:
                level.append(each)
                inside.setdefault(id(each), []).extend(below for child in children for below in inside[child])
            else:
                known.update((child, where) for child in children if child not in known)
        for parent in inside.keys() & known.keys():
            known.update((below, known[parent].within()) for below in inside[parent] if below not in known)
    return known


def _as_class(each: Any) -> _Where | None:
    return _Where(_label(each), by_name=True) if issubclass(type(each), type) else None


def _as_function(each: Any) -> _Where | None:
    return _Where(f"{each.__module__}:{each.__qualname__}") if type(each) is types.FunctionType else None


def _label(owner: type) -> str:
    return f"{owner.__module__}:{owner.__qualname__}."


def _kind(holder: Any) -> str:
    kind = type(holder)
    return "a closure" if kind is types.CellType else f"a {kind.__name__}"


def _listed(names: set[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(sorted(names)[:_MOST]) + more
