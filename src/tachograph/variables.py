"""Variables of the environment that are ours and no settings: secrets, and where things are."""

from __future__ import annotations

from typing import Final

CONFIG_FILE_VARIABLE: Final = "TACHOGRAPH_CONFIG"
"""The file that settings are read from, instead of the nearest ``pyproject.toml``."""

TOKEN_VARIABLE: Final = "TACHOGRAPH_TOKEN"  # noqa: S105 - a variable's name
"""Where ``tachograph serve`` finds its token; no setting, so that it is never shown among them."""

JAEGER_HEADERS_VARIABLE: Final = "TACHOGRAPH_JAEGER_HEADERS"
"""Headers for a Jaeger that is read, as ``name=value,…``; no setting, as they are secrets of whoever reads."""

OTLP_FILE_VARIABLE: Final = "TACHOGRAPH_OTLP_FILE"
"""A file of OTLP in JSON to export to; like the variables of OpenTelemetry, which have none for that."""

NO_SETTINGS: Final = frozenset({CONFIG_FILE_VARIABLE, JAEGER_HEADERS_VARIABLE, OTLP_FILE_VARIABLE, TOKEN_VARIABLE})
"""Variables of ours that are no settings."""
