"""A day of the agent runtime: its service, its users and the models behind it, all on this machine.

It needs no key and no network. The service listens on a free loopback port; the models are played by a script.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import httpx
import uvicorn

import model_script
from scripted_llm import ScriptedLLM

if TYPE_CHECKING:
    from collections.abc import Iterator

Decision = dict[str, Any]


class User:
    """Somebody with a session, who sees what the service sends and decides what it asks."""

    def __init__(self, service: httpx.Client, session_id: str) -> None:
        self._service = service
        self._session_id = session_id
        self._requests = 0

    def says(self, message: str, decision: Decision | None = None, agent_type: str | None = None) -> list[str]:
        """Send a message and print the answer; return the ids of the calls nobody decided about.

        Args:
            message: what the user says.
            decision: what the user decides when asked, or None to let time run out.
            agent_type: the agent the user has chosen, if any.
        """
        self._requests += 1
        print(f"\n{self._session_id}: {message}")
        body = {"session_id": self._session_id, "message": message, "agent_type": agent_type}
        headers = {"X-Correlation-ID": f"{self._session_id}-{self._requests}"}
        undecided = []
        with self._service.stream("POST", "/agent/message/stream", json=body, headers=headers) as answer:
            for chunk in _chunks(answer):
                _show(chunk)
                if chunk["type"] == "approval_required" and decision is None:
                    undecided.append(chunk["call_id"])
                elif chunk["type"] == "approval_required":
                    self.decides(chunk["call_id"], decision)
        return undecided

    def decides(self, call_id: str, decision: Decision | None) -> None:
        """Send a decision and print it."""
        body = {"session_id": self._session_id, "call_id": call_id, **(decision or {})}
        taken = self._service.post("/agent/hitl/decision", json=body)
        late = "" if taken.is_success else f" ({taken.json()['detail']})"
        print(f"    {self._session_id} decides: {body['decision']}{late}")

    def looks(self) -> None:
        """Print what the service says about the session."""
        shown = self._service.get(f"/agent/sessions/{self._session_id}")
        print(f"  {self._session_id}: {json.dumps(shown.json())}")

    def leaves(self) -> None:
        """Delete the session."""
        self._service.delete(f"/agent/sessions/{self._session_id}").raise_for_status()
        print(f"\n{self._session_id} deletes the session")


def _chunks(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """Parse server-sent events; adjoining pieces of text become one."""
    text = ""
    for line in answer.iter_lines():
        if not line.startswith("data: "):
            continue
        chunk = json.loads(line.removeprefix("data: "))
        if chunk["type"] == "text":
            text += chunk["content"]
            continue
        if text:
            yield {"type": "text", "content": text}
            text = ""
        yield chunk


def _show(chunk: dict[str, Any]) -> None:
    match chunk["type"]:
        case "agent_switched":
            print(f"    {chunk['from_agent']} → {chunk['to_agent']}: {chunk['reason']}")
        case "approval_required":
            print(f"    may {chunk['tool_name']} run? {chunk['reason']}")
        case "tool_result":
            print(f"    {chunk['tool_name']}: {chunk['content'].splitlines()[0]}")
        case "text":
            print(f"  agent: {chunk['content']}")
        case "error":
            print(f"    error: {chunk['content']}")


def day(service: httpx.Client) -> None:
    """Play the day."""
    ada, bob, cleo = User(service, "ada"), User(service, "bob"), User(service, "cleo")
    ada.says(model_script.CREATE, {"decision": "APPROVE"})
    edited = {"path": "sort.py", "content": model_script.SORT_DOWN}
    ada.says(model_script.DESCEND, {"decision": "EDIT", "modified_arguments": edited})
    ada.says(model_script.RUN, {"decision": "REJECT", "feedback": "not yet"})
    ada.says(model_script.WHY)
    ada.says(model_script.RUN_NOW, {"decision": "APPROVE"}, agent_type="coder")

    bob.says(model_script.WHERE)
    bob.says(model_script.PERCENT, agent_type="ask")

    hurried = {"session_id": "cleo", "approval_timeout_seconds": 0.2}
    service.post("/agent/sessions", json=hurried).raise_for_status()
    cleo.says(model_script.HELLO)
    for call_id in cleo.says(model_script.CLEAN):
        cleo.decides(call_id, {"decision": "APPROVE"})

    print("\nAt the end of the day")
    for user in (ada, bob, cleo):
        user.looks()
    bob.leaves()


@contextmanager
def serving() -> Iterator[str]:
    """Serve the app on a free loopback port, in a thread; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:  # who connects before it serves waits
        server = uvicorn.Server(uvicorn.Config("app.main:app", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def main() -> None:
    """Start models and service, play the day, and print the bill."""
    with tempfile.TemporaryDirectory() as directory, ScriptedLLM(model_script.answer) as llm:
        os.environ |= {
            "OPENAI_BASE_URL": llm.base_url,
            "OPENAI_API_KEY": "no key is needed here",
            "AGENT_RUNTIME_DIR": directory,
        }
        logging.basicConfig(filename=Path(directory) / "service.log", level=logging.INFO)
        try:
            # Not by a proxy that the environment names: the service is on this machine.
            with serving() as address, httpx.Client(base_url=address, trust_env=False, timeout=30) as service:
                day(service)
        finally:
            logging.shutdown()
        print(f"\nThe model server billed {llm.total_tokens:,} tokens.")


if __name__ == "__main__":
    main()
