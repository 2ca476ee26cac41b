"""Tachograph: the instrument that records what AI agents do.

``import tachograph.auto`` instruments a program; the functions here name its sessions and read the figures.
Importing this package loads no framework and no exporter, and starts no thread, socket or file.

PYTEST_DONT_REWRITE: pytest knows us as a plugin's distribution and would complain where we are imported before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph import events
from tachograph import runtime as _runtime
from tachograph.by_hand import Handle, agent, model, switch, task, tool
from tachograph.config import ConfigError
from tachograph.decisions import Approval, approvals, decide, request_approval
from tachograph.exporters import LedgerSpanExporter
from tachograph.frameworks import IntegrationError
from tachograph.ledger import Ledger
from tachograph.runtime.assembly import Runtime
from tachograph.safe import error_summary, reset_errors, safe
from tachograph.sessions import bind, correlation, session
from tachograph.sources import SourceError
from tachograph.sources import default_place as _default_place
from tachograph.sources import open_source as _open_source
from tachograph.subscriptions import Subscription
from tachograph.summary import session_summary as _session_summary
from tachograph.told import end_task, record_agent_execution, record_llm_call, record_tool_usage, start_task
from tachograph.version import VERSION
from tachograph.views.session import SessionMetrics
from tachograph.views.timeline import Timeline, TimelineEntry
from tachograph.views.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from tachograph.sources import Source

__version__ = VERSION

__all__ = [
    "Approval",
    "ConfigError",
    "Handle",
    "IntegrationError",
    "Ledger",
    "LedgerSpanExporter",
    "Runtime",
    "SessionMetrics",
    "SourceError",
    "Subscription",
    "Timeline",
    "TimelineEntry",
    "Totals",
    "__version__",
    "agent",
    "approvals",
    "audit_log",
    "bind",
    "clear_session",
    "correlation",
    "decide",
    "disable",
    "enable",
    "end_task",
    "error_summary",
    "events",
    "init",
    "is_enabled",
    "ledger",
    "metrics",
    "model",
    "read",
    "record_agent_execution",
    "record_llm_call",
    "record_tool_usage",
    "request_approval",
    "reset_errors",
    "safe",
    "session",
    "session_metrics",
    "sessions",
    "shutdown",
    "start_task",
    "stats",
    "subscribe",
    "summary",
    "switch",
    "task",
    "timeline",
    "tool",
]


def init(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    **settings: Any,
) -> Runtime:
    """Start recording; a further call with nothing new gives the runtime that is.

    Args:
        tracer_provider: write spans there; by default to the global provider, or one built from ``OTEL_*``.
        meter_provider: likewise for metrics.
        logger_provider: likewise for log events.
        settings: as in :class:`tachograph.config.Config`; they win over the environment and ``pyproject.toml``.

    Raises:
        ConfigError: for a setting that does not exist or has a bad value, or contradicts those already in force.
        IntegrationError: for an integration asked for by name that cannot be installed.
    """
    return _runtime.start(
        settings, tracer_provider=tracer_provider, meter_provider=meter_provider, logger_provider=logger_provider
    )


def shutdown() -> None:
    """Unhook everything, end what is open, flush and stop exporters that are ours."""
    _runtime.stop()


def read(place: str | Path | None = None) -> Source:
    """Open recorded sessions, of this program or of others: they answer what the functions here answer, until closed.

    Args:
        place: a store, a file of OTLP, or a Jaeger (``jaeger://host:16686?since=7d``); by default the store of the
            settings in force.

    Raises:
        SourceError: for a place that cannot be read; it names it and the fix.
    """
    return _open_source(_default_place(_runtime.current().config) if place is None else place)


def ledger() -> Ledger:
    """The ledger of this process: a source like any other, to be served or followed."""
    return _runtime.current().ledger


def enable() -> None:
    """Record again after :func:`disable`."""
    _runtime.current().enable(on=True)


def disable() -> None:
    """Record nothing until :func:`enable`: hooks stay where they are, and look at nothing."""
    _runtime.current().enable(on=False)


def is_enabled() -> bool:
    """Whether work is recorded."""
    return _runtime.current().enabled


def session_metrics(session_id: str, correlation_id: str | None = None) -> SessionMetrics:
    """Figures of a session, or of one request within it; zeros where nothing is known."""
    return _runtime.current().ledger.session_metrics(session_id, correlation_id)


def sessions() -> list[str]:
    """Ids of the sessions known, the one last active last."""
    return _runtime.current().ledger.sessions()


def metrics() -> Totals:
    """Figures over everything recorded."""
    return _runtime.current().ledger.metrics()


def audit_log(
    *,
    session_id: str | None = None,
    event_type: str | None = None,
    category: str | None = None,
    correlation_id: str | None = None,
    critical: bool | None = None,
    since: str | datetime | float | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Who did, asked and decided what, oldest first; see :meth:`tachograph.ledger.Ledger.audit_log`.

    Raises:
        ValueError: for a type, category, moment or limit that is none.
    """
    return _runtime.current().ledger.audit_log(
        session_id=session_id,
        event_type=event_type,
        category=category,
        correlation_id=correlation_id,
        critical=critical,
        since=since,
        limit=limit,
    )


def timeline(*, session_id: str | None = None, correlation_id: str | None = None) -> Timeline:
    """What happened when, inside what; ``print`` it for a waterfall."""
    return _runtime.current().ledger.timeline(session_id=session_id, correlation_id=correlation_id)


def summary(session_id: str) -> str:
    """A session in a few lines of text."""
    return _session_summary(session_metrics(session_id))


def subscribe(
    handler: Callable[[dict[str, Any]], Any],
    *,
    event_type: str | None = None,
    category: str | None = None,
    session_id: str | None = None,
) -> Subscription:
    """Tell ``handler`` of every entry of the audit log from now on, in order, in a thread of its own.

    Args:
        handler: a function or coroutine function of one entry. What it raises is counted and goes no further.
        event_type: only entries of this type.
        category: only entries of this category.
        session_id: only entries of this session.

    Raises:
        ValueError: for a type or category that does not exist.
        TypeError: for a handler that cannot be called.
    """
    return _runtime.current().subscribe(handler, event_type=event_type, category=category, session_id=session_id)


def stats() -> dict[str, Any]:
    """How Tachograph itself is doing: what is hooked, open, evicted, swallowed."""
    return _runtime.current().stats()


def clear_session(session_id: str) -> bool:
    """Forget a session's figures and detail; the totals stay. Whether it was known."""
    return _runtime.current().clear_session(session_id)
