"""A wrapped callable behaves exactly as it did, whatever its shape and whatever fails in what wraps it."""

from __future__ import annotations

import contextvars
import gc
import re
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from support import callables, injection
from support.callables import SHAPES, Shape, played
from support.hosts import Transcript

if TYPE_CHECKING:
    import types
    from collections.abc import Iterator

WRAPPING = "tachograph.integrations.wrapping."

KEEPING = "function_kept_elsewhere"
"""The shape whose function others have for certain."""

STARTING = {f"{WRAPPING}wraps:Wraps.__init__": "made with the runtime, by the program's own call"}
"""What cannot be guarded at the start."""


def tables(shape: Shape, *, followed: bool) -> list[dict[str, Any]]:
    """Tables about a shape's targets that make use of every word there is."""
    if shape.tables:
        return [{**table, "target": _whole(table["target"])} for table in shape.tables]
    made = []
    for place in shape.targets:
        target = {"target": f"{callables.__name__}:{place}"}
        made += [
            {
                **target,
                "as": "tool",
                "name": ["self.name", "=probed"],
                "call_id": "=id",
                "session_id": "=wrapped",
                "user_id": "=ada",
                "arguments": "key",
                "result": "result",
                "outcome": "=ok",
                "fields": {"size": "len(result)", "kind": "result.kind", "first": "result.0"},
                **({"until": "exhausted"} if followed else {}),
            },
            {**target, "as": "event", "event": "message_added", "when": "before", "payload": {"role": "key"}},
            {**target, "as": "event", "event": "session_updated", "payload": {"what": "result", "then": "after.key"}},
            {**target, "as": "event", "event": "session_deleted", "when": "error", "payload": {"why": "error.args.0"}},
        ]
        if followed:
            item = {"event": "threshold_exceeded", "when": "item", "if": "item", "payload": {"item": "item"}}
            made.append({**target, "as": "event", **item})
    return made


def _whole(target: str) -> str:
    return target if ":" in target else f"{callables.__name__}:{target}"


def recorded(shape: Shape, *, followed: bool = False, content: str = "no_content") -> list[tuple[Any, ...]]:
    """What a program sees with its callables wrapped."""
    tachograph.init(wrap=tables(shape, followed=followed), integrations=["smolagents"], capture_content=content)
    try:
        return contextvars.copy_context().run(played, shape, Transcript())
    finally:
        swallowed.append(tachograph.stats()["swallowed"])
        states.append(tachograph.stats()["wraps"])
        tachograph.shutdown()


swallowed: list[dict[str, int]] = []
states: list[dict[str, str]] = []


def plain(shape: Shape) -> list[tuple[Any, ...]]:
    """What it sees without."""
    return contextvars.copy_context().run(played, shape, Transcript())


@pytest.fixture(scope="module", autouse=True)
def nothing_old() -> Iterator[None]:
    """The programs collect garbage; what was there before them need not be looked through each time."""
    gc.collect()
    gc.freeze()
    callables.KEPT = callables.keepers()  # what is frozen is not found to have anything
    yield
    gc.unfreeze()


# ------------------------------------------------------------------------------------------------------ as it was
WAYS = {"returned": (False, "no_content"), "exhausted": (True, "no_content"), "content": (True, "span_and_event")}

FAILING = ("hostile_object", "recursive_function")
"""Shapes that make what looks at them fail: by raising when they are looked at, and by leaving no room on the stack."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_wrapped_callable_is_what_it_was(name: str, way: str) -> None:
    """A program sees the same of its callable wrapped: what it is, gives and raises, and by which protocol."""
    shape = SHAPES[name]
    owners = dict(vars(callables))
    followed, content = WAYS[way]

    expected = plain(shape)
    actual = recorded(shape, followed=followed, content=content)

    assert expected == actual
    assert {"refused" if shape.refused else "hooked"} == set(states.pop().values()) - {"absent"}
    assert (name in FAILING) == bool(swallowed.pop())
    assert all(vars(callables)[name] is owner for name, owner in owners.items())
    assert expected == plain(shape)


EVENTS = ("session_updated", "hitl_decision_made")


def test_wrapped_callables_are_recorded() -> None:
    """The shapes are not the same for lack of anything being recorded."""
    silent = set()
    for name, shape in SHAPES.items():
        tachograph.init(wrap=tables(shape, followed=True), integrations=["smolagents"])
        try:
            contextvars.copy_context().run(played, shape, Transcript())
            calls = tachograph.session_metrics("wrapped").tools
            kinds = {entry["event_type"] for entry in tachograph.audit_log(session_id="wrapped")}
        finally:
            tachograph.shutdown()
        if not calls or "tool_execution_completed" not in kinds or kinds.isdisjoint(EVENTS):
            silent.add(name)

    assert {name for name, shape in SHAPES.items() if shape.refused} == silent - {
        "coroutine_never_awaited",
        "what_is_written_wrongly",
    }


# ----------------------------------------------------------------------------------------------------- the faults
class Walk:
    """Every function of the wrapping, and the shapes whose programs reach it."""

    def __init__(self) -> None:
        known = injection.functions()
        self.known = {code: place for code, place in known.items() if place[0].startswith(WRAPPING)}
        self.plain = {name: plain(shape) for name, shape in SHAPES.items()}
        self.running: dict[types.CodeType, list[str]] = {}
        self.starting: dict[types.CodeType, list[str]] = {}
        for name, shape in SHAPES.items():
            with injection.reached(self.known) as begun:
                tachograph.init(wrap=tables(shape, followed=True), capture_content="span_only")
            with injection.reached(self.known) as seen:
                contextvars.copy_context().run(played, shape, Transcript())
            tachograph.shutdown()
            for codes, where in ((begun, self.starting), (seen, self.running)):
                for code in codes:
                    # Of others' functions the heap decides who has them, and that differs from run to run.
                    if name == KEEPING or not self.known[code][0].startswith(f"{WRAPPING}elsewhere:"):
                        where.setdefault(code, []).append(name)

    def broken(self, code: types.CodeType, name: str, *, at_start: bool) -> str:
        """Play with a function broken; gives what is wrong with that, if anything."""
        shape, place = SHAPES[name], self.known[code]
        injection.hits.clear()
        if at_start:
            with injection.broken(code, *place):
                tachograph.init(wrap=tables(shape, followed=True), capture_content="span_only")
            seen = contextvars.copy_context().run(played, shape, Transcript())
        else:
            tachograph.init(wrap=tables(shape, followed=True), capture_content="span_only")
            with injection.broken(code, *place):
                seen = contextvars.copy_context().run(played, shape, Transcript())
        counted = sum(tachograph.stats()["swallowed"].values())
        tachograph.shutdown()
        if seen != self.plain[name]:
            first = next((pair for pair in zip(self.plain[name], seen, strict=False) if pair[0] != pair[1]), None)
            return f"{name}: not as without us: {first or (len(self.plain[name]), len(seen))}"
        if not injection.hits:
            return f"{name}: never struck"
        return "" if counted else f"{name}: not counted"


@pytest.fixture(scope="module")
def walk() -> Walk:
    """Measured once."""
    return Walk()


@pytest.mark.parametrize("at_start", [False, True], ids=["running", "starting"])
def test_a_broken_function_reaches_nobody(walk: Walk, at_start: bool) -> None:  # noqa: FBT001
    """With any one function of the wrapping raising whenever it runs, programs see what they see without us."""
    _break(walk, at_start, 1 if at_start else 2)


@pytest.mark.long
@pytest.mark.parametrize("at_start", [False, True], ids=["running", "starting"])
def test_a_broken_function_reaches_nobody_of_many_shapes(walk: Walk, at_start: bool) -> None:  # noqa: FBT001
    """The same with a dozen of the shapes that reach the function, as different as they are."""
    _break(walk, at_start, 12)


def _break(walk: Walk, at_start: bool, most: int) -> None:  # noqa: FBT001
    path = walk.starting if at_start else walk.running
    wrong = {
        f"{walk.known[code][0]} in {trouble}"
        for code, names in path.items()
        if _place(walk.known[code][0]) not in STARTING
        for name in names[:: -(-len(names) // most)]
        if (trouble := walk.broken(code, name, at_start=at_start))
    }

    assert set() == wrong


def test_every_function_is_on_the_path(walk: Walk) -> None:
    """Between them, start and programs reach every function of the wrapping, but for a few with reasons."""
    never = {
        _place(name)
        for code, (name, _, _) in walk.known.items()
        if code not in walk.running and code not in walk.starting and "comp>" not in name and "genexpr>" not in name
    }

    assert ASKED == {name.removeprefix(WRAPPING) for name in never if not re.search(r"\.__\w+__$", name)}


ASKED = {
    "found:missed",  # asked by the program
    "wraps:Wraps.missed",
    "wraps:Wraps.rows",
    "wraps:Wraps.modules",  # asked by the doctor
}


def _place(name: str) -> str:
    module, qualname = name.split(":", 1)
    return f"{module}:{re.sub(r':[0-9]+', '', qualname)}"
