"""Records as large as anybody may make them here: ids, names and contents of somebody else's spans know no bounds.

The ledger and the store bound how many records they keep, and trust those who record with how large each one is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.clip import clipped
from tachograph.context import clean_id
from tachograph.facts import SESSIONLESS
from tachograph.foreign import UNATTRIBUTED
from tachograph.records import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.records import Event, Operation

LARGEST: Final = 64 * 1024
"""Characters that the attributes of a record have at most, once they are cut."""

_LONGEST: Final = 200
"""Characters of a name."""

_NESTED: Final = frozenset({list, tuple, dict})
_COUNTED_BY: Final = frozenset({names.RECOVERED, names.SWITCH_FROM, names.SWITCH_TO, "from_agent", "to_agent"})
"""What is counted by name, and not by the name of its record."""


def fit_operation(operation: Operation) -> Operation:
    """The operation as it is, as nearly all are, or cut; one in no session is in that of the unattributed."""
    return operation._replace(
        name=_short(operation.name),
        session_id=_id(operation.session_id) or UNATTRIBUTED,
        correlation_id=_id(operation.correlation_id),
        error_type=None if operation.error_type is None else _short(operation.error_type),
        error_message=None if operation.error_message is None else operation.error_message[:LARGEST],
        agent=None if operation.agent is None else _short(operation.agent),
        parent_id=None if operation.parent_id is None else _id(operation.parent_id),
        user_id=None if operation.user_id is None else _id(operation.user_id),
        attributes=_within(operation.attributes),
    )


def fit_event(event: Event) -> Event:
    """The event likewise; those that make no session stay in none."""
    return event._replace(
        id=_id(event.id),
        session_id=_id(event.session_id) or ("" if event.type in SESSIONLESS else UNATTRIBUTED),
        correlation_id=None if event.correlation_id is None else _id(event.correlation_id),
        user_id=None if event.user_id is None else _id(event.user_id),
        payload=_within(event.payload),
    )


def _id(text: str) -> str:
    return clean_id(text) or ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _within(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if not _COUNTED_BY.isdisjoint(values):
        values = {name: _shortened(value) if name in _COUNTED_BY else value for name, value in values.items()}
    total = 0
    for name, value in values.items():  # at once, as nearly all are texts and numbers
        kind = type(value)
        total += len(name) + (len(value) if kind is str else weight(value, LARGEST) if kind in _NESTED else 8)
    if total <= LARGEST:
        return values
    share = LARGEST // max(1, min(len(values), LARGEST // _LONGEST))
    kept = [*values.items()][: LARGEST // share]
    return {_short(name): _cut(value, share) for name, value in kept}


def _shortened(value: Any) -> Any:
    if type(value) in (list, tuple):
        return tuple(_shortened(item) for item in value)
    return _short(value) if type(value) is str else value


def _cut(value: Any, share: int) -> Any:
    if weight(value, share) <= share:
        return value
    cut = clipped(value, share)
    return tuple(cut) if type(cut) is list else cut


def weight(value: Any, most: int) -> int:
    """About how many characters a value takes; not counted further than a little beyond ``most``."""
    kind = type(value)
    if kind is str:
        return len(value)
    total = 8
    if kind in (list, tuple):
        for item in value:
            total += weight(item, most - total)
            if total > most:
                break
    elif kind is dict:
        for name, item in value.items():
            total += len(name) + weight(item, most - total)
            if total > most:
                break
    return total
