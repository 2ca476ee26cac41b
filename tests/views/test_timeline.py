"""What happened when, inside what: every record in one place, whatever their parents say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from support.records import MOMENT, SECOND, SESSIONS, History, event, histories, identifier, ledger_of, operation
from tachograph import names
from tachograph.records import Operation
from tachograph.views.timeline import Timeline, TimelineEntry, timeline_view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.records import Record


def outline(records: Iterable[Record], **filters: Any) -> list[tuple[int, str]]:
    """Depth and name of each row."""
    return [(entry.depth, entry.name) for entry in timeline_view(records, **filters).entries]


RUN = [
    operation(1, "agent", "manager", at=0, took=1_000),
    operation(2, "model", "gpt-4.1", at=10, took=200, parent=1, attributes={names.INPUT_TOKENS: 1_200, names.STEP: 1}),
    operation(3, "agent", "coder", at=300, took=600, parent=1, agent="manager"),
    operation(4, "tool", "search", at=400, took=50, parent=3, outcome="error", error_type="KeyError"),
    event(1, "message_added", at=350, inside=3),
    operation(5, "tool", "final_answer", at=950, took=None, parent=1),
]


# --------------------------------------------------------------------------------------------------- the rows
def test_an_event_says_whom_it_is_about() -> None:
    """The row of a hand-over names both ends, that of a question or decision its tool."""
    events = [
        event(1, "agent_registered", at=1, agent_type="clerk"),
        event(2, "agent_switched", at=2, from_agent="boss", to_agent="clerk", reason="knows prices"),
        event(3, "agent_switched", at=3, to_agent="clerk"),
        event(4, "hitl_approval_requested", at=4, tool_name="write_file", call_id="c-1"),
        event(5, "hitl_decision_made", at=5, tool_name="write_file", decision="EDIT"),
        event(6, "message_added", at=6, role="user"),
    ]
    assert outline(events) == [
        (0, "agent_registered clerk"),
        (0, "agent_switched boss → clerk"),
        (0, "agent_switched clerk"),
        (0, "hitl_approval_requested write_file"),
        (0, "hitl_decision_made write_file EDIT"),
        (0, "message_added"),
    ]


def approval(number: int, took: float | None, **facts: Any) -> Operation:
    """An approval with ten seconds of time."""
    attributes = {names.HUMAN_WAIT: True, names.APPROVAL_TIMEOUT: 10.0, **facts}
    return operation(number, "approval", "write", at=number, took=took, attributes=attributes)


def test_an_approval_says_what_became_of_it() -> None:
    """A decided one names the decision, one that expired was over when its time was up, and others are waited for."""
    records = [
        approval(1, 5_000, **{names.APPROVAL_DECISION: "REJECT"}),
        approval(2, 60_000, **{names.APPROVAL_DECISION: "EXPIRED", names.APPROVAL_LATE: "APPROVE"}),
        approval(3, None),
        operation(4, "tool", "user_input", at=4, took=7_000, attributes={names.HUMAN_WAIT: True}),
        event(5, "hitl_decision_made", at=60_002, tool_name="write", decision="APPROVE", late=True),
    ]

    def rows(after_s: float) -> list[tuple[str | None, float | None]]:
        entries = timeline_view(records, moment_ns=MOMENT + round(after_s * SECOND)).entries
        return [(entry.human, entry.duration_ms) for entry in entries if entry.kind != "event"]

    over = [("REJECT", 5_000), ("EXPIRED", 10_000)]
    asked = ("waited for a human", 7_000)
    assert [*over, ("waiting for a human", None), asked] == rows(10)
    assert [*over, ("EXPIRED", 10_000), asked] == rows(70)
    assert "hitl_decision_made write APPROVE too late" in str(timeline_view(records))
    assert "waiting" not in str(timeline_view(records, moment_ns=MOMENT + 70 * SECOND))


def test_rows_are_nested_and_in_order_of_start() -> None:
    """Each row stands below what it happened in, the earlier one first, with its offset from the first start."""
    rows = [
        (entry.depth, entry.offset_ms, entry.duration_ms, entry.kind, entry.name)
        for entry in timeline_view(RUN).entries
    ]
    assert rows == [
        (0, 0, 1_000, "agent", "manager"),
        (1, 10, 200, "model", "gpt-4.1"),
        (1, 300, 600, "agent", "coder"),
        (2, 350, None, "event", "message_added"),
        (2, 400, 50, "tool", "search"),
        (1, 950, None, "tool", "final_answer"),
    ]


def test_what_a_row_says() -> None:
    """A row has the record's ids, kind, name, outcome, error, agent, step and tokens; an event has no others."""
    entries = {entry.id: entry for entry in timeline_view(RUN).entries}
    assert entries[identifier(2)] == TimelineEntry(
        offset_ms=10,
        duration_ms=200,
        depth=1,
        kind="model",
        name="gpt-4.1",
        outcome="ok",
        error_type=None,
        id=identifier(2),
        parent_id=identifier(1),
        agent=None,
        step=1,
        total_tokens=1_200,
    )
    assert entries["event-1"] == TimelineEntry(
        offset_ms=350,
        duration_ms=None,
        depth=2,
        kind="event",
        name="message_added",
        outcome=None,
        error_type=None,
        id="event-1",
        parent_id=identifier(3),
        agent=None,
        step=None,
        total_tokens=None,
    )
    assert (entries[identifier(4)].outcome, entries[identifier(4)].error_type) == ("error", "KeyError")
    assert entries[identifier(3)].agent == "manager"


def test_tokens_nobody_reported_are_none() -> None:
    """A row shows tokens where at least one count is known, a 0 included."""
    known = [{}, {names.INPUT_TOKENS: 0}, {names.OUTPUT_TOKENS: 3}, {names.INPUT_TOKENS: 4, names.OUTPUT_TOKENS: 3}]
    timeline = timeline_view([operation(n, at=n, attributes=facts) for n, facts in enumerate(known)])
    assert [entry.total_tokens for entry in timeline.entries] == [None, 0, 3, 7]


def test_a_stream_lasts_as_long_as_its_span() -> None:
    """On the timeline a stream lasts until its end, the time of its consumer included."""
    (entry,) = timeline_view([operation(1, took=900, attributes={names.ACTIVE_SECONDS: 0.1})]).entries
    assert entry.duration_ms == 900


def test_what_begins_at_the_same_moment_is_in_order_of_id() -> None:
    """Two readings of the same records give the same rows, in whatever order the records come."""
    records = [operation(n, name=f"m{n}") for n in (3, 1, 2)]
    assert outline(records) == [(0, "m1"), (0, "m2"), (0, "m3")] == outline(records[::-1])


def test_a_session_and_a_request_have_timelines_of_their_own() -> None:
    """Only the chosen session's or request's records have rows, and offsets count from the first of them."""
    records = [
        operation(1, name="a", at=0, session="s", request="r1"),
        operation(2, name="b", at=5, session="s", request="r2", parent=1),
        operation(3, name="c", at=9, session="t", request="r1"),
    ]
    assert outline(records) == [(0, "a"), (1, "b"), (0, "c")]
    assert outline(records, session_id="s") == [(0, "a"), (1, "b")]
    assert outline(records, session_id="s", correlation_id="r2") == [(0, "b")]
    assert outline(records, correlation_id="r1") == [(0, "a"), (0, "c")]
    assert timeline_view(records, session_id="t").entries[0].offset_ms == 0
    assert outline(records, session_id="x") == []


def test_a_row_whose_parent_is_unknown_is_outermost() -> None:
    """An operation or event whose parent is evicted, foreign or itself stands on its own."""
    records = [
        operation(1, name="orphan", at=0, parent=77),
        operation(2, name="child", at=1, parent=1),
        operation(3, name="own parent", at=2, parent=3),
        event(1, "message_added", at=3, inside=78),
    ]
    assert outline(records) == [(0, "orphan"), (1, "child"), (0, "own parent"), (0, "message_added")]


def test_parents_in_a_circle_lose_no_row() -> None:
    """Where operations are each other's parents the earliest of them is outermost, among the others by its start."""
    records = [
        operation(1, name="before", at=0),
        operation(2, name="b", at=6, parent=3),
        operation(3, name="a", at=5, parent=4),
        operation(4, name="c", at=7, parent=2),
        operation(5, name="inside", at=8, parent=4),
        event(1, "message_added", at=9, inside=2),
        operation(6, name="after", at=10),
    ]
    assert outline(records) == [
        (0, "before"),
        (0, "a"),
        (1, "b"),
        (2, "c"),
        (3, "inside"),
        (2, "message_added"),
        (0, "after"),
    ]


def test_a_deep_nesting_does_not_reach_the_recursion_limit() -> None:
    """Five thousand operations inside one another are five thousand rows."""
    deep = 5_000
    assert sys.getrecursionlimit() < deep
    records = [operation(n, "agent", "a", at=n, parent=n - 1 or None) for n in range(1, deep + 1)]
    assert list(range(deep)) == [entry.depth for entry in timeline_view(records).entries]


@settings(max_examples=150)
@given(histories(), st.data())
def test_every_record_has_one_row_below_its_parent(history: History, data: st.DataObject) -> None:
    """Whatever the parents, each record has exactly one row; rows of one parent are in order of their start."""
    records = history.last()
    operations = [record for record in records if isinstance(record, Operation)]
    if operations and data.draw(st.booleans()):
        anybody = st.sampled_from([*(record.id for record in operations), None])
        records = [  # parents that the recorder would never give: circles, oneself, younger ones
            record._replace(parent_id=data.draw(anybody)) if isinstance(record, Operation) else record
            for record in records
        ]
    entries = timeline_view(data.draw(st.permutations(records))).entries
    assert sorted(record.id for record in records) == sorted(entry.id for entry in entries)
    path: list[TimelineEntry] = []
    last_of: dict[tuple[str, ...], float] = {}
    for entry in entries:
        assert entry.depth <= len(path)
        del path[entry.depth :]
        if path:
            assert entry.parent_id == path[-1].id
        key = tuple(above.id for above in path)
        assert last_of.get(key, 0) <= entry.offset_ms
        last_of[key] = entry.offset_ms
        path.append(entry)
    if entries:
        assert min(entry.offset_ms for entry in entries) == 0


@settings(max_examples=50)
@given(histories())
def test_the_timeline_of_a_session_is_its_part_of_the_whole(history: History) -> None:
    """The rows of the sessions together are the rows of everything."""
    ledger = ledger_of(history.last())
    parts = [entry.id for session_id in (*SESSIONS, "") for entry in ledger.timeline(session_id=session_id).entries]
    assert sorted(entry.id for entry in ledger.timeline().entries) == sorted(parts)


# --------------------------------------------------------------------------------------------------- as text
def test_the_waterfall() -> None:
    """Offset, duration, bar, and what it was, indented; running work and events say so."""
    assert str(timeline_view(RUN)).splitlines() == [
        "       0 ms   1,000 ms  ████████████████████████  manager",
        "      10 ms     200 ms  █████                       model gpt-4.1  1,200 tokens",
        "     300 ms     600 ms         ███████████████      coder",
        "     350 ms                     ·                     message_added",
        "     400 ms      50 ms           ██                   tool search  error KeyError",
        "     950 ms    running                        ▒▒    tool final_answer",
    ]


def test_nothing_is_said_to_be_nothing() -> None:
    """The text of an empty timeline says that nothing was recorded."""
    assert (str(Timeline(())), str(timeline_view([]))) == ("nothing recorded", "nothing recorded")


def test_outcomes_are_shown_unless_all_is_well() -> None:
    """What ended well or has not ended shows no outcome, everything else does."""
    text = str(
        timeline_view(
            [
                operation(1, name="a", at=0),
                operation(2, name="b", at=1, outcome="abandoned"),
                operation(3, name="c", at=2, outcome="error", error_type="E"),
            ]
        )
    )
    assert [line.partition("model ")[2] for line in text.splitlines()] == ["a", "b  abandoned", "c  error E"]


def test_a_moment_has_a_bar_too() -> None:
    """What took no time, also where nothing took any, has a bar of one mark."""
    for records in ([operation(1, took=0)], [operation(1, took=0), operation(2, at=100, took=0)]):
        assert [line.count("█") for line in str(timeline_view(records)).splitlines()] == [1] * len(records)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.none() | st.integers(0, 10**9), st.text(max_size=8), st.integers(0, 5)),
        min_size=1,
        max_size=8,
    )
)
def test_columns_line_up_whatever_is_in_them(rows: list[tuple[int, int | None, str, int]]) -> None:
    """One line for each row, its bar in the same 24 columns, however long the session and odd the names."""
    timeline = timeline_view(
        [
            operation(n, "agent", name, at=at, took=took, parent=parent if 0 < parent < n else None)
            for n, (at, took, name, parent) in enumerate(rows, start=1)
        ]
    )
    lines = str(timeline).split("\n")
    assert len(rows) == len(lines) == len(str(timeline).splitlines())
    (first,) = {line.index(" ms ") for line in lines}
    bars = first + len(" ms ") + first + 2 + 2
    for line, entry in zip(lines, timeline.entries, strict=True):
        bar = line[bars : bars + 24].rstrip()
        assert set(bar.strip()) == {"▒" if entry.duration_ms is None else "█"}
        assert line[:bars].isprintable()
        assert line.isprintable()
        assert "█" not in line[:bars] + line[bars + 24 : bars + 26]
