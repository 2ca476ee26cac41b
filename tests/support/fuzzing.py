"""Broken requests without end, the same each time, for whoever takes OTLP in; and what they did to it.

    PYTHONPATH=tests python -m support.fuzzing INPUTS [SEED]

prints as JSON what became of them and how much memory that took. Real requests in both encodings are bent, cut, spliced
and nested, packed well and badly; every tenth is whole, and is to be kept whatever came before it.
"""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.otlp_files import METRICS, RECORDS, as_messages, requests
from support.sent import CHAT, as_json, as_protobuf, field, nested, request, span
from tachograph import names
from tachograph.guard import Guard
from tachograph.server import Receiver
from tachograph.server.receiver.bodies import LARGEST, read_body
from tachograph.server.receiver.replies import RefusedError
from tachograph.server.receiver.wire import Sent, UndecodableError, check
from tachograph.sources.sqlite import SqliteSource
from tachograph.store.schema import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tachograph.server.receiver.wire import Checked, Signal

GOOD = "good"
"""The session of what is whole."""

THEIRS = request(
    span(1, {**CHAT, names.SESSION_ID: "chat-1", "more": ["a", {"b": 0.5}]}),
    span(
        2, {names.DB_SYSTEM: "sqlite", names.SESSION_ID: "chat-1"}, parent=1, events=[{"name": "e", "attributes": []}]
    ),
    span(3, CHAT, parent=9, status={"code": 2, "message": "broke"}),
)
DOCUMENTS: list[tuple[Signal, Any]] = [
    ("traces", THEIRS),
    *(("logs" if "resourceLogs" in each else "traces", each) for each in requests(*RECORDS)),
    ("metrics", METRICS),
]
MESSAGES: list[tuple[Signal, bytes]] = [
    ("traces", as_protobuf(THEIRS).body),
    *((signal, as_messages([each])[0]) for signal, each in DOCUMENTS[1:]),
    ("traces", nested(40)),
]
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        2**31,
        2**63,
        -(2**63),
        2**64 - 1,
        2**70,
        10**400,
        0.1,
        1e308,
        float("nan"),
        float("inf"),
    ),
    *("", "0", "NaN", "-1", "9" * 5_000, "x" * 100_000, "\ud800", "\0", "\u202e", "AAAA", "0" * 32, "f" * 16, "=", "é"),
    *([], {}, [[]], [None], [{}], {"": {}}, {"key": None}, {"stringValue": 5}, {"intValue": "x"}, {"arrayValue": []}),
    *({"kvlistValue": {"values": [{}]}}, {"doubleValue": "Infinity"}, {"bytesValue": "%"}, {"boolValue": "yes"}),
]
WORDS = (names.INPUT_TOKENS, names.SESSION_ID, names.OPERATION_NAME, names.REQUEST_MODEL, names.KIND, names.OUTCOME)


def inputs(count: int, seed: int) -> Iterator[tuple[Signal, bool, bool, bytes]]:
    """So many requests: kind of telemetry, whether in JSON, whether packed, and the bytes."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    for number in range(count):
        if number % 10 == 0:
            yield good(number, chance)
            continue
        if number % 10_000 in (3_333, 6_667):
            yield largest(is_json=number % 10_000 == 3_333)
            continue
        is_json = chance.random() < 0.5
        signal, body = _json(chance) if is_json else _message(chance)
        if chance.random() < 0.5:  # else it is sent again, more or less
            body = body.replace(*_another_id(number, is_json=is_json))
        packed = len(body) < 50_000 and chance.random() < 0.1
        yield signal, is_json, packed, _packed(body, chance) if packed else body


def _another_id(number: int, *, is_json: bool) -> tuple[bytes, bytes]:
    """The id of a span in all that is sent, and one that nothing else has."""
    before, after = (f"{each:016x}" for each in (1, 2 * 10**6 + number))
    return (before.encode(), after.encode()) if is_json else (bytes.fromhex(before), bytes.fromhex(after))


def good(number: int, chance: random.Random) -> tuple[Signal, bool, bool, bytes]:
    """A whole request, with a broken span beside it now and then."""
    whole = span(10**6 + number, {**CHAT, names.SESSION_ID: GOOD}, trace=10**6 + number)
    broken = span(0, CHAT) if chance.random() < 0.5 else span(5, CHAT, endTimeUnixNano="0")
    encoded = (as_json if chance.random() < 0.5 else as_protobuf)(request(*[broken][: chance.randrange(2)], whole))
    return encoded.signal, encoded.is_json, False, encoded.body


def largest(*, is_json: bool) -> tuple[Signal, bool, bool, bytes]:
    """As large as may be sent, of as many parts as may be looked at; nothing of it can be taken."""
    if is_json:
        return "traces", True, False, b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * 999_000 + b"{}]}]}]}"
    attributes = b"\x4a\x00" * (LARGEST // 2 - 50)
    return "traces", False, False, field(1, field(2, field(2, attributes)))


# -------------------------------------------------------------------------------------------- how they are broken
def _json(chance: random.Random) -> tuple[Signal, bytes]:
    signal, document = chance.choice(DOCUMENTS)
    match chance.randrange(8):
        case 0:
            return signal, chance.choice([b"[", b'{"a":', b'{"resourceSpans":[']) * chance.choice(
                [1, 100, 10_000, 2_000_000 // 8]
            )
        case 1:
            return signal, _bent(json.dumps(document).encode(), chance)
        case 2:
            return chance.choice(["traces", "logs", "metrics"]), json.dumps(document).encode()
    document = json.loads(json.dumps(document))
    for _ in range(chance.randrange(1, 4)):
        _swap(document, chance)
    return signal, json.dumps(document).encode()


def _swap(document: Any, chance: random.Random) -> None:
    """Put something odd somewhere into a document."""
    inside, key = _place(document, chance)
    if chance.random() < 0.2 and isinstance(inside[key], str):
        inside[key] = chance.choice(WORDS)
    elif chance.random() < 0.1 and isinstance(inside[key], list):
        inside[key] = inside[key] * chance.randrange(2, 50)
    else:
        inside[key] = copy.deepcopy(chance.choice(ODD))


def _place(document: Any, chance: random.Random) -> tuple[Any, Any]:
    """Anywhere in a document, rather deep inside."""
    inside, key = document, chance.choice([*document])
    while chance.random() < 0.95 and isinstance(inside[key], (dict, list)) and inside[key]:
        inside = inside[key]
        key = chance.choice([*inside]) if isinstance(inside, dict) else chance.randrange(len(inside))
    return inside, key


def _message(chance: random.Random) -> tuple[Signal, bytes]:
    signal, body = chance.choice(MESSAGES)
    match chance.randrange(6):
        case 0:
            return signal, chance.randbytes(chance.randrange(200))
        case 1:
            return signal, nested(chance.randrange(120))
        case 2:
            return chance.choice(["traces", "logs", "metrics"]), body + chance.choice(MESSAGES)[1]
        case 3:  # as many as possible of as little as possible
            return signal, b"\x0a\x00" * chance.choice([10, 100, 1_000, 20_000])
    return signal, _bent(body, chance)


def _bent(body: bytes, chance: random.Random) -> bytes:
    bent = bytearray(body)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(len(bent) + 1)
        to = min(len(bent), at + chance.randrange(1, 20))
        match chance.randrange(6):
            case 0:
                bent[at:to] = b""
            case 1:
                bent[at:at] = chance.randbytes(to - at)
            case 2:
                bent[at:at] = bent[at:to] * chance.randrange(2, 200)
            case 3:
                del bent[at:]
            case 4:
                bent[at:to] = b"\xff" * (to - at)
            case _ if at < len(bent):
                bent[at] ^= 1 << chance.randrange(8)
    return bytes(bent)


BOMBS = [gzip.compress(bytes(LARGEST + 1)), gzip.compress(b" " * 3 * 2**20), gzip.compress(b"\x0a\x00" * 400_000)]


def _packed(body: bytes, chance: random.Random) -> bytes:
    packed = gzip.compress(body, 1)
    match chance.randrange(20):
        case 0:
            return chance.choice(BOMBS)
        case 1 | 2:
            return _bent(packed, chance)
        case 3:
            return body
    return packed


# --------------------------------------------------------------------------------------------- how they are taken
class Taking:
    """Takes requests as the server does, without its sockets, and counts what becomes of them."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.refused_requests = self.refused = self.taken = 0
        self.at_half = 0.0

    async def take(self, signal: Signal, body: bytes, *, is_json: bool, packed: bool) -> None:
        """Take one; anything but a refusal flies."""
        receiver = self._receiver
        try:
            unpacked = await read_body(_stream(body), receiver.room, gzipped=packed)
        except RefusedError as error:
            assert error.status in (400, 413)  # noqa: PT017 - there is no test here
            self._refuse()
            return
        sent = Sent(signal, is_json, unpacked)
        try:
            checked = check(sent)
        except UndecodableError:
            receiver.room.give_back(len(unpacked))
            self._refuse()
            return
        self._note(checked)
        if signal == "metrics" or not checked.taken:
            receiver.room.give_back(len(unpacked))
            receiver.refused(checked)
        elif not receiver.put(sent, checked):
            raise AssertionError

    def _refuse(self) -> None:
        self._receiver.refused()
        self.refused_requests += 1

    def _note(self, checked: Checked) -> None:
        self.refused += checked.refused
        self.taken += checked.taken


async def _stream(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 65_536):
        yield body[at : at + 65_536]


async def run(receiver: Receiver, count: int, seed: int) -> Taking:
    """Send so many; what waits is kept within bounds by waiting for it now and then."""
    taking = Taking(receiver)
    for number, (signal, is_json, packed, body) in enumerate(inputs(count, seed)):
        if number == count // 2:
            assert receiver.settle(600), receiver.stats()
            taking.at_half = _megabytes_now()
        await taking.take(signal, body, is_json=is_json, packed=packed)
        if receiver.room.taken > receiver.room.size // 4:
            assert receiver.settle(600), receiver.stats()
    return taking


def main() -> None:
    """Send, and tell."""
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    guard = Guard()
    with tempfile.TemporaryDirectory() as folder:
        connect(Path(folder) / "store.db").close()
        source = SqliteSource(Path(folder) / "store.db")
        receiver = Receiver(source, guard=guard)
        asyncio.run(run(receiver, 200, seed + 1))  # what is loaded and made once is no memory that inputs take
        assert receiver.settle(120)
        before, began = _megabytes(), time.perf_counter()
        stats = receiver.stats()
        taking = asyncio.run(run(receiver, count, seed))
        assert receiver.settle(600)
        more = _megabytes_now() - taking.at_half
        receiver.close(120)
        told = {
            "inputs": count,
            "good": source.session_metrics(GOOD).total_requests,
            "good_sent": len({*range(0, count, 10), *range(0, 200, 10)}),
            "refused": [taking.refused_requests, taking.refused],
            "refused_by_stats": [receiver.stats()[what] - stats[what] for what in ("refused_requests", "refused")],
            "taken": taking.taken,
            "swallowed": guard.swallowed(),
            "stats": receiver.stats(),
            "megabytes": round(_megabytes() - before),
            "more_megabytes": round(more),
            "seconds": round(time.perf_counter() - began, 1),
        }
        source.close()
    print(json.dumps(told))  # noqa: T201 - it is a program


def _megabytes() -> float:
    """The most memory this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _megabytes_now() -> float:
    """The memory it has; the most it has had where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text("ascii").split()[1]) * resource.getpagesize() / 2**20 if statm.exists() else _megabytes()


if __name__ == "__main__":
    main()
