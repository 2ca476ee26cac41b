"""The quickstart: its figures are the server's bill, its trace is one reviewed snapshot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased
from opentelemetry.trace import format_span_id

import tachograph
from scripted_llm import ScriptedLLM
from tachograph import names
from tachograph.testing import Capture, capture
from team_script import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

EXAMPLES = Path(__file__).parent.parent / "examples"
SNAPSHOT = Path(__file__).parent / "data" / "quickstart_spans.json"
VARYING = {names.SERVER_PORT, names.ACTIVE_SECONDS, names.TIME_TO_FIRST_CHUNK, names.CORRELATION_ID, names.RESPONSE_ID}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedLLM]:
    """The scripted server, which the team's program finds in its environment."""
    with ScriptedLLM(script()) as llm:
        monkeypatch.setenv("OPENAI_BASE_URL", llm.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield llm


def run_team() -> None:
    """Run the agent program, unchanged, in a session."""
    import team  # noqa: PLC0415 - it imports tachograph.auto, which is to find the capture running

    with tachograph.session("quickstart"):
        team.main()


def dollars(model: str, bill: Any) -> float:
    """What the bill comes to, by the prices OpenAI has published."""
    read, cached, written = {"gpt-4.1": (2, 0.5, 8), "gpt-4.1-mini": (0.4, 0.1, 1.6), "o4-mini": (1.1, 0.275, 4.4)}[
        model
    ]
    plain = bill.prompt_tokens - bill.cached_tokens
    return (plain * read + bill.cached_tokens * cached + bill.completion_tokens * written) / 1_000_000


def shape(span: ReadableSpan, spans: dict[str, ReadableSpan]) -> dict[str, Any]:
    """What of a span is the same in every run."""
    parent = spans.get(format_span_id(span.parent.span_id)) if span.parent else None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "parent": parent.name if parent else None,
        "status": span.status.status_code.name,
        "attributes": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in sorted(span.attributes.items())
            if name not in VARYING
        },
        "varying": sorted(VARYING & span.attributes.keys()),
        "events": [event.name for event in span.events],
    }


def test_snapshot(captured: Capture, server: ScriptedLLM) -> None:
    """Names, kinds, parents, attributes and status of all spans are those of the reviewed snapshot."""
    run_team()

    spans = {format_span_id(span.context.span_id): span for span in captured.spans}
    # Three tools run in parallel, so spans are compared in an order that no scheduler decides.
    found = sorted((shape(span, spans) for span in captured.spans), key=json.dumps)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert found == json.loads(SNAPSHOT.read_text("utf-8")), "run with UPDATE_SNAPSHOTS=1 and review the difference"
    assert captured.ledger.open_operations() == []
    assert len({span.context.trace_id for span in captured.spans}) == 1
    assert server.total_tokens > 0


@pytest.mark.parametrize(
    "settings",
    [{}, {"sampler": TraceIdRatioBased(0.01)}, {"sampler": ALWAYS_OFF}, {"sdk": False}],
    ids=["all", "one-percent", "off", "no-sdk"],
)
def test_bill(server: ScriptedLLM, settings: dict[str, Any]) -> None:
    """Per model, requests and every kind of token are the server's bill, sampled out or not."""
    with capture(**settings) as captured:
        run_team()

    counted = captured.ledger.session_metrics("quickstart").tokens_by_model
    billed = {
        model: {
            "requests": bill.requests,
            "prompt_tokens": bill.prompt_tokens,
            "completion_tokens": bill.completion_tokens,
            "total_tokens": bill.total_tokens,
            "cached_tokens": bill.cached_tokens,
            "reasoning_tokens": bill.reasoning_tokens,
            "cost": pytest.approx(dollars(model, bill), abs=1e-12),
        }
        for model, bill in server.bill().items()
    }
    assert counted == billed


def test_exported_usage_is_the_bill(captured: Capture, server: ScriptedLLM) -> None:
    """Token usage summed over all exported spans, and over the token metric, is the server's bill."""
    run_team()

    usage = (names.INPUT_TOKENS, names.OUTPUT_TOKENS)
    exported = sum(span.attributes.get(name, 0) for span in captured.spans for name in usage)
    measured = sum(point.sum for name, _, point in captured.points() if name == names.TOKEN_USAGE)
    assert exported == measured == server.total_tokens


def test_program(tmp_path: Path) -> None:
    """The program prints answer, summary, log, timeline, a count that equals the bill, and where all of it is seen."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "OTEL_"))}
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py")],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    for part in ("Answer  Turin first", "Session summary", "manager → researcher", "tool roof_area  error ValueError"):
        assert part in ran.stdout
    billed, counted = re.search(r"billed ([\d,]+) tokens · Tachograph counted ([\d,]+)", ran.stdout).groups()
    assert billed == counted == "21,826"
    page = tmp_path / "tachograph-quickstart.html"
    assert page.as_uri() in ran.stdout
    assert "21,826" in page.read_text("utf-8")
