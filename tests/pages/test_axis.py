"""Time along a line."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.pages.axis import axis

SPANS = st.tuples(st.floats(0, 1e9), st.floats(0, 1e7)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def test_in_proportion():
    """Where something works all the time, a moment's place is its share of the time."""
    line = axis([(0, 1_000)], 1_000)

    assert [0, 25, 100] == [line.place(moment) for moment in (0, 250, 1_000)]
    assert () == line.breaks
    assert ["0 ms", "0.20 s", "0.40 s", "0.60 s", "0.80 s", "1.00 s"] == [tick.label for tick in line.ticks]


def test_a_long_wait_is_short():
    """An hour in which nothing works takes a sliver of the line and says that it is one; the work has the rest."""
    hour = 3_600_000
    line = axis([(0, 1_000), (hour, hour + 1_000)], hour + 1_000)

    assert ["59 min 59 s"] == [one.label for one in line.breaks]
    assert 3 < line.place(hour) - line.place(1_000) < 4
    assert line.place(1_000) == pytest.approx(100 - line.place(hour), abs=0.01)


def test_a_short_wait_is_in_proportion():
    """A wait that is short beside the work, or short at all, is drawn as long as it is."""
    assert () == axis([(0, 10_000), (11_000, 20_000)], 20_000).breaks
    assert () == axis([(0, 10), (900, 910)], 910).breaks


@given(st.lists(SPANS, max_size=30), st.floats(0, 1e10), st.lists(st.floats(0, 1e10), min_size=2))
def test_order_is_kept(work, more, moments):
    """Whatever worked when, later moments are never further left, all are on the line, and labels stay apart."""
    end = max([until for _, until in work], default=0.0) + more
    line = axis(work, end)
    places = [line.place(moment) for moment in sorted(moments)]

    assert sorted(places) == places
    assert all(0 <= place <= 100 for place in places)
    assert 0 == line.place(0)
    assert 100 == line.place(max(end, 1.0))
    ats = [tick.at for tick in line.ticks]
    assert all(after - before >= 12.9 for before, after in pairwise(ats))


def test_nothing():
    """A line of nothing is a line."""
    line = axis([], 0)

    assert ("0 ms", (), 0) == (line.ticks[0].label, line.breaks, line.place(0))
