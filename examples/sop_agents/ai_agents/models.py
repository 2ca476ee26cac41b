"""The models the agents talk to, and what they print meanwhile: nothing."""

from __future__ import annotations

from rich.console import Console
from smolagents import AgentLogger, LogLevel, OpenAIModel

SUPERVISOR_MODEL = "gpt-4.1"
MICRO_MODEL = "gpt-4.1-mini"


def create_model(model_id: str) -> OpenAIModel:
    """Return a model of the server at OPENAI_BASE_URL, with the key in OPENAI_API_KEY."""
    return OpenAIModel(model_id)


def quiet() -> AgentLogger:
    """Return a logger that prints nothing; streaming agents draw on the console at any verbosity."""
    return AgentLogger(level=LogLevel.OFF, console=Console(quiet=True))
