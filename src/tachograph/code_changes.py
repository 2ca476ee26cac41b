"""What a task changed in the code: files and lines, by git, against the state when it began.

Only where settings ask for it, as it runs git when an outermost task or agent run begins and ends, and what begins
waits for it. The repository is the one around the folder that a task says it works in, else around the working
directory. Both states are written as trees into a folder of their own, untracked files included, so that nothing in
the repository changes: neither its index nor its objects.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.attendant import Attendant

if TYPE_CHECKING:
    from tachograph.live import Facts, Live

SECONDS: Final = 10.0
"""Git gets so long for one state of a repository; one that takes longer is left out."""

_MAX_FILES: Final = 200
_MAX_SLOW: Final = 100


class CodeChanges(Attendant):
    """Compares the repository at the beginning and the end of what is outermost."""

    kinds = frozenset({"agent", "task"})

    def __init__(self) -> None:
        self._began: weakref.WeakKeyDictionary[Live, Snapshot | str] = weakref.WeakKeyDictionary()
        self._slow: set[str] = set()

    def began(self, live: Live) -> None:
        """A task or an agent run has begun."""
        if live.outer.operation is not None:
            return
        place = _folder(live.record.attributes.get(names.TASK_FOLDER))
        if place is None:
            return
        snapshot = _TOO_SLOW if str(place) in self._slow else self._within_time(place, lambda: Snapshot.take(place))
        if snapshot is not None:
            self._began[live] = snapshot

    def ending(self, live: Live) -> Facts | None:
        """It is about to end."""
        snapshot = self._began.pop(live, None)
        if snapshot is None:
            return None
        found = snapshot if isinstance(snapshot, str) else self._within_time(snapshot.root, snapshot.changes)
        known = {"unknown": f"git {found}".format(SECONDS)} if isinstance(found, str) else found
        return {names.CODE_CHANGES: json.dumps(known)}

    def _within_time(self, place: Path, look: Any) -> Any:
        """What ``look`` finds, or why it found nothing, in words."""
        try:
            return look()
        except subprocess.TimeoutExpired:
            if len(self._slow) < _MAX_SLOW:
                self._slow.add(str(place))  # it would be as slow the next time
            return _TOO_SLOW
        except subprocess.CalledProcessError as error:
            return f"failed ({error.returncode})"


_TOO_SLOW: Final = "did not get through in {:g} s"


def _folder(told: str | None) -> Path | None:
    """Where the task works: as it says, from the working directory on."""
    try:
        place = Path.cwd() / (told or "")
    except OSError:  # it was removed
        return None
    return place if place.is_dir() else None


class Snapshot:
    """The state of a repository at a moment.

    Args:
        root: of the repository.
        folder: for git's objects, removed with this object.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self._folder = folder
        self._remove = weakref.finalize(self, _remove, folder, os.getpid())
        self._git = _Git(root)
        self._environ = self._own_places()
        self._tree, self._complete = self._state()

    @classmethod
    def take(cls, place: Path) -> Snapshot | None:
        """The state of the repository around ``place``; None where there is none, or no git.

        Raises:
            subprocess.SubprocessError: if git takes too long or fails.
        """
        if shutil.which("git") is None:
            return None
        try:
            root = Path(_Git(place).run("rev-parse", "--show-toplevel").rstrip("\n"))
        except subprocess.CalledProcessError:
            return None
        return cls(root, Path(tempfile.mkdtemp(prefix="tachograph-")))

    def changes(self) -> dict[str, Any]:
        """What is different now.

        ``files_changed``, ``lines_added``, ``lines_removed``, and ``files`` with the same; ``complete`` is False where
        git left something out, such as a file it must not read.

        Raises:
            subprocess.SubprocessError: if git takes too long or fails.
        """
        self._git = _Git(self.root)
        now, complete = self._state()
        compare = ("diff-tree", "-r", "-z", "--numstat", "--no-ext-diff", "--no-textconv")
        out = self._git.run(*compare, self._tree, now, environ=self._environ)
        rows = [row.split("\t", 2) for row in out.split("\0") if row]
        files = [{"path": path, "added": _lines(added), "removed": _lines(removed)} for added, removed, path in rows]
        return {
            "complete": self._complete and complete,
            "files_changed": len(files),
            "lines_added": sum(file["added"] or 0 for file in files),
            "lines_removed": sum(file["removed"] or 0 for file in files),
            "files": files[:_MAX_FILES],
        }

    def _own_places(self) -> dict[str, str]:
        """Where git is to write: an index and objects of our own, beside those of the repository."""
        index = self._git.place("index")
        if index.is_file():
            # The repository's own knows which files have not been touched: with it git reads only the others.
            shutil.copyfile(index, self._folder / "index")
            for part in index.parent.glob("sharedindex.*"):
                shutil.copyfile(part, self._folder / part.name)
        ours = self._folder / "objects"
        ours.mkdir()
        return {
            "GIT_INDEX_FILE": str(self._folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(ours),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self._git.place("objects")),
        }

    def _state(self) -> tuple[str, bool]:
        """Git's id of the state now, and whether everything is in it."""
        complete = self._git.does("add", "--all", "--ignore-errors", ".", environ=self._environ)
        return self._git.run("write-tree", environ=self._environ).strip(), complete


def _lines(count: str) -> int | None:
    return None if count == "-" else int(count)  # a file that has no lines


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a child that was forked off is not to take it away
        shutil.rmtree(folder, ignore_errors=True)


# Without hooks, monitors and filters of the repository's: it is looked at, and nothing in it is run.
_QUIETLY: Final = (
    "git",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.splitIndex=false"),
    *("-c", "filter.lfs.clean="),
    *("-c", "filter.lfs.process="),
    *("-c", "filter.lfs.required=false"),
)


class _Git:
    """Git in a folder, for one look: all its commands together get :data:`SECONDS`."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._until = time.monotonic() + SECONDS

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> str:
        """What a command prints.

        Raises:
            subprocess.SubprocessError: if it takes too long or fails.
        """
        done = self._done(arguments, environ or {})
        done.check_returncode()
        return done.stdout.decode("utf-8", "replace")

    def does(self, *arguments: str, environ: dict[str, str]) -> bool:
        """Whether a command does all it is asked."""
        return self._done(arguments, environ).returncode == 0

    def place(self, name: str) -> Path:
        """Where the repository has something."""
        return self._place / self.run("rev-parse", "--git-path", name).rstrip("\n")

    def _done(self, arguments: tuple[str, ...], environ: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
        quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        return subprocess.run(  # noqa: S603 - what settings asked for
            [*_QUIETLY, *arguments],
            cwd=self._place,
            env={**os.environ, **quiet, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=max(0.001, self._until - time.monotonic()),
            check=False,
        )
