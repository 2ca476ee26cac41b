"""Modules of a host program, written for one test and imported as any other."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_numbers = itertools.count()


class Host:
    """A directory that Python imports from.

    Args:
        directory: an empty one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.name = f"host{next(_numbers)}"

    def write(self, source: str) -> None:
        """Write the module, which is not imported by that."""
        (self._directory / f"{self.name}.py").write_text(textwrap.dedent(source), "utf-8")
        importlib.invalidate_caches()

    def load(self, source: str | None = None) -> Any:
        """Import it."""
        if source is not None:
            self.write(source)
        return importlib.import_module(self.name)

    def table(self, place: str, kind: str, **words: Any) -> dict[str, Any]:
        """A table about something in it. ``if_`` stands for ``if``, ``from_`` for ``from``."""
        return {"target": f"{self.name}:{place}", "as": kind, **{key.rstrip("_"): word for key, word in words.items()}}


@contextlib.contextmanager
def host(directory: Path) -> Iterator[Host]:
    """A host, which is forgotten afterwards."""
    sys.path.insert(0, str(directory))
    written = Host(directory)
    try:
        yield written
    finally:
        sys.path.remove(str(directory))
        sys.modules.pop(written.name, None)
