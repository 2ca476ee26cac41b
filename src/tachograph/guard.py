"""The only place that swallows an exception.

Instrumentation lives in other people's programs: whatever goes wrong in Tachograph must never reach them. So
every function that looks at the host's values and every write is called through one :class:`Guard`, which
counts each failure, logs the first of each site with its traceback, and returns a default. In our own tests
the guard is strict and raises instead, so that a fault is loud where it can be mended.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import signal
import threading
import types
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger("tachograph")

T = TypeVar("T")


class Guard:
    """Calls functions of ours on the host's time; what they raise stays here.

    Who calls it often keeps its ``__call__``, as Python takes longer to find that than to call it.

    Args:
        strict: raise instead of swallowing. For our own tests.
    """

    __slots__ = ("_forgotten", "_swallowed", "strict")

    MAX_SITES = 200
    """Sites are our own function names, so few; the bound is for the case that a bug makes them many."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._swallowed: dict[str, int] = {}
        self._forgotten: dict[str, int] = {}

    def __call__(self, function: Callable[..., T], *args: Any, default: Any = None) -> T | Any:
        """``function(*args)``, or ``default`` when that raises.

        Only :class:`Exception` is kept: a ``KeyboardInterrupt`` that happens to strike while our code runs
        is the host's, and so is whatever a signal handler of the host raises then, as one that limits time does.
        """
        try:
            return function(*args)
        except Exception as error:
            ours = not self.strict
            with contextlib.suppress(Exception):  # a broken log handler is not our host's fault
                ours = ours and self._swallow(function, error)
            if not ours:
                raise
            return default

    def keep(self, site: str, error: BaseException, default: Any = None) -> Any:
        """Keep a failure that was caught where ``site`` says, and give ``default``.

        For the host's own functions that we call: a strict guard keeps them too, as they are no fault of ours.
        """
        with contextlib.suppress(Exception):
            self._count(site, error)
        return default

    def reset(self) -> None:
        """Forget all failures so far. A metric counts on, as a counter never falls."""
        swallowed, self._swallowed = self._swallowed, {}
        for site, count in swallowed.items():
            self._forgotten[site] = self._forgotten.get(site, 0) + count

    def after_fork(self) -> None:
        """A child process: failures so far are the parent's, which says them."""
        self._swallowed, self._forgotten = {}, {}

    def _swallow(self, function: Callable[..., Any], error: Exception) -> bool:
        # No look at host values here; and none at handlers where there is no room left to look in.
        if type(error) is not RecursionError and of_a_signal(error):
            return False
        self._count(getattr(function, "__qualname__", None) or type(function).__qualname__, error)
        return True

    def _count(self, site: str, error: BaseException) -> None:
        if site not in self._swallowed and len(self._swallowed) >= self.MAX_SITES:
            site = "other"
        first = site not in self._swallowed
        self._swallowed[site] = self._swallowed.get(site, 0) + 1
        if first:
            kind = type(error)
            _log.warning(
                "tachograph.failure_swallowed at %s: %s",
                site,
                kind.__name__,
                exc_info=(kind, error, error.__traceback__),  # as a tuple, or logging asks the object for its truth
            )

    def swallowed(self) -> dict[str, int]:
        """Failures kept from the host since they were last forgotten, by the function of ours that failed."""
        return dict(self._swallowed)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Sites and counts since the beginning, for the self metrics."""
        counts = dict(self._forgotten)
        for site, count in list(self._swallowed.items()):
            counts[site] = counts.get(site, 0) + count
        return iter(list(counts.items()))


def of_a_signal(error: Exception) -> bool:
    """Whether a signal handler of the program raised it, which interrupts whatever runs, and so may be us."""
    if threading.current_thread() is not threading.main_thread():  # the only one that handlers run in
        return False
    handlers = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    traceback = error.__traceback__
    while handlers and traceback is not None:
        if traceback.tb_frame.f_code in handlers:
            return True
        traceback = traceback.tb_next
    return False


def _code(handler: Any) -> types.CodeType | None:
    """What runs when it is called, if that is Python; nothing is asked of an object of the host."""
    kind = type(handler)
    if kind is functools.partial:
        return _code(handler.func)
    if kind is types.MethodType:
        return _code(handler.__func__)
    if kind is not types.FunctionType:
        handler = next((vars(each)["__call__"] for each in kind.__mro__ if "__call__" in vars(each)), None)
    return handler.__code__ if type(handler) is types.FunctionType else None
