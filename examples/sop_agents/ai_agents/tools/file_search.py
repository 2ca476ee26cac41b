"""Finding files by name."""

from __future__ import annotations

from typing import Any, ClassVar

from ai_agents.tools.repository_tool import RepositoryTool


class FileSearch(RepositoryTool):
    """Lists files."""

    name = "file_search"
    description = "List the files of the repository that match a pattern, one a line."
    inputs: ClassVar[dict[str, Any]] = {"pattern": {"type": "string", "description": "Such as *.py."}}

    def forward(self, pattern: str) -> str:
        """List them."""
        return "\n".join(path.as_posix() for path in self.files(pattern))
