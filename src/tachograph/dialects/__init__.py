"""FAMILY: vocabularies that others' spans are written in, one a file; and which of them a span speaks.

Each file has a ``NAME``, the attributes of which one at least is on such a span (``TELLING``), and says of a span what
it has ``understood``: kind, name and facts in today's names. Nothing is guessed, and no content is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from tachograph import names
from tachograph.dialects import database, gen_ai, google_adk, http, mcp, openinference, pydantic_ai, traceloop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan


class Dialect(Protocol):
    """A file of this family."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a module's constant
        """What it is called."""

    @property
    def TELLING(self) -> frozenset[str]:  # noqa: N802 - likewise
        """Attributes of which one at least is on a span in it."""

    def understood(self, span: ReadSpan) -> Said | None:
        """What a span says; None for one that only looks as if it were written in this dialect."""


DIALECTS: Final[tuple[Dialect, ...]] = (
    # Those that say more come first: a span may have attributes of several.
    openinference,
    traceloop,
    google_adk,
    pydantic_ai,
    mcp,
    gen_ai,
    database,
    http,
)

_OF_ANY: Final = frozenset[str]().union(*(dialect.TELLING for dialect in DIALECTS))
_OF_AGENTS: Final = _OF_ANY - database.TELLING - http.TELLING
SESSIONS: Final = frozenset({names.SESSION_ID, names.CONVERSATION_ID, *traceloop.SESSIONS, *google_adk.SESSIONS})
"""Attributes by which dialects say which session a span is of."""


def telling(attributes: Mapping[str, Any]) -> bool:
    """Whether a span with these attributes may be worth a place: all that most spans are asked."""
    return not _OF_ANY.isdisjoint(attributes)


def of_agents(attributes: Mapping[str, Any]) -> bool:
    """Whether a span with these attributes is about agents, models or tools; some say so only in the end."""
    return not _OF_AGENTS.isdisjoint(attributes)


def understood(span: ReadSpan) -> Said | None:
    """What a span says, in the first dialect that makes sense of it; None for one that says nothing of use."""
    attributes = span.attributes
    if not telling(attributes):
        return None
    for dialect in DIALECTS:
        if not dialect.TELLING.isdisjoint(attributes):
            found = dialect.understood(span)
            if found is not None:
                return found
    return None
