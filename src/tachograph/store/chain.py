"""The audit chain: what makes a changed, removed, reordered or cut entry show.

Each writer has a chain of its own. An entry is a record; its *digest* is SHA-256 over its canonical text, and its
*link* is a hash over the link before it, the digest, and the columns that stand beside the text. With a key the links
are HMACs. The *seal* of a writer is a hash over how many links there are and the last of them. A *head*, which is
published as a log event, is the same in the open: whoever keeps it can prove later that nothing was cut.
:mod:`tachograph.store.verification` checks them.

When a session is deleted for good the text goes and the digest stays, so that the chain still holds; retention takes
entries away from the beginning, and the seal says up to where.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from typing import Final, NamedTuple

LENGTH: Final = hashlib.sha256().digest_size
"""Bytes of a digest, a link and a seal."""

Columns = tuple[int, str, str, str, "str | None", int, int, int]
"""What stands beside the text of an entry: number, id, kind, session, correlation, start, end, critical."""


# --------------------------------------------------------------------------------------------------------- links
def digest(text: str) -> bytes:
    """What an entry's text comes down to."""
    return hashlib.sha256(text.encode()).digest()


def first_link(name: str, key: bytes | None) -> bytes:
    """The link before a writer's first entry."""
    return _hash(b"tachograph chain " + name.encode(), key)


def link(previous: bytes, digested: bytes, columns: Columns, key: bytes | None) -> bytes:
    """The link of an entry: over the one before, the digest of its text, and the columns as ASCII of a Python tuple."""
    # The first two are of fixed length and the columns quoted, so that no byte can pass from one to the next.
    return _hash(previous + digested + ascii(columns).encode(), key)


def seal(writer: SealedWriter, key: bytes | None) -> bytes:
    """The seal of a writer's row: to be made anew whenever one of these changes."""
    return _hash(b"tachograph seal " + ascii(tuple(writer)).encode(), key)


class SealedWriter(NamedTuple):
    """What the seal of a writer's row covers: its name, count, head, pruned, pruned_head, keyed."""

    name: str
    entries: int
    head: bytes
    pruned: int
    pruned_head: bytes | None
    keyed: int


def _hash(message: bytes, key: bytes | None) -> bytes:
    return hashlib.sha256(message).digest() if key is None else hmac.digest(key, message, "sha256")


# --------------------------------------------------------------------------------------------------------- heads
class Head(NamedTuple):
    """Where a writer's chain stood at a moment. As text, for people and logs: ``NAME:COUNT:HEX``."""

    writer: str
    entries: int
    link: bytes

    def __str__(self) -> str:
        return ":".join(map(str, self.words()))

    def words(self) -> tuple[str, int, str]:
        """What it says, the link in hex."""
        return self.writer, self.entries, self.link.hex()

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head that is written so.

        Raises:
            ValueError: for any other text.
        """
        with contextlib.suppress(ValueError):
            name, count, link_hex = text.strip().split(":")
            if name and count.isdecimal() and len(bytes.fromhex(link_hex)) == LENGTH:
                return cls(name, int(count), bytes.fromhex(link_hex))
        raise ValueError(
            f"{text[:120]!r} is no head of a chain; expected NAME:COUNT:HEX with {2 * LENGTH} hex digits, "
            "as the log events and `tachograph audit --verify` show it"
        )
