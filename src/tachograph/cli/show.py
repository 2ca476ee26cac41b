"""``tachograph show``: one session on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from tachograph.cli import figures, screen
from tachograph.cli.reading import reads, request_named, session_named
from tachograph.cli.screen import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics

_NAME: Final = 12
"""Cells that a name may be cut down to."""


@click.command()
@click.argument("session", default="last")
@click.option("--correlation", metavar="ID", help="Only this request within the session.")
@reads
def show(*, source: Source, session: str, correlation: str | None, as_json: bool) -> None:
    """Show what a session did, used and cost, and what went wrong.

    SESSION is an id or the beginning of one; 'last', which is the default, is the session last active, 'last~1' the
    one before. Exit code 1: there is no such session or request.
    """
    session_id = session_named(source, session)
    request = None if correlation is None else request_named(source, session_id, correlation)
    metrics = source.session_metrics(session_id, request)
    if as_json:
        screen.print_json(metrics.to_dict())
        return
    out = screen.console()
    screen.print_lines(out, _page(metrics, request, out.width))


def _page(metrics: SessionMetrics, request: str | None, width: int) -> Iterator[Text]:
    yield from _head(metrics, request)
    yield Text()
    yield from _tiles(metrics).lines(width)
    yield from _notes(metrics)
    for table in (_agents(metrics), _models(metrics), _tools(metrics), _switches(metrics), _errors(metrics)):
        if table.rows:
            yield Text()
            yield from table.lines(width)
    if metrics.hitl:
        yield Text()
        yield from _approvals(metrics).lines(width)


def _head(metrics: SessionMetrics, request: str | None) -> Iterator[Text]:
    head = Text.assemble("Session ", screen.safe(metrics.session_id, "bold"))
    if request is not None:
        head.append(" · request ").append_text(screen.safe(request, "bold"))
    yield head
    first, last = figures.local(metrics.first_seen), figures.local(metrics.last_seen)
    if first[:10] == last[:10]:
        last = last[11:]
    status = screen.safe(metrics.status, {"active": "green", "deleted": "bold red"}.get(metrics.status, ""))
    line = Text.assemble(status, f" · {first} to {last}")
    if metrics.user_id:
        line.append(" · user ").append_text(screen.safe(metrics.user_id))
    yield line


def _tiles(metrics: SessionMetrics) -> Table:
    tiles: dict[str, str | int] = {
        "requests": metrics.total_requests,
        "tokens": metrics.total_tokens,
        "cost": figures.cost(metrics.cost),
        "agent time": figures.duration(metrics.processing_duration_ms),
        "tool calls": metrics.tool_calls,
        "switches": metrics.agent_switches,
        "errors": metrics.errors,
    }
    columns = [Column(title, right=True, style="bold") for title in tiles]
    columns[-1] = Column("errors", right=True, style="bold red" if metrics.errors else "bold green")
    return Table(columns, [list(tiles.values())])


def _notes(metrics: SessionMetrics) -> Iterator[Text]:
    """What the figures above are made of, and what they do not say."""
    calls = [
        f"{n:,} {word}"
        for n, word in (
            (metrics.failed_requests, "failed"),
            (metrics.incomplete_requests, "incomplete"),
            (metrics.streamed_requests, "streamed"),
            (metrics.active_requests, "under way"),
        )
        if n
    ]
    if metrics.total_tokens:
        cached = f" ({metrics.cached_tokens:,} cached)" if metrics.cached_tokens else ""
        reasoning = f" ({metrics.reasoning_tokens:,} reasoning)" if metrics.reasoning_tokens else ""
        tokens = f"{metrics.total_prompt_tokens:,} in{cached} + {metrics.total_completion_tokens:,} out{reasoning}"
        yield Text(f"tokens    {tokens}", "dim")
    if calls or metrics.successful_requests:
        average = f"{figures.duration(metrics.average_duration_ms)} on average" if metrics.successful_requests else ""
        yield Text(f"requests  {' · '.join(filter(None, (average, *calls)))}", "dim")
    unpriced = metrics.cost.get("unpriced_models") or []
    if unpriced:
        yield Text("cost      no price known for ", "dim").append_text(screen.safe(", ".join(unpriced)))
    if metrics.recovered_errors:
        yield Text(f"errors    went on after {metrics.recovered_errors:,} more", "dim")
    for what, count in metrics.evicted.items():
        if count:
            yield Text(f"not kept  the oldest {count:,} {what} in detail; the figures count them", "yellow")
    for reason in metrics.reasons if not metrics.complete else ():
        yield Text("incomplete  ", "yellow").append_text(screen.safe(reason))


def _agents(metrics: SessionMetrics) -> Table:
    columns = (
        Column("agent", least=_NAME),
        Column("runs", right=True),
        Column("ok", right=True),
        Column("failed", right=True),
        Column("time", right=True),
    )
    ordered = sorted(metrics.agents.items(), key=lambda item: (-item[1]["total_duration_ms"], item[0]))
    rows: list[list[screen.Cell]] = [
        [
            name,
            int(agent["count"]),
            int(agent["success_count"]),
            _trouble(agent["failure_count"]),
            figures.duration(agent["total_duration_ms"]),
        ]
        for name, agent in ordered
    ]
    return Table(columns, [*rows], "Agents")


def _models(metrics: SessionMetrics) -> Table:
    columns = (
        Column("model", least=_NAME),
        Column("requests", right=True),
        Column("tokens in", right=True),
        Column("cached", right=True, rank=2),
        Column("tokens out", right=True),
        Column("reasoning", right=True, rank=1),
        Column("tokens", right=True),
    )
    fields = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")
    ordered = sorted(metrics.tokens_by_model.items(), key=lambda item: (-item[1]["total_tokens"], item[0]))
    return Table(columns, [[name, *(model[key] for key in fields)] for name, model in ordered], "Models")


def _tools(metrics: SessionMetrics) -> Table:
    columns = (
        Column("tool", least=_NAME),
        Column("requested", right=True),
        Column("completed", right=True),
        Column("failed", right=True),
        Column("refused", right=True),
        Column("asked a human", right=True, rank=1),
        Column("time", right=True),
    )
    ordered = sorted(metrics.tools.items(), key=lambda item: (-item[1]["requested"], item[0]))
    rows: list[list[screen.Cell]] = [
        [
            name,
            int(tool["requested"]),
            int(tool["completed"]),
            _trouble(tool["failed"]),
            _trouble(tool["refused"]),
            int(tool["requires_approval"]),
            figures.duration(tool["total_duration_ms"]),
        ]
        for name, tool in ordered
    ]
    return Table(columns, [*rows], "Tools")


def _switches(metrics: SessionMetrics) -> Table:
    ordered = sorted(metrics.switches.items(), key=lambda item: (-item[1], item[0]))
    rows: list[list[screen.Cell]] = [[figures.handover(pair, metrics.agents), count] for pair, count in ordered]
    return Table((Column("switch", least=_NAME), Column("times", right=True)), [*rows], "Switches between agents")


def _errors(metrics: SessionMetrics) -> Table:
    columns = (Column("in", least=_NAME), Column("error", least=_NAME), Column("times", right=True), Column(""))
    nested = (
        (metrics.errors_by_agent, "agent ", "ended it"),
        (metrics.recovered_errors_by_agent, "agent ", "went on"),
        ({"tools": metrics.tool_errors}, "", ""),
        ({"models": metrics.llm_errors}, "", ""),
    )
    rows: list[list[screen.Cell]] = [
        [f"{what}{name}", kind, count, ending]
        for by_name, what, ending in nested
        for name, kinds in by_name.items()
        for kind, count in kinds.items()
    ]
    return Table(columns, [*rows], "Errors")


def _approvals(metrics: SessionMetrics) -> Table:
    kinds = ("APPROVE", "EDIT", "REJECT", "EXPIRED", "pending")
    columns = (Column("tool", least=_NAME), *(Column(kind.lower(), right=True) for kind in kinds))
    rows: list[list[screen.Cell]] = [
        [name, *(known.get(kind, 0) for kind in kinds)] for name, known in metrics.hitl.items()
    ]
    return Table(columns, [*rows], "Approvals")


def _trouble(count: float) -> Text:
    return Text(f"{count:,.0f}", "red" if count else "")
