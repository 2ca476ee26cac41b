"""What ``tachograph run`` does inside the program's process, before the program."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from tachograph import runtime

if TYPE_CHECKING:
    from types import FrameType

_SECONDS_TO_END: Final = 8.0
"""At most so long the program's end waits for what is still to be stored, of which that is 5 at most, and sent."""


def start() -> None:
    """Record as ``import tachograph.auto`` does, and do not lose what is recorded when asked to terminate."""
    runtime.start(automatic=True, summary_wanted=True, store_wanted=True)
    before = signal.getsignal(signal.SIGTERM)
    if before not in (signal.SIG_DFL, None):
        return

    process = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        if os.getpid() == process:  # and not one forked off, which is to end as it would have
            # In a thread, for the signal may have struck while this one held a lock that the exporters need.
            ending = threading.Thread(target=runtime.current().at_exit, daemon=True)
            ending.start()
            ending.join(_SECONDS_TO_END)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, terminate)
