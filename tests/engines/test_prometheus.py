"""Every question that rules and documentation ask Prometheus has the ledger's number for an answer."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from support.engines import CONFIG, read, wait_for
from support.programs import Programs
from support.queries import (
    EXAMPLES,
    Answer,
    answer,
    by_name,
    cost_by_model,
    decisions,
    every_operation,
    executed,
    failed,
    nonzero,
    one,
    runs,
    seconds,
    tokens_by_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.sources import Source

pytestmark = pytest.mark.engines

RECORDED: dict[str, Callable[[Source], Answer]] = {
    "job_model:requests:increase5m": lambda source: by_name(every_operation(source, "model")),
    "job_model:requests_failed:increase5m": lambda source: by_name(failed(every_operation(source, "model"))),
    "job_model_type:tokens:increase5m": tokens_by_model,
    "job_model:cost_usd:increase5m": cost_by_model,
    "job_agent:runs:increase5m": lambda source: by_name(runs(source)),
    "job_agent:runs_failed:increase5m": lambda source: by_name(failed(runs(source))),
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("rule", RECORDED)
def test_rules_record_the_ledgers_numbers(backends, examples, rule, example):
    """What a rule records of a program that has run within its five minutes is all that the ledger has of it."""
    expected = RECORDED[rule](examples[example].source)

    found = wait_for(
        f"{rule} is recorded", lambda: backends.prometheus.query(f'{rule}{{job="{example}"}}') or not expected
    )

    assert pytest.approx(expected) == answer([] if found is True else found)


def test_every_rule_is_evaluated_without_a_problem(backends, examples):
    """Prometheus has loaded each rule, and evaluating it fails for none."""
    groups = httpx.get(f"{backends.prometheus.api}/api/v1/rules").json()["data"]["groups"]

    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # unknown: its turn has not come yet
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    assert recorded == {*RECORDED, "job_model_le:request_seconds_bucket:increase5m"}


DOCUMENTED: dict[str, Callable[[Source], Answer]] = {
    "tokens of each program": lambda source: one(source.total().total_tokens),
    "cost of each program, in USD": lambda source: one(source.total().cost["amount"]),
    "model calls, and how many of them failed": lambda source: one(source.total().total_requests),
    "those that failed": lambda source: one(source.total().failed_requests),
    "agent runs by agent": lambda source: by_name(runs(source)),
    "seconds that tools took": lambda source: by_name(executed(source), seconds),
    "hand-overs": lambda source: nonzero({tuple(p.split("_to_")): n for p, n in source.total().switches.items()}),
    "decisions": lambda source: decisions(source, "APPROVE", "EDIT", "REJECT", "EXPIRED"),
    "calls that wait for a human now": lambda source: one(sum(decisions(source, "pending").values())),
}


def documented() -> dict[str, str]:
    """The queries of the README, by the comment above each."""
    text = (CONFIG / "README.md").read_text("utf-8")
    return {
        about: query.strip()
        for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
        for about, query in re.findall(r"^# (.+?)\n((?:[^#\n].*\n)+)", block, re.MULTILINE)
    }


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_the_readme_asks_has_the_ledgers_number(backends, examples, example):
    """Each query that the README writes down is answered with the ledger's number."""
    assert DOCUMENTED.keys() == documented().keys()

    for about, query in documented().items():
        found = [series for series in backends.prometheus.query(query) if series["metric"].pop("job") == example]
        assert pytest.approx(DOCUMENTED[about](examples[example].source)) == answer(found), about


# ------------------------------------------------------------------------------------------------------ exemplars
def test_exemplars_are_spans_in_jaeger(backends, examples):
    """A dot on a graph of durations is a span that Jaeger has, and as long as it says."""
    exemplars = backends.prometheus.exemplars('gen_ai_client_operation_duration_seconds_bucket{job="quickstart"}')

    assert exemplars
    for exemplar in exemplars:
        spans = {span["spanId"]: span for span in backends.jaeger.spans(exemplar["labels"]["trace_id"])}
        span = spans[exemplar["labels"]["span_id"]]
        took = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
        assert pytest.approx(took) == float(exemplar["value"])


# ------------------------------------------------------------------------------------------------------ the bounds
SERIES_PER_SESSION = 16
"""What the README states: `tachograph.session.*` with every outcome, token type and decision."""

MANY = """
    import tachograph

    tachograph.init()
    for number in range(10_000):
        with tachograph.session(f"session-{number}"):
            with tachograph.agent("busy"), tachograph.model("m", provider="p") as call:
                call.usage(input_tokens=1, output_tokens=1)
            tachograph.request_approval(tool_name="t", call_id=f"c-{number}").decide("APPROVE")
    """


def test_ten_thousand_sessions_leave_few_series(backends, tmp_path):
    """Ten thousand sessions leave series for the last hundred of each export, and totals that are exact."""
    done = Programs(tmp_path).python(
        MANY,
        OTEL_EXPORTER_OTLP_ENDPOINT=backends.collector.otlp,
        OTEL_SERVICE_NAME="many",
        OTEL_TRACES_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    assert (done.code, done.stderr) == (0, "")
    scraped = f'timestamp(tachograph_sessions_active{{job="many"}}) > {time.time()}'
    wait_for("it is scraped", lambda: backends.prometheus.query(scraped))
    exports = sum(
        any(
            pair == {"key": "service.name", "value": {"stringValue": "many"}}
            for pair in resource["resource"]["attributes"]
        )
        for document in read(backends.collector.file)
        for resource in document.get("resourceMetrics", ())
    )

    by_session = backends.prometheus.number('count({job="many", session_id!=""})')
    assert 0 < by_session <= SERIES_PER_SESSION * 100 * exports
    assert backends.prometheus.number('count({job="many", session_id="", __name__!~".*:.*"})') < 150
    assert backends.prometheus.number('sum(gen_ai_client_token_usage_sum{job="many"})') == 20_000
    assert backends.prometheus.number('sum(tachograph_approvals_total{job="many"})') == 10_000
    page = httpx.get(backends.collector.metrics).text
    assert page.count('job="many"') - page.count("_bucket{") <= by_session + 150
