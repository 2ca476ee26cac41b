"""Wraps: the tables of the settings, each hooked as soon as the module of its target is imported."""

from __future__ import annotations

import functools
import sys
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from tachograph.integrations import REGISTRY
from tachograph.integrations.wrapping.calls import Group, Wrapped
from tachograph.integrations.wrapping.elsewhere import elsewhere
from tachograph.integrations.wrapping.found import missed
from tachograph.integrations.wrapping.modules import absent
from tachograph.integrations.wrapping.tables import read
from tachograph.integrations.wrapping.targets import TargetError, find, original
from tachograph.probes import Probe, when_imported

if TYPE_CHECKING:
    from collections.abc import Callable

    from tachograph.config import Config
    from tachograph.guard import Guard
    from tachograph.integrations.wrapping.tables import Table
    from tachograph.integrations.wrapping.targets import Target
    from tachograph.probes import Hooks


class Row(NamedTuple):
    """How it stands with one table, for people. ``state`` is hooked, waiting, absent or refused."""

    label: str
    kind: str
    state: str
    note: str = ""


class Wraps:
    """Hooks what the tables name.

    Args:
        hooks: to install through.
        guard: around what happens while the host imports a module.
        complain: told, in one line each, of what cannot be done.
    """

    def __init__(self, hooks: Hooks, guard: Guard, complain: Callable[[str], None]) -> None:
        self._hooks = hooks
        self._guard = guard
        self._complain = complain
        self._tables: list[Table] = []
        self._starting = False
        self._rows: dict[str, Row] = {}
        # By identity, as a metaclass may make classes unhashable; weak, as those made in functions come and go.
        self._wrapped: weakref.WeakValueDictionary[tuple[int, str], Wrapped] = weakref.WeakValueDictionary()
        self._families: list[tuple[type, str, Group]] = []

    def hook(self, config: Config) -> None:
        """Hook every target, now or as soon as its module is imported. Says what cannot be; never raises for it."""
        if not config.wrap:
            return
        theirs = {one.module for one in REGISTRY if not config.integrations or one.name in config.integrations}
        for label, table in read(config.wrap, config.sources.get("wrap", "wrap"), self._complain).items():
            if table is None:
                self._rows[label] = Row(label, "-", "refused", "it cannot be read")
                continue
            self._rows[table.label] = Row(table.label, table.kind, "waiting", "its module has not been imported")
            operations = {known.target for known in self._tables if known.kind != "event"}
            if table.kind != "event" and table.target in operations:
                self._say([table], "its target is an operation already, by another table")
            elif table.module.split(".")[0] in theirs:
                self._say([table], "is the integration's to record; wrap what is the program's own")
            else:
                self._tables.append(table)
        self._starting = True
        reasons: dict[str, list[Table]] = {}
        for module in dict.fromkeys(table.module for table in self._tables):
            # Weak, as a hook on an import cannot be taken back, and this one may be stopped before it comes.
            when_imported(module, functools.partial(_imported, weakref.ref(self), module))
            why = self._guard(absent, module)
            if why:
                reasons.setdefault(why, []).extend(table for table in self._tables if table.module == module)
        for why, tables in reasons.items():
            self._say(tables, why, state="absent")
        self._starting = False

    def modules(self) -> list[str]:
        """Those that have not been imported."""
        waiting = [table.module for table in self._tables if self._rows[table.label].state == "waiting"]
        return list(dict.fromkeys(waiting))

    def rows(self) -> list[Row]:
        """How it stands with each table."""
        return list(self._rows.values())

    def missed(self) -> dict[str, int]:
        """Which values were not to be found where a table says, and how often."""
        return missed(self._tables)

    def imported(self, name: str, module: Any) -> None:
        """A module was imported."""
        if self._hooks.enabled:
            self._guard(self._load, name, module)

    # ------------------------------------------------------------------------------------------------- hooking
    def _load(self, name: str, module: Any) -> None:
        targets: dict[str, list[Table]] = {}
        for table in self._tables:
            if table.module == name and self._rows[table.label].state in ("waiting", "absent"):
                targets.setdefault(table.place, []).append(table)
        found = [
            (target, Group(tuple(tables), target.family, target.single))
            for place, tables in targets.items()
            if (target := self._guard(self._found, module, place, tables)) is not None
        ]
        had = self._guard(_had, found, default={})
        families: dict[int, tuple[type, list[str]]] = {}
        for target, group in found:
            if target.family is not None:
                self._families.append((target.family, target.attribute, group))
                families.setdefault(id(target.family), (target.family, []))[1].append(target.attribute)
        for target, group in found:
            self._guard(self._place, target, group)
        for family, attributes in families.values():
            # All at once, as a class announces its subclasses once.
            self._guard(self._hooks.install_family, family, attributes, self._member)
        for table in (table for tables in targets.values() for table in tables):
            if self._rows[table.label].state in ("waiting", "absent"):
                self._say([table], "could not be hooked; the log says why")
        advice = "start Tachograph before that" if self._starting else "wrap who calls it"
        for who, tables in had.items():
            hooked = [table for table in tables if self._rows[table.label].state == "hooked"]
            if hooked:
                why = f"{who} had it before; what is called from there is not recorded: {advice}"
                self._say(hooked, why, state="hooked")

    def _found(self, module: Any, place: str, tables: list[Table]) -> Target | None:
        try:
            return find(module, place)
        except TargetError as error:
            self._say(tables, f"{error}{self._too_early(module)}")
            return None

    def _too_early(self, module: Any) -> str:
        """What to do where a module is not yet what it is going to be."""
        if self._starting and module is sys.modules.get("__main__"):
            return "; the program that is run has only begun: put the callable into another module"
        if self._starting and getattr(getattr(module, "__spec__", None), "_initializing", False):
            return "; the module is still being imported: start Tachograph before it, as `tachograph run` does"
        return ""

    def _place(self, target: Target, group: Group) -> None:
        """Hook a target where it is defined."""
        tables = list(group.tables)
        # Of the class that defines it, it is for everybody; of one that inherits it, for that and those below.
        group = group._replace(family=None) if target.family is target.owner else group
        known = self._wrapped.get((id(target.owner), target.attribute))
        if known is not None:
            known.add(group, self._complain)
        else:
            before = vars(target.owner)[target.attribute]
            try:
                self._hooks.install(self._probe(target.owner, target.attribute, [group]))
            except (TypeError, AttributeError) as error:
                self._say(tables, f"cannot be replaced: {error}")
                return
            if vars(target.owner)[target.attribute] is before:
                self._say(tables, "is recorded already, by the integration of its framework")
                return
        for table in tables:
            self._rows[table.label] = Row(table.label, table.kind, "hooked")

    def _member(self, member: type, attribute: str) -> Probe:
        """The probe of a class that overrides what a table names: by the tables of the nearest class above."""
        groups: list[Group] = []
        for ancestor in member.__mro__:
            groups = [group for family, name, group in self._families if family is ancestor and name == attribute]
            groups = groups or self._named(ancestor, attribute)
            if groups:
                break
        return self._probe(member, attribute, [group._replace(family=None) for group in groups])

    def _named(self, owner: type, attribute: str) -> list[Group]:
        """Tables that name a class which is being made right now, and will be in its module only later."""
        place = f"{owner.__qualname__}.{attribute}"
        tables = tuple(each for each in self._tables if each.module == owner.__module__ and each.place == place)
        return [Group(tables)] if tables else []

    def _probe(self, owner: Any, attribute: str, groups: list[Group]) -> Probe:
        wrapped = self._wrapped.get((id(owner), attribute))
        if wrapped is None:
            wrapped = Wrapped(owner, attribute, original(vars(owner)[attribute]))
            for group in groups:
                wrapped.add(group, self._complain)
            self._wrapped[id(owner), attribute] = wrapped
        item = wrapped.yielded if wrapped.looks_at_items else None
        return Probe(owner, attribute, began=wrapped.began, ended=wrapped.ended, item=item, through=wrapped.exhausted)

    def _say(self, tables: list[Table], why: str, *, state: str = "refused") -> None:
        for table in tables:
            self._rows[table.label] = Row(table.label, table.kind, state, why)
        others = f", and {len(tables) - 1} more" if len(tables) > 1 else ""
        self._complain(f"{tables[0].label}{others}: {why}")


def _had(found: list[tuple[Target, Group]]) -> dict[str, list[Table]]:
    """Who has what is about to be hooked already, and the tables about that."""
    had: dict[str, list[Table]] = {}
    for who, (_, group) in zip(elsewhere([target for target, _ in found]), found, strict=True):
        if who:
            had.setdefault(who, []).extend(group.tables)
    return had


def _imported(waiting: weakref.ref[Wraps], name: str, module: Any) -> None:
    wraps = waiting()
    if wraps is not None:
        wraps.imported(name, module)
