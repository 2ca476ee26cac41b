"""Model calls, through every class that implements ``generate`` or ``generate_stream``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from smolagents.models import ChatMessageStreamDelta

from tachograph import names
from tachograph.facts import TOO_MANY
from tachograph.integrations.smolagents import content
from tachograph.integrations.smolagents.content import captured
from tachograph.integrations.smolagents.run import lost, overlooked, owner_of, run_of, text_of
from tachograph.live import Start
from tachograph.probes import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.live import Facts
    from tachograph.probes import Call

METHODS: Final = ("generate", "generate_stream")

# gen_ai.provider.name by the first class of the model's ancestry that is listed, and whether it runs in-process.
_PROVIDERS: Final[dict[str, tuple[str, bool]]] = {
    "AzureOpenAIModel": ("azure.ai.openai", False),
    "OpenAIModel": ("openai", False),
    "AmazonBedrockModel": ("aws.bedrock", False),
    "InferenceClientModel": ("huggingface", False),
    "LiteLLMModel": ("litellm", False),
    "TransformersModel": ("transformers", True),
    "VLLMModel": ("vllm", True),
    "MLXModel": ("mlx", True),
}
# LiteLLM names the provider before the slash of the model's name.
_LITELLM: Final = {
    "openai": "openai",
    "azure": "azure.ai.openai",
    "anthropic": "anthropic",
    "bedrock": "aws.bedrock",
    "vertex_ai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "deepseek": "deepseek",
    "perplexity": "perplexity",
    "xai": "x_ai",
    "cohere": "cohere",
    "watsonx": "ibm.watsonx.ai",
}
_PARAMETERS: Final = {
    "temperature": (names.REQUEST_TEMPERATURE, float),
    "top_p": (names.REQUEST_TOP_P, float),
    "frequency_penalty": (names.REQUEST_FREQUENCY_PENALTY, float),
    "presence_penalty": (names.REQUEST_PRESENCE_PENALTY, float),
    "max_tokens": (names.REQUEST_MAX_TOKENS, int),
    "max_completion_tokens": (names.REQUEST_MAX_TOKENS, int),
    "seed": (names.REQUEST_SEED, int),
}
_TOO_LARGE: Final = 2**63  # for backends


def probe(owner: type, attribute: str) -> Probe:
    """The probe of one implementation."""
    if attribute == "generate_stream":
        return Probe(owner, attribute, began=stream_began, ended=stream_ended, item=delta_came, skip=says_nothing)
    return Probe(owner, attribute, began=call_began, ended=call_ended)


def duck_typed(model: Any) -> Iterator[Probe]:
    """Probes for methods overlooked so far: an agent takes anything that has ``generate``."""
    for attribute in METHODS:
        owner = overlooked(model, attribute)
        if owner is not None:
            yield probe(owner, attribute)


def model_id(model: Any) -> str | None:
    """The model's id where it has one."""
    return text_of(model, "model_id")


# ------------------------------------------------------------------------------------------------------ a call
def call_began(call: Call) -> Start | None:
    """``generate``. What a model calls inside of its own call, ``super()`` or another model, is that one call."""
    return _began(call, streaming=False)


def stream_began(call: Call) -> Start | None:
    """``generate_stream``."""
    return _began(call, streaming=True)


def _began(call: Call, *, streaming: bool) -> Start | None:
    if call.inside is not None and call.inside.kind == "model":
        return None
    model = call.instance
    if lost(call) and _overridden_under_way(call, model, "generate_stream" if streaming else "generate"):
        return None
    kind: type = type(model)
    if model is None or issubclass(kind, type):  # a static method or one of the class
        model = kind = call.owner if model is None else model
    asked = model_id(model)
    provider, in_process = _provider(kind, asked)
    run = run_of(call.run)
    facts: Facts = {
        names.REQUEST_MODEL: asked,
        names.PROVIDER_NAME: provider,
        names.REQUEST_MESSAGES: _length(call.argument(0, "messages")),
        names.REQUEST_TOOLS: _length(call.argument(3, "tools_to_call_from")),
        names.STEP: None if run is None else run.steps + 1,
    }
    if streaming:
        facts[names.REQUEST_STREAM] = True
    # What it holds itself: a property of the program's may make a client, or fail, and is not run for this.
    held = getattr(model, "__dict__", None)
    if type(held) is dict:
        if "client" in held or "api_base" in held:
            _add_server(facts, held)
        given = held.get("kwargs")
        if type(given) is dict and given:
            _add_parameters(facts, given)
    _add_parameters(facts, call.kwargs)
    name = asked or kind.__name__
    capturing = call.recorder.capturing
    said = content.Said(capturing.limit) if streaming and capturing is not None else None
    return Start(
        "model",
        name,
        facts,
        data=Usage(said, model) if streaming else model,
        in_process=in_process,
        deferred=streaming,
        content=None if capturing is None else captured(call, content.request),
    )


def _overridden_under_way(call: Call, model: Any, attribute: str) -> bool:
    """Whether it is what an overriding method calls in a thread of its own, as one that limits the time does."""
    if owner_of(model, attribute) in (None, call.owner):
        return False
    for live in call.recorder.open("model"):
        if (live.data.model if type(live.data) is Usage else live.data) is model:
            return True
    return False


def call_ended(call: Call) -> Facts:
    """What the message says was used."""
    message = call.result
    if call.recorder.capturing is not None:
        captured(call, content.answer)
    usage = getattr(message, "token_usage", None)
    calls = getattr(message, "tool_calls", None)
    raw = getattr(message, "raw", None)
    facts: Facts = {} if raw is None else response_facts(raw)
    # The usage the framework reports; what it does not know stays unknown.
    facts[names.INPUT_TOKENS] = _count(getattr(usage, "input_tokens", None))
    facts[names.OUTPUT_TOKENS] = _count(getattr(usage, "output_tokens", None))
    facts[names.RESPONSE_TOOL_CALLS] = len(calls) if type(calls) is list and calls else None
    return facts


# ---------------------------------------------------------------------------------------------------- a stream
class Usage:
    """Tokens of a stream, added up from what its chunks report.

    Three styles are in use: one report at the end, a share with each chunk, a running total with each chunk. A
    chunk that reports the whole input again is a running total, as nobody sends the input twice.
    """

    __slots__ = ("answered", "cached", "calls", "completion", "model", "prompt", "reasoning", "said")

    def __init__(self, said: content.Said | None = None, model: Any = None) -> None:
        self.said = said
        self.model = model
        self.prompt: int | None = None
        self.completion: int | None = None
        self.cached: int | None = None
        self.reasoning: int | None = None
        self.calls: set[int] = set()
        self.answered: Usage | None = None  # the same by the chunks of the client, which alone have details

    def add(
        self, prompt: int | None, completion: int | None, cached: int | None = None, reasoning: int | None = None
    ) -> None:
        """One chunk's report."""
        if prompt and self.prompt and prompt >= self.prompt and (completion or 0) >= (self.completion or 0):
            self.prompt = self.completion = self.cached = self.reasoning = None
        self.prompt = _sum(self.prompt, prompt)
        self.completion = _sum(self.completion, completion)
        self.cached = _sum(self.cached, cached)
        self.reasoning = _sum(self.reasoning, reasoning)


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more


def says_nothing(delta: Any) -> bool:
    """Whether it is an ordinary delta with content and nothing else, as nearly all are."""
    return type(delta) is ChatMessageStreamDelta and delta.token_usage is None and delta.tool_calls is None


def delta_came(call: Call, delta: Any) -> None:
    """One ``ChatMessageStreamDelta``."""
    seen: Usage = call.data
    if seen.said is not None:
        call.recorder.guard(seen.said.add, delta)
    if says_nothing(delta):
        return
    usage = getattr(delta, "token_usage", None)
    if usage is not None:
        seen.add(_count(getattr(usage, "input_tokens", None)), _count(getattr(usage, "output_tokens", None)))
    calls = getattr(delta, "tool_calls", None)
    if type(calls) is list:
        seen.calls.update(index for part in calls if type(index := getattr(part, "index", None)) is int)


def stream_ended(call: Call) -> Facts:
    """What the chunks that came added up to, however the stream ended: what was used is billed."""
    seen: Usage = call.data
    if type(call.result) is list:  # all at once
        for delta in call.result:
            delta_came(call, delta)
    if seen.said is not None:
        captured(call, content.streamed)
    return {
        names.INPUT_TOKENS: seen.prompt,
        names.OUTPUT_TOKENS: seen.completion,
        names.RESPONSE_TOOL_CALLS: len(seen.calls) or None,
    }


# --------------------------------------------------------------------------------------- the provider's answer
def responded(call: Call) -> Facts | None:
    """``Retrying.__call__`` returned the client's answer to a model call."""
    if call.inside is None or call.inside.kind != "model" or call.error is not None:
        return None
    return response_facts(call.result)


def chunk_responded(call: Call, chunk: Any) -> None:
    """The client's stream yielded a chunk."""
    if call.inside is None or call.inside.kind != "model":
        return
    facts = response_facts(chunk)
    stream, usage = call.inside.data, getattr(chunk, "usage", None)
    if usage is not None and isinstance(stream, Usage):
        seen = stream.answered = stream.answered or Usage()
        prompt, completion = (_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
        seen.add(prompt, completion, facts[names.CACHED_TOKENS], facts[names.REASONING_TOKENS])
        facts |= {names.CACHED_TOKENS: seen.cached, names.REASONING_TOKENS: seen.reasoning}
    call.inside.add(facts)


def response_facts(response: Any) -> Facts:
    """What an answer in OpenAI's shape says; other shapes say nothing. No content is touched."""
    usage = getattr(response, "usage", None)
    choices = getattr(response, "choices", None)
    reasons = (
        tuple(reason for choice in choices if type(reason := getattr(choice, "finish_reason", None)) is str)
        if type(choices) is list
        else ()
    )
    response_id, answered = getattr(response, "id", None), getattr(response, "model", None)
    return {
        names.RESPONSE_ID: response_id if type(response_id) is str and response_id else None,
        names.RESPONSE_MODEL: answered if type(answered) is str and answered else None,
        names.FINISH_REASONS: reasons or None,
        names.CACHED_TOKENS: _detail(usage, "prompt_tokens_details", "cached_tokens"),
        names.REASONING_TOKENS: _detail(usage, "completion_tokens_details", "reasoning_tokens"),
    }


def _detail(usage: Any, table: str, name: str) -> int | None:
    return _count(getattr(getattr(usage, table, None), name, None))


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < TOO_MANY else None


def _length(value: Any) -> int | None:
    return len(value) if type(value) in (list, tuple) else None


def _provider(kind: type, asked: str | None) -> tuple[str, bool]:
    for ancestor in kind.__mro__:
        if ancestor.__name__ in _PROVIDERS:
            provider, in_process = _PROVIDERS[ancestor.__name__]
            if provider == "litellm" and asked and "/" in asked:
                provider = _LITELLM.get(asked.split("/", 1)[0], provider)
            return provider, in_process
    return "smolagents", False


def _add_server(facts: Facts, held: dict[str, Any]) -> None:
    url = getattr(held.get("client"), "base_url", None)
    if url is None:
        url = held.get("api_base")
    if url is None:
        return
    # A client's own URL type is not for us to convert; httpx, which most of them use, has host and port.
    host, port = getattr(url, "host", None), getattr(url, "port", None)
    if type(url) is str:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    if type(host) is str and host:
        facts[names.SERVER_ADDRESS] = host
        facts[names.SERVER_PORT] = port if type(port) is int else 443


def _add_parameters(facts: Facts, given: dict[Any, Any]) -> None:
    for key, value in given.items():
        if type(key) is str and key in _PARAMETERS:
            name, kind = _PARAMETERS[key]
            if (type(value) is int and -_TOO_LARGE <= value < _TOO_LARGE) or (kind is float and type(value) is float):
                facts[name] = kind(value)
