"""What is around every page: where links lead, what is waiting, who is looking."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tachograph.pages.markup import asset_version
from tachograph.views.approvals import approvals_view

if TYPE_CHECKING:
    from tachograph.sources import Source


@dataclass(frozen=True, slots=True)
class Links:
    """Where things are; ``root`` is the path that the app is mounted at, without a slash at its end."""

    root: str = ""

    def sessions(self, **asked: Any) -> str:
        """The list of sessions."""
        return self._to("/", asked)

    def session(self, session_id: str, **asked: Any) -> str:
        """One session."""
        return self._to(f"/session/{_quoted(session_id)}", asked)

    def audit(self, **asked: Any) -> str:
        """The audit log."""
        return self._to("/audit", asked)

    def verification(self) -> str:
        """Where a check of the audit log is asked for."""
        return self._to("/audit/verification", {})

    def approvals(self) -> str:
        """What waits for a human."""
        return self._to("/approvals", {})

    def totals(self) -> str:
        """Everything together."""
        return self._to("/totals", {})

    def login(self, **asked: Any) -> str:
        """Where the token is asked for."""
        return self._to("/login", asked)

    def logout(self) -> str:
        """Where a browser forgets it."""
        return self._to("/logout", {})

    def asset(self, file: str) -> str:
        """A file that pages ask for."""
        return self._to(f"/assets/{file}", {"v": asset_version(file)})

    def live(self, **asked: Any) -> str:
        """What happens, as it happens."""
        return self._to("/events/live", asked)

    def data(self, session_id: str) -> str:
        """The figures of a session, as JSON."""
        return self._to(f"/events/metrics/session/{_quoted(session_id)}", {})

    def _to(self, path: str, asked: dict[str, Any]) -> str:
        given = {name: value for name, value in asked.items() if value not in (None, "", False)}
        # Halves of characters have no place in an address; a source takes them written out as well.
        query = urlencode(given, errors="backslashreplace")
        return f"{self.root}{path}{'?' if query else ''}{query}"


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around a page.

    Args:
        links: where things are.
        place: what is read, for people.
        section: which part of the navigation it is in.
        waiting: approvals that wait for a human.
        signed_in: whether the browser has shown the token, and may be told to forget it.
    """

    links: Links
    place: str
    section: str
    waiting: int = 0
    signed_in: bool = False

    @property
    def zone(self) -> str:
        """The time zone of the moments on the page."""
        return time.strftime("%Z")


def frame(source: Source, section: str, *, root: str = "", signed_in: bool = False) -> Frame:
    """The frame around a page of a source."""
    waiting = approvals_view(source.open_operations(), time.time_ns(), pending=True)
    return Frame(Links(root), source.place, section, len(waiting), signed_in)
