"""Bodies are read within bounds, whatever they say and however small they were packed."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from tachograph.server.receiver.bodies import LARGEST, Room, read_body
from tachograph.server.receiver.replies import RefusedError

MB = 1024 * 1024


def read(room: Room, *chunks: bytes, gzipped: bool = False) -> bytes:
    async def stream():
        for chunk in chunks:
            yield chunk

    return asyncio.run(read_body(stream(), room, gzipped=gzipped))


def refusal(room: Room, *chunks: bytes, gzipped: bool = False) -> tuple[int, str]:
    with pytest.raises(RefusedError) as raised:
        read(room, *chunks, gzipped=gzipped)
    return raised.value.status, raised.value.why


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_body_comes_out_as_it_went_in(gzipped):
    """In whatever pieces it comes, packed or not; its bytes are taken from the room."""
    room, body = Room(MB), bytes(range(256)) * 100
    packed = gzip.compress(body) if gzipped else body

    for chunks in ([packed], [packed[at : at + 7] for at in range(0, len(packed), 7)], [b"", packed, b""]):
        assert body == read(room, *chunks, gzipped=gzipped)

    assert 3 * len(body) == room.taken


def test_more_than_the_largest_is_refused():
    """By what comes, whatever was said, and nothing stays taken."""
    room = Room(100 * MB)

    assert 413 == refusal(room, *[bytes(MB)] * 17)[0]
    assert LARGEST == len(read(room, *[bytes(MB)] * 16))
    assert LARGEST == room.taken


def test_a_bomb_is_refused_before_it_goes_off():
    """A small body that unpacks to a gigabyte costs a few megabytes at most."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packer.compress(bytes(MB)) for _ in range(1_000)), packer.flush()])
    room = Room(100 * MB)

    tracemalloc.start()
    try:
        status, why = refusal(room, bomb, gzipped=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (413, True) == (status, "unpack" in why)
    assert peak < 2 * LARGEST
    assert 0 == room.taken


def test_a_body_that_unpacks_too_well_is_refused():
    """More than two hundred times its size is no telemetry, even where the result would be small enough."""
    status, why = refusal(Room(100 * MB), gzip.compress(bytes(2 * MB)), gzipped=True)

    assert (413, True) == (status, "200 times its size" in why)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"no gzip at all", "is no gzip", id="another beginning"),
        pytest.param(gzip.compress(b"x" * 1_000)[:-3], "breaks off", id="no end"),
        pytest.param(b"", "breaks off", id="nothing"),
        pytest.param(gzip.compress(b"x") + b"more", "goes on after the end", id="more"),
        pytest.param(gzip.compress(b"x") + gzip.compress(b"y"), "goes on after the end", id="one more"),
        pytest.param(gzip.compress(b"x" * 1_000)[:-8] + b"\0" * 8, "is no gzip", id="another sum"),
    ],
)
def test_damaged_gzip_is_refused(body, why):
    """What cannot be unpacked is a bad request, and nothing stays taken."""
    room = Room(MB)

    status, said = refusal(room, body, gzipped=True)

    assert (400, True, 0) == (status, why in said, room.taken)


def test_what_finds_no_room_is_to_come_back():
    """Without room the sender is told to try again, and what it had taken is given back."""
    room = Room(1_000)
    assert room.take(400)

    assert 503 == refusal(room, b"x" * 500, b"x" * 500)[0]
    assert 400 == room.taken
    room.give_back(400)
    assert 1_000 == len(read(room, b"x" * 500, b"x" * 500))


def test_a_sender_that_goes_away_gives_its_room_back():
    """What breaks the reading off costs nothing."""
    room = Room(1_000)

    async def stream():
        yield b"x" * 500
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(read_body(stream(), room, gzipped=False))
    assert 0 == room.taken
