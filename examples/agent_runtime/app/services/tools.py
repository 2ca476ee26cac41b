"""What the tools do. Those that touch files stay inside the workspace."""

from __future__ import annotations

import ast
import operator
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from app.models.schemas import AgentType

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LAST_RUN: Final = "last_run.log"
"""What the newest command printed."""

_PATIENCE_SECONDS: Final = 30
_OPERATORS: Final[dict[type, Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def echo(text: str) -> str:
    """Return the text."""
    return text


def calculator(expression: str) -> str:
    """Work out a sum of numbers with + - * / and brackets.

    Raises:
        ValueError: for anything else.
    """
    try:
        return f"{_value(ast.parse(expression, mode='eval').body):g}"
    except SyntaxError as error:
        raise ValueError(f"{expression!r} is no sum: {error.msg}") from error


def switch_mode(mode: str, reason: str) -> str:
    """Say that another agent takes over; the orchestrator does the rest.

    Raises:
        ValueError: if there is no agent for that mode.
    """
    return f"{AgentType(mode).value} takes over: {reason}"


def read_file(workspace: Path, path: str) -> str:
    """Return a file's text.

    Raises:
        FileNotFoundError: if there is none.
        PermissionError: if it is outside the workspace.
    """
    return _inside(workspace, path).read_text("utf-8")


def write_file(workspace: Path, path: str, content: str) -> str:
    """Write a file.

    Raises:
        PermissionError: if it is outside the workspace.
    """
    target = _inside(workspace, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, "utf-8")
    return f"wrote {len(content)} characters to {path}"


def execute_command(workspace: Path, command: str) -> str:
    """Run a command in the workspace and return what it printed; `python` is the Python this service runs on.

    Raises:
        FileNotFoundError: if there is no such program.
        TimeoutError: if it takes too long.
    """
    program, *arguments = shlex.split(command)
    program = sys.executable if program == "python" else program
    try:
        ran = subprocess.run(  # noqa: S603 - a human has approved the command
            [program, *arguments],
            cwd=workspace,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{command!r} ran for more than {_PATIENCE_SECONDS} s") from error
    printed = f"{ran.stdout}exit code {ran.returncode}"
    (workspace / LAST_RUN).write_text(printed, "utf-8")
    return printed


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError(f"{ast.unparse(node)!r} is no sum of numbers")


def _inside(workspace: Path, path: str) -> Path:
    target = (workspace / path).resolve()
    if not target.is_relative_to(workspace.resolve()):
        raise PermissionError(f"{path!r} is outside the workspace")
    return target
