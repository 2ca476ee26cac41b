"""What the calls of one wrapped callable mean: the fact-functions, by what the tables say of it."""

from __future__ import annotations

import inspect
import logging
import types
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.context import attach, detach

from tachograph import names
from tachograph.clip import clipped
from tachograph.content import Content, as_object
from tachograph.context import Scope, with_scope
from tachograph.integrations.wrapping import values, words
from tachograph.integrations.wrapping.paths import NOTHING
from tachograph.integrations.wrapping.tables import near
from tachograph.integrations.wrapping.targets import Arguments, function_of
from tachograph.live import Start
from tachograph.probes import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tachograph.integrations.wrapping.paths import Moment, Path
    from tachograph.integrations.wrapping.tables import Entry, Table
    from tachograph.live import Facts, Live
    from tachograph.probes import Call
    from tachograph.records import Kind

_log = logging.getLogger("tachograph")

_LATER: Final = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_STREAMS: Final = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class Group(NamedTuple):
    """The tables of one target, and for whom they are.

    Args:
        tables: of the target.
        family: for this class and those below it; None: for whoever calls it.
        single: for this object alone.
    """

    tables: tuple[Table, ...]
    family: type | None = None
    single: Any = None

    @property
    def operation(self) -> Table | None:
        """The table that makes the call an operation, if one does."""
        return next((table for table in self.tables if table.kind != "event"), None)

    @property
    def events(self) -> list[Table]:
        """Those that tell of events."""
        return [table for table in self.tables if table.kind == "event"]


class State:
    """What is known of one call that is recorded. ``last`` is the agent that ran last inside of it."""

    __slots__ = ("found", "group", "inner", "instance", "last", "wrapped")

    def __init__(self, wrapped: Wrapped, group: Group, instance: Any) -> None:
        self.wrapped = wrapped
        self.group = group
        self.instance = instance
        self.inner = False
        self.last: str | None = None
        self.found: dict[str, dict[str, Any]] = {table.label: {} for table in group.tables}


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
        plain = function_of(callable_)
        kinds = (plain, inspect.unwrap(plain))
        self.streams = any(is_one(each) for is_one in _STREAMS for each in kinds)
        self.deferred = self.streams or any(inspect.iscoroutinefunction(each) for each in kinds)

    def add(self, group: Group, complain: Callable[[str], None]) -> None:
        """More tables, in the place of others for the same callers.

        What they want of arguments that there are not is said, and will not be found.
        """
        self.groups = [
            known for known in self.groups if known.family is not group.family or known.single is not group.single
        ]
        for table in group.tables:
            entries = (*table.ids, *table.entries, *table.content, *(entry for entry, _ in table.conditions))
            unknown = {
                (entry.called, path.text): path.name
                for entry in entries
                for path in entry.source.paths
                if path.root == "argument" and not self._arguments.has(path.name)
            }
            for (called, text), name in unknown.items():
                hint = near(name, self._arguments.names())
                complain(f'{table.label}: {called} = "{text}": {self.attribute} has no argument {name}; {hint}')
        self.groups.append(group)

    @property
    def followed(self) -> bool:
        """Whether a call lasts until what it gave has been worked off."""
        tables = [table for group in self.groups for table in group.tables]
        said = {table.until for table in tables if table.until}
        return "returned" not in said and (
            self.deferred or "exhausted" in said or any(table.streams for table in tables)
        )

    @property
    def looks_at_items(self) -> bool:
        """Whether what a stream yields is looked at, or has to pass by for the end of the stream to be seen."""
        tables = [table for group in self.groups for table in group.tables]
        return self.followed and any(table.kind == "event" or table.streams for table in tables)

    # ------------------------------------------------------------------------------------------ a call begins
    def began(self, call: Call) -> Start | Note | None:
        """The callable is called."""
        group = self._group(call.instance)
        if group is None or self._again(call):
            return None
        state = State(self, group, call.instance)
        for table in group.tables:
            self._look(call, state, table, "start")
        self._bind(call, state)
        for table in group.events:
            if table.when == "before":
                self._tell(call, state, table)
        table = group.operation
        if table is None:
            return Note(state)
        if table.kind == "model" and call.inside is not None and call.inside.kind == "model":
            state.inner = True  # the outermost owns the call
            return Note(state)
        return self._start(call, state, table)

    def _group(self, instance: Any) -> Group | None:
        """The tables for whom it is called on: of the class named that is nearest, or of the object itself."""
        if len(self.groups) == 1 and self.groups[0].family is None and self.groups[0].single is None:
            return self.groups[0]
        kind: Any = instance if issubclass(type(instance), type) else type(instance)
        ancestry = kind.__mro__
        best, distance = None, len(ancestry) + 1
        for group in self.groups:
            if group.single is not None:
                if group.single is instance:
                    return group
                continue
            at = len(ancestry)
            if group.family is not None and instance is not None:  # of a static method nobody knows
                at = next((place for place, each in enumerate(ancestry) if each is group.family), len(ancestry) + 1)
            if at < distance:
                best, distance = group, at
        return best

    def _again(self, call: Call) -> bool:
        """Whether it is what an overriding method calls by ``super()``: that is one call of the two."""
        outer = None if call.inside is None else call.inside.data
        for around in (outer, call.note):
            if not isinstance(around, State) or around.instance is not call.instance or call.instance is None:
                continue
            above = around.wrapped
            if above.attribute == self.attribute and above.owner is not self.owner:
                return any(each is self.owner for each in getattr(above.owner, "__mro__", ()))
        return False

    def _bind(self, call: Call, state: State) -> None:
        """What runs inside belongs to the session, request and user that are named."""
        ids: dict[str, str | None] = {}
        for table in state.group.tables:
            for slot in words.IDS:
                ids[slot] = ids.get(slot) or state.found[table.label].get(slot)
        scope = _joined(call.recorder.scope(call.around), ids)
        if scope is not None:
            call.around = with_scope(scope, call.around)

    def _start(self, call: Call, state: State, table: Table) -> Start:
        facts: Facts = {key: value for key, value in state.found[table.label].items() if key not in words.IDS}
        subject = next(iter(words.WORDS[table.kind].values())).slot
        name = facts.get(subject) or self._default_name(table.kind, call.instance)
        if table.kind == "tool":
            facts[names.TOOL_TYPE] = "function"
        elif table.kind == "model" and self.streams and names.REQUEST_STREAM not in facts:
            facts[names.REQUEST_STREAM] = True
        elif table.kind == "agent":
            facts = {**facts, **self._switched(call, table, name, facts)}
        return Start(
            _KINDS[table.kind],
            name,
            facts,
            data=state,
            deferred=self.followed,
            content=call.recorder.guard(self._content, call, table, "start"),
        )

    def _default_name(self, kind: str, instance: Any) -> str:
        if kind == "agent" and instance is not None:
            return (instance if issubclass(type(instance), type) else type(instance)).__name__
        return self.attribute

    @staticmethod
    def _switched(call: Call, table: Table, name: str, facts: Facts) -> Facts:
        """The hand-over that a run begins with, if there is one."""
        source = facts.get(names.SWITCH_FROM)
        around = call.inside
        if table.derives and around is not None and around.kind in ("agent", "task", "code"):
            known = around.data
            source = known.last if isinstance(known, State) else None
            if source is None and call.run is not None:
                source = call.run.record.name
            if isinstance(known, State):
                known.last = name
        if source is None or source == facts.get(names.SWITCH_TO, name):
            return dict.fromkeys((names.SWITCH_FROM, names.SWITCH_TO, names.SWITCH_REASON))
        return {names.SWITCH_FROM: source, names.SWITCH_TO: facts.get(names.SWITCH_TO, name)}

    # ------------------------------------------------------------------------------------------- it yields, ends
    def yielded(self, call: Call, item: Any) -> None:
        """Its stream gave something."""
        state = call.data
        for table in state.group.tables:
            if table.when == "item":
                if self._holds(call, table, item):
                    for entry in (*table.ids, *table.entries):
                        if entry.source.moment == "item":  # of the item before
                            state.found[table.label].pop(entry.word.slot, None)
                    self._look(call, state, table, "item", item)
                    self._tell(call, state, table)
            elif table.streams:
                self._look(call, state, table, "item", item)

    def ended(self, call: Call) -> Facts | None:
        """The call is over, and its stream worked off."""
        state: State = call.data
        for table in state.group.tables:
            if table.when != "item":
                self._look(call, state, table, "end")
        for table in state.group.events:
            if table.when == _ending(call.error) and self._holds(call, table):
                self._tell(call, state, table)
        table = state.group.operation
        if table is None:
            return None
        facts = {slot: value for slot, value in state.found[table.label].items() if slot not in words.IDS}
        self._unseen(call, table, facts)
        if state.inner:
            return {
                slot: value for slot, value in facts.items() if slot in words.ADDED or slot.startswith(names.CUSTOM)
            }
        if call.live is not None and call.recorder.capturing is not None:
            call.recorder.guard(self._more_content, call, table, call.live)
        learned = {entry.word.slot for entry in table.entries if entry.source.moment != "start"}
        if call.error is not None:
            learned.discard(names.OUTCOME)  # the exception says it
        return {slot: value for slot, value in facts.items() if slot in learned}

    def _unseen(self, call: Call, table: Table, facts: Facts) -> None:
        """Say what should have been there by now."""
        if call.error is None:
            for entry in table.entries:
                if entry.source.moment == "item" and entry.word.slot not in facts and not entry.word.silent:
                    _missed(table, entry, "no item has it")
        if type(call.result) in _LATER and not self.followed and "until" not in table.missed:
            table.missed["until"] = 1
            _log.warning(
                '%s: gave a %s, and was over with that; write until = "exhausted" to follow it',
                table.label,
                type(call.result).__name__,
            )

    # ------------------------------------------------------------------------------------------------- its content
    def _content(self, call: Call, table: Table, moment: Moment) -> Content | None:
        capturing = call.recorder.capturing
        if capturing is None:
            return None
        content = Content()
        self._put(call, table, content, moment)
        return content

    def _more_content(self, call: Call, table: Table, live: Live) -> None:
        if live.content is not None:
            self._put(call, table, live.content, "end")

    def _put(self, call: Call, table: Table, content: Content, moment: Moment) -> None:
        capturing = call.recorder.capturing
        for entry in table.content:
            if capturing is not None and entry.source.moment == moment and not self._out_of_reach(call, entry):
                value = self._value(call, table, entry)
                if value is not None and value is not NOTHING:
                    key = "arguments" if entry.word.slot == names.TOOL_ARGUMENTS else "result"
                    shown = as_object(value, key) if key == "arguments" else value
                    content.put(entry.word.slot, clipped(shown, capturing.limit))

    # --------------------------------------------------------------------------------------------------- its events
    def _holds(self, call: Call, table: Table, item: Any = NOTHING) -> bool:
        """Whether the event's conditions hold."""
        for entry, expected in table.conditions:
            value = call.recorder.guard(self._found, call, entry, item, default=NOTHING)
            if not (values.is_there(value) if expected is ... else values.is_same(value, expected)):
                return False
        return True

    def _tell(self, call: Call, state: State, table: Table) -> None:
        """Send the event, as something that happened in the call, or in the session it names itself."""
        found = state.found[table.label]
        if any(found.get(field) is None for field in words.EMITTED[table.event]):
            return  # what is missing has been said
        if table.when == "before" and not self._holds(call, table):
            return
        payload = {key: value for key, value in found.items() if key not in words.IDS}
        around = call.around if call.live is None else call.live.context(call.around)
        own = _joined(call.recorder.scope(around), found)
        token = attach(around if own is None else with_scope(own, around))
        try:
            call.recorder.event(table.event, payload)
        finally:
            detach(token)

    # ------------------------------------------------------------------------------------------------ looking at it
    def _look(self, call: Call, state: State, table: Table, moment: Moment, item: Any = NOTHING) -> None:
        """Find what can be found at this moment."""
        found = state.found[table.label]
        for entry in (*table.ids, *table.entries):
            if entry.source.moment != moment or self._out_of_reach(call, entry):
                continue
            value = call.recorder.guard(self._value, call, table, entry, item)
            slot = entry.word.slot
            if value is NOTHING or (value is None and moment == "item"):
                continue
            if table.delta and moment == "item" and slot in words.SUMS:
                value += found.get(slot, 0)
            found[slot] = value

    def _out_of_reach(self, call: Call, entry: Entry) -> bool:
        """Whether nothing can be there: of a call that failed no result, of one that did not no error."""
        roots = {path.root for path in entry.source.paths}
        return roots == {"result" if call.error is not None else "error"}

    def _value(self, call: Call, table: Table, entry: Entry, item: Any = NOTHING) -> Any:
        """What the entry's word makes of what is found; NOTHING where that is nothing."""
        found = self._found(call, entry, item)
        if found is None:
            return None
        value = NOTHING if found is NOTHING else entry.word.read(found)
        if value is NOTHING and item is NOTHING and not entry.word.silent:
            what = "found nothing" if found is NOTHING else f"found a {type(found).__name__}, which does not do"
            _missed(table, entry, what)
        return value

    def _found(self, call: Call, entry: Entry, item: Any = NOTHING) -> Any:
        def begin(path: Path) -> Any:
            if path.root == "argument":
                return self._arguments.of(call, path.name)
            return {"result": call.result, "error": call.error, "item": item}[path.root]

        return entry.source.found(begin)


def _ending(error: BaseException | None) -> str:
    """Which events are told at the end: none where nobody wanted the rest."""
    return "after" if error is None else "error" if issubclass(type(error), Exception) else ""


_KINDS: Final[dict[str, Kind]] = {"agent": "agent", "model": "model", "tool": "tool", "task": "task"}


def _missed(table: Table, entry: Entry, what: str) -> None:
    """Count what was not to be found, and say so the first time."""
    times = table.missed.get(entry.called, 0)
    table.missed[entry.called] = times + 1
    if not times:
        _log.warning('%s: %s = "%s": %s', table.label, entry.called, entry.source.text, what)


def _joined(around: Scope, ids: dict[str, Any]) -> Scope | None:
    """``around`` with the ids that are named in their place; None where it is the same."""
    session_id, correlation_id, user_id = (ids.get(slot) for slot in words.IDS)
    if session_id is None and correlation_id is None and user_id is None:
        return None
    same = session_id is None or (around.explicit and around.session_id == session_id)
    return Scope(
        session_id or around.session_id,
        correlation_id or (around.correlation_id if same else None),
        user_id or around.user_id,
        around.conversation_id if same else None,
        operation=around.operation,
        explicit=around.explicit or session_id is not None,
    )


def missed(tables: Iterable[Table]) -> dict[str, int]:
    """How often each entry was not to be found."""
    return {f"{table.label}: {called}": times for table in tables for called, times in table.missed.items()}
