"""A page for Prometheus in the process itself: what the ledger says, on loopback, as long as it is wanted."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from support.programs import Programs
from tachograph.config import ConfigError
from tachograph.scraped import place

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os
import urllib.request
import tachograph
from told import tell

tachograph.init()
with tachograph.session("chat-1"), tachograph.agent("manager"):
    for _ in range(3):
        with tachograph.model("gpt-4.1", provider="openai") as call:
            call.usage(input_tokens=10, output_tokens=1)
page = f"http://127.0.0.1:{os.environ['OTEL_EXPORTER_PROMETHEUS_PORT']}/metrics"
with urllib.request.urlopen(page) as answer:
    lines = answer.read().decode().splitlines()
tachograph.shutdown()
try:
    urllib.request.urlopen(page)
    after = "still there"
except OSError:
    after = "gone"
tell(lines=[line for line in lines if not line.startswith("#")], after=after)
"""


def test_the_page_says_what_the_ledger_says(tmp_path: Path) -> None:
    """Metrics are scraped from the process under Prometheus' names; it listens on loopback, and not after the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    done = Programs(tmp_path).python(PROGRAM, **variables)

    assert (0, "") == (done.code, done.stderr)
    assert "gone" == done.told["after"]
    found = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in done.told["lines"]}
    tokens = {
        name: float(value)
        for name, value in found.items()
        if name.startswith(("gen_ai_client_token_usage_sum", "gen_ai_client_token_usage_tokens_sum"))
    }
    assert [3.0, 30.0] == sorted(tokens.values()), found
    assert any(name.startswith("tachograph_session_requests") and 'session_id="chat-1"' in name for name in found)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """Where it cannot listen one line names address and variables, and the program goes on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = Programs(tmp_path).python(
            """
            import tachograph
            from told import tell

            tachograph.init()
            with tachograph.session("chat-1"), tachograph.agent("manager"):
                pass
            tell(runs=tachograph.session_metrics("chat-1").agent_runs)
            """,
            OTEL_METRICS_EXPORTER="prometheus",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
        )

    assert 0 == done.code
    assert f"metrics are not exported: cannot listen on 127.0.0.1:{port} for Prometheus: " in done.stderr
    assert "set OTEL_EXPORTER_PROMETHEUS_HOST or OTEL_EXPORTER_PROMETHEUS_PORT" in done.stderr
    assert {"runs": 1} == done.told


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({}, ("127.0.0.1", 9_464)),
        ({"OTEL_EXPORTER_PROMETHEUS_PORT": "1234"}, ("127.0.0.1", 1_234)),
        ({"OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0", "OTEL_EXPORTER_PROMETHEUS_PORT": " 0 "}, ("0.0.0.0", 0)),  # noqa: S104 - asked for
    ],
)
def test_where_it_listens(environ: dict[str, str], where: tuple[str, int]) -> None:
    """It is loopback and port 9464 unless the standard variables say otherwise."""
    assert where == place(environ)


@pytest.mark.parametrize("port", ["many", "-1", "65536"])
def test_a_port_that_is_none_is_said(port: str) -> None:
    """A port that is no number, or beyond those there are, is named with its variable."""
    with pytest.raises(ConfigError, match=f"OTEL_EXPORTER_PROMETHEUS_PORT='{port}' is not usable"):
        place({"OTEL_EXPORTER_PROMETHEUS_PORT": port})
