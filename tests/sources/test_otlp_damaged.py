"""Files of OTLP that are damaged, unfinished, or no OTLP at all."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from support.answers import answers
from support.otlp_files import (
    DOCUMENTS,
    FORMS,
    MIXED,
    RECORDS,
    as_lines,
    as_messages,
    prefixed,
    requests,
    source,
    write,
)
from support.records import identifier, ledger_of, operation
from tachograph import names
from tachograph.sources import SourceError
from tachograph.sources.otlp import files

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tachograph.sources.otlp import OtlpSource


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


@pytest.mark.parametrize("form", ["a document on many lines", "one message"])
def test_a_document_that_is_too_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """What has to be read at once and is longer than the limit is an error that says so."""
    monkeypatch.setattr(files, "LIMIT", 1_000)
    file = tmp_path / "file"
    file.write_bytes(FORMS[form] if form in FORMS else as_messages(DOCUMENTS)[0] * 3)

    with pytest.raises(SourceError, match="as one request it is longer than the 1,000 bytes that are read; give"):
        source(file)


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
    """What is not there, is no file, or is a folder with nothing of OTLP in it, is an error that names the path."""
    (tmp_path / "notes.txt").write_text("hello", "utf-8")

    with pytest.raises(SourceError, match=r"nowhere: cannot be read: No such file or directory; give a file of OTLP"):
        source(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="/dev/null: is no file; give a file of OTLP"):
        source(Path("/dev/null"))
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


@settings(max_examples=300)
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


@settings(max_examples=300)
@given(st.data())
def test_any_json_in_any_place_is_a_bad_record_or_no_otlp(data: st.DataObject) -> None:
    """Whatever stands in the place of any part of a document, the rest is read and answers."""
    documents = json.loads(json.dumps(MIXED))
    for _ in range(data.draw(st.integers(1, 4))):
        every = list(places(documents))
        container, key = every[data.draw(st.integers(0, len(every) - 1))]
        container[key] = data.draw(JSON)
    survives(as_lines(documents))


@settings(max_examples=200)
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
