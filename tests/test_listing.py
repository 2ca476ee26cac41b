"""Lists of sessions: found, ordered and cut the same way wherever they are kept."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from support.records import event, ledger_of, operation
from support.stores import Delivery, store_of
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.listing import NEWEST, ORDERS, Row, Wanted, listing, row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.sources import Source

TOKENS = {names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 5}
RECORDS = (
    operation(1, session="Alpha", at=0, user_id="ada", attributes=TOKENS),
    operation(2, session="beta", at=5_000, user_id="Grace", attributes={**TOKENS, names.INPUT_TOKENS: 100}),
    operation(3, "agent", "boss", session="gamma", at=9_000, outcome="error", error_type="KeyError"),
    operation(4, session="delta", at=2_000, attributes=TOKENS),
    operation(5, session="gone", at=2_500),
    event(6, "session_deleted", at=2_600, session="gone"),
    operation(7, "tool", "search", session="epsilon", at=20_000, took=None, outcome=None),
)


@pytest.fixture(params=["memory", "store"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """The same sessions in memory and in a store."""
    with contextlib.ExitStack() as stack:
        if request.param == "memory":
            yield ledger_of(RECORDS)
        else:
            yield store_of([Delivery(0, RECORDS)], tmp_path / "s.db", stack)


def ids(source: Source, *, limit: int | None = None, offset: int = 0, **wanted) -> list[str]:
    """Which sessions are listed, in order."""
    return [found.session_id for found in source.session_rows(Wanted(**wanted), limit=limit, offset=offset).rows]


# ---------------------------------------------------------------------------------------------------------- by sources
def test_rows_are_the_figures_of_their_sessions(source):
    """A row says of a session what its figures say, of those that are not deleted, the one last active first."""
    expected = [row(metrics) for metrics in source.session_list()]

    assert expected == source.session_rows().rows == source.session_rows(limit=10).rows
    assert ["epsilon", "gamma", "beta", "delta", "Alpha"] == [found.session_id for found in expected]
    assert "active" == expected[0].status


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ascending", [True, False])
def test_every_order(source, order, ascending):
    """By each figure the rows stand in order, whichever way round, and every session is there once."""
    found = source.session_rows(Wanted(order=order, ascending=ascending)).rows
    keys = [ORDERS[order](each) for each in found]

    assert sorted(keys, reverse=not ascending) == keys
    assert 5 == len({each.session_id for each in found})


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"search": "ALPHA"}, ["Alpha"]),
        ({"search": "grace"}, ["beta"]),
        ({"search": "ta"}, ["beta", "delta"]),
        ({"search": "gone"}, []),
        ({"status": "active"}, ["epsilon"]),
        ({"status": "waiting"}, []),
        ({"failed": True}, ["gamma"]),
        ({"failed": True, "status": "active"}, []),
    ],
)
def test_found(source, wanted, expected):
    """Sessions are found by a part of their id or user in any case, by their state, and by having errors."""
    assert expected == ids(source, **wanted)


@pytest.mark.parametrize("wanted", [{}, {"order": "total_tokens"}])
def test_pages_make_up_the_whole(source, wanted):
    """Pages follow each other without gap or repeat, and each says how many there are."""
    pages = [source.session_rows(Wanted(**wanted), limit=2, offset=offset) for offset in (0, 2, 4, 6)]

    assert ids(source, **wanted) == [found.session_id for page in pages for found in page.rows]
    assert [5, 5, 5, 5] == [page.total for page in pages]


def test_what_changed_is_not_remembered(tmp_path):
    """A store's rows are those of now: what another writer adds meanwhile, deletes or ends is seen at the next look."""
    with contextlib.ExitStack() as stack:
        source = store_of([Delivery(0, RECORDS)], tmp_path / "s.db", stack)
        by_tokens = Wanted(order="total_tokens")
        before = source.session_rows(by_tokens).rows
        more = operation(8, session="Alpha", at=30_000, attributes={**TOKENS, names.INPUT_TOKENS: 1_000})
        ended = operation(7, "tool", "search", session="epsilon", at=20_000)
        store_of(
            [Delivery(0, (more, ended, event(9, "session_deleted", at=6_000, session="beta")))],
            tmp_path / "s.db",
            stack,
        )
        after = source.session_rows(by_tokens).rows

    assert "beta" == before[0].session_id
    assert [("Alpha", 1_020, 2)] == [(one.session_id, one.total_tokens, one.total_requests) for one in after[:1]]
    assert "beta" not in {one.session_id for one in after}


# ------------------------------------------------------------------------------------------------------- by themselves
def test_what_is_none_is_refused():
    """An order or state that there is none of is an error that names those there are."""
    with pytest.raises(ValueError, match=r"order='size': no such order; there are: last_seen, session_id, "):
        Wanted(order="size")
    with pytest.raises(ValueError, match=r"status='gone': no such status; there are: active, waiting, idle"):
        Wanted(status="gone")


def test_among_equals_the_newest_comes_first():
    """Sessions with the same figure stand in the order of their last activity."""
    records = [operation(n, session=f"s{n}", at=n * 1_000) for n in (2, 3, 1)]
    rows = ledger_of(records).session_rows(Wanted(order="errors")).rows

    assert ["s3", "s2", "s1"] == [found.session_id for found in rows]


def test_of_nothing():
    """Of nothing there is a list: an empty one."""
    assert ([], 0) == Ledger().session_rows()
    assert ([], 0) == listing([], NEWEST, limit=5, offset=0)


def test_unknown_costs_are_the_least():
    """A session of which nobody knows the cost stands below those that cost something."""
    known = Row("a", None, "idle", None, None, 0, 0, {"amount": 0.1}, 0, 0, 0, 0, [])
    unknown = known._replace(session_id="b", cost={"amount": None})

    assert [known, unknown] == listing([unknown, known], Wanted(order="cost"), limit=None, offset=0).rows
