"""Files of OTLP: recognised by what is in them, cut into requests.

- JSON: one document, or one request a line, as the Collector's file exporter writes them;
- protobuf: one request, or any number of them with four bytes of length before each, as the Collector does with
  ``format: proto``;
- each of them gzipped.

At most one line, record or document is in memory at a time. One that cannot be read costs itself only.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, cast

from tachograph.sources import SourceError
from tachograph.sources.otlp import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tachograph.spans import Batch

LIMIT: Final = 64 * 1024 * 1024
"""Bytes of the longest line, record or document that is read."""

_SHOWN: Final = 20
_HEAD: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BOM: Final = b"\xef\xbb\xbf"
_SIZE: Final = 4
_RESOURCE: Final = b"\n"
"""First byte of a request in protobuf: a field number 1 with a length."""

_EXPECTED: Final = "give a file of OTLP JSON (a document, or a request a line) or protobuf, as the Collector writes it"


@dataclass
class Report:
    """How the reading of files went."""

    files: int = 0
    requests: int = 0
    bad: int = 0
    """Lines, records, spans and the like that could not be read."""
    problems: list[str] = field(default_factory=list)
    """The first of them: file, place, what."""
    unfinished: list[str] = field(default_factory=list)
    """Files that end in the middle of a record: somebody is writing them."""

    def problem(self, where: str, what: str) -> None:
        """One thing could not be read."""
        self.bad += 1
        if len(self.problems) < _SHOWN:
            self.problems.append(f"{where}: {what}")


def batches(path: Path, report: Report) -> Iterator[Batch]:
    """What a file of OTLP reports, in the order it is there.

    Args:
        path: of the file.
        report: is told of what could not be read.

    Raises:
        SourceError: for what is no file of OTLP, or cannot be opened.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe could be read once only, and may never end
            raise SourceError(f"{path}: is no file; {_EXPECTED}")
        yield from _Reading(path, report).batches()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}; {_EXPECTED}") from None
    report.files += 1


class _Reading:
    """The reading of one file."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._report = report
        self._bad_before = report.bad
        self._requests = 0
        self._compressed = False
        self._damaged = False
        self._too_long = False

    def batches(self) -> Iterator[Batch]:
        with self._path.open("rb") as file:
            start = file.read(_SIZE)
        self._compressed = start.startswith(_GZIP)
        with self._opened() as stream:
            head = self._take(stream, _HEAD)
        text = head.removeprefix(_BOM).lstrip()
        if _ZSTD in (start, head[_SIZE : 2 * _SIZE]):
            raise SourceError(
                f"{self._path}: is compressed with zstd, which is not read here; run `zstd -d` on it first"
            )
        if not head and not self._damaged:
            return  # nothing has been written yet
        if head.startswith(_RESOURCE) and (found := self._one_message()) is not None:
            yield from found
        elif text.startswith((b"{", b"[")):
            yield from self._json()
        elif head[_SIZE : _SIZE + 1] in (_RESOURCE, b"") and int.from_bytes(head[:_SIZE], "big") <= LIMIT:
            yield from self._messages()
        else:
            raise self._stranger(f"it begins with {head[:12]!r}")
        promising = b"resource" in head or not text.startswith((b"{", b"["))
        if not self._requests and (self._report.bad > self._bad_before or not promising):
            raise self._stranger("no request in it can be read" + self._first_problem())

    # --------------------------------------------------------------------------------------------------- JSON
    def _json(self) -> Iterator[Batch]:
        """A document where the first line is none by itself, else a request a line."""
        with self._opened() as stream:
            first = self._line(stream)
            more = b"" if first is None else self._take(stream, 1)
        if first is not None and more and self._value(first) is None:
            document = self._document()
            if document is not None:
                yield from self._requests_of(document, "the document")
                return
        with self._opened() as stream:
            number = 0
            while (line := self._line(stream)) != b"":
                number += 1
                where = f"line {number}"
                if line is None:
                    self._problem(where, f"is longer than {LIMIT:,} bytes")
                elif line.strip():
                    value = self._value(line)
                    if value is not None:
                        yield from self._requests_of(value.found, where)
                    elif line.endswith(b"\n"):
                        self._problem(where, f"is no JSON: {line[:40]!r}")
                    else:
                        self._unfinished()

    def _document(self) -> Any:
        text = self._whole()
        value = None if text is None else self._value(text)
        return None if value is None else value.found

    @staticmethod
    def _value(text: bytes) -> _Value | None:
        """What a JSON text says; None for what is none."""
        try:
            return _Value(json.loads(text.removeprefix(_BOM)))
        except (RecursionError, ValueError):
            return None

    def _requests_of(self, document: Any, where: str) -> Iterator[Batch]:
        try:
            found = from_json.batches(document)
        except ValueError as error:
            self._problem(where, str(error))
            return
        yield from self._reported(found, where)

    # ----------------------------------------------------------------------------------------------- protobuf
    def _one_message(self) -> list[Batch] | None:
        from tachograph.sources.otlp import from_protobuf  # noqa: PLC0415 - its messages take a while to load

        message = self._whole()
        if message is None:
            return None
        try:
            return list(self._reported(from_protobuf.batches(message), "the message"))
        except ValueError:
            return None

    def _messages(self) -> Iterator[Batch]:
        from tachograph.sources.otlp import from_protobuf  # noqa: PLC0415 - its messages take a while to load

        with self._opened() as stream:
            number = 0
            while size := self._take(stream, _SIZE):
                number += 1
                length = int.from_bytes(size, "big")
                if length > LIMIT:
                    self._problem(f"record {number}", f"says it has {length:,} bytes; nothing after it is read")
                    return
                message = self._take(stream, length)
                if len(size) < _SIZE or len(message) < length:
                    self._unfinished()
                    return
                try:
                    found = from_protobuf.batches(message)
                except ValueError as error:
                    self._problem(f"record {number}", str(error))
                else:
                    yield from self._reported(found, f"record {number}")

    # ------------------------------------------------------------------------------------------------- either
    def _opened(self) -> IO[bytes]:
        return cast("IO[bytes]", gzip.open(self._path)) if self._compressed else self._path.open("rb")

    def _whole(self) -> bytes | None:
        """All of the file; None where that is more than is read at once."""
        with self._opened() as stream:
            content = self._take(stream, LIMIT + 1)
        self._too_long = len(content) > LIMIT
        return None if self._too_long else content

    def _take(self, stream: IO[bytes], size: int) -> bytes:
        """So many bytes, or as many as there are before the end or the first that cannot be unpacked."""
        parts: list[bytes] = []
        while size > 0:
            try:
                part = stream.read1(min(size, 1024 * 1024))  # type: ignore[attr-defined]  # both kinds have it
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                self._broken_off(error)
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _line(self, stream: IO[bytes]) -> bytes | None:
        """The next line, empty at the end; None for one that is too long."""
        try:
            line = stream.readline(LIMIT + 1)
            if len(line) <= LIMIT:
                return line
            while line and not line.endswith(b"\n"):
                line = stream.readline(LIMIT)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self._broken_off(error)
            return b""
        return None

    def _reported(self, found: list[Batch], where: str) -> Iterator[Batch]:
        self._requests += 1
        self._report.requests += 1
        for batch in found:
            for fault in (*batch.faults, *batch.refused):
                self._problem(where, fault)
            yield batch

    def _problem(self, where: str, what: str) -> None:
        self._report.problem(f"{self._path}, {where}", what)

    def _unfinished(self) -> None:
        if str(self._path) not in self._report.unfinished:
            self._report.unfinished.append(str(self._path))

    def _broken_off(self, error: Exception) -> None:
        if isinstance(error, EOFError):
            self._unfinished()
        elif not self._damaged:
            self._damaged = True
            self._problem("gzip", f"is damaged, nothing after that is read: {error}")

    def _stranger(self, why: str) -> SourceError:
        if self._too_long:
            why += f"; as one request it is longer than the {LIMIT:,} bytes that are read"
        return SourceError(f"{self._path}: is no file of OTLP: {why}; {_EXPECTED}")

    def _first_problem(self) -> str:
        problems = [text for text in self._report.problems if text.startswith(f"{self._path}, ")]
        return f" ({problems[0].removeprefix(f'{self._path}, ')})" if problems else ""


@dataclass(frozen=True, slots=True)
class _Value:
    """A JSON value, which may be null."""

    found: Any
