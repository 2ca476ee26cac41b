"""What a program says of its work, as backends hold it."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from tachograph import given, names
from tachograph.clip import clipped


class Color(enum.Enum):
    """An enumeration of something else."""

    RED = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        ("ü\ud800", "ü?"),
        ("token=abcdefgh", "token=[redacted]"),
        ("", None),
        (None, None),
        (3, None),
        (b"a", None),
    ],
)
def test_a_text_is_one_or_unknown(value: Any, expected: str | None) -> None:
    """A text is what it says, without credentials; anything else, and an empty one, is not known."""
    assert expected == given.text(value)


@for_all(st.text(max_size=400))
def test_a_text_is_cut_and_redacted_like_any_other(value: str) -> None:
    """The short way to a text and the long one lead to the same."""
    assert (str(clipped(value, 4_000)) if value else None) == given.text(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        (10**12 - 1, 10**12 - 1),
        (10**12, None),
        (2**63, None),
        (-1, None),
        (1.0, None),
        (True, None),
        ("1", None),
    ],
)
def test_a_count_is_one_or_unknown(value: Any, expected: int | None) -> None:
    """A whole number from 0 up, as large as backends hold, is a count; anything else is not known."""
    assert expected == given.count(value)


def test_fields_are_kept_as_backends_hold_them() -> None:
    """Texts are cut and without credentials; what is neither text nor number nor truth, or too large, is left out."""
    fields = {
        "long": "x" * 100_000,
        "key": "api_key=abcdefgh",
        "odd": "\ud800",
        "small": -(2**63),
        "big": 2**63,
        "half": 0.5,
        "yes": True,
        "nothing": None,
        "thing": Color.RED,
        "list": [1],
    }
    found = {name.removeprefix(names.CUSTOM): value for name, value in given.custom(fields).items()}
    assert found.pop("long").startswith("xxx")
    assert {"key": "api_key=[redacted]", "odd": "?", "small": -(2**63), "half": 0.5, "yes": True} == found


def test_fields_are_not_without_end() -> None:
    """Of more fields than anybody reads the first are kept."""
    assert 100 == len(given.custom({f"f{number}": number for number in range(1_000)}))


@pytest.mark.parametrize("status", ["done", None, 3, Color.RED, object()])
def test_a_status_that_is_none_is_refused(status: Any) -> None:
    """The error names the status and those there are."""
    with pytest.raises(ValueError, match="is no status; there are: ok, error, "):
        given.outcome(status)


def test_every_word_says_an_outcome() -> None:
    """Each word that is listed is understood, in any case."""
    assert given.STATUSES == {word: given.outcome(word.upper()) for word in given.STATUSES}
