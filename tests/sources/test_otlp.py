"""Sessions from files of OTLP: in whatever form, and as complete as they can be known to be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from support.answers import answers
from support.otlp_files import (
    DOCUMENTS,
    FORMS,
    METRICS,
    RECORDS,
    as_lines,
    as_messages,
    prefixed,
    requests,
    snake,
    source,
    to_hex,
    with_ids,
    write,
)
from support.otlp_receiver import OtlpReceiver
from support.programs import Programs
from support.records import event, identifier, ledger_of, operation
from tachograph import names

EXAMPLES = Path(__file__).parents[2] / "examples"
SPANS_ONLY = "read from spans: events that had no span are not known"


def missing(count: int) -> str:
    return f"spans told of that are not there (sampled out, not ended, or recorded elsewhere): {count}"


NO_TOKENS = "model calls told of by spans of others, which do not say how many tokens were used: 1"


def foreign(count: int) -> str:
    return f"spans of other instrumentations, which are passed over: {count}"


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
            tell(answers=answers(runtime.current().ledger, local=False), bill=llm.total_tokens)
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


def test_sampling_is_said_whoever_did_it(tmp_path: Path) -> None:
    """A session whose spans say that others were left out, or whose Collector says so, is not complete; others are."""
    ids = [("by-program", "TraceIdRatioBased{0.5}"), ("by-collector", None), ("whole", None)]
    documents = []
    for number, (session_id, sampler) in enumerate(ids, 1):
        (document,) = requests(operation(number, session=session_id), told=False)
        (resource,) = document["resourceSpans"]
        if sampler is not None:
            span = resource["scopeSpans"][0]["spans"][0]
            span["attributes"].append({"key": names.SAMPLER, "value": {"stringValue": sampler}})
        if session_id == "by-collector":
            resource["resource"]["attributes"].append({"key": names.SAMPLER, "value": {"stringValue": "the Collector"}})
        documents.append(document)
    found = source(write(tmp_path, *documents))

    said = "spans were left out by sampling, by {}: how many is not known"
    assert {
        "by-program": [said.format("TraceIdRatioBased{0.5}"), SPANS_ONLY],
        "by-collector": [said.format("the Collector"), SPANS_ONLY],
        "whole": [SPANS_ONLY],
    } == {session_id: found.session_metrics(session_id).reasons for session_id, _ in ids}
    assert 3 == len(found.total().reasons)
    assert all(names.SAMPLER not in record.attributes for record in found.records())


def test_a_log_event_tells_of_the_run_it_repeats(tmp_path: Path) -> None:
    """A switch whose run was sampled out is known to be missing, and is not counted from its log event."""
    documents = requests(operation(1, "agent", "a"), event(1, "message_added"), told=False)
    record = documents[1]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    record["eventName"] = "tachograph.agent_switched"
    record["attributes"].append({"key": names.OPERATION_ID, "value": {"stringValue": identifier(5)}})

    metrics = source(write(tmp_path, *documents)).session_metrics("s")

    assert (0, [missing(1)]) == (metrics.agent_switches, metrics.reasons)


def test_spans_of_others_are_passed_over_and_said(tmp_path: Path) -> None:
    """Spans of another scope without a place count nothing; a session they are stamped with says how many there are."""
    documents = requests(operation(1, parent=2), operation(2, session="s"), operation(3, session="x"), told=False)
    scopes = documents[0]["resourceSpans"][0]["scopeSpans"]
    theirs = [span for span in scopes[0]["spans"] if span["spanId"] != identifier(1)]
    scopes[0]["spans"] = [span for span in scopes[0]["spans"] if span["spanId"] == identifier(1)]
    for span in theirs:
        span["attributes"] = [given for given in span["attributes"] if given["key"] == names.SESSION_ID]
    scopes.append({"scope": {"name": "httpx"}, "spans": [*theirs, {**theirs[0], "attributes": []}]})

    found = source(write(tmp_path, *documents))

    assert [SPANS_ONLY, foreign(1)] == found.session_metrics("s").reasons
    assert (1, 3) == (found.stats()["spans"], found.stats()["foreign_spans"])
    assert 1 == found.total().total_requests
    assert [SPANS_ONLY, foreign(2)] == found.total().reasons
    assert ["s"] == found.sessions()


def test_model_calls_and_queries_of_others_are_read(tmp_path: Path) -> None:
    """A model call of another scope counts, a query has its entry, and neither is said to be passed over."""
    documents = requests(operation(1, session="s"), operation(2, session="s"), operation(3, session="s"), told=False)
    scopes = documents[0]["resourceSpans"][0]["scopeSpans"]
    calls = scopes[0]["spans"]
    ours, call, query = (next(span for span in calls if span["spanId"] == identifier(n)) for n in (1, 2, 3))
    query["attributes"] = [
        *(given for given in query["attributes"] if given["key"] == names.SESSION_ID),
        {"key": names.DB_SYSTEM, "value": {"stringValue": "sqlite"}},
    ]
    scopes[0]["spans"] = [ours]
    scopes.append({"scope": {"name": "somebody.else"}, "spans": [call, query]})

    found = source(write(tmp_path, *documents))

    assert (2, 1) == (found.session_metrics("s").total_requests, len(found.audit_log(category="system")))
    assert [NO_TOKENS, SPANS_ONLY] == found.total().reasons


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
