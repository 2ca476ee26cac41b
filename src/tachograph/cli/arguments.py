"""Values as people write them on a command line: moments, ages, sizes, percentages, places."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Any, Final

import click

from tachograph.redact import printable

_AGE_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SIZE_UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_MAX_AGE_SECONDS: Final = 100 * 366 * 86_400
_MOST: Final = 2**62 - 1
"""More does not fit into a number of SQLite's, whatever is added to it."""


def _amount(value: str) -> tuple[float, str]:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z%]*)\s*", value, re.ASCII)
    return (float(found[1]), found[2]) if found else (math.nan, "")


class Age(click.ParamType):  # type: ignore[type-arg] # old versions of click have none
    """A span of time: ``45s``, ``10m``, ``2h``, ``30d``, ``2w``."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """As a timedelta."""
        if isinstance(value, timedelta):
            return value
        number, unit = _amount(value)
        seconds = number * _AGE_UNITS.get(unit, math.nan)
        if not 0 <= seconds <= _MAX_AGE_SECONDS:
            self.fail(f"{printable(value)!r} is no span of time; write it like 45s, 10m, 2h, 30d or 2w", param, ctx)
        return timedelta(seconds=seconds)


class Moment(click.ParamType):  # type: ignore[type-arg] # old versions of click have none
    """A moment: ISO 8601 (local time unless it says otherwise), or how long ago, as :class:`Age`."""

    name = "MOMENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """As a datetime with its time zone."""
        if isinstance(value, datetime):
            return value
        number, unit = _amount(value)
        if unit in _AGE_UNITS and not math.isnan(number):
            return datetime.now().astimezone() - Age().convert(value, param, ctx)
        try:
            return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone()
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{printable(value)!r} is no moment; write it like 2026-01-17, 2026-01-17T13:00 or 2h (ago)", param, ctx
            )


class Size(click.ParamType):  # type: ignore[type-arg] # old versions of click have none
    """A number of bytes: ``500MB``, ``2GiB``, ``1000000``."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """As bytes."""
        if isinstance(value, int):
            return value
        number, unit = _amount(value)
        factor = _SIZE_UNITS.get(unit.upper())
        if factor is None or not number * factor < _MOST:
            self.fail(f"{printable(value)!r} is no size; write it like 500MB, 2GiB or a number of bytes", param, ctx)
        return round(number * factor)


class Limit(click.ParamType):  # type: ignore[type-arg] # old versions of click have none
    """How much figures may grow: ``10%`` for all of them, ``tokens=10%`` for one.

    Args:
        figures: names of those there are.
    """

    name = "[FIGURE=]PERCENT"

    def __init__(self, figures: tuple[str, ...]) -> None:
        self._figures = figures

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """As the figure's name (empty for all) and the share it may grow by."""
        if isinstance(value, tuple):
            return value
        figure, equals, share = value.rpartition("=")
        number, unit = _amount(share)
        if unit != "%":
            self.fail(f"{printable(value)!r} is no limit; write it like 10% or tokens=10%", param, ctx)
        if equals and figure not in self._figures:
            self.fail(f"{printable(figure)!r}: no such figure; there are: {', '.join(self._figures)}", param, ctx)
        return figure, number / 100


class Place(click.ParamType):  # type: ignore[type-arg] # old versions of click have none
    """A file, or whatever else is read. An empty text, as of a shell's variable that is not set, is none."""

    name = "PLACE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is."""
        if not value:
            self.fail(f"{value!r} is no path; give one, or leave this out", param, ctx)
        return str(value)


AGE: Final = Age()
COUNT: Final = click.IntRange(1, _MOST)
LIMIT: Final = click.IntRange(0, _MOST)
MOMENT: Final = Moment()
PLACE: Final = Place()
SIZE: Final = Size()
