"""The README's examples run, in order, as one program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tachograph.testing import Capture

README = Path(__file__).parent.parent / "README.md"


def test_examples_run(captured: Capture) -> None:
    """Each Python block of the README runs after those before it, and leaves nothing open."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    program: dict[str, object] = {}

    for block in blocks:
        exec(compile(block, str(README), "exec"), program)  # noqa: S102 - that is what a reader does

    assert len(blocks) >= 6
    assert captured.ledger.open_operations() == []


def test_commands_stay() -> None:
    """The two commands that do all the set-up are spelled as agreed."""
    lines = {line.strip() for line in README.read_text("utf-8").splitlines()}

    setup = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[{}]' && .venv/bin/{}"
    assert setup.format("examples", "python examples/quickstart.py") in lines
    assert setup.format("test", "pytest") in lines
