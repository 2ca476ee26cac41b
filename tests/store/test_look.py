"""The queries of a store: exact they are by the contract of sources; here, that they stay short as it grows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from support.records import MOMENT, event, opened, operation
from support.stores import fill, session_name, work
from tachograph import names
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.look import Look
from tachograph.store.schema import connect
from tachograph.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REQUEST = f"{3:08x}{4:024x}"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One with 2,000 records, one with ten times as many, and ten times as many sessions."""
    paths = [tmp_path_factory.mktemp("stores") / name for name in ("small.db", "large.db")]
    for path, sessions in zip(paths, (20, 200), strict=True):
        with closing(Writer(path)) as writer:
            fill(writer, work(sessions * 100, sessions))
    return paths


def steps(path: Path, ask: Callable[[SqliteSource], object]) -> int:
    """How many steps SQLite's machine takes for an answer, in tens."""
    taken = [0]

    def step() -> None:
        taken[0] += 1

    with closing(SqliteSource(path)) as source:
        source.session_count()
        ((_, db),) = source._readers._idle
        db.set_progress_handler(step, 10)
        ask(source)
        db.set_progress_handler(None, 0)
    return taken[0]


FILTERS: list[dict[str, Any]] = [
    {},
    {"session_id": session_name(3)},
    {"correlation_id": REQUEST},
    {"session_id": session_name(3), "correlation_id": REQUEST},
    {"session_id": session_name(3), "event_type": "llm_request_failed"},
    {"critical": True},
    {"critical": False},
    {"critical": True, "category": "hitl"},
    {"critical": True, "category": "agent"},
    {"since": MOMENT / 1e9},
    *({"event_type": event_type} for event_type in names.EVENTS),
    *({"category": category} for category, _ in sorted(set(names.EVENTS.values()))),
]


@pytest.mark.parametrize("asked", FILTERS, ids=str)
def test_a_log_takes_as_long_from_any_store(asked: dict[str, Any], stores: list[Path]) -> None:
    """The newest entries by any filter, be there any or none, take no more steps from a store ten times as large."""
    small, large = (steps(path, lambda source: source.audit_log(limit=20, **asked)) for path in stores)

    assert large <= 2 * small + 50


def test_what_is_rare_is_found_among_many(tmp_path: Path) -> None:
    """Agents that never hand over cost a search for those that did nothing, however many they are."""
    taken = []
    for count in (100, 3_000):
        path = tmp_path / f"{count}.db"
        with closing(Writer(path)) as writer:
            writer.append([operation(number, "agent", "manager", at=number) for number in range(count)])
            writer.append([event(1, "agent_switched", from_agent="a", to_agent="b")])
        taken.append(steps(path, lambda source: source.audit_log(event_type="agent_switched", limit=20)))

    assert taken[1] <= 2 * taken[0] + 50


@pytest.mark.parametrize(
    "ask",
    [
        lambda source: source.total(),
        lambda source: source.session_metrics(session_name(3)),
        lambda source: source.session_metrics(session_name(3), REQUEST),
        lambda source: source.session_metrics("nobody's"),
        lambda source: source.session_list(limit=10),
        lambda source: source.timeline(session_id=session_name(3)),
        lambda source: source.open_operations(),
    ],
    ids=["total", "session", "request", "unknown", "page", "timeline", "under way"],
)
def test_figures_take_as_long_from_any_store(ask: Callable[[SqliteSource], object], stores: list[Path]) -> None:
    """Counters, pages of the list and a session's timeline take no more steps from a store ten times as large."""
    small, large = (steps(path, ask) for path in stores)

    assert large <= 2 * small + 100


def test_the_walk_of_many_kinds_is_in_order(stores: list[Path]) -> None:
    """Kinds that are walked side by side come as one, the latest first, as without asking for any."""
    with closing(connect(stores[0])) as db:
        look = Look(db, stores[0])
        of_all = [record for record in look.newest() if getattr(record, "kind", "") in ("model", "tool")]
        by_kind = [*look.newest(kinds=["tool", "model"])]

    assert of_all == sorted(of_all, key=lambda record: record.end_ns, reverse=True)
    assert {record.id for record in of_all} == {record.id for record in by_kind}
    assert [record.end_ns for record in of_all] == [record.end_ns for record in by_kind]


def test_ids_that_sqlite_cannot_hold_are_found(tmp_path: Path) -> None:
    """Half a surrogate pair in an id is asked for as it is, or as it is listed."""
    path, odd = tmp_path / "store.db", {"session": "s\ud800", "request": "r\udfff"}
    with closing(Writer(path)) as writer:
        writer.append([operation(1, **odd)], [opened(operation(2, **odd))])
        look = Look(writer.connection, path)
        for session_id, request in (("s\ud800", "r\udfff"), ("s\\ud800", "r\\udfff")):
            assert 1 == look.tally(session_id, request).successful
            assert 2 == len([*look.newest(session_id=session_id, correlation_id=request)])
            assert 1 == len(look.numbered(look.numbers(session_id)))
            assert 1 == look.count(session_id=session_id)
        assert ["s\\ud800"] == look.newest_sessions(None, 0, deleted=False)
