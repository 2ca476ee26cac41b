"""``tachograph show``: one session on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from tachograph import figures
from tachograph.cli import screen
from tachograph.cli.reading import reads, request_named, session_named
from tachograph.cli.screen import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.sources import Source
    from tachograph.views.session import SessionMetrics

_NAME: Final = 12
"""Cells that a name may be cut down to."""

_ABOUT: Final = 10
"""Cells for what a note is about."""


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
    screen.print_lines(out, page(metrics, request, out.width))


def page(metrics: SessionMetrics, request: str | None, width: int) -> Iterator[Text]:
    """The page of a session, or of one request within it, in lines of at most ``width`` cells."""
    yield from _head(metrics, request)
    yield Text()
    yield from _tiles(metrics).lines(width)
    for about, said, style in _notes(metrics):
        yield from screen.hanging(Text(f"{about:<{_ABOUT}}", style), screen.safe(said, style), width)
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
    line = screen.safe(metrics.status, {"active": "green", "deleted": "bold red"}.get(metrics.status, ""))
    if metrics.first_seen is not None:
        first, last = figures.local(metrics.first_seen), figures.local(metrics.last_seen)
        line.append(f" · {first} to {last[11:] if first[:10] == last[:10] else last}")
    if metrics.user_id:
        line.append(" · user ").append_text(screen.safe(metrics.user_id))
    yield line


def _tiles(metrics: SessionMetrics) -> Table:
    bad = "bold red" if metrics.errors else "bold green"
    tiles: dict[Column, screen.Cell] = {
        Column("requests", right=True, style="bold"): metrics.total_requests,
        Column("tokens", right=True, style="bold"): figures.tokens(metrics.total_tokens, whole=not metrics.unmetered),
        Column("cost", right=True, style="bold", rank=1): figures.cost(metrics.cost),
        Column("agent time", right=True, style="bold", rank=2): figures.duration(metrics.processing_duration_ms),
        Column("tool calls", right=True, style="bold", rank=3): metrics.tool_calls,
        Column("switches", right=True, style="bold", rank=4): metrics.agent_switches,
        Column("errors", right=True, style=bad): metrics.errors,
    }
    return Table([*tiles], [[*tiles.values()]])


def _notes(metrics: SessionMetrics) -> Iterator[tuple[str, str, str]]:
    """What the figures above are made of, and what they do not say: about what, what, and its style."""
    if metrics.total_tokens:
        cached = f" ({metrics.cached_tokens:,} cached)" if metrics.cached_tokens else ""
        reasoning = f" ({metrics.reasoning_tokens:,} reasoning)" if metrics.reasoning_tokens else ""
        told = f"{metrics.total_prompt_tokens:,} in{cached} + {metrics.total_completion_tokens:,} out{reasoning}"
        yield "tokens", told, "dim"
    short = figures.cut_short(metrics.outcomes)
    if short:
        yield "runs", short, "yellow"
    calls = [f"{figures.duration(metrics.average_duration_ms)} on average"] if metrics.successful_requests else []
    counts = {
        "failed": metrics.failed_requests,
        "incomplete": metrics.incomplete_requests,
        "streamed": metrics.streamed_requests,
        "under way": metrics.active_requests,
    }
    calls += [f"{count:,} {word}" for word, count in counts.items() if count]
    if calls:
        yield "requests", " · ".join(calls), "dim"
    unpriced = metrics.cost.get("unpriced_models")
    if unpriced:
        yield "cost", f"price or tokens not known for {', '.join(unpriced)}", "dim"
    if metrics.recovered_errors:
        yield "errors", f"went on after {metrics.recovered_errors:,} more", "dim"
    for what, count in metrics.evicted.items():
        if count:
            yield "not kept", f"the oldest {count:,} {what} in detail; the figures count them", "yellow"
    for reason in metrics.reasons if not metrics.complete else ():
        yield "not all", reason, "yellow"


def _agents(metrics: SessionMetrics) -> Table:
    columns = (
        Column("agent", least=_NAME),
        Column("runs", right=True, rank=1),
        Column("ok", right=True, rank=2),
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
        Column("requests", right=True, rank=1),
        Column("tokens in", right=True, rank=2),
        Column("cached", right=True, rank=6),
        Column("tokens out", right=True, rank=3),
        Column("reasoning", right=True, rank=5),
        Column("tokens", right=True),
        Column("cost", right=True, rank=4),
    )
    fields = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "total_tokens")
    ordered = sorted(metrics.tokens_by_model.items(), key=lambda item: (-item[1]["total_tokens"], item[0]))
    rows: list[list[screen.Cell]] = [
        [
            name,
            model["requests"],
            *(figures.tokens(model[key], whole=name not in metrics.unmetered) for key in fields),
            figures.price(name, model, metrics.cost),
        ]
        for name, model in ordered
    ]
    return Table(columns, [*rows], "Models")


def _tools(metrics: SessionMetrics) -> Table:
    columns = (
        Column("tool", least=_NAME),
        Column("requested", right=True),
        Column("ok", right=True, rank=2),
        Column("failed", right=True),
        Column("refused", right=True, rank=3),
        Column("to approve", right=True, rank=4),
        Column("time", right=True, rank=1),
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
    columns = (
        Column("tool", least=_NAME),
        *(Column(kind.lower(), right=True, rank=rank) for kind, rank in zip(kinds, (3, 2, 1, 0, 0), strict=True)),
    )
    rows: list[list[screen.Cell]] = [
        [name, *(known.get(kind, 0) for kind in kinds)] for name, known in metrics.hitl.items()
    ]
    return Table(columns, [*rows], "Approvals")


def _trouble(count: float) -> Text:
    return Text(f"{count:,.0f}", "red" if count else "")
