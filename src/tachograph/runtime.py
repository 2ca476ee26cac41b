"""THE runtime: settings, providers, ledger, recorder and hooks, started and stopped together.

One is current in a process. :func:`start` makes it; using the public functions without it makes one that hooks
nothing.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import threading
import time
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.approvals import ASKED, DECIDED, Approvals
from tachograph.attendant import Attendance
from tachograph.begun import Begun
from tachograph.clients import Clients
from tachograph.code_changes import CodeChanges
from tachograph.config import Config, ConfigError
from tachograph.context import Scope, new_id
from tachograph.environment import EnvironmentNote
from tachograph.frameworks import Frameworks, IntegrationError
from tachograph.guard import Guard
from tachograph.instruments import Instruments
from tachograph.integrations.wrapping import Wraps
from tachograph.ledger import Ledger
from tachograph.lines import Lines
from tachograph.probes import Hooks
from tachograph.providers import Providers
from tachograph.recorder import Recorder
from tachograph.service import program_name
from tachograph.store import forks
from tachograph.subscriptions import Subscription, Subscriptions
from tachograph.summary import summary
from tachograph.thresholds import Thresholds
from tachograph.values import default_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from tachograph.approvals import Elsewhere
    from tachograph.attendant import Attendant
    from tachograph.processors import SpanStamp
    from tachograph.records import Operation
    from tachograph.store.keeper import Keeper
    from tachograph.store.writer import Writer
    from tachograph.views.audit import Entry

_log = logging.getLogger("tachograph")


class Runtime:
    """Everything that records, in one process.

    Args:
        config: the settings.
        tracer_provider: write spans there; by default to the global provider, whenever it appears.
        meter_provider: likewise for metrics.
        logger_provider: likewise for log events.
        complain: told, in one line each, of what was asked for and cannot be done.
        ledger: go on with this one.
        guard: around everything; a strict one in our own tests.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        config: Config,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        complain: Callable[[str], None] | None = None,
        ledger: Ledger | None = None,
        guard: Guard | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.config = config
        self.guard = guard or Guard()
        self.complain = complain or _log.warning
        self.ledger = ledger or Ledger(
            max_sessions=config.max_sessions,
            max_requests=config.max_requests,
            max_records=config.max_records,
            max_names=config.max_names,
            guard=self.guard,
        )
        self.providers = Providers(
            config,
            self.guard,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            complain=self.complain,
            joined=lambda: atexit.register(self._before_providers_end),
            span_stamp=self._span_stamp,
        )
        self.begun = Begun()
        self.subscriptions = Subscriptions(self.guard)
        self.instruments = Instruments(
            self.providers.meter(),
            self.ledger,
            self.guard,
            sessions=config.metric_sessions,
            by_correlation="correlation" in config.metric_keys,
            latest=names.latest_wanted(os.environ.get(names.LATEST_VARIABLE, "")),
            provider=meter_provider,
        )
        self.recorder = Recorder(
            tracer=self.providers.tracer,
            emit=self.providers.emit,
            instruments=self.instruments,
            ledger=self.ledger,
            guard=self.guard,
            config=config,
            process_session=self.process_session,
            around=self.begun.around,
            listened=self.providers.listened,
            clock=clock or time.time_ns,
        )
        self.keeper = self._keeper() if config.enabled and config.store else None
        self.approvals = Approvals(self.recorder, limit=config.max_content, elsewhere=self._elsewhere)
        self.ledger.attend(self.approvals.under_way)
        self._attendants = tuple(self._attending())
        self.recorder.attendance = Attendance.of(self._attendants)
        self.recorder.carried = dict.fromkeys((*ASKED, DECIDED), self.approvals.carry)
        self.hooks = Hooks(self.recorder, self.guard)
        self.hooks.enabled = config.enabled
        self.clients = Clients(
            self.guard,
            self.providers.recording,
            self.providers.meet,
            {"meter_provider": meter_provider, "logger_provider": logger_provider},
        )
        self.frameworks = Frameworks(self.hooks, self.guard, self.complain, self.clients)
        self.wraps = Wraps(self.hooks, self.guard, self.complain)
        self._stamp: SpanStamp | None = None
        self.ids_cleaned = 0
        self.misused = 0
        self.offers_summary = False
        self.wants_summary = False
        self.wants_store = False
        self.started = False
        self.automatic = False
        self.stopped = False
        self._process = os.getpid()
        self._session_id = config.session_id or new_id()
        _fork_aware.add(self)
        self._ending = _Ending(self)
        forks.tell(self._ending, self.guard)

    def _keeper(self) -> Keeper:
        from tachograph.store.keeper import Keeper  # noqa: PLC0415 - only where a store is asked for

        return Keeper(
            self.config,
            ledger=self.ledger,
            guard=self.guard,
            complain=self.complain,
            publish=self.recorder.logbook.audit_head,
            program=self.config.service_name or program_name(),
            upkeep=self._keep_within,
        )

    def _keep_within(self, writer: Writer) -> bool:
        from tachograph.store.upkeep import keep_within  # noqa: PLC0415 - loads SQLite, on the keeper's thread

        return keep_within(writer, self.config).finished

    def _elsewhere(self) -> Elsewhere | None:
        """Where other processes ask and decide too: the store."""
        if self.keeper is None:
            return None
        from tachograph.store.deciding import Deciding  # noqa: PLC0415 - loads SQLite, where somebody decides

        return Deciding(self.keeper.path, self.keeper.flush)

    # ----------------------------------------------------------------------------------------------------- ids
    def process_session(self) -> str:
        """Session of work that nobody put into one."""
        return self._session_id

    def _span_stamp(self) -> SpanStamp:
        from tachograph.processors import SpanStamp  # noqa: PLC0415 - the SDK is loaded only when somebody uses it

        stamp = SpanStamp(self.guard, self._hear, self.process_session, self.recorder.prices, self._stamp)
        if self._stamp is None:  # they wait together
            self._stamp = stamp
            self.ledger.attend(stamp.undecided)
        return stamp

    def _hear(self, record: Operation) -> None:
        if self.enabled:
            self.recorder.foreign(record)

    def after_fork(self) -> None:
        """A child process: other threads are gone, and with them whatever they held."""
        self.ledger.after_fork()
        self.recorder.after_fork()
        self.instruments.after_fork()
        self.begun.after_fork()
        self.subscriptions.after_fork()
        self.approvals.after_fork()
        self.providers.after_fork()
        self._session_id = self.config.session_id or new_id()

    def succeed(self, before: Runtime) -> None:
        """Take over from one in use before these settings were known. Its ledger and guard are ours already."""
        if self.config.session_id is None:
            self._session_id = before._session_id
        self.ids_cleaned += before.ids_cleaned
        self.misused += before.misused
        self.wants_summary |= before.wants_summary
        self.wants_store |= before.wants_store
        self.offers_summary |= before.offers_summary
        self.providers.inherit(before.providers)
        if before.keeper is not None:
            before.guard(before.keeper.close if self.keeper is None else before.keeper.hand_over)
        self.begun.inherit(before.begun)
        self.approvals.inherit(before.approvals)
        self.subscriptions.inherit(before.subscriptions)
        self._attend_subscriptions()
        before.instruments.settle()
        before.stopped, before.instruments.enabled = True, False
        before.guard(before.hooks.uninstall)
        before.guard(before.clients.close)
        before._forget_exit()

    def _attending(self) -> Iterator[Attendant]:
        config = self.config
        yield Lines(self.ledger.session_metrics)
        if config.environment:
            yield EnvironmentNote(config.environment_variables, sessions=config.max_sessions)
        if config.code_changes:
            yield CodeChanges()
        if config.thresholds:
            yield Thresholds(config.thresholds, self.ledger.session_metrics, self._exceeded)

    def _exceeded(self, record: Operation, metric: str, value: float, limit: float) -> None:
        scope = Scope(record.session_id, record.correlation_id, record.user_id)
        self.recorder.event("threshold_exceeded", {"metric": metric, "value": value, "limit": limit}, scope)

    def subscribe(self, handler: Callable[[Entry], Any], **filters: str | None) -> Subscription:
        """Tell ``handler`` of what happens from now on; see :meth:`tachograph.subscriptions.Subscriptions.add`."""
        subscription = self.subscriptions.add(handler, **filters)
        self._attend_subscriptions()
        return subscription

    def _attend_subscriptions(self) -> None:
        # Only where somebody listens: the others pay nothing.
        if self.subscriptions.stats()["active"]:
            self.recorder.attendance = Attendance.of((*self._attendants, self.subscriptions))

    @property
    def enabled(self) -> bool:
        """Whether it records."""
        return self.config.enabled and self.hooks.enabled and not self.stopped

    def enable(self, *, on: bool) -> None:
        """Record from now on, or do not. What is under way ends as it would have; what is recorded stays."""
        self.hooks.enabled = on and self.config.enabled and not self.stopped

    def instrument(self) -> None:
        """Hook what settings ask for: the program's own callables, and frameworks.

        Raises:
            IntegrationError: see :meth:`tachograph.frameworks.Frameworks.hook`.
        """
        try:
            self.frameworks.hook(self.config)
        finally:
            self.guard(self.wraps.hook, self.config)

    # -------------------------------------------------------------------------------------------------- the end
    def _before_providers_end(self) -> None:
        # Registered after a provider that shuts itself down at exit was joined, so run before it does.
        if not self.stopped:
            self.guard(self.recorder.abandon_all)
            if self.keeper is not None:
                self.guard(self.keeper.witness)

    def _forget_exit(self) -> None:
        for at_exit in (self.at_exit, self._before_providers_end):
            atexit.unregister(at_exit)

    def stop(self) -> None:
        """Unhook everything, end what is open, flush and stop providers that are ours. A second stop does nothing."""
        if self.stopped:
            return
        self.guard(self.providers.settle)
        self.stopped = True
        self.guard(self.hooks.uninstall)
        self.guard(self.clients.close)
        self.guard(self.recorder.abandon_all)
        if self.keeper is not None:
            self.guard(self.keeper.close)  # before the providers, which are to send its last head
        self.guard(self.instruments.settle)
        self.guard(self.subscriptions.close)
        self.guard(self.providers.shutdown)
        self.instruments.enabled = False
        self._forget_exit()

    def at_exit(self) -> None:
        """The process ends."""
        if self.stopped:
            return
        self.guard(self.recorder.abandon_all)
        self.guard(self._print_summary)
        self.stop()

    def _print_summary(self) -> None:
        if sys.stderr is None or os.getpid() != self._process:
            return
        offered = self.offers_summary and sys.stderr.isatty() and not self.providers.exporting
        if not {"0": False, "1": True, "auto": self.wants_summary or offered}[self.config.summary]:
            return
        text = summary(self.ledger)
        if text:
            print(text, file=sys.stderr)  # noqa: T201 - this is the summary people asked for

    def stats(self) -> dict[str, Any]:
        """How Tachograph itself is doing."""
        return {
            **self.ledger.stats(),
            "enabled": self.enabled,
            "swallowed": self.guard.swallowed(),
            "ids_cleaned": self.ids_cleaned,
            "misused": self.misused,
            "subscriptions": self.subscriptions.stats(),
            "hooks": sum(1 for hook in self.hooks.rows.values() if hook.hooked),
            "hooks_missing": [hook.label for hook in self.hooks.rows.values() if not hook.hooked],
            "export": self.providers.exports(),
            "store": None if self.keeper is None else self.keeper.stats(),
            "wraps": {row.label: row.state for row in self.wraps.rows()},
            "wraps_missed": self.wraps.missed(),
            "integrations": {name: status.state for name, status in self.frameworks.statuses.items()},
        }


class _Ending:
    """Has a child of ``multiprocessing`` end as any other process does, so that what it recorded is sent.

    Args:
        runtime: of the process it is forked off from, and so its own.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = weakref.ref(runtime)

    def before_fork(self) -> None:
        """Nothing is to be done then."""

    def after_fork_in_parent(self) -> None:
        """Nothing is to be done then."""

    def after_fork_in_child(self) -> None:
        """That is done for every process, by whatever it is forked off."""

    def close(self) -> None:
        """The child ends."""
        runtime = self._runtime()
        if runtime is not None:
            runtime.at_exit()


_lock = threading.RLock()
_current: Runtime | None = None
_fork_aware: weakref.WeakSet[Runtime] = weakref.WeakSet()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = threading.RLock()
    for runtime in list(_fork_aware):
        runtime.guard(runtime.after_fork)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def current() -> Runtime:
    """The runtime in force; one that hooks nothing if nobody started any."""
    global _current  # noqa: PLW0603 - the one place where the process has its runtime
    runtime = _current
    if runtime is None:
        with _lock:
            if _current is None:
                _current = Runtime(Config.read(complain=_say))
                atexit.register(_current.at_exit)
            runtime = _current
    return runtime


def present() -> Runtime | None:
    """The runtime in force, if anybody has started or used one."""
    return _current


def start(
    arguments: dict[str, Any] | None = None,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    automatic: bool = False,
    summary_wanted: bool = False,
    store_wanted: bool = False,
) -> Runtime:
    """Start recording, or give the runtime that is.

    Args:
        arguments: settings given in code.
        tracer_provider: write spans there.
        meter_provider: write metrics there.
        logger_provider: write log events there.
        automatic: nobody asked for us by name: say what is wrong in one line each instead of raising, wait with
            providers until the first operation, and print a summary at exit on a terminal that nothing else serves.
        summary_wanted: print the summary at exit wherever the output goes, unless settings say no.
        store_wanted: keep a store in the default place, unless settings say where, or no.

    Raises:
        ConfigError: for a bad setting, or settings that contradict those of the runtime already started.
        IntegrationError: for an integration asked for by name that cannot be installed.
    """
    global _current  # noqa: PLW0603
    with _lock:
        running = _current
        if running is not None and running.started:
            providers = (tracer_provider, meter_provider, logger_provider)
            same = not any(providers) and not _contradicts(running.config, arguments or {})
            if automatic or same:
                running.automatic &= automatic
                if not automatic:  # the program will set no providers any more, and its frameworks look for them now
                    running.guard(running.providers.tracer)
                return running
            # What started by itself gives way to a program that says what it wants; one that says two things does not.
            if not running.automatic:
                raise ConfigError(
                    "Tachograph is already started with other settings; call tachograph.shutdown() first, "
                    "or make this the first call"
                )
        complain = _say if automatic else None
        config = Config.read(arguments, complain=complain)
        store_wanted |= running is not None and running.wants_store
        if store_wanted and "store" not in config.sources:
            config = replace(config, store=default_store())
        runtime = Runtime(
            config,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            complain=complain,
            ledger=None if running is None else running.ledger,
            guard=None if running is None else running.guard,
        )
        runtime.started, runtime.automatic = True, automatic
        runtime.offers_summary, runtime.wants_summary = automatic, summary_wanted
        runtime.wants_store = store_wanted
        runtime.instruments.enabled = config.enabled
        if config.enabled:
            try:
                runtime.instrument()
            except IntegrationError as error:
                if not automatic:
                    runtime.stop()
                    raise
                _say(str(error))
        if running is not None:
            # It was used before these settings were known: what it recorded, and where, goes on.
            runtime.succeed(running)
        _current = runtime
        atexit.register(runtime.at_exit)
    if config.enabled and not automatic:
        runtime.guard(runtime.providers.tracer)
    return runtime


def _contradicts(config: Config, arguments: dict[str, Any]) -> bool:
    wanted = Config.read(arguments)
    return any(getattr(wanted, name) != getattr(config, name) for name in arguments)


def stop() -> None:
    """Stop recording and forget the runtime."""
    global _current
    with _lock:
        runtime, _current = _current, None
    if runtime is not None:
        runtime.stop()


def install(runtime: Runtime | None) -> Runtime | None:
    """Make a runtime the current one and give the one before. For the test kit."""
    global _current
    with _lock:
        before, _current = _current, runtime
    return before


def _say(message: str) -> None:
    if sys.stderr is not None:
        # Guarded: it may be closed, or a pipe that nobody reads, and the program is not to end for that.
        Guard()(functools.partial(print, f"tachograph: {message}", file=sys.stderr, flush=True))
