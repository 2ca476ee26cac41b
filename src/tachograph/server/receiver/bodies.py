"""A request's body, read within bounds: of what is sent, of what it unpacks to, and of all requests together.

What a request says of its own length is believed in no place where it could do harm. Nothing is unpacked further than
the bounds reach, so a small body that unpacks to gigabytes costs no more memory than any other.
"""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Final

from tachograph.server.receiver.replies import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of the largest body, as sent and as unpacked."""

RATIO: Final = 200
"""How many times its size a body may unpack to, beyond the first :data:`_FREE` bytes: no telemetry gets that small."""

_FREE: Final = 1024 * 1024
_PIECE: Final = 256 * 1024
_GZIP: Final = 31
"""``wbits`` of a stream with gzip's header."""


class Room:
    """Bytes that all requests together may have here, from the first that is read to the last that is kept.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._left = size
        self.size = size

    @property
    def taken(self) -> int:
        """Bytes that are here."""
        return self.size - self._left

    def take(self, size: int) -> bool:
        """Take so many, if they are to be had."""
        with self._lock:
            had = size <= self._left
            self._left -= size * had
            return had

    def give_back(self, size: int) -> None:
        """They are free again."""
        with self._lock:
            self._left += size


async def read_body(stream: AsyncIterator[bytes], room: Room, *, gzipped: bool) -> bytes:
    """The body, unpacked. Its bytes are taken from the room; where it is refused they have been given back.

    Raises:
        RefusedError: for one that is too large, damaged, or for which there is no room now.
    """
    body = _Body(room)
    unpacked = _Unpacking() if gzipped else None
    try:
        async for chunk in stream:
            body.sent(chunk)
            for piece in (chunk,) if unpacked is None else unpacked.pieces(chunk):
                body.add(piece)
        if unpacked is not None:
            unpacked.over()
    except BaseException:
        room.give_back(body.size)
        raise
    return body.whole()


class _Body:
    """What has come of a body, within the bounds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._parts: list[bytes] = []
        self._sent = 0
        self.size = 0

    def sent(self, chunk: bytes) -> None:
        """So much more was sent, packed or not."""
        self._sent += len(chunk)
        if self._sent > LARGEST:
            raise RefusedError(413, f"a request may have {LARGEST:,} bytes; send fewer spans at once", close=True)

    def add(self, piece: bytes) -> None:
        """One more piece, unpacked."""
        size = self.size + len(piece)
        if size > LARGEST:
            raise RefusedError(413, f"a request may unpack to {LARGEST:,} bytes; send less at once", close=True)
        if size > max(_FREE, RATIO * self._sent):
            raise RefusedError(413, f"the body unpacks to more than {RATIO} times its size", close=True)
        if not self._room.take(len(piece)):
            raise RefusedError(503, "more is waiting to be kept than there is room for; try again", close=True)
        self.size = size
        self._parts.append(piece)

    def whole(self) -> bytes:
        return b"".join(self._parts)


class _Unpacking:
    """The unpacking of one body of gzip, a piece of bounded size at a time."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._stream.eof:
                raise RefusedError(400, "the body goes on after the end of its gzip stream", close=True)
            try:
                piece = self._stream.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise RefusedError(400, f"the body is no gzip: {error}", close=True) from None
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            yield piece

    def over(self) -> None:
        if not self._stream.eof:
            raise RefusedError(400, "the body is gzip that breaks off")
