"""Whether anybody has touched the audit log: looked into when somebody asks, one check at a time, in the background."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tachograph import figures
from tachograph.server.answers import UNREADABLE
from tachograph.times import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.store.verification import Problem, Verification

    Verify = Callable[[], Verification]
    """Follows every chain from its beginning; takes as long as there are entries."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known: ``unchecked``, ``running``, ``whole``, ``broken`` or ``failed``, and of which moment."""

    state: str = "unchecked"
    said: str = ""
    at: str | None = None
    problems: tuple[Problem, ...] = ()
    limits: tuple[str, ...] = ()


class Checking:
    """The check of one audit log.

    Args:
        verify: makes it; None where there is nothing to check.
    """

    def __init__(self, verify: Verify | None) -> None:
        self._verify = verify
        self._lock = threading.Lock()
        self._known = Checked()

    @property
    def known(self) -> Checked | None:
        """What the last check found, or that one is under way; None where there is nothing to check."""
        return None if self._verify is None else self._known

    def start(self) -> threading.Thread | None:
        """Begin a check, unless one is under way or there is nothing to check; gives the thread it is made in."""
        verify = self._verify
        with self._lock:
            if verify is None or self._known.state == "running":
                return None
            self._known = Checked("running", "Every entry of every chain is looked at.")
        thread = threading.Thread(target=self._check, args=(verify,), name="tachograph-check", daemon=True)
        thread.start()
        return thread

    def _check(self, verify: Verify) -> None:
        at, found = timestamp(time.time_ns()), Checked("failed", "The server's log says why.")
        try:
            found = _said(verify(), at)
        except UNREADABLE as error:
            found = Checked("failed", str(error), at)
        finally:  # whatever happens, the next one may be begun
            self._known = found


def _said(found: Verification, at: str) -> Checked:
    entries = f"{found.entries:,} {'entry' if found.entries == 1 else 'entries'}"
    chains = f"{entries} in {figures.counted(found.writers, 'chain')}"
    if found.ok:
        return Checked("whole", f"{chains}: none changed, removed, reordered or cut.", at, (), found.limits)
    return Checked("broken", f"{chains}, and the first thing wrong in each:", at, found.problems, found.limits)
