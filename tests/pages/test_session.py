"""One session on a page."""

from __future__ import annotations

import re

import pytest

from support.pages import rows, words
from support.records import event, ledger_of, operation
from support.story import HOSTILE
from tachograph import figures, names
from tachograph.ledger import Ledger
from tachograph.pages import session
from tachograph.pages.frame import frame
from tachograph.pages.session import ROWS, UnknownSessionError


def shown(source, session_id, **asked) -> str:
    return session.page(source, frame(source, "sessions"), asked, session_id)


@pytest.mark.parametrize("session_id", ["chat-42", "chat-43", "f00d"])
def test_figures_are_those_of_the_view(source, session_id):
    """Tiles and tables have the figures that the session's figures have."""
    metrics, page = source.session_metrics(session_id), shown(source, session_id)
    said, table = words(page), rows(page)

    assert f"Requests {metrics.total_requests:,}" in said
    assert f"Tokens {metrics.total_tokens:,}" in said
    assert f"Cost {figures.cost(metrics.cost)}" in said
    assert f"Agent time {figures.duration(metrics.processing_duration_ms)}" in said
    assert f"Errors {metrics.errors:,}" in said
    for name, agent in metrics.agents.items():
        time_spent = figures.duration(agent["total_duration_ms"])
        counts = [f"{agent[key]:,}" for key in ("count", "success_count", "failure_count")]
        assert [*counts, time_spent] in [row[1:5] for row in table], name
    for name, model in metrics.tokens_by_model.items():
        keys = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")
        assert [name, *(f"{model[key]:,}" for key in keys)] in [row[:7] for row in table]
    for tool in metrics.tools.values():
        keys = ("requested", "completed", "failed", "refused", "requires_approval")
        assert [f"{tool[key]:,}" for key in keys] in [row[1:6] for row in table]


def test_the_timeline_is_the_views(source):
    """The waterfall has the rows of the timeline, in its order, each with what it took and its tokens."""
    timeline = source.timeline(session_id="chat-42")
    found = rows(shown(source, "chat-42").partition('class="waterfall"')[2].partition("</table>")[0])[1:]
    took = [None if entry.duration_ms is None else figures.duration(entry.duration_ms) for entry in timeline.entries]

    assert len(timeline.entries) == len(found)
    for entry, row, duration in zip(timeline.entries, found, took, strict=True):
        assert entry.name in row[0]
        assert duration in (None, row[2])
        assert ("" if entry.total_tokens is None else f"{entry.total_tokens:,}") == row[3]


def test_switches_and_decisions_are_marked(source):
    """A hand-over is marked where it happened, and a decision is shown with what was changed."""
    page = shown(source, "chat-42")

    assert "switch from boss to ↳ clerk" in words(page)
    assert "EDIT write_file" in words(page)
    assert re.search(r'class="gone".*?a\.py.*?class="new".*?b\.py', page, re.DOTALL)


def test_under_way(source):
    """What has not ended has an age that ticks; a call that hangs is said to, and so is who waits for a human."""
    page = shown(source, "chat-42")

    assert "approval write_file" in words(page)
    assert "waits for a human" in words(page)
    assert "no end in sight" in words(page)
    assert 4 == len(re.findall(r"data-since=\"\d{13}\"", page))


def test_an_expired_approval_is_not_under_way():
    """An approval whose time is up neither waits nor runs: the session is idle, the timeline says that it expired."""
    asked = {names.HUMAN_WAIT: True, names.APPROVAL_TIMEOUT: 5.0}
    ledger = ledger_of([operation(1, "approval", "rm", took=None, outcome=None, attributes=asked)])
    page = shown(ledger, "s")

    assert "idle" == ledger.session_metrics("s").status
    assert "approval rm EXPIRED" in words(page)
    assert "data-since" not in page
    assert "waiting" not in words(page)


def test_one_request(source):
    """A page of one request has the figures and the timeline of that request alone."""
    page = shown(source, "chat-42", correlation_id="request-1")

    assert "only request request-1" in words(page)
    assert "write_file" not in page


def test_long_timelines_come_in_parts():
    """A long timeline comes a part at a time, with the way to the next and back, along one line."""
    ledger = ledger_of([operation(n, at=n, took=1) for n in range(1, 2 * ROWS)])
    first, second = shown(ledger, "s"), shown(ledger, "s", offset=str(ROWS))

    assert [ROWS, ROWS - 1] == [page.count('<svg class="bar"') for page in (first, second)]
    assert f'rel="next" href="/session/s?offset={ROWS}#timeline"' in first
    assert 'rel="prev" href="/session/s#timeline"' in second


def test_content_is_shown_only_where_captured():
    """Messages of a call are there where they were captured; elsewhere nothing says that there might be any."""
    said = '[{"role":"user","parts":[{"type":"text","content":"sell <b>them</b>"}]}]'
    captured = shown(ledger_of([operation(1, attributes={names.INPUT_MESSAGES: said})]), "s")

    assert "Sent user sell <b>them</b>" in words(captured)
    assert "<b>them" not in captured
    assert "Messages" not in shown(ledger_of([operation(1)]), "s")


@pytest.mark.parametrize(
    "said", ["no JSON <i>", "[1, 2]", '[{"parts": "x"}]', '[{"role": [], "parts": [1, {}, null]}]', "{}"]
)
def test_content_of_any_shape(said):
    """Content that is of no known shape is shown as it is."""
    page = shown(ledger_of([operation(1, attributes={names.INPUT_MESSAGES: said, names.OUTPUT_MESSAGES: said})]), "s")

    assert "Answered" in page
    assert "<i>" not in page


def test_hostile_names(source):
    """Names are text: what would colour, mark up or turn around stands there as signs."""
    page = shown(source, "f00d")

    assert HOSTILE not in page
    assert "\N{REPLACEMENT CHARACTER}[31mred" in page
    assert "\u202e" not in page


def test_huge_names():
    """A name of a megabyte makes no page of a megabyte."""
    ledger = ledger_of([operation(n, "tool", "n" * 1_000_000, parent=n - 1) for n in range(1, 20)])

    assert len(shown(ledger, "s")) < 100_000


def test_what_is_not_known_is_said():
    """Detail that the bounds have dropped is told of beside the figures."""
    page = shown(ledger_of([operation(n, at=n) for n in range(1, 6)], max_requests=2), "s")

    assert "The oldest 3 requests are not kept in detail; the figures count them." in words(page)


def test_unknown():
    """A session that nobody has heard of, or a request it never had, is an error that names it."""
    with pytest.raises(UnknownSessionError, match="session 'nobody': there is none in memory"):
        shown(Ledger(), "nobody")
    with pytest.raises(UnknownSessionError):
        shown(ledger_of([operation(1)]), "s", correlation_id="other")


def test_an_event_alone():
    """A session of which there is nothing but an event is shown."""
    assert "session_created" in shown(ledger_of([event(1, "session_created")]), "s")


def test_runs_that_were_cut_short():
    """A run that was interrupted is told of beside the runs, and one agent is not said to switch between itself."""
    cut = operation(1, "agent", "a", outcome="interrupted")
    page = words(shown(ledger_of([cut, event(2, "agent_switched", from_agent="a", to_agent="b")]), "s"))

    assert "1 run 1 interrupted Tool calls" in page
    assert "Switches 1 Errors" in page
