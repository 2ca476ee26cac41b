"""Moments, ages, sizes and limits are read as people write them; anything else is named with the fix."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import click
import pytest

from tachograph.cli.arguments import AGE, MOMENT, SIZE, Limit

LIMIT = Limit(("tokens", "cost"))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (AGE, "45s", timedelta(seconds=45)),
        (AGE, "10m", timedelta(minutes=10)),
        (AGE, "1.5h", timedelta(hours=1.5)),
        (AGE, "30d", timedelta(days=30)),
        (AGE, "2w", timedelta(weeks=2)),
        (SIZE, "1000", 1_000),
        (SIZE, "500MB", 500_000_000),
        (SIZE, "1.5 GiB", 3 * 2**29),
        (SIZE, "2kb", 2_000),
        (LIMIT, "10%", ("", 0.1)),
        (LIMIT, "tokens=0%", ("tokens", 0.0)),
        (MOMENT, "2026-01-17T13:00:00Z", datetime(2026, 1, 17, 13, tzinfo=timezone.utc)),
        (MOMENT, "2026-01-17T13:00:00+02:00", datetime(2026, 1, 17, 11, tzinfo=timezone.utc)),
    ],
)
def test_what_people_write_is_read(kind, text, expected):
    """Every way of writing that the help shows is understood, and a value that is none of text stays."""
    assert expected == kind.convert(text, None, None)
    assert expected == kind.convert(expected, None, None)


def test_a_moment_without_a_zone_is_local():
    """What says no time zone is meant as the clock on the wall."""
    assert datetime(2026, 1, 17, 13).astimezone() == MOMENT.convert("2026-01-17T13:00", None, None)


def test_a_moment_may_be_an_age():
    """A span of time means so long ago."""
    before = datetime.now().astimezone()

    found = MOMENT.convert("2h", None, None)

    assert before - timedelta(hours=2) <= found <= datetime.now().astimezone() - timedelta(hours=2)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (AGE, "soon", "'soon' is no span of time; write it like 45s"),
        (AGE, "-1d", "'-1d' is no span"),
        (AGE, "10", "'10' is no span"),
        (AGE, "9999999w", "'9999999w' is no span"),
        (SIZE, "big", "'big' is no size; write it like 500MB"),
        (SIZE, "1 mile", "'1 mile' is no size"),
        (SIZE, "99999999999GB", "'99999999999GB' is no size"),
        (MOMENT, "yesterday\x1b[31m", "'yesterday�[31m' is no moment; write it like 2026-01-17"),
        (MOMENT, "2026-13-01", "is no moment"),
        (LIMIT, "10", "'10' is no limit; write it like 10% or tokens=10%"),
        (LIMIT, "time=10%", "'time': no such figure; there are: tokens, cost"),
        (LIMIT, "=10%", "'': no such figure"),
    ],
)
def test_what_cannot_be_read_is_named(kind, text, said):
    """The error names the value and how to write it."""
    with pytest.raises(click.BadParameter) as caught:
        kind.convert(text, None, None)

    assert said in caught.value.message
