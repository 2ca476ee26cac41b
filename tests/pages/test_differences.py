"""What a human changed, line by line."""

from __future__ import annotations

import json

import pytest

from tachograph.pages.differences import differences
from tachograph.views.approvals import changes


def lines(before: object, after: object) -> list[tuple[str, str, str]]:
    """The difference between two versions of a call's arguments."""
    return [tuple(line) for line in differences(changes(json.dumps(before), json.dumps(after)))]


def test_an_edit():
    """What was taken away, changed and added stands in this order, each under its name."""
    assert [
        ("-", "mode", "fast"),
        ("-", "path", "a.py"),
        ("+", "path", "b.py"),
        ("+", "dry", "true"),
    ] == lines({"path": "a.py", "mode": "fast", "keep": 1}, {"path": "b.py", "keep": 1, "dry": True})


def test_long_texts_line_by_line():
    """Of a text of several lines those that are the same are shown as such."""
    assert [(" ", "code", "a = 1"), ("-", "code", "b = 2"), ("+", "code", "b = 3")] == lines(
        {"code": "a = 1\nb = 2"}, {"code": "a = 1\nb = 3"}
    )


def test_huge_texts():
    """Texts too long to be compared are shown before and after, and within bounds."""
    found = lines({"code": "x\n" * 300_000}, {"code": "y\n" * 300_000})

    assert {"-", "+"} == {sign for sign, _, _ in found}
    assert sum(len(text) for _, _, text in found) < 50_000


@pytest.mark.parametrize("strange", [None, "text", [], {}, {"changed": 1}, {"changed": {"a": 2}}, {"added": [1]}])
def test_what_is_no_difference(strange):
    """What is not of the shape of changes gives none, or what there is of it, and no failure."""
    assert all(line.sign in "-+ " for line in differences(strange))


def test_all_of_it():
    """Arguments that are no table are shown as they were and are."""
    assert [("-", "", "1"), ("+", "", "2")] == lines(1, 2)
