"""OTLP over HTTP: whatever sends spans and log events, in any language, is a session here.

``wire`` is what is sent, ``bodies`` reads it within bounds, ``replies`` is what the sender is told, ``routes`` are the
endpoints. Behind them ``inlet`` keeps what was taken in one of ``places``, as the records that ``reading`` makes of it:
``belonging`` finds the session of each span, ``copies`` holds what comes twice, ``fitting`` cuts what is too large.
"""

from __future__ import annotations

from tachograph.server.receiver.inlet import Receiver
from tachograph.server.receiver.routes import PATHS, router

__all__ = ["PATHS", "Receiver", "router"]
