"""Sessions from files of OTLP: in whatever form, damaged or not, as complete as they can be known to be."""

from __future__ import annotations

import base64
import gzip
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from support.answers import answers
from support.otlp_receiver import OtlpReceiver
from support.programs import Programs
from support.records import event, identifier, ledger_of, operation
from tachograph import names
from tachograph.export import otlp_lines
from tachograph.guard import Guard
from tachograph.sources import SourceError
from tachograph.sources.otlp import OtlpSource, files

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tachograph.records import Record

EXAMPLES = Path(__file__).parents[2] / "examples"
SPANS_ONLY = "read from spans: events that had no span are not known"


def source(*paths: Path) -> OtlpSource:
    return OtlpSource(*paths, guard=Guard(strict=True))


def missing(count: int) -> str:
    return f"spans told of that are not there (sampled out, not ended, or recorded elsewhere): {count}"


def foreign(count: int) -> str:
    return f"spans of other instrumentations, which are passed over: {count}"


# --------------------------------------------------------------------------------------- files, from JSON lines
def requests(*records: Record, told: bool = True) -> list[dict[str, Any]]:
    """Records as requests; untold they look as a program's own, which says nothing of what is not there."""
    found = [json.loads(line) for line in otlp_lines(ledger_of(records))]
    if not told:
        for request in found:
            for resource in (*request.get("resourceSpans", ()), *request.get("resourceLogs", ())):
                resource["resource"] = {"attributes": [{"key": "service.name", "value": {"stringValue": "app"}}]}
    return found


def as_lines(documents: list[Any]) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def as_messages(documents: list[Any]) -> list[bytes]:
    """The same requests in protobuf."""
    return [message(document).SerializeToString() for document in documents]


def message(document: dict[str, Any]) -> Any:
    kind = next(iter(document))
    made = {"resourceSpans": TracesData, "resourceLogs": LogsData, "resourceMetrics": MetricsData}[kind]()
    return json_format.ParseDict(with_ids(document, to_base64), made)


def prefixed(messages: list[bytes]) -> bytes:
    return b"".join(len(each).to_bytes(4, "big") + each for each in messages)


def with_ids(value: Any, change: Callable[[str], str]) -> Any:
    """A document with its ids in another spelling."""
    if isinstance(value, list):
        return [with_ids(item, change) for item in value]
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {key: change(item) if key in ids else with_ids(item, change) for key, item in value.items()}
    return value


def to_base64(hex_id: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_id)).decode()


def to_hex(base64_id: str) -> str:
    return base64.b64decode(base64_id).hex()


def snake(value: Any) -> Any:
    """A document with underscores in the names of its fields."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if isinstance(value, dict):
        return {
            "".join(f"_{char.lower()}" if char.isupper() else char for char in key): snake(item)
            for key, item in value.items()
        }
    return value


def numbers(value: Any) -> Any:
    """A document with 64-bit numbers as numbers, and enumerations as words."""
    if isinstance(value, list):
        return [numbers(item) for item in value]
    if isinstance(value, dict):
        found = {
            key: int(item) if key in ("intValue", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano") else item
            for key, item in value.items()
        }
        if "spanId" in found and "kind" in found:
            found["kind"] = "SPAN_KIND_CLIENT"
        if found.get("code") == 2:
            found["code"] = "STATUS_CODE_ERROR"
        return {key: numbers(item) for key, item in found.items()}
    return value


RECORDS = [
    operation(
        1,
        "agent",
        "manager",
        took=5_000,
        outcome="error",
        error_type="ValueError",
        error_message="it broke — ü",
        trace_id=f"{0xABC:032x}",
        user_id="ada",
        attributes={names.AGENT_NAME: "manager", names.RECOVERED: ("A", "B")},
    ),
    operation(
        2,
        at=10,
        parent=1,
        agent="manager",
        trace_id=f"{0xABC:032x}",
        attributes={names.INPUT_TOKENS: 2**40, names.OUTPUT_TOKENS: 7, names.ACTIVE_SECONDS: 0.25},
    ),
    operation(3, "tool", "search", at=20, parent=1, outcome="refused", took=0, error_type="ToolError"),
    operation(4, "tool", "search", at=30, session="other", attributes={names.HUMAN_WAIT: True}),
    event(1, "agent_registered", agent_type="manager", tools=["a", "b"], nothing=None, more={"deep": [1, 0.5]}),
    event(2, "agent_switched", at=40, session="other", from_agent="a", to_agent="b", inside=4),
]
METRICS = {
    "resourceMetrics": [
        {
            "resource": {},
            "scopeMetrics": [
                {"scope": {"name": "x"}, "metrics": [{"name": "a", "sum": {"dataPoints": [{"asInt": "1"}]}}]}
            ],
        }
    ]
}
DOCUMENTS = requests(*RECORDS)
MIXED = [METRICS, *DOCUMENTS, METRICS]
FORMS: dict[str, bytes] = {
    "json lines": as_lines(DOCUMENTS),
    "json lines with metrics, blanks and CRLF": as_lines(MIXED).replace(b"\n", b"\r\n\r\n"),
    "json lines without the last line's end": as_lines(DOCUMENTS).rstrip(),
    "json lines with a mark before them": b"\xef\xbb\xbf" + as_lines(DOCUMENTS),
    "a document": json.dumps({key: value for each in DOCUMENTS for key, value in each.items()}).encode(),
    "a document on many lines": json.dumps({k: v for each in DOCUMENTS for k, v in each.items()}, indent=2).encode(),
    "an array": json.dumps(MIXED).encode(),
    "an array on many lines": json.dumps(MIXED, indent=1).encode(),
    "parts of requests": as_lines([part for each in DOCUMENTS for parts in each.values() for part in parts]),
    "a trace store's answer": as_lines(
        [{"batches": each["resourceSpans"]} if "resourceSpans" in each else each for each in DOCUMENTS]
    ),
    "ids in base64": as_lines(with_ids(DOCUMENTS, to_base64)),
    "ids in base64 without padding": as_lines(with_ids(DOCUMENTS, lambda id_: to_base64(id_).rstrip("="))),
    "ids in capitals": as_lines(with_ids(DOCUMENTS, str.upper)),
    "names with underscores": as_lines(snake(DOCUMENTS)),
    "numbers as numbers": as_lines(numbers(DOCUMENTS)),
    "everything twice": as_lines(DOCUMENTS) * 2,
    "protobuf with lengths": prefixed(as_messages(MIXED)),
}


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_answers(tmp_path: Path, form: str, compressed: bool) -> None:  # noqa: FBT001 - a case
    """Whatever form records were written in, and gzipped or not, they are read back as they were."""
    file = tmp_path / "whatever.name"
    file.write_bytes(gzip.compress(FORMS[form]) if compressed else FORMS[form])

    found = source(file)

    assert answers(ledger_of(RECORDS)) == answers(found)
    assert (0, []) == (found.stats()["bad"], found.stats()["unfinished"])
    assert found.session_metrics("s").complete


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_a_single_message_of_each_signal(tmp_path: Path, compressed: bool) -> None:  # noqa: FBT001 - a case
    """One request in protobuf is a file; spans and logs in two files, or in a folder of them, are read as one."""
    spans, logs, metrics = (tmp_path / name for name in ("spans", "logs", "metrics"))
    for file, content in zip((spans, logs, metrics), as_messages([*DOCUMENTS, METRICS]), strict=True):
        file.write_bytes(gzip.compress(content) if compressed else content)

    assert answers(ledger_of(RECORDS)) == answers(source(spans, logs, metrics)) == answers(source(tmp_path))
    assert f"{spans}, {logs}" == source(spans, logs).place
    assert 3 == source(tmp_path).stats()["files"]


def test_values_of_every_type(tmp_path: Path) -> None:
    """Attributes of each type OTLP has are read, from JSON and from protobuf alike."""
    values = {
        "text": {"stringValue": "a"},
        "whole": {"intValue": "-5"},
        "number": {"doubleValue": 0.5},
        "not finite": {"doubleValue": "-Infinity"},
        "yes": {"boolValue": True},
        "bytes": {"bytesValue": "AAE="},
        "list": {"arrayValue": {"values": [{"intValue": "1"}, {}]}},
        "table": {"kvlistValue": {"values": [{"key": "k", "value": {"arrayValue": {}}}]}},
        "nothing": {},
    }
    document = requests(event(1, "message_added"))[0]
    record = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    record["attributes"] += [{"key": key, "value": value} for key, value in values.items()]
    expected = {
        "text": "a",
        "whole": -5,
        "number": 0.5,
        "not finite": float("-inf"),
        "yes": True,
        "bytes": "AAE=",
        "list": [1, None],
        "table": {"k": []},
        "nothing": None,
    }
    for content in (as_lines([document]), as_lines([snake(document)]), prefixed(as_messages([document]))):
        file = tmp_path / "values"
        file.write_bytes(content)
        assert [expected] == [dict(found.payload) for found in source(file).records()]


# ------------------------------------------------------------------------------------------ what others exported
@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Any]]:
    """What the example team's ledger says of its run, and the requests its real SDK sent over a socket."""
    programs = Programs(tmp_path_factory.mktemp("team"))
    with OtlpReceiver() as receiver:
        done = programs.python(
            f"""
            import os
            import sys

            sys.path[:0] = [{str(EXAMPLES)!r}, {str(EXAMPLES.parent / "tests")!r}]
            import tachograph.auto
            from scripted_llm import ScriptedLLM
            from support.answers import answers
            from team import main
            from team_script import script
            from told import tell

            with ScriptedLLM(script()) as llm:
                os.environ |= {{"OPENAI_BASE_URL": llm.base_url, "OPENAI_API_KEY": "none"}}
                with tachograph.session("team", user_id="ada"):
                    main()
            from tachograph import runtime
            tell(answers=answers(runtime.current().ledger), bill=llm.total_tokens)
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_endpoint,
        )
        assert (done.code, done.stderr) == (0, "")
        return done.told, receiver.requests


def in_json(request: Any, *, hex_ids: bool) -> str:
    document = json_format.MessageToDict(request)
    return json.dumps(with_ids(document, to_hex) if hex_ids else document) + "\n"


def written(request_list: list[Any], file: Path, form: str) -> Path:
    if form == "protobuf":
        file.write_bytes(prefixed([request.SerializeToString() for request in request_list]))
    else:
        lines = (in_json(request, hex_ids=form == "json") for request in request_list)
        file.write_text("".join(lines), "utf-8")
    return file


@pytest.mark.parametrize("form", ["protobuf", "json", "json with ids in base64"])
def test_a_real_export_answers_as_the_ledger_did(tmp_path: Path, exported: Any, form: str) -> None:
    """Spans and logs that a real SDK sent give the figures, audit log, timeline and records of the program's ledger."""
    told, sent = exported
    found = source(written(sent, tmp_path / "sent", form))

    assert told["answers"] == answers(found)
    assert told["bill"] == found.session_metrics("team").total_tokens > 0
    metrics = found.session_metrics("team")
    # The client library's own spans are none of ours; there are none here.
    assert (True, []) == (metrics.complete, metrics.reasons)


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_a_real_export_of_spans_alone_says_what_is_not_known(tmp_path: Path, exported: Any, form: str) -> None:
    """From the spans alone the figures are the same, events without a span are missing, and the session says so."""
    told, sent = exported
    spans = [request for request in sent if type(request).__name__ == "ExportTraceServiceRequest"]
    found = source(written(spans, tmp_path / "sent", form))

    expected = told["answers"]
    got = answers(found)
    assert expected["total"]["tokens_by_model"] == got["total"]["tokens_by_model"]
    assert expected["sessions"]["team"]["metrics"] | {"first_seen": 0} == (
        got["sessions"]["team"]["metrics"] | {"first_seen": 0}  # which was a registration
    )
    assert [entry for entry in expected["audit_log"] if entry["event_type"] != "agent_registered"] == got["audit_log"]
    assert [SPANS_ONLY] == found.session_metrics("team").reasons
    assert not found.session_metrics("team").complete
    assert not found.total().complete


# ------------------------------------------------------------------------------------------- what is not there
def write(tmp_path: Path, *documents: Any) -> Path:
    file = tmp_path / "file.jsonl"
    file.write_bytes(as_lines(list(documents)))
    return file


def test_logs_of_the_same_program_make_its_sessions_complete(tmp_path: Path) -> None:
    """Where a program's logs are there, its sessions are complete; those of another program are not."""
    ours, theirs = requests(operation(1), told=False), requests(operation(2, session="theirs"), told=False)
    logs = requests(event(1, "message_added"), told=False)
    theirs[0]["resourceSpans"][0]["resource"] = {}

    found = source(write(tmp_path, *ours, *theirs, *logs))

    assert [] == found.session_metrics("s").reasons
    assert [SPANS_ONLY] == found.session_metrics("theirs").reasons == found.total().reasons


def test_spans_that_are_told_of_are_missed(tmp_path: Path) -> None:
    """A parent in the same process, or the span of a log event, that is nowhere to be found is said to be missing."""
    documents = requests(
        operation(1, "agent", "a", trace_id=f"{1:032x}"),
        operation(2, parent=1, trace_id=f"{1:032x}"),
        operation(3, parent=77, trace_id=f"{1:032x}"),
        operation(4, parent=78, session="remote", trace_id=f"{1:032x}"),
        event(1, "message_added", inside=1),
        event(2, "message_added", inside=79, session="logs"),
        told=False,
    )
    for span in documents[0]["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        if span["spanId"] == identifier(4):
            span["flags"] = 0x301

    found = source(write(tmp_path, *documents))

    reasons = {session_id: found.session_metrics(session_id).reasons for session_id in ("s", "logs", "remote")}
    assert {"s": [missing(1)], "logs": [missing(1)], "remote": []} == reasons
    assert [missing(2)] == found.total().reasons


def test_a_log_event_tells_of_the_run_it_repeats(tmp_path: Path) -> None:
    """A switch whose run was sampled out is known to be missing, and is not counted from its log event."""
    documents = requests(operation(1, "agent", "a"), event(1, "message_added"), told=False)
    record = documents[1]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    record["eventName"] = "tachograph.agent_switched"
    record["attributes"].append({"key": names.OPERATION_ID, "value": {"stringValue": identifier(5)}})

    metrics = source(write(tmp_path, *documents)).session_metrics("s")

    assert (0, [missing(1)]) == (metrics.agent_switches, metrics.reasons)


def test_spans_of_others_are_passed_over_and_said(tmp_path: Path) -> None:
    """Spans of another scope count nothing; a session they are stamped with says how many there are."""
    documents = requests(operation(1, parent=2), operation(2, session="s"), operation(3, session="x"), told=False)
    scopes = documents[0]["resourceSpans"][0]["scopeSpans"]
    theirs = [span for span in scopes[0]["spans"] if span["spanId"] != identifier(1)]
    scopes[0]["spans"] = [span for span in scopes[0]["spans"] if span["spanId"] == identifier(1)]
    scopes.append({"scope": {"name": "httpx"}, "spans": [*theirs, {**theirs[0], "attributes": []}]})

    found = source(write(tmp_path, *documents))

    assert [SPANS_ONLY, foreign(1)] == found.session_metrics("s").reasons
    assert (1, 3) == (found.stats()["spans"], found.stats()["foreign_spans"])
    assert 1 == found.total().total_requests
    assert [SPANS_ONLY, foreign(2)] == found.total().reasons
    assert ["s"] == found.sessions()


def test_a_session_nobody_knows_is_zeros(tmp_path: Path) -> None:
    """Asked for a session that is not in the files, the answer is that of every source."""
    found = source(write(tmp_path, *requests(operation(1), told=False)))

    assert ledger_of([]).session_metrics("nobody") == found.session_metrics("nobody")


def test_the_session_last_active_is_last_whatever_order_lines_are_in(tmp_path: Path) -> None:
    """Sessions are ordered by when something last happened in them, not by when a batch was sent."""
    early, late = requests(operation(1, session="early")), requests(operation(2, session="late", at=9_000))

    found = source(write(tmp_path, *late, *early))

    assert ["early", "late"] == found.sessions()
    assert ["late", "early"] == [metrics.session_id for metrics in found.session_list()]
    assert 2 == found.session_count()


def test_nothing_is_evicted(tmp_path: Path) -> None:
    """More sessions, requests and names than a live ledger keeps are all there."""
    records = [operation(number, name=f"m{number}", session=f"s{number}") for number in range(1, 1_500)]
    records += [operation(number, "tool", "t", session="s1") for number in range(2_000, 2_300)]

    found = source(write(tmp_path, *requests(*records)))

    assert (1_499, 1_499) == (found.session_count(), len(found.total().tokens_by_model))
    assert {0} == set(found.stats()["evicted"].values())
    assert len(records) == len(list(found.records()))
    found.close()


def test_an_operation_without_an_end_is_under_way(tmp_path: Path) -> None:
    """A span that has no end is an open operation until another says how it ended."""
    documents = requests(operation(1), operation(2))
    unended = json.loads(json.dumps(documents))
    for span in unended[0]["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        del span["endTimeUnixNano"]

    alone, both = source(write(tmp_path, *unended)), None
    assert [identifier(1), identifier(2)] == [open_.id for open_ in alone.open_operations()]
    for order in ([*unended, *documents], [*documents, *unended]):
        both = source(write(tmp_path, *order))
        assert [] == both.open_operations()
        assert 2 == both.total().successful_requests


# --------------------------------------------------------------------------------------------------- damaged files
def test_a_bad_line_costs_itself_only(tmp_path: Path) -> None:
    """Lines and parts of lines that cannot be read are counted and named; everything beside them is there."""
    good = requests(operation(1), operation(2))[0]
    broken = json.loads(json.dumps(good))
    spans = broken["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[0] |= {"spanId": "xyz"}
    spans[1] |= {"spanId": identifier(3)}
    lines = [b"", json.dumps(good).encode(), b"{not json", b'"text"', b'{"a": 1}', json.dumps(broken).encode(), b"{}"]
    file = tmp_path / "file.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")

    found = source(file)

    assert {identifier(number) for number in (1, 2, 3)} == {record.id for record in found.records()}
    problems = [
        "line 3: is no JSON: b'{not json\\n'",
        "line 4: is 'text', where an OTLP request (resourceSpans or resourceLogs) is expected",
        "line 5: is an object with 'a', where an OTLP request (resourceSpans or resourceLogs) is expected",
        "line 6: span 1: 'xyz' is no id of 16 hex digits",
    ]
    assert [f"{file}, {problem}" for problem in problems] == found.stats()["problems"]
    assert 4 == found.stats()["bad"]
    metrics = found.session_metrics("s")
    assert [f"could not be read: {file}, {problem}" for problem in problems] == metrics.reasons
    assert not metrics.complete


def test_a_flood_of_bad_lines_is_counted(tmp_path: Path) -> None:
    """Of very many bad lines the first are named and the others counted."""
    file = tmp_path / "file.jsonl"
    file.write_bytes(b"x\n" * 1_000 + as_lines(DOCUMENTS))
    file.write_bytes(as_lines(DOCUMENTS) + b"x\n" * 1_000)

    found = source(file)

    assert (1_000, 20) == (found.stats()["bad"], len(found.stats()["problems"]))
    assert "could not be read: … 980 more" == found.total().reasons[-1]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no ids": ({"traceId": ""}, "has no trace id or no span id"),
    "zeros for an id": ({"spanId": "0" * 16}, "has no trace id or no span id"),
    "an id that is a number": ({"spanId": 5}, "5 is no id of 16 hex digits"),
    "a moment that is none": ({"startTimeUnixNano": "now"}, "'now' is no whole number"),
    "a moment before the epoch": ({"startTimeUnixNano": "-1"}, "'-1' is no moment in nanoseconds since 1970"),
    "a moment that is too large": (
        {"endTimeUnixNano": 2**64},
        f"{2**64} is no moment in nanoseconds since 1970",
    ),
    "a name that is none": ({"name": []}, "a list is no text"),
    "attributes that are none": ({"attributes": {}}, "attributes are a dict, no list"),
    "an attribute that is none": ({"attributes": [1]}, "an attribute is 1, no object"),
    "a value that is none": ({"attributes": [{"key": "a", "value": "b"}]}, "an attribute's value is 'b', no object"),
    "a whole number that is none": (
        {"attributes": [{"key": "a", "value": {"intValue": "1.5"}}]},
        "'1.5' is no whole number",
    ),
    "a whole number that is too large": (
        {"attributes": [{"key": "a", "value": {"intValue": str(2**63)}}]},
        f"'{2**63}' is no whole number of 64 bits",
    ),
    "a number that is none": ({"attributes": [{"key": "a", "value": {"doubleValue": []}}]}, "a list is no number"),
    "a number that is words": ({"attributes": [{"key": "a", "value": {"doubleValue": "x"}}]}, "'x' is no number"),
    "a yes that is none": (
        {"attributes": [{"key": "a", "value": {"boolValue": "maybe"}}]},
        "'maybe' is neither true nor false",
    ),
    "bytes that are none": ({"attributes": [{"key": "a", "value": {"bytesValue": "ä"}}]}, "'ä' is no base64"),
    "a kind that is none": ({"kind": [1]}, "a list is no whole number"),
    "a status that is none": ({"status": 1}, "status is 1, no object"),
    "an event that is none": ({"events": [1]}, "an event is 1, no object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_span_costs_itself_only(tmp_path: Path, fault: str) -> None:
    """A span with a fault is counted, with the fault in words, and the span beside it is there."""
    change, words = FAULTS[fault]
    documents = requests(operation(1), operation(2))
    documents[0]["resourceSpans"][0]["scopeSpans"][0]["spans"][0] |= change
    file = write(tmp_path, *documents)

    found = source(file)

    assert [f"{file}, line 1: span 1: {words}"] == found.stats()["problems"]
    assert [identifier(2)] == [record.id for record in found.records()]


def test_bad_parts_around_spans_cost_as_little_as_they_can(tmp_path: Path) -> None:
    """A resource, a scope or a list that is none of its kind takes only what is in it along."""
    document = requests(operation(1))[0]
    resource = document["resourceSpans"][0]
    resource |= {"resource": 5, "scopeSpans": [6, {"spans": 7}, {"scope": 8}, *resource["scopeSpans"]]}
    file = write(
        tmp_path, {"resourceSpans": [9, resource]}, {"resourceSpans": 10}, {"resourceLogs": [{"scopeLogs": 11}]}
    )

    found = source(file)

    assert [identifier(1)] == [record.id for record in found.records()]
    assert [
        "line 1: a resource's part is 9, no object",
        "line 1: resource: it is 5, no object",
        "line 1: a scope's part is 6, no object",
        "line 1: spans are 7, no list",
        "line 1: scope is 8, no object",
        "line 2: resources are 10, no list",
        "line 3: scopes are 11, no list",
    ] == [problem.removeprefix(f"{file}, ") for problem in found.stats()["problems"]]


def test_values_nested_without_end_are_a_fault(tmp_path: Path) -> None:
    """Neither a value nor a line that is nested ever deeper is more than one bad record."""
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(40):
        value = {"arrayValue": {"values": [value]}}
    documents = requests(operation(1), operation(2))
    documents[0]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = [{"key": "a", "value": value}]
    file = tmp_path / "file.jsonl"
    file.write_bytes(as_lines(documents) + b"[" * 200_000 + b"\n" + b'{"resourceSpans":' * 50_000 + b"\n")

    found = source(file)

    assert [identifier(2)] == [record.id for record in found.records()]
    assert 3 == found.stats()["bad"]
    assert "line 1: span 1: an attribute is nested deeper than 32 levels" in found.stats()["problems"][0]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", ["json lines", "protobuf with lengths"])
def test_a_writer_at_work_is_no_error(tmp_path: Path, form: str, compressed: bool) -> None:  # noqa: FBT001 - a case
    """Cut at any byte, a file gives the records before the cut, nothing is bad, and it is said to be unfinished."""
    content = gzip.compress(FORMS[form]) if compressed else FORMS[form]
    whole = {record.id for record in ledger_of(RECORDS).records()}
    file = tmp_path / "cut"
    complete = 0
    for size in {*range(60, len(content) - 1, 97), len(content) - 2, len(content) - 5}:
        file.write_bytes(content[:size])
        found = source(file)
        assert 0 == found.stats()["bad"]
        assert whole >= {record.id for record in found.records()}
        complete += found.stats()["unfinished"] == []
    assert complete <= 2  # where the cut is between two records


def test_a_line_that_is_too_long_costs_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the limit is passed over without being held, and counted."""
    monkeypatch.setattr(files, "LIMIT", 10_000)
    file = tmp_path / "file.jsonl"
    file.write_bytes(
        as_lines(requests(operation(1))) + b'"' + b"x" * 50_000 + b'"\n' + as_lines(requests(operation(2)))
    )

    found = source(file)

    assert [f"{file}, line 2: is longer than 10,000 bytes"] == found.stats()["problems"]
    assert {identifier(1), identifier(2)} == {record.id for record in found.records()}


def test_a_length_that_is_too_large_ends_the_reading(tmp_path: Path) -> None:
    """After a length that cannot be one nothing can be found again, which is said."""
    file = tmp_path / "file.pb"
    file.write_bytes(prefixed(as_messages(DOCUMENTS)) + b"\xff" * 100)

    found = source(file)

    assert answers(ledger_of(RECORDS)) == answers(found)
    assert [f"{file}, record 3: says it has 4,294,967,295 bytes; nothing after it is read"] == found.stats()["problems"]


def test_bad_messages_cost_themselves_only(tmp_path: Path) -> None:
    """A record of the right length whose bytes are no request is counted, and so is a span without ids."""
    spans, logs = as_messages(DOCUMENTS)
    without_ids = TracesData.FromString(spans)
    without_ids.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"
    file = tmp_path / "file.pb"
    file.write_bytes(prefixed([b"\n\xff\xff", logs, without_ids.SerializeToString()]))

    found = source(file)

    assert [
        "record 1: 3 bytes are no OTLP request in protobuf",
        "record 3: span 1: has no trace id or no span id",
    ] == [problem.removeprefix(f"{file}, ") for problem in found.stats()["problems"]]
    assert len(RECORDS) - 1 == len(list(found.records()))


def test_a_gzip_that_is_damaged_gives_what_is_before_the_damage(tmp_path: Path) -> None:
    """Compressed bytes that make no sense end the reading; what was unpacked before them is there."""
    parts = [gzip.compress(as_lines([document])) for document in DOCUMENTS]
    file = tmp_path / "file.gz"
    file.write_bytes(parts[0] + parts[1][:12] + b"\xff" * 40)

    found = source(file)

    assert {record.id for record in ledger_of(RECORDS[:4]).records()} == {record.id for record in found.records()}
    (problem,) = found.stats()["problems"]
    assert problem.startswith(f"{file}, gzip: is damaged, nothing after that is read: ")


# ------------------------------------------------------------------------------------------------ what is no OTLP
STRANGERS: dict[str, tuple[bytes, str]] = {
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), r"it begins with b'\x89PNG"),
    "a text": (b"To whom it may concern\n", "it begins with b'To whom"),
    "a database": (b"SQLite format 3\x00" + bytes(100), "it begins with b'SQLite"),
    "JSON of something else": (b'{"a": 1}\n{"b": 2}\n', "(line 1: is an object with 'a', where an OTLP request"),
    "a document of something else": (b'{\n "a": 1\n}\n', "(the document: is an object with 'a'"),
    "an array of something else": (b"[1, 2]", "(line 1: is 1, where"),
    "the beginning of something else": (b'{"a": ', "no request in it can be read"),
    "gzip of something else": (gzip.compress(b"hello, world"), "it begins with b'hello, world"),
    "gzip of nothing sensible": (b"\x1f\x8b" + b"\xff" * 50, "Unknown compression method"),
    "UTF-16": ('{"resourceSpans": []}'.encode("utf-16"), "it begins with b'\\xff\\xfe{"),
    "records of something else": (b"\x00\x00\x00\x03\n\xff\xff", "(record 1: 3 bytes are no OTLP"),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_is_no_otlp_is_an_error(tmp_path: Path, stranger: str) -> None:
    """Any other file is an error that names it, says what was found there, and what is expected."""
    content, words = STRANGERS[stranger]
    file = tmp_path / "stranger"
    file.write_bytes(content)

    with pytest.raises(SourceError) as raised:
        source(file)

    text = str(raised.value)
    assert text.startswith(f"{file}: is no file of OTLP: ")
    assert text.endswith(
        "; give a file of OTLP JSON (a document, or a request a line) or protobuf, as the Collector writes it"
    )
    assert words in text


@pytest.mark.parametrize("content", [b"\x28\xb5\x2f\xfd1234567", b"\x00\x00\x01\x00\x28\xb5\x2f\xfd1234567"])
def test_zstd_is_said(tmp_path: Path, content: bytes) -> None:
    """A file, or the records of a file, compressed with zstd is an error that says what to do."""
    file = tmp_path / "file.zst"
    file.write_bytes(content)

    with pytest.raises(SourceError, match="with zstd, which is not read here; run `zstd -d` on it first"):
        source(file)


def test_a_path_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """What is not there, and a folder with nothing of OTLP in it, are errors that name the path."""
    (tmp_path / "notes.txt").write_text("hello", "utf-8")

    with pytest.raises(SourceError, match=r"nowhere: cannot be read: No such file or directory; give a file of OTLP"):
        source(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="none of the 1 files in this folder is of OTLP; give another path"):
        source(tmp_path)


def test_other_files_in_a_folder_are_said(tmp_path: Path) -> None:
    """In a folder what is no OTLP is passed over and counted; hidden files are not looked at."""
    (tmp_path / "a.jsonl").write_bytes(FORMS["json lines"])
    (tmp_path / "notes.txt").write_text("hello", "utf-8")
    (tmp_path / ".hidden").write_text("hello", "utf-8")

    found = source(tmp_path)

    assert answers(ledger_of(RECORDS)) == answers(found)
    (problem,) = found.stats()["problems"]
    assert problem.startswith(f"{tmp_path / 'notes.txt'}: is no file of OTLP: it begins with b'hello'")


@pytest.mark.parametrize("content", [b"", b"{}", b"\n\n", gzip.compress(b""), b'{"resourceSpans": [{"res'])
def test_a_file_in_which_nothing_is_yet(tmp_path: Path, content: bytes) -> None:
    """A file that is empty, or holds a first request that is not finished, is no error: it has no sessions yet."""
    file = tmp_path / "new"
    file.write_bytes(content)

    assert [] == source(file).sessions()


# ------------------------------------------------------------------------------------------------------ robustness
def survives(content: bytes) -> OtlpSource | None:
    """Read bytes as somebody's file and ask everything of what is found; None where it is no OTLP."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(content)
        try:
            found = source(file)
        except SourceError:
            return None
    json.dumps(answers(found))
    assert str(found.timeline()) is not None
    return found


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.randoms(use_true_random=False), st.integers(1, 8), st.booleans())
def test_damaged_bytes_are_bad_records_or_no_otlp(
    form: str,
    chance: random.Random,
    count: int,
    compressed: bool,  # noqa: FBT001 - a case
) -> None:
    """Whichever bytes of a file are changed, lost or added, reading it raises nothing but a SourceError."""
    content = bytearray(gzip.compress(FORMS[form]) if compressed else FORMS[form])
    for _ in range(count):
        place = chance.randrange(len(content))
        match chance.randrange(4):
            case 0:
                content[place] = chance.randrange(256)
            case 1:
                del content[place : place + chance.randrange(1, 50)]
            case 2:
                content[place:place] = chance.randbytes(chance.randrange(1, 20))
            case _:
                content[place:place] = content[chance.randrange(len(content)) :][:200]
        if not content:
            break
    survives(bytes(content))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([f"{1:032x}", identifier(1), "AAAAAAAAAAE=", "123", "-1", "tachograph", "SPAN_KIND_SERVER", "["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: its container, and its key or index there."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_json_in_any_place_is_a_bad_record_or_no_otlp(data: st.DataObject) -> None:
    """Whatever stands in the place of any part of a document, the rest is read and answers."""
    documents = json.loads(json.dumps(MIXED))
    for _ in range(data.draw(st.integers(1, 4))):
        every = list(places(documents))
        container, key = every[data.draw(st.integers(0, len(every) - 1))]
        container[key] = data.draw(JSON)
    survives(as_lines(documents))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_otlp_or_nothing(content: bytes) -> None:
    """Bytes of no sense at all give a SourceError, or a file in which nothing is yet."""
    for beginning in (b"", b"\n", b"\x00\x00\x00\x10\n", b"{", b'{"resourceSpans":[', b"\x1f\x8b\x08"):
        survives(beginning + content)


def test_everything_an_attribute_may_be_answers(tmp_path: Path) -> None:
    """Attributes of ours with values of every wrong type leave a session that can be asked everything."""
    wrong: list[dict[str, Any]] = [
        {"stringValue": "x"},
        {"stringValue": "["},
        {"intValue": "-9"},
        {"doubleValue": "NaN"},
        {"doubleValue": 1e308},
        {"boolValue": True},
        {"arrayValue": {"values": [{"intValue": "1"}, {"kvlistValue": {}}]}},
        {"kvlistValue": {"values": [{"key": "a", "value": {}}]}},
        {},
    ]
    for value in wrong:
        documents = requests(*RECORDS)
        for attributes in (
            message["attributes"]
            for request in documents
            for parts in request.values()
            for part in parts
            for scope in part.get("scopeSpans") or part.get("scopeLogs")
            for message in scope.get("spans") or scope.get("logRecords")
        ):
            kept = {names.OPERATION_NAME, names.KIND}
            attributes[:] = [pair for pair in attributes if pair["key"] in kept]
            attributes += [{"key": name, "value": value} for name in names.ATTRIBUTES if name not in kept]
        found = survives(as_lines(documents))
        assert found is not None
        assert 4 == len([record for record in found.records() if hasattr(record, "kind")])


def test_reading_holds_one_line_at_a_time(tmp_path: Path) -> None:
    """Bytes that come to nothing cost no memory: a gigabyte of blanks and bad lines in a small file is passed over."""
    file = tmp_path / "bomb.gz"
    with gzip.open(file, "wb", compresslevel=9) as bomb:
        bomb.write(FORMS["json lines"])
        for _ in range(30):
            bomb.write(b"x" * 1_000_000 + b"\n")
            bomb.write(b" " * 1_000_000)
    before = peak()
    found = source(file)
    assert answers(ledger_of(RECORDS)) == answers(found)
    assert 30 == found.stats()["bad"]
    assert peak() - before < 50_000_000


def peak() -> int:
    """Bytes this process has had at most."""
    import resource  # noqa: PLC0415 - where there is none the test is of no use

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
