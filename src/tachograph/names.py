"""Every attribute, span, metric, event and log name Tachograph emits, with its type and meaning.

The strings are our own literals on purpose: the constants of the OpenTelemetry packages are renamed and
removed between releases. ``ATTRIBUTES``, ``METRICS`` and ``EVENTS`` are the tables the documentation,
the codec and the conformance tests read.

Sources: the OpenTelemetry core conventions (``error.*``, ``session.*``, ``user.*``, ``server.*``), the GenAI
conventions as of 2026-10 (``gen_ai.*``, no release exists to cite), and our own ``tachograph.*``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

SCOPE: Final = "tachograph"
"""Instrumentation scope of everything we emit."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its wire name, the Python type of its value, and what it says."""

    name: str
    type: type
    brief: str
    local: bool = False
    """Kept in the ledger and the store, and never sent."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument: what it is called and measured in, and the attributes its points may carry."""

    name: str
    instrument: Literal["histogram", "counter", "observable_gauge", "observable_counter"]
    unit: str
    brief: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None


ATTRIBUTES: dict[str, Attribute] = {}
METRICS: dict[str, Metric] = {}
LATEST_METRICS: dict[str, Metric] = {}
"""What the newest GenAI conventions have in the place of some of them; never both at once."""


def _attribute(name: str, kind: type, brief: str, *, local: bool = False) -> str:
    ATTRIBUTES[name] = Attribute(name, kind, brief, local)
    return name


# ------------------------------------------------------------------------------------------- core conventions
ERROR_TYPE: Final = _attribute("error.type", str, "class name of the exception the operation ended with")
EXCEPTION_TYPE: Final = _attribute("exception.type", str, "class name of an exception, on its log event")
EXCEPTION_MESSAGE: Final = _attribute("exception.message", str, "text of an exception, redacted and cut")
SESSION_ID: Final = _attribute("session.id", str, "the session the work belongs to")
USER_ID: Final = _attribute("user.id", str, "the user the work is done for, where the program says")
SERVER_ADDRESS: Final = _attribute("server.address", str, "host name of the server of a model, a database, …")
SERVER_PORT: Final = _attribute("server.port", int, "port of that server")
DB_SYSTEM: Final = _attribute("db.system.name", str, "the database product, on others' spans: sqlite, postgresql, …")
DB_OPERATION: Final = _attribute("db.operation.name", str, "what was asked of the database: SELECT, findAndModify, …")
DB_COLLECTION: Final = _attribute("db.collection.name", str, "table or collection it was asked of")
HTTP_METHOD: Final = _attribute("http.request.method", str, "method of an HTTP request, on others' spans")
URL: Final = _attribute("url.full", str, "address of an HTTP request, on others' spans; nothing but its host is kept")

# ------------------------------------------------------------------------------------------ GenAI conventions
OPERATION_NAME: Final = _attribute("gen_ai.operation.name", str, "invoke_agent, chat, execute_tool, plan, …")
PROVIDER_NAME: Final = _attribute("gen_ai.provider.name", str, "who serves the model: openai, aws.bedrock, …")
AGENT_NAME: Final = _attribute("gen_ai.agent.name", str, "name of the agent, where it has one")
AGENT_DESCRIPTION: Final = _attribute("gen_ai.agent.description", str, "the agent's description")
WORKFLOW_NAME: Final = _attribute("gen_ai.workflow.name", str, "name of the workflow a task runs")
CONVERSATION_ID: Final = _attribute("gen_ai.conversation.id", str, "conversation id, only where one was given")
REQUEST_MODEL: Final = _attribute("gen_ai.request.model", str, "the model asked for")
REQUEST_STREAM: Final = _attribute("gen_ai.request.stream", bool, "true when the answer is streamed, else absent")
REQUEST_TEMPERATURE: Final = _attribute("gen_ai.request.temperature", float, "sampling temperature")
REQUEST_TOP_P: Final = _attribute("gen_ai.request.top_p", float, "nucleus sampling threshold")
REQUEST_MAX_TOKENS: Final = _attribute("gen_ai.request.max_tokens", int, "limit on the answer's tokens")
REQUEST_SEED: Final = _attribute("gen_ai.request.seed", int, "seed of the request")
REQUEST_FREQUENCY_PENALTY: Final = _attribute("gen_ai.request.frequency_penalty", float, "frequency penalty")
REQUEST_PRESENCE_PENALTY: Final = _attribute("gen_ai.request.presence_penalty", float, "presence penalty")
RESPONSE_ID: Final = _attribute("gen_ai.response.id", str, "the provider's id of the answer")
RESPONSE_MODEL: Final = _attribute("gen_ai.response.model", str, "the model that answered")
FINISH_REASONS: Final = _attribute("gen_ai.response.finish_reasons", tuple, "why generation stopped, one per choice")
TIME_TO_FIRST_CHUNK: Final = _attribute(
    "gen_ai.response.time_to_first_chunk", float, "seconds from request to first chunk of a stream"
)
INPUT_TOKENS: Final = _attribute("gen_ai.usage.input_tokens", int, "tokens read, cached ones included")
OUTPUT_TOKENS: Final = _attribute("gen_ai.usage.output_tokens", int, "tokens written, reasoning included")
CACHED_TOKENS: Final = _attribute("gen_ai.usage.cache_read.input_tokens", int, "input tokens read from a cache")
REASONING_TOKENS: Final = _attribute("gen_ai.usage.reasoning.output_tokens", int, "output tokens spent on reasoning")
TOOL_NAME: Final = _attribute("gen_ai.tool.name", str, "name of the tool")
TOOL_TYPE: Final = _attribute("gen_ai.tool.type", str, "function, extension or datastore")
TOOL_CALL_ID: Final = _attribute("gen_ai.tool.call.id", str, "the model's id of the call")
TOOL_DESCRIPTION: Final = _attribute("gen_ai.tool.description", str, "what the tool is said to do; captured content")
TOOL_ARGUMENTS: Final = _attribute("gen_ai.tool.call.arguments", str, "JSON of a call's arguments; captured content")
TOOL_RESULT: Final = _attribute("gen_ai.tool.call.result", str, "JSON of what the call gave; captured content")
TOOL_DEFINITIONS: Final = _attribute("gen_ai.tool.definitions", str, "JSON of the tools offered; captured content")
SYSTEM_INSTRUCTIONS: Final = _attribute(
    "gen_ai.system_instructions", str, "JSON of the agent's system prompt; captured content"
)
INPUT_MESSAGES: Final = _attribute("gen_ai.input.messages", str, "JSON of the messages sent; captured content")
OUTPUT_MESSAGES: Final = _attribute("gen_ai.output.messages", str, "JSON of the answer; captured content")
TOKEN_TYPE: Final = _attribute("gen_ai.token.type", str, "input or output, on token metrics")
TOKEN_MODALITY: Final = _attribute("gen_ai.token.modality", str, "unknown, on token metrics of the newest conventions")

# ----------------------------------------------------------------------------------------------------- our own
CORRELATION_ID: Final = _attribute("tachograph.correlation.id", str, "one user request, across agents and traces")
KIND: Final = _attribute("tachograph.operation.kind", str, "kind of an operation the conventions have no word for")
SUBJECT: Final = _attribute(
    "tachograph.operation.name", str, "what the views tabulate it by, where no other attribute says it"
)
OUTCOME: Final = _attribute("tachograph.outcome", str, "how it ended, where that is neither ok nor error")
PARENT_ID: Final = _attribute("tachograph.parent.id", str, "enclosing operation, where the parent span is another")
RUN_BY: Final = _attribute("tachograph.parent.agent.name", str, "agent it ran in, as the ledger shows it")
NESTED: Final = _attribute("tachograph.agent.nested", bool, "true for an agent run inside another agent run")
STEP: Final = _attribute("tachograph.step", int, "number of the agent step it happened in, from 1")
STEPS: Final = _attribute("tachograph.agent.steps", int, "steps an agent run took")
SWITCH_FROM: Final = _attribute("tachograph.switch.from", str, "agent that handed over to this run")
SWITCH_TO: Final = _attribute("tachograph.switch.to", str, "agent that was handed the work")
SWITCH_REASON: Final = _attribute("tachograph.switch.reason", str, "why the work was handed over")
RECOVERED: Final = _attribute("tachograph.errors.recovered", tuple, "types of the errors the run went on after")
HANDED_UP: Final = _attribute("tachograph.error.handed_up", bool, "true when a nested agent's failure caused this")
ACTIVE_SECONDS: Final = _attribute(
    "tachograph.stream.active_duration", float, "seconds a stream worked, its consumer's time left out"
)
REQUEST_MESSAGES: Final = _attribute("tachograph.request.messages", int, "messages sent to the model")
REQUEST_TOOLS: Final = _attribute("tachograph.request.tools", int, "tools offered to the model")
RESPONSE_TOOL_CALLS: Final = _attribute("tachograph.response.tool_calls", int, "tool calls in the model's answer")
COST: Final = _attribute("tachograph.cost.amount", float, "dollars the call costs, where its model's price is known")
ATTEMPTS: Final = _attribute("tachograph.request.attempts", int, "tries one model call took, where more than one")
COUNTED: Final = _attribute(
    "tachograph.model.counted",
    bool,
    "true on others' spans in or around a model call that is counted: they add nothing",
)
TOLD_BY: Final = _attribute(
    "tachograph.told.by", str, "dialect of somebody else's span that it was read from", local=True
)
HUMAN_WAIT: Final = _attribute("tachograph.human.wait", bool, "true when the duration is a human's, not a machine's")
HUMAN_SECONDS: Final = _attribute(
    "tachograph.human.wait_duration", float, "seconds of it that a human took to decide, which are not its own"
)
REMOTE: Final = _attribute("tachograph.code.remote", bool, "true when code ran where its tool calls cannot be seen")
TASK_ID: Final = _attribute(
    "tachograph.task.id", str, "the program's own id of a task, on what runs directly in it too"
)
TASK_DESCRIPTION: Final = _attribute(
    "tachograph.task.description", str, "what is to be done, in the program's or its user's words", local=True
)
TASK_CATEGORY: Final = _attribute("tachograph.task.category", str, "kind of task, such as an SOP's category")
TASK_FOLDER: Final = _attribute("tachograph.task.folder", str, "folder that a task works in", local=True)
APPROVAL_REASON: Final = _attribute("tachograph.approval.reason", str, "why a human is asked")
APPROVAL_TIMEOUT: Final = _attribute("tachograph.approval.timeout", float, "seconds after which nobody has decided")
APPROVAL_DECISION: Final = _attribute("tachograph.approval.decision", str, "APPROVE, EDIT, REJECT or EXPIRED")
APPROVAL_LATE: Final = _attribute("tachograph.approval.late_decision", str, "what was decided when it had expired")
APPROVAL_BY: Final = _attribute("tachograph.approval.decided_by", str, "who decided")
APPROVAL_NAMES: Final = _attribute("tachograph.approval.argument_names", tuple, "names of the arguments asked about")
APPROVAL_DIGEST: Final = _attribute("tachograph.approval.arguments_digest", str, "SHA-256 of the arguments' JSON")
APPROVAL_EDITED_NAMES: Final = _attribute(
    "tachograph.approval.modified_names", tuple, "names of the arguments a human changed, added or took away"
)
APPROVAL_EDITED_DIGEST: Final = _attribute(
    "tachograph.approval.modified_digest", str, "SHA-256 of the modified arguments' JSON"
)
APPROVAL_ARGUMENTS: Final = _attribute(
    "tachograph.approval.arguments", str, "JSON of the arguments asked about, redacted and cut", local=True
)
APPROVAL_EDITED: Final = _attribute(
    "tachograph.approval.modified_arguments", str, "JSON of the arguments a human gave instead", local=True
)
CUSTOM: Final = "tachograph.field."
"""What a program adds to a record itself has this before its own name."""
ENVIRONMENT: Final = _attribute("tachograph.environment", str, "JSON of what the program ran in", local=True)
CODE_CHANGES: Final = _attribute(
    "tachograph.code.changes", str, "JSON of the files and lines a task changed", local=True
)
EVENT_ID: Final = _attribute("tachograph.event.id", str, "id of the audit entry, the same wherever it is written")
OPERATION_ID: Final = _attribute("tachograph.operation.id", str, "operation a log event belongs to")
EXPORT_GAPS: Final = _attribute(
    "tachograph.export.gaps", tuple, "on the resource of exported records: what of them is not there, in words"
)
SAMPLER: Final = _attribute(
    "tachograph.sampler", str, "who left spans out, where not all are there; on the resource too, by a Collector"
)
SWALLOWED_SITE: Final = _attribute("tachograph.guard.site", str, "place in Tachograph where a failure was swallowed")
AUDIT_WRITER: Final = _attribute("tachograph.audit.writer", str, "name of the writer whose chain a head is of")
AUDIT_COUNT: Final = _attribute("tachograph.audit.count", int, "entries in the chain up to its head")
AUDIT_LINK: Final = _attribute("tachograph.audit.link", str, "the last link of the chain, in hex")
AUDIT_KEYED: Final = _attribute("tachograph.audit.keyed", bool, "whether links are HMACs with a key")

FORMER: Final[dict[str, str]] = {
    "db.operation": DB_OPERATION,
    "db.sql.table": DB_COLLECTION,
    "db.system": DB_SYSTEM,
    "gen_ai.system": PROVIDER_NAME,
    "gen_ai.usage.cache_read_input_tokens": CACHED_TOKENS,
    "gen_ai.usage.completion_tokens": OUTPUT_TOKENS,
    "gen_ai.usage.prompt_tokens": INPUT_TOKENS,
    "gen_ai.usage.reasoning_tokens": REASONING_TOKENS,
    "http.method": HTTP_METHOD,
    "http.url": URL,
    "net.peer.name": SERVER_ADDRESS,
    "net.peer.port": SERVER_PORT,
}
"""What earlier conventions called attributes that we read on others' spans, and what they are called now."""

# ------------------------------------------------------------------------------------------------------ events
EVENT_PREFIX: Final = "tachograph."
"""OpenTelemetry event name = this + the audit ``event_type``."""

MODEL_EXCEPTION: Final = "gen_ai.client.operation.exception"
"""Log event of an exception that left a model call (GenAI conventions, severity WARN)."""

MODEL_DETAILS: Final = "gen_ai.client.inference.operation.details"
"""Log event with the content of a model call (GenAI conventions, severity DEBUG); only where events carry content."""

AUDIT_HEAD: Final = "tachograph.audit.head"
"""Log event of where a store's audit chain stands (severity INFO): who keeps it can prove that nothing was cut."""

EVENTS: Final[dict[str, tuple[str, bool]]] = {
    # audit event_type: (category, critical)
    "session_created": ("session", False),
    "session_updated": ("session", False),
    "session_deleted": ("session", True),
    "message_added": ("session", False),
    "agent_processing_started": ("agent", False),
    "agent_processing_completed": ("agent", False),
    "agent_error": ("agent", True),
    "agent_registered": ("agent", False),
    "agent_switched": ("agent", True),
    "llm_request_started": ("llm", False),
    "llm_request_completed": ("llm", False),
    "llm_request_failed": ("llm", False),
    "tool_execution_requested": ("tool", False),
    "tool_execution_started": ("tool", False),
    "tool_execution_completed": ("tool", False),
    "tool_execution_failed": ("tool", False),
    "tool_approval_required": ("tool", True),
    "hitl_approval_requested": ("hitl", True),
    "hitl_decision_made": ("hitl", True),
    "task_started": ("task", False),
    "task_completed": ("task", False),
    "database_query_executed": ("system", False),
    "system_startup": ("system", False),
    "system_shutdown": ("system", False),
    "threshold_exceeded": ("system", True),
}

CONTENT_FIELDS: Final = frozenset(
    {"arguments", "changes", "content", "message", "modified_args", "original_args", "result"}
)
"""Fields of an event's payload that hold what people and programs said: kept here, and sent as names and a digest."""

LIST_FIELDS: Final = frozenset({"managed_agents", "tools", *(f"{name}_names" for name in CONTENT_FIELDS)})
"""Fields of an event's payload that are lists of texts; some stores have only the JSON of a list."""

# ----------------------------------------------------------------------------------------------------- metrics
# Buckets of the GenAI conventions, as the released OpenTelemetry helper has them.
_SECONDS = tuple(0.01 * 2**n for n in range(14))
_AGENT_SECONDS = tuple(0.1 * 2**n for n in range(13))
_TOKENS = tuple(float(4**n) for n in range(14))
_MODEL = (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT)


def _metric(
    name: str,
    instrument: Literal["histogram", "counter", "observable_gauge", "observable_counter"],
    unit: str,
    brief: str,
    attributes: tuple[str, ...] = (),
    buckets: tuple[float, ...] | None = None,
    *,
    latest: bool = False,
) -> str:
    (LATEST_METRICS if latest else METRICS)[name] = Metric(name, instrument, unit, brief, attributes, buckets)
    return name


MODEL_DURATION: Final = _metric(
    "gen_ai.client.operation.duration", "histogram", "s", "duration of model calls", (*_MODEL, ERROR_TYPE), _SECONDS
)
TOKEN_USAGE: Final = _metric(
    "gen_ai.client.token.usage", "histogram", "{token}", "tokens of model calls", (*_MODEL, TOKEN_TYPE), _TOKENS
)
FIRST_CHUNK: Final = _metric(
    "gen_ai.client.operation.time_to_first_chunk", "histogram", "s", "wait for a stream's first chunk", _MODEL, _SECONDS
)
AGENT_DURATION: Final = _metric(
    "gen_ai.invoke_agent.duration", "histogram", "s", "duration of agent runs", (AGENT_NAME, ERROR_TYPE), _AGENT_SECONDS
)
TOOL_DURATION: Final = _metric(
    "gen_ai.execute_tool.duration",
    "histogram",
    "s",
    "duration of tool executions",
    (TOOL_NAME, TOOL_TYPE, AGENT_NAME, ERROR_TYPE),
    _SECONDS,
)
SWITCHES: Final = _metric(
    "tachograph.agent.switches", "counter", "{switch}", "hand-overs between agents", (SWITCH_FROM, SWITCH_TO)
)
AGENT_ERRORS: Final = _metric(
    "tachograph.agent.errors", "counter", "{error}", "agent runs that ended in an error", (AGENT_NAME, ERROR_TYPE)
)
APPROVALS: Final = _metric(
    "tachograph.approvals", "counter", "{approval}", "approvals decided or expired", (TOOL_NAME, APPROVAL_DECISION)
)
APPROVALS_PENDING: Final = _metric(
    "tachograph.approvals.pending", "observable_gauge", "{approval}", "approvals nobody has decided yet", (TOOL_NAME,)
)
APPROVAL_WAIT: Final = _metric(
    "tachograph.approval.wait.duration",
    "histogram",
    "s",
    "time from asking a human to the decision",
    (TOOL_NAME, APPROVAL_DECISION),
    tuple(float(4**n) for n in range(10)),
)
SPENT: Final = _metric(
    "tachograph.cost", "counter", "USD", "what model calls cost, as far as prices are known", (*_MODEL[1:4],)
)
SESSIONS_ACTIVE: Final = _metric(
    "tachograph.sessions.active", "observable_gauge", "{session}", "sessions with an operation open"
)
SWALLOWED: Final = _metric(
    "tachograph.self.swallowed",
    "observable_counter",
    "{failure}",
    "failures inside Tachograph that were kept from the host",
    (SWALLOWED_SITE,),
)
EVICTED: Final = _metric(
    "tachograph.self.evicted", "observable_counter", "{record}", "detail records dropped to stay within the bounds"
)
_SESSION = (SESSION_ID, CORRELATION_ID)
SESSION_REQUESTS: Final = _metric(
    "tachograph.session.requests",
    "observable_gauge",
    "{request}",
    "model calls finished, by outcome",
    (*_SESSION, OUTCOME),
)
SESSION_TOKENS: Final = _metric(
    "tachograph.session.tokens", "observable_gauge", "{token}", "tokens billed", (*_SESSION, TOKEN_TYPE)
)
SESSION_TOOL_CALLS: Final = _metric(
    "tachograph.session.tool_calls", "observable_gauge", "{call}", "tool calls requested", _SESSION
)
SESSION_SWITCHES: Final = _metric(
    "tachograph.session.agent_switches", "observable_gauge", "{switch}", "hand-overs between agents", _SESSION
)
SESSION_ERRORS: Final = _metric(
    "tachograph.session.errors", "observable_gauge", "{error}", "root causes of failed agent runs", _SESSION
)
SESSION_ACTIVE: Final = _metric(
    "tachograph.session.active_requests", "observable_gauge", "{request}", "model calls in flight", _SESSION
)
SESSION_APPROVALS: Final = _metric(
    "tachograph.session.approvals",
    "observable_gauge",
    "{approval}",
    "approvals by what became of them; pending ones too",
    (*_SESSION, APPROVAL_DECISION),
)
SESSION_COST: Final = _metric(
    "tachograph.session.cost", "observable_gauge", "USD", "what model calls cost, as far as prices are known", _SESSION
)
SESSION_DURATION: Final = _metric(
    "tachograph.session.duration", "observable_gauge", "s", "time outermost agent runs took, summed", _SESSION
)

# --------------------------------------------------------------------------------------- the newest conventions
LATEST_VARIABLE: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
LATEST: Final = "gen_ai_latest_experimental"
"""The word in it that asks for the metrics of the newest GenAI conventions, which no release has yet."""


_newest = partial(_metric, latest=True)
_BY_MODALITY = (*_MODEL, TOKEN_MODALITY)
INFERENCE_DURATION: Final = _newest(
    "gen_ai.client.inference.duration", "histogram", "s", "duration of model calls", (*_MODEL, ERROR_TYPE), _SECONDS
)
INFERENCE_FIRST_CHUNK: Final = _newest(
    "gen_ai.client.inference.time_to_first_chunk", "histogram", "s", "wait for a stream's first chunk", _MODEL, _SECONDS
)
INFERENCE_INPUT: Final = _newest(
    "gen_ai.client.inference.usage.input_tokens", "counter", "{token}", "tokens read, cached ones too", _BY_MODALITY
)
INFERENCE_OUTPUT: Final = _newest(
    "gen_ai.client.inference.usage.output_tokens", "counter", "{token}", "tokens written, in all", _BY_MODALITY
)
INFERENCE_CACHED: Final = _newest(
    "gen_ai.client.inference.usage.cache_read.input_tokens", "counter", "{token}", "tokens cached", _BY_MODALITY
)
INFERENCE_REASONING: Final = _newest(
    "gen_ai.client.inference.usage.reasoning.output_tokens", "counter", "{token}", "tokens of reasoning", _BY_MODALITY
)
CALL_INPUT: Final = _newest(
    "gen_ai.client.inference.operation.input_tokens", "histogram", "{token}", "tokens each call read", _MODEL, _TOKENS
)
CALL_OUTPUT: Final = _newest(
    "gen_ai.client.inference.operation.output_tokens", "histogram", "{token}", "tokens each call wrote", _MODEL, _TOKENS
)

REPLACED: Final = frozenset({MODEL_DURATION, TOKEN_USAGE, FIRST_CHUNK})
"""What the newest conventions have no more."""


def metrics_of(*, latest: bool) -> dict[str, Metric]:
    """All metrics there are, by the newest conventions or by those that released libraries and backends use."""
    if not latest:
        return METRICS
    return {**{name: metric for name, metric in METRICS.items() if name not in REPLACED}, **LATEST_METRICS}


def latest_wanted(opt_in: str) -> bool:
    """Whether the variable asks for the newest GenAI conventions; the words in it are of many."""
    return LATEST in (word.strip() for word in opt_in.split(","))
