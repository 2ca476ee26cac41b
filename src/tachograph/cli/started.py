"""What ``tachograph run`` does inside the program's process, before the program."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from tachograph import runtime

if TYPE_CHECKING:
    from types import FrameType

    from tachograph.runtime.assembly import Runtime

_SECONDS_TO_END: Final = 8.0
"""At most so long the program's end waits for what is still to be stored, of which that is 5 at most, and sent."""

_SECONDS_OF_A_CHILD: Final = 2.0
"""Likewise a process that the program has forked off."""


def start() -> None:
    """Record as ``import tachograph.auto`` does, and do not lose what is recorded when asked to terminate."""
    runtime.start(automatic=True, summary_wanted=True, store_wanted=True)
    before = signal.getsignal(signal.SIGTERM)
    if before not in (signal.SIG_DFL, None):
        return

    process = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        tachograph = runtime.current()
        if tachograph.stopped and not tachograph.over.is_set():
            # It is about to end already, perhaps in what the signal has struck, which has to go on for that.
            threading.Thread(target=once_more, args=(tachograph, number), daemon=True).start()
            return
        # In a thread, for the signal may have struck while this one held a lock that the exporters need.
        ending = threading.Thread(target=tachograph.at_exit, daemon=True)
        ending.start()
        # One forked off, as the workers of a pool are that is left, is waited for by the one that it is of.
        ending.join(_SECONDS_TO_END if os.getpid() == process else _SECONDS_OF_A_CHILD)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def once_more(tachograph: Runtime, number: int) -> None:
        tachograph.over.wait(_SECONDS_TO_END)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, terminate)
