"""THE runtime: the one that is current in this process, started, stopped, and begun anew in a fork.

:func:`start` makes it; using the public functions without it makes one that hooks nothing. What it is made of is the
matter of :mod:`tachograph.runtime.assembly`.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tachograph.built import make_way
from tachograph.config import Config, ConfigError
from tachograph.frameworks import IntegrationError
from tachograph.guard import Guard
from tachograph.runtime.assembly import Runtime, alive
from tachograph.values import default_store

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

_lock = threading.RLock()
_current: Runtime | None = None


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = threading.RLock()
    for runtime in list(alive):
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
        Guard()(make_way)
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
