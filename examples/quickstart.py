"""The first minute: a team of agents, recorded by one import, and what Tachograph has to say about it.

Run it as it is and the models are played by a scripted server on this machine: no key, no network, no cost. With
OPENAI_API_KEY set (and OPENAI_BASE_URL, for another provider than OpenAI) the same program talks to real ones.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import tachograph.auto
from scripted_llm import ScriptedLLM
from tachograph.pages.report import report
from team import TASK, main
from team_script import script

WIDTH = 100


def heading(text: str) -> None:
    """Print a section's title."""
    print(f"\n── {text} {'─' * (WIDTH - len(text) - 4)}")


def show(session_id: str) -> None:
    """Print what was recorded of a session."""
    heading("Session summary")
    print(tachograph.summary(session_id))

    heading("Audit log, without the chatter of requests and tools")
    for entry in tachograph.audit_log(session_id=session_id):
        told = told_of(entry)
        if told:
            print(f"{entry['timestamp'][11:23]}  {entry['event_type']:<27} {told}")

    heading("Timeline")
    print(tachograph.timeline(session_id=session_id))


def told_of(entry: dict[str, object]) -> str | None:
    """Return one line about an audit entry, or None for one that the timeline tells better."""
    match entry["event_type"]:
        case "task_started":
            return str(entry["agent_type"])
        case "task_completed":
            return f"{entry['agent_type']}: {entry['status']}"
        case "agent_switched":
            return f"{entry['from_agent']} → {entry['to_agent']}"
        case "agent_processing_completed":
            recovered = f", went on after {', '.join(entry['recovered_errors'])}" if entry["recovered_errors"] else ""
            return f"{entry['agent_type']}: {entry['outcome']} in {entry['duration_ms']:,.0f} ms{recovered}"
        case "agent_error" | "tool_execution_failed" | "llm_request_failed":
            what = entry.get("tool_name") or entry.get("agent_type") or entry.get("model")
            error = entry.get("error") or entry.get("error_message")
            return f"{what}: {entry['error_type']}: {error}"
        case _:
            return None


def quickstart() -> None:
    """Run the team once and show its session."""
    real = bool(os.environ.get("OPENAI_API_KEY"))
    with contextlib.ExitStack() as stack:
        llm = None
        if not real:
            llm = stack.enter_context(ScriptedLLM(script()))
            os.environ |= {"OPENAI_BASE_URL": llm.base_url, "OPENAI_API_KEY": "no key is needed here"}
        print(f"Task    {TASK}")
        with tachograph.session("quickstart", user_id="you") as session:
            print(f"Answer  {main()}")
        show(session.session_id)
        counted = tachograph.session_metrics(session.session_id).total_tokens
        print()
        if llm is not None:
            print(f"server billed {llm.total_tokens:,} tokens · Tachograph counted {counted:,}")
        else:
            print(f"Tachograph counted {counted:,} tokens; compare with your provider's bill")

    page = Path(f"tachograph-{session.session_id}.html")
    page.write_text(report(tachograph.ledger(), session.session_id), "utf-8")

    commands = Path(sys.executable).parent
    if commands.is_relative_to(Path.cwd()):
        commands = commands.relative_to(Path.cwd())
    heading("What next")
    print(f"all of it to see   {page.absolute().as_uri()}")
    print("your own program   one line in it, anywhere: import tachograph.auto")
    print(f"or no line at all  {commands}/tachograph run your_agents.py")
    print(f"to Jaeger & co.    OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 {commands}/python {sys.argv[0]}")
    print(f"is it all hooked?  {commands}/tachograph doctor")


if __name__ == "__main__":
    quickstart()
