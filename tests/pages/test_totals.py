"""Everything together, on a page."""

from __future__ import annotations

from support.pages import rows, words
from support.records import event, ledger_of, operation
from tachograph import figures
from tachograph.ledger import Ledger
from tachograph.pages import totals
from tachograph.pages.frame import frame
from tachograph.pages.totals import matrix


def shown(source) -> str:
    return totals.page(source, frame(source, "totals"))


def test_figures_are_those_of_the_views(source):
    """Tiles and tables have the figures of everything that was recorded."""
    total, metrics, page = source.total(), source.metrics(), shown(source)
    table = [row[1:] for row in rows(page)]

    assert f"Requests {total.total_requests:,}" in words(page)
    assert f"Tokens {total.total_tokens:,}" in words(page)
    assert f"Switches {total.agent_switches:,}" in words(page)
    for agent in metrics.agent_processing.values():
        counts = [f"{agent[key]:,}" for key in ("count", "success_count", "failure_count")]
        assert [*counts, figures.duration(agent["total_duration_ms"]), ""] in table
    for tool in metrics.tool_executions.values():
        assert [f"{tool[key]:,}" for key in ("requested", "completed", "failed", "requires_approval")] in table


def test_what_became_of_questions(source):
    """The decisions of humans are a table with what expired and what is pending too."""
    assert ["write_file", "0", "0", "0", "0", "1"] in rows(shown(source))


def test_what_was_deleted_is_said_to_be_counted():
    """A session that was hidden counts in the figures and in no list, which the page says."""
    ledger = ledger_of([operation(1), event(2, "session_deleted", at=1), operation(3, session="other")])

    assert "Sessions 1 1 deleted, which these figures count Requests 2" in words(shown(ledger))


def test_who_hands_over_to_whom():
    """The matrix has a row and a column for each agent, and the most frequent hand-over is the darkest."""
    found = matrix({"a_to_b": 10, "b_to_a": 1, "a_to_c_to_d": 5}, {"a": {}, "b": {}, "c_to_d": {}})

    assert ["a", "b", "c_to_d"] == found["agents"]
    assert [("a", [(0, 0), (10, 5), (5, 3)]), ("b", [(1, 1), (0, 0), (0, 0)])] == found["rows"][:2]
    assert 0 == found["left_out"]


def test_many_agents():
    """Of very many agents those with most hand-overs are in the matrix, and the rest is counted."""
    found = matrix({f"a{n}_to_b{n}": n for n in range(1, 31)}, {})

    shown_ = sum(count for _, cells in found["rows"] for count, _ in cells)
    assert 16 == len(found["agents"])
    assert sum(range(1, 31)) == shown_ + found["left_out"]


def test_nothing():
    """Where nothing was recorded the page has zeros, no chart and no matrix."""
    page = shown(Ledger())

    assert "Requests 0" in words(page)
    assert "<figure" not in page
    assert "hands over" not in page


def test_one_run_cut_short():
    """One run is singular, and that it was interrupted is told beside it."""
    page = shown(ledger_of([operation(1, "agent", "a", outcome="interrupted")]))

    assert "1 run 1 interrupted Tool calls" in words(page)
