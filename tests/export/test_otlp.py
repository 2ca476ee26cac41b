"""Records as OTLP: valid to others, bounded, and the same records when they are read back."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from opentelemetry.trace import format_span_id

import tachograph
from scripted_llm import ScriptedLLM
from support.answers import answers
from support.records import History, Written, event, histories, identifier, ledger_of, opened, operation, writings
from tachograph import codec, names
from tachograph.export import otlp_lines
from tachograph.guard import Guard
from tachograph.records import Event
from tachograph.sources.otlp import OtlpSource
from team_script import script

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tachograph.records import Record
    from tachograph.sources import Source
    from tachograph.testing import Capture


def read_back(lines: Iterable[str]) -> OtlpSource:
    """What somebody finds who is given the lines in a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "exported.jsonl"
        file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return OtlpSource(file, guard=Guard(strict=True))


def ended(history: History) -> list[Record]:
    return [record for record in history.last() if isinstance(record, Event) or record.end_ns is not None]


def messages(lines: Iterable[str], signal: str, field: str) -> Iterator[dict[str, Any]]:
    for line in lines:
        for resource in json.loads(line).get(f"resource{signal}", ()):
            for scope in resource[f"scope{signal}"]:
                yield from scope[field]


# ----------------------------------------------------------------------------------------------------- the law
@settings(max_examples=150)
@given(histories())
def test_what_was_exported_answers_as_the_ledger_did(history: History) -> None:
    """Of any history, the file's sessions, totals, audit log, timeline and records are those of what had ended."""
    found = read_back(otlp_lines(ledger_of(history.live())))

    assert answers(ledger_of(ended(history))) == answers(found)
    under_way = {work.last.session_id for work in history.works if work.ended is None}
    for session_id in found.sessions():
        metrics = found.session_metrics(session_id)
        expected = ["what was under way is not in the export"] if session_id in under_way else []
        assert (expected == [], expected) == (metrics.complete, metrics.reasons)


@settings(max_examples=200)
@given(writings())
def test_an_operation_of_any_kind_is_read_back_as_it_was(written: Written) -> None:
    """Of every kind, with every outcome and any facts, an operation goes to the file and back."""
    assert [written.record] == list(read_back(otlp_lines(ledger_of([written.record]))).records())


@settings(max_examples=50)
@given(histories(still_open=False))
def test_one_session_is_exported_by_itself(history: History) -> None:
    """The export of a session has that session and no other."""
    ledger = ledger_of(history.live())
    for session_id in ledger.sessions():
        found = read_back(otlp_lines(ledger, session_id))
        assert [session_id] == found.sessions()
        assert ledger.audit_log(session_id=session_id) == found.audit_log()
        assert ledger.timeline(session_id=session_id) == found.timeline(session_id=session_id)


def test_a_team_at_work_is_exported_whole(captured: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real run's export answers as the ledger that recorded it, and its spans are those the SDK was given."""
    import team  # noqa: PLC0415 - it imports tachograph.auto, which is to find the capture running

    with ScriptedLLM(script()) as llm:
        monkeypatch.setenv("OPENAI_BASE_URL", llm.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        with tachograph.session("quickstart", user_id="ada"):
            team.main()

    lines = list(otlp_lines(captured.ledger))
    found = read_back(lines)

    assert answers(captured.ledger, local=False) == answers(found)
    assert found.session_metrics("quickstart").complete
    assert llm.total_tokens == found.session_metrics("quickstart").total_tokens
    written = {span["spanId"]: span for span in messages(lines, "Spans", "spans")}
    kinds = {"INTERNAL": 1, "CLIENT": 3}
    assert {
        format_span_id(span.context.span_id): (
            span.name,
            kinds[span.kind.name],
            format_span_id(span.parent.span_id) if span.parent else None,
            str(span.start_time),
            str(span.end_time),
            dict(span.attributes),
        )
        for span in captured.spans
    } == {
        span_id: (
            span["name"],
            span["kind"],
            span.get("parentSpanId"),
            span["startTimeUnixNano"],
            span["endTimeUnixNano"],
            {pair["key"]: plain(pair["value"]) for pair in span["attributes"]},
        )
        for span_id, span in written.items()
    }


def plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return tuple(plain(item) for item in content["values"])
    return int(content) if kind == "intValue" else content


# ----------------------------------------------------------------------------------------------- what is not there
def test_what_is_under_way_is_left_out_and_said() -> None:
    """An operation that has not ended is in no file, and its session says so wherever it is read."""
    ledger = ledger_of([operation(1), opened(operation(2)), operation(3, session="other")])

    found = read_back(otlp_lines(ledger))

    assert {identifier(1), identifier(3)} == {record.id for record in found.records()}
    assert ["what was under way is not in the export"] == found.session_metrics("s").reasons
    assert [] == found.session_metrics("other").reasons
    assert ["what was under way is not in the export"] == found.total().reasons
    assert list(otlp_lines(ledger_of([opened(operation(1))]))) == []


def test_an_approval_that_expired_is_not_under_way() -> None:
    """An approval whose time is up is exported as expired, and nothing is said to be left out."""
    facts = {names.TOOL_CALL_ID: "c", names.TOOL_NAME: "rm", names.APPROVAL_TIMEOUT: 5.0}
    asked = operation(1, "approval", "rm", took=None, outcome=None, attributes=facts)
    found = read_back(otlp_lines(ledger_of([asked])))
    metrics = found.session_metrics(asked.session_id)

    assert (1, 0) == (metrics.hitl["rm"]["EXPIRED"], metrics.hitl["rm"]["pending"])
    assert ("idle", True) == (metrics.status, metrics.complete)


def test_what_was_evicted_is_said() -> None:
    """Records that a bound had pushed out before the export are missing from it, which each session says."""
    ledger = ledger_of([operation(number) for number in range(1, 6)], max_records=2)

    assert ["records evicted before the export, of whichever session: 3"] == (
        read_back(otlp_lines(ledger)).session_metrics("s").reasons
    )


def test_what_was_not_known_before_is_not_known_afterwards() -> None:
    """Reasons that a source has for a session are handed on by its export."""
    lines = [line.replace(names.EXPORT_GAPS, "lost") for line in otlp_lines(ledger_of([operation(2, parent=1)]))]
    from_spans: Source = read_back(lines)
    reasons = from_spans.session_metrics("s").reasons

    assert 2 == len(reasons)
    assert reasons == read_back(otlp_lines(from_spans)).session_metrics("s").reasons


def test_a_session_that_does_not_exist_has_no_lines() -> None:
    """Nothing is exported of nothing."""
    assert list(otlp_lines(ledger_of([operation(1)]), "nobody")) == []


# ------------------------------------------------------------------------------------------------------ the lines
def test_lines_are_bounded() -> None:
    """However many records there are and however large, a line has at most 500 of them and half a megabyte."""
    large = {names.TOOL_RESULT: "x" * 100_000, names.TOOL_NAME: "t"}
    small = [operation(number) for number in range(1, 1_202)]
    big = [operation(number, "tool", "t", attributes=large) for number in range(2_000, 2_020)]

    lines = list(otlp_lines(ledger_of([*small, *big])))

    sizes = [len(list(messages([line], "Spans", "spans"))) for line in lines]
    assert 1_221 == sum(sizes)
    assert 500 == max(sizes)
    assert 600_000 > max(map(len, lines))


def test_lines_are_made_as_they_are_asked_for() -> None:
    """The first line is there before the last record was looked at."""
    ledger = ledger_of([operation(number) for number in range(1, 2_000)])
    lines = otlp_lines(ledger)
    next(lines)
    assert next(lines)
    lines.close()


def test_a_record_without_a_trace_has_valid_ids_and_is_read_back_without() -> None:
    """Where no SDK was, all records of a request are in one made-up trace, which is none when it is read."""
    records = [operation(1, "agent", "a"), operation(2, parent=1), event(1, "message_added", inside=2)]
    lines = list(otlp_lines(ledger_of(records)))

    spans, logs = list(messages(lines, "Spans", "spans")), list(messages(lines, "Logs", "logRecords"))
    assert {codec.stand_in_trace("s", "r")} == {message["traceId"] for message in [*spans, *logs]}
    assert {32} == {len(message["traceId"]) for message in spans}
    assert sorted(records, key=repr) == sorted(read_back(lines).records(), key=repr)


def test_ids_of_another_shape_are_brought_into_the_right_one() -> None:
    """An id that is no span id becomes one, the same wherever it is mentioned."""
    outer = operation(1, "agent", "a")._replace(id="outer")
    inner = operation(2)._replace(parent_id="outer", trace_id="no trace id")

    first, second = messages(otlp_lines(ledger_of([outer, inner])), "Spans", "spans")

    assert first["spanId"] == second["parentSpanId"]
    assert [16, 16, 32] == [len(first["spanId"]), len(second["spanId"]), len(second["traceId"])]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        (None, None),
        (2**70, str(2**70)),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        ("\ud800 and \n", "\ud800 and \n"),
        (b"bytes", "b'bytes'"),
        ((), []),
    ],
    ids=str,
)
def test_any_payload_is_exported(value: Any, kept: Any) -> None:
    """What an event says is exported whatever it is, as near to itself as OTLP has it."""
    lines = list(otlp_lines(ledger_of([event(1, "message_added", value=value)])))

    assert all("\n" not in line and line.isascii() for line in lines)
    (found,) = read_back(lines).records()
    assert {"value": kept} == found.payload
