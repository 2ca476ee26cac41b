"""Providers that are ours: built as the ``OTEL_*`` variables ask, of those signals that the program has none for.

What they are given to send goes through outboxes of ours (:mod:`tachograph.outbox`), so that a collector that is slow
or gone costs the program nothing, and what becomes of it is counted.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util._once import Once

from tachograph.config import ConfigError
from tachograph.exporters import OTLP_FILE, asked_exporters, make_exporter
from tachograph.service import resource
from tachograph.variables import OTLP_FILE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.outbox import CountedMetrics, Outbox
    from tachograph.processors import LogStamp

_LEAST_MS: Final = 100.0


class Built:
    """The providers we have built, which may be none.

    Args:
        config: for the service's name.
        guard: around what happens on the host's time.
        complain: told of an exporter that was asked for and cannot be had, and of what is dropped.
    """

    def __init__(self, config: Config, guard: Guard, complain: Callable[[str], None]) -> None:
        self._config = config
        self._guard = guard
        self._complain = complain
        self.providers: list[Any] = []
        self.stamps: list[LogStamp] = []
        self._exports: dict[str, list[Outbox | CountedMetrics]] = {}

    def build(self, given: Mapping[str, Any]) -> None:
        """Build what the variables ask for, where the program has set nothing itself, and set it.

        Args:
            given: providers to write to instead, by signal: traces, metrics, logs; None for none.
        """
        try:
            asked = asked_exporters(os.environ)
        except ConfigError as error:
            self._complain(str(error))
            return
        build = {"traces": self._traces, "metrics": self._metrics, "logs": self._logs}
        present = {
            "traces": trace.get_tracer_provider(),
            "metrics": metrics.get_meter_provider(),
            "logs": _logs.get_logger_provider(),
        }
        for signal, exporters in asked.items():
            if given[signal] is not None or not is_stand_in(present[signal]):
                continue
            try:
                build[signal]([make_exporter(signal, name) for name in exporters])
            except Exception as error:  # noqa: BLE001 - whatever an exporter raises, the host runs on without it
                self._complain(f"{signal} are not exported: {error}")

    def _traces(self, exporters: Sequence[Any]) -> None:
        from tachograph.outbox import SpanOutbox  # noqa: PLC0415 - loads all of the SDK

        provider = TracerProvider(resource=resource(self._config.service_name), shutdown_on_exit=False)
        for exporter in exporters:
            provider.add_span_processor(SpanOutbox(self._outbox("traces", exporter, "OTEL_BSP")))
        trace.set_tracer_provider(provider)
        self.providers.append(provider)

    def _metrics(self, exporters: Sequence[Any]) -> None:
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: PLC0415

        from tachograph.outbox import CountedMetrics  # noqa: PLC0415 - loads all of the SDK

        readers: list[MetricReader] = []
        for exporter in exporters:
            if isinstance(exporter, MetricReader):
                readers.append(exporter)
            else:
                counted = CountedMetrics(exporter)
                self._exports.setdefault("metrics", []).append(counted)
                readers.append(PeriodicExportingMetricReader(counted))
        provider = MeterProvider(readers, resource=resource(self._config.service_name), shutdown_on_exit=False)
        metrics.set_meter_provider(provider)
        self.providers.append(provider)

    def _logs(self, exporters: Sequence[Any]) -> None:
        from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415

        from tachograph.outbox import LogOutbox  # noqa: PLC0415
        from tachograph.processors import LogStamp  # noqa: PLC0415

        provider = LoggerProvider(resource=resource(self._config.service_name), shutdown_on_exit=False)
        stamp = LogStamp(self._guard)
        provider.add_log_record_processor(stamp)  # first: the exporters' come after
        self.stamps.append(stamp)
        for exporter in exporters:
            provider.add_log_record_processor(LogOutbox(self._outbox("logs", exporter, "OTEL_BLRP")))
        _logs.set_logger_provider(provider)
        self.providers.append(provider)

    def _outbox(self, signal: str, exporter: Any, prefix: str) -> Outbox:
        from tachograph.outbox import Bounds, Outbox  # noqa: PLC0415 - loads all of the SDK

        def overflowing() -> None:
            self._complain(
                f"{signal} come faster than they can be sent, or nobody takes them: some are dropped, "
                "and counted in tachograph.stats()['export']"
            )

        bounds = Bounds.of(os.environ, prefix, self._complain)
        outbox = Outbox(exporter, bounds, self._guard, lambda: self._guard(overflowing))
        self._exports.setdefault(signal, []).append(outbox)
        return outbox

    def exports(self) -> dict[str, dict[str, int]]:
        """What became of what our exporters were given, by signal: sent, failed, dropped, waiting. Metrics: exports."""
        found: dict[str, dict[str, int]] = {}
        for signal, exports in self._exports.items():
            counts = found.setdefault(signal, {})
            for export in exports:
                for what, count in export.stats().items():
                    counts[what] = counts.get(what, 0) + count
        return found

    def destination(self, signal: str, provider: Any) -> str | None:
        """Where a provider sends a signal, for people; None where it is none of ours, or nothing is asked for."""
        if provider not in self.providers:
            return None
        try:
            asked = asked_exporters(os.environ).get(signal)
        except ConfigError:
            return None
        endpoint = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT") or os.environ.get(
            "OTEL_EXPORTER_OTLP_ENDPOINT", "the exporter's default endpoint"
        )
        return ", ".join(_shown(name, endpoint) for name in asked) if asked else None

    def inherit(self, before: Built) -> None:
        """Answer for what another one has built."""
        self.providers += before.providers
        self.stamps += before.stamps
        for signal, exports in before._exports.items():
            self._exports.setdefault(signal, []).extend(exports)
        before.providers, before.stamps, before._exports = [], [], {}

    def after_fork(self) -> None:
        """A child process: count from nothing."""
        for provider in self.providers:
            self._guard(_count_anew, provider)

    # -------------------------------------------------------------------------------------------------- the end
    def flush(self, timeout_ms: int) -> None:
        """Send what is waiting."""
        for provider in self.providers:
            self._guard(provider.force_flush, timeout_ms)

    def shutdown(self) -> None:
        """Flush and stop them all."""
        built, self.providers = self.providers, []
        if built:
            _ended.update(built)
            self._guard(self._end, built)

    def _end(self, built: list[Any]) -> None:
        from tachograph.outbox import TO_END, Outbox  # noqa: PLC0415 - loaded, where something was built

        until = time.monotonic() + TO_END
        for outbox in (export for exports in self._exports.values() for export in exports):
            if isinstance(outbox, Outbox):
                outbox.stop(until)  # all at once, before anybody is waited for
        # Metrics first: their reader sends a last time itself, in what is left of the time.
        for provider in sorted(built, key=lambda each: not hasattr(each, "get_meter")):
            if hasattr(provider, "get_meter"):
                left = max(_LEAST_MS, 1_000 * (until - time.monotonic()))
                self._guard(provider.shutdown, left)
            else:
                self._guard(provider.shutdown)


_ended: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
"""Providers of ours that were stopped."""


def make_way() -> None:
    """Take those of ours that were stopped out of the API, for new ones: it takes one for good, and has no way back."""
    for module, name in (
        (trace, "_TRACER_PROVIDER"),
        (metrics._internal, "_METER_PROVIDER"),  # noqa: SLF001 - as said
        (_logs._internal, "_LOGGER_PROVIDER"),  # noqa: SLF001
    ):
        if getattr(module, name) in _ended:
            setattr(module, f"{name}_SET_ONCE", Once())
            setattr(module, name, None)
    meters = metrics._internal._PROXY_METER_PROVIDER  # noqa: SLF001
    if meters._real_meter_provider in _ended:  # noqa: SLF001
        meters._real_meter_provider = None  # noqa: SLF001


def is_stand_in(provider: Any) -> bool:
    """Whether it is the API's stand-in for a provider that nobody has set."""
    return "Proxy" in type(provider).__name__


def _count_anew(provider: Any) -> None:
    """Have a meter provider of the SDK forget what it has counted: a child process would say it as its own too."""
    consumer = getattr(provider, "_measurement_consumer", None)  # the SDK has no public way
    if consumer is None:
        return
    consumer._lock = threading.Lock()  # noqa: SLF001 - another thread may have held it
    for storage in consumer._reader_storages.values():  # noqa: SLF001
        storage._lock = threading.RLock()  # noqa: SLF001
        storage._instrument_view_instrument_matches = {}  # noqa: SLF001


def _shown(name: str, endpoint: str) -> str:
    if name == OTLP_FILE:
        return os.environ.get(OTLP_FILE_VARIABLE, name)
    if name == "prometheus":
        from tachograph.scraped import place  # noqa: PLC0415 - of an extra, which is there: it was built

        host, port = place(os.environ)
        return f"prometheus, at {host}:{port}"
    return f"{name} to {endpoint}" if name.startswith("otlp") else name
