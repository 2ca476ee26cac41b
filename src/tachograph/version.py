"""The version, in the one place that everything reads it from."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
