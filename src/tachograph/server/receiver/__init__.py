"""OTLP over HTTP: whatever sends spans and log events, in any language, is a session here.

``wire`` is what is sent, ``bodies`` reads it within bounds, ``replies`` is what the sender is told, ``routes`` are the
endpoints. Behind them ``inlet`` turns what was taken into records and keeps it, in one of ``places``: ``belonging``
finds the session of spans that do not say it, ``copies`` holds what comes twice, ``fitting`` cuts what is too large.
"""

from __future__ import annotations

from tachograph.server.receiver.inlet import Receiver
from tachograph.server.receiver.routes import PATHS, router

__all__ = ["PATHS", "Receiver", "router"]
