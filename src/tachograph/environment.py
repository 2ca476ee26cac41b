"""What an agent ran in: system, Python, folder, project, user, time zone, and variables that settings allow by name.

It is part of the record of the first outermost operation that a process records in a session, and never sent.
"""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
import platform
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.attendant import Attendant
from tachograph.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tachograph.live import Facts, Live

_MAX_VALUE: Final = 1_000
_SIGNS: Final = (".git", "pyproject.toml", "setup.py", "package.json")
"""What the root of a project has."""


class EnvironmentNote(Attendant):
    """Notes the environment once for each session.

    Args:
        variables: names of the variables whose values are noted.
        sessions: so many are remembered to have it.
    """

    kinds = frozenset({"agent", "task"})

    def __init__(self, variables: Iterable[str], *, sessions: int) -> None:
        self._variables = tuple(variables)
        self._sessions = sessions
        self._noted: OrderedDict[str, None] = OrderedDict()

    def forget(self, session_id: str) -> None:
        """A session was cleared, and what was noted with it."""
        self._noted.pop(session_id, None)

    def ending(self, live: Live) -> Facts | None:
        """The first outermost operation of a session is about to end."""
        record = live.record
        if live.outer.operation is not None or record.session_id in self._noted:
            return None
        self._noted[record.session_id] = None
        if len(self._noted) > self._sessions:
            self._noted.popitem(last=False)
        return {names.ENVIRONMENT: json.dumps(environment(self._variables))}


def environment(variables: Iterable[str] = ()) -> dict[str, Any]:
    """The environment of this process.

    Args:
        variables: names of the variables whose values are given, redacted; no others are looked at.
    """
    given = {name: redacted(os.environ[name][:_MAX_VALUE]) for name in variables if name in os.environ}
    return {
        "os_type": platform.system(),
        "os_version": platform.release(),
        "python_version": platform.python_version(),
        "working_directory": _folder(),
        "project_root": _project(),
        "user_name": _user(),
        "timezone": str(dt.datetime.now().astimezone().tzinfo),
        "environment_variables": given,
    }


def _folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None


def _project() -> str | None:
    folder = _folder()
    if folder is None:
        return None
    places = (Path(folder), *Path(folder).parents)
    return next((str(place) for place in places if any((place / sign).exists() for sign in _SIGNS)), None)


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # no entry for this user, as in containers
        return None
