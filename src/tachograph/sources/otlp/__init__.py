"""Sessions from files of OTLP, as the Collector's file exporter and others write them.

What the spans and log events of a file say goes into a ledger that evicts nothing, which answers. A file may not have
everything that was recorded; as far as that can be seen, ``complete`` and ``reasons`` of a session say so:

- log events that had no span are known only where the same program's logs are there too;
- a span or log event may tell of a span that is not there: sampled out, not ended, or recorded elsewhere;
- spans of other instrumentations are passed over, but for model calls, database queries and HTTP requests;
- lines that are damaged may have held anything.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph.sources import SourceError
from tachograph.sources.otlp.files import Report, batches
from tachograph.sources.otlp.told import ToldLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tachograph.guard import Guard
    from tachograph.spans import Batch


class OtlpSource(ToldLedger):
    """The sessions of files of OTLP.

    Everything is read at once, when it is made; a file that grows afterwards is read by making another. Several files
    are read as one: often spans are in one file and log events in another.

    Args:
        path: of a file, or of a folder whose files are read, those of them that are OTLP.
        more: further ones.
        guard: around the folding of each record.

    Raises:
        SourceError: for a path that cannot be read or is no OTLP; it names it and says what is expected.
    """

    def __init__(self, path: str | Path, *more: str | Path, guard: Guard | None = None) -> None:
        self._paths = [Path(each) for each in (path, *more)]
        self._report = Report()
        super().__init__(chain.from_iterable(_read(place, self._report) for place in self._paths), guard=guard)

    @property
    def place(self) -> str:
        """The paths that were read."""
        return ", ".join(map(str, self._paths))

    def _unknown(self, session_id: str | None) -> list[str]:
        report = self._report
        more = [] if report.bad <= len(report.problems) else [f"… {report.bad - len(report.problems):,} more"]
        damaged = [f"could not be read: {problem}" for problem in [*report.problems, *more]]
        return [*super()._unknown(session_id), *damaged]

    def stats(self) -> dict[str, Any]:
        """How much was read, and what could not be: ``bad`` with the first ``problems``, ``unfinished`` files."""
        return {
            **super().stats(),
            "files": self._report.files,
            "requests": self._report.requests,
            "bad": self._report.bad,
            "problems": list(self._report.problems),
            "unfinished": list(self._report.unfinished),
        }


def _read(path: Path, report: Report) -> Iterator[Batch]:
    if not path.is_dir():
        yield from batches(path, report)
        return
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    before = report.files
    for file in files:
        yield from _of_folder(file, report)
    if report.files == before:
        raise SourceError(f"{path}: none of the {len(files)} files in this folder is of OTLP; give another path")


def _of_folder(file: Path, report: Report) -> Iterator[Batch]:
    try:
        yield from batches(file, report)
    except SourceError as error:
        report.problem(str(file), str(error).removeprefix(f"{file}: "))
