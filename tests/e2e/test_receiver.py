"""What another process sends by OTLP is here what it is there: a session, to the last figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scripted_llm import ScriptedLLM
from support.answers import figures
from support.figures import sent
from support.programs import Programs
from support.serving import asking
from tachograph.guard import Guard
from tachograph.ledger import Ledger
from tachograph.server import Receiver, create_app
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.schema import connect
from team_script import script

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tachograph.sources import Source

EXAMPLES = Path(__file__).parents[2] / "examples"
TEAM = f"""
    import sys

    sys.path.insert(0, {str(EXAMPLES)!r})
    import tachograph.auto
    from team import main
    from told import tell

    with tachograph.session("quickstart", user_id="you"):
        main()
    tell(
        figures=tachograph.session_metrics("quickstart").to_dict(),
        audit_log=tachograph.audit_log(session_id="quickstart"),
        timeline=tachograph.timeline(session_id="quickstart").to_dict(),
    )
    """
"""The team of the quickstart, which then tells what it knows of its session."""


@pytest.fixture(params=["memory, gzipped", "store", "store that it writes itself"])
def way(request) -> str:
    """Where the server keeps what is sent, and how it is."""
    return request.param


@pytest.fixture
def compression(way) -> str:
    return "gzip" if "gzipped" in way else "none"


@pytest.fixture
def source(way, tmp_path) -> Iterator[Source]:
    if "memory" in way:
        yield Ledger()
        return
    connect(tmp_path / "store.db").close()
    kept = SqliteSource(tmp_path / "store.db")
    yield kept
    kept.close()


@pytest.fixture
def receiver(source) -> Iterator[Receiver]:
    receiver = Receiver(source, guard=Guard(strict=True))
    yield receiver
    receiver.close()


@pytest.fixture
def client(source, receiver) -> Iterator[httpx.Client]:
    with asking(create_app(source, receiver=receiver)) as client:
        yield client


def run_team(tmp_path: Path, client: httpx.Client, **variables: str) -> dict[str, Any]:
    """Run the team in a process that sends all it records to the server; gives what it knows."""
    with ScriptedLLM(script()) as llm:
        done = Programs(tmp_path).python(
            TEAM,
            OPENAI_BASE_URL=llm.base_url,
            OPENAI_API_KEY="none",
            OTEL_EXPORTER_OTLP_ENDPOINT=str(client.base_url),
            **variables,
        )
    assert 0 == done.code, done.stderr
    return done.told


def test_a_session_that_is_sent_is_the_sender_s_own(tmp_path, way, source, receiver, client, compression):
    """Figures, audit log and timeline of the quickstart's team are those of the process it ran in, whoever kept it."""
    itself = {"TACHOGRAPH_STORE": source.place} if "itself" in way else {}
    told = run_team(tmp_path, client, OTEL_EXPORTER_OTLP_COMPRESSION=compression, **itself)
    receiver.close()  # so that what waits for its like does not
    stats = client.get("/events/stats").json()["receiver"]

    here = json.loads(json.dumps(figures(source.session_metrics("quickstart"))))
    assert {name: value for name, value in told["figures"].items() if name in here} == here
    assert (21_826, 13, 2) == (here["total_tokens"], here["tool_calls"], here["agent_switches"])
    log = json.loads(json.dumps(sent(source.audit_log(session_id="quickstart"))))
    assert json.loads(json.dumps(sent(told["audit_log"]))) == log
    assert told["timeline"] == json.loads(json.dumps(source.timeline(session_id="quickstart").to_dict()))
    assert {"refused_requests": 0, "failed": 0, "trouble": None}.items() <= stats.items()
    assert stats["kept"] + stats["duplicates"] > 20
    assert ("itself" in way) == (stats["duplicates"] > 0)
    assert stats["refused"] > 0  # its metrics: figures are made of spans
