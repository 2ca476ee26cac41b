"""Whether what a span of somebody else's tells of is told of already: by what is around it, or by ours in it.

- The outermost model call is the call; what is told of one inside it adds nothing to the counters.
- What our own hooks recorded wins over what others say of the same.
- A tool call or agent run of which two instrumentations tell, one right inside the other, is the outer one's.
- The server's side of a tool call adds nothing where the client's side is known to be elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tachograph import names
from tachograph.dialects import mcp

if TYPE_CHECKING:
    from tachograph.dialects.said import Said
    from tachograph.kin import Around, Nearest, Told, Within

HOOKED: Final = frozenset({"smolagents"})
"""Last words of the scopes that others use for frameworks whose calls our own hooks record."""


def repeats(tale: Told, said: Said, around: Around, within: Within) -> bool:
    """Whether what a span says is counted elsewhere.

    Args:
        tale: what the span tells.
        said: the operation among it.
        around: what it happened in.
        within: what happened in it.
    """
    kind = said.kind
    if kind == "model":
        return bool(tale.stamps.get(names.COUNTED)) or around.in_call or within.counted or "model" in within.ours
    if kind in within.ours and _framework(tale.span.scope) in HOOKED:
        return True
    if kind == "task":
        return around.in_run or around.task_id is not None
    if around.nearest is None:
        return said.served and tale.span.parent_id is not None  # whoever called tells of it
    return _same(tale.span.scope, said, around.nearest, around)


def _same(scope: str, said: Said, nearest: Nearest, around: Around) -> bool:
    """Whether the operation right around is the same."""
    if nearest.kind != said.kind or said.kind not in ("agent", "tool"):
        return False
    if said.dialect == mcp.NAME:  # by which tools do what they are called for
        return said.served or not around.served
    if nearest.name == said.name:
        return nearest.scope != scope
    framework = _framework(scope)
    if nearest.scope == names.SCOPE:
        return framework in HOOKED
    return nearest.scope != scope and _framework(nearest.scope) == framework


def _framework(scope: str) -> str:
    return scope.rpartition(".")[2]
