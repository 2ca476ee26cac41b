"""Spans of other instrumentations that are worth a place: as operations like our own.

A model call by anybody's GenAI instrumentation is counted as ours are; a database query and an HTTP request have a
place on the timeline. What such a span says is taken by the names of the conventions, former ones too, and nothing is
guessed. Neither a statement's text, nor an address beyond its host, nor any content is read.

Where a span belongs, :mod:`tachograph.processors` has stamped on it when it started; so the same is read in the
process and from wherever spans were kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tachograph import names
from tachograph.records import Operation
from tachograph.spans import typed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.cost import Prices
    from tachograph.records import Kind
    from tachograph.spans import ReadSpan

UNATTRIBUTED: Final = "unattributed"
"""Session of spans that nobody put into one."""

MODEL_CALLS: Final = frozenset({"chat", "embeddings", "generate_content", "text_completion"})
"""``gen_ai.operation.name`` of calls to a model."""

_CURRENT: Final = (names.OPERATION_NAME, names.DB_SYSTEM, names.HTTP_METHOD)
_TELLING: Final = frozenset({*_CURRENT, *(former for former, now in names.FORMER.items() if now in _CURRENT)})

_OF_MODEL: Final = (
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
_OF_DATABASE: Final = (
    names.DB_SYSTEM,
    names.DB_OPERATION,
    names.DB_COLLECTION,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)
_OF_HTTP: Final = (names.HTTP_METHOD, names.SERVER_ADDRESS, names.SERVER_PORT)

_FOR_TOOLS: Final = frozenset({"tool_call", "tool_calls", "tool_use", "function_call"})
_VERBS: Final = frozenset(
    {"ALTER", "BEGIN", "CALL", "COMMIT", "CREATE", "DELETE", "DROP", "INSERT", "MERGE", "PRAGMA", "REPLACE"}
    | {"ROLLBACK", "SELECT", "TRUNCATE", "UPDATE", "UPSERT", "WITH"}
)


def telling(attributes: Mapping[str, Any]) -> bool:
    """Whether a span with these attributes may be worth a place: all that most spans are asked."""
    return not _TELLING.isdisjoint(attributes)


def is_model_call(attributes: Mapping[str, Any]) -> bool:
    """Whether these are of a call to a model."""
    return attributes.get(names.OPERATION_NAME) in MODEL_CALLS


def operation_from_foreign(span: ReadSpan, prices: Prices | None = None) -> Operation | None:
    """The operation that somebody else's ended span tells of; None for ours, and for one that is worth no place.

    Args:
        span: it, with what was stamped on it.
        prices: to say what a model call costs.
    """
    if span.scope == names.SCOPE or span.end_ns is None or not telling(span.attributes):
        return None
    facts = typed(_in_current_names(span.attributes))
    found = _kind_and_name(span, facts)
    if found is None:
        return None
    kind, name, wanted = found
    if kind == "other" and names.SESSION_ID not in facts:
        return None  # a service's queries in nobody's name would push out what agents did
    error_type = _error_type(span, facts) if span.failed else None
    return Operation(
        id=span.span_id,
        kind=kind,
        name=name,
        session_id=facts.get(names.SESSION_ID) or UNATTRIBUTED,
        # Where nobody names a request, a model call's is its trace; queries are too many to be requests of their own.
        correlation_id=facts.get(names.CORRELATION_ID) or (span.trace_id if kind == "model" else ""),
        start_ns=span.start_ns,
        end_ns=max(span.start_ns, span.end_ns),
        outcome="error" if span.failed else "ok",
        error_type=error_type,
        agent=facts.get(names.RUN_BY),
        parent_id=facts.get(names.PARENT_ID) or span.parent_id,
        trace_id=span.trace_id,
        user_id=facts.get(names.USER_ID),
        attributes={
            **{name: facts[name] for name in wanted if name in facts},
            **(_more_of_call(facts, span.start_ns, prices) if kind == "model" else {}),
        },
    )


def _in_current_names(attributes: Mapping[str, Any]) -> dict[str, Any]:
    former: dict[str, Any] = {}
    current: dict[str, Any] = {}
    # In one go, as the SDK's attributes take their time to say that something is not there.
    for name, value in attributes.items():
        now = names.FORMER.get(name)
        (current if now is None else former)[now or name] = value
    return {**former, **current}


def _kind_and_name(span: ReadSpan, facts: dict[str, Any]) -> tuple[Kind, str, tuple[str, ...]] | None:
    """Kind, name for the views, and the attributes that are kept."""
    if is_model_call(facts):
        if facts.get(names.COUNTED):
            return None
        return "model", facts.get(names.REQUEST_MODEL) or facts.get(names.RESPONSE_MODEL) or span.name, _OF_MODEL
    if names.DB_SYSTEM in facts:
        # Those that do not say the operation call the span by it; a name that is no verb may be anything.
        if names.DB_OPERATION not in facts and (verb := span.name.partition(" ")[0].upper()) in _VERBS:
            facts[names.DB_OPERATION] = verb
        said = (facts.get(names.DB_OPERATION), facts.get(names.DB_COLLECTION))
        return "other", " ".join(filter(None, said)) or facts[names.DB_SYSTEM], _OF_DATABASE
    if names.HTTP_METHOD in facts and span.kind == "CLIENT":
        if names.SERVER_ADDRESS not in facts and (host := _host(facts.get(names.URL))):
            facts[names.SERVER_ADDRESS] = host
        return "other", " ".join(filter(None, (facts[names.HTTP_METHOD], facts.get(names.SERVER_ADDRESS)))), _OF_HTTP
    return None


def _host(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").hostname
    except ValueError:
        return None


def _error_type(span: ReadSpan, facts: Mapping[str, Any]) -> str | None:
    told = (typed(event.attributes).get(names.EXCEPTION_TYPE) for event in span.events)
    return facts.get(names.ERROR_TYPE) or next(filter(None, told), None)


def _more_of_call(call: Mapping[str, Any], start_ns: int, prices: Prices | None) -> dict[str, Any]:
    """What it costs, and that tools are to be called: at least one in each answer that stopped for it."""
    amount = None if prices is None else prices.amount(call, start_ns)
    calls = sum(reason in _FOR_TOOLS for reason in call.get(names.FINISH_REASONS) or ())
    return {
        **({names.COST: amount} if amount is not None else {}),
        **({names.RESPONSE_TOOL_CALLS: calls} if calls else {}),
    }
