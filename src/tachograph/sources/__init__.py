"""FAMILY: where recorded sessions are read from. The same session gives the same answers wherever it is kept.

The ledger is a source by itself (memory); each file here is another. Who reads (the command line, the server) is handed
a :class:`Source` and asks it; it neither knows nor cares which.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote

from tachograph.values import default_store
from tachograph.variables import JAEGER_HEADERS_VARIABLE
from tachograph.views.approvals import approvals_view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tachograph.config import Config
    from tachograph.listing import Listing, Wanted
    from tachograph.records import Operation, Record
    from tachograph.views.audit import Entry
    from tachograph.views.session import SessionMetrics
    from tachograph.views.timeline import Timeline
    from tachograph.views.totals import Totals


class SourceError(ValueError):
    """Something cannot be read as recorded sessions; the message names it and the fix."""


class Source(Protocol):
    """Recorded sessions, to be asked about. Thread-safe."""

    @property
    def place(self) -> str:
        """What it reads, for people: ``memory``, or a path."""

    def session_count(self, *, deleted: bool = False) -> int:
        """Sessions there are; with ``deleted`` those hidden by deletion too."""

    def session_list(self, *, limit: int | None = None, offset: int = 0, deleted: bool = False) -> list[SessionMetrics]:
        """Figures of sessions, the one last active first, ``offset`` of them left out."""

    def session_rows(self, wanted: Wanted = ..., *, limit: int | None = None, offset: int = 0) -> Listing:
        """What a list says of sessions: those ``wanted`` (all of them), in the order wanted (the newest first)."""

    def sessions(self) -> list[str]:
        """Ids of all sessions that are not deleted, the one last active last."""

    def session_metrics(self, session_id: str, correlation_id: str | None = None) -> SessionMetrics:
        """Figures of a session, or of one request within it; zeros where nothing is known."""

    def metrics(self) -> Totals:
        """Figures over everything recorded."""

    def total(self) -> SessionMetrics:
        """Everything recorded, in the shape of one session with the id ``*``."""

    def audit_log(
        self,
        *,
        session_id: str | None = None,
        event_type: str | None = None,
        category: str | None = None,
        correlation_id: str | None = None,
        critical: bool | None = None,
        since: str | datetime | float | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """Who did, asked and decided what, oldest first; with ``limit`` the newest so many.

        Raises:
            ValueError: for a type, category, moment or limit that is none.
        """

    def timeline(self, *, session_id: str | None = None, correlation_id: str | None = None) -> Timeline:
        """What happened when, inside what, of a session, of a request or of everything."""

    def records(self, session_id: str | None = None) -> Iterator[Record]:
        """What the answers are made from: of a session or of all, ended ones in order of arrival, then open ones."""

    def open_operations(self) -> list[Operation]:
        """What has begun and not ended, oldest first."""

    def stats(self) -> dict[str, Any]:
        """How much is kept, and what bounds have cost."""

    def close(self) -> None:
        """Give back what reading holds. Closing twice is fine."""


def approvals_of(
    source: Source, now_ns: int, *, session_id: str | None = None, pending: bool | None = None
) -> list[dict[str, Any]]:
    """Approvals that a source knows of, oldest first; see :func:`tachograph.views.approvals.approvals_view`.

    Those that are pending are found at once; for others all records of the session, or of all, are gone through.

    Args:
        source: what is asked.
        now_ns: the moment, in nanoseconds since the epoch.
        session_id: only those of this session.
        pending: only those that wait for a decision, or only the others.

    Raises:
        SourceError: where it cannot be read.
    """
    records = source.open_operations() if pending else source.records(session_id)
    return approvals_view(records, now_ns, session_id=session_id, pending=pending)


JAEGER: Final = ("jaeger://", "jaeger+https://")
"""How the place of a Jaeger begins; the second is asked by HTTPS."""

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ -~]*")

_SQLITE: Final = b"SQLite format 3\0"
"""How a SQLite database begins."""


def open_source(place: str | Path) -> Source:
    """What a file keeps: a store, or a file of OTLP, told by its content; or what a Jaeger has: ``jaeger://host:port``.

    Raises:
        SourceError: for a file that is neither, that is not there or cannot be read, for a directory, and for a Jaeger
            that cannot be asked.
    """
    if isinstance(place, str) and place.lower().startswith(JAEGER):
        from tachograph.sources.jaeger import open_jaeger  # noqa: PLC0415 - loads what asks over HTTP

        return open_jaeger(place, _headers(os.environ.get(JAEGER_HEADERS_VARIABLE, "")))
    if isinstance(place, str) and "://" in place:
        raise SourceError(f"{place}: cannot be asked; give jaeger://host:port, or the path of a store or of OTLP")
    path = Path(place)
    fix = "give the path of a store, or of a file with OTLP that a Collector or a program has written"
    if path.is_dir():
        raise SourceError(f"{path}: is a directory; {fix}")
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_SQLITE))
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; {fix}") from None
    except (OSError, ValueError) as error:  # ValueError: no name that a file can have
        raise SourceError(f"{str(path)!r}: cannot be read: {error}; {fix}") from None
    if not beginning:
        raise SourceError(f"{path}: is empty; {fix}")
    if beginning == _SQLITE:
        from tachograph.sources.sqlite import SqliteSource  # noqa: PLC0415 - loads SQLite

        source: Source = SqliteSource(path)
        try:
            source.session_count()  # now, not at the first question
        except SourceError:
            source.close()
            raise
        return source
    from tachograph.sources.otlp import OtlpSource  # noqa: PLC0415 - loads what reads OTLP

    return OtlpSource(path)


def _headers(listed: str) -> dict[str, str]:
    """``name=value,…``, as in the variables of OpenTelemetry."""
    found: dict[str, str] = {}
    for part in filter(str.strip, listed.split(",")):
        name, equals, value = part.partition("=")
        if not equals or not _HEADER.fullmatch(f"{name.strip()}:{unquote(value.strip())}"):
            raise SourceError(
                f"{JAEGER_HEADERS_VARIABLE}: a part of it is no header; write it as name=value,name=value"
            )
        found[name.strip()] = unquote(value.strip())
    return found


def default_place(config: Config) -> Path:
    """Where the store is by the settings: the one that programs record into, or where it would be if they did."""
    return Path(config.store or default_store())
