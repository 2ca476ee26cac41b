"""What the models of the service answer, found by what the user has said and how far the conversation has got."""

from __future__ import annotations

import json
from typing import Any, Final

from scripted_llm import Reply, ToolCall

ROUTER: Final = "gpt-4.1-mini"
AGENTS: Final = "gpt-4.1"

SORT: Final = "import sys\n\nprint(*sorted(sys.argv[1:]))\n"
SORT_DOWN: Final = "import sys\n\nprint(*sorted(sys.argv[1:], reverse=True))\n"

CREATE: Final = "Create sort.py, which prints its arguments sorted"
DESCEND: Final = "Let it sort in descending order"
RUN: Final = "Run it with b a c"
WHY: Final = "Find out why it prints so much"
RUN_NOW: Final = "Then run it now"
WHERE: Final = "Where should a small service keep its sessions?"
PERCENT: Final = "What is 15 % of 1,240?"
HELLO: Final = "Say hello"
CLEAN: Final = "Remove the old backups"


def _route(agent: str, reason: str, tokens: int) -> Reply:
    choice = {"agent": agent, "reason": reason, "confidence": "high"}
    return Reply(json.dumps(choice), prompt_tokens=tokens, completion_tokens=28)


def _call(name: str, call_id: str, tokens: int, **arguments: str) -> Reply:
    return Reply(
        tool_calls=[ToolCall(name, arguments, id=call_id)], prompt_tokens=tokens, completion_tokens=40, delay=0.01
    )


def _say(text: str, tokens: int, cached: int = 0) -> Reply:
    return Reply(text, prompt_tokens=tokens, completion_tokens=len(text.split()), cached_tokens=cached, delay=0.01)


_SCRIPT: Final[dict[tuple[str, str], list[Reply]]] = {
    (ROUTER, CREATE): [_route("coder", "Code modification required", 181)],
    (AGENTS, CREATE): [
        _call("write_file", "call_create", 412, path="sort.py", content=SORT),
        _say("sort.py sorts its arguments and prints them.", 503),
    ],
    (AGENTS, DESCEND): [
        _call("read_file", "call_look", 548, path="sort.py"),
        _call("write_file", "call_descend", 621, path="sort_down.py", content=SORT_DOWN),
        _say("It now sorts in descending order, in the file you chose.", 704, cached=512),
    ],
    (AGENTS, RUN): [
        _call("execute_command", "call_run", 760, command="python sort.py b a c"),
        _say("As you wish: I have not run it.", 812, cached=640),
    ],
    (AGENTS, WHY): [
        _call("switch_mode", "call_switch", 861, mode="debug", reason="The cause of an error is asked for"),
    ],
    (AGENTS, RUN_NOW): [
        _call("execute_command", "call_run_now", 938, command="python sort.py b a c"),
        _say("It prints c b a, as it should.", 1004, cached=896),
    ],
    (ROUTER, WHERE): [_route("architect", "A question of design", 176)],
    (AGENTS, WHERE): [
        _say("In SQLite: one file, no server, and transactions. Move on when a second process has to write.", 322),
    ],
    (AGENTS, PERCENT): [
        _call("calculator", "call_percent", 371, expression="15 % of 1240"),
        _call("calculator", "call_product", 427, expression="0.15 * 1240"),
        _say("It is 186.", 470, cached=384),
    ],
    (ROUTER, HELLO): [_route("universal", "No special skill is needed", 174)],
    (AGENTS, HELLO): [Reply(status=503, error="the model is overloaded, try again later")],
    (AGENTS, CLEAN): [
        _call("execute_command", "call_clean", 344, command="rm -r backups"),
        _say("Nobody allowed it, so the backups are still there.", 402),
    ],
}


def answer(request: dict[str, Any]) -> Reply:
    """Return the reply to a request: the n-th for what the user said last, n being how often it was answered."""
    messages = request["messages"]
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    said = [message["role"] for message in messages[last:]].count("assistant")
    return _SCRIPT[request["model"], messages[last]["content"]][said]
