"""Recorded sessions, to be taken elsewhere: one as a whole in JSON, or records as OTLP."""

from __future__ import annotations

from tachograph.export.otlp import otlp_lines
from tachograph.export.session import session_export

__all__ = ["otlp_lines", "session_export"]
