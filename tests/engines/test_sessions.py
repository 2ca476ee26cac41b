"""The session that is read back from a real Jaeger is the session that was live, and says what Jaeger cannot know."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

import tachograph
from support.answers import answers, figures, sent
from support.engines import Engines, Jaeger, wait_for
from support.otlp_files import message, requests
from support.programs import SCRIPTS, Programs
from support.records import event, histories, ledger_of, operation
from support.services import services
from support.terminal import run
from tachograph import codec
from tachograph.content import outlined
from tachograph.export.otlp import _pairs
from tachograph.records import Event, Operation
from tachograph.sources import jaeger as reading
from tachograph.sources.jaeger import JaegerSource, api
from tachograph.views.audit import last_moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tachograph.ledger import Ledger
    from tachograph.records import Record

pytestmark = pytest.mark.engines

THAT_DAY = "since=2026-01-17T12:00:00Z&until=2026-01-17T14:00:00Z"
"""When made-up histories happen."""

SPANS_ONLY = "read from spans: events that had no span are not known"
SAMPLING = "read from a store of spans: what was sampled out on the way there is not known"


@pytest.fixture(scope="module")
def store(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    """A Jaeger for the histories of this module, each of a service of its own."""
    with Engines(programs, tmp_path_factory.mktemp("jaeger")) as running:
        yield running.jaeger()


_services = (f"service-{number}" for number in itertools.count(1))


def source(store: Jaeger, service: str, when: str = THAT_DAY) -> JaegerSource:
    return JaegerSource(f"{store.api.replace('http', 'jaeger')}?service={service}&{when}")


def elsewhere(record: Record, number: int) -> Record:
    """The same in sessions and traces of a history's own: one Jaeger has all of them."""
    trace_id = None if record.trace_id is None else f"{number:032x}"
    return record._replace(session_id=f"{number}-{record.session_id}", trace_id=trace_id)


def as_spans(records: Iterable[Record], service: str) -> list[ExportTraceServiceRequest]:
    """What had ended, as spans, with copies of the events that happened in them."""
    found = list(records)
    happened: dict[str | None, list[Event]] = {}
    for record in found:
        if isinstance(record, Event):
            happened.setdefault(record.span_id, []).append(record)
    made = []
    for request in requests(*(record for record in found if isinstance(record, Operation))):
        for resource in request["resourceSpans"]:
            resource["resource"] = {"attributes": _pairs({"service.name": service})}
            for span in resource["scopeSpans"][0]["spans"]:
                span["events"] = [
                    {
                        "name": f"tachograph.{copied.type}",
                        "timeUnixNano": str(copied.timestamp_ns),
                        "attributes": _pairs(codec.event_attributes(copied)),
                    }
                    for copied in happened.get(span["spanId"], ())
                ]
        made.append(ExportTraceServiceRequest.FromString(message(request).SerializeToString()))
    return made


def known_to(records: Iterable[Record]) -> Ledger:
    """What a store of spans can know of these: what had ended, and the events that happened in it or in another's span.

    A copy of an event tells of content only its names and a digest.
    """
    found = list(records)
    ended = {record.id: record for record in found if isinstance(record, Operation) and record.end_ns is not None}
    copied = [
        record._replace(
            trace_id=ended[record.span_id].trace_id if record.span_id in ended else record.trace_id,
            payload=outlined(record.payload),
        )
        for record in found
        if isinstance(record, Event) and (record.span_id in ended or record.trace_id is not None)
    ]
    return ledger_of(map(sent, sorted([*ended.values(), *copied], key=last_moment)))


def send(store: Jaeger, records: Iterable[Record], service: str) -> None:
    """Have these stored, as a program or a Collector would."""
    with grpc.insecure_channel(store.otlp) as channel:
        for request in as_spans(records, service):
            TraceServiceStub(channel).Export(request, timeout=30)


@contextlib.contextmanager
def stored(store: Jaeger, records: list[Record]) -> Iterator[tuple[Ledger, JaegerSource]]:
    """What is known of these, and a source over the Jaeger that has them by now."""
    service = next(_services)
    number = int(service.partition("-")[2])
    records = [elsewhere(record, number) for record in records]
    send(store, records, service)
    ledger = known_to(records)
    count = sum(isinstance(record, Operation) for record in ledger.records())

    def there() -> bool:
        with contextlib.closing(source(store, service)) as asked:
            return asked.stats()["spans"] == count

    wait_for(f"{count} spans of {service} are in Jaeger", there)
    with contextlib.closing(source(store, service)) as found:
        yield ledger, found


# -------------------------------------------------------------------------------------------------------- examples
def in_order(value: Any) -> Any:
    """Answers with names of arguments in order: a store keeps those of a table sorted, a span as they were given."""
    if isinstance(value, dict):
        return {
            key: sorted(item) if key.endswith("_names") and isinstance(item, list) else in_order(item)
            for key, item in value.items()
            if key != "records"
        } | ({"records": [in_order(json.loads(text)) for text in value["records"]]} if "records" in value else {})
    return [in_order(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("example", ["quickstart", "agent_runtime", "sop_agents"])
def test_examples_are_read_back_as_they_were_live(example, backends, examples):
    """Figures, audit log, timeline and totals of each example's sessions are the live ones, but for spanless events."""
    live = examples[example].source
    records = [record for metrics in live.session_list(deleted=True) for record in live.records(metrics.session_id)]
    expected = in_order(answers(known_to(records)))
    place = f"{backends.jaeger.api.replace('http', 'jaeger')}?service={example}"

    def found() -> dict[str, Any] | None:
        with contextlib.closing(JaegerSource(place)) as read:
            return in_order(answers(read)) if read.stats()["records"] == len(expected["records"]) else None

    assert expected == wait_for(f"{example} is in Jaeger", found)
    with contextlib.closing(JaegerSource(place)) as read:
        for session_id in live.sessions():
            metrics = read.session_metrics(session_id)  # by its id, before all has been read
            # The last to be heard of in a session may be an event without a span.
            assert {**figures(live.session_metrics(session_id)), "last_seen": metrics.last_seen} == figures(metrics)
            assert not metrics.complete
            assert [SPANS_ONLY, SAMPLING] == metrics.reasons[:2]
            assert metrics.reasons[2].startswith("read from ")


# ------------------------------------------------------------------------------------------------------- histories
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(max_size=10))
def test_any_history_is_read_back(store, history):
    """Of any history Jaeger says what had ended, and what happened in it, whichever way one asks."""
    with stored(store, history.live()) as (ledger, read):
        assert answers(ledger) == answers(read)
    service = parse_service(read)
    for session_id in ledger.sessions():
        with contextlib.closing(source(store, service)) as asked:
            assert figures(ledger.session_metrics(session_id)) == figures(asked.session_metrics(session_id))
            assert ledger.audit_log(session_id=session_id) == asked.audit_log(session_id=session_id)
    for request in {record.correlation_id for record in ledger.records() if record.correlation_id}:
        with contextlib.closing(source(store, service)) as asked:
            expected = ledger.timeline(correlation_id=request).to_dict()
            assert expected == asked.timeline(correlation_id=request).to_dict()


def parse_service(read: JaegerSource) -> str:
    (service,) = read._place.services
    return service


SESSION_OF_MANY_TRACES = [
    record
    for number in range(60)
    for record in (
        operation(3 * number + 1, "agent", "manager", at=20 * number, took=15, request=f"r-{number}"),
        operation(3 * number + 2, at=20 * number + 1, took=5, parent=3 * number + 1, request=f"r-{number}"),
        event(number, "agent_registered", at=20 * number + 2, inside=3 * number + 1, request=f"r-{number}"),
    )
]


@pytest.mark.parametrize("page", [1, 7, 50, 1_000])
def test_many_traces_are_read_page_by_page(store, page, monkeypatch):
    """A session of many traces is whole, however few of them fit on a page."""
    monkeypatch.setattr(reading, "PAGE", page)
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        assert answers(ledger) == answers(read)
        assert 60 == read.stats()["traces"]
    with contextlib.closing(source(store, parse_service(read))) as asked:
        (session_id,) = ledger.sessions()
        assert figures(ledger.session_metrics(session_id)) == figures(asked.session_metrics(session_id))


def test_traces_of_one_moment_are_read_at_once(store, monkeypatch):
    """More traces in one moment than a page has are asked for together; none is lost for want of a shorter time."""
    monkeypatch.setattr(reading, "PAGE", 2)
    records: list[Record] = [operation(number, request=f"r-{number}") for number in range(1, 12)]
    with stored(store, records) as (ledger, read):
        assert answers(ledger) == answers(read)


def test_answers_that_are_too_long_are_asked_for_in_parts(store, monkeypatch):
    """Where the answer for a time is longer than is read, each half of the time is asked about."""
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        monkeypatch.setattr(api, "MAX_ANSWER", 20_000)
        assert answers(ledger) == answers(read)
        monkeypatch.setattr(api, "MAX_ANSWER", 500)
        with contextlib.closing(source(store, parse_service(read))) as asked:
            assert 0 == asked.total().total_requests
            assert "than can be read at once" in asked.total().reasons[-1]


def test_only_so_many_spans_are_read_and_the_newest_are(store, monkeypatch):
    """Beyond the bound the oldest are left out, and the answer says so."""
    monkeypatch.setattr(reading, "PAGE", 10)
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        monkeypatch.setattr(reading, "MAX_SPANS", 40)
        with contextlib.closing(source(store, parse_service(read))) as asked:
            total = asked.total()
    assert 20 <= total.agent_runs < ledger.total().agent_runs
    assert ledger.total().last_seen == total.last_seen
    assert "more than 40 spans; only the newest were read: read a shorter time" == total.reasons[-1]


def test_what_was_before_is_not_read(store):
    """A time that is given is kept to: traces without a span in it are not there, and the answer says from when on."""
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        moment = "2026-01-17T13:00:00.600Z"
        with contextlib.closing(source(store, parse_service(read), f"since={moment}&until=2026-01-17T14:00Z")) as asked:
            total = asked.total()
    assert 30 == total.agent_runs == ledger.total().agent_runs / 2
    assert "read from 2026-01-17T13:00:00.600000Z on: what was before is not known" == total.reasons[-1]


def test_what_comes_in_is_seen(store, monkeypatch):
    """A source that is asked again later has what has come since; what was just read is not asked for again."""
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        (session_id,) = ledger.sessions()
        assert 60 == read.session_metrics(session_id).total_requests
        number = int(parse_service(read).partition("-")[2])
        more = [elsewhere(operation(900 + n, at=2_000 + n), number) for n in range(3)]
        send(store, more, parse_service(read))
        assert 60 == read.session_metrics(session_id).total_requests
        monkeypatch.setattr(reading, "_FRESH", 0)
        monkeypatch.setattr(reading, "_PATIENCE", 0)
        read._read.clear()
        assert wait_for("three more", lambda: read.session_metrics(session_id).total_requests == 63)
        assert 63 == read.total().total_requests


def test_a_session_of_three_services(store, tmp_path):
    """What a gateway, an agent service and a tool service sent is one session, found by its id and by its request."""
    sending = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{store.otlp}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "TACHOGRAPH_STORE": str(tmp_path / "s.db"),
    }
    with services(Programs(tmp_path), **sending) as asked:
        for number in range(3):
            asked.ask("through-three", f"request-{number}")
        assert all(code <= 0 for code in asked.end())
    place = f"{store.api.replace('http', 'jaeger')}?since=1h"

    def read() -> Any:
        with contextlib.closing(JaegerSource(place)) as found:
            return found.session_metrics("through-three") if found.sessions() else None

    with contextlib.closing(tachograph.read(tmp_path / "s.db")) as kept:
        expected = figures(kept.session_metrics("through-three"))
        wait_for("all of it is there", lambda: (found := read()) and expected == figures(found))
        with contextlib.closing(JaegerSource(place)) as found:
            assert (3, 3, 330) == (expected["agent_runs"], expected["tool_calls"], expected["total_tokens"])
            request = {"session_id": "through-three", "correlation_id": "request-1"}
            assert kept.timeline(**request).to_dict() == found.timeline(**request).to_dict()
            assert 5 == len(found.timeline(correlation_id="request-1").entries)


# -------------------------------------------------------------------------------------------------------- sampling
def test_what_was_sampled_out_is_declared(store, tmp_path):
    """Under sampling fewer are read back than the program counted, and the answer says which sampler took them."""
    done = Programs(tmp_path).python(
        """
        import tachograph
        from told import tell

        tachograph.init()
        with tachograph.session("sampled"):
            for number in range(60):
                with tachograph.correlation(f"r-{number}"), tachograph.model("gpt-4.1", provider="openai") as call:
                    call.usage(input_tokens=10, output_tokens=1)
        live = tachograph.session_metrics("sampled")
        tachograph.shutdown()
        tell(requests=live.total_requests)
        """,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"http://{store.otlp}",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_SERVICE_NAME="sampled",
        OTEL_TRACES_SAMPLER="traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.5",
    )
    assert {"requests": 60} == done.told

    def read() -> Any:
        with contextlib.closing(source(store, "sampled", "since=1h")) as asked:
            return asked.session_metrics("sampled") if asked.stats()["spans"] else None

    metrics = wait_for("some of them are there", read)
    assert 0 < metrics.total_requests < 60
    assert not metrics.complete
    assert "spans were left out by sampling, by TraceIdRatioBased{0.5}: how many is not known" in metrics.reasons


# ------------------------------------------------------------------------------------------------------ who asks
def test_commands_read_jaeger(store):
    """Every reading command takes a Jaeger as it takes a store."""
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        (session_id,) = ledger.sessions()
        for command, said in (
            (["sessions", "--json"], session_id),
            (["show", session_id, "--json"], session_id),
            (["show", "last", "--json"], SAMPLING),
            (["timeline", session_id, "--json"], "manager"),
            (["audit", "--session", session_id, "--json"], session_id),
            (["export", session_id], session_id),
            (["compare", session_id, session_id, "--json"], session_id),
        ):
            done = run(*command, "--from", read.place)
            assert (0, "") == (done.code, done.stderr)
            assert said in done.stdout, command


def test_sessions_are_taken_from_jaeger_into_a_store(store, tmp_path):
    """``tachograph import jaeger://…`` keeps what Jaeger has, which forgets, in a store: with the same answers."""
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        done = run("import", read.place, TACHOGRAPH_STORE=str(tmp_path / "s.db"))
        assert (0, "") == (done.code, done.stderr)
        with contextlib.closing(tachograph.read(tmp_path / "s.db")) as kept:
            assert answers(ledger) == answers(kept)


def test_the_server_reads_jaeger(store, tmp_path):
    """``tachograph serve --from jaeger://…`` answers from Jaeger what the source answers."""
    with stored(store, SESSION_OF_MANY_TRACES) as (ledger, read):
        (session_id,) = ledger.sessions()
        programs = Programs(tmp_path)
        command = str(SCRIPTS / "tachograph"), "serve", "--port", "0", "--from", read.place
        with programs.start(*command) as process:
            said = process.stdout.readline()
            address = said.split()[-1]
            answer = httpx.get(f"{address}/events/metrics/session/{session_id}", timeout=60)
            log = httpx.get(f"{address}/events/audit-log", params={"session_id": session_id, "limit": 5}, timeout=60)
            process.terminate()
            process.wait(30)
    assert f"Serving {read.place} at {address}\n" == said
    assert 60 == answer.json()["total_requests"]
    assert not answer.json()["complete"]
    assert 5 == len(log.json()["entries"]), log.json()
