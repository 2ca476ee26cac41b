"""What ``tachograph run`` does inside the program's process, before the program."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tachograph import runtime

if TYPE_CHECKING:
    from types import FrameType


def start() -> None:
    """Record as ``import tachograph.auto`` does, and do not lose what is recorded when asked to terminate."""
    runtime.start(automatic=True, summary_wanted=True)
    before = signal.getsignal(signal.SIGTERM)
    if before not in (signal.SIG_DFL, None):
        return

    process = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        if os.getpid() == process:  # and not one forked off, which is to end as it would have
            runtime.current().at_exit()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, terminate)
