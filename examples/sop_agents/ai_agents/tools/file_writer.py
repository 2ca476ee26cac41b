"""Writing a file."""

from __future__ import annotations

from typing import Any, ClassVar

from ai_agents.tools.repository_tool import RepositoryTool


class FileWriter(RepositoryTool):
    """Gives a file a new text."""

    name = "file_writer"
    description = "Write a file of the repository, new or not."
    inputs: ClassVar[dict[str, Any]] = {
        "path": {"type": "string", "description": "Path in the repository."},
        "text": {"type": "string", "description": "The whole text."},
    }

    def forward(self, path: str, text: str) -> str:
        """Write it."""
        file = self.inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        return f"{path}: {len(text.splitlines())} lines"
