"""Wrapping: any program's own callables, recorded by what tables in its settings say of them.

The program is not changed, and does not import us. A table names one callable, what a call of it is, and where in the
call the facts are::

    [[tool.tachograph.wrap]]
    target = "app.llm:Client.complete"      # module:function, module:Class.method, module:object
    as = "model"                            # agent, model, tool, task or event
    model = "model"                         # the argument of that name
    usage = "result.usage"                  # what the call gave, and in there
    session_id = "request.session.id"       # what runs inside belongs to this session too

    [[tool.tachograph.wrap]]
    target = "app.hitl:HITLManager.log_decision"
    as = "event"
    event = "hitl_decision_made"
    payload = { call_id = "call_id", tool_name = "tool_name", decision = "decision.value" }

**Targets.** Functions, methods of all kinds, objects that are called and methods of one object; coroutine functions,
generators and async generators last until they are exhausted. A method is wrapped in every class that overrides it, now
or later, and what that calls by ``super()`` is part of the one call. One that the class named only inherits is recorded
for that class and those below it. Another name that it has in its own class or module is as good. Several tables may
name one target: one of them an operation, the others events.

**Values.** A path begins with the name of an argument, ``self`` or ``cls``, with ``result``, ``item`` (what a stream
yields), ``error``, or a module (``app.config:Settings.model``), and goes on by ``.name``, ``.0``, ``[-1]`` or
``["key"]``. Arguments are read before the call; ``after.name`` is what the call has made of one, ``argument.result`` an
argument of that name. ``len(path)`` is how many are there. ``"=text"`` is that text, as are numbers and true and false
themselves. Of a list of paths the first that gives something is taken; with ``result`` and ``item`` in it, as in
``["result.usage", "item.usage"]``, one table does for a client that gives a reply or a stream.

==========  ==========================================================================================================
all         ``session_id`` ``correlation_id`` ``user_id`` · ``if``: a path where something has to be, or a table of
            paths and the values that have to be there · ``until``: ``exhausted`` for a plain function whose result is
            to be followed, ``returned`` for the opposite
agent       ``name`` ``description`` ``outcome`` · ``switch = { from, to, reason }``, or ``switch = true``: from whoever
            had the work before in the same run or task
model       ``model`` ``provider`` ``messages`` ``tools`` ``stream`` ``input_tokens`` ``output_tokens``
            ``cached_tokens`` ``reasoning_tokens`` ``tool_calls`` ``response_id`` ``response_model`` ``outcome`` ·
            ``usage``: what has the tokens, in one of the shapes in use · ``usage_style``: ``total`` (the last item that
            has it counts) or ``delta`` (they are added up)
tool        ``name`` ``call_id`` ``outcome`` · ``arguments`` ``result``: content, looked at only where that is captured
            · ``refused``: the call never ran
task        ``name`` ``id`` ``description`` ``category`` ``outcome`` · ``folder``: where its changes of code are looked
            for, where these are noted; the working directory by default
event       ``event`` ``payload = { field = path }`` · ``when``: ``before``, ``after``, ``error`` or ``item``
==========  ==========================================================================================================

All but events may have ``fields = { name = path }``, the program's own. What is wrong in a table is said in one line at
the start and is a row of ``tachograph doctor``, as is who had a target before it was hooked, in a registry or a default
argument, and calls it there unrecorded; what a path does not find is said once and counted. Either way the program runs
on.
"""

from __future__ import annotations

from tachograph.integrations.wrapping.wraps import Wraps

__all__ = ["Wraps"]
