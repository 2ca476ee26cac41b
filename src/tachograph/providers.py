"""OpenTelemetry providers: those that exist are joined, and where none exists the standard variables build ours.

Nothing is exported unless an ``OTEL_*`` variable or the program says so, and a provider that is set is never
replaced. Resolution waits for the first operation, so that a program may set its own providers before or after
Tachograph is imported.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON

from tachograph import names
from tachograph.config import ConfigError
from tachograph.exporters import OTLP_FILE, asked_exporters, make_exporter
from tachograph.variables import OTLP_FILE_VARIABLE
from tachograph.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry._logs import LoggerProvider, LogRecord
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer

    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.outbox import CountedMetrics, Outbox
    from tachograph.processors import SpanStamp

_LEAST_MS: Final = 100.0
_MAX_EARLY: Final = 1_000
"""Log events kept for a provider that is still to appear."""


class Providers:
    """The tracer, meter and logger in force.

    Args:
        config: for the service's name.
        guard: around what happens on the host's time.
        tracer_provider: use this one; by default the global one, whenever it appears.
        meter_provider: likewise.
        logger_provider: likewise.
        complain: told of an exporter that was asked for and cannot be had.
        joined: called after a provider was joined that shuts itself down at exit.
        span_stamp: makes what is put on each tracer provider; by default one that stamps and hears nothing.
    """

    def __init__(
        self,
        config: Config,
        guard: Guard,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        complain: Callable[[str], None],
        joined: Callable[[], object],
        span_stamp: Callable[[], SpanStamp] | None = None,
    ) -> None:
        self._config = config
        self._guard = guard
        self._explicit = tracer_provider
        self._meter_provider = meter_provider
        self._logger_provider = logger_provider
        self._complain = complain
        self._on_joined = joined
        self._span_stamp = span_stamp
        self._private: trace.TracerProvider | None = None
        self._ears: list[SpanStamp] = []
        self._built: list[Any] = []
        self.after_fork()
        self._provider: trace.TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._exports: dict[str, list[Outbox | CountedMetrics]] = {}
        self._stamps: list[Any] = []
        # A logger of the API comes to life when a provider is set.
        self._logger = _logs.get_logger(names.SCOPE, VERSION, logger_provider)
        self._early: list[LogRecord] = []
        self._resolved = False
        self._closed = False

    # ------------------------------------------------------------------------------------------------- in force
    def tracer(self) -> Tracer:
        """The tracer in force now. Cheap: asked for at every start of an operation."""
        provider = self._explicit or trace.get_tracer_provider()
        if self._resolved and provider is self._provider and self._tracer is not None:
            return self._tracer
        with self._lock:
            if not self._resolved:
                self._guard(self._build)
                self._resolved = True
                early, self._early = self._early, []
                for record in early:
                    self._guard(self._logger.emit, record)
                provider = self._explicit or trace.get_tracer_provider()
            return self._join(provider)

    def meet(self) -> None:
        """Join a provider that is set already; build none, as the program may be about to."""
        provider = self._explicit or trace.get_tracer_provider()
        if provider is not self._provider and not _is_proxy(provider):
            with self._lock:
                self._join(provider)

    def recording(self) -> trace.TracerProvider:
        """The provider in force; where nobody has set one, a private one whose spans are heard of here and go nowhere.

        For instrumentations that we switch on, whose spans are all they have to say.
        """
        self.tracer()
        provider = self._explicit or trace.get_tracer_provider()
        if self._closed or not _is_proxy(provider):
            return provider
        with self._lock:
            if self._private is None:
                self._private = TracerProvider(sampler=ALWAYS_ON, resource=Resource({}), shutdown_on_exit=False)
                self._guard(self._stamp, self._private)
            return self._private

    def meter(self) -> Meter:
        """A meter, which may come to life later."""
        return metrics.get_meter(names.SCOPE, VERSION, self._meter_provider)

    def listened(self) -> bool:
        """Whether log events go anywhere, or may yet."""
        if self._logger_provider is not None or not _is_proxy(_logs.get_logger_provider()):
            return True
        return not self._resolved and len(self._early) < _MAX_EARLY

    def emit(self, record: LogRecord) -> None:
        """Send a log event; one from before the first operation waits for the provider there will be by then."""
        if self._resolved or self._logger_provider is not None or not _is_proxy(_logs.get_logger_provider()):
            self._logger.emit(record)
        elif len(self._early) < _MAX_EARLY:
            self._early.append(record)

    def _join(self, provider: trace.TracerProvider) -> Tracer:
        if provider is not self._provider or self._tracer is None:
            self._provider = provider
            self._tracer = provider.get_tracer(names.SCOPE, VERSION)
            if hasattr(provider, "add_span_processor"):
                self._guard(self._stamp, provider)
        return self._tracer

    def _stamp(self, provider: Any) -> None:
        from tachograph.processors import SpanStamp  # noqa: PLC0415 - the SDK is loaded only when somebody uses it

        stamp = SpanStamp(self._guard) if self._span_stamp is None else self._span_stamp()
        provider.add_span_processor(stamp)
        self._stamps.append(stamp)
        self._ears.append(stamp)
        if provider is not self._private:
            self._on_joined()
        stamp.sampler = _sampler(provider)

    # --------------------------------------------------------------------------------------------- building ours
    def _build(self) -> None:
        """Build what the variables ask for, where the program has set nothing itself."""
        try:
            asked = asked_exporters(os.environ)
        except ConfigError as error:
            self._complain(str(error))
            return
        build = {"traces": self._build_traces, "metrics": self._build_metrics, "logs": self._build_logs}
        explicit = {"traces": self._explicit, "metrics": self._meter_provider, "logs": self._logger_provider}
        present = {
            "traces": trace.get_tracer_provider(),
            "metrics": metrics.get_meter_provider(),
            "logs": _logs.get_logger_provider(),
        }
        for signal, exporters in asked.items():
            if explicit[signal] is not None or not _is_proxy(present[signal]):
                continue
            try:
                build[signal]([make_exporter(signal, name) for name in exporters])
            except Exception as error:  # noqa: BLE001 - whatever an exporter raises, the host runs on without it
                self._complain(f"{signal} are not exported: {error}")

    def _build_traces(self, exporters: Sequence[Any]) -> None:
        from tachograph.outbox import SpanOutbox  # noqa: PLC0415 - loads all of the SDK

        provider = TracerProvider(resource=self._resource(), shutdown_on_exit=False)
        for exporter in exporters:
            provider.add_span_processor(SpanOutbox(self._outbox("traces", exporter, "OTEL_BSP")))
        trace.set_tracer_provider(provider)
        self._built.append(provider)

    def _build_metrics(self, exporters: Sequence[Any]) -> None:
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
        provider = MeterProvider(readers, resource=self._resource(), shutdown_on_exit=False)
        metrics.set_meter_provider(provider)
        self._built.append(provider)

    def _build_logs(self, exporters: Sequence[Any]) -> None:
        from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415

        from tachograph.outbox import LogOutbox  # noqa: PLC0415
        from tachograph.processors import LogStamp  # noqa: PLC0415

        provider = LoggerProvider(resource=self._resource(), shutdown_on_exit=False)
        stamp = LogStamp(self._guard)
        provider.add_log_record_processor(stamp)  # first: the exporters' come after
        self._stamps.append(stamp)
        for exporter in exporters:
            provider.add_log_record_processor(LogOutbox(self._outbox("logs", exporter, "OTEL_BLRP")))
        _logs.set_logger_provider(provider)
        self._built.append(provider)

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

    def _resource(self) -> Resource:
        resource = Resource.create()
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": self._config.service_name or program_name()}))
        # Newer SDKs make the instance's id themselves, anew in a process that is forked off.
        return resource if _INSTANCE in resource.attributes else _OfProcess(dict(resource.attributes))

    # -------------------------------------------------------------------------------------------------- the end
    @property
    def exporting(self) -> bool:
        """Whether spans go to a provider of the SDK, ours or the program's."""
        return self._built != [] or not _is_proxy(self._explicit or trace.get_tracer_provider())

    def flush(self, timeout_ms: int = 5_000) -> None:
        """Send what is waiting in providers that are ours."""
        for provider in self._built:
            self._guard(provider.force_flush, timeout_ms)

    def shutdown(self) -> None:
        """Flush and stop providers that are ours; leave the others alone, unstamped."""
        self._closed, self._private = True, None
        for stamp in self._stamps:
            stamp.active = False
        self._deafen()
        built, self._built = self._built, []
        if built:
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

    def after_fork(self) -> None:
        """A child process: make the lock anew, as another thread may have held it, and count from nothing."""
        self._lock = threading.Lock()
        for ear in self._ears:
            ear.after_fork()
        for provider in self._built:
            self._guard(_count_anew, provider)

    def settle(self) -> None:
        """Hear of what waits for spans that have not ended: they will not be heard of."""
        for ear in self._ears:
            self._guard(ear.settle)

    def inherit(self, before: Providers) -> None:
        """Answer for the providers that another one has built."""
        self._built += before._built
        self._stamps += before._stamps
        for signal, exports in before._exports.items():
            self._exports.setdefault(signal, []).extend(exports)
        before._built, before._stamps, before._exports = [], [], {}
        if before._ears:
            before._deafen()
            self.meet()  # so that somebody hears without a break

    def _deafen(self) -> None:
        ears, self._ears = self._ears, []
        for ear in ears:
            ear.deafen()

    def describe(self) -> dict[str, str]:
        """Where each signal goes, for people."""
        self.tracer()
        present: dict[str, Any] = {
            "traces": self._explicit or trace.get_tracer_provider(),
            "metrics": self._meter_provider or metrics.get_meter_provider(),
            "logs": self._logger_provider or _logs.get_logger_provider(),
        }
        try:
            asked = asked_exporters(os.environ)
        except ConfigError:
            asked = {}
        return {signal: self._destination(signal, provider, asked.get(signal)) for signal, provider in present.items()}

    def _destination(self, signal: str, provider: Any, asked: list[str] | None) -> str:
        if provider in self._built and asked:
            endpoint = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT") or os.environ.get(
                "OTEL_EXPORTER_OTLP_ENDPOINT", "the exporter's default endpoint"
            )
            return ", ".join(_shown(name, endpoint) for name in asked)
        if _is_proxy(provider):
            return "nowhere (set OTEL_EXPORTER_OTLP_ENDPOINT to export)"
        return f"the program's own {type(provider).__name__}"


class _OfProcess(Resource):
    """A resource that is another instance in each process, also one that was forked off."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        super().__init__(attributes)
        self._instance: tuple[int, str] = 0, ""

    @property
    def attributes(self) -> Any:
        """Those given, and the id of this process."""
        if self._instance[0] != os.getpid():
            self._instance = os.getpid(), str(uuid.uuid4())
        return {**super().attributes, _INSTANCE: self._instance[1]}


_INSTANCE: Final = "service.instance.id"


def _is_proxy(provider: Any) -> bool:
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


def _sampler(provider: Any) -> str | None:
    """Who leaves spans out, by its own description; None where nobody here does."""
    sampler = getattr(provider, "sampler", None)
    said = None if sampler is None else str(sampler.get_description())
    return None if said in _ALL_SPANS else said


_LEAVES_NONE_OUT: Final[tuple[Any, ...]] = (ALWAYS_ON, DEFAULT_ON)
_ALL_SPANS: Final = tuple(sampler.get_description() for sampler in _LEAVES_NONE_OUT)


def program_name() -> str:
    """What to call the service: the script, or the module it was started as."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name).removesuffix(".__main__")
    return Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in ("", "-c", "-") else "python"
