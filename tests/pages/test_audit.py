"""The audit log on a page."""

from __future__ import annotations

import re

import pytest

from support.pages import words
from support.records import event, ledger_of, operation
from tachograph import names
from tachograph.gist import told
from tachograph.pages import audit
from tachograph.pages.audit import SHOWN
from tachograph.pages.frame import frame
from tachograph.server.checking import Checked


def shown(source, checked=None, **asked) -> str:
    return audit.page(source, frame(source, "audit"), asked, checked)


def test_entries_are_those_of_the_view(source):
    """Every entry of the log is there once, the newest first, with its gist."""
    log = source.audit_log()[::-1]
    page = shown(source)

    assert [entry["event_type"] for entry in log[:SHOWN]] == re.findall(r'<td class="type [a-z]*"><bdi>(\w+)', page)
    for entry in log:
        if told(entry).isprintable() and entry["event_type"] != "hitl_decision_made":
            assert told(entry) in words(page)


@pytest.mark.parametrize(
    "filters",
    [
        {"session_id": "chat-43"},
        {"event_type": "agent_switched"},
        {"category": "hitl"},
        {"correlation_id": "request-1"},
        {"critical": "1"},
        {"since": "2026-01-17T13:01:00Z"},
        {"session_id": "chat-42", "category": "tool"},
    ],
)
def test_filters_are_those_of_the_view(source, filters):
    """Each filter leaves what it leaves of the log, and stands in the form again."""
    page = shown(source, **filters)
    expected = source.audit_log(**{**filters, **({"critical": True} if "critical" in filters else {})})

    assert len(expected) == len(re.findall(r'<td class="type', page)) > 0
    for value in filters.values():
        assert re.search(rf'value="{value}"|selected>{value}<|checked', page)


@pytest.mark.parametrize("since", ["2h", "45 s", "3w", "2026-01-17", "2026-01-17 13:00"])
def test_moments(source, since):
    """Since when is a moment, or how long ago, as people write it."""
    assert "is no moment" not in shown(source, since=since)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"since": "yesterday"}, "'yesterday' is no moment; write it like 2026-01-17"),
        ({"since": "0000-01-01"}, "is no moment"),
        ({"event_type": "<b>"}, "There is no type '<b>'."),
        ({"category": "x"}, "There is no category 'x'."),
    ],
)
def test_filters_that_are_none(source, filters, said):
    """A filter that cannot be met is said, and no entry is shown as if it had been."""
    page = shown(source, **filters)

    assert said in words(page)
    assert '<td class="type' not in page


def test_an_edit_is_a_difference(source):
    """What a human changed stands there as lines taken away and put in."""
    page = shown(source, category="hitl")

    assert re.search(r'class="gone".*?a\.py.*?class="new".*?b\.py', page, re.DOTALL)


def test_payloads():
    """The fields of an entry are there in full, content too where it was captured, and escaped."""
    facts = {names.TOOL_ARGUMENTS: '{"html":"<script>alert(1)</script>"}', names.TOOL_CALL_ID: "c1"}
    page = shown(ledger_of([operation(1, "tool", "save", attributes=facts)]), event_type="tool_execution_requested")

    assert 'arguments { "html": "<script>alert(1)</script>" }' in words(page)
    assert "<script>alert" not in page


def test_pages():
    """A long log comes a page at a time, the newest first, and the filters go along."""
    ledger = ledger_of([event(n, "message_added", at=n) for n in range(1, 251)])
    first, last = shown(ledger, category="session"), shown(ledger, category="session", offset=str(2 * SHOWN))

    assert [100, 50] == [page.count('<td class="type') for page in (first, last)]
    assert f'rel="next" href="/audit?category=session&amp;offset={SHOWN}"' in first
    assert 'rel="next"' not in last


@pytest.mark.parametrize(
    ("checked", "said"),
    [
        (None, "nobody can tell whether it was changed"),
        (Checked(), "Not checked yet Check now"),
        (Checked("running", "Every entry."), "Being checked … Every entry."),
        (
            Checked("whole", "5 entries", "2026-01-17T13:00:00Z"),
            "Whole 5 entries checked 2026-01-17 13:00:00 Check again",
        ),
        (Checked("failed", "gone"), "Could not be checked gone"),
    ],
)
def test_verification(source, checked, said):
    """The page says whether anybody has touched the log, as far as that is known, and of when that is."""
    assert said in words(shown(source, checked))


def test_nothing(source):
    """A filter that nothing meets says so and leads back."""
    assert "No such entries. Show all" in words(shown(source, session_id="nobody"))
