"""The tools, by the names that agents are given them by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_agents.tools.file_reader import FileReader
from ai_agents.tools.file_search import FileSearch
from ai_agents.tools.file_writer import FileWriter
from ai_agents.tools.text_grep import TextGrep

if TYPE_CHECKING:
    from pathlib import Path

    from ai_agents.tools.repository_tool import RepositoryTool

TOOLS: dict[str, type[RepositoryTool]] = {tool.name: tool for tool in (FileReader, FileSearch, FileWriter, TextGrep)}


def create_tool(name: str, repository: Path) -> RepositoryTool:
    """Return a tool for a repository.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in TOOLS:
        raise ValueError(f"there is no tool {name!r}, only {', '.join(TOOLS)}")
    return TOOLS[name](repository)
