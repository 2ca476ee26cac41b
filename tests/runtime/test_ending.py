"""The end of a child of multiprocessing."""

from __future__ import annotations

import gc

from tachograph.runtime.ending import Ending


class Recording:
    """What is to end."""

    def __init__(self, ended: list[str]) -> None:
        self.ended = ended

    def at_exit(self) -> None:
        self.ended.append("ended")


def test_a_child_ends_what_still_lives() -> None:
    """What records in the child ends with it, and is held by nothing that waits for that."""
    ended: list[str] = []
    recording = Recording(ended)
    ending = Ending(recording.at_exit)
    ending.close()
    del recording
    gc.collect()
    ending.close()

    assert ["ended"] == ended
