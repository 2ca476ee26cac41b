"""Standard operating procedures: Markdown files, each with the words in a task that call for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOPS = Path(__file__).with_name("sops")


@dataclass(frozen=True)
class Sop:
    """One procedure.

    Attributes:
        category: its path below the folder of procedures, such as "code_generation/simple".
        words: words that a task of this kind has.
        text: what an agent is told to do.
    """

    category: str
    words: frozenset[str]
    text: str


def read_sops() -> list[Sop]:
    """Return all procedures, by category."""
    return [_read(path) for path in sorted(SOPS.rglob("*.md"))]


def choose_sop(task: str) -> Sop:
    """Return the procedure that most words of a task call for.

    Raises:
        ValueError: if no word calls for any.
    """
    words = {word.strip(".,:;?!\"'`()").lower() for word in task.split()}
    best = max(read_sops(), key=lambda sop: len(sop.words & words))
    if not best.words & words:
        known = ", ".join(sop.category for sop in read_sops())
        raise ValueError(f"no procedure is for {task!r}; there are {known}")
    return best


def _read(path: Path) -> Sop:
    first, _, text = path.read_text("utf-8").partition("\n")
    words = frozenset(first.removeprefix("Words:").replace(",", " ").split())
    return Sop(path.relative_to(SOPS).with_suffix("").as_posix(), words, text.strip())
