"""What is sent, in both encodings: what can be taken of it, and what not and why."""

from __future__ import annotations

import json

import pytest

from support.otlp_files import METRICS, RECORDS, as_messages, requests
from support.sent import CHAT, as_json, as_protobuf, field, nested, request, span
from tachograph.server.receiver.wire import Checked, Sent, UndecodableError, batches, check

ENCODINGS = pytest.mark.parametrize("encoded", [as_json, as_protobuf], ids=["json", "protobuf"])
GOOD = span(1, CHAT)
BAD = {
    "no end": (span(2, CHAT, endTimeUnixNano="0"), "has no end"),
    "after 2262": (span(2, CHAT, endTimeUnixNano=str(2**63)), "has a moment after the year 2262"),
    "began after 2262": (span(2, CHAT, startTimeUnixNano=str(2**64 - 1)), "has a moment after the year 2262"),
    "no span id": (span(0, CHAT), "has no trace id or no span id"),
}


@ENCODINGS
@pytest.mark.parametrize("bad", BAD)
def test_a_span_that_cannot_be_taken_costs_itself_only(encoded, bad):
    """It is refused with a reason, and the good ones before and after it are read."""
    fault, why = BAD[bad]
    sent = encoded(request(GOOD, fault, span(3, CHAT)))

    checked = check(sent)

    assert (2, 1) == checked[:2]
    assert why in checked.why
    assert ["0000000000000001", "0000000000000003"] == [span.span_id for batch in batches(sent) for span in batch.spans]


@ENCODINGS
def test_what_is_good_is_taken_without_a_word(encoded):
    """A request of good spans has nothing refused and nothing to say."""
    assert Checked(2) == check(encoded(request(GOOD, span(2, CHAT))))
    assert Checked(0) == check(encoded({}))


def test_both_encodings_say_the_same():
    """The same spans are read from JSON as from protobuf, values of every type included."""
    document = request(span(1, {"a": "x", "b": 2, "c": 0.5, "d": True, "e": ["p", "q"], "f": {"g": ""}}), home="here")

    assert batches(as_json(document)) == batches(as_protobuf(document))


@pytest.mark.parametrize("is_json", [True, False])
def test_log_records_are_read_and_checked(is_json):
    """Log records are taken like spans; one whose moment no store can hold is refused."""
    document = next(each for each in requests(*RECORDS) if "resourceLogs" in each)
    records = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    count = len(records)
    records.append({**records[0], "timeUnixNano": str(2**63)})
    body = json.dumps(document).encode() if is_json else as_messages([document])[0]
    sent = Sent("logs", is_json, body)

    checked = check(sent)

    assert (count, 1) == checked[:2]
    assert "has a moment after the year 2262" in checked.why
    assert count == sum(len(batch.logs) for batch in batches(sent))


@pytest.mark.parametrize("is_json", [True, False])
def test_metrics_are_counted_and_not_kept(is_json):
    """All data points are refused, with the reason; a request without any has nothing refused."""
    body = json.dumps(METRICS).encode() if is_json else as_messages([METRICS])[0]

    assert Checked(0, 1, "metrics are not kept: figures are made of spans") == check(Sent("metrics", is_json, body))
    assert Checked(0) == check(Sent("metrics", is_json, b"{}" if is_json else b""))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "is no JSON"),
        (b"\xff{}", "is no JSON"),
        (b'{"a": NaN', "is no JSON"),
        (b"[" * 200_000, "nested too deep"),
        (b"[]", "a JSON list, where an object is expected"),
        (b'{"resourceSpans": 5}', "resources are 5, no list"),
        (b'{"spans": []}', "where an OTLP request"),
        (b'{"resourceSpans": [{"scopeSpans": {}}]}', "scopes are a dict, no list"),
    ],
)
def test_json_that_is_no_request_is_said_to_be(body, why):
    """What cannot be read at all is an error that says why."""
    with pytest.raises(UndecodableError, match="the body") as raised:
        check(Sent("traces", is_json=True, body=body))

    assert why in str(raised.value)


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
@pytest.mark.parametrize("body", [b"\xff\xff", b"\x0a\x05\x0a", b"{}"], ids=["noise", "cut", "json"])
def test_bytes_that_are_no_protobuf_are_said_to_be(signal, body):
    """Likewise in protobuf, for each kind of telemetry."""
    with pytest.raises(UndecodableError, match="is no OTLP request in protobuf"):
        check(Sent(signal, is_json=False, body=body))


def test_values_nested_without_end_are_refused():
    """Neither encoding lets a value be nested deeper than can be read."""
    deep: object = "x"
    for _ in range(60):
        deep = [deep]

    assert (1, 1) == check(as_json(request(GOOD, span(2, {"deep": deep}))))[:2]
    with pytest.raises(UndecodableError):
        check(Sent("traces", is_json=False, body=nested(60)))


def test_what_is_beside_the_spans_is_told_and_they_are_taken():
    """A resource that cannot be read is a warning; its spans are taken."""
    document = request(GOOD)
    document["resourceSpans"][0]["resource"] = {"attributes": 7}

    assert Checked(1, 0, "resource: attributes are 7, no list") == check(as_json(document))


def test_few_of_many_faults_are_told():
    """However many spans are refused, the answer is short."""
    checked = check(as_json(request(*[span(0, CHAT)] * 50)))

    assert (0, 50) == checked[:2]
    assert checked.why.endswith("… 47 more")


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (Sent("traces", is_json=False, body=b"\x0a\x00" * 10_001), "resources and scopes"),
        (Sent("logs", is_json=False, body=field(1, b"\x12\x00" * 10_000)), "resources and scopes"),
        (Sent("traces", is_json=False, body=field(1, field(2, b"\x12\x00" * 100_001))), "spans"),
        (Sent("metrics", is_json=False, body=field(1, field(2, b"\x12\x00" * 100_001))), "metrics"),
        (Sent("traces", is_json=True, body=b'{"resourceSpans":[' + b"{}," * 1_000_000 + b"{}]}"), "objects and lists"),
        (Sent("traces", is_json=True, body=b"[" * 1_000_001), "objects and lists"),
    ],
)
def test_very_many_of_very_little_is_refused(sent, what):
    """What is small as it is sent, and would take seconds or gigabytes to look at, is not looked at."""
    with pytest.raises(UndecodableError, match=rf"the body has more than [\d,]+ {what}; send fewer"):
        check(sent)
