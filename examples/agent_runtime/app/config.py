"""Settings of the service, read once from the environment when it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AppConfig:
    """What can be set.

    Attributes:
        llm_base_url: where the OpenAI-compatible model server is.
        llm_api_key: the key it wants.
        llm_model: the model that the agents talk to.
        llm_router_model: the smaller one that chooses the agent.
        workspace: the directory that the tools work in.
        database: file of the SQLite database.
        hitl_timeout_seconds: how long a human has for a decision, unless the session says otherwise.
        persist_interval_seconds: how often what has changed is written to the database.
    """

    llm_base_url: str
    llm_api_key: str
    llm_model: str
    llm_router_model: str
    workspace: Path
    database: Path
    hitl_timeout_seconds: float = 300.0
    persist_interval_seconds: float = 5.0

    @classmethod
    def from_env(cls) -> AppConfig:
        """Read the environment; everything but the key has a default."""
        directory = Path(os.environ.get("AGENT_RUNTIME_DIR", "."))
        return cls(
            llm_base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
            llm_api_key=os.environ["OPENAI_API_KEY"],
            llm_model=os.environ.get("LLM_MODEL", "gpt-4.1"),
            llm_router_model=os.environ.get("LLM_ROUTER_MODEL", "gpt-4.1-mini"),
            workspace=directory / "workspace",
            database=directory / "agent_runtime.db",
        )
