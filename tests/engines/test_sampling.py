"""A fleet's Collector keeps what matters whole, and drops what there would be too much of."""

from __future__ import annotations

import contextlib
import hashlib
import time

import httpx
import pytest

from support.engines import read, wait_for
from support.programs import Programs
from tachograph import names
from tachograph.sources.jaeger import JaegerSource

pytestmark = pytest.mark.engines

PROGRAM = """
    import contextlib

    import tachograph
    from told import tell

    tachograph.init()
    traces = {}

    def request(session_id, kind, number):
        with tachograph.session(session_id), tachograph.task(kind, id=f"{session_id}-{number}"):
            with tachograph.agent("worker"), tachograph.model("m", provider="p") as call:
                call.usage(input_tokens=1, output_tokens=1)
                if kind == "failing":
                    raise OSError("the model is down")
            if kind == "approved":
                tachograph.request_approval(tool_name="write", call_id=f"{session_id}-{number}").decide("APPROVE")

    for number in range(120):
        for kind in ("plain", "failing", "approved"):
            for again in range(2):  # a session of two traces
                with contextlib.suppress(OSError):
                    request(f"{kind}-{number}", kind if again == 0 else "plain", again)
    tell(
        traces={
            session: sorted({record.trace_id for record in tachograph.ledger().records(session)})
            for session in tachograph.sessions()
        }
    )
    """


@pytest.fixture(scope="module")
def sampled(programs, tmp_path_factory):
    """That program, its Collector and what Jaeger kept of it."""
    from support.engines import Engines  # noqa: PLC0415 - a name that the fixture of that name hides

    directory = tmp_path_factory.mktemp("fleet")
    with Engines(programs, directory) as engines:
        jaeger = engines.jaeger()
        collector = engines.collector("fleet.yaml", traces_to=jaeger.otlp, TACHOGRAPH_DECISION_WAIT="2s")
        done = Programs(directory).python(
            PROGRAM, OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp, OTEL_SERVICE_NAME="fleet", TACHOGRAPH_SUMMARY="0"
        )
        assert (done.code, done.stderr) == (0, "")

        def settled() -> set[str]:
            """The traces kept, once no further ones come."""
            before = {span["traceId"] for span in jaeger.traces("fleet")}
            time.sleep(3)
            after = {span["traceId"] for span in jaeger.traces("fleet")}
            return after if after == before else set()

        kept = wait_for("everything is decided", settled)
        yield done.told["traces"], kept, collector, jaeger


def test_what_matters_is_kept_and_the_rest_by_session(sampled):
    """Every trace with an error or an approval is kept, and of the others both of one session in sixteen."""
    traces, kept, _, _ = sampled

    expected = set()
    for session, (first, second) in traces.items():
        chosen = hashlib.sha256(session.encode()).hexdigest().startswith("0")
        matters = not session.startswith("plain")
        spans = {first, second}
        if chosen:
            expected |= spans
        elif matters:
            expected |= spans & kept
            assert len(spans & kept) == 1, session
    assert expected == kept
    sessions = [session for session in traces if session.startswith("plain")]
    whole = [session for session in sessions if set(traces[session]) <= kept]
    assert 0 < len(whole) < len(sessions) / 4


def test_what_is_kept_is_whole(sampled):
    """A trace that is kept is there with each of its spans."""
    _, _, _, jaeger = sampled

    spans = [span for span in jaeger.traces("fleet") if span["scope"] == names.SCOPE]
    ids = {span["spanId"] for span in spans}
    assert {span["parentSpanId"] for span in spans if "parentSpanId" in span} <= ids
    tasks = [span for span in spans if span["name"].startswith("invoke_workflow")]
    assert len(tasks) == len({span["traceId"] for span in spans})
    for word in ("invoke_agent worker", "chat m"):
        assert [span["name"] for span in spans].count(word) == len(tasks)


def test_a_session_read_back_says_that_it_was_sampled(sampled):
    """Who reads a session from Jaeger is told that there was a sampler, and which."""
    traces, kept, _, jaeger = sampled
    session = next(session for session, ids in traces.items() if set(ids) <= kept)

    with contextlib.closing(JaegerSource(f"{jaeger.api.replace('http', 'jaeger')}?service=fleet&since=1h")) as read:
        found = read.session_metrics(session)

    assert 2 == found.agent_runs
    assert not found.complete
    assert "spans were left out by sampling, by the Collector's tail sampling: how many is not known" in found.reasons


def test_series_of_sessions_end_at_a_fleets_collector(sampled):
    """Metrics come through but for the series of single sessions, and totals are those of all sessions."""
    _, _, collector, _ = sampled

    page = httpx.get(collector.metrics).text

    assert "session_id=" not in page
    (tokens,) = [line for line in page.splitlines() if "token_usage_sum" in line and '_type="input"' in line]
    assert float(tokens.split("}")[1].split()[0]) == 120 * 6


def test_log_events_are_never_sampled(sampled):
    """Every request for a decision, and every decision, is in the file of log events."""
    _, _, collector, _ = sampled

    events = [
        log["eventName"]
        for document in read(collector.directory / "logs.jsonl")
        for resource in document["resourceLogs"]
        for scope in resource["scopeLogs"]
        for log in scope["logRecords"]
    ]
    assert events.count("tachograph.hitl_decision_made") == 120
