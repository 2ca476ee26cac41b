"""Stores with a history: as many operations in as many sessions as a test or a benchmark wants."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, NamedTuple

from tachograph import names
from tachograph.records import Event, Operation
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tachograph.records import Record


# ------------------------------------------------------------------------------------------------ of given records
class Delivery(NamedTuple):
    """What one of several writers is told at a time: starts, ends and events."""

    writer: int
    records: tuple[Record, ...]


@contextlib.contextmanager
def told_to(path: Path, deliveries: Iterable[Delivery]) -> Iterator[list[Writer]]:
    """A store that was written as told, by writers that live while the block lasts.

    What has begun is under way with the writer that was told, until it hears of the end.
    """
    told = [*deliveries]
    with contextlib.ExitStack() as closing:
        writers = [Writer(path) for _ in range(1 + max((number for number, _ in told), default=0))]
        for writer in writers:
            closing.callback(writer.close)
        under_way: list[dict[str, Operation]] = [{} for _ in writers]
        for number, records in told:
            appended = []
            for record in records:
                if isinstance(record, Operation) and record.end_ns is None:
                    under_way[number][record.id] = record
                else:
                    under_way[number].pop(record.id, None)
                    appended.append(record)
            writers[number].append(appended, under_way[number].values())
        yield writers


# ------------------------------------------------------------------------------------------------- of a given size
START = 1_768_654_800_000_000_000
"""2026-01-17T13:00:00Z, when the work begins."""

STEP = 10_000_000
"""Nanoseconds from one record to the next."""

PER_REQUEST = 10
AT_ONCE = 20
_MODEL = {names.INPUT_TOKENS: 1_200, names.OUTPUT_TOKENS: 150, names.CACHED_TOKENS: 300, names.RESPONSE_TOOL_CALLS: 1}


def session_name(number: int) -> str:
    """The id of the session with that number, from 0."""
    return f"session-{number:05}"


def work(operations: int, sessions: int) -> Iterator[Record]:
    """Requests of a team of two, ten operations each, in order of their ends.

    Twenty sessions are at work at once and take turns; then come the next. One request in 50 fails, one in 200 tells of
    a hand-over by an event, and each belongs to one of 100 users.
    """
    requests = max(1, operations // sessions // PER_REQUEST)
    number = itertools.count(1)
    for first in range(0, sessions, AT_ONCE):
        for turn in range(requests):
            for session in range(first, min(first + AT_ONCE, sessions)):
                yield from _request(number, session, turn)


def _request(number: itertools.count[int], session: int, turn: int) -> Iterator[Record]:
    ids = [next(number) for _ in range(PER_REQUEST)]
    begun = START + ids[0] * STEP
    request = f"{session:08x}{turn:024x}"
    manager, researcher = f"{ids[-1]:016x}", f"{ids[-2]:016x}"
    failed = (session + turn) % 50 == 7
    shared = {"session_id": session_name(session), "correlation_id": request, "user_id": f"user-{session % 100}"}
    if (session + turn) % 200 == 11:
        payload = {"from_agent": "manager", "to_agent": "human", "reason": "asked for one"}
        yield Event(f"event-{ids[0]}", "agent_switched", timestamp_ns=begun, payload=payload, **shared)
    for place, one in enumerate(ids[:-2]):
        is_model, wrong = place % 2 == 0, failed and place == 5
        yield Operation(
            f"{one:016x}",
            "model" if is_model else "tool",
            "gpt-4.1" if is_model else ("search", "read_page", "final_answer")[place % 3],
            start_ns=begun + place * STEP,
            end_ns=begun + (place + 1) * STEP,
            outcome="error" if wrong else "ok",
            error_type="TimeoutError" if wrong else None,
            error_message="the page took too long" if wrong else None,
            agent="researcher",
            parent_id=researcher,
            trace_id=request,
            attributes={**_MODEL, names.STEP: place // 2 + 1} if is_model else {names.TOOL_CALL_ID: f"call_{one}"},
            **shared,
        )
    for one, name, parent in ((researcher, "researcher", manager), (manager, "manager", None)):
        handed = {names.NESTED: True, names.SWITCH_FROM: "manager", names.SWITCH_TO: name} if parent else {}
        yield Operation(
            one,
            "agent",
            name,
            start_ns=begun,
            end_ns=begun + PER_REQUEST * STEP,
            outcome="error" if failed else "ok",
            error_type="TimeoutError" if failed else None,
            agent=None if parent is None else "manager",
            parent_id=parent,
            trace_id=request,
            attributes={names.AGENT_NAME: name, **handed},
            **shared,
        )


def fill(writer: Writer, records: Iterable[Record], *, batch: int = 5_000) -> int:
    """Append records in batches of one transaction each; how many are new."""
    coming = iter(records)
    added = 0
    while chunk := list(itertools.islice(coming, batch)):
        added += writer.append(chunk)
    return added
