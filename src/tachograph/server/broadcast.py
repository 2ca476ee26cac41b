"""What is new in a source, told to all who listen.

They share one look at the source, whoever's turn it is; nothing runs while nobody listens. What a client has not taken
waits for it up to a bound; then the client is dropped, and comes back with the id of the last entry it saw.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from tachograph import names
from tachograph.sources.follow import Follower

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.sources import Source
    from tachograph.views.audit import Entry


class Client:
    """One who listens.

    Args:
        filters: which entries it wants.
        waiting: entries that may wait for it.
    """

    def __init__(self, filters: dict[str, Any], waiting: int) -> None:
        self._filters = filters
        self._most = waiting
        self._waiting: list[Entry] = []
        self._told = anyio.Event()
        self.over = anyio.Event()

    def wants(self, entry: Entry) -> bool:
        """Whether an entry is one of those it listens for."""
        found = {**entry, "category": names.EVENTS[entry["event_type"]][0]}
        return all(wanted is None or wanted == found[name] for name, wanted in self._filters.items())

    def tell(self, entry: Entry) -> None:
        """Let an entry wait for it; one for whom too many wait is dropped."""
        if not self.wants(entry):
            return
        if len(self._waiting) >= self._most:
            self.end()
        else:
            self._waiting.append(entry)
            self._told.set()

    async def take(self, seconds: float) -> list[Entry]:
        """What waits for it; nothing after so many seconds in which it was told nothing."""
        with anyio.move_on_after(seconds):
            await self._told.wait()
        taken, self._waiting, self._told = self._waiting, [], anyio.Event()
        return taken

    def end(self) -> None:
        """Tell it no more, and end its stream."""
        self.over.set()


class Broadcast:
    """Tells all clients what is new in a source.

    Args:
        source: what is followed.
        every: seconds between two looks.
        heartbeat: seconds of silence after which a client is told that there is nothing.
        patience: seconds that a client may take to take something.
        clients: who may listen at once.
        waiting: entries that may wait for a client.
        kept: newest entries that are kept, for clients that come back.
    """

    def __init__(
        self,
        source: Source,
        *,
        every: float = 0.5,
        heartbeat: float = 15,
        patience: float = 30,
        clients: int = 32,
        waiting: int = 1_000,
        kept: int = 1_000,
    ) -> None:
        self.every = every
        self.heartbeat = heartbeat
        self.patience = patience
        self.stopped = False
        self._source = source
        self._most = clients
        self._waiting = waiting
        self._clients: set[Client] = set()
        self._newest: deque[Entry] = deque(maxlen=kept)
        self._follower: Follower | None = None
        self._looking: anyio.Event | None = None
        self._next_look = 0.0

    @property
    def full(self) -> bool:
        """Whether nobody else may listen now."""
        return self.stopped or len(self._clients) >= self._most

    @contextlib.contextmanager
    def joined(self, filters: dict[str, Any]) -> Iterator[Client]:
        """A client, told what is new from now on."""
        client = Client(filters, self._waiting)
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def since(self, event_id: str) -> list[Entry] | None:
        """The entries after the one with this id, in the order they were told; None where it is not known any more."""
        newest = [*self._newest]
        places = [place for place, entry in enumerate(newest) if entry["event_id"] == event_id]
        return newest[places[-1] + 1 :] if places else None

    async def look(self) -> None:
        """Tell everybody what is new; where somebody is looking just now wait for that, and soon after do nothing.

        Raises:
            SourceError, OSError, sqlite3.Error: where the source cannot be read.
        """
        if self._looking is not None:
            await self._looking.wait()
            return
        if time.monotonic() < self._next_look:
            return
        self._looking = anyio.Event()
        try:
            new = await anyio.to_thread.run_sync(self._new)  # in a thread, as reading waits
            # Nothing waits from here on, or a request that is cancelled would take entries with it.
            for entry in new:
                self._newest.append(entry)
                for client in self._clients:
                    client.tell(entry)
            self._next_look = time.monotonic() + self.every
        finally:
            self._looking.set()
            self._looking = None

    def _new(self) -> list[Entry]:
        if self._follower is None:
            self._follower = Follower(self._source, last=self._newest.maxlen or 0)
        return self._follower.new()

    def stop(self) -> None:
        """End everybody's stream, as the server stops. To be called where the app runs."""
        self.stopped = True
        for client in self._clients:
            client.end()
