"""Counters of everything, of each session and of each request within one: so many of them, and no more.

The longest idle go first. What they counted stays in the total.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from tachograph.tally import Tally

if TYPE_CHECKING:
    from tachograph.records import Operation, Record
    from tachograph.under_way import UnderWay

K = TypeVar("K")


class Tallies:
    """The tallies that there are.

    Not thread-safe: the ledger has the lock.

    Args:
        under_way: by it is known who is idle.
        max_sessions: sessions with counters of their own, and so many requests.
        max_requests: newest model calls listed in each.
        max_names: agents, tools and models listed in each table.
    """

    def __init__(self, under_way: UnderWay, *, max_sessions: int, max_requests: int, max_names: int) -> None:
        self._under_way = under_way
        self._max_sessions = max_sessions
        self._max_requests = max_requests
        self._max_names = max_names
        self.total = self.make()
        self.sessions: OrderedDict[str, Tally] = OrderedDict()
        self.correlations: OrderedDict[tuple[str, str | None], Tally] = OrderedDict()
        self.evicted = {"sessions": 0, "correlations": 0}
        self._newest: tuple[Any, tuple[Tally, ...]] = None, ()

    def make(self) -> Tally:
        """A tally that has counted nothing, of which nobody knows yet."""
        return Tally(max_names=self._max_names, max_requests=self._max_requests)

    def of(self, record: Record) -> tuple[Tally, ...]:
        """The tallies that a record counts in, made if need be."""
        key = record.session_id, record.correlation_id
        if key == self._newest[0]:
            return self._newest[1]
        session = self._entry(self.sessions, record.session_id, "sessions")
        tallies: tuple[Tally, ...] = self.total, session
        if record.correlation_id is not None:
            tallies += (self._entry(self.correlations, key, "correlations"),)
        self._newest = key, tallies
        return tallies

    def _entry(self, tallies: OrderedDict[K, Tally], key: K, what: str) -> Tally:
        tally = tallies.get(key)
        if tally is None:
            tally = tallies[key] = self.make()
            if len(tallies) > self._max_sessions:
                self._evict(tallies, what)
        else:
            tallies.move_to_end(key)
        return tally

    def _evict(self, tallies: OrderedDict[Any, Tally], what: str) -> None:
        # The longest idle first; one with work under way only when the next few have work under way too, so that
        # an end seldom arrives at a tally that has not seen the start.
        busy = {
            key
            for open_ in self._under_way.told(hidden=True)
            for key in (open_.session_id, (open_.session_id, open_.correlation_id))
        }
        oldest = list(zip(range(min(32, len(tallies) - 1)), tallies.items(), strict=False))  # not the one just made
        idle = (key for _, (key, tally) in oldest if not tally.open and key not in busy)
        del tallies[next(idle, oldest[0][1][0])]
        self.evicted[what] += 1

    def forget(self, session_id: str) -> bool:
        """Forget a session and its requests; the total stays. Returns whether the session was known."""
        known = self.sessions.pop(session_id, None) is not None
        self._newest = None, ()
        for key in [key for key in self.correlations if key[0] == session_id]:
            del self.correlations[key]
        return known

    # ----------------------------------------------------------------------------------------------- the last active
    def by_activity(self, *, deleted: bool) -> list[str]:
        """Ids of the sessions known, the one last active last; with ``deleted`` those hidden by deletion too."""
        # By the moments in the records, not by their arrival: the same for everybody who has them.
        begun = {
            id_: max((open_.start_ns for open_ in tally.open.values()), default=0)
            for id_, tally in self.sessions.items()
        }
        for open_ in self._under_way.told():
            begun[open_.session_id] = max(begun.get(open_.session_id, 0), open_.start_ns)
        last = {}
        for id_, begun_ns in begun.items():
            tally = self.sessions.get(id_)
            if tally is None:
                last[id_] = begun_ns
            elif deleted or not tally.hidden(begun_ns):
                last[id_] = max(tally.last_ns, begun_ns)
        return sorted(last, key=lambda id_: (last[id_], id_))

    def newest(
        self, count: int, *, correlations: bool
    ) -> list[tuple[tuple[str, str | None], Tally | None, list[Operation]]]:
        """The ``count`` sessions, or requests within sessions, last active: their counters, and what is under way."""
        under_way: dict[tuple[str, str | None], list[Operation]] = defaultdict(list)
        for open_ in self._under_way.told():
            under_way[open_.session_id, open_.correlation_id if correlations else None].append(open_)
        known: dict[tuple[str, str | None], Tally | None]
        known = {**self.correlations} if correlations else {(id_, None): t for id_, t in self.sessions.items()}
        newest = list(_with(known, under_way).items())[max(0, len(known | under_way) - count) :]
        return [(key, tally, under_way[key]) for key, tally in newest]


def _with(known: dict[K, Tally | None], under_way: dict[K, list[Operation]]) -> dict[K, Tally | None]:
    """What is known, the one last active last, and those of which only work under way is."""
    first = next(iter(known.values()), None)
    since = 0 if first is None else first.last_ns
    new = [key for key in under_way if key not in known]
    # What has long been under way, as what waits for a human has, is that of one whose counters were evicted.
    old = [key for key in new if max(open_.start_ns for open_ in under_way[key]) < since]
    return {**dict.fromkeys(old), **known, **dict.fromkeys(key for key in new if key not in {*old})}
