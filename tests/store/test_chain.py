"""Links, seals and heads."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.store.chain import LENGTH, Head, SealedWriter, digest, first_link, link, seal

COLUMNS = (1, "id", "model", "s", None, 1, 2, 0)
SEALED = SealedWriter("w", 1, b"h" * LENGTH, 0, None, 0)


def test_the_hashes_are_what_anybody_can_compute():
    """Digest, link and seal are SHA-256, or HMAC-SHA-256 with a key, of what the documentation says."""
    message = b"p" * LENGTH + digest("text") + b"(1, 'id', 'model', 's', None, 1, 2, 0)"

    assert hashlib.sha256(b"text").digest() == digest("text")
    assert hashlib.sha256(message).digest() == link(b"p" * LENGTH, digest("text"), COLUMNS, None)
    assert hmac.digest(b"k", message, "sha256") == link(b"p" * LENGTH, digest("text"), COLUMNS, b"k")
    assert hashlib.sha256(b"tachograph chain w").digest() == first_link("w", None)


@pytest.mark.parametrize("place", range(len(COLUMNS)))
def test_a_link_is_over_every_column(place):
    """Another value in any column gives another link."""
    other = (*COLUMNS[:place], "other", *COLUMNS[place + 1 :])

    assert link(b"", b"", COLUMNS, None) != link(b"", b"", other, None)


@given(st.text(), st.text(), st.text(), st.text())
def test_no_byte_can_pass_from_one_column_to_the_next(one, two, three, four):
    """Two entries have one link only if they are the same entry."""
    links = {link(b"", b"", (1, *texts, None, 1, 2, 0), None) for texts in ((one, two, three), (one, four, three))}

    assert len({two, four}) == len(links)


def test_a_seal_is_over_every_part_and_the_key():
    """Whatever is sealed is sealed as a whole."""
    seals = {seal(SEALED, None), seal(SEALED, b"k")}
    seals |= {seal(SEALED._replace(**{name: "other"}), None) for name in SEALED._fields}

    assert 8 == len(seals)


def test_a_head_is_read_as_written():
    """The text of a head gives the same head."""
    head = Head("w", 3, b"\x01" * LENGTH)

    assert f"w:3:{'01' * LENGTH}" == str(head)
    assert head == Head.parse(f" {head}\n")


@pytest.mark.parametrize(
    "text", ["", "w", "w:3", "w:x:00", "w:3:00", f":3:{'00' * 32}", f"w:-3:{'00' * 32}", "a:b:c:d"]
)
def test_what_is_no_head_is_said(text):
    """Text that is no head raises an error that shows it and what is expected."""
    with pytest.raises(ValueError, match="is no head of a chain; expected NAME:COUNT:HEX"):
        Head.parse(text)
