"""Small agent programs, written to a directory and run in processes of their own with a clean environment."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PATIENCE = 60
"""Seconds after which a program that has not ended hangs."""

SCRIPTS = Path(sysconfig.get_path("scripts"))
"""Where this Python's console scripts are."""

_OURS = ("OTEL_", "TACHOGRAPH_", "PYTHON", "COV_", "PYTEST_")

TOLD = '''
"""How a program tells its test what it has seen."""

import json


def tell(**more):
    print(json.dumps(more), flush=True)
'''
"""Source of the module ``told``, for programs that need no agents."""

CREW = '''
"""Two agents, two scripted models and a tool: boss asks clerk, whose code calls price."""

from smolagents import CodeAgent, Model, Tool, ToolCallingAgent
from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole
from smolagents.monitoring import LogLevel, TokenUsage
from told import tell

QUIET = {"verbosity_level": LogLevel.OFF}


class Scripted(Model):
    """Plays its replies in order: text, a call as (name, arguments), or an exception to raise."""

    def __init__(self, model_id, *replies):
        super().__init__(model_id=model_id)
        self.replies = replies
        self.played = 0

    def generate(self, messages, stop_sequences=None, response_format=None, tools_to_call_from=None, **kwargs):
        reply = self.replies[self.played]
        self.played += 1
        if isinstance(reply, Exception):
            raise reply
        message = ChatMessage(
            role=MessageRole.ASSISTANT,
            content=reply if isinstance(reply, str) else "",
            token_usage=TokenUsage(input_tokens=100 * self.played, output_tokens=self.played),
        )
        if not isinstance(reply, str):
            function = ChatMessageToolCallFunction(name=reply[0], arguments=reply[1])
            message.tool_calls = [ChatMessageToolCall(function=function, id=f"call_{self.played}", type="function")]
        return message


class Price(Tool):
    name = "price"
    description = "Knows what things cost."
    inputs = {"thing": {"type": "string", "description": "what to look up"}}
    output_type = "string"

    def forward(self, thing):
        return f"{thing} costs 4"


ANSWER = ("final_answer", {"answer": "tea costs 4"})


def clerk(tool=None):
    code = "Thought: look it up.\\n<code>\\nfinal_answer(price('tea'))\\n</code>"
    tools = [Price() if tool is None else tool]
    return CodeAgent(tools=tools, model=Scripted("small", code), name="clerk", description="knows prices", **QUIET)


def boss(tool=None, last=ANSWER):
    model = Scripted("big", ("clerk", {"task": "price of tea?"}), last)
    return ToolCallingAgent(tools=[], managed_agents=[clerk(tool)], model=model, name="boss", **QUIET)


def loner(*replies):
    return ToolCallingAgent(tools=[Price()], model=Scripted("big", *(replies or (ANSWER,))), name="loner", **QUIET)


def operations():
    """The ledger's operations, as plain rows."""
    import tachograph

    return [
        {
            "id": entry.id,
            "kind": entry.kind,
            "name": entry.name,
            "parent": entry.parent_id,
            "session": session,
            "outcome": entry.outcome,
        }
        for session in tachograph.sessions()
        for entry in tachograph.timeline(session_id=session).entries
        if entry.kind != "event"
    ]
'''
"""Source of the module ``crew``, for programs to import."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program left behind."""

    code: int
    stdout: str
    stderr: str

    @property
    def told(self) -> Any:
        """What the program's last line on standard output says, as JSON."""
        assert self.stdout, f"it ended with {self.code} and told nothing:\n{self.stderr}"
        return json.loads(self.stdout.splitlines()[-1])

    @property
    def json(self) -> Any:
        """What the program said on standard output, as JSON."""
        return json.loads(self.stdout)


def clean_environment(**variables: str) -> dict[str, str]:
    """Our environment without anything that would configure Python, Tachograph or OpenTelemetry; plus ``variables``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", **variables}


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """It has ended afterwards, whatever fails; Popen itself would wait for it."""
    try:
        yield
    finally:
        process.kill()


class Programs:
    """Programs in one directory, which is also their working directory.

    Args:
        directory: a temporary one; the modules ``crew`` and ``told`` are written there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("told.py", TOLD)
        self.write("crew.py", CREW)

    def write(self, name: str, source: str) -> Path:
        """Write a file and give its path."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), "utf-8")
        return path

    def python(self, source: str, *arguments: str, stdin: str = "", **variables: str) -> Finished:
        """Run ``source`` as a program."""
        self.write("app.py", source)
        return self.run(sys.executable, "app.py", *arguments, stdin=stdin, **variables)

    def run(self, *command: str, stdin: str = "", **variables: str) -> Finished:
        """Run a command to its end."""
        with self.start(*command, **variables) as process:
            return self.finish(process, stdin)

    @contextlib.contextmanager
    def start(self, *command: str, stderr: int = subprocess.PIPE, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command; at the end of the block it is over, by force if need be."""
        with subprocess.Popen(
            command,
            cwd=self.directory,
            env=clean_environment(**{"XDG_DATA_HOME": str(self.directory / "data"), **variables}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @staticmethod
    def finish(process: subprocess.Popen[str], stdin: str = "") -> Finished:
        """Wait for the end of a command that was started."""
        stdout, stderr = process.communicate(stdin, timeout=PATIENCE)
        return Finished(process.returncode, stdout, stderr)


def program(*pieces: str) -> str:
    """One source of several pieces, each indented as it likes."""
    return "\n".join(textwrap.dedent(piece) for piece in pieces)


def script(name: str) -> str:
    """Path of a console script of this Python's environment."""
    return str(SCRIPTS / name)


def by_id(operations: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of operations in an order of their own."""
    return sorted(operations, key=lambda row: row["id"])
