"""Reading a file."""

from __future__ import annotations

from typing import Any, ClassVar

from ai_agents.tools.repository_tool import RepositoryTool


class FileReader(RepositoryTool):
    """Gives a file's text."""

    name = "file_reader"
    description = "Return the text of a file of the repository."
    inputs: ClassVar[dict[str, Any]] = {"path": {"type": "string", "description": "Path in the repository."}}

    def forward(self, path: str) -> str:
        """Read it.

        Raises:
            FileNotFoundError: if there is none.
        """
        file = self.inside(path)
        if not file.is_file():
            raise FileNotFoundError(f"the repository has no file {path!r}")
        return file.read_text("utf-8")
