"""The list of sessions."""

from __future__ import annotations

import re

import pytest

from support.pages import rows, words
from support.records import event, ledger_of, operation
from tachograph import figures
from tachograph.ledger import Ledger
from tachograph.pages import sessions
from tachograph.pages.frame import frame
from tachograph.pages.sessions import SHOWN, whole


def test_figures_are_those_of_the_view(source, around):
    """Every row has the figures that the session's own figures have, the one last active first."""
    expected = [
        [
            f"{metrics.total_requests:,}",
            f"{metrics.total_tokens:,}",
            figures.cost(metrics.cost),
            figures.duration(metrics.processing_duration_ms),
            f"{metrics.tool_calls:,}",
            f"{metrics.agent_switches:,}",
            f"{metrics.errors:,}",
        ]
        for metrics in source.session_list()
    ]

    assert expected == [row[2:] for row in rows(sessions.page(source, around, {}))[1:]]


def test_order_and_search_are_in_the_address(source, around):
    """A click on a heading orders by it, keeps the search, and says the order to whoever listens to the page."""
    page = sessions.page(source, around, {"search": "chat", "order": "total_tokens"})

    assert ["chat-42", "chat-43"] == sorted(re.findall(r'data-key="([^"]*)"', page))
    assert 1 == page.count("aria-sort")
    assert re.search(
        r'aria-sort="descending"><a href="/\?search=chat&amp;order=total_tokens&amp;ascending=1">Tokens', page
    )
    assert '<a href="/?search=chat&amp;order=errors">Errors' in page


def test_pages():
    """A long list comes a page at a time, with the way to the next and back."""
    ledger = ledger_of([operation(n, session=f"s{n:03}", at=n) for n in range(1, 121)])
    around = frame(ledger, "sessions")
    first, second, last = (sessions.page(ledger, around, {"offset": str(n)}) for n in (0, SHOWN, 2 * SHOWN))

    assert [50, 50, 20] == [page.count("data-key") for page in (first, second, last)]
    assert ('rel="next" href="/?offset=50"' in first, 'rel="prev"' in first) == (True, False)
    assert ('rel="next" href="/?offset=100"' in second, 'rel="prev" href="/"' in second) == (True, True)
    assert "101–120 of 120 sessions" in words(last)  # noqa: RUF001 - as it is set in print
    assert 'rel="next"' not in last


@pytest.mark.parametrize(
    "asked", [{"order": "size"}, {"status": "gone"}, {"offset": "x"}, {"offset": "-1"}, {"else": "1"}]
)
def test_what_has_no_meaning_is_passed_over(source, around, asked):
    """An address that somebody has made wrong shows the list."""
    assert 3 == sessions.page(source, around, asked).count("data-key")


def test_nothing_found(source, around):
    """A search that finds nothing says so and leads back."""
    assert "No such session. Show all" in words(sessions.page(source, around, {"search": "nobody"}))


def test_all_hidden():
    """Where all sessions are hidden by deletion the page says so, and not that nothing was recorded."""
    ledger = ledger_of([operation(1), event(2, "session_deleted", at=1)])
    page = words(sessions.page(ledger, frame(ledger, "sessions"), {}))

    assert "All sessions in memory are hidden by deletion" in page
    assert "Record a program" not in page


def test_nothing_recorded():
    """Where nothing is recorded yet the page says how to begin."""
    ledger = Ledger()

    assert "tachograph run your_agents.py" in sessions.page(ledger, frame(ledger, "sessions"), {})


@pytest.mark.parametrize(("text", "expected"), [("5", 5), ("", 7), (None, 7), ("-1", 7), ("²", 7), ("9" * 20, 7)])
def test_whole_numbers(text, expected):
    """What is no whole number is the one there would be without it."""
    assert expected == whole(text, 7)
