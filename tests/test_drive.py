"""The driver: whatever fails around a call, the call is made once and its caller sees what came of it."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from opentelemetry.context import attach, get_current, set_value

from tachograph.drive import StandIn, Watch, drive
from tachograph.guard import Guard


class Told(Watch):
    """Takes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.token = attach(set_value("inside", "yes"))

    def failed(self, error: BaseException) -> None:
        self.told.append(error)

    def returned(self, result: Any) -> Any:
        self.told.append(result)
        return f"<{result}>"


class Broken(Told):
    """Fails whenever it is told anything."""

    def failed(self, error: BaseException) -> None:
        raise ZeroDivisionError

    def returned(self, result: Any) -> Any:
        raise ZeroDivisionError


def broken(*_: Any) -> Any:
    raise ZeroDivisionError


def greet(name: str, *, mark: str = "!") -> str:
    if name == "nobody":
        raise LookupError(name)
    return f"{get_current().get('inside')} {name}{mark}"


def call(function: Any, _: Any, args: Any, kwargs: Any) -> Any:
    return function(*args, **kwargs)


def given(*arguments: Any) -> tuple[Any, ...]:
    return arguments


class Given:
    """Can be called, and is no function."""

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        return arguments


def play(guard: Guard, begin: Any, *names: str) -> Any:
    return drive(guard, begin, greet, None, names, {"mark": "?"})


def test_a_call_is_watched() -> None:
    """The watch is told of the result, gives what the caller is to have, and its context is in force in between."""
    before, watches = get_current(), list[Told]()

    def begin(*_: Any) -> Watch:
        watches.append(Told())
        return watches[0]

    assert play(Guard(), begin, "ada") == "<yes ada?>"
    assert (watches[0].told, get_current() is before) == (["yes ada?"], True)
    assert watches[0].left is not None
    assert watches[0].left.get("inside") == "yes"


def test_a_failure_is_the_callers() -> None:
    """The exception goes to the watch and on to the caller, the same object."""
    watches = list[Told]()

    def begin(*_: Any) -> Watch:
        watches.append(Told())
        return watches[0]

    with pytest.raises(LookupError) as failed:
        play(Guard(), begin, "nobody")
    assert watches[0].told == [failed.value]


@pytest.mark.parametrize(
    ("begin", "swallowed", "result"), [(lambda *_: None, 0, "None ada?"), (broken, 1, "None ada?")]
)
def test_a_call_goes_on_without_a_watch(begin: Any, swallowed: int, result: str) -> None:
    """Where there is nothing to watch, or the beginning fails, the call is made all the same."""
    guard = Guard()
    assert (play(guard, begin, "ada"), sum(guard.swallowed().values())) == (result, swallowed)


def test_a_broken_watch_changes_nothing() -> None:
    """Whatever the watch does, result and exception are the host's own and the failures are counted."""
    guard = Guard()
    assert play(guard, lambda *_: Broken(), "ada") == "yes ada?"
    with pytest.raises(LookupError, match="nobody"):
        play(guard, lambda *_: Broken(), "nobody")
    assert sum(guard.swallowed().values()) == 2


@pytest.mark.parametrize(
    "function",
    [given, Given(), staticmethod(given), functools.lru_cache(given), max],
    ids=["function", "object", "staticmethod", "lru_cache", "built-in"],
)
def test_what_stands_in_binds_as_what_it_stands_for(function: Any) -> None:
    """A method is given its object, and what is no method, though a class has it, is not, by any wrapt."""
    alone = type("Alone", (str,), {"asked": function})("a")
    hooked = type("Hooked", (str,), {"asked": StandIn(function, call)})("a")

    assert alone.asked("b", "c") == hooked.asked("b", "c")


def test_what_is_said_to_be_wrapped_changes_nothing() -> None:
    """Who copies a name or a text onto a function, as functools.update_wrapper does, changes those and not the call."""

    def first() -> str:
        """First."""
        return "first"

    def other() -> str:
        """Other."""
        return "other"

    calls: list[Any] = []
    stand_in = StandIn(first, lambda function, _, args, kwargs: calls.append(1) or function(*args, **kwargs))
    functools.update_wrapper(stand_in, other)

    assert ("first", "other", "Other.", [1]) == (stand_in(), stand_in.__name__, stand_in.__doc__, calls)
    assert (other, "other") == (first.__wrapped__, first.__name__)  # type: ignore[attr-defined]
