"""The scripted server of the examples, seen through the real `openai` package and through plain HTTP."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripted_llm import Bill, Reply, ScriptedLLM, ToolCall
from team_script import script as team_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

openai = pytest.importorskip("openai")

MODEL = "gpt-4.1"
MESSAGES = [{"role": "user", "content": "Hi"}]
TEXT = "Two words,\n  and then some more.\n"
COUNTS = {"prompt_tokens": 120, "completion_tokens": 37, "cached_tokens": 64, "reasoning_tokens": 11}
WEATHER = ToolCall("weather", {"city": "Århus", "days": 3})


@contextmanager
def served(
    script: Mapping[str, Sequence[Reply]] | Callable[[dict[str, Any]], Reply], *, retries: int = 0
) -> Iterator[tuple[ScriptedLLM, Callable[..., Any]]]:
    """Yield a server and its `chat.completions.create` for MODEL."""
    with ScriptedLLM(script) as llm, openai.OpenAI(base_url=llm.base_url, api_key="-", max_retries=retries) as client:

        def ask(**options: object) -> Any:  # noqa: ANN401
            return client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **options})

        yield llm, ask


def stream(ask: Callable[..., Any], *, include_usage: bool = True) -> list[Any]:
    """Return all chunks of a streamed answer."""
    with ask(stream=True, stream_options={"include_usage": include_usage}) as chunks:
        return list(chunks)


def counts(usage: Any) -> dict[str, int]:  # noqa: ANN401
    """Return a usage object's counts under the names that Reply and Bill use."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.prompt_tokens_details.cached_tokens,
        "reasoning_tokens": usage.completion_tokens_details.reasoning_tokens,
    }
