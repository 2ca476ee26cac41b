"""A program in another language: an agent in Node, by the official OpenTelemetry SDK, is a session of a real server.

Its packages are the registry's, so this is a test of its own, which `.ci/run` calls:

    pytest -n 0 -m node

They are installed once, outside the repository: in `$XDG_CACHE_HOME/tachograph-tests`, by default in `~/.cache`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from support.programs import PATIENCE, clean_environment
from support.terminal import terminal
from tachograph.sources.sqlite import SqliteSource

pytestmark = pytest.mark.node

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"
INSTALL = ("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")


@pytest.fixture(scope="session")
def packages() -> Path:
    """The example's packages, installed."""
    missing = [command for command in ("node", "npm") if shutil.which(command) is None]
    if missing:
        reason = f"{' and '.join(missing)} not found on the path; install Node.js 18.19 or newer"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    wanted = (EXAMPLE / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tachograph-tests"
    place = cache / f"node-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder, "made")
            made.mkdir()
            (made / "package.json").write_bytes(wanted)
            subprocess.run(INSTALL, cwd=made, check=True, timeout=600)
            with contextlib.suppress(OSError):  # another run was faster
                made.rename(place)
    return place / "node_modules"


@pytest.mark.parametrize(("protocol", "compression"), [("http/json", "gzip"), ("http/protobuf", "none")])
def test_an_agent_in_node_is_a_session(packages, tmp_path, protocol, compression):
    """Its run, its calls and their tokens are there as soon as it has sent them, and in the store afterwards."""
    shutil.copy(EXAMPLE / "agent.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(packages)
    path = tmp_path / "store.db"
    with terminal("serve", "--port", "0", columns=200, TACHOGRAPH_STORE=str(path)) as shown:
        text = shown.wait_for(lambda text: "Ctrl-C" in text)
        endpoint = re.search(r"OTEL_EXPORTER_OTLP_ENDPOINT=(\S+)", text)[1]
        done = subprocess.run(
            [shutil.which("node"), "agent.mjs"],
            cwd=tmp_path,
            env=clean_environment(
                SESSION_ID="node/1",
                OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
                OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
                OTEL_EXPORTER_OTLP_COMPRESSION=compression,
            ),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (0, "") == (done.returncode, done.stderr)
        live = figures(endpoint)
        shown.process.send_signal(signal.SIGINT)
        assert 0 == shown.end()[0]

    store = SqliteSource(path)
    metrics = store.session_metrics("node/1")
    assert ["node/1"] == store.sessions()
    store.close()
    used = {"requests": 2, "prompt_tokens": 2_600, "completion_tokens": 120, "total_tokens": 2_720}
    assert used.items() <= metrics.tokens_by_model["gpt-4.1-mini"].items()
    assert (2_720, 1) == (live["total_tokens"], metrics.requests_with_tools)
    assert (1, 1) == (metrics.agents["researcher"]["success_count"], metrics.tools["search"]["completed"])


def figures(endpoint: str) -> dict:
    """The session's figures, once its calls are kept, which is some milliseconds after they were taken."""
    deadline = time.monotonic() + PATIENCE
    with httpx.Client(base_url=endpoint, trust_env=False) as client:
        while True:
            found = client.get("/events/metrics/session/node/1").json()
            if found["total_requests"] == 2 or time.monotonic() > deadline:
                return found
