"""What all tools have in common: the repository they work in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smolagents import Tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class RepositoryTool(Tool):
    """A tool that stays inside one repository and answers in text."""

    output_type = "string"

    def __init__(self, repository: Path) -> None:
        super().__init__()
        self.repository = repository.resolve()

    def inside(self, path: str) -> Path:
        """Return where a file is.

        Raises:
            PermissionError: if that is outside the repository.
        """
        found = (self.repository / path).resolve()
        if not found.is_relative_to(self.repository):
            raise PermissionError(f"{path!r} is outside the repository")
        return found

    def files(self, pattern: str) -> Iterator[Path]:
        """Give the files whose path matches, in order, hidden ones left out; paths are the repository's."""
        for path in sorted(self.repository.rglob(pattern)):
            inner = path.relative_to(self.repository)
            if path.is_file() and not any(part.startswith(".") for part in inner.parts):
                yield inner
