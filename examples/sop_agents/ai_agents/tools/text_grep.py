"""Finding text in files."""

from __future__ import annotations

from typing import Any, ClassVar

from ai_agents.tools.repository_tool import RepositoryTool


class TextGrep(RepositoryTool):
    """Lists lines."""

    name = "text_grep"
    description = "List the lines of all files that hold a text, as path:number:line."
    inputs: ClassVar[dict[str, Any]] = {"text": {"type": "string", "description": "The text itself, no pattern."}}

    def forward(self, text: str) -> str:
        """List them."""
        return "\n".join(
            f"{path.as_posix()}:{number}:{line}"
            for path in self.files("*")
            for number, line in enumerate((self.repository / path).read_text("utf-8").splitlines(), 1)
            if text in line
        )
