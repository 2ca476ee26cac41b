"""Instrumentations of model clients, which see the calls that we see; those that listen are told to leave them to us.

The official ones look in the context, under a key of ``opentelemetry-util-genai``,
whether somebody around them has the model call down already; if so they make no span, no points and no events of
their own. Nothing else falls silent by it: the HTTP spans under a model call stay.
"""

from __future__ import annotations

import sys
from typing import Any, Final

_HELPER: Final = "opentelemetry.util.genai.invocation"

CLIENTS: Final = {
    "opentelemetry-instrumentation-genai-openai": "leaves agents' model calls to us",
    "opentelemetry-instrumentation-openai-v2": (
        "exports the tokens of agents' model calls a second time; opentelemetry-instrumentation-genai-openai does not"
    ),
    "openinference-instrumentation-openai": "exports spans of its own for agents' model calls",
}
"""Instrumentations of model clients, and what they do beside us. Here every call is counted once all the same."""


def listening() -> bool:
    """Whether anybody would ask."""
    return _HELPER in sys.modules


def claim() -> tuple[str, Any] | None:
    """Key and value that say, in the context around a model call, that it is taken down; None if nobody would ask.

    Whoever asks has imported the helper, so it is looked for among what is imported: importing it is costly, and its
    names change with its releases.
    """
    helper = sys.modules.get(_HELPER)
    key, data = getattr(helper, "CLIENT_INFERENCE_CONTEXT_KEY", None), getattr(helper, "InferenceData", None)
    # A fresh one for each call, as what is found out inside is written into it. It asks for no content.
    return None if key is None or data is None else (key, data())
