"""Figures read well at every size."""

from __future__ import annotations

import pytest

from tachograph import figures


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0, "0 ms"),
        (0.2, "<1 ms"),
        (1, "1 ms"),
        (99.4, "99 ms"),
        (100, "0.10 s"),
        (1_234, "1.23 s"),
        (59_994, "59.99 s"),
        (59_999, "1 min 00 s"),
        (200_000, "3 min 20 s"),
        (3_599_000, "59 min 59 s"),
        (3_600_000, "1 h 00 min"),
        (7_500_000, "2 h 05 min"),
        (360_000_000_000, "100,000 h 00 min"),
    ],
)
def test_durations(ms, shown):
    """A duration is told in the unit that suits it."""
    assert shown == figures.duration(ms)


@pytest.mark.parametrize(
    ("model", "unpriced", "shown"),
    [
        ({"cost": None}, ["m"], "unknown"),
        ({"cost": 0.0}, [], "-"),
        ({"cost": 2.5}, ["other"], "2.5000"),
        ({"cost": 2.5}, ["m"], "≥ 2.5000"),
    ],
)
def test_prices(model, unpriced, shown):
    """What a model cost is told to a hundredth of a cent, as a bound where some is not known, and never as 0."""
    assert shown == figures.price("m", model, {"unpriced_models": unpriced})


@pytest.mark.parametrize(("count", "whole", "shown"), [(0, True, "0"), (1_010, False, "≥ 1,010"), (0, False, "-")])
def test_tokens(count, whole, shown):
    """Tokens of which some are not known are a lower bound, and unknown ones are never 0."""
    assert shown == figures.tokens(count, whole=whole)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"amount": None, "currency": "USD", "complete": True}, "-"),
        ({"amount": None, "currency": "USD", "complete": False}, "unknown"),
        ({"amount": 0.0123, "currency": "USD", "complete": True}, "0.0123 USD"),
        ({"amount": 1234.5, "currency": "USD", "complete": False}, "≥ 1,234.5000 USD"),
        ({}, "unknown"),
    ],
)
def test_costs(told, shown):
    """Unknown is said, part of a cost is a lower bound, and where nothing was called there is none."""
    assert shown == figures.cost(told)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e9, "5.0 GB"), (7.25e15, "7,250.0 TB")],
)
def test_sizes(count, shown):
    """Bytes are told in the unit that suits them."""
    assert shown == figures.size(count)


def test_counts():
    """One is singular."""
    assert ["0 sessions", "1 session", "1,200 sessions"] == [figures.counted(n, "session") for n in (0, 1, 1_200)]


@pytest.mark.parametrize(
    ("pair", "agents", "shown"),
    [
        ("boss_to_clerk", ["boss", "clerk"], "boss → clerk"),
        ("go_to_market_to_how_to_sell", ["go_to_market", "how_to_sell"], "go_to_market → how_to_sell"),
        ("a_to_b_to_c", [], "a → b_to_c"),
        ("other", [], "other"),
    ],
)
def test_handovers(pair, agents, shown):
    """Two names are told apart even where the words between them are part of a name."""
    assert shown == figures.handover(pair, agents)


def test_runs_cut_short():
    """Of runs that neither ended well nor failed it is told how they did; of the others nothing."""
    assert "" == figures.cut_short({"error": 1, "ok": 2})
    assert "1,200 interrupted, 1 max_steps" == figures.cut_short({"interrupted": 1_200, "max_steps": 1, "ok": 2})


def test_moments_are_local(monkeypatch):
    """A moment is told by the clock on the wall."""
    assert "-" == figures.local(None)
    assert len("2026-01-17 13:00:00") == len(figures.local("2026-01-17T13:00:00.123Z"))


def test_both_ends_of_a_handover():
    """A pair is told apart where its names are known, and a word that is no pair has one end."""
    assert ("a_to_b", "c") == figures.parted("a_to_b_to_c", ["a_to_b", "c"])
    assert ("alone", "") == figures.parted("alone", [])
