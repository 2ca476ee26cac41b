"""Baselines: the figures that tests came to once, kept in a file, and how far those of today may be from them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph.pytest_plugin.figures import FIGURES, is_number, known, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tachograph.views.session import SessionMetrics

TABLES: Final = ("tools", "models", "switches")
"""What is counted by name: calls asked for by tool, requests by model, hand-overs."""

_FORMAT: Final = 1
_PER_CENT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
_SLACK: Final = 1e-9
"""What sums of dollars may be apart without anything being different."""


class BaselineError(ValueError):
    """A baseline cannot be read or written; the message names the file and the fix."""


# -------------------------------------------------------------------------------------------------------- tolerances
class Tolerance(NamedTuple):
    """How far a figure may be from its baseline, up or down: a share of that, or so much."""

    much: float
    share: bool

    def allows(self, before: float, now: float) -> bool:
        """Whether that is near enough."""
        return abs(now - before) <= (before * self.much if self.share else self.much) + _SLACK

    def __str__(self) -> str:
        return f"±{self.much * 100:g} %" if self.share else f"±{self.much:g}"


EXACT: Final = Tolerance(0, share=False)

Tolerances = dict[str, Tolerance]
"""By figure or table; ``""`` for all that are steady and have none of their own."""


def tolerance(value: Any, where: str) -> Tolerance:
    """``"10%"``, or a number from 0 up.

    Raises:
        ValueError: for anything else.
    """
    said = _PER_CENT.fullmatch(value) if isinstance(value, str) else None
    if said is not None:
        return Tolerance(float(said[1]) / 100, share=True)
    number = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            number = float(value)
    if not is_number(number):
        raise ValueError(f"{where}: {value!r} is no tolerance; give a share such as '10%', or a number from 0 up")
    return Tolerance(float(number), share=False)


def tolerances(said: Mapping[str, Any], where: str) -> Tolerances:
    """Tolerances by name.

    Raises:
        ValueError: for what is no figure or no tolerance.
    """
    known((name for name in said if name and name not in TABLES), where)
    return {name: tolerance(value, f"{where}: {name}" if name else where) for name, value in said.items()}


def tolerances_in(text: str, where: str) -> Tolerances:
    """The same from ``10%``, or ``tokens=10%,tool_calls=1``; one without a name is for all.

    Raises:
        ValueError: as :func:`tolerances`.
    """
    said: dict[str, str] = {}
    for part in text.split(","):
        name, given, value = part.partition("=")
        said[name.strip() if given else ""] = value if given else name
    return tolerances(said, where)


# ----------------------------------------------------------------------------------------------------------- figures
def taken(metrics: SessionMetrics) -> dict[str, Any]:
    """What is kept of a test."""
    figures = {name: figure.of(metrics) for name, figure in FIGURES.items()}
    tools = {name: int(tool["requested"]) for name, tool in sorted(metrics.tools.items())}
    models = {name: model["requests"] for name, model in sorted(metrics.tokens_by_model.items())}
    return {
        **{name: round(value, 9) if isinstance(value, float) else value for name, value in figures.items()},
        "tools": tools,
        "models": models,
        "switches": dict(sorted(metrics.switches.items())),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any], allowed: Tolerances) -> list[str]:
    """A line for each figure that is further from its baseline than allowed: both, and by how much."""
    lines = []
    for name, was, is_, limit in _pairs(before, now, allowed):
        if (was is None) != (is_ is None) or (was is not None and is_ is not None and not limit.allows(was, is_)):
            change = f"{is_ / was - 1:+.1%}, " if was and is_ is not None else ""
            lines.append((name, f"{shown(name, was)} -> {shown(name, is_)}  ({change}allowed {limit})"))
    width = max((len(name) for name, _ in lines), default=0)
    return [f"{name:{width}}  {rest}" for name, rest in lines]


def _pairs(
    before: Mapping[str, Any], now: Mapping[str, Any], allowed: Tolerances
) -> Iterator[tuple[str, float | None, float | None, Tolerance]]:
    usual = allowed.get("", EXACT)
    for name, figure in FIGURES.items():
        # What an older baseline does not have is not compared, nor what differs each time unless somebody says how far.
        if name in before and (figure.steady or name in allowed):
            yield name, before[name], now[name], allowed.get(name, usual)
    for table in TABLES:
        was, is_ = before.get(table, {}), now[table]
        for key in sorted(was.keys() | is_.keys()):
            yield f"{table}.{key}", was.get(key, 0), is_.get(key, 0), allowed.get(table, usual)


# ---------------------------------------------------------------------------------------------------------- the file
def read(path: Path) -> dict[str, dict[str, Any]]:
    """The figures in a file, by the ids of tests.

    Raises:
        BaselineError: for a file that is not there, cannot be read, or is no baseline.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise BaselineError(f"{path}: no such file; make it with --tachograph-update") from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path}: is no baseline: {error}; make it anew with --tachograph-update") from None
    tests = found.get("tests") if isinstance(found, dict) and found.get("tachograph_baseline") == _FORMAT else None
    if not isinstance(tests, dict) or not all(_is_row(row) for row in tests.values()):
        raise BaselineError(f"{path}: is no baseline of this version; make it anew with --tachograph-update")
    return tests


def _is_row(row: Any) -> bool:
    numbers = isinstance(row, dict) and all(
        value is None or is_number(value) for name, value in row.items() if name not in TABLES
    )
    return numbers and all(
        isinstance(row.get(table, {}), dict) and all(is_number(count) for count in row.get(table, {}).values())
        for table in TABLES
    )


def write(path: Path, tests: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a file whole, or leave the one that is there.

    Raises:
        BaselineError: where that cannot be done.
    """
    kept = {"tachograph_baseline": _FORMAT, "tests": dict(sorted(tests.items()))}
    text = json.dumps(kept, indent=2, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            Path(beside).chmod(0o644)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written: {error}") from None
