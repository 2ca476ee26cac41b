"""Tool calls, and the code that agents write and run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from smolagents.default_tools import UserInputTool
from smolagents.remote_executors import RemotePythonExecutor
from smolagents.tools import BaseTool

from tachograph import names
from tachograph.drive import Watch
from tachograph.integrations.smolagents import content
from tachograph.integrations.smolagents.content import captured, taken
from tachograph.integrations.smolagents.run import Run, lost, named, overlooked, owner_of, run_here, run_of, text_of
from tachograph.live import Start
from tachograph.probes import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.live import Facts, Live
    from tachograph.probes import Call
    from tachograph.recorder import Recorder


def probe(owner: type, attribute: str, *, capturing: bool) -> Probe:
    """The probe of one class that implements ``__call__``."""
    return Probe(owner, attribute, began=tool_began, ended=tool_ended if capturing else None)


def mixed_in(tools: Any, *, capturing: bool) -> Iterator[Probe]:
    """Probes for tools whose ``__call__`` comes from a class that is no tool, or was overlooked."""
    for tool in tools.values() if isinstance(tools, dict) else ():
        owner = overlooked(tool, "__call__")
        if owner is not None:
            if issubclass(owner, BaseTool):
                yield probe(owner, "__call__", capturing=capturing)
            else:
                yield Probe(owner, "__call__", began=_mixed_in_began)


def _mixed_in_began(call: Call) -> Start | None:
    return tool_began(call) if isinstance(call.instance, BaseTool) else None


def tool_began(call: Call) -> Start | None:
    """A tool is called: by a ToolCallingAgent, by generated code, or by anybody."""
    tool = call.instance
    inside = call.inside
    if (
        inside is not None
        and inside.kind == "tool"
        and inside.data is tool
        and call.owner is not owner_of(tool, "__call__")
    ):
        return None  # super().__call__(); a tool that calls itself begins where it began
    parent = _lost_parent(call, tool) if lost(call) else None
    within = call.run or parent
    run, name = run_of(within), tool_name(tool)
    facts: Facts = {
        names.TOOL_NAME: name,
        names.TOOL_TYPE: "function",
        names.TOOL_CALL_ID: reached(run),
        names.AGENT_NAME: None if run is None else named(run.agent),
        names.STEP: None if run is None else run.steps + 1,
    }
    # By descent alone: isinstance() asks an abstract class more, and takes ten times as long.
    if name == UserInputTool.name or type.__subclasscheck__(UserInputTool, type(tool)):
        facts[names.HUMAN_WAIT] = True
    given = None if call.recorder.capturing is None else captured(call, content.arguments)
    return Start("tool", name, facts, data=tool, parent=parent, content=given)


def tool_ended(call: Call) -> None:
    """What it gave, where content is captured."""
    if call.live is not None and call.recorder.capturing is not None:
        captured(call, content.result)


def tool_name(tool: Any) -> str:
    """The tool's name, or its class where it has none."""
    return text_of(tool, "name") or type(tool).__name__


def _lost_parent(call: Call, tool: Any) -> Live | None:
    """The run that has this tool, where no context says so and only one under way has it."""
    runs = [live for live in call.recorder.open("agent") if _has(run_of(live), tool)]
    return runs[0] if len(runs) == 1 else None


def _has(run: Run | None, tool: Any) -> bool:
    tools = getattr(run.agent, "tools", None) if run is not None else None
    return isinstance(tools, dict) and any(candidate is tool for candidate in tools.values())


# ------------------------------------------------------------------------------------------ asked for by a model
class _Reaching(threading.local):
    """What is asked for in this thread until its tool, or the managed agent, is reached: in the same thread."""

    request: _Request | None = None


_reaching = _Reaching()


class _Request(Watch):
    """One tool call a model asked for; refused if it fails before it reaches its tool."""

    def __init__(self, recorder: Recorder, run: Run | None, name: Any, call_id: str | None, arguments: Any) -> None:
        self._recorder = recorder
        self.run = run
        self._name = name
        self.call_id = call_id
        self._arguments = arguments

    def failed(self, error: BaseException) -> None:
        """``execute_tool_call`` raised."""
        if _reaching.request is not self:
            return
        _reaching.request = None
        name = self._name if type(self._name) is str and self._name else "unnamed"
        facts: Facts = {
            names.TOOL_NAME: name[:100],
            names.TOOL_TYPE: "function",
            names.TOOL_CALL_ID: self.call_id,
            names.STEP: None if self.run is None else self.run.steps + 1,
        }
        given = taken(self._recorder, content.refused, self._arguments)
        start = Start("tool", name[:100], facts, refused=True, content=given)
        self._recorder.end(self._recorder.begin(start), "refused", error=error)


def calls_asked(_: Recorder, __: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """``process_tool_calls``: the only place that has the ids of the calls. Kept for the step."""
    run = run_here()
    if run is not None:
        calls: Any = getattr(args[0] if args else kwargs.get("chat_message"), "tool_calls", None)
        known: Any = calls if type(calls) in (list, tuple) else ()  # an iterator is the framework's to read
        run.asked = [(part.function.name, part.function.arguments, part.id) for part in known]


def requested(recorder: Recorder, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch:
    """``execute_tool_call``: a tool or managed agent is about to be called, if it exists and the arguments fit."""
    name = args[0] if args else kwargs.get("tool_name")
    arguments = args[1] if len(args) > 1 else kwargs.get("arguments")
    run = run_here()
    call_id = None if run is None else _call_id(run.asked, name, arguments)
    # An argument of the host's is kept only for who asked for content, as the thread keeps this until the next.
    shown = None if recorder.capturing is None else arguments
    _reaching.request = request = _Request(recorder, run, name, call_id, shown)
    return request


def _call_id(asked: list[tuple[Any, Any, Any]], name: Any, arguments: Any) -> str | None:
    """The id of what was asked for: the framework hands on the very object the message holds, unless it is empty."""
    for match in asked:
        if match[1] is arguments and match[0] is name:
            break
    else:
        match = next((entry for entry in asked if entry[0] is name and _empty(entry[1])), (None, None, None))
    call_id = match[2]
    return call_id if type(call_id) is str and call_id else None


def _empty(arguments: Any) -> bool:
    return arguments is None or (type(arguments) in (str, dict, list) and not arguments)


def reached(run: Run | None) -> str | None:
    """What was asked for is being called, in a run; gives the id of the request."""
    request, _reaching.request = _reaching.request, None
    return None if request is None or request.run is not run else request.call_id


# -------------------------------------------------------------------------------------------- generated code
def code_probe(owner: type, attribute: str) -> Probe:
    """The probe of one executor class."""
    return Probe(owner, attribute, began=code_began, ended=code_ended)


def duck_typed_executor(executor: Any) -> Iterator[Probe]:
    """Probes for an executor that is no ``PythonExecutor``, or was overlooked."""
    owner = overlooked(executor, "__call__")
    if owner is not None:
        yield code_probe(owner, "__call__")


def code_began(call: Call) -> Start | None:
    """Generated code is executed. Where that is remote, its tool calls happen out of sight."""
    inside = call.inside
    if inside is not None and inside.kind == "code" and inside.data is call.instance:
        return None  # super().__call__()
    run = run_of(call.run)
    facts: Facts = {
        names.STEP: None if run is None else run.steps + 1,
        names.REMOTE: True if isinstance(call.instance, RemotePythonExecutor) else None,
    }
    given = None if call.recorder.capturing is None else captured(call, content.code)
    return Start("code", "python", facts, data=call.instance, content=given)


def code_ended(call: Call) -> None:
    """What it gave and printed, where content is captured."""
    if call.live is not None and call.recorder.capturing is not None:
        captured(call, content.code_result)
