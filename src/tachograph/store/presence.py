"""Whether a writer lives: a file beside the database, locked for as long as its process does.

The operating system gives the lock back when the process ends, however it ends. A process id would not do: ids are used
again, and those of another container on the same volume say nothing here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def file_of(store: Path, writer: str) -> Path:
    """The file that the writer of this name keeps locked."""
    return store.with_name(f"{store.name}-writer-{writer}")


class Presence:
    """A writer's sign of life.

    Args:
        store: path of the database.
        writer: its name; nobody else ever has it.

    Raises:
        OSError: where no file can be made or locked.
    """

    def __init__(self, store: Path, writer: str) -> None:
        self.writer = writer
        self._file = file_of(store, writer)
        self._descriptor: int | None = os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600)
        if not lock(self._descriptor):
            self._close()
            raise OSError(f"{self._file}: is locked by another process; give another path")

    def give_up(self) -> None:
        """Gone, and nothing left behind."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # whoever removes the folder removes us
            if sys.platform != "win32":  # there an open file cannot be removed
                self._file.unlink()
        self._close()
        with contextlib.suppress(OSError):
            self._file.unlink()

    def forget(self) -> None:
        """In a forked child: let go of the parent's sign without taking it down."""
        # Closing leaves the lock with the parent, which shares it; unlocking would take it from both.
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def is_alive(store: Path, writer: str) -> bool:
    """Whether the writer of this name lives. The file of one that does not is removed."""
    file = file_of(store, writer)
    try:
        descriptor = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:  # somebody else's, whom we cannot ask: better to wait than to write off what goes on
        return True
    try:
        if not lock(descriptor):
            return True
    finally:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        file.unlink()
    return False


if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int) -> bool:
        """Lock an open file for this process, at once or not at all; whether that was done."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def lock(descriptor: int) -> bool:
        """Lock an open file for this process, at once or not at all; whether that was done."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
