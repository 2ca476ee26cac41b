"""Spans as other people's packages have written them, kept in ``tests/data/dialects``: what is long is cut off."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.dialect_programs import Spoken

FOLDER = Path(__file__).parents[1] / "data" / "dialects"
_LONGEST = 300
"""Characters of a text that is kept whole; what is longer is content, or describes it."""


def keep(name: str, spoken: Spoken, packages: tuple[str, ...]) -> None:
    """Keep what a program has written, with what was billed to it and which packages wrote it."""
    requests = [json.loads(line) for line in spoken.spans.read_text("utf-8").splitlines()]
    for attribute in _attributes(requests):
        text = attribute["value"].get("stringValue")
        if attribute["key"] == "exception.stacktrace":
            attribute["value"]["stringValue"] = "left out"
        elif text is not None and len(text) > _LONGEST:
            attribute["value"]["stringValue"] = f"{text[:_LONGEST]} …"
    lines = [
        {"packages": {package: importlib.metadata.version(package) for package in packages}, "bill": spoken.bill},
        *requests,
    ]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


def recorded(name: str) -> tuple[dict[str, Any], str]:
    """The bill of a program, and its spans as lines of OTLP."""
    first, *lines = (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines(keepends=True)
    return json.loads(first)["bill"], "".join(lines)


def _attributes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for each in node:
            yield from _attributes(each)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "attributes":
                yield from value
            yield from _attributes(value)
