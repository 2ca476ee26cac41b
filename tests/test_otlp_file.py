"""A file of OTLP in JSON has what was exported, as every reader of such files reads it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from support.answers import answers
from support.programs import Programs
from tachograph.config import ConfigError
from tachograph.exporters import make_exporter
from tachograph.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

WORK = """
import os
import tachograph

tachograph.init()


def work(session):
    with tachograph.session(session, user_id="ada"), tachograph.agent("manager"):
        with tachograph.model("gpt-4.1", provider="openai") as call:
            call.usage(input_tokens=10, output_tokens=1)
        tachograph.switch("writer", reason="wünscht es")
"""


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def written(path: Path) -> dict[str, int]:
    """How many lines of each signal there are."""
    found: dict[str, int] = {}
    for line in path.read_text("utf-8").splitlines():
        (signal,) = json.loads(line)
        found[signal] = found.get(signal, 0) + 1
    return found


def test_a_program_is_read_from_its_file_as_from_its_store(programs: Programs, tmp_path: Path) -> None:
    """One variable has all three signals written; read back the session is the one in the store, logs included."""
    file, store = tmp_path / "out.jsonl", tmp_path / "s.db"
    done = programs.python(f"{WORK}\nwork('chat-1')\n", TACHOGRAPH_OTLP_FILE=str(file), TACHOGRAPH_STORE=str(store))

    assert (0, "") == (done.code, done.stderr)
    assert {"resourceSpans": 1, "resourceMetrics": 1} == {
        signal: count for signal, count in written(file).items() if signal != "resourceLogs"
    }
    kept, live = open_source(file), open_source(store)
    try:
        assert answers(live, local=False) == answers(kept)
        assert kept.session_metrics("chat-1").complete
    finally:
        live.close()
        kept.close()
    assert 0o600 == file.stat().st_mode & 0o777


def test_processes_share_a_file(programs: Programs, tmp_path: Path) -> None:
    """Lines of processes that write at once, forked ones too, are whole; nothing is there twice."""
    file = tmp_path / "out.jsonl"
    done = programs.python(
        f"""{WORK}
import multiprocessing

if __name__ == "__main__":
    work("parent")
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(f"child-{{number}}",)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
""",
        TACHOGRAPH_OTLP_FILE=str(file),
    )

    assert (0, "") == (done.code, done.stderr)
    source = open_source(file)
    assert {"parent", "child-0", "child-1", "child-2"} == {*source.sessions()}
    assert [1, 1, 1, 1] == [metrics.total_requests for metrics in source.session_list()]
    stats = source.stats()
    assert (8, 0) == (stats["spans"], stats["bad"])


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """What rotates logs may move the file at any moment: the next batch begins another."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - beside what it is for

    file = tmp_path / "out.jsonl"
    os.environ["TACHOGRAPH_OTLP_FILE"] = str(file)
    try:
        exporter = make_exporter("traces", "otlp_json_file")
    finally:
        del os.environ["TACHOGRAPH_OTLP_FILE"]
    provider = TracerProvider(shutdown_on_exit=False)
    for name in ("old", "new"):
        exporter.export([_ended(provider, name)])
        file.rename(tmp_path / f"{name}.jsonl")

    for name in ("old", "new"):
        (line,) = (tmp_path / f"{name}.jsonl").read_text("utf-8").splitlines()
        (span,) = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        assert name == span["name"]
        assert (32, 16) == (len(span["traceId"]), len(span["spanId"]))


def _ended(provider: Any, name: str) -> Any:
    span = provider.get_tracer("t").start_span(name)
    span.end()
    return span


@pytest.mark.parametrize("place", ["{folder}", "{folder}/nowhere/out.jsonl"])
def test_a_path_that_cannot_be_is_said(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, or a file in a folder that is not there, is named with the variable and what is expected."""
    path = place.format(folder=tmp_path)
    monkeypatch.setenv("TACHOGRAPH_OTLP_FILE", path)
    with pytest.raises(ConfigError, match=r"TACHOGRAPH_OTLP_FILE=.* expected the path of a file") as error:
        make_exporter("traces", "otlp_json_file")
    assert path in str(error.value)


def test_a_disk_that_is_full_costs_what_did_not_fit(programs: Programs) -> None:
    """Where nothing can be written the program goes on, and what was not is counted as failed."""
    done = programs.python(
        f"""{WORK}
from told import tell

work("chat-1")
tachograph.runtime.current().providers.flush()
export = tachograph.stats()["export"]
tell(traces=export["traces"], requests=tachograph.session_metrics("chat-1").total_requests)
""",
        TACHOGRAPH_OTLP_FILE="/dev/full",
    )

    assert 0 == done.code
    assert {"traces": {"sent": 0, "failed": 2, "dropped": 0, "waiting": 0}, "requests": 1} == done.told
