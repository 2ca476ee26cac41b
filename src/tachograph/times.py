"""Nanoseconds, as people and JSON read them."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FRACTION = re.compile(r"(?<=:\d\d)\.(\d+)")
_START = _EPOCH.replace(tzinfo=None)


def milliseconds(nanoseconds: float) -> float:
    """Nanoseconds as milliseconds, to the microsecond."""
    return round(nanoseconds / 1_000_000, 3)


def timestamp(moment_ns: int) -> str:
    """Nanoseconds since the epoch as ISO 8601 in UTC, to the microsecond."""
    return (_START + timedelta(0, moment_ns // 1_000_000_000, moment_ns // 1_000 % 1_000_000)).isoformat() + "Z"


def moment(value: str | datetime | float) -> int:
    """A moment as nanoseconds since the epoch; one that 64 bits cannot say as the nearest that they can.

    Args:
        value: ISO 8601 text, a datetime (naive: UTC) or seconds since the epoch.

    Raises:
        ValueError: naming the value and what is expected.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(_FRACTION.sub(_microseconds, value.replace("Z", "+00:00")))
        except ValueError:
            raise ValueError(f"{value!r} is no moment; write it like 2026-01-17T13:00:00Z") from None
    if isinstance(value, datetime):
        # In whole numbers: as a float a moment of our days is some hundred nanoseconds off.
        since = (value if value.tzinfo else value.replace(tzinfo=timezone.utc)) - _EPOCH
        return _within(since // timedelta(microseconds=1) * 1_000)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no moment; give ISO 8601 text, a datetime or seconds since the epoch")
    return _within(value * 1_000_000_000)


def _microseconds(fraction: re.Match[str]) -> str:
    # Python 3.10 reads three digits or six, and others write as many as they like.
    return f".{fraction[1][:6]:0<6}"


def _within(nanoseconds: float) -> int:
    # Bounds first: what is far enough out is no whole number any more.
    return int(min(max(nanoseconds, -(2**63)), 2**63 - 1))
