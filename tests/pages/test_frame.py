"""What is around a page: addresses and what waits."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from support.records import ledger_of, operation
from tachograph.pages.frame import Links, frame


@pytest.mark.parametrize("session_id", ["plain", "a/b?c#d", "../..", "<b>", "a b&c=d", "שלום", "line\nbreak", "%2F"])
def test_addresses_carry_any_id(session_id):
    """An id of any text is in an address what it is, and nothing of it is taken for more than an id."""
    links = Links("/below")
    one, log = urlsplit(links.session(session_id)), urlsplit(links.audit(session_id=session_id))

    assert ("/below/session/" + session_id, "", "") == (unquote(one.path), one.query, one.fragment)
    assert 3 == one.path.count("/")
    assert {"session_id": [session_id]} == parse_qs(log.query)


def test_half_a_character():
    """An id with half of a character has an address."""
    assert "/session/a%5Cud800" == Links().session("a\ud800")


def test_what_is_not_asked_is_not_in_the_address():
    """An address has those parameters only that say something."""
    assert "/audit?category=hitl" == Links().audit(category="hitl", session_id=None, critical="", offset=None)


def test_what_waits_is_counted():
    """The frame of every page counts the approvals that wait, expired ones not."""
    asked = [
        operation(1, "approval", "write", took=None, outcome=None),
        operation(2, "model", took=None, outcome=None),
        operation(3, "approval", "write", took=5),
    ]

    found = frame(ledger_of(asked), "sessions", root="/r")
    assert (1, "memory", "/r/") == (found.waiting, found.place, found.links.sessions())
