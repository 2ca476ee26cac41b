"""Sums over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import ledger_of, operation
from tachograph import names
from tachograph.pages.charts import MOST_BARS, charts

DAY = 86_400_000


def rows(*records):
    return ledger_of(records).session_rows().rows


def test_charts():
    """Each session counts where it began; a bar says when and how much, and the sum is that of the rows."""
    facts = {names.INPUT_TOKENS: 1_000, names.COST: 0.25}
    found = charts(
        rows(
            operation(1, session="a", at=0, attributes=facts),
            operation(2, session="b", at=1_000, attributes=facts),
            operation(3, session="c", at=20 * DAY, attributes=facts),
        )
    )

    requests, tokens, cost, errors = found
    assert ["Requests", "Tokens", "Cost", "Errors"] == [chart.title for chart in found]
    assert ("3", "3,000", "0.7500", "0") == tuple(chart.total for chart in found)
    assert ["2 requests", "1 requests"] == [column.said for column in requests.columns]
    assert [100, 50] == [column.height for column in tokens.columns]
    assert (2, "0.5000") == (len(cost.columns), cost.most)
    assert () == errors.columns
    assert "2026-01-17" == requests.since


@given(st.lists(st.integers(0, 3 * 365 * DAY), min_size=1, max_size=30))
def test_any_times(moments):
    """Whenever sessions began, all are in the chart and the bars are within it, and few enough to be seen."""
    found = charts(rows(*(operation(n, session=str(n), at=at) for n, at in enumerate(moments, 1))))

    columns = found[0].columns
    assert len(moments) == sum(int(column.said.split()[0]) for column in columns)
    assert len(columns) <= MOST_BARS
    assert all(column.at >= 0 and column.at + column.width <= 100.001 for column in columns)


def test_nothing():
    """Where nothing began there is no chart."""
    assert [] == charts([])


@pytest.mark.parametrize(
    ("apart", "expected"), [(60_000, "01-17 13:00"), (DAY, "01-17 13:00"), (30 * DAY, "2026-01-17")]
)
def test_moments_are_as_exact_as_the_bars(apart, expected):
    """Bars of less than a day say the time of day they begin at, others the day."""
    assert expected == charts(rows(operation(1, session="a"), operation(2, session="b", at=apart)))[0].since
