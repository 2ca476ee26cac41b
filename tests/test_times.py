"""Moments and durations as people and JSON read them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import MOMENT
from tachograph.times import milliseconds, moment, timestamp

_moments = st.integers(0, 10**9) | st.integers(MOMENT, MOMENT + 10**9) | st.integers(0, 4 * 10**18)  # up to 2096


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [(0, 0.0), (1_000_000, 1.0), (1_234_567, 1.235), (499, 0.0), (45_000_000_000, 45_000.0)],
)
def test_durations_are_milliseconds_to_the_microsecond(nanoseconds: int, expected: float) -> None:
    """A duration keeps three decimals of a millisecond."""
    assert milliseconds(nanoseconds) == expected


@pytest.mark.parametrize(
    ("moment_ns", "expected"),
    [
        (MOMENT, "2026-01-17T13:00:00Z"),
        (MOMENT + 1_000, "2026-01-17T13:00:00.000001Z"),
        (MOMENT + 999, "2026-01-17T13:00:00Z"),
        (MOMENT + 500_000_000, "2026-01-17T13:00:00.500000Z"),
    ],
)
def test_moments_are_iso_8601_in_utc(moment_ns: int, expected: str) -> None:
    """A moment is written to the microsecond, and without a fraction where there is none."""
    assert timestamp(moment_ns) == expected


@given(_moments)
def test_a_timestamp_is_read_as_the_moment_it_was_written_from(moment_ns: int) -> None:
    """What :func:`timestamp` writes is read back to the microsecond, so an entry is never later than itself."""
    assert moment_ns // 1_000 * 1_000 == moment(timestamp(moment_ns))


@given(st.lists(_moments, min_size=2))
def test_timestamps_of_one_second_sort_like_their_moments(moments: list[int]) -> None:
    """Read back, timestamps are in the order of the moments they were written from."""
    read = [moment(timestamp(moment_ns)) for moment_ns in sorted(moments)]
    assert sorted(read) == read


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-17T13:00:00Z",
        "2026-01-17T13:00:00",
        "2026-01-17 13:00:00+00:00",
        "2026-01-17T15:00:00+02:00",
        "2026-01-17T13:00:00.0Z",
        "2026-01-17T13:00:00.000000000Z",
        datetime(2026, 1, 17, 13, tzinfo=timezone.utc),
        datetime(2026, 1, 17, 13),  # noqa: DTZ001 - a naive one is what is tested
        datetime(2026, 1, 17, 8, tzinfo=timezone(timedelta(hours=-5))),
        1_768_654_800,
        1_768_654_800.0,
    ],
)
def test_every_way_to_say_a_moment(value: Any) -> None:
    """Text and datetimes with or without a zone (then UTC) and seconds since the epoch say the same moment."""
    assert moment(value) == MOMENT


@pytest.mark.parametrize("value", ["yesterday", "", "2026-13-01", "12:00", "17.01.2026"])
def test_a_text_that_is_no_moment_is_refused(value: str) -> None:
    """The error names the value and shows how to write one."""
    with pytest.raises(ValueError, match="is no moment; write it like 2026-01-17T13:00:00Z") as refused:
        moment(value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [1], b"2026-01-17"])
def test_a_value_that_is_no_moment_is_refused(value: Any) -> None:
    """The error names the value and says what a moment may be."""
    with pytest.raises(ValueError, match="is no moment; give ISO 8601 text, a datetime or seconds") as refused:
        moment(value)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0001-01-01", -(2**63)),
        ("9999-12-31T23:59:59Z", 2**63 - 1),
        (-1e300, -(2**63)),
        (1e300, 2**63 - 1),
        (-(10**30), -(2**63)),
        (10**30, 2**63 - 1),
    ],
)
def test_a_moment_out_of_all_bounds(value: Any, expected: int) -> None:
    """A moment too far away for 64 bits of nanoseconds, as databases have, is the farthest there is."""
    assert moment(value) == expected


@pytest.mark.parametrize(
    ("text", "microseconds"), [(".5", 500_000), (".1234", 123_400), (".123456", 123_456), (".123456789", 123_456)]
)
def test_fractions_of_any_length(text: str, microseconds: int) -> None:
    """A fraction of a second may have any number of digits, as other programs write them; six count."""
    assert moment(f"2026-01-17T13:00:00{text}Z") == MOMENT + microseconds * 1_000
