"""Settings: read once at start, from arguments, the environment and ``pyproject.toml``, in that order.

A setting is a field of :class:`Config`; its environment variable, its reader (:mod:`tachograph.values`) and its meaning
stand beside it. ``init()`` raises on a bad value. ``import tachograph.auto`` and ``opentelemetry-instrument`` cannot,
as the program has not asked for us by name: they print one line and go on with that setting's default.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from tachograph import values
from tachograph.lookup import Setting, look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class ConfigError(ValueError):
    """A setting has a value that cannot be used; the message names it and the fix."""


def _setting(default: Any, variable: str, read: Callable[[Any], Any], meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"setting": Setting(variable, read, meaning, secret)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings in force. Immutable; make one with :meth:`read`."""

    enabled: bool = _setting(default=True, variable="TACHOGRAPH_ENABLED", read=values.boolean, meaning="record at all")
    session_id: str | None = _setting(
        None, "TACHOGRAPH_SESSION_ID", values.text, "id of the process session, where work without a session lands"
    )
    integrations: tuple[str, ...] = _setting(
        (), "TACHOGRAPH_INTEGRATIONS", values.names, "frameworks to instrument; empty: every one that is installed"
    )
    summary: str = _setting(
        "auto",
        "TACHOGRAPH_SUMMARY",
        values.one_of("auto", "1", "0"),
        "summary at exit; auto: on a terminal",
    )
    capture_errors: str = _setting(
        "message",
        "TACHOGRAPH_CAPTURE_ERRORS",
        values.one_of("message", "type"),
        "keep errors' redacted text or only the type",
    )
    capture_content: str = _setting(
        "no_content",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        values.content,
        "keep prompts, answers, tool arguments and results, and where they go",
    )
    max_content: int = _setting(
        8_192,
        "TACHOGRAPH_MAX_CONTENT",
        values.whole(1_000, 1_000_000),
        "characters of captured content per attribute",
    )
    prices: Mapping[str, Mapping[str, float]] | None = _setting(
        None, "TACHOGRAPH_PRICES", values.prices, "dollars per million tokens by model, over the published prices"
    )
    environment: bool = _setting(
        default=True,
        variable="TACHOGRAPH_ENVIRONMENT",
        read=values.boolean,
        meaning="note system, Python, folder and user with a session's record; never sent",
    )
    environment_variables: tuple[str, ...] = _setting(
        (), "TACHOGRAPH_ENVIRONMENT_VARIABLES", values.words, "variables noted with it; no others are looked at"
    )
    code_changes: bool = _setting(
        default=False,
        variable="TACHOGRAPH_CODE_CHANGES",
        read=values.boolean,
        meaning="note which files and lines an outermost task or run changed, by git",
    )
    thresholds: Mapping[str, float] | None = _setting(
        None, "TACHOGRAPH_THRESHOLDS", values.thresholds, "limits on a session's figures, told of as threshold_exceeded"
    )
    metric_sessions: int = _setting(
        100,
        "TACHOGRAPH_METRIC_SESSIONS",
        values.whole(0, 100_000),
        "sessions with series of their own; 0: none",
    )
    metric_keys: tuple[str, ...] = _setting(
        ("session",),
        "TACHOGRAPH_METRIC_KEYS",
        values.some_of("session", "correlation"),
        "what those series are keyed by",
    )
    span_events: bool = _setting(
        default=True,
        variable="TACHOGRAPH_SPAN_EVENTS",
        read=values.boolean,
        meaning="copy events onto the current span",
    )
    service_name: str | None = _setting(
        None, "OTEL_SERVICE_NAME", values.text, "service.name of providers that Tachograph builds"
    )
    max_sessions: int = _setting(
        1_000, "TACHOGRAPH_MAX_SESSIONS", values.whole(1, 1_000_000), "sessions kept in memory"
    )
    max_requests: int = _setting(100, "TACHOGRAPH_MAX_REQUESTS", values.whole(0, 100_000), "newest requests listed")
    max_records: int = _setting(
        10_000, "TACHOGRAPH_MAX_RECORDS", values.whole(0, 10_000_000), "records kept for the audit log and the timeline"
    )
    max_open: int = _setting(10_000, "TACHOGRAPH_MAX_OPEN", values.whole(1, 1_000_000), "operations open at once")
    max_names: int = _setting(
        200,
        "TACHOGRAPH_MAX_NAMES",
        values.whole(1, 100_000),
        "names per table; further ones are 'other'",
    )
    store: str | None = _setting(
        None, "TACHOGRAPH_STORE", values.store, "keep records in this database; 1: in the default place, 0: in none"
    )
    store_flush: str = _setting(
        "events",
        "TACHOGRAPH_STORE_FLUSH",
        values.one_of("events", "timer", "through"),
        "store soon after something is recorded, at intervals, or before the program goes on",
    )
    store_debounce: float = _setting(
        0.5, "TACHOGRAPH_STORE_DEBOUNCE", values.seconds(0, 3_600), "seconds from a record until it is stored (events)"
    )
    store_batch: int = _setting(
        500, "TACHOGRAPH_STORE_BATCH", values.whole(1, 20_000), "records stored together; so many are stored at once"
    )
    store_interval: float = _setting(
        5.0, "TACHOGRAPH_STORE_INTERVAL", values.seconds(0.01, 3_600), "seconds between writes (timer)"
    )
    store_max_age: int = _setting(
        0, "TACHOGRAPH_STORE_MAX_AGE", values.whole(0, 100_000), "days that records are kept; 0: for ever"
    )
    store_max_sessions: int = _setting(
        0, "TACHOGRAPH_STORE_MAX_SESSIONS", values.whole(0, 1_000_000_000), "sessions kept in the store; 0: all"
    )
    store_max_size: int = _setting(
        2_000, "TACHOGRAPH_STORE_MAX_SIZE", values.whole(0, 1_000_000_000), "MB that the store may take; 0: any"
    )
    audit_key: str | None = _setting(
        None, "TACHOGRAPH_AUDIT_KEY", values.text, "key of the audit chain's HMACs; never shown", secret=True
    )
    audit_interval: float = _setting(
        60.0,
        "TACHOGRAPH_AUDIT_INTERVAL",
        values.seconds(0.1, 86_400),
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

        def problem(message: str) -> None:
            if complain is None:
                raise ConfigError(message)
            complain(message)

        found, sources = look_up(cls.settings(), arguments, environ, directory, problem)
        return cls(**found, sources=sources)
