"""What a task changed in the code: files and lines, by git, against the state when it began.

Only where settings ask for it, as it runs git when an outermost task or agent run begins and ends. Both states are
written as trees into a folder of their own, untracked files included, so that nothing in the repository changes:
neither its index nor its objects.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tachograph import names
from tachograph.attendant import Attendant

if TYPE_CHECKING:
    from tachograph.live import Facts, Live

_SECONDS: Final = 20.0
"""Git gets so long for one state of a repository; one that takes longer is left out."""

_MAX_FILES: Final = 200


class CodeChanges(Attendant):
    """Compares the repository at the beginning and the end of what is outermost."""

    kinds = frozenset({"agent", "task"})

    def __init__(self) -> None:
        self._began: weakref.WeakKeyDictionary[Live, Snapshot] = weakref.WeakKeyDictionary()

    def began(self, live: Live) -> None:
        """A task or an agent run has begun."""
        if live.outer.operation is None:
            snapshot = Snapshot.take(Path.cwd())
            if snapshot is not None:
                self._began[live] = snapshot

    def ending(self, live: Live) -> Facts | None:
        """It is about to end."""
        snapshot = self._began.pop(live, None)
        return None if snapshot is None else {names.CODE_CHANGES: json.dumps(snapshot.changes())}


class Snapshot:
    """The state of a repository at a moment.

    Args:
        root: of the repository.
        folder: for git's objects, removed with this object.
        tree: git's id of the state.
    """

    def __init__(self, root: Path, folder: Path, tree: str) -> None:
        self.root = root
        self._folder = folder
        self._tree = tree
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @classmethod
    def take(cls, place: Path) -> Snapshot | None:
        """The state of the repository around ``place``; None where there is none, or no git.

        Raises:
            subprocess.SubprocessError: if git takes too long or fails.
        """
        if shutil.which("git") is None:
            return None
        try:
            root = Path(_git(place, {}, "rev-parse", "--show-toplevel").strip())
        except subprocess.CalledProcessError:
            return None
        folder = Path(tempfile.mkdtemp(prefix="tachograph-"))
        try:
            return cls(root, folder, _write_tree(root, folder))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def changes(self) -> dict[str, Any]:
        """What is different now: ``files_changed``, ``lines_added``, ``lines_removed``, and ``files`` with the same.

        Raises:
            subprocess.SubprocessError: if git takes too long or fails.
        """
        now = _write_tree(self.root, self._folder)
        out = _git(self.root, _objects(self.root, self._folder), "diff-tree", "-r", "-z", "--numstat", self._tree, now)
        rows = [row.split("\t", 2) for row in out.split("\0") if row]
        files = [{"path": path, "added": _lines(added), "removed": _lines(removed)} for added, removed, path in rows]
        return {
            "files_changed": len(files),
            "lines_added": sum(file["added"] or 0 for file in files),
            "lines_removed": sum(file["removed"] or 0 for file in files),
            "files": files[:_MAX_FILES],
        }


def _lines(count: str) -> int | None:
    return None if count == "-" else int(count)  # a file that has no lines


def _write_tree(root: Path, folder: Path) -> str:
    environ = _objects(root, folder)
    index = folder / "index"
    if not index.exists():
        # The repository's own index knows which files have not been touched: with it git reads only the others.
        known = Path(_git(root, {}, "rev-parse", "--git-path", "index").strip())
        known = known if known.is_absolute() else root / known
        if known.is_file():
            shutil.copyfile(known, index)
    _git(root, environ, "add", "--all", "--ignore-errors", ".")
    return _git(root, environ, "write-tree").strip()


def _objects(root: Path, folder: Path) -> dict[str, str]:
    theirs = Path(_git(root, {}, "rev-parse", "--git-path", "objects").strip())
    theirs = theirs if theirs.is_absolute() else root / theirs
    ours = folder / "objects"
    ours.mkdir(exist_ok=True)
    return {
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(ours),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(theirs),
    }


def _git(place: Path, environ: dict[str, str], *arguments: str) -> str:
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    # Without hooks and filters of the repository's: it is looked at, not run.
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *arguments]
    done = subprocess.run(  # noqa: S603 - what settings asked for
        command,
        cwd=place,
        env={**os.environ, **quiet, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace")
