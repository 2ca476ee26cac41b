"""What a runtime is made of: settings, providers, ledger, recorder and hooks, put together, and ended together.

The parts do not know each other; that this is the one place that knows them all is why it is as long as it is.
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
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.approvals import ASKED, DECIDED, Approvals
from tachograph.attendant import Attendance
from tachograph.begun import Begun
from tachograph.clients import Clients
from tachograph.context import new_id
from tachograph.frameworks import Frameworks
from tachograph.guard import Guard
from tachograph.instruments import Instruments
from tachograph.integrations.wrapping import Wraps
from tachograph.ledger import Ledger
from tachograph.probes import Hooks
from tachograph.providers import Providers
from tachograph.recorder import Recorder
from tachograph.runtime import keeping
from tachograph.runtime.attending import attendants
from tachograph.runtime.ending import Ending, still_interrupted
from tachograph.store import forks
from tachograph.subscriptions import Subscription, Subscriptions
from tachograph.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from tachograph.approvals import Elsewhere
    from tachograph.config import Config
    from tachograph.processors import SpanStamp
    from tachograph.records import Operation
    from tachograph.views.audit import Entry

_log = logging.getLogger("tachograph")

alive: Final[weakref.WeakSet[Runtime]] = weakref.WeakSet()
"""Every runtime of this process: each has to begin anew in a fork."""


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
        self.complain = complain or functools.partial(_log.warning, "tachograph: %s")
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
        self.keeper = keeping.keeper(
            config,
            ledger=self.ledger,
            guard=self.guard,
            complain=self.complain,
            publish=self.recorder.logbook.audit_head,
        )
        self.approvals = Approvals(self.recorder, limit=config.max_content, elsewhere=self._elsewhere)
        self.ledger.attend(self.approvals.under_way)
        self.instruments.catch_up = weakref.WeakMethod(self.approvals.catch_up)
        self._attendants = tuple(attendants(config, self.ledger, self.recorder))
        self.recorder.attendance = Attendance(self._attendants)
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
        self.over = threading.Event()
        self.offers_summary = False
        self.wants_summary = False
        self.wants_store = False
        self.started = False
        self.automatic = False
        self.stopped = False
        self._process = os.getpid()
        self._session_id = config.session_id or new_id()
        alive.add(self)
        self._ending = Ending(self.at_exit)
        forks.tell(self._ending, self.guard)

    def _elsewhere(self) -> Elsewhere | None:
        return keeping.elsewhere(self.keeper)

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
        self.guard.after_fork()
        self.hooks.after_fork()
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

    def subscribe(self, handler: Callable[[Entry], Any], **filters: str | None) -> Subscription:
        """Tell ``handler`` of what happens from now on; see :meth:`tachograph.subscriptions.Subscriptions.add`."""
        subscription = self.subscriptions.add(handler, **filters)
        self._attend_subscriptions()
        return subscription

    def _attend_subscriptions(self) -> None:
        # Only where somebody listens: the others pay nothing.
        if self.subscriptions.stats()["active"]:
            self.recorder.attendance = Attendance((*self._attendants, self.subscriptions))

    def clear_session(self, session_id: str) -> bool:
        """Forget a session, and what was said of it; see :meth:`tachograph.ledger.Ledger.clear_session`."""
        known = self.ledger.clear_session(session_id)
        for attendant in self._attendants:
            attendant.forget(session_id)
        return known

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
        self.guard(still_interrupted)

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
        self.over.set()

    def at_exit(self) -> None:
        """The process ends."""
        if self.stopped:
            return
        self.guard(self.recorder.abandon_all)
        self.guard(self._print_summary)
        self.stop()
        self.guard(still_interrupted)

    def _print_summary(self) -> None:
        if sys.stderr is None or os.getpid() != self._process:
            return
        offered = self.offers_summary and sys.stderr.isatty() and not self.providers.exporting
        if not {"0": False, "1": True, "auto": self.wants_summary or offered}[self.config.summary]:
            return
        text = summary(self.ledger)
        if text:
            print(text, file=sys.stderr)  # noqa: T201 - this is the summary people asked for

    def misuse(self, how: str) -> None:
        """Something was not left where it was entered: that is counted, and said the first time."""
        if not self.misused:
            _log.warning("tachograph.session_misused: %s; enter and leave it in one", how)
        self.misused += 1

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
