"""A pause that outlives its process: asked in one program, decided in a second, resumed in a third."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from support.programs import Programs, program
from tachograph.times import moment

if TYPE_CHECKING:
    from pathlib import Path

STARTED = """
    import json
    import os
    import tachograph
    from told import tell

    tachograph.init(store="store.db", summary="0")

    def kept():  # however long a machine under load takes
        from tachograph import runtime

        assert runtime.current().keeper.flush(30)
    """

DROP = """
    from smolagents import Tool

    class Drop(Tool):
        name = "drop"
        description = "Drops a table, if a human has approved of it."
        inputs = {"table": {"type": "string", "description": "which"}}
        output_type = "string"

        def forward(self, table):
            return f"{table} is gone"
    """

ASK = program(
    STARTED,
    DROP,
    """
    from crew import loner

    agent = loner(("drop", {"table": "users"}))

    class Careful(Drop):
        def __call__(self, *args, **kwargs):  # asks instead, and has its agent stopped
            tachograph.request_approval(
                tool_name="drop", arguments={"table": kwargs["table"]}, reason="drops a table", call_id="call-7"
            )
            agent.interrupt()
            return "a human is asked"

    class Asking(Careful):
        name = "ask_to_drop"

    agent.tools = {"ask_to_drop": Asking(), "final_answer": agent.tools["final_answer"]}
    agent.model.replies = (("ask_to_drop", {"table": "users"}),)
    with tachograph.session("chat", user_id="ada"):
        try:
            agent.run("drop the users")
        except Exception as stopped:
            told = str(stopped)
    (asked,) = tachograph.approvals(pending=True)
    kept()
    tell(told=told, **asked)
    if os.environ["HOW"] == "killed":
        os._exit(9)
    """,
)

DECIDE = program(
    STARTED,
    """
    import sys

    _, call_id, decision = sys.argv
    source = tachograph.read("store.db")
    listed = tachograph.approvals(pending=True, source=source)
    counts = tachograph.decide(
        call_id, decision, decided_by="bob", modified_arguments={"table": "logs"} if decision == "EDIT" else None
    )
    kept()
    tell(listed=listed, counts=counts, left=tachograph.approvals(pending=True, source=source))
    """,
)

RESUME = program(
    STARTED,
    DROP,
    """
    import sys
    from crew import ANSWER, loner

    source = tachograph.read("store.db")
    (approval,) = tachograph.approvals(session_id="chat", source=source)
    agent = loner(*([("drop", {"table": "users"})] if approval["status"] != "REJECT" else []), ANSWER)
    agent.tools["drop"] = Drop()
    with tachograph.session("chat", correlation_id=approval["correlation_id"]):
        agent.run("a human has decided: " + approval["status"], reset=False)
    kept()
    """,
)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def done(programs: Programs, source: str, *arguments: str, code: int = 0, **variables: str) -> Any:
    """What a program told that ended as it should."""
    finished = programs.python(source, *arguments, **variables)
    assert (code, "") == (finished.code, finished.stderr)
    return finished.told if finished.stdout else None


@pytest.mark.parametrize(("decision", "how"), [("APPROVE", "killed"), ("REJECT", "ended")])
def test_asked_decided_and_resumed_in_three_processes(programs, tmp_path, decision, how):
    """One session, one request, one approval with the time truly waited; approved the tool ran once, refused never."""
    asked = done(programs, ASK, code=9 if how == "killed" else 0, HOW=how)
    assert ("Agent interrupted.", "pending", "ada") == (asked["told"], asked["status"], asked["user_id"])

    decided = done(programs, DECIDE, "call-7", decision)
    (listed,) = decided["listed"]
    assert asked["waiting_ms"] < listed["waiting_ms"]
    waiting = {**asked, "waiting_ms": listed["waiting_ms"]}
    del waiting["told"]
    assert waiting == listed
    assert (True, []) == (decided["counts"], decided["left"])
    done(programs, RESUME)

    with closing(tachograph.read(tmp_path / "store.db")) as source:
        (approval,) = tachograph.approvals(source=source)
        assert (asked["id"], "chat", decision, "bob", {"table": "users"}) == tuple(
            approval[name] for name in ("id", "session_id", "status", "decided_by", "arguments")
        )
        waited = (moment(approval["decided_at"]) - moment(approval["requested_at"])) / 1_000_000
        assert waited == pytest.approx(approval["waiting_ms"], abs=0.002)
        assert (asked["requested_at"], asked["correlation_id"]) == (
            approval["requested_at"],
            approval["correlation_id"],
        )
        assert ["chat"] == source.sessions()

        metrics = source.session_metrics("chat")
        ran = 0 if decision == "REJECT" else 1
        assert (0, "idle", {"waiting": 1, "ok": 1}) == (metrics.errors, metrics.status, metrics.outcomes)
        assert metrics.to_dict() == {
            **source.session_metrics("chat", approval["correlation_id"]).to_dict(),
            "requests": metrics.to_dict()["requests"],
        }
        assert ran == metrics.tools.get("drop", {}).get("completed", 0)
        assert {"APPROVE": ran, "EDIT": 0, "REJECT": 1 - ran, "EXPIRED": 0, "pending": 0} == metrics.hitl["drop"]
        assert 1 == len(source.audit_log(event_type="hitl_decision_made"))
        assert metrics.processing_duration_ms < approval["waiting_ms"]


def test_two_processes_decide_at_once(programs, tmp_path):
    """However many decide at the same time, one decision counts, the others are told, and the store has the one."""
    asked = (
        'with tachograph.session("chat"):\n    tachograph.request_approval(tool_name="drop", call_id="call-7")\nkept()'
    )
    done(programs, program(STARTED, asked))
    source = program(
        STARTED,
        """
        import sys

        print("ready", flush=True)
        sys.stdin.readline()
        tell(counts=tachograph.decide("call-7", sys.argv[1], decided_by=sys.argv[2]))
        """,
    )
    programs.write("decide.py", source)
    with ExitStack() as stack:
        running = [
            stack.enter_context(programs.start(sys.executable, "decide.py", decision, f"human-{number}"))
            for number, decision in enumerate(("APPROVE", "REJECT", "EDIT", "APPROVE"))
        ]
        assert ["ready\n"] * 4 == [process.stdout.readline() for process in running]
        for process in running:
            process.stdin.write("\n")
            process.stdin.flush()
        finished = [programs.finish(process) for process in running]
    won = [number for number, one in enumerate(finished) if one.told["counts"]]
    assert 1 == len(won)
    for number, one in enumerate(finished):
        assert (0, number in won) == (one.code, "was decided already" not in one.stderr)

    with closing(tachograph.read(tmp_path / "store.db")) as source:
        (approval,) = tachograph.approvals(source=source)
        assert f"human-{won[0]}" == approval["decided_by"]
        assert 1 == sum(source.session_metrics("chat").hitl["drop"].values())
        assert 1 == len(source.audit_log(event_type="hitl_decision_made"))


def test_who_asked_hears_that_another_process_has_decided(programs, tmp_path):
    """Deciding too late on what it asked itself, a process is told, and has the other's decision from then on."""
    with programs.start(
        sys.executable,
        "-c",
        program(
            STARTED,
            """
            import sys

            asked = tachograph.request_approval(tool_name="drop", call_id="call-7")
            kept()
            print("ready", flush=True)
            sys.stdin.readline()
            counts = asked.decide("APPROVE")
            (row,) = tachograph.approvals()
            tell(counts=counts, row=row)
            """,
        ),
    ) as asking:
        assert "ready\n" == asking.stdout.readline()
        assert done(programs, DECIDE, "call-7", "REJECT")["counts"]
        finished = programs.finish(asking, "\n")
    assert "was decided already (REJECT by bob, " in finished.stderr
    assert (False, "REJECT", "bob") == (
        finished.told["counts"],
        finished.told["row"]["status"],
        finished.told["row"]["decided_by"],
    )
    with closing(tachograph.read(tmp_path / "store.db")) as source:
        assert ["REJECT"] == [row["status"] for row in tachograph.approvals(source=source)]


def test_who_asked_sees_what_another_process_decides(programs, tmp_path):
    """Decided elsewhere, it is pending no more where it was asked (metrics, lists, figures), and no tool's time."""
    with programs.start(
        sys.executable,
        "-c",
        program(
            STARTED,
            """
            import sys
            from opentelemetry import metrics
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader

            reader = InMemoryMetricReader()
            metrics.set_meter_provider(MeterProvider([reader]))

            def pending():
                found = json.loads(reader.get_metrics_data().to_json())["resource_metrics"][0]["scope_metrics"][0]
                (metric,) = [each for each in found["metrics"] if each["name"] == "tachograph.approvals.pending"]
                return {p["attributes"]["gen_ai.tool.name"]: p["value"] for p in metric["data"]["data_points"]}

            with tachograph.session("chat"):
                tachograph.request_approval(tool_name="scraped", call_id="call-1")
                with tachograph.tool("drop"):
                    tachograph.request_approval(tool_name="drop", call_id="call-2")
                    before = pending()
                    print("ready", flush=True)
                    sys.stdin.readline()
                    after = pending()
                    tachograph.request_approval(tool_name="listed", call_id="call-3")
                    print("ready", flush=True)
                    sys.stdin.readline()
                    statuses = [row["status"] for row in tachograph.approvals()]
            (tool,) = [entry for entry in tachograph.timeline(session_id="chat").entries if entry.kind == "tool"]
            figures = tachograph.session_metrics("chat")
            tell(
                before=before,
                after=after,
                statuses=statuses,
                hitl={name: decisions["REJECT"] for name, decisions in figures.hitl.items()},
                of_the_tool=figures.tools["drop"]["total_duration_ms"] / tool.duration_ms,
            )
            """,
        ),
    ) as asking:
        assert "ready\n" == asking.stdout.readline()
        assert done(programs, DECIDE, "call-1", "REJECT")["counts"]
        assert done(programs, DECIDE, "call-2", "REJECT")["counts"]
        asking.stdin.write("\n")
        asking.stdin.flush()
        assert "ready\n" == asking.stdout.readline()
        assert done(programs, DECIDE, "call-3", "REJECT")["counts"]
        told = programs.finish(asking, "\n").told

    assert {"scraped": 1, "drop": 1} == told["before"]
    assert {"scraped": 0, "drop": 0} == told["after"]
    assert ["REJECT"] * 3 == told["statuses"]
    assert {"scraped": 1, "drop": 1, "listed": 1} == told["hitl"]
    assert told["of_the_tool"] < 0.9  # with the human's it would be 1
