"""A session in a few lines, for a terminal."""

from __future__ import annotations

from hypothesis import given, settings

from support.records import SESSIONS, History, event, histories, ledger_of, operation
from tachograph import names
from tachograph.ledger import Ledger
from tachograph.summary import session_summary, summary


def test_nothing_recorded_is_nothing_said() -> None:
    """Where no work was recorded there is no summary, registrations and events notwithstanding."""
    assert summary(Ledger()) == ""
    assert summary(ledger_of([event(1, "agent_registered"), event(2, "message_added")])) == ""


def test_a_whole_session() -> None:
    """What ran, who handed over to whom, what it used and what went wrong, each on a line of its own."""
    ledger = ledger_of(
        [
            operation(1, "agent", "manager", took=3_210, attributes={names.RECOVERED: ("ParsingError",)}),
            *(
                operation(
                    number,
                    "agent",
                    "coder",
                    at=number,
                    took=100,
                    outcome="ok" if number > 2 else "error",
                    error_type="ValueError" if number == 2 else None,
                    attributes={names.NESTED: True, names.SWITCH_FROM: "manager"},
                )
                for number in (2, 3)
            ),
            operation(
                4,
                attributes={
                    names.INPUT_TOKENS: 12_000,
                    names.OUTPUT_TOKENS: 800,
                    names.CACHED_TOKENS: 1_500,
                    names.REASONING_TOKENS: 300,
                },
            ),
            operation(5, name="small", attributes={names.INPUT_TOKENS: 10, names.OUTPUT_TOKENS: 1}),
            operation(6, name="small", outcome="error"),
            operation(7, name="small", outcome="abandoned"),
            operation(8, "tool", "search", outcome="error"),
            operation(9, "tool", "search"),
            operation(10, "tool", "drop", outcome="refused"),
        ]
    )
    assert summary(ledger).splitlines() == [
        "Tachograph · session s · 3.21 s of agent time",
        "  agents    3 runs (coder ×2, manager ×1)",  # noqa: RUF001 - the multiplication sign is meant
        "  switches  2 (manager → coder ×2)",  # noqa: RUF001
        "  models    4 requests, 1 failed, 1 incomplete · tokens by model: gpt-4.1 12,800, small 11",
        "  tokens    12,811 = 12,010 in (1,500 cached) + 801 out (300 reasoning) · price unknown",
        "  tools     3 calls (search ×2 [1 failed], drop ×1 [1 refused])",  # noqa: RUF001
        "  errors    1 (coder: ValueError ×1) · recovered 1 (manager: ParsingError ×1)",  # noqa: RUF001
    ]


def test_a_session_without_agents_and_tools() -> None:
    """What there was none of is said to be none, and one is not written as many."""
    assert session_summary(ledger_of([operation(1)]).session_metrics("s")).splitlines() == [
        "Tachograph · session s · 0.00 s of agent time",
        "  agents    none",
        "  models    1 request · tokens by model: gpt-4.1 -",
        "  tokens    unknown · price unknown",
        "  tools     none",
        "  errors    0",
    ]


def test_usage_that_is_not_known_is_not_nothing() -> None:
    """Where one of two calls did not say what it used, figures are lower bounds and say whose calls are missing."""
    used = {names.INPUT_TOKENS: 1_000, names.OUTPUT_TOKENS: 10, names.COST: 0.0021}
    lines = summary(ledger_of([operation(1, attributes=used), operation(2)])).splitlines()
    assert "  models    2 requests · tokens by model: gpt-4.1 ≥ 1,010" in lines
    assert (
        "  tokens    ≥ 1,010 = 1,000 in + 10 out · ≥ 0.0021 USD, without calls of gpt-4.1 (price or tokens unknown)"
    ) in lines


def test_runs_that_were_cut_short_are_told() -> None:
    """A run that was interrupted or out of steps is no error, and is not passed over either."""
    ledger = ledger_of([operation(n, "agent", "a", outcome=how) for n, how in enumerate(("interrupted", "ok"), 1)])
    assert "  agents    2 runs (a ×2) · 1 interrupted" in summary(ledger).splitlines()  # noqa: RUF001


def test_a_tool_that_was_only_asked_about_was_not_used() -> None:
    """A tool that a human is still asked about was called no times, and is not named with those that were."""
    asked = operation(1, "approval", "rm", took=None, outcome=None)
    assert "  tools     none" in summary(ledger_of([asked, operation(2)])).splitlines()


def test_of_many_sessions_the_last_three_are_shown() -> None:
    """The sessions last active are shown, oldest first; of the rest their number and the tokens of all."""
    ledger = ledger_of(
        [operation(n, session=f"session-{n}", attributes={names.INPUT_TOKENS: 1_000}) for n in range(1, 6)]
    )
    lines = summary(ledger).splitlines()
    assert [line.split(" · ")[1] for line in lines if line.startswith("Tachograph")] == [
        "session session-3",
        "session session-4",
        "session session-5",
    ]
    assert lines[-1] == "… and 2 more sessions; 5,000 tokens in all"


def test_of_many_names_the_busiest_are_shown() -> None:
    """At most six names of a table are shown, those with the most first, then by name."""
    calls = [operation(10 * n + m, "tool", f"tool-{n}") for n in range(8) for m in range(n % 7 + 1)]
    (line,) = [line for line in summary(ledger_of(calls)).splitlines() if line.startswith("  tools")]
    shown = ["tool-6 ×7", "tool-5 ×6", "tool-4 ×5", "tool-3 ×4", "tool-2 ×3", "tool-1 ×2"]  # noqa: RUF001
    assert line == f"  tools     {len(calls)} calls ({', '.join(shown)})"


def test_a_name_cannot_break_out_of_its_line() -> None:
    """Names may be a model's invention: line breaks and terminal escapes in them are not obeyed."""
    name = "x\n\x1b[2Jy"
    ledger = ledger_of(
        [
            operation(1, "agent", name, outcome="error", error_type="E", attributes={names.SWITCH_FROM: name}),
            operation(2, "model", name),
            operation(3, "tool", name, outcome="refused"),
        ],
    )
    lines = summary(ledger).split("\n")
    assert len(lines) == 7
    assert [line for line in lines if not line.isprintable()] == []


@settings(max_examples=100)
@given(histories())
def test_every_session_that_worked_has_its_lines(history: History) -> None:
    """Whatever happened, a session that worked has six or seven lines that a terminal can show."""
    ledger = ledger_of(history.last())
    for session_id in SESSIONS:
        lines = session_summary(ledger.session_metrics(session_id)).split("\n")
        assert len(lines) == 6 + bool(ledger.session_metrics(session_id).switches)
        assert all(line.isprintable() for line in lines)
    there = [work for work in history.works if ledger.session_metrics(work.last.session_id).status != "deleted"]
    worked = any(work.last.kind in ("agent", "model", "tool") for work in there if work.ended) or any(
        work.last.kind in ("agent", "tool") for work in there
    )
    assert worked == bool(summary(ledger))
