"""Tables as they are written, read: what each says of which callable. What is wrong in one is said, and left out."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from tachograph import names
from tachograph.integrations.wrapping import words
from tachograph.integrations.wrapping.paths import PathError, Source, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tachograph.integrations.wrapping.words import Word

_TARGET: Final = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<place>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_MOST: Final = 20
_FIELD: Final = re.compile(r"[^\W\d]\w*")


class Entry(NamedTuple):
    """One value to be found: what it is called in the table, where it is, and what is made of it.

    ``either`` says that it may be in an item of a stream, or else elsewhere: there is another entry for that.
    """

    called: str
    source: Source
    word: Word
    either: bool = False


@dataclass(frozen=True)
class Table:
    """One ``[[tool.tachograph.wrap]]``, usable as it is.

    Args:
        label: for people.
        kind: of operation, or ``event``.
        module: where the target is.
        place: of the target in the module, with dots.
        ids: the session, request and user.
        entries: facts of the operation, or the event's payload.
        content: what is looked at only where content is captured.
        conditions: what has to hold; without an expected value, something has to be there.
        event: its type.
        when: it is told: ``before``, ``after``, ``error`` or ``item``.
        delta: whether a stream's items report shares, to be added up.
        derives: whether a switch follows from which agent had the work before.
        until: which end is meant, where the table says so.
        missed: how often an entry was not to be found.
    """

    label: str
    kind: str
    module: str
    place: str
    ids: tuple[Entry, ...] = ()
    entries: tuple[Entry, ...] = ()
    content: tuple[Entry, ...] = ()
    conditions: tuple[tuple[Entry, Any], ...] = ()
    event: str = ""
    when: str = "after"
    delta: bool = False
    derives: bool = False
    until: str = ""
    missed: dict[str, int] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """``module:Class.method``."""
        return f"{self.module}:{self.place}"

    @cached_property
    def at(self) -> dict[str, tuple[Entry, ...]]:
        """What is to be found at which moment."""
        everything = (*self.ids, *self.entries)
        return {
            moment: tuple(entry for entry in everything if entry.source.moment == moment)
            for moment in ("start", "item", "end")
        }

    @cached_property
    def streams(self) -> bool:
        """Whether something of it is in what a stream yields."""
        everything = (*self.ids, *self.entries, *self.content)
        return self.when == "item" or any(entry.source.moment == "item" for entry in everything)


def near(word: str, there: Iterable[str]) -> str:
    """What may have been meant, for the end of a message."""
    there = list(there)
    close = difflib.get_close_matches(word, there, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    more = ", …" if len(there) > _MOST else ""
    return f"there are: {', '.join(there[:_MOST])}{more}" if there else "there are none"


def read(written: Any, place: str, complain: Callable[[str], None]) -> dict[str, Table | None]:
    """The tables by what to call them; None for one that cannot be used.

    Args:
        written: the value of ``wrap``, as it was parsed.
        place: where that is from, for people.
        complain: told, in one line each, of what is wrong.
    """
    if type(written) not in (list, tuple):
        complain(f"{place}: wrap is no list of tables; write [[tool.tachograph.wrap]], in two pairs of brackets")
        return {}
    readers = [_Reader(each, f"{place}: wrap {number}", complain) for number, each in enumerate(written, 1)]
    tables = [reader.table() for reader in readers]  # which may change their labels
    return {reader.label: table for reader, table in zip(readers, tables, strict=True)}


class _Reader:
    """Reads one table.

    Args:
        written: as it was parsed.
        label: for people.
        complain: told of what is wrong.
    """

    def __init__(self, written: Any, label: str, complain: Callable[[str], None]) -> None:
        self._written: dict[str, Any] = written if isinstance(written, dict) else {}
        self._is_table = isinstance(written, dict)
        self.label = label
        self._complain = complain
        self._kind = ""

    def _wrong(self, message: str) -> None:
        self._complain(f"{self.label}: {message}")

    def table(self) -> Table | None:
        """The table; None where it says nothing that can be done."""
        if not self._is_table:
            self._wrong("is no table; write [[tool.tachograph.wrap]] and the words under it")
            return None
        target = self._written.get("target")
        found = _TARGET.fullmatch(target) if type(target) is str else None
        if found is None:
            self._wrong(f'target = {target!r}: expected "package.module:function" or "package.module:Class.method"')
            return None
        self.label += f" ({target})"
        kind = self._written.get("as")
        if type(kind) is not str or kind not in words.WORDS:
            self._wrong(f"as = {kind!r}: {near(str(kind), words.WORDS)}")
            return None
        self._kind = kind
        self._unknown()
        when = self._one_of("when", words.WHENS, "after") if kind == "event" else "after"
        event = self._event() if kind == "event" else ""
        if event is None:
            return None
        every = [*self._entries(words.WORDS[kind], self._written), *self._switch(), *self._more()]
        entries = [entry for entry in every if self._in_time(entry, when)]
        conditions = self._conditions(when)
        if conditions is None or (kind == "event" and not self._has_all(event, entries)):
            return None
        return Table(
            self.label,
            kind,
            found["module"],
            found["place"],
            ids=tuple(self._ids(when)),
            entries=tuple(entries),
            content=tuple(self._entries(words.CONTENT.get(kind, {}), self._written)),
            conditions=tuple(conditions),
            event=event,
            when=when,
            delta=self._one_of("usage_style", words.STYLES, "total") == "delta",
            derives=self._written.get("switch") is True,
            until=self._one_of("until", words.UNTILS, ""),
        )

    # ------------------------------------------------------------------------------------------------- its words
    def _unknown(self) -> None:
        known = ["target", "as", *words.IDS, *words.WORDS[self._kind], *words.OPTIONS[self._kind]]
        for word in self._written:
            if word not in known:
                self._wrong(f'{word}: no such word for as = "{self._kind}"; {near(word, known)}')

    def _one_of(self, word: str, known: tuple[str, ...], default: str) -> str:
        value = self._written.get(word, default)
        if value in (*known, default):
            return cast("str", value)
        self._wrong(f"{word} = {value!r}: {near(str(value), known)}")
        return default

    def _event(self) -> str | None:
        event = self._written.get("event")
        if event in words.EMITTED:
            return cast("str", event)
        category = names.EVENTS[event][0] if type(event) is str and event in names.EVENTS else None
        if category in words.DERIVED:
            self._wrong(f'event = {event!r} is told of operations by itself; write as = "{words.DERIVED[category]}"')
        else:
            self._wrong(f"event = {event!r}: {near(str(event), words.EMITTED)}")
        return None

    def _entry(self, called: str, written: Any, word: Word) -> list[Entry]:
        try:
            found = sources(written)
        except PathError as error:
            self._wrong(f"{called} = {written!r}: {error}")
            return []
        if word.early and self._kind != "event" and any(source.moment != "start" for source in found):
            hint = "; what the answer says is its response_model" if word.slot == names.REQUEST_MODEL else ""
            self._wrong(f"{called} = {written!r}: is to be known when the call begins, and this only comes of it{hint}")
            return []
        return [Entry(called, source, word, either=len(found) > 1) for source in found]

    def _entries(self, known: dict[str, Word], written: dict[str, Any], within: str = "") -> list[Entry]:
        return [
            entry
            for name, word in known.items()
            if name in written
            for entry in self._entry(f"{within}{name}", written[name], word)
        ]

    def _subtable(self, word: str) -> dict[str, Any]:
        value = self._written.get(word, {})
        if isinstance(value, dict):
            return value
        self._wrong(f'{word} = {value!r}: expected a table, as in {word} = {{ … = "…" }}')
        return {}

    def _switch(self) -> list[Entry]:
        if self._kind != "agent" or "switch" not in self._written or self._written["switch"] is True:
            return []
        given = self._subtable("switch")
        for word in given:
            if word not in words.SWITCH:
                self._wrong(f"switch.{word}: no such word; {near(word, words.SWITCH)}")
        if given and "from" not in given:
            self._wrong("switch: from is missing, the agent that had the work before")
            return []
        return self._entries(words.SWITCH, given, "switch.")

    def _more(self) -> list[Entry]:
        name, word = ("payload", words.field) if self._kind == "event" else ("fields", words.custom)
        known: dict[str, Word] = {}
        given = self._subtable(name)
        for field_ in given:
            if not _FIELD.fullmatch(field_) or (self._kind == "event" and field_ in words.RESERVED):
                why = "is a word of the table itself" if field_ in words.IDS else "cannot be the name of a field"
                self._wrong(f"{name}.{field_}: {why}")
            else:
                known[field_] = word(field_)
        return self._entries(known, given, f"{name}.")

    # -------------------------------------------------------------------------------------------------- of events
    def _has_all(self, event: str, entries: list[Entry]) -> bool:
        missing = [field_ for field_ in words.EMITTED[event] if not any(e.word.slot == field_ for e in entries)]
        if missing:
            self._wrong(f"payload: {event} needs {' and '.join(missing)}")
        return not missing

    def _ids(self, when: str) -> list[Entry]:
        return [entry for entry in self._entries(words.IDS, self._written) if self._in_time(entry, when)]

    def _conditions(self, when: str) -> list[tuple[Entry, Any]] | None:
        written = self._written.get("if")
        if written is None:
            return []
        wanted = written.items() if isinstance(written, dict) else [(written, ...)]
        found = []
        for path, expected in wanted:
            if expected is not ... and type(expected) not in (str, int, bool):
                self._wrong(f"if.{path} = {expected!r}: expected a text, a whole number, true or false")
                continue
            found += [(entry, expected) for entry in self._entry("if", path, words.IF) if self._in_time(entry, when)]
        return found if len(found) == len(wanted) else None  # a condition that cannot be read is none that holds

    def _in_time(self, entry: Entry, when: str) -> bool:
        if self._kind != "event":
            return True
        roots = entry.source.roots
        late = any(path.late for path in entry.source.paths)
        bad = {
            "before": roots & {"result", "error", "item"} or late,
            "after": "error" in roots,
            "error": "result" in roots,
            "item": roots & {"result", "error"} or late,
        }[when]
        if bad:
            self._wrong(f'{entry.called} = "{entry.source.text}": is not known yet, or not any more, when = "{when}"')
        return not bad
