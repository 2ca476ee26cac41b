"""Database conventions of OpenTelemetry, as they are and as they were. No statement is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tachograph import names
from tachograph.dialects import said

if TYPE_CHECKING:
    from tachograph.dialects.said import Said
    from tachograph.spans import ReadSpan

NAME: Final = "database"
TELLING: Final = frozenset({names.DB_SYSTEM, *(old for old, now in names.FORMER.items() if now == names.DB_SYSTEM)})

_WANTED: Final = (
    names.DB_SYSTEM,
    names.DB_OPERATION,
    names.DB_COLLECTION,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)
_VERBS: Final = frozenset(
    {"ALTER", "BEGIN", "CALL", "COMMIT", "CREATE", "DELETE", "DROP", "INSERT", "MERGE", "PRAGMA", "REPLACE"}
    | {"ROLLBACK", "SELECT", "TRUNCATE", "UPDATE", "UPSERT", "WITH"}
)


def understood(span: ReadSpan) -> Said | None:
    """What a span says by these conventions."""
    found = said.translated(span.attributes, names.FORMER)
    # Those that do not say the operation call the span by it; a name that is no verb may be anything.
    if names.DB_OPERATION not in found and (verb := span.name.partition(" ")[0].upper()) in _VERBS:
        found[names.DB_OPERATION] = verb
    query = said.other(NAME, found, _WANTED, "")
    words = (query.facts.get(names.DB_OPERATION), query.facts.get(names.DB_COLLECTION))
    return query._replace(name=" ".join(filter(None, words)) or query.facts.get(names.DB_SYSTEM, NAME))
