"""Settings: each is read from everywhere, which place wins, and what is said of a bad one."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import pytest

from tachograph.config import Config, ConfigError
from tachograph.values import FIGURES

A_STORE = os.path.abspath("/a/c.db")  # noqa: PTH100 - as the program says it, on every system

# Field: default; what may be given in code, in the environment and in TOML, and what is read from each.
PRICES = Path(__file__).parent / "data" / "prices.toml"
SETTINGS: dict[str, tuple[Any, tuple[Any, Any], tuple[str, Any], tuple[str, Any]]] = {
    "enabled": (True, (False, False), ("off", False), ("false", False)),
    "session_id": (None, ("a", "a"), (" b ", "b"), ('"c"', "c")),
    "integrations": (
        (),
        (["Smolagents"], ("smolagents",)),
        ("smolagents, langgraph,", ("smolagents", "langgraph")),
        ('["langgraph"]', ("langgraph",)),
    ),
    "summary": ("auto", (1, "1"), ("0", "0"), ('"Auto"', "auto")),
    "capture_errors": ("message", ("type", "type"), ("TYPE", "type"), ('"message"', "message")),
    "capture_content": (
        "no_content",
        (True, "span_and_event"),
        ("SPAN_ONLY", "span_only"),
        ('"event_only"', "event_only"),
    ),
    "max_content": (8_192, (1_000, 1_000), ("2000", 2_000), ("1000000", 1_000_000)),
    "prices": (
        None,
        ({"m": {"input": 1, "output": 2}}, {"m": {"input": 1, "output": 2}}),
        (str(PRICES), {"m": {"input": 3, "output": 4.5, "reasoning": 6}}),
        ("{ m = { input = 1, output = 2.5, cached = 0 } }", {"m": {"input": 1, "output": 2.5, "cached": 0}}),
    ),
    "environment": (True, (False, False), ("0", False), ("false", False)),
    "environment_variables": ((), (["A"], ("A",)), ("A, B,", ("A", "B")), ('["c"]', ("c",))),
    "code_changes": (False, (True, True), ("yes", True), ("true", True)),
    "thresholds": (
        None,
        ({"cost": 1}, {"cost": 1.0}),
        ("cost=1.5, error_rate=0.1", {"cost": 1.5, "error_rate": 0.1}),
        ("{ total_tokens = 1000 }", {"total_tokens": 1000.0}),
    ),
    "metric_sessions": (100, (0, 0), ("7", 7), ("100000", 100_000)),
    "metric_keys": (
        ("session",),
        (("session", "correlation"), ("session", "correlation")),
        ("correlation", ("correlation",)),
        ('["session", "correlation"]', ("session", "correlation")),
    ),
    "span_events": (True, (0, False), ("No", False), ("false", False)),
    "service_name": (None, ("a", "a"), ("b", "b"), ('"c"', "c")),
    "max_sessions": (1_000, (1, 1), ("2", 2), ("1000000", 1_000_000)),
    "max_requests": (100, (0, 0), ("2", 2), ("100000", 100_000)),
    "max_records": (10_000, (0, 0), ("2", 2), ("10000000", 10_000_000)),
    "max_open": (10_000, (1, 1), ("2", 2), ("1000000", 1_000_000)),
    "max_names": (200, (1, 1), ("2", 2), ("100000", 100_000)),
    "store": (None, (Path("/a/b/../c.db"), A_STORE), (str(A_STORE), A_STORE), ("false", None)),
    "store_flush": ("events", ("Timer", "timer"), ("through", "through"), ('"events"', "events")),
    "store_debounce": (0.5, (0, 0.0), ("1.5", 1.5), ("3600", 3_600.0)),
    "store_batch": (500, (1, 1), ("2", 2), ("20000", 20_000)),
    "store_interval": (5.0, (0.01, 0.01), ("2", 2.0), ("3600", 3_600.0)),
    "store_max_age": (0, (0, 0), ("2", 2), ("100000", 100_000)),
    "store_max_sessions": (0, (0, 0), ("2", 2), ("1000000000", 1_000_000_000)),
    "store_max_size": (2_000, (0, 0), ("2", 2), ("1000000000", 1_000_000_000)),
    "audit_key": (None, ("a", "a"), (" b ", "b"), ('"c"', "c")),
    "audit_interval": (60.0, (0.1, 0.1), ("2", 2.0), ("86400", 86_400.0)),
}
BOOLEAN = "expected 1 or 0 (also true/false, yes/no, on/off)"
ONE_PRICE = (
    "'m': expected input and output, and cached and reasoning if they differ: dollars per million tokens, from 0 up"
)
LIMITS = f"expected a number from 0 up for each of some of: {', '.join(FIGURES)}"
TEXT = "expected a text that is not empty"
PLACE = "expected a path, or 1 for the default place, or 0 for none"

# Field, bad value, what is said to be expected.
BAD: list[tuple[str, Any, str]] = [
    ("enabled", "maybe", BOOLEAN),
    ("enabled", 2, BOOLEAN),
    ("session_id", "  ", TEXT),
    ("session_id", 7, TEXT),
    ("summary", "sometimes", "expected one of: auto, 1, 0"),
    ("capture_errors", "all", "expected one of: message, type"),
    ("capture_content", "yes", "expected one of: no_content, span_only, event_only, span_and_event"),
    ("capture_content", 1, "expected one of: no_content, span_only, event_only, span_and_event"),
    ("max_content", 999, "expected a whole number from 1000 to 1000000"),
    ("prices", 3, "expected a table by model name"),
    ("prices", {"m": {"input": 1}}, ONE_PRICE),
    ("prices", {"m": {"input": 1, "output": -1}}, ONE_PRICE),
    ("prices", {"m": {"input": 1, "output": 1, "batch": 1}}, ONE_PRICE),
    ("prices", {"m": {"input": 1, "output": math.inf}}, ONE_PRICE),
    ("environment", "maybe", BOOLEAN),
    ("code_changes", "git", BOOLEAN),
    ("thresholds", "cost", LIMITS),
    ("thresholds", "cost=", LIMITS),
    ("thresholds", "cost=nan", LIMITS),
    ("thresholds", "money=3", LIMITS),
    ("thresholds", {"cost": -1}, LIMITS),
    ("thresholds", 3, LIMITS),
    ("metric_sessions", -1, "expected a whole number from 0 to 100000"),
    ("metric_sessions", 100_001, "expected a whole number from 0 to 100000"),
    ("metric_sessions", "many", "expected a whole number from 0 to 100000"),
    ("metric_sessions", 1.5, "expected a whole number from 0 to 100000"),
    ("metric_sessions", True, "expected a whole number from 0 to 100000"),
    ("metric_sessions", [1], "expected a whole number from 0 to 100000"),
    ("metric_keys", "user", "expected one or more of: session, correlation, separated by commas"),
    ("metric_keys", ["session", "user"], "expected one or more of: session, correlation, separated by commas"),
    ("metric_keys", ",", "expected one or more of: session, correlation, separated by commas"),
    ("span_events", "si", BOOLEAN),
    ("service_name", "", TEXT),
    ("max_sessions", 0, "expected a whole number from 1 to 1000000"),
    ("max_requests", -1, "expected a whole number from 0 to 100000"),
    ("max_records", "1e3", "expected a whole number from 0 to 10000000"),
    ("max_open", 0, "expected a whole number from 1 to 1000000"),
    ("max_names", 0, "expected a whole number from 1 to 100000"),
    ("store", "  ", PLACE),
    ("store", 2, PLACE),
    ("store", ["a.db"], PLACE),
    ("store", "a\0b", PLACE),
    ("store_flush", "always", "expected one of: events, timer, through"),
    ("store_debounce", -1, "expected a number of seconds from 0 to 3600"),
    ("store_debounce", "soon", "expected a number of seconds from 0 to 3600"),
    ("store_debounce", "nan", "expected a number of seconds from 0 to 3600"),
    ("store_debounce", True, "expected a number of seconds from 0 to 3600"),
    ("store_batch", 0, "expected a whole number from 1 to 20000"),
    ("store_interval", 0, "expected a number of seconds from 0.01 to 3600"),
    ("store_max_age", -1, "expected a whole number from 0 to 100000"),
    ("store_max_sessions", "x", "expected a whole number from 0 to 1000000000"),
    ("store_max_size", 1.5, "expected a whole number from 0 to 1000000000"),
    ("audit_interval", 0, "expected a number of seconds from 0.1 to 86400"),
    ("max_names", "9" * 5_000, "expected a whole number from 1 to 100000"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose pyproject.toml says nothing of us."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "host"\n', "utf-8")
    return tmp_path


def tell(project: Path, *lines: str) -> Path:
    file = project / "pyproject.toml"
    file.write_text("\n".join(["[tool.tachograph]", *lines]), "utf-8")
    return file


def value_of(config: Config, name: str) -> Any:
    return getattr(config, name)


# --------------------------------------------------------------------------------------------------- who wins
def test_every_setting_is_tried_here() -> None:
    """The table of this file has every setting, each with a variable of its own and a meaning."""
    known = Config.settings()
    assert known.keys() == SETTINGS.keys()
    assert len({setting.variable for setting in known.values()}) == len(known)
    assert all(setting.meaning for setting in known.values())
    standard = {
        "service_name": "OTEL_SERVICE_NAME",
        "capture_content": "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    }
    assert {name: setting.variable for name, setting in known.items()} == {
        name: standard.get(name, f"TACHOGRAPH_{name.upper()}") for name in SETTINGS
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_nothing_said_is_the_default(name: str, project: Path) -> None:
    """Without arguments, variables and a table a setting has its default, and no source."""
    config = Config.read(environ={}, directory=project)
    assert (SETTINGS[name][0], None) == (value_of(config, name), config.sources.get(name))


@pytest.mark.parametrize("name", SETTINGS)
def test_arguments_win_over_variables_and_these_over_the_file(name: str, project: Path) -> None:
    """Each setting is taken from the first place that says it, and ``sources`` names the place."""
    _, (argument, from_argument), (variable, from_variable), (toml, from_toml) = SETTINGS[name]
    named = Config.settings()[name].variable
    file = tell(project, f"{name} = {toml}")
    for arguments, environ, expected, source in (
        ({name: argument}, {named: variable}, from_argument, f"init({name}=…)"),
        ({}, {named: variable}, from_variable, named),
        ({}, {}, from_toml, f"{file} [tool.tachograph] {name}"),
    ):
        config = Config.read(arguments, environ=environ, directory=project)
        assert (expected, {name: source}) == (value_of(config, name), config.sources)
        assert type(expected) is type(value_of(config, name))


@pytest.mark.parametrize("name", SETTINGS)
def test_an_empty_variable_and_an_argument_of_none_are_unset(name: str, project: Path) -> None:
    """What is there but empty says nothing, and the next place is asked."""
    toml, from_toml = SETTINGS[name][3]
    tell(project, f"{name} = {toml}")
    config = Config.read({name: None}, environ={Config.settings()[name].variable: ""}, directory=project)
    assert from_toml == value_of(config, name)


def test_settings_do_not_change() -> None:
    """A configuration is a value: made once, never altered."""
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.enabled = False  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------- bad values
@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_a_bad_argument_is_refused(name: str, value: Any, expected: str, project: Path) -> None:
    """The error names the argument, the value and what is expected."""
    with pytest.raises(ConfigError) as refused:
        Config.read({name: value}, environ={}, directory=project)
    assert str(refused.value) == f"init({name}=…): {str(value)[:80]!r} is not usable: {expected}"


@pytest.mark.parametrize(("name", "value", "expected"), [row for row in BAD if isinstance(row[1], str) and row[1]])
def test_a_bad_variable_is_refused(name: str, value: str, expected: str, project: Path) -> None:
    """The error names the variable, the value and what is expected."""
    variable = Config.settings()[name].variable
    with pytest.raises(ConfigError) as refused:
        Config.read(environ={variable: value}, directory=project)
    assert str(refused.value) == f"{variable}: {value[:80]!r} is not usable: {expected}"


@pytest.mark.parametrize(
    ("line", "shown", "expected"),
    [
        ('enabled = "maybe"', "maybe", BOOLEAN),
        ("session_id = 7", "7", TEXT),
        ("metric_sessions = 1.5", "1.5", "expected a whole number from 0 to 100000"),
        ("max_open = true", "True", "expected a whole number from 1 to 1000000"),
        ('metric_keys = ["user"]', "['user']", "expected one or more of: session, correlation, separated by commas"),
    ],
)
def test_a_bad_value_in_the_file_is_refused(line: str, shown: str, expected: str, project: Path) -> None:
    """The error names the file, the table, the setting, the value and what is expected."""
    file = tell(project, line)
    with pytest.raises(ConfigError) as refused:
        Config.read(environ={}, directory=project)
    name = line.partition(" ")[0]
    assert str(refused.value) == f"{file} [tool.tachograph] {name}: {shown!r} is not usable: {expected}"


def test_a_config_error_is_a_value_error() -> None:
    """Who catches ValueError catches it."""
    assert issubclass(ConfigError, ValueError)


# -------------------------------------------------------------------------------------------- complaining instead
@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_what_is_complained_about_has_its_default(name: str, value: Any, expected: str, project: Path) -> None:
    """Whatever the bad value, one message tells of it and the setting is as if nothing had been said."""
    told: list[str] = []
    config = Config.read({name: value}, environ={}, directory=project, complain=told.append)
    assert (SETTINGS[name][0], {}) == (value_of(config, name), config.sources)
    assert [message.endswith(expected) for message in told] == [True]


# ------------------------------------------------------------------------------------------------------- secrets
def test_a_secret_is_shown_nowhere(tmp_path: Path) -> None:
    """Neither the settings' text nor a complaint shows the audit key; who asks for the field has it."""
    config = Config.read({"audit_key": "hush"}, environ={}, directory=tmp_path)
    assert "hush" == config.audit_key
    assert "hush" not in repr(config)
    assert ("***", None) == tuple(Config.settings()["audit_key"].shown(value) for value in ("hush", None))

    with pytest.raises(ConfigError) as refused:
        Config.read({"audit_key": b"hush"}, environ={}, directory=tmp_path)
    assert "hush" not in str(refused.value)
