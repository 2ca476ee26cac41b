"""One contract for all sources: the same sessions give the same answers wherever they are kept."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tachograph
from scripted_llm import ScriptedLLM
from support.answers import log_of, sent
from support.records import MILLISECOND, MOMENT, SECOND, SESSIONS, deliveries, event, histories, ledger_of, operation
from support.stores import Delivery, store_of
from tachograph import names
from tachograph.export import otlp_lines
from tachograph.ledger import Ledger
from tachograph.listing import NEWEST, Wanted
from tachograph.sources import open_source
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.writer import Writer
from tachograph.testing import capture
from tachograph.views.audit import last_moment
from team_script import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tachograph.records import Record
    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics

LIMITS = (0, 1, 3, 20, None)
CATEGORIES = sorted({category for category, _ in names.EVENTS.values()})


# ------------------------------------------------------------------------------------------------- what is asked
def answers(source: Source) -> dict[str, Any]:
    """What a source says to every question of the contract, but for the filters of the log."""
    ids = sorted({record.session_id for record in source.records()})
    requests = sorted({(record.session_id, record.correlation_id or "") for record in source.records()})
    stats = source.stats()
    return {
        "session_count": [source.session_count(), source.session_count(deleted=True)],
        "session_list": [figures(metrics) for metrics in source.session_list()],
        "deleted too": [metrics.session_id for metrics in source.session_list(deleted=True)],
        "session_rows": [source.session_rows(wanted) for wanted in (NEWEST, Wanted(order="total_tokens"))],
        "sessions": source.sessions(),
        "session_metrics": {id_: figures(source.session_metrics(id_)) for id_ in [*ids, "nobody's"]},
        "requests": {request: figures(source.session_metrics(*request)) for request in requests},
        "metrics": source.metrics().to_dict(),
        "total": figures(source.total()),
        "audit_log": source.audit_log(),
        "timeline": source.timeline().to_dict(),
        "timelines": {id_: source.timeline(session_id=id_).to_dict() for id_ in ids},
        "of requests": {
            request: source.timeline(session_id=request[0], correlation_id=request[1]).to_dict() for request in requests
        },
        "records": told(source.records()),
        "of sessions": {id_: told(source.records(id_)) for id_ in [*ids, "nobody's"]},
        "open_operations": source.open_operations(),
        "stats": {name: stats[name] for name in ("sessions", "active_sessions", "open_operations", "records")},
    }


def figures(metrics: SessionMetrics) -> dict[str, Any]:
    """A session's figures; how far they are complete is what sources may differ in."""
    return {name: value for name, value in metrics.to_dict().items() if name not in ("complete", "reasons")}


def told(records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """Ended ones in order of arrival, and open ones, for which any order will do."""
    found = list(records)
    ended = list(itertools.takewhile(lambda record: getattr(record, "end_ns", 0) is not None, found))
    return ended, sorted(found[len(ended) :], key=lambda record: record.id)


def same(expected: Source, actual: Source) -> None:
    """Both give the same answers."""
    one, other = answers(expected), answers(actual)
    assert one.keys() == other.keys()
    for question, answer in one.items():
        assert answer == other[question], question


def pages(source: Source, size: int) -> list[list[str]]:
    """All sessions, page by page."""
    offsets = range(0, source.session_count() + size, size)
    return [[m.session_id for m in source.session_list(limit=size, offset=offset)] for offset in offsets]


# --------------------------------------------------------------------------------------------------- who is asked
@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as closing:
        yield closing


def kept_in_store(records: Sequence[Record], place: Path, stack: ExitStack) -> tuple[Ledger, Source]:
    """A source over a store which these were written to, in this order, by a writer that lives on."""
    return ledger_of(records), store_of([Delivery(0, tuple(records))], place / "store.db", stack)


def kept_in_file(records: Sequence[Record], place: Path, stack: ExitStack) -> tuple[Ledger, Source]:
    """A source over a file of OTLP which these were exported to: what had ended, in order of their ends."""
    ended = sorted((record for record in records if getattr(record, "end_ns", 0) is not None), key=last_moment)
    path = place / "exported.jsonl"
    path.write_text("".join(f"{line}\n" for line in otlp_lines(ledger_of(ended))), "utf-8")
    source = stack.enter_context(contextlib.closing(open_source(path)))
    return ledger_of(map(sent, ended)), source


KEEPERS: dict[str, Callable[[Sequence[Record], Path, ExitStack], tuple[Ledger, Source]]] = {
    "store": kept_in_store,
    "file": kept_in_file,
}
"""Ways to keep records other than in memory, and what memory would have of what they keep."""

TEAM = [
    operation(1, "agent", "manager", at=0, took=9_000),
    operation(2, parent=1, at=10, took=900, attributes={names.INPUT_TOKENS: 1_200, names.OUTPUT_TOKENS: 50}),
    event(1, "agent_registered", at=5, agent_type="coder"),
    operation(
        3,
        "agent",
        "coder",
        at=1_000,
        took=5_000,
        parent=1,
        outcome="error",
        error_type="ValueError",
        attributes={names.NESTED: True, names.SWITCH_FROM: "manager", names.SWITCH_TO: "coder"},
    ),
    operation(4, "tool", "search", at=1_100, took=50, parent=3, outcome="error", error_type="KeyError"),
    operation(5, "tool", "search", at=1_200, took=0, parent=3, outcome="refused", error_type="Unknown"),
    operation(6, "tool", "write_file", at=1_300, took=10, parent=3, outcome="interrupted"),
    operation(7, at=1_400, took=100, parent=3, outcome="error", error_type="TimeoutError", error_message="too slow"),
    operation(8, at=20_000, session="t", request="q", user_id="ada"),
    event(2, "message_added", at=21_000, session="t", request=None, role="user"),
    event(3, "hitl_decision_made", at=21_000, session="t", request="q", decision="APPROVE"),
    operation(9, "agent", "manager", at=22_000, took=None, session="u", request="p"),
    operation(10, "tool", "search", at=22_500, took=None, session="u", request="p", parent=9),
    event(4, "session_deleted", at=30_000, session="gone", request=None, by="ada"),
    operation(11, at=29_000, took=10, session="gone", request="o"),
    operation(12, at=500, took=None, session="gone", request="o"),
]
"""A bit of everything: failures, a refusal, a switch, a human, work under way, a deleted session."""


# ---------------------------------------------------------------------------------------------------------- the law
@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_bit_of_everything(keeper: str, tmp_path: Path, stack: ExitStack) -> None:
    """What memory says of a team at work, every other source says too."""
    ledger, source = KEEPERS[keeper](TEAM, tmp_path, stack)

    same(ledger, source)
    assert ["s", "t"] == source.sessions()[:2]
    assert source.session_list(deleted=True)[0].status == "deleted"
    for size in (1, 2, 3, 5):
        assert pages(ledger, size) == pages(source, size)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_every_filter_of_the_log(keeper: str, limit: int | None, tmp_path: Path, stack: ExitStack) -> None:
    """Each filter, alone and with each session, request and moment, chooses the same entries in the same order."""
    ledger, source = KEEPERS[keeper](TEAM, tmp_path, stack)
    filters: list[dict[str, Any]] = [
        {},
        *({"event_type": event_type} for event_type in names.EVENTS),
        *({"category": category} for category in CATEGORIES),
        *({"critical": critical} for critical in (True, False)),
        *({"critical": True, "category": category} for category in CATEGORIES),
        {"event_type": "agent_error", "category": "tool"},
    ]
    places: list[dict[str, Any]] = [
        {},
        *({"session_id": session_id} for session_id in ("s", "t", "u", "gone", "nobody's")),
        {"correlation_id": "r"},
        {"session_id": "t", "correlation_id": "q"},
        {"session_id": "s", "correlation_id": "q"},
        *({"since": (MOMENT + at * MILLISECOND) / SECOND} for at in (0, 1_100, 9_000, 21_000, 60_000)),
    ]
    for chosen in filters:
        for place in places:
            asked = {**chosen, **place, "limit": limit}
            assert ledger.audit_log(**asked) == source.audit_log(**asked), asked


@pytest.mark.parametrize(
    ("filters", "value"),
    [({"event_type": "lunch"}, "lunch"), ({"category": "x"}, "x"), ({"since": "then"}, "then"), ({"limit": -1}, "-1")],
)
@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_filter_that_is_none_is_refused(
    keeper: str, filters: dict[str, Any], value: str, tmp_path: Path, stack: ExitStack
) -> None:
    """A type, category, moment or limit that is none is an error that names it, wherever one asks."""
    for source in KEEPERS[keeper](TEAM, tmp_path, stack):
        with pytest.raises(ValueError, match=value):
            source.audit_log(**filters)


@pytest.mark.parametrize("keeper", KEEPERS)
def test_the_quickstart_recorded_live(
    keeper: str, tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real framework's team, recorded as it ran, reads the same from every source."""
    llm = stack.enter_context(ScriptedLLM(script()))
    monkeypatch.setenv("OPENAI_BASE_URL", llm.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    captured = stack.enter_context(capture(capture_content="span_and_event"))
    import team  # noqa: PLC0415 - it imports tachograph.auto, which is to find the capture running

    with tachograph.session("quickstart", user_id="ada"), tachograph.correlation("request"):
        team.main()
    ledger, source = KEEPERS[keeper](list(captured.ledger.records()), tmp_path, stack)

    same(ledger, source)
    assert figures(captured.ledger.session_metrics("quickstart")) == figures(source.session_metrics("quickstart"))
    assert log_of(captured.ledger, local=keeper == "store") == source.audit_log()
    assert llm.total_tokens == source.session_metrics("quickstart").total_tokens > 0
    assert source.session_metrics("quickstart", "request").total_requests == source.total().total_requests == 10


# ---------------------------------------------------------------------------------------------------- any history
@st.composite
def batches(draw: st.DrawFn, records: list[Record], writers: int) -> list[Delivery]:
    """The records in this order, cut into batches, each told to one of so many writers."""
    cuts = sorted(draw(st.lists(st.integers(0, len(records)), max_size=6)))
    return [
        Delivery(draw(st.integers(0, writers - 1)), tuple(records[start:end]))
        for start, end in itertools.pairwise([0, *cuts, len(records)])
    ]


_questions = st.fixed_dictionaries(
    {},
    optional={
        "session_id": st.sampled_from([*SESSIONS, "nobody's"]),
        "correlation_id": st.sampled_from([f"request-{number}" for number in range(6)]),
        "event_type": st.sampled_from(sorted(names.EVENTS)),
        "category": st.sampled_from(CATEGORIES),
        "critical": st.booleans(),
        "since": st.integers(0, 6_000).map(lambda at: (MOMENT + at * MILLISECOND) / SECOND),
        "limit": st.integers(0, 12),
    },
)


@pytest.mark.parametrize("writers", [1, 2])
@settings(max_examples=40)
@given(data=st.data())
def test_a_store_is_the_ledger(data: st.DataObject, writers: int) -> None:
    """Late, repeated, in any batches, by two writers at once: however records come, a store says what a ledger says."""
    history = data.draw(histories())
    records = data.draw(deliveries(history))
    told_so = data.draw(batches(records, writers))
    ledger = ledger_of(records)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        source = store_of(told_so, Path(folder) / "store.db", stack)

        same(ledger, source)
        for size in (1, 2):
            assert pages(ledger, size) == pages(source, size)
        for asked in data.draw(st.lists(_questions, max_size=8)):
            assert ledger.audit_log(**asked) == source.audit_log(**asked), asked


@settings(max_examples=20)
@given(data=st.data())
def test_a_source_is_asked_while_it_grows(data: st.DataObject) -> None:
    """After each batch that is stored the answers are those of what is stored by then."""
    records = data.draw(histories(max_size=8)).live()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "store.db"
        writer = stack.enter_context(contextlib.closing(Writer(path)))
        source = stack.enter_context(contextlib.closing(SqliteSource(path)))
        ledger, under_way = Ledger(), dict[str, Any]()
        for record in records:
            ledger.apply(record)
            ends = getattr(record, "end_ns", 0) is not None
            under_way.pop(record.id, None) if ends else under_way.update({record.id: record})
            writer.append([record] if ends else [], under_way.values())

            same(ledger, source)
