"""smolagents' messages, arguments and answers as captured content. Called only where content is captured."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from smolagents.models import MessageRole

from tachograph import names
from tachograph.clip import Pieces, clipped
from tachograph.content import (
    Content,
    as_object,
    as_text,
    definitions,
    fingerprint,
    media,
    messages,
    text,
    tool_call,
)
from tachograph.integrations.smolagents.run import run_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.content import Capturing, Message
    from tachograph.probes import Call
    from tachograph.recorder import Recorder

# What an observation is to the model, although most providers are sent it as the user's words.
_ROLES: Final = {"tool-call": "assistant", "tool-response": "tool"}
_MAX_CALLS = 100

T = TypeVar("T")
V = TypeVar("V")


def captured(call: Call, take: Callable[[Call, Capturing], T]) -> T | None:
    """What ``take`` finds of a call. A value it cannot cope with costs the content, not the operation."""
    return taken(call.recorder, take, call)


def taken(recorder: Recorder, take: Callable[[V, Capturing], T], value: V) -> T | None:
    """Likewise of a value of the host."""
    return None if recorder.capturing is None else recorder.guard(take, value, recorder.capturing)


def _of(call: Call) -> Content:
    """The content of the operation that a call is, which may have none yet."""
    live = call.live
    if live is None:
        return Content()
    if live.content is None:
        live.content = Content()
    return live.content


# -------------------------------------------------------------------------------------------------- model calls
def request(call: Call, capturing: Capturing) -> Content:
    """What a model is sent."""
    content = Content()
    given = call.argument(0, "messages")
    sent = [message_of(message) for message in given] if type(given) in (list, tuple) else []
    tools = call.argument(3, "tools_to_call_from")
    offered = [_definition(tool) for tool in tools] if type(tools) in (list, tuple) else []
    shown = messages(sent, capturing.limit) if sent else None
    defined = definitions(offered, capturing.limit) if offered else None
    run = run_of(call.run)
    if run is None:
        content.put(names.INPUT_MESSAGES, shown)
        content.put(names.TOOL_DEFINITIONS, defined)
        return content
    content.put(names.INPUT_MESSAGES, shown, local=messages(run.sent.new(sent), capturing.limit))
    same = run.sent.definitions == (now := fingerprint(defined))
    run.sent.definitions = now
    content.put(names.TOOL_DEFINITIONS, defined, local=None if same else defined)
    return content


def answer(call: Call, capturing: Capturing) -> None:
    """The message a model gave."""
    if call.error is None:
        message = message_of(call.result)
        reasons = None if call.live is None else call.live.later.get(names.FINISH_REASONS)
        raw = getattr(getattr(call.result, "raw", None), "choices", None)
        if not reasons and type(raw) is list and raw:
            reasons = (getattr(raw[0], "finish_reason", None),)
        _put_answer(call, message, reasons, capturing)


def _put_answer(call: Call, message: Message, reasons: Any, capturing: Capturing) -> None:
    if not message["parts"]:
        return
    if reasons and type(reasons[0]) is str:
        message["finish_reason"] = reasons[0]
    _of(call).put(names.OUTPUT_MESSAGES, messages([message], capturing.limit))


def message_of(message: Any) -> Message:
    """A ``ChatMessage``, or a dict in its place. Nothing is copied or looked into that is not needed."""
    read: Callable[[str], Any] = message.get if type(message) is dict else partial(_attribute, message)
    role = read("role")
    role = role.value if isinstance(role, MessageRole) else role
    said = _ROLES.get(role, role) if type(role) is str else type(role).__name__
    content, calls = read("content"), read("tool_calls")
    if type(content) is list:
        parts = [_part(part) for part in content]
    else:
        parts = [text(content)] if content is not None and content != "" else []
    if role == "tool-response":
        parts = [
            {"type": "tool_call_response", "response": part["content"]} if part["type"] == "text" else part
            for part in parts
        ]
    return {"role": said, "parts": parts + ([_call(part) for part in calls] if type(calls) is list else [])}


def _attribute(message: Any, name: str) -> Any:
    return getattr(message, name, None)


def _part(part: Any) -> dict[str, Any]:
    if type(part) is not dict:
        return text(part)
    kind = part.get("type")
    if kind == "text":
        return text(part.get("text"))
    if kind in ("image", "image_url"):
        source = part.get(kind)
        return media("image", url=source.get("url") if type(source) is dict else None)
    if kind in ("audio", "input_audio", "video"):
        return media("video" if kind == "video" else "audio")
    return {"type": kind if type(kind) is str else "unknown", "omitted": True}


def _call(part: Any) -> dict[str, Any]:
    if type(part) is dict:
        function = part.get("function")
        table = function if type(function) is dict else {}
        return tool_call(table.get("name"), table.get("arguments"), part.get("id"))
    function = getattr(part, "function", None)
    return tool_call(
        getattr(function, "name", None), getattr(function, "arguments", None), getattr(part, "id", None) or None
    )


def _definition(tool: Any) -> dict[str, Any]:
    # Without the parameters' schema, which the conventions advise against by default: it is large.
    return {
        "type": "function",
        "name": getattr(tool, "name", None),
        "description": getattr(tool, "description", None),
    }


class Said:
    """What the chunks of a stream, as far as the program took them, say: bounded, however long it goes on."""

    __slots__ = ("_calls", "_limit", "_text")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._text = Pieces(limit)
        self._calls: dict[Any, tuple[list[Any], Pieces]] = {}

    def add(self, delta: Any) -> None:
        """One ``ChatMessageStreamDelta``."""
        self._text.add(getattr(delta, "content", None))
        calls = getattr(delta, "tool_calls", None)
        for part in calls if type(calls) is list else ():
            index = getattr(part, "index", None)
            if type(index) is not int or (index not in self._calls and len(self._calls) >= _MAX_CALLS):
                continue
            told, arguments = self._calls.setdefault(index, ([None, None], Pieces(self._limit)))
            function = getattr(part, "function", None)
            told[0] = getattr(function, "name", None) or told[0]
            told[1] = getattr(part, "id", None) or told[1]
            arguments.add(getattr(function, "arguments", None))

    def message(self) -> Message:
        """The message so far."""
        calls = [tool_call(told[0], arguments.text(), told[1]) for told, arguments in self._calls.values()]
        return {"role": "assistant", "parts": ([text(self._text.text())] if self._text.length else []) + calls}


def streamed(call: Call, capturing: Capturing) -> None:
    """The message a stream gave as far as it was taken, also where nobody took the rest."""
    said: Said | None = call.data.said
    if said is not None:
        reasons = None if call.live is None else call.live.later.get(names.FINISH_REASONS)
        _put_answer(call, said.message(), reasons, capturing)


# --------------------------------------------------------------------------------------------------- tool calls
def arguments(call: Call, capturing: Capturing) -> Content:
    """What a tool is called with, and what it is said to do."""
    tool, given = call.instance, call.kwargs
    inputs = getattr(tool, "inputs", None)
    keys = list(inputs) if type(inputs) is dict else []
    if len(call.args) == 1 and type(table := call.args[0]) is dict and _are_arguments(table, keys):
        pass
    else:
        positional = {keys[at] if at < len(keys) else f"argument_{at + 1}": value for at, value in enumerate(call.args)}
        table = {**positional, **{key: value for key, value in given.items() if key != "sanitize_inputs_outputs"}}
    content = Content()
    content.put(names.TOOL_ARGUMENTS, _object(table, "input", capturing))
    description = getattr(tool, "description", None)
    content.put(names.TOOL_DESCRIPTION, clipped(description, capturing.limit) if type(description) is str else None)
    return content


def _are_arguments(table: dict[Any, Any], keys: list[Any]) -> bool:
    """Whether the framework will take a lone dict for the arguments by name."""
    return len(table) <= len(keys) and all(type(key) is str and key in keys for key in table)


def refused(given: Any, capturing: Capturing) -> Content:
    """Arguments of a call that never ran, as the model asked for it."""
    content = Content()
    content.put(names.TOOL_ARGUMENTS, _object(given, "input", capturing))
    return content


def result(call: Call, capturing: Capturing) -> None:
    """What a tool gave."""
    if call.error is None:
        _of(call).put(names.TOOL_RESULT, _object(call.result, "result", capturing))


def _object(value: Any, key: str, capturing: Capturing) -> Any:
    found = clipped(as_object(value, key), capturing.limit)
    return found if type(found) is dict else {key: found}


def code(call: Call, capturing: Capturing) -> Content:
    """Code that is about to run."""
    content = Content()
    content.put(names.TOOL_ARGUMENTS, _object({"code": call.argument(0, "code_action")}, "code", capturing))
    return content


def code_result(call: Call, capturing: Capturing) -> None:
    """What code gave and printed."""
    if call.error is None:
        ran = {"output": getattr(call.result, "output", None), "logs": getattr(call.result, "logs", None)}
        _of(call).put(names.TOOL_RESULT, _object(ran, "result", capturing))


# --------------------------------------------------------------------------------------------------- agent runs
def task(call: Call, capturing: Capturing) -> Content:
    """What an agent is asked to do."""
    parts = [text(call.argument(0, "task"))]
    images, more = call.argument(3, "images"), call.argument(4, "additional_args")
    parts += [media("image") for _ in images] if type(images) is list else []
    if more is not None:
        parts.append({"type": "additional_args", "content": more})
    content = Content()
    content.put(names.INPUT_MESSAGES, messages([_message("user", parts)], capturing.limit))
    return content


def foreign_run(call: Call, capturing: Capturing) -> None:
    """What a managed agent that is no smolagents agent answered."""
    if call.error is None:
        _of(call).put(names.OUTPUT_MESSAGES, final(call.result, capturing))


def final(output: Any, capturing: Capturing) -> list[Message]:
    """What an agent answers."""
    return messages([_message("assistant", [text(as_text(output, capturing.limit // 2))])], capturing.limit)


def run(call: Call, capturing: Capturing) -> None:
    """What an agent was told to be, and what it answered."""
    content, said = _of(call), call.data
    prompt = getattr(getattr(getattr(said.agent, "memory", None), "system_prompt", None), "system_prompt", None)
    if type(prompt) is str and prompt:
        content.put(names.SYSTEM_INSTRUCTIONS, clipped([text(prompt)], capturing.limit))
    content.put(names.OUTPUT_MESSAGES, said.output)


def _message(role: str, parts: list[dict[str, Any]]) -> Message:
    return {"role": role, "parts": parts}
