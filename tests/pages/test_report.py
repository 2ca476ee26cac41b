"""One session as one file."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from support.pages import words
from support.records import event, ledger_of
from tachograph import figures
from tachograph.ledger import Ledger
from tachograph.pages.report import ENTRIES, report


def test_it_says_what_the_page_says(source):
    """A report has the figures, the timeline, the tables, the decisions and the audit log of its session."""
    metrics, said = source.session_metrics("chat-42"), words(report(source, "chat-42"))

    for part in (
        "Session chat-42",
        f"Tokens {metrics.total_tokens:,}",
        figures.cost(metrics.cost),
        "Timeline",
        "Audit log",
    ):
        assert part in said
    for kind in ("Models", "Agents", "Tools", "Switches", "Human decisions", "Model calls"):
        assert kind in said


def test_it_stands_alone(source):
    """A report loads nothing, runs nothing and leads nowhere, and its policy allows nothing but its own style."""
    page = report(source, "chat-42")

    assert [] == re.findall(r"<(?:script|link|img|iframe|form|object)\b|\ssrc=|\saction=|url\(|@import", page)
    assert set() == set(re.findall(r'href="(?!#)([^"]*)"', page))
    style = re.search(r"(?s)<style>(.*?)</style>", page)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;" in page


def test_hostile_names(source):
    """In a report, too, names are text."""
    page = report(source, "f00d")

    assert "\N{REPLACEMENT CHARACTER}[31mred" in page
    assert "\u202e" not in page


def test_a_long_log():
    """Of a long log the newest entries are in the report, which says so."""
    page = report(ledger_of([event(n, "message_added", at=n) for n in range(1, ENTRIES + 50)]), "s")

    assert ENTRIES == page.count('<td class="type')
    assert f"Audit log the newest {ENTRIES} entries" in words(page)


def test_unknown():
    """A report of a session that nobody has heard of is an error that names it."""
    with pytest.raises(LookupError, match="'nobody'"):
        report(Ledger(), "nobody")
