"""What Prometheus answers, and what the ledger says to the same question."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.records import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.sources import Source

EXAMPLES = ["quickstart", "agent_runtime", "sop_agents"]
Answer = dict[tuple[str, ...], float]
"""Numbers by the values of the labels that a query keeps, in the order of the labels' names."""


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


def every_operation(source: Source, kind: str) -> list[Operation]:
    return [
        record
        for metrics in source.session_list(deleted=True)
        for record in source.records(metrics.session_id)
        if isinstance(record, Operation) and record.kind == kind
    ]


def seconds(operation: Operation) -> float:
    """How long its span is, less what a human took of it."""
    human = operation.attributes.get("tachograph.human.wait_duration", 0.0)
    return ((operation.end_ns or 0) - operation.start_ns) / 1e9 - human


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
