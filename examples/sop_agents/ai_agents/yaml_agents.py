"""Agents that are described in `agents.yaml`."""

from __future__ import annotations

from pathlib import Path

import yaml

from ai_agents.micro_agents.base_micro_agent import BaseMicroAgent

AGENTS_FILE = Path(__file__).with_name("agents.yaml")


def create_agent_from_yaml(name: str, repository: Path | None = None) -> BaseMicroAgent:
    """Return the agent of a name.

    Raises:
        ValueError: if the file has none of that name, or one of another type than micro.
    """
    described = {entry["name"]: entry for entry in yaml.safe_load(AGENTS_FILE.read_text("utf-8"))["agents"]}
    if name not in described:
        raise ValueError(f"{AGENTS_FILE.name} has no agent {name!r}, only {', '.join(described)}")
    entry = described[name]
    if entry["type"] != "micro":
        raise ValueError(f"agent {name!r} is of type {entry['type']!r}; only micro agents can be described in YAML")
    agent = BaseMicroAgent(repository)
    agent.name, agent.description, agent.tools = entry["name"], entry["description"], tuple(entry["tools"])
    return agent
