"""How the value of a setting is read: from whatever somebody has written to what they meant.

A reader takes a value from code, a text from the environment or what TOML makes of one, and gives what the setting
holds. It raises ``ValueError`` with what was expected; :mod:`tachograph.lookup` adds where the value was found.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIGURES: Final = (
    "agent_switches",
    "average_duration_ms",
    "average_tokens_per_request",
    "cost",
    "error_rate",
    "errors",
    "total_requests",
    "total_tokens",
)
"""What of a session can be limited."""


def boolean(value: Any) -> bool:
    """A yes or a no."""
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise ValueError("expected 1 or 0 (also true/false, yes/no, on/off)") from None


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A whole number within bounds, which are both allowed."""

    def read(value: Any) -> int:
        message = f"expected a whole number from {low} to {high}"
        if isinstance(value, (bool, float)):
            raise ValueError(message)  # noqa: TRY004 - one kind of error for every bad setting
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise ValueError(message) from None
        if not low <= number <= high:
            raise ValueError(message)
        return number

    return read


def seconds(low: float, high: float) -> Callable[[Any], float]:
    """A number of seconds within bounds, which are both allowed."""

    def read(value: Any) -> float:
        message = f"expected a number of seconds from {low:g} to {high:g}"
        if isinstance(value, bool):
            raise ValueError(message)  # noqa: TRY004 - one kind of error for every bad setting
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(message) from None
        if not low <= number <= high:
            raise ValueError(message)
        return number

    return read


def store(value: Any) -> str | None:
    """The path of a store, absolute, as the program may change its directory; None for no."""
    message = "expected a path, or 1 for the default place, or 0 for none"
    if not isinstance(value, (bool, int, str, os.PathLike)):
        raise ValueError(message)  # noqa: TRY004 - one kind of error for every bad setting
    with contextlib.suppress(ValueError):
        return default_store() if boolean(value) else None
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(message)
    path = os.path.expanduser(text.strip())  # noqa: PTH111 - pathlib's raises where there is no home
    return os.path.abspath(path)  # noqa: PTH100 - pathlib's does not take out the dots


def default_store() -> str:
    """Where a store is kept unless somebody says otherwise: among the user's data, as the platform has it."""
    from platformdirs import user_data_path  # noqa: PLC0415 - loaded only where a store is asked for

    return str(user_data_path("tachograph", appauthor=False) / "store.db")


def one_of(*words: str) -> Callable[[Any], str]:
    """One of some words, in whatever case."""

    def read(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(f"expected one of: {', '.join(words)}")
        return word

    return read


def content(value: Any) -> str:
    """Whether content is captured, and where it goes, as the conventions of OpenTelemetry have it."""
    # The older spelling of the variable is a yes or no.
    word = {"true": "span_and_event", "false": "no_content"}.get(str(value).strip().lower(), value)
    return one_of("no_content", "span_only", "event_only", "span_and_event")(word)


def some_of(*words: str) -> Callable[[Any], tuple[str, ...]]:
    """One or more of some words, in whatever case: a list, or a text with commas."""

    def read(value: Any) -> tuple[str, ...]:
        parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
        chosen = tuple(str(part).strip().lower() for part in parts if str(part).strip())
        if not chosen or any(part not in words for part in chosen):
            raise ValueError(f"expected one or more of: {', '.join(words)}, separated by commas")
        return chosen

    return read


def names(value: Any) -> tuple[str, ...]:
    """Names whose case does not matter: a list, or a text with commas."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return tuple(str(part).strip().lower() for part in parts if str(part).strip())


def prices(value: Any) -> Mapping[str, Mapping[str, float]]:
    """A table, or the path of a TOML file that is one."""
    if isinstance(value, str):
        try:
            value = tomllib.loads(Path(value).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"expected the path of a TOML file of tables by model: {error}") from None
    if not isinstance(value, Mapping):
        raise ValueError("expected a table by model name")  # noqa: TRY004 - one kind of error for every bad setting
    for model, prices in value.items():
        known = prices if isinstance(prices, Mapping) else {}
        numbers = all(type(price) in (int, float) and 0 <= price < math.inf for price in known.values())
        if not {"input", "output"} <= known.keys() <= {"input", "output", "cached", "reasoning"} or not numbers:
            raise ValueError(
                f"{model!r}: expected input and output, and cached and reasoning if they differ: "
                "dollars per million tokens, from 0 up"
            )
    return value


def words(value: Any) -> tuple[str, ...]:
    """Words as they are: a list, or a text with commas."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def thresholds(value: Any) -> Mapping[str, float]:
    """A table, or ``cost=1.5,error_rate=0.1``."""
    if isinstance(value, str):
        value = dict(part.partition("=")[::2] for part in value.split(","))
    message = f"expected a number from 0 up for each of some of: {', '.join(FIGURES)}"
    if not isinstance(value, Mapping):
        raise ValueError(message)  # noqa: TRY004 - one kind of error for every bad setting
    try:
        limits = {str(name).strip(): float(limit) for name, limit in value.items()}
    except (TypeError, ValueError):
        raise ValueError(message) from None
    if not limits.keys() <= set(FIGURES) or not all(0 <= limit < math.inf for limit in limits.values()):
        raise ValueError(message)
    return limits


def text(value: Any) -> str:
    """A text that says something."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a text that is not empty")
    return value.strip()
