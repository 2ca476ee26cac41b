"""Where a Jaeger is and what of it is read, as one writes it: ``jaeger://host:port?since=7d&service=shop``."""

from __future__ import annotations

import re
import time
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tachograph.sources import SourceError
from tachograph.times import moment

_PORT: Final = 16_686
_SINCE: Final = "24h"
_AHEAD_NS: Final = 10 * 60 * 1_000_000_000
"""Clocks of programs may be ahead of ours."""

_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(rf"(\d{{1,9}})({'|'.join(_UNITS)})", re.ASCII)
_WORDS: Final = ("service", "since", "until")
_EXPECTED: Final = (
    "write it like jaeger://127.0.0.1:16686, with https as jaeger+https://…, and behind it, where they are wanted, "
    "?since=7d (or a moment), &until=…, &service=…"
)


class Place(NamedTuple):
    """A Jaeger, and what of it is read; ``services`` are all where none is named."""

    written: str
    secure: bool
    host: str
    port: int
    path: str
    services: tuple[str, ...]
    since: str
    until: str | None

    def window(self) -> tuple[int, int]:
        """From when to when it is read now, in nanoseconds since the epoch."""
        now = time.time_ns()
        return _moment(self.since, now), now + _AHEAD_NS if self.until is None else _moment(self.until, now)


def place_of(written: str) -> Place:
    """What is written, understood.

    Raises:
        SourceError: naming what of it cannot be understood, and how to write it.
    """
    try:
        url = urlsplit(written)
        host, port = url.hostname, url.port
        words = parse_qs(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    except ValueError as error:
        raise SourceError(f"{written!r}: {error}; {_EXPECTED}") from None
    if "@" in url.netloc:
        # Not the text itself: it has a secret in it, and this may be logged.
        raise SourceError(f"{url.scheme}://…@{host}: names a user; send a header instead: TACHOGRAPH_JAEGER_HEADERS")
    if not host:
        raise SourceError(f"{written!r}: names no host; {_EXPECTED}")
    if strange := next((word for word in words if word not in _WORDS), None):
        raise SourceError(f"{written!r}: {strange!r} is none of {', '.join(_WORDS)}; {_EXPECTED}")
    found = Place(
        written=written,
        secure=url.scheme == "jaeger+https",
        host=host,
        port=_PORT if port is None else port,
        path=url.path.rstrip("/"),
        services=tuple(dict.fromkeys(words.get("service", ()))),
        since=words.get("since", [_SINCE])[-1],
        until=words.get("until", [None])[-1],
    )
    try:
        first, last = found.window()
    except ValueError as error:
        raise SourceError(f"{written!r}: {error}, or 2h for two hours ago") from None
    if first >= last:
        raise SourceError(f"{written!r}: there is no time between since and until; {_EXPECTED}")
    return found


def _moment(text: str, now_ns: int) -> int:
    if ago := _AGO.fullmatch(text.strip()):
        return max(0, now_ns - int(ago[1]) * _UNITS[ago[2]] * 1_000_000_000)
    return max(0, moment(text))
