"""Settings: read once at start, from arguments, the environment and ``pyproject.toml``, in that order.

A setting is a field of :class:`Config`; its environment variable, its reader and its meaning stand beside it.
``init()`` raises on a bad value. ``import tachograph.auto`` and ``opentelemetry-instrument`` cannot, as the
program has not asked for us by name: they print one line and go on with that setting's default.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
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

CONFIG_FILE_VARIABLE: Final = "TACHOGRAPH_CONFIG"

TOKEN_VARIABLE: Final = "TACHOGRAPH_TOKEN"  # noqa: S105 - a variable's name
"""Where ``tachograph serve`` finds its token; no setting, so that it is never shown among them."""

JAEGER_HEADERS_VARIABLE: Final = "TACHOGRAPH_JAEGER_HEADERS"
"""Headers for a Jaeger that is read, as ``name=value,…``; no setting, as they are secrets of whoever reads."""

OTLP_FILE_VARIABLE: Final = "TACHOGRAPH_OTLP_FILE"
"""A file of OTLP in JSON to export to; like the variables of OpenTelemetry, which have none for that."""

_NO_SETTINGS: Final = frozenset({CONFIG_FILE_VARIABLE, JAEGER_HEADERS_VARIABLE, OTLP_FILE_VARIABLE, TOKEN_VARIABLE})


class ConfigError(ValueError):
    """A setting has a value that cannot be used; the message names it and the fix."""


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise ValueError("expected 1 or 0 (also true/false, yes/no, on/off)") from None


def _whole(low: int, high: int) -> Callable[[Any], int]:
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


def _seconds(low: float, high: float) -> Callable[[Any], float]:
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


def _store(value: Any) -> str | None:
    """The path of a store, absolute, as the program may change its directory; None for no."""
    message = "expected a path, or 1 for the default place, or 0 for none"
    if not isinstance(value, (bool, int, str, os.PathLike)):
        raise ValueError(message)  # noqa: TRY004 - one kind of error for every bad setting
    with contextlib.suppress(ValueError):
        return default_store() if _boolean(value) else None
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ValueError(message)
    path = os.path.expanduser(text.strip())  # noqa: PTH111 - pathlib's raises where there is no home
    return os.path.abspath(path)  # noqa: PTH100 - pathlib's does not take out the dots


def default_store() -> str:
    """Where a store is kept unless somebody says otherwise: among the user's data, as the platform has it."""
    from platformdirs import user_data_path  # noqa: PLC0415 - loaded only where a store is asked for

    return str(user_data_path("tachograph", appauthor=False) / "store.db")


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(f"expected one of: {', '.join(words)}")
        return word

    return read


def _content(value: Any) -> str:
    # The older spelling of the variable is a yes or no.
    word = {"true": "span_and_event", "false": "no_content"}.get(str(value).strip().lower(), value)
    return _one_of("no_content", "span_only", "event_only", "span_and_event")(word)


def _some_of(*words: str) -> Callable[[Any], tuple[str, ...]]:
    def read(value: Any) -> tuple[str, ...]:
        parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
        chosen = tuple(str(part).strip().lower() for part in parts if str(part).strip())
        if not chosen or any(part not in words for part in chosen):
            raise ValueError(f"expected one or more of: {', '.join(words)}, separated by commas")
        return chosen

    return read


def _names(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return tuple(str(part).strip().lower() for part in parts if str(part).strip())


def _prices(value: Any) -> Mapping[str, Mapping[str, float]]:
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


def _words(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return tuple(str(part).strip() for part in parts if str(part).strip())


def _thresholds(value: Any) -> Mapping[str, float]:
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


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a text that is not empty")
    return value.strip()


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field of :class:`Config` is read and what it means."""

    variable: str
    read: Callable[[Any], Any]
    meaning: str
    secret: bool = False

    def shown(self, value: Any) -> Any:
        """A value of this setting as people may see it."""
        return "***" if self.secret and value is not None else value


def _setting(default: Any, variable: str, read: Callable[[Any], Any], meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"setting": Setting(variable, read, meaning, secret)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings in force. Immutable; make one with :meth:`read`."""

    enabled: bool = _setting(default=True, variable="TACHOGRAPH_ENABLED", read=_boolean, meaning="record at all")
    session_id: str | None = _setting(
        None, "TACHOGRAPH_SESSION_ID", _text, "id of the process session, where work without a session lands"
    )
    integrations: tuple[str, ...] = _setting(
        (), "TACHOGRAPH_INTEGRATIONS", _names, "frameworks to instrument; empty: every one that is installed"
    )
    summary: str = _setting(
        "auto",
        "TACHOGRAPH_SUMMARY",
        _one_of("auto", "1", "0"),
        "summary at exit; auto: on a terminal",
    )
    capture_errors: str = _setting(
        "message",
        "TACHOGRAPH_CAPTURE_ERRORS",
        _one_of("message", "type"),
        "keep errors' redacted text or only the type",
    )
    capture_content: str = _setting(
        "no_content",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        _content,
        "keep prompts, answers, tool arguments and results, and where they go",
    )
    max_content: int = _setting(
        8_192,
        "TACHOGRAPH_MAX_CONTENT",
        _whole(1_000, 1_000_000),
        "characters of captured content per attribute",
    )
    prices: Mapping[str, Mapping[str, float]] | None = _setting(
        None, "TACHOGRAPH_PRICES", _prices, "dollars per million tokens by model, over the published prices"
    )
    environment: bool = _setting(
        default=True,
        variable="TACHOGRAPH_ENVIRONMENT",
        read=_boolean,
        meaning="note system, Python, folder and user with a session's record; never sent",
    )
    environment_variables: tuple[str, ...] = _setting(
        (), "TACHOGRAPH_ENVIRONMENT_VARIABLES", _words, "variables noted with it; no others are looked at"
    )
    code_changes: bool = _setting(
        default=False,
        variable="TACHOGRAPH_CODE_CHANGES",
        read=_boolean,
        meaning="note which files and lines an outermost task or run changed, by git",
    )
    thresholds: Mapping[str, float] | None = _setting(
        None, "TACHOGRAPH_THRESHOLDS", _thresholds, "limits on a session's figures, told of as threshold_exceeded"
    )
    metric_sessions: int = _setting(
        100,
        "TACHOGRAPH_METRIC_SESSIONS",
        _whole(0, 100_000),
        "sessions with series of their own; 0: none",
    )
    metric_keys: tuple[str, ...] = _setting(
        ("session",), "TACHOGRAPH_METRIC_KEYS", _some_of("session", "correlation"), "what those series are keyed by"
    )
    span_events: bool = _setting(
        default=True,
        variable="TACHOGRAPH_SPAN_EVENTS",
        read=_boolean,
        meaning="copy events onto the current span",
    )
    service_name: str | None = _setting(
        None, "OTEL_SERVICE_NAME", _text, "service.name of providers that Tachograph builds"
    )
    max_sessions: int = _setting(1_000, "TACHOGRAPH_MAX_SESSIONS", _whole(1, 1_000_000), "sessions kept in memory")
    max_requests: int = _setting(100, "TACHOGRAPH_MAX_REQUESTS", _whole(0, 100_000), "newest requests listed")
    max_records: int = _setting(
        10_000, "TACHOGRAPH_MAX_RECORDS", _whole(0, 10_000_000), "records kept for the audit log and the timeline"
    )
    max_open: int = _setting(10_000, "TACHOGRAPH_MAX_OPEN", _whole(1, 1_000_000), "operations open at once")
    max_names: int = _setting(
        200,
        "TACHOGRAPH_MAX_NAMES",
        _whole(1, 100_000),
        "names per table; further ones are 'other'",
    )
    store: str | None = _setting(
        None, "TACHOGRAPH_STORE", _store, "keep records in this database; 1: in the default place, 0: in none"
    )
    store_flush: str = _setting(
        "events",
        "TACHOGRAPH_STORE_FLUSH",
        _one_of("events", "timer", "through"),
        "store soon after something is recorded, at intervals, or before the program goes on",
    )
    store_debounce: float = _setting(
        0.5, "TACHOGRAPH_STORE_DEBOUNCE", _seconds(0, 3_600), "seconds from a record until it is stored (events)"
    )
    store_batch: int = _setting(
        500, "TACHOGRAPH_STORE_BATCH", _whole(1, 20_000), "records stored together; so many are stored at once"
    )
    store_interval: float = _setting(
        5.0, "TACHOGRAPH_STORE_INTERVAL", _seconds(0.01, 3_600), "seconds between writes (timer)"
    )
    store_max_age: int = _setting(
        0, "TACHOGRAPH_STORE_MAX_AGE", _whole(0, 100_000), "days that records are kept; 0: for ever"
    )
    store_max_sessions: int = _setting(
        0, "TACHOGRAPH_STORE_MAX_SESSIONS", _whole(0, 1_000_000_000), "sessions kept in the store; 0: all"
    )
    store_max_size: int = _setting(
        2_000, "TACHOGRAPH_STORE_MAX_SIZE", _whole(0, 1_000_000_000), "MB that the store may take; 0: any"
    )
    audit_key: str | None = _setting(
        None, "TACHOGRAPH_AUDIT_KEY", _text, "key of the audit chain's HMACs; never shown", secret=True
    )
    audit_interval: float = _setting(
        60.0,
        "TACHOGRAPH_AUDIT_INTERVAL",
        _seconds(0.1, 86_400),
        "seconds between log events of the audit chain's head",
    )
    wrap: Any = ()
    """Tables of callables to record, as written: :mod:`tachograph.integrations.wrapping` reads them."""
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """Every setting by field name."""
        return {item.name: item.metadata["setting"] for item in fields(cls) if "setting" in item.metadata}

    @classmethod
    def read(
        cls,
        arguments: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
        complain: Callable[[str], None] | None = None,
    ) -> Config:
        """The settings in force.

        Args:
            arguments: given in code; they win.
            environ: the environment; ``os.environ`` by default. An empty variable counts as unset.
            directory: where the search for ``pyproject.toml`` starts; the working directory by default.
            complain: told of each bad setting, which then has its default. Without it the first one raises.

        Raises:
            ConfigError: naming the setting, its value and what is expected.
        """
        environ = os.environ if environ is None else environ
        arguments = arguments or {}
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}

        def problem(message: str) -> None:
            if complain is None:
                raise ConfigError(message)
            complain(message)

        known = cls.settings()
        for name in arguments.keys() - known.keys() - {"wrap"}:
            problem(f"init({name}=…): no such setting; there are: {', '.join(known)}")
        variables = {setting.variable for setting in known.values()}
        for variable in sorted(environ.keys() - variables - _NO_SETTINGS):
            if variable.startswith("TACHOGRAPH_"):
                near = difflib.get_close_matches(variable, variables, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(variables))}"
                problem(f"{variable}: no such setting; {hint}")
        table, file = _table(environ, directory, problem)
        for name in table.keys() - known.keys() - {"wrap"}:
            problem(f"{file}: [tool.tachograph] {name}: no such setting; there are: {', '.join(known)}")
        for name, setting in known.items():
            for place, value in (
                (f"init({name}=…)", arguments.get(name)),
                (setting.variable, environ.get(setting.variable) or None),
                (f"{file} [tool.tachograph] {name}", table.get(name)),
            ):
                if value is None:
                    continue
                try:
                    values[name], sources[name] = setting.read(value), place
                except ValueError as error:
                    problem(f"{place}: {str(setting.shown(value))[:80]!r} is not usable: {error}")
                break
        if "wrap" in arguments or "wrap" in table:
            given = "wrap" in arguments
            values["wrap"] = (arguments if given else table)["wrap"]
            sources["wrap"] = "init(wrap=…)" if given else file
        return cls(**values, sources=sources)


def _table(
    environ: Mapping[str, str], directory: Path | None, problem: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    """The ``[tool.tachograph]`` table in force and the file it is from."""
    named = environ.get(CONFIG_FILE_VARIABLE)
    file = Path(named) if named else _nearest_project(directory)
    if file is None:
        return {}, ""
    try:
        tool = tomllib.loads(file.read_text("utf-8")).get("tool")
        table = tool.get("tachograph", {}) if isinstance(tool, dict) else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # Somebody else's broken pyproject.toml is not ours to report; one named for us is.
        if named:
            problem(f"{CONFIG_FILE_VARIABLE}={named}: cannot be read: {error}; give the path of a TOML file")
        return {}, ""
    if not isinstance(table, dict):
        problem(f"{file}: tool.tachograph is not a table; write [tool.tachograph] and the settings under it")
        return {}, ""
    return table, str(file)


def _nearest_project(directory: Path | None) -> Path | None:
    try:
        start = directory or Path.cwd()
        files = (place / "pyproject.toml" for place in (start, *start.parents))
        return next((file for file in files if file.is_file()), None)
    except OSError:  # the working directory was removed, or is not ours to look into
        return None
