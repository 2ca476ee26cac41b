"""Batches of records into a store: what cannot be stored costs only itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tachograph.store.trouble import KINDS
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.records import Operation, Record

_LOCK_SECONDS: Final = 0.2
"""How long SQLite waits for other writers; after that its caller does, as meanwhile a fork has to wait."""

_UNFIT: Final = ValueError("a record that cannot be stored")


class Batches:
    """Stores batches, in one thread.

    Args:
        config: where, and with what key.
        guard: around each attempt; it counts and notes what is a record's fault.
        program: what to call this process in the store.
    """

    def __init__(self, config: Config, guard: Guard, program: str) -> None:
        self._config = config
        self._guard = guard
        self._program = program
        self._key = None if config.audit_key is None else config.audit_key.encode()
        self.writer: Writer | None = None
        self.written = 0
        self.unfit = 0

    def store(self, batch: list[Record], under_way: list[Operation] | None) -> None:
        """Store them all, or none where the database is in trouble.

        Args:
            batch: what ended and happened.
            under_way: everything that has begun and not ended; None where that is told with a later batch.

        Raises:
            StoreError, sqlite3.Error, OSError: trouble with the database.
        """
        error = self._guard(self._attempt, batch, under_way, default=_UNFIT)
        if error is _UNFIT:
            # One of these cannot be stored; the others can, each by itself.
            for record in batch:
                error = self._guard(self._attempt, [record], None, default=_UNFIT)
                self.unfit += error is _UNFIT
                if error is not None and error is not _UNFIT:
                    raise error
            error = self._guard(self._attempt, [], under_way, default=None)
        if error is not None:
            raise error

    def _attempt(self, batch: list[Record], under_way: list[Operation] | None) -> Exception | None:
        """Append; gives trouble back, so that a guard around this keeps only what is a record's fault, or ours."""
        try:
            if self.writer is None:
                self.writer = Writer(
                    Path(self._config.store or ""),
                    key=self._key,
                    program=self._program,
                    max_names=self._config.max_names,
                    timeout=_LOCK_SECONDS,
                )
            self.written += self.writer.append(batch, under_way)
        except KINDS as error:
            return error
        return None

    def close(self, *, hand_over: bool) -> None:
        """Close the writer, if there is one; with ``hand_over`` what is under way is another's to tell of.

        Raises:
            StoreError, sqlite3.Error, OSError: trouble with the database.
        """
        writer, self.writer = self.writer, None
        if writer is not None:
            try:
                if hand_over:
                    writer.append((), ())
            finally:
                writer.close()
