"""What the calls of one wrapped callable mean: the fact-functions, by what the tables say of it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import logging
import types
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from opentelemetry.context import attach, detach

from tachograph import names
from tachograph.context import Scope, handing_on, with_scope
from tachograph.integrations.wrapping import words
from tachograph.integrations.wrapping.found import Found
from tachograph.integrations.wrapping.tables import near
from tachograph.integrations.wrapping.targets import Arguments, function_of
from tachograph.live import Start
from tachograph.probes import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tachograph.integrations.wrapping.tables import Entry, Table
    from tachograph.live import Facts
    from tachograph.probes import Call
    from tachograph.records import Kind

_log = logging.getLogger("tachograph")

_LATER: Final = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_STREAMS: Final = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class Group(NamedTuple):
    """The tables of one target, and for whom they are.

    Args:
        tables: of the target; one of them at most makes the call an operation.
        family: for this class and those below it; None: for whoever calls it.
        single: for this object alone.
    """

    tables: tuple[Table, ...]
    family: type | None = None
    single: Any = None


class Wrapped:
    """One callable that tables speak of.

    Args:
        owner: class or module that has it.
        attribute: its name there.
        callable_: as it stands there, without us.
    """

    def __init__(self, owner: Any, attribute: str, callable_: Any) -> None:
        self.owner = owner
        self.attribute = attribute
        self.groups: list[Group] = []
        self._arguments = Arguments(callable_, method=issubclass(type(owner), type))
        function = function_of(callable_)
        # What contextlib makes of a generator function gives a manager, which is no stream.
        manager = getattr(function, "__globals__", None) is vars(contextlib)
        kinds = (function,) if manager else (function, inspect.unwrap(function))
        self.streams = any(is_one(each) for is_one in _STREAMS for each in kinds)
        self._deferred = self.streams or any(inspect.iscoroutinefunction(each) for each in kinds)

    def add(self, group: Group, complain: Callable[[str], None]) -> None:
        """More tables, in the place of others for the same callers.

        What they want of arguments that there are not is said, and left out.
        """
        self.groups = [
            known for known in self.groups if known.family is not group.family or known.single is not group.single
        ]
        self.groups.append(group._replace(tables=tuple(self._possible(table, complain) for table in group.tables)))

    def _possible(self, table: Table, complain: Callable[[str], None]) -> Table:
        def there(entry: Entry) -> bool:
            paths = entry.source.paths
            unknown = [path for path in paths if path.root == "argument" and not self._arguments.has(path.name)]
            for path in unknown:
                hint = near(path.name, self._arguments.names())
                where = f'{table.label}: {entry.called} = "{path.text}"'
                complain(f"{where}: {self.attribute} has no argument {path.name}; {hint}")
            return len(unknown) < len(paths)

        for entry, _ in table.conditions:  # one that cannot hold does not
            there(entry)
        return dataclasses.replace(
            table,
            ids=tuple(filter(there, table.ids)),
            entries=tuple(filter(there, table.entries)),
            content=tuple(filter(there, table.content)),
        )

    @property
    def followed(self) -> bool:
        """Whether a call lasts until what it gave has been worked off."""
        return self.exhausted or (self._deferred and not self._returned)

    @property
    def exhausted(self) -> bool:
        """Whether it does so whatever it is written as: a table says that it gives a stream."""
        wanted = any(table.streams or table.until == "exhausted" for table in self._tables)
        return wanted and not self._returned

    @property
    def _returned(self) -> bool:
        return any(table.until == "returned" for table in self._tables)

    @property
    def looks_at_items(self) -> bool:
        """Whether what a stream yields is looked at, or has to pass by for its end to be seen.

        An operation sees its own end; an event, and a model call inside of another, has none.
        """
        return self.followed and any(table.kind in ("event", "model") or table.streams for table in self._tables)

    @property
    def _tables(self) -> list[Table]:
        return [table for group in self.groups for table in group.tables]

    # ------------------------------------------------------------------------------------------------ a call begins
    def began(self, call: Call) -> Start | Note | None:
        """The callable is called."""
        group = self._group(call.instance)
        if group is None or self._again(call):
            return None
        found = Found(self, self._arguments, group.tables, call.instance)
        found.tables = tuple(table for table in group.tables if table.kind == "event" or found.holds(call, table))
        for table in found.tables:
            found.look(call, table, "start")
        _bind(call, found)
        for table in found.tables:
            if table.when == "before" and found.holds(call, table):
                call.recorder.guard(_tell, call, found, table)
        operation = _operation(found)
        if operation is None:
            return Note(found)
        if operation.kind == "model" and call.inside is not None and call.inside.kind == "model":
            found.inner = True  # the outermost owns the call
            return Note(found)
        return self._start(call, found, operation)

    def _group(self, instance: Any) -> Group | None:
        """The tables for whom it is called on: of the object itself, else of the class named that is nearest."""
        kind: Any = instance if issubclass(type(instance), type) else type(instance)
        ancestry = kind.__mro__
        best, distance = None, len(ancestry) + 1
        for group in self.groups:
            at = len(ancestry)
            if group.single is not None:
                at = -1 if group.single is instance else distance
            elif group.family is not None and instance is not None:  # of a static method nobody knows
                at = next((place for place, each in enumerate(ancestry) if each is group.family), distance)
            if at < distance:
                best, distance = group, at
        return best

    def _again(self, call: Call) -> bool:
        """Whether it is what an overriding method calls by ``super()``: that is one call of the two."""
        for around in (None if call.inside is None else call.inside.data, call.note):
            if isinstance(around, Found) and around.instance is call.instance and call.instance is not None:
                above = around.wrapped
                if above.attribute == self.attribute and above.owner is not self.owner:
                    return any(each is self.owner for each in getattr(above.owner, "__mro__", ()))
        return False

    def _start(self, call: Call, found: Found, table: Table) -> Start:
        facts = found.facts(table)
        facts.pop(names.OUTCOME, None)  # of the end
        refused = facts.pop("refused", None) is not None
        name = facts.get(next(iter(words.WORDS[table.kind].values())).slot) or self._default_name(table, call.instance)
        if table.kind == "tool":
            facts[names.TOOL_TYPE] = "function"
        elif table.kind == "model" and self.streams:
            facts.setdefault(names.REQUEST_STREAM, True)
        elif table.kind == "agent":
            facts.update(_switch(call, table, name, facts))
        capturing, guard = call.recorder.capturing, call.recorder.guard
        return Start(
            cast("Kind", table.kind),
            name,
            facts,
            data=found,
            refused=refused,
            deferred=self.followed,
            content=None if capturing is None else guard(found.content, call, table, capturing),
        )

    def _default_name(self, table: Table, instance: Any) -> str:
        if table.kind == "agent" and instance is not None:
            return (instance if issubclass(type(instance), type) else type(instance)).__name__
        return self.attribute

    # ---------------------------------------------------------------------------------------------- it yields, ends
    def yielded(self, call: Call, item: Any) -> None:
        """Its stream gave something."""
        found: Found = call.data
        found.flowed = True
        for table in found.tables:
            if table.when == "item":
                if found.holds(call, table, item):
                    found.forget_item(table)
                    found.look(call, table, "item", item)
                    call.recorder.guard(_tell, call, found, table)
            elif table.streams:
                found.look(call, table, "item", item)

    def ended(self, call: Call) -> Facts | None:
        """The call is over, and its stream worked off."""
        found: Found = call.data
        for table in found.tables:
            if table.when != "item":
                found.look(call, table, "end")
        for table in found.tables:
            if table.kind == "event" and table.when == _ending(call.error) and found.holds(call, table):
                call.recorder.guard(_tell, call, found, table)
        operation = _operation(found)
        return None if operation is None else self._learned(call, found, operation)

    def _learned(self, call: Call, found: Found, table: Table) -> Facts:
        """What is known of the operation now, and was not when it began."""
        facts = found.facts(table)
        if call.error is None:
            found.lacking(call, table)
        if type(call.result) in _LATER and not self.exhausted and "until" not in table.missed:
            table.missed["until"] = 1
            _log.warning(
                'tachograph: %s: gave a %s, and was over with that; write until = "exhausted" to follow it',
                table.label,
                type(call.result).__name__,
            )
        if found.inner and call.inside is not None:
            call.inside.add_part({s: facts[s] for s in facts if s in words.ADDED or s.startswith(names.CUSTOM)})
            return {}
        capturing, live = call.recorder.capturing, call.live
        if capturing is not None and live is not None and live.content is not None:
            call.recorder.guard(found.put, call, table, capturing, live.content, "end")
        learned = {entry.word.slot for entry in table.entries if entry.source.moment != "start"} - {names.OUTCOME}
        if words.MANY in learned:
            learned.update(words.SUMS)
        known = {slot: facts[slot] for slot in facts if slot in learned}
        if live is not None and names.TIME_TO_FIRST_CHUNK in live.later and names.REQUEST_STREAM not in facts:
            known[names.REQUEST_STREAM] = True
        if facts.get("refused"):
            known[names.OUTCOME] = "refused"
        elif call.error is None:  # else the exception says it
            known[names.OUTCOME] = facts.get(names.OUTCOME)
        return known


def _operation(found: Found) -> Table | None:
    """The table that makes the call an operation, if one does."""
    return next((table for table in found.tables if table.kind != "event"), None)


def _ending(error: BaseException | None) -> str:
    """Which events are told at the end: none where nobody wanted the rest."""
    return "after" if error is None else "error" if issubclass(type(error), Exception) else ""


def _switch(call: Call, table: Table, name: str, facts: Facts) -> Facts:
    """The hand-over that a run begins with, if there is one."""
    source, target, around = facts.get(names.SWITCH_FROM), facts.get(names.SWITCH_TO, name), call.inside
    # An agent that a tool runs is a nested run, and nothing was handed over.
    if table.derives and around is not None and around.kind in ("agent", "task"):
        known = around.data if isinstance(around.data, Found) else None
        source = None if known is None else known.last
        if source is None and call.run is not None:
            source = call.run.record.name
        if known is not None:
            known.last = name
    if source is None or source == target:
        return dict.fromkeys((names.SWITCH_FROM, names.SWITCH_TO, names.SWITCH_REASON))
    return {names.SWITCH_FROM: source, names.SWITCH_TO: target}


# ------------------------------------------------------------------------------------------- where it belongs, events
def _bind(call: Call, found: Found) -> None:
    """What runs inside belongs to the session, request and user that are named."""
    ids: dict[str, str] = {}
    for table in found.tables:
        ids = {**found.ids(table), **ids}
    scope = _joined(call.recorder.scope(call.around), ids)
    if scope is not None:
        call.around = handing_on(scope, with_scope(scope, call.around))


def _joined(around: Scope, ids: Mapping[str, str]) -> Scope | None:
    """``around`` with the ids that are named in the place of its own; None where none is."""
    if not ids:
        return None
    session_id = ids.get("session_id", around.session_id)
    same = "session_id" not in ids or (around.explicit and around.session_id == session_id)
    return Scope(
        session_id,
        ids.get("correlation_id") or (around.correlation_id if same else None),
        ids.get("user_id") or around.user_id,
        around.conversation_id if same else None,
        operation=around.operation,
        explicit=around.explicit or "session_id" in ids,
    )


def _tell(call: Call, found: Found, table: Table) -> None:
    """Send an event, as something that happened in the call, or in the session that it names itself."""
    payload = found.facts(table)
    if any(payload.get(field) is None for field in words.EMITTED[table.event]):
        return  # what is missing has been said
    around = call.around if call.live is None else call.live.context(call.around)
    own = _joined(call.recorder.scope(around), found.ids(table))
    token = attach(around if own is None else with_scope(own, around))
    try:
        call.recorder.event(table.event, payload)
    finally:
        detach(token)
