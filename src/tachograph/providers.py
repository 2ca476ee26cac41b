"""The OpenTelemetry providers in force: those that exist are joined, and where none exists ours are built.

Nothing is exported unless an ``OTEL_*`` variable or the program says so, and a provider that is set is never
replaced. Resolution waits for the first operation, so that a program may set its own providers before or after
Tachograph is imported.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON

from tachograph import names
from tachograph.built import Built, is_stand_in
from tachograph.loading import loading
from tachograph.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry._logs import LoggerProvider, LogRecord
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer

    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.processors import SpanStamp

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
        self._guard = guard
        self._explicit = tracer_provider
        self._meter_provider = meter_provider
        self._logger_provider = logger_provider
        self._on_joined = joined
        self._span_stamp = span_stamp
        self._private: trace.TracerProvider | None = None
        self._ears: list[SpanStamp] = []
        self._built = Built(config, guard, complain)
        self.after_fork()
        self._provider: trace.TracerProvider | None = None
        self._tracer: Tracer | None = None
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
                given = {"traces": self._explicit, "metrics": self._meter_provider, "logs": self._logger_provider}
                self._guard(self._built.build, given)
                self._resolved = True
                early, self._early = self._early, []
                for record in early:
                    self._guard(self._logger.emit, record)
                provider = self._explicit or trace.get_tracer_provider()
            return self._join(provider)

    def meet(self) -> None:
        """Join a provider that is set already; build none, as the program may be about to."""
        provider = self._explicit or trace.get_tracer_provider()
        if provider is not self._provider and not is_stand_in(provider):
            with loading(), self._lock:
                self._join(provider)

    def recording(self) -> trace.TracerProvider:
        """The provider in force; where nobody has set one, a private one whose spans are heard of here and go nowhere.

        For instrumentations that we switch on, whose spans are all they have to say.
        """
        self.tracer()
        provider = self._explicit or trace.get_tracer_provider()
        if self._closed or not is_stand_in(provider):
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
        if self._logger_provider is not None or not is_stand_in(_logs.get_logger_provider()):
            return True
        return not self._resolved and len(self._early) < _MAX_EARLY

    def emit(self, record: LogRecord) -> None:
        """Send a log event; one from before the first operation waits for the provider there will be by then."""
        if self._resolved or self._logger_provider is not None or not is_stand_in(_logs.get_logger_provider()):
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

    def exports(self) -> dict[str, dict[str, int]]:
        """What became of what our exporters were given; see :meth:`tachograph.built.Built.exports`."""
        return self._built.exports()

    # -------------------------------------------------------------------------------------------------- the end
    @property
    def exporting(self) -> bool:
        """Whether spans go to a provider of the SDK, ours or the program's."""
        return self._built.providers != [] or not is_stand_in(self._explicit or trace.get_tracer_provider())

    def flush(self, timeout_ms: int = 5_000) -> None:
        """Send what is waiting in providers that are ours."""
        self._built.flush(timeout_ms)

    def shutdown(self) -> None:
        """Flush and stop providers that are ours; leave the others alone, unstamped."""
        self._closed, self._private = True, None
        for stamp in (*self._stamps, *self._built.stamps):
            stamp.active = False
        self._deafen()
        self._built.shutdown()

    def after_fork(self) -> None:
        """A child process: make the lock anew, as another thread may have held it, and count from nothing."""
        self._lock = threading.Lock()
        for ear in self._ears:
            ear.after_fork()
        self._built.after_fork()

    def settle(self) -> None:
        """Hear of what waits for spans that have not ended: they will not be heard of."""
        for ear in self._ears:
            self._guard(ear.settle)

    def inherit(self, before: Providers) -> None:
        """Answer for the providers that another one has built."""
        self._built.inherit(before._built)
        self._stamps += before._stamps
        before._stamps = []
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
        return {signal: self._destination(signal, provider) for signal, provider in present.items()}

    def _destination(self, signal: str, provider: Any) -> str:
        ours = self._built.destination(signal, provider)
        if ours is not None:
            return ours
        if is_stand_in(provider):
            return "nowhere (set OTEL_EXPORTER_OTLP_ENDPOINT to export)"
        return f"the program's own {type(provider).__name__}"


def _sampler(provider: Any) -> str | None:
    """Who leaves spans out, by its own description; None where nobody here does."""
    sampler = getattr(provider, "sampler", None)
    said = None if sampler is None else str(sampler.get_description())
    return None if said in _ALL_SPANS else said


_LEAVES_NONE_OUT: Final[tuple[Any, ...]] = (ALWAYS_ON, DEFAULT_ON)
_ALL_SPANS: Final = tuple(sampler.get_description() for sampler in _LEAVES_NONE_OUT)
