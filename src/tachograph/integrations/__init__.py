"""FAMILY: one framework each. An integration says where to hook and what the calls mean; nothing else.

A row of :data:`REGISTRY` is all the rest of the house knows of a framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Integration:
    """A framework we hook.

    Args:
        name: what settings and people call it.
        package: the distribution that is installed.
        module: the module whose import makes the hooks possible.
        loader: our module, which has ``install(hooks)``.
        oldest: the first version that is supported; older ones are left alone.
        newest: the newest version the tests ran against; newer ones are hooked, and said to be untested.
        also: distributions that hook the same framework; beside them everything is still counted once.
        instrumentor: the class in ``loader`` to switch on, where somebody else's instrumentation does it all.
    """

    name: str
    package: str
    module: str
    loader: str
    oldest: tuple[int, ...]
    newest: tuple[int, ...]
    also: tuple[str, ...] = ()
    instrumentor: str = ""


REGISTRY: Final = (
    Integration(
        name="smolagents",
        package="smolagents",
        module="smolagents",
        loader="tachograph.integrations.smolagents",
        oldest=(1, 24),
        newest=(1, 26),
        also=("openinference-instrumentation-smolagents", "opentelemetry-instrumentation-genai-smolagents"),
    ),
)

MODEL_CLIENTS: Final = (
    Integration(
        name="openai",
        package="opentelemetry-instrumentation-genai-openai",
        module="openai",
        loader="opentelemetry.instrumentation.genai.openai",
        instrumentor="OpenAIInstrumentor",
        oldest=(1, 3),
        newest=(1, 3),
        also=("opentelemetry-instrumentation-openai-v2",),
    ),
    Integration(
        name="anthropic",
        package="opentelemetry-instrumentation-genai-anthropic",
        module="anthropic",
        loader="opentelemetry.instrumentation.genai.anthropic",
        instrumentor="AnthropicInstrumentor",
        oldest=(1, 3),
        newest=(1, 3),
    ),
)
"""Clients of models that programs use without a framework: others' instrumentations, which we switch on."""
