"""The Collector's file answers as the program's own store does; and what passes can be looked at."""

from __future__ import annotations

import pytest

import tachograph
from support.engines import wait_for
from support.programs import Programs

pytestmark = pytest.mark.engines


@pytest.mark.parametrize("example", ["quickstart", "agent_runtime", "sop_agents"])
def test_sessions_read_from_the_collectors_file(backends, examples, example):
    """A session read from the file that the Collector wrote has the figures, timeline and audit log it had at home."""
    own = examples[example].source
    collected = tachograph.read(backends.collector.file)

    for metrics in own.session_list():
        session = metrics.session_id
        expected, found = (source.session_metrics(session).to_dict() for source in (own, collected))
        for said in (expected, found):
            del said["complete"], said["reasons"]
        assert expected == found
        assert own.timeline(session_id=session) == collected.timeline(session_id=session)
        assert [(entry["event_id"], entry["event_type"]) for entry in own.audit_log(session_id=session)] == [
            (entry["event_id"], entry["event_type"]) for entry in collected.audit_log(session_id=session)
        ]
    collected.close()


def test_debug_shows_what_passes(engines, tmp_path):
    """With `debug.yaml` after it the Collector says on its own output what passes, and does all else as without it."""
    collector = engines.collector("collector.yaml", "debug.yaml", TACHOGRAPH_COLLECTOR_DEBUG="detailed")
    done = Programs(tmp_path).python(
        """
        import tachograph

        tachograph.init()
        with tachograph.agent("visible"):
            pass
        """,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.otlp,
    )

    assert (done.code, done.stderr) == (0, "")
    wait_for("it is shown", lambda: "invoke_agent visible" in collector.engine.output)
    assert "invoke_agent visible" in collector.file.read_text("utf-8")
