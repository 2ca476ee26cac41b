"""Values nobody should touch: whatever a host hands about, it arrives as it was, and we have not looked into it."""

from __future__ import annotations

import contextlib
import types
from typing import TYPE_CHECKING, Any

import pytest
from smolagents import Tool, ToolCallingAgent, utils
from smolagents.memory import ActionStep, FinalAnswerStep
from smolagents.models import ChatMessage, MessageRole, Model
from smolagents.monitoring import Timing

from support.agents import ScriptedModel, answer, caller, quiet
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

touched: list[str] = []
"""Which special methods of the values below were called, by whomever."""


def _touch(name: str) -> Callable[..., Any]:
    def touch(self: object, *args: object) -> Any:
        touched.append(name)
        raise RuntimeError(f"{name} is nobody's business")

    return touch


SPECIAL = (
    *("repr", "str", "bytes", "format", "eq", "ne", "lt", "le", "gt", "ge", "hash", "bool", "len", "iter", "next"),
    *("contains", "getitem", "setitem", "call", "int", "float", "index", "copy", "deepcopy", "reduce_ex", "fspath"),
    *("enter", "exit", "add", "radd", "or", "and"),
)
Untouchable = type("Untouchable", (), {f"__{name}__": _touch(name) for name in SPECIAL if name != "next"})
OneShot = type("OneShot", (), {f"__{name}__": _touch(name) for name in SPECIAL})
Secretive = type("Secretive", (Untouchable,), {"__getattr__": _touch("getattr")})
Impostor = type("Impostor", (Untouchable,), {"__class__": property(lambda _: types.GeneratorType)})
Classless = type("Classless", (Untouchable,), {"__class__": property(_touch("class"))})


def _hostile(kind: type) -> type:
    methods = {f"__{name}__": _touch(name) for name in SPECIAL if hasattr(kind, f"__{name}__")}
    return type(f"Hostile{kind.__name__}", (kind,), methods)


def _circular() -> Any:
    ring: dict[str, Any] = {}
    ring["ring"] = [ring]
    return ring


def _generator() -> Iterator[int]:
    touched.append("generator begun")
    yield 1


VALUES: dict[str, Callable[[], Any]] = {
    "untouchable": Untouchable,
    "one-shot iterator": OneShot,
    "secretive": Secretive,
    "impostor": Impostor,
    "classless": Classless,
    "text": lambda: _hostile(str)("text"),
    "number": lambda: _hostile(int)(7),
    "list": lambda: _hostile(list)([1]),
    "table": lambda: _hostile(dict)({1: 2}),
    "circular": _circular,
    "generator": _generator,
    "100 MB of text": lambda: "x" * 100_000_000,
    "100 MB of bytes": lambda: bytes(100_000_000),
}


# ---------------------------------------------------------------------------------------------- where they turn up
class Echo(Tool):
    """A tool that gives back what it was given."""

    name = "echo"
    description = "Echoes."
    inputs: dict[str, Any] = {"value": {"type": "any", "description": "anything"}}  # noqa: RUF012 - the framework's way
    output_type = "any"

    def __call__(self, value: Any) -> Any:  # the framework's own looks at what it is given
        return value

    def forward(self, value: Any) -> Any:
        return value


class EchoModel(Model):
    """A model that answers with what it was made with."""

    def __init__(self, message: Any = None) -> None:
        super().__init__()
        self.message = message

    def generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return self.message

    def generate_stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        yield self.message


class Given(EchoModel):
    """A model whose stream is whatever it was made with."""

    def generate_stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return self.message


def _message(**fields: Any) -> Any:
    message = ChatMessage(role=MessageRole.ASSISTANT, content="said")
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def _returned(**fields: Any) -> tuple[Any, ...]:
    message = _message(**fields)
    return tuple(getattr(EchoModel(message).generate([]), name) for name in fields)


def _named(value: Any) -> Any:
    agent = caller(answer())
    agent.name = agent.description = value
    agent.run("go")
    return agent.name


def _identified(value: Any) -> Any:
    model = ScriptedModel(answer())
    model.model_id = model.api_base = model.kwargs = value
    model.kwargs = {}
    model.generate([])
    return model.model_id


def _answered(value: Any) -> Any:
    class Short(ToolCallingAgent):
        def _run_stream(self, *args: Any, **kwargs: Any) -> Any:
            yield FinalAnswerStep(output=value)

    return Short(tools=[], model=ScriptedModel(), logger=quiet()).run("go")


def _asked(calls: Any, value: Any) -> Any:
    class Short(ToolCallingAgent):
        def _run_stream(self, *args: Any, **kwargs: Any) -> Any:
            step = ActionStep(step_number=1, timing=Timing(start_time=0.0))
            with contextlib.suppress(Exception):
                list(self.process_tool_calls(_message(tool_calls=calls), step))
            self.execute_tool_call("echo", {"value": 1})
            yield FinalAnswerStep(output=value)

    return Short(tools=[Echo()], model=ScriptedModel(), logger=quiet()).run("go")


def _located(value: Any) -> Any:
    model = ScriptedModel(answer())
    model.client = types.SimpleNamespace(base_url=value)
    model.generate([])
    return model.client.base_url


PLACES: dict[str, Callable[[Any], Any]] = {
    "prompt": lambda value: EchoModel(value).generate(value),
    "message of a prompt": lambda value: EchoModel(value).generate([value], [value], value),
    "parameter": lambda value: EchoModel(value).generate([], temperature=value, max_tokens=value, seed=value),
    "tools of a prompt": lambda value: EchoModel(value).generate([], tools_to_call_from=value),
    "tool argument and result": Echo(),
    "named tool argument and result": lambda value: Echo()(value=value),
    "answer of a model": lambda value: EchoModel(value).generate([]),
    "content": lambda value: _returned(content=value)[0],
    "raw answer": lambda value: _returned(raw=value)[0],
    "raw usage": lambda value: (
        _returned(raw=types.SimpleNamespace(usage=value, choices=value, id=value, model=value))[0].id
    ),
    "choice": lambda value: _returned(raw=types.SimpleNamespace(choices=[value]))[0].choices[0],
    "usage": lambda value: _returned(token_usage=value)[0],
    "tokens": lambda value: (
        _returned(token_usage=types.SimpleNamespace(input_tokens=value, output_tokens=value))[0].input_tokens
    ),
    "tool calls": lambda value: _returned(tool_calls=value)[0],
    "chunk": lambda value: next(iter(EchoModel(value).generate_stream([]))),
    "stream": lambda value: Given(value).generate_stream([]),
    "retried answer": lambda value: utils.Retrying(max_attempts=1)(lambda: value),
    "agent's name": _named,
    "model's id": _identified,
    "address": _located,
    "answer of a run": _answered,
    "calls asked for": lambda value: _asked(value, value),
    "arguments asked for": lambda value: _asked(
        [types.SimpleNamespace(id="1", function=types.SimpleNamespace(name="echo", arguments=value))], value
    ),
}


READ_BY_THE_FRAMEWORK = ("agent's name", "answer of a run", "calls asked for", "arguments asked for")


@pytest.mark.parametrize(
    ("kind", "place"),
    [(kind, place) for kind in VALUES for place in PLACES if "MB" not in kind or place not in READ_BY_THE_FRAMEWORK],
)
def test_values_arrive_untouched(kind: str, place: str) -> None:
    """With us at work a value arrives as itself, and nobody has called more of its methods than without us."""

    def play() -> tuple[Any, list[str]]:
        value = VALUES[kind]()
        touched.clear()
        try:
            arrived: Any = PLACES[place](value)
        except Exception as error:  # noqa: BLE001 - the framework's own, which is compared
            arrived = type(error), str(error)
        else:
            if type(arrived).__name__ == "_IteratorProxy":
                arrived = arrived.__wrapped__
            driven = kind == "generator" and place in ("stream", "retried answer")
            same = arrived is value or driven
            arrived = "itself" if same else type(arrived)
        return arrived, list(touched)

    plain = play()
    with capture(strict=False) as captured:
        recorded = play()
        swallowed = captured.runtime.guard.swallowed()

    assert plain[0] == recorded[0]
    assert plain[1] == [name for name in recorded[1] if name != "getattr"]
    if kind != "secretive":
        assert {} == swallowed
