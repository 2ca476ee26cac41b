"""What a span of somebody else's says, in today's names; and what dialects have in common in saying it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph import names
from tachograph.facts import TOO_MANY, USAGE
from tachograph.spans import typed

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping

    from tachograph.records import Kind

IDS: Final = (names.SESSION_ID, names.CORRELATION_ID, names.USER_ID, names.CONVERSATION_ID)
"""What any span may say of where it belongs."""

OF_MODEL: Final = (
    names.AGENT_NAME,
    names.PROVIDER_NAME,
    names.REQUEST_MODEL,
    names.REQUEST_STREAM,
    names.REQUEST_TEMPERATURE,
    names.REQUEST_TOP_P,
    names.REQUEST_MAX_TOKENS,
    names.REQUEST_SEED,
    names.REQUEST_FREQUENCY_PENALTY,
    names.REQUEST_PRESENCE_PENALTY,
    names.RESPONSE_ID,
    names.RESPONSE_MODEL,
    names.RESPONSE_TOOL_CALLS,
    names.FINISH_REASONS,
    names.TIME_TO_FIRST_CHUNK,
    names.INPUT_TOKENS,
    names.OUTPUT_TOKENS,
    names.CACHED_TOKENS,
    names.REASONING_TOKENS,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
    names.CONVERSATION_ID,
)
OF_AGENT: Final = (names.AGENT_NAME, names.CONVERSATION_ID)
OF_TOOL: Final = (names.AGENT_NAME, names.TOOL_NAME, names.TOOL_TYPE, names.TOOL_CALL_ID)
OF_TASK: Final = (names.WORKFLOW_NAME, names.CONVERSATION_ID)

_FOR_TOOLS: Final = frozenset({"tool_call", "tool_calls", "tool_use", "function_call"})


class Said(NamedTuple):
    """What a span says.

    Args:
        dialect: it says it in.
        kind: of operation; None for one that is none, but may say where what is in it belongs.
        name: what the views tabulate it by.
        facts: what is kept of it, by the names of :mod:`tachograph.names`.
        served: it is the server's side of a call that the client's side may tell of too.
    """

    dialect: str
    kind: Kind | None
    name: str = ""
    facts: Mapping[str, Any] = {}
    served: bool = False


def model(dialect: str, found: Mapping[str, Any], otherwise: str) -> Said:
    """A model call, by the model's name or what its span is called otherwise."""
    facts = {
        name: value for name, value in _kept(found, OF_MODEL).items() if name not in USAGE or 0 <= value < TOO_MANY
    }
    if not facts.get(names.INPUT_TOKENS) and not facts.get(names.OUTPUT_TOKENS):
        # Nobody is asked without a token: such zeros stand for what was never heard.
        facts = {name: value for name, value in facts.items() if name not in USAGE}
    if names.RESPONSE_TOOL_CALLS not in facts:
        calls = sum(reason in _FOR_TOOLS for reason in facts.get(names.FINISH_REASONS, ()))
        if calls:  # at least one in each answer that stopped for it
            facts[names.RESPONSE_TOOL_CALLS] = calls
    return Said(dialect, "model", facts.get(names.REQUEST_MODEL) or facts.get(names.RESPONSE_MODEL) or otherwise, facts)


def agent(dialect: str, found: Mapping[str, Any], otherwise: str) -> Said:
    """A run of an agent."""
    facts = _kept(found, OF_AGENT)
    return Said(dialect, "agent", facts.get(names.AGENT_NAME) or otherwise, facts)


def tool(dialect: str, found: Mapping[str, Any], otherwise: str, *, served: bool = False) -> Said:
    """A call of a tool."""
    facts = _kept(found, OF_TOOL)
    return Said(dialect, "tool", facts.get(names.TOOL_NAME) or otherwise, facts, served)


def task(dialect: str, found: Mapping[str, Any], otherwise: str) -> Said:
    """A unit of work that somebody asked for."""
    facts = _kept(found, OF_TASK)
    return Said(dialect, "task", facts.get(names.WORKFLOW_NAME) or otherwise, facts)


def other(dialect: str, found: Mapping[str, Any], wanted: Iterable[str], name: str) -> Said:
    """Something else that has a place on the timeline."""
    return Said(dialect, "other", name, _kept(found, wanted))


def nothing(dialect: str, found: Mapping[str, Any]) -> Said:
    """No operation; what is in it may belong where it says."""
    return Said(dialect, None, facts=_kept(found, ()))


def _kept(found: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    return typed({name: found[name] for name in (*IDS, *wanted) if found.get(name) is not None})


def translated(attributes: Mapping[str, Any], table: Mapping[str, str]) -> dict[str, Any]:
    """Attributes by today's names where a table has them; one that has today's name already wins."""
    former: dict[str, Any] = {}
    current: dict[str, Any] = {}
    # In one go, as the SDK's attributes take their time to say that something is not there.
    for name, value in attributes.items():
        now = table.get(name)
        (current if now is None else former)[now or name] = value
    return {**former, **current}


def numbered(attributes: Mapping[str, Any], pattern: re.Pattern[str]) -> int:
    """How many different things attributes with numbers in their names tell of."""
    return len({match.groups() for name in attributes if (match := pattern.match(name))})


def without(name: str, prefix: str) -> str:
    """A span's name without the word for its kind; all of it where there is nothing else."""
    return name.removeprefix(prefix).strip() or name
