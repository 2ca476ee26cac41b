"""Where a value is found: a path into what a call is given, what it gives, and what its stream yields.

A step takes a table's entry, else an item of a list, else an attribute. Tables and lists are looked into by the methods
of the built-in types, whatever a subclass has made of them; of any other object an attribute is asked for, and nothing
else: it is not called, iterated, compared or converted. An attribute may be a property, and that may raise.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Moment = Literal["start", "item", "end"]

NOTHING: Final = type("Nothing", (), {})()
"""What a path gives that leads nowhere. None is something: the program says that it does not know."""

_HEAD = re.compile(r"(?:(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):)?(?P<name>[^\W\d]\w*)")
_STEP = re.compile(r"""\.(?P<name>[^\W\d]\w*)|\.(?P<place>\d+)|\[(?P<index>-?\d+)\]|\[(["'])(?P<key>.*?)\4\]""")
_COUNT = re.compile(r"len\((?P<path>.*)\)")
_SIZED: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_OUTCOMES: Final = ("result", "item", "error")


class PathError(ValueError):
    """What stands for a value cannot be read; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class Path:
    """One way to a value.

    Args:
        text: as it was written.
        root: where it begins: ``argument``, ``result``, ``item``, ``error``, ``module`` or ``constant``.
        name: of the argument or module.
        steps: from there.
        counted: how many are there, instead of what.
        late: an argument as the call leaves it.
        constant: the value itself.
    """

    text: str
    root: str
    name: str = ""
    steps: tuple[str | int, ...] = ()
    counted: bool = False
    late: bool = False
    constant: Any = None

    @property
    def moment(self) -> Moment:
        """When it can be gone for the first time."""
        if self.root == "item":
            return "item"
        return "end" if self.late or self.root in ("result", "error") else "start"

    def to(self, begin: Callable[[Path], Any]) -> Any:
        """The value, from where ``begin`` says the path begins."""
        if self.root == "constant":
            return self.constant
        found = sys.modules.get(self.name, NOTHING) if self.root == "module" else begin(self)
        found = reached(found, self.steps)
        return _count(found) if self.counted else found


class Source(NamedTuple):
    """Paths in order of preference: the first that gives something is taken.

    Args:
        paths: at least one.
        text: as they were written.
        moment: when all of it can be known.
        roots: where they begin.
    """

    paths: tuple[Path, ...]
    text: str
    moment: Moment
    roots: frozenset[str]

    def found(self, begin: Callable[[Path], Any]) -> Any:
        """What the first path gives that gives something; None where one says that nothing is known."""
        best = NOTHING
        for path in self.paths:
            found = path.to(begin)
            if found is not None and found is not NOTHING:
                return found
            best = None if found is None else best
        return best


def sources(written: Any) -> tuple[Source, ...]:
    """What stands in a table for a value: one source, or two where it may be in what a stream yields and elsewhere.

    Raises:
        PathError: for what is none.
    """
    paths = tuple(_path(each) for each in (written if type(written) is list else [written]))
    if not paths:
        raise PathError("expected at least one path")
    kinds = (tuple(path for path in paths if (path.root == "item") is wanted) for wanted in (True, False))
    return tuple(_source(kind) for kind in kinds if kind)


def _source(paths: tuple[Path, ...]) -> Source:
    moments = {path.moment for path in paths}
    moment: Moment = "item" if "item" in moments else "end" if "end" in moments else "start"
    return Source(paths, " or ".join(path.text for path in paths), moment, frozenset(path.root for path in paths))


def _path(written: Any) -> Path:
    if type(written) in (bool, int, float):
        return Path(str(written).lower(), "constant", constant=written)
    if type(written) is not str:
        raise PathError(f'expected a path such as "result.usage", not {type(written).__name__}')
    if written.startswith("="):
        return Path(written, "constant", constant=written[1:])
    counted = _COUNT.fullmatch(written.strip())
    path = (counted["path"] if counted else written).strip()
    head = _HEAD.match(path)
    steps: list[str | int] = []
    at = head.end() if head else 0
    while head and at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            break
        number = step["index"] if step["place"] is None else step["place"]
        steps.append(int(number) if number is not None else step["name"] or step["key"] or "")
        at = step.end()
    if head is None or at < len(path):
        raise PathError(f'no path; expected a name and then .name, .0 or ["key"]; a constant is written "={written}"')
    return _rooted(written, head, tuple(steps), counted=counted is not None)


def _rooted(text: str, head: re.Match[str], steps: tuple[str | int, ...], *, counted: bool) -> Path:
    module, name = head["module"], head["name"]
    if module is not None:
        return Path(text, "module", module, (name, *steps), counted)
    if name in _OUTCOMES:
        return Path(text, name, "", steps, counted)
    late = name == "after"
    if late or name == "argument":
        if not steps or type(steps[0]) is not str:
            raise PathError(f"expected the name of an argument after {name}")
        return Path(text, "argument", steps[0], steps[1:], counted, late)
    return Path(text, "argument", name, steps, counted)


def reached(value: Any, steps: Iterable[str | int]) -> Any:
    """What some steps from a value lead to."""
    for step in steps:
        if value is None or value is NOTHING:
            return value
        value = _entered(value, step)
    return value


def _entered(value: Any, step: str | int) -> Any:
    kind = type(value)
    if issubclass(kind, dict):
        found = dict.get(value, step, NOTHING)
        if found is NOTHING and type(step) is int:
            found = dict.get(value, str(step), NOTHING)
        if found is not NOTHING or kind is dict:
            return found
    for sequence in (list, tuple):
        if issubclass(kind, sequence) and type(step) is int:
            length = sequence.__len__(value)
            return sequence.__getitem__(value, step) if -length <= step < length else NOTHING
    return getattr(value, step, NOTHING) if type(step) is str else NOTHING


def _count(value: Any) -> Any:
    return value if value is None else len(value) if type(value) in _SIZED else NOTHING
