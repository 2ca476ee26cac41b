"""What a program says of its work, as facts: of the types that backends hold, without credentials, and cut.

Nothing here raises about what is said: what makes no sense is left out, as it is not known.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from tachograph import names
from tachograph.clip import MAX_FIELD, as_text, clipped
from tachograph.context import clean_id
from tachograph.facts import TOO_MANY
from tachograph.records import Outcome
from tachograph.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

SUBJECTS: Final[dict[str, str]] = {
    "task": names.WORKFLOW_NAME,
    "agent": names.AGENT_NAME,
    "model": names.REQUEST_MODEL,
    "tool": names.TOOL_NAME,
}
"""Which attribute names what kind of operation."""

STATUSES: Final[dict[str, Outcome]] = {
    **{outcome: outcome for outcome in get_args(Outcome)},
    "completed": "ok",
    "success": "ok",
    "failed": "error",
    "cancelled": "interrupted",
    "canceled": "interrupted",
}
"""Words for how something ended."""

_PATH: Final = type(Path())
_MAX_FIELDS: Final = 100
_SHORT: Final = 160
_TOO_LARGE: Final = 2**63  # for backends


def task(task_id: Any, description: Any, category: Any, place: Any = None) -> dict[str, Any]:
    """Which task it is, what is to be done, by what kind of procedure and in which folder."""
    return {
        names.TASK_ID: clean_id(task_id),
        names.TASK_DESCRIPTION: text(description),
        names.TASK_CATEGORY: text(category),
        names.TASK_FOLDER: folder(place),
    }


def agent(description: Any) -> dict[str, Any]:
    """What an agent is for."""
    return {names.AGENT_DESCRIPTION: text(description)}


def model(provider: Any, messages: Any, tools: Any, stream: Any) -> dict[str, Any]:
    """Who is asked, how much is sent and offered, and whether the answer is streamed."""
    return {
        names.PROVIDER_NAME: text(provider),
        names.REQUEST_MESSAGES: count(messages),
        names.REQUEST_TOOLS: count(tools),
        names.REQUEST_STREAM: True if stream is True else None,
    }


def tool(call_id: Any) -> dict[str, Any]:
    """Which call of a tool it is."""
    return {names.TOOL_TYPE: "function", names.TOOL_CALL_ID: clean_id(call_id)}


def usage(read: Any, written: Any, cached: Any, reasoning: Any) -> dict[str, Any]:
    """Tokens that a model call used."""
    return {
        names.INPUT_TOKENS: count(read),
        names.OUTPUT_TOKENS: count(written),
        names.CACHED_TOKENS: count(cached),
        names.REASONING_TOKENS: count(reasoning),
    }


def tool_calls(number: Any) -> dict[str, Any]:
    """How many tool calls an answer has."""
    return {names.RESPONSE_TOOL_CALLS: count(number) or None}


def answer(model: Any, response_id: Any, reason: Any) -> dict[str, Any]:
    """What a provider says of its answer."""
    said = text(reason)
    return {
        names.RESPONSE_MODEL: text(model),
        names.RESPONSE_ID: text(response_id),
        names.FINISH_REASONS: None if said is None else (said,),
    }


def custom(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the program's own: texts, numbers and truths."""
    found: dict[str, Any] = {}
    for name, value in itertools.islice(fields.items(), _MAX_FIELDS):
        if isinstance(value, str):
            found[names.CUSTOM + name] = clipped(value, MAX_FIELD)
        elif type(value) in (float, bool) or _is_whole(value):
            found[names.CUSTOM + name] = value
    return found


def text(value: Any) -> str | None:
    """A text, or a member of an enumeration of texts; None for what is none, or an empty one."""
    value = as_text(value)
    if not value:
        return None
    if len(value) < _SHORT and value.isascii():
        return redacted(value)  # as it would come out, at a tenth of the cost
    return str(clipped(value, MAX_FIELD))


def folder(value: Any) -> str | None:
    """A path: a text, or one of pathlib's own objects; None for what is none."""
    if type(value) is _PATH:
        value = str(value)
    return value if type(value) is str and value and "\0" not in value else None


def count(value: Any) -> int | None:
    """A number of things; None for what is none."""
    return value if type(value) is int and 0 <= value < TOO_MANY else None


def _is_whole(value: Any) -> bool:
    return type(value) is int and -_TOO_LARGE <= value < _TOO_LARGE


def outcome(status: Any) -> Outcome:
    """The outcome that a word says, or a member of an enumeration by its value or name.

    Raises:
        ValueError: for what is no status.
    """
    for word in (status, getattr(status, "value", None), getattr(status, "name", None)):
        if type(word) is str and word.lower() in STATUSES:
            return STATUSES[word.lower()]
    raise ValueError(f"{status!r} is no status; there are: {', '.join(STATUSES)}")
