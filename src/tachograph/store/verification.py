"""Are the chains whole? What was changed, removed, reordered or cut, and what could not be seen.

Everything is read once, in the order of storing, and from the table itself; every chain is followed from its beginning
to its seal, and past the heads that somebody outside has kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph.canonical import record_from_text
from tachograph.records import Event
from tachograph.store.chain import Head, SealedWriter, first_link, link, seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The first thing wrong in one writer's chain.

    ``what`` is ``changed``, ``removed``, ``reordered``, ``cut``, ``added``, ``seal``, ``key``, ``deleted``, ``unknown``
    or ``damaged``; ``where`` says it for people. ``number`` is the place in the chain, from 1; ``record_id``, ``kind``
    and ``session_id`` are those of the entry that is found there, if one is.
    """

    what: str
    where: str
    writer: str = ""
    number: int | None = None
    record_id: str | None = None
    kind: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What checking all chains has found, and what it could not have found."""

    entries: int
    writers: int
    problems: tuple[Problem, ...] = ()
    limits: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, within the limits."""
        return not self.problems


class _Row(NamedTuple):
    """An entry as it is found."""

    writer: int
    number: Any
    id: Any
    kind: Any
    session_id: Any
    correlation_id: Any
    start_ns: Any
    end_ns: Any
    critical: Any
    body: Any
    digest: Any
    link: Any

    def digested(self) -> bytes | None:
        """The digest; None where there is neither a text nor a digest in its place, or both."""
        if type(self.body) is str and self.digest is None:
            return hashlib.sha256(self.body.encode("utf-8", "surrogateescape")).digest()
        if self.body is None and type(self.digest) is bytes:
            return self.digest
        return None

    def follows(self, previous: bytes, number: int, key: bytes | None) -> bytes | None:
        """The link this entry has at that place."""
        digested = self.digested()
        return None if digested is None else link(previous, digested, (number, *self[2:9]), key)


@dataclass(slots=True)
class _Chain:
    """One writer's chain while it is followed."""

    writer: int
    sealed: SealedWriter
    seal: bytes
    head: bytes
    number: int
    found: int = 0
    problem: Problem | None = None
    heads: dict[int, Head] = field(default_factory=dict)


_SELECT: Final = (
    "SELECT writer, number, id, kind, session_id, correlation_id, start_ns, end_ns, critical, body, digest, link "
    # From the table itself: an index has copies of some columns, which may still be what they were.
    "FROM records NOT INDEXED "
)


def verify(db: sqlite3.Connection, *, key: bytes | None = None, heads: Iterable[str] = ()) -> Verification:
    """Check every entry of every chain, as they are at this moment.

    Args:
        db: a store, open for reading or writing. While it lasts nobody else may use the connection.
        key: the key of the HMACs, where entries were recorded with one.
        heads: published earlier, each as ``NAME:COUNT:HEX``.

    Raises:
        ValueError: for a text that is no head.
    """
    witnesses = [Head.parse(text) for text in heads]
    factory, db.text_factory = db.text_factory, lambda raw: raw.decode("utf-8", "surrogateescape")
    within = db.in_transaction
    try:
        if not within:
            db.execute("BEGIN")  # others may go on writing: this is of one moment
        damage = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if damage != "ok":  # an index that has lost an entry hides it from who asks by it
            return _damaged(damage)
        return _verify(db, key, witnesses)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise
        return _damaged(error)
    finally:
        if not within and db.in_transaction:
            db.execute("ROLLBACK")
        db.text_factory = factory


def _damaged(why: object) -> Verification:
    damage = Problem(what="damaged", where=f"the file is damaged, and nothing in it can be relied on: {why}")
    return Verification(entries=0, writers=0, problems=(damage,))


def _verify(db: sqlite3.Connection, key: bytes | None, witnesses: list[Head]) -> Verification:
    chains = {chain.writer: chain for chain in _chains(db, key)}
    problems = _witnessed(chains, witnesses)
    strangers: dict[int, Problem] = {}
    bare: dict[str, _Row] = {}
    entries = 0
    for found in db.execute(_SELECT + "ORDER BY seq"):
        row = _Row(*found)
        entries += 1
        chain = chains.get(row.writer)
        if chain is None:
            strangers.setdefault(row.writer, _at(row, "unknown", f"#{row.writer}", "its writer is not in the store"))
            continue
        chain.found += 1
        if row.body is None:
            bare.setdefault(row.session_id, row)
        if chain.problem is None:
            _follow(db, chain, row, key)
    deleted = _deleted_for_good(db) if bare else set()
    for session_id, row in bare.items():
        chain = chains[row.writer]
        if session_id not in deleted and chain.problem is None:
            chain.problem = _at(row, "deleted", chain.sealed.name, "its text is gone, and no entry says who deleted it")
    for chain in chains.values():
        _at_the_end(chain)
    problems += [chain.problem for chain in chains.values() if chain.problem is not None]
    return Verification(
        entries=entries,
        writers=len(chains),
        problems=(*problems, *strangers.values()),
        limits=tuple(_limits(chains, key, witnesses, bare=len(bare))),
        heads=tuple(Head(chain.sealed.name, chain.sealed.entries, chain.sealed.head) for chain in chains.values()),
    )


def _chains(db: sqlite3.Connection, key: bytes | None) -> Iterator[_Chain]:
    for writer, sealed_as, *columns in db.execute(
        "SELECT writer, seal, name, count, head, pruned, pruned_head, keyed FROM writers ORDER BY writer"
    ):
        sealed = SealedWriter(*columns)
        if not _is_sound(sealed):
            chain = _Chain(writer, SealedWriter(str(sealed.name), 0, b"", 0, None, 0), b"", b"", 0)
            chain.problem = _of(chain, "seal", "its row was changed, and says nothing that could be")
            yield chain
            continue
        used = key if sealed.keyed else None
        beginning = sealed.pruned_head if sealed.pruned else first_link(str(sealed.name), used)
        chain = _Chain(writer, sealed, sealed_as, beginning or b"", sealed.pruned)
        if sealed.keyed and key is None:
            chain.problem = _of(chain, "key", "was recorded with a key, and can only be checked with it")
        elif seal(sealed, used) != sealed_as:
            but = ", or it was recorded with another key" if sealed.keyed else ""
            chain.problem = _of(chain, "seal", f"the count or head of its chain was changed{but}")
        yield chain


def _is_sound(sealed: SealedWriter) -> bool:
    """Whether a writer's row has values of the types it is written with."""
    name, entries, head, pruned, pruned_head, keyed = sealed
    numbers = type(entries) is int and type(pruned) is int and type(keyed) is int and pruned >= 0
    links = type(head) is bytes and (pruned_head is None or type(pruned_head) is bytes)
    return type(name) is str and numbers and links


def _follow(db: sqlite3.Connection, chain: _Chain, row: _Row, key: bytes | None) -> None:
    """One entry further, or say what is wrong with it."""
    used, expected = key if chain.sealed.keyed else None, chain.number + 1
    if row.number != expected:
        chain.problem = _out_of_order(db, chain, row, expected)
        return
    follows = row.follows(chain.head, expected, used)
    if follows is None or follows != row.link:
        chain.problem = _changed(db, chain, row, used)
        return
    chain.head, chain.number = follows, expected
    witness = chain.heads.get(expected)
    if witness is not None and witness.link != follows:
        chain.problem = _at(row, "changed", chain.sealed.name, f"up to here it is not the chain of which {witness} was")


def _out_of_order(db: sqlite3.Connection, chain: _Chain, row: _Row, expected: int) -> Problem:
    name = chain.sealed.name
    if type(row.number) is not int:
        return _at(row, "changed", name, "its number is none")
    there = db.execute(
        "SELECT count(*) FROM records NOT INDEXED WHERE writer = ? AND number = ?", (chain.writer, expected)
    ).fetchone()[0]
    if there or row.number < expected:
        return _at(row, "reordered", name, f"entry {expected} should stand here")
    if row.number > chain.sealed.entries:
        return _at(row, "added", name, f"the chain has {chain.sealed.entries} entries")
    last = row.number - 1
    which = f"entry {expected} is" if last == expected else f"entries {expected} to {last} are"
    return Problem(
        what="removed", where=f"{which} missing from the chain of writer {name}", writer=name, number=expected
    )


def _changed(db: sqlite3.Connection, chain: _Chain, row: _Row, key: bytes | None) -> Problem:
    """What is in a place and does not belong there; it may be known what does."""
    name, expected = chain.sealed.name, chain.number + 1
    for found in db.execute(_SELECT + "WHERE writer = ? ORDER BY seq", (chain.writer,)):
        other = _Row(*found)
        if other.number != expected and other.follows(chain.head, expected, key) in (row.link, other.link):
            return _at(row, "reordered", name, f"what belongs here stands as entry {other.number}")
    return _at(row, "changed", name, "it is not what was recorded")


def _at_the_end(chain: _Chain) -> None:
    """Whether the entries end where the seal, and heads from outside, say that they do."""
    if chain.problem is not None:
        return
    count, head = chain.sealed.entries, chain.sealed.head
    if chain.number < count:
        chain.problem = _cut(chain, chain.number + 1, count)
    elif chain.number > count:
        chain.problem = _of(chain, "added", f"there are entries after {count}, where it was sealed")
    elif chain.head != head:
        chain.problem = _of(chain, "seal", "it does not end with the head that was sealed")
    elif (
        witness := max(chain.heads.values(), default=None, key=lambda known: known.entries)
    ) and witness.entries > count:
        chain.problem = _cut(chain, count + 1, witness.entries)


def _witnessed(chains: dict[int, _Chain], witnesses: list[Head]) -> list[Problem]:
    """Give each chain the heads that are known of it; the heads of chains that are gone are problems."""
    by_name = {chain.sealed.name: chain for chain in chains.values()}
    missing: dict[str, Problem] = {}
    for head in sorted(witnesses, key=lambda head: head.entries):
        chain = by_name.get(head.writer)
        if chain is None:
            missing[head.writer] = Problem(
                what="removed",
                where=f"the whole chain of writer {head.writer} is missing",
                writer=head.writer,
                number=1,
            )
            continue
        known = chain.heads.setdefault(head.entries, head)
        beginning = chain.head if head.entries == chain.number else None
        if known != head or (beginning is not None and head.link != beginning and chain.problem is None):
            chain.problem = _of(chain, "changed", f"at entry {head.entries} it is not the chain of which {head} was")
    return [*missing.values()]


def _deleted_for_good(db: sqlite3.Connection) -> set[str]:
    """Sessions that an entry says were."""
    found = set()
    for (body,) in db.execute("SELECT body FROM records WHERE kind = 'session_deleted' AND body IS NOT NULL"):
        with contextlib.suppress(ValueError):  # which its chain reports
            event = record_from_text(body)
            if isinstance(event, Event) and event.payload.get("hard") is True:
                found.add(event.session_id)
    return found


def _at(row: _Row, what: str, name: str, why: str) -> Problem:
    known = f"{row.kind} {row.id} of session {row.session_id}"
    return Problem(
        what=what,
        where=f"entry {row.number} of writer {name} ({known}): {why}",
        writer=name,
        number=row.number if type(row.number) is int else None,
        record_id=str(row.id),
        kind=str(row.kind),
        session_id=str(row.session_id),
    )


def _of(chain: _Chain, what: str, why: str) -> Problem:
    return Problem(what=what, where=f"the chain of writer {chain.sealed.name}: {why}", writer=chain.sealed.name)


def _cut(chain: _Chain, start: int, end: int) -> Problem:
    name = chain.sealed.name
    where = f"the chain of writer {name} was cut: entries {start} to {end} are missing"
    return Problem(what="cut", where=where, writer=name, number=start)


def _limits(chains: dict[int, _Chain], key: bytes | None, witnesses: list[Head], *, bare: int) -> Iterator[str]:
    """What could have been done to the file unseen."""
    named = {head.writer for head in witnesses}
    unkeyed = [chain.sealed.name for chain in chains.values() if not chain.sealed.keyed]
    if unkeyed and key is not None:
        yield (
            f"{len(unkeyed)} of {len(chains)} writers recorded without the key ({_some(unkeyed)}): "
            "their chains prove as much as those of a store without one"
        )
    if unkeyed:
        yield "without a key, whoever can write the file can write a chain anew from any entry on"
    unnamed = [chain.sealed.name for chain in chains.values() if chain.sealed.name not in named]
    if unnamed:
        yield (
            f"no head from outside was given of {len(unnamed)} of {len(chains)} writers ({_some(unnamed)}): "
            "entries cut from the end of their chains are not missed"
        )
    if witnesses:
        yield "a head from outside proves what was there by then; entries cut after it are not missed"
    yield "a writer removed with all its entries is missed only by a head that names it"
    pruned = sum(chain.sealed.pruned for chain in chains.values())
    if pruned:
        yield f"retention took {pruned:,} entries away; that they were in the chain can be shown, what they said cannot"
    if bare:
        yield f"of sessions deleted for good ({bare:,}) it can be shown which entries there were, not what they said"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if names[3:] else "")
