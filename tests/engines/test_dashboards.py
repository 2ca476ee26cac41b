"""Every panel of the dashboards shows the ledger's numbers."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.engines import CONFIG
from support.queries import (
    EXAMPLES,
    Answer,
    answer,
    by_name,
    cost_by_model,
    decisions,
    error_rate,
    every_operation,
    executed,
    failed,
    nonzero,
    one,
    runs,
    seconds,
    tokens_by_model,
)
from tachograph import names
from tachograph.records import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.sources import Source

pytestmark = pytest.mark.engines


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
