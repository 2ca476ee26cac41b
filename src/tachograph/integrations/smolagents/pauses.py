"""Runs that were stopped with ``interrupt()`` and may go on: a run that keeps its memory is of the same request.

By identity, as nothing of ours is put into an agent. In another process, or with another copy of the agent, it is for
the program to say which request goes on.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tachograph.records import Operation

_MAX_PAUSED: Final = 1_000

_paused: Final[OrderedDict[int, tuple[weakref.ref[Any], str, str]]] = OrderedDict()


def keep(agent: Any, run: Operation) -> None:
    """An outermost run of ``agent`` was stopped, before it was done."""
    _paused[id(agent)] = weakref.ref(agent), run.session_id, run.correlation_id
    _paused.move_to_end(id(agent))
    while len(_paused) > _MAX_PAUSED:
        _paused.popitem(last=False)


def taken(agent: Any, session_id: str) -> str | None:
    """The request that the agent's last run stopped in, if it did and was of this session; it is forgotten then."""
    known, session, correlation_id = _paused.pop(id(agent), (None, "", ""))
    return correlation_id if known is not None and known() is agent and session == session_id else None
