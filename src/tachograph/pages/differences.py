"""What a human changed in the arguments of a call, as lines taken away and lines put in their place."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph.pages.markup import MOST, legible, pretty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LINES: Final = 400
"""Lines that are compared one by one; longer texts are shown whole, before and after."""


class Line(NamedTuple):
    """One line: ``-`` was taken away, ``+`` was put in, a space is there before and after."""

    sign: str
    key: str
    text: str


def differences(changes: Mapping[str, Any] | None) -> list[Line]:
    """The lines of what :func:`tachograph.views.approvals.changes` says was ``removed``, ``changed`` and ``added``."""
    if not isinstance(changes, dict):
        return []
    return [*_lines(changes)]


def _lines(changes: Mapping[str, Any]) -> Iterator[Line]:
    for key, value in _table(changes.get("removed")).items():
        yield from _all("-", key, value)
    for key, pair in _table(changes.get("changed")).items():
        before, after = (_text(_table(pair).get(side)) for side in ("from", "to"))
        yield from _compared(key, before, after)
    for key, value in _table(changes.get("added")).items():
        yield from _all("+", key, value)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> list[str]:
    return legible(pretty(value), MOST).split("\n")


def _all(sign: str, key: str, value: Any) -> Iterator[Line]:
    for line in _text(value):
        yield Line(sign, key, line)


def _compared(key: str, before: list[str], after: list[str]) -> Iterator[Line]:
    if max(len(before), len(after)) > _LINES:
        yield from (Line("-", key, line) for line in before)
        yield from (Line("+", key, line) for line in after)
        return
    for said in difflib.ndiff(before, after):
        if said[0] != "?":
            yield Line(said[0], key, said[2:])
