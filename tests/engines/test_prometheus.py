"""Every question that dashboards, rules and documentation ask Prometheus has the ledger's number for an answer."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.engines import CONFIG, read, wait_for
from support.programs import Programs
from tachograph import names
from tachograph.records import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.sources import Source

pytestmark = pytest.mark.engines

EXAMPLES = ["quickstart", "agent_runtime", "sop_agents"]
Answer = dict[tuple[str, ...], float]
"""Numbers by the values of the labels that a query keeps, in the order of the labels' names."""

MODEL = "gen_ai_request_model"
AGENT = "gen_ai_agent_name"
TOOL = "gen_ai_tool_name"


def panels(board: str) -> dict[str, dict[str, Any]]:
    read_in = json.loads((CONFIG / "grafana" / "dashboards" / f"{board}.json").read_text("utf-8"))
    return {panel["title"]: panel for panel in read_in["panels"]}


def variables(board: str) -> dict[str, dict[str, Any]]:
    read_in = json.loads((CONFIG / "grafana" / "dashboards" / f"{board}.json").read_text("utf-8"))
    return {variable["name"]: variable for variable in read_in["templating"]["list"]}


def filled_in(query: str, **values: str) -> str:
    """A query as Grafana sends it, looking at the last hour."""
    for name, value in {"__range": "1h", "__rate_interval": "1m", **values}.items():
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query


def answer(found: list[dict[str, Any]]) -> Answer:
    """What a query answered; what is not there counts as nothing, as on a graph."""
    numbers: Answer = {}
    for series in found:
        key = tuple(value for name, value in sorted(series["metric"].items()) if name not in ("job", "__name__"))
        number = float(series["value"][1])
        if number and not math.isnan(number):
            numbers[key] = number
    return numbers


def nonzero(numbers: dict[Any, float]) -> Answer:
    return {key if isinstance(key, tuple) else (key,): float(number) for key, number in numbers.items() if number}


# ------------------------------------------------------------------------------------- what the ledger has to say
def every_operation(source: Source, kind: str) -> list[Operation]:
    return [
        record
        for metrics in source.session_list(deleted=True)
        for record in source.records(metrics.session_id)
        if isinstance(record, Operation) and record.kind == kind
    ]


def seconds(operation: Operation) -> float:
    return ((operation.end_ns or 0) - operation.start_ns) / 1e9


def one(number: float | None) -> Answer:
    return {(): float(number)} if number else {}


def executed(source: Source) -> list[Operation]:
    """Tool calls that ran, and did not wait for a human."""
    return [
        call
        for call in every_operation(source, "tool")
        if call.outcome not in ("refused", "waiting") and not call.attributes.get(names.HUMAN_WAIT)
    ]


def by_name(operations: list[Operation], what: Callable[[Operation], float] = lambda _: 1) -> Answer:
    added: Counter[tuple[str]] = Counter()
    for operation in operations:
        added[operation.name,] += what(operation)
    return nonzero(added)


def runs(source: Source) -> list[Operation]:
    return every_operation(source, "agent")


def failed(operations: list[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.outcome == "error"]


def tokens_by_model(source: Source) -> Answer:
    return nonzero(
        {
            (model, kind): used[f"{word}_tokens"]
            for model, used in source.total().tokens_by_model.items()
            for kind, word in (("input", "prompt"), ("output", "completion"))
        }
    )


def cost_by_model(source: Source) -> Answer:
    return nonzero({model: used["cost"] or 0 for model, used in source.total().tokens_by_model.items()})


def error_rate(source: Source) -> Answer:
    calls = every_operation(source, "model")
    all_, bad = by_name(calls), by_name(failed(calls))
    return {model: bad[model] / all_[model] for model in bad}


def decisions(source: Source, *which: str) -> Answer:
    return nonzero(
        {
            (tool, decision): count
            for tool, decided in source.total().hitl.items()
            for decision, count in decided.items()
            if decision in which
        }
    )


FLEET: dict[str, list[Callable[[Source], Answer]]] = {
    "Model calls": [lambda source: one(source.total().total_requests)],
    "Tokens": [lambda source: one(source.total().total_tokens)],
    "Cost": [lambda source: one(source.total().cost["amount"])],
    "Agent runs": [lambda source: one(source.total().agent_runs)],
    "Runs that failed": [lambda source: one(sum(sum(t.values()) for t in source.total().errors_by_agent.values()))],
    "Approvals pending": [lambda source: one(sum(decisions(source, "pending").values()))],
    "Tokens by model, in five minutes": [tokens_by_model],
    "Cost by model, in five minutes": [cost_by_model],
    "Failed model calls": [error_rate],
    "Agents": [
        lambda source: nonzero({agent: told["count"] for agent, told in source.total().agents.items()}),
        lambda source: by_name(runs(source), seconds),
        lambda source: nonzero({agent: sum(types.values()) for agent, types in source.total().errors_by_agent.items()}),
    ],
    "Tools": [
        lambda source: by_name(executed(source)),
        lambda source: by_name(executed(source), seconds),
        lambda source: by_name(failed(executed(source))),
    ],
    "Hand-overs": [
        lambda source: nonzero({tuple(pair.split("_to_")): n for pair, n in source.total().switches.items()})
    ],
    "Decisions of humans": [lambda source: decisions(source, "APPROVE", "EDIT", "REJECT", "EXPIRED")],
    "Sessions at work": [lambda source: {}],
    "Tachograph itself": [lambda source: {}, lambda source: {}, lambda source: {}],
}
"""What each panel of the fleet's dashboard shows, by the ledger; a function for each of its queries."""

QUANTILES: dict[str, tuple[str, Callable[[Operation], float | None], list[float]]] = {
    "Model calls: half, and nineteen in twenty, take less than": ("model", seconds, [0.5, 0.95]),
    "Half of the decisions are made within": ("approval", seconds, [0.5]),
    "First chunk of a stream: nineteen in twenty come within": (
        "model",
        lambda call: call.attributes.get(names.TIME_TO_FIRST_CHUNK),
        [0.95],
    ),
}
"""Panels with quantiles, which a histogram knows to the bucket: of what, and which."""


# ----------------------------------------------------------------------------------------------------- dashboards
def test_every_panel_is_known():
    """A panel that is added is one whose numbers are held against the ledger."""
    assert {*FLEET, *QUANTILES} == panels("fleet").keys()
    assert {*SESSION, "Its traces"} == panels("session").keys()


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("panel", FLEET)
def test_fleet_panels_show_the_ledgers_numbers(backends, examples, panel, example):
    """Each query of the fleet's dashboard has the ledger's number for each program."""
    queries = [target["expr"] for target in panels("fleet")[panel]["targets"]]

    for query, ledger in zip(queries, FLEET[panel], strict=True):
        expected = ledger(examples[example].source)
        asked = filled_in(query, job=example)
        wait_for(
            f"{asked} is evaluated", lambda asked=asked: backends.prometheus.query("job_model:requests:increase5m")
        )
        assert pytest.approx(expected) == answer(backends.prometheus.query(asked))


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("panel", QUANTILES)
def test_quantiles_are_right_to_the_bucket(backends, examples, panel, example):
    """A quantile lies in the bucket that the ledger's own operation of that rank falls into."""
    kind, measure, quantiles = QUANTILES[panel]
    metric = {seconds: {"model": names.MODEL_DURATION, "approval": names.APPROVAL_WAIT}[kind]}.get(
        measure, names.FIRST_CHUNK
    )
    buckets = (0.0, *names.METRICS[metric].buckets)
    measured: dict[tuple[str, ...], list[float]] = {}
    for operation in every_operation(examples[example].source, kind):
        took = measure(operation)
        if took is not None:
            measured.setdefault((operation.name,), []).append(took)

    for target, quantile in zip(panels("fleet")[panel]["targets"], quantiles, strict=True):
        found = answer(backends.prometheus.query(filled_in(target["expr"], job=example)))
        assert measured.keys() == found.keys()
        for name, took in measured.items():
            exact = sorted(took)[math.ceil(quantile * len(took)) - 1]
            upper = next(bound for bound in buckets if exact <= bound)
            lower = max(bound for bound in buckets if bound < upper)
            assert lower <= found[name] <= upper


SESSION: dict[str, Callable[[Any], Answer]] = {
    "Model calls": lambda metrics: one(metrics.total_requests),
    "Tokens": lambda metrics: one(metrics.total_tokens),
    "Cost": lambda metrics: one(metrics.cost["amount"]),
    "Tool calls": lambda metrics: one(metrics.tool_calls),
    "Hand-overs": lambda metrics: one(metrics.agent_switches),
    "Agent time": lambda metrics: one(metrics.processing_duration_ms / 1_000),
    "Errors": lambda metrics: one(metrics.errors),
    "In flight": lambda metrics: one(metrics.active_requests),
    "Model calls by outcome": lambda metrics: nonzero(
        {
            "ok": metrics.successful_requests,
            "error": metrics.failed_requests,
            "incomplete": metrics.incomplete_requests,
        }
    ),
    "Tokens by type": lambda metrics: nonzero(
        {"input": metrics.total_prompt_tokens, "output": metrics.total_completion_tokens}
    ),
    "Approvals": lambda metrics: nonzero(
        {
            word: sum(decided[word] for decided in metrics.hitl.values())
            for word in ("APPROVE", "EDIT", "REJECT", "EXPIRED", "pending")
        }
    ),
}
"""What each panel of a session's dashboard shows, by its figures."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_session_panels_show_the_sessions_figures(backends, examples, example):
    """Each query of a session's dashboard has its figures, for each session of each program."""
    source = examples[example].source
    shown = panels("session")

    for metrics in source.session_list():
        for title, figures in SESSION.items():
            (target,) = shown[title]["targets"]
            query = filled_in(target["expr"], session=metrics.session_id)
            found = answer(backends.prometheus.query(query))
            assert pytest.approx(figures(metrics)) == found, (title, metrics.session_id)


def test_a_session_is_found_in_jaeger_by_what_its_dashboard_asks(backends, examples):
    """The panel with a session's traces asks Jaeger by its attribute, and Jaeger has them."""
    (target,) = panels("session")["Its traces"]["targets"]
    assert target["tags"] == f'{names.SESSION_ID}="$session"'

    for session in ("ada", "bob", "cleo"):
        kept = {
            record.trace_id
            for record in examples["agent_runtime"].source.records(session)
            if isinstance(record, Operation)
        }
        assert kept <= backends.jaeger.found_by("agent_runtime", **{names.SESSION_ID: session})
        others = {"ada", "bob", "cleo"} - {session}
        assert not kept & {
            trace
            for other in others
            for trace in backends.jaeger.found_by("agent_runtime", **{names.SESSION_ID: other})
        }


@pytest.mark.parametrize(
    ("board", "variable", "expected"),
    [
        ("fleet", "job", {"quickstart", "agent_runtime", "sop_agents"}),
        ("session", "job", {"quickstart", "agent_runtime", "sop_agents"}),
        ("session", "session", {"ada", "cleo"}),
    ],
)
def test_what_dashboards_choose_from(backends, examples, board, variable, expected):
    """The lists to choose a program and a session from have them."""
    query = variables(board)[variable]["query"]["query"].replace("$job", "agent_runtime")
    series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()

    found = httpx.get(f"{backends.prometheus.api}/api/v1/label/{label}/values", params={"match[]": series}).json()

    assert expected <= set(found["data"])


# ------------------------------------------------------------------------------------------------ rules and README
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
    wait_for("it is scraped", lambda: backends.prometheus.query('tachograph_sessions_active{job="many"}'))
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
