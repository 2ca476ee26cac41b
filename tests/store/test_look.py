"""The queries of a store: exact they are by the contract of sources; here, that they stay short as it grows."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from support.records import opened, operation
from support.stores import fill, session_name, work
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


def steps(path: Path, ask: Callable[[Look], object]) -> int:
    """How many steps SQLite's machine takes for an answer, in tens."""
    taken = [0]

    def step() -> None:
        taken[0] += 1

    with closing(connect(path)) as db:
        db.set_progress_handler(step, 10)
        ask(Look(db, path))
        db.set_progress_handler(None, 0)
    return taken[0]


def first(count: int, **asked: Any) -> Callable[[Look], object]:
    """The newest so many records."""
    return lambda look: deque((record for record, _ in zip(look.newest(**asked), range(count), strict=False)), maxlen=0)


WALKS: list[dict[str, Any]] = [
    {},
    {"session_id": session_name(3)},
    {"session_id": session_name(3), "kinds": ["model", "llm_request_started"]},
    {"correlation_id": REQUEST},
    {"session_id": session_name(3), "correlation_id": REQUEST},
    {"critical": True},
    {"critical": True, "kinds": ["agent", "agent_switched"]},
    {"critical": True, "kinds": ["hitl_approval_requested", "hitl_decision_made"]},
    {"kinds": ["agent", "model", "tool"]},
    {"kinds": ["system_startup"]},
    {"kinds": ["model"], "amiss": True},
    {"kinds": ["tool", "tool_execution_failed"], "amiss": True},
    {"kinds": ["agent"], "amiss": True, "critical": True},
    {"since_ns": operation(1, at=1_000).start_ns},
]
"""What a log is asked by."""


@pytest.mark.parametrize("asked", WALKS, ids=str)
def test_a_walk_is_as_long_as_its_answer(asked: dict[str, Any], stores: list[Path]) -> None:
    """The newest records by any condition take no more steps from a store that is ten times as large."""
    small, large = (steps(path, first(20, **asked)) for path in stores)

    assert large <= 2 * small + 50


@pytest.mark.parametrize(
    "ask",
    [
        lambda look: look.tally(),
        lambda look: look.tally(session_name(3)),
        lambda look: look.tally(session_name(3), REQUEST),
        lambda look: look.tally("nobody's"),
        lambda look: look.newest_sessions(10, 0, deleted=False),
        lambda look: look.under_way(),
    ],
    ids=["total", "session", "request", "unknown", "page", "under way"],
)
def test_figures_take_as_long_from_any_store(ask: Callable[[Look], object], stores: list[Path]) -> None:
    """Counters and pages of the list take no more steps from a store that is ten times as large."""
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
