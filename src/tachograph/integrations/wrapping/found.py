"""What is found out about one call: where its tables say, when it begins, with each item, and when it ends."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from tachograph import names
from tachograph.clip import clipped
from tachograph.content import Content, as_object
from tachograph.integrations.wrapping import values, words
from tachograph.integrations.wrapping.paths import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.content import Capturing
    from tachograph.integrations.wrapping.calls import Wrapped
    from tachograph.integrations.wrapping.paths import Moment, Path
    from tachograph.integrations.wrapping.tables import Entry, Table
    from tachograph.integrations.wrapping.targets import Arguments
    from tachograph.live import Facts
    from tachograph.probes import Call

_log = logging.getLogger("tachograph")


class Found:
    """What is known of one call. The data of its operation, or its note.

    Args:
        wrapped: what was called.
        arguments: how they are found.
        tables: that are about it.
        instance: it is called on.

    ``inner`` says that it is part of another model call, ``flowed`` that it gave a stream; ``last`` is the agent that
    ran last inside of it.
    """

    __slots__ = ("_arguments", "_values", "flowed", "inner", "instance", "last", "tables", "wrapped")

    def __init__(self, wrapped: Wrapped, arguments: Arguments, tables: tuple[Table, ...], instance: Any) -> None:
        self.wrapped = wrapped
        self.tables = tables
        self.instance = instance
        self.inner = False
        self.flowed = wrapped.streams
        self.last: str | None = None
        self._arguments = arguments
        self._values: dict[str, dict[str, Any]] = {table.label: {} for table in tables}

    # ------------------------------------------------------------------------------------------------- what is known
    def ids(self, table: Table) -> dict[str, str]:
        """The session, request and user that a table names."""
        return {slot: value for slot, value in self._values[table.label].items() if slot in words.IDS and value}

    def facts(self, table: Table) -> Facts:
        """The rest of what it says."""
        return {slot: value for slot, value in self._values[table.label].items() if slot not in words.IDS}

    def forget_item(self, table: Table) -> None:
        """What was in the item before is not in this one."""
        for entry in table.at["item"]:
            self._values[table.label].pop(entry.word.slot, None)

    # ------------------------------------------------------------------------------------------------ looking for it
    def look(self, call: Call, table: Table, moment: Moment, item: Any = NOTHING) -> None:
        """Find what can be found at this moment."""
        known, guard = self._values[table.label], call.recorder.guard
        for entry in table.at[moment]:
            if moment == "end" and _out_of_reach(call, entry):
                continue
            slot = entry.word.slot
            value = guard(self._value, call, table, entry, item)
            # Who says nothing does not take back what was said elsewhere.
            if value is NOTHING or (value is None and (moment == "item" or known.get(slot) is not None)):
                continue
            for one, what in ({} if value is None else value).items() if slot is words.MANY else ((slot, value),):
                more = known.get(one) if table.delta and moment == "item" and one in words.SUMS else None
                known[one] = what if more is None else what + more

    def holds(self, call: Call, table: Table, item: Any = NOTHING) -> bool:
        """Whether an event's conditions hold."""
        for entry, expected in table.conditions:
            value = call.recorder.guard(self._at, call, entry, item, default=NOTHING)
            if not (values.is_there(value) if expected is ... else values.is_same(value, expected)):
                return False
        return True

    def lacking(self, call: Call, table: Table) -> None:
        """Say what no item of a stream had, or that there was no stream."""
        known = self._values[table.label]
        why = "no item has it"
        if not self.flowed and call.result is not None and not _is_stream(call.result):
            why = f"gave a {type(call.result).__name__}, which is no stream; write result.… for what is in it"
        for entry in table.entries:
            slots = words.SUMS if entry.word.slot is words.MANY else (entry.word.slot,)
            expected = self.flowed or not entry.either
            if expected and entry.source.moment == "item" and known.keys().isdisjoint(slots):
                _missed(table, entry, why)

    def _value(self, call: Call, table: Table, entry: Entry, item: Any = NOTHING) -> Any:
        """What the entry's word makes of what is there; NOTHING where that is nothing."""
        found = self._at(call, entry, item)
        expected = item is NOTHING and not (entry.either and self.flowed)  # what no item has is said in the end
        if found is None:
            if expected and self.wrapped.streams and call.result is None and entry.source.roots == {"result"}:
                _missed(table, entry, "a stream has no result; write item.… for what it yields")
            return None
        value = NOTHING if found is NOTHING else entry.word.read(found)
        if value is NOTHING and expected:
            there = "found nothing" if found is NOTHING else f"found a {type(found).__name__}, which does not do"
            _missed(table, entry, there)
        return value

    def _at(self, call: Call, entry: Entry, item: Any = NOTHING) -> Any:
        return entry.source.found(functools.partial(self._root, call, item))

    def _root(self, call: Call, item: Any, path: Path) -> Any:
        root = path.root
        if root == "argument":
            return self._arguments.of(call, path.name)
        return item if root == "item" else call.result if root == "result" else call.error

    # --------------------------------------------------------------------------------------------------- its content
    def content(self, call: Call, table: Table, capturing: Capturing) -> Content:
        """What it is given. Asked for only where content is captured."""
        content = Content()
        self.put(call, table, capturing, content, "start")
        return content

    def put(self, call: Call, table: Table, capturing: Capturing, content: Content, moment: Moment) -> None:
        """Add what can be seen at this moment."""
        for entry in table.content:
            if entry.source.moment == moment and not _out_of_reach(call, entry):
                value = self._value(call, table, entry)
                if value is not None and value is not NOTHING:
                    given = as_object(value, "arguments") if entry.word.slot == names.TOOL_ARGUMENTS else value
                    content.put(entry.word.slot, clipped(given, capturing.limit))


def _is_stream(value: Any) -> bool:
    return hasattr(type(value), "__next__") or hasattr(type(value), "__anext__")


def _out_of_reach(call: Call, entry: Entry) -> bool:
    """Whether nothing can be there: of a call that failed no result, of one that did not no error."""
    return entry.source.roots == {"error" if call.error is None else "result"}


def _missed(table: Table, entry: Entry, what: str) -> None:
    """Count what was not to be found, and say so the first time."""
    times = table.missed.get(entry.called, 0)
    table.missed[entry.called] = times + 1
    if not times:
        _log.warning('tachograph: %s: %s = "%s": %s', table.label, entry.called, entry.source.text, what)


def missed(tables: Iterable[Table]) -> dict[str, int]:
    """How often each entry was not to be found, by table and word."""
    return {f"{table.label}: {called}": times for table in tables for called, times in table.missed.items()}
