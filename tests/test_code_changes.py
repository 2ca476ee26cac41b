"""What a task changed in the code: any repository, looked at and left as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tachograph
from tachograph import code_changes, names
from tachograph.code_changes import Snapshot
from tachograph.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tachograph.testing import Capture


def git(place: Path, *arguments: str) -> str:
    """Run git as somebody."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    command = ["git", *who, *arguments]  # whichever git is found first
    return subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, and the working directory in it."""
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    git(root, "init", "-q")
    (root / "src" / "a.py").write_text("one\ntwo\nthree\n")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    monkeypatch.chdir(root / "src")
    return root


@pytest.fixture
def recorded() -> Iterator[Capture]:
    """Everything recorded, with code changes on."""
    with capture(code_changes=True) as captured:
        yield captured


def changed(captured: Capture) -> Any:
    """The changes of the last task."""
    return captured.ledger.audit_log(event_type="task_completed")[-1].get("code_changes")


def state(root: Path) -> str:
    """All files below, as one digest."""
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")):
        digest.update(str(file).encode())
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def test_a_task_says_which_files_and_lines_it_changed(recorded: Capture, repository: Path) -> None:
    """Changed, added, removed and binary files of the whole repository, against the state when the task began."""
    (repository / "src" / "a.py").write_text("one\ntwo\nthree\nbefore\n")  # not the task's
    (repository / "untracked.txt").write_text("before\n")
    with tachograph.task("t"), tachograph.agent("a"):
        (repository / "src" / "a.py").write_text("one\n2\nthree\nbefore\nafter\n")
        (repository / "untracked.txt").unlink()
        (repository / "ñ new\tfile.py").write_text("x\n" * 3)
        (repository / "image.bin").write_bytes(b"\0\1\2" * 100)
        (repository / "noise.log").write_text("ignored\n")
        git(repository, "add", "src/a.py")
        git(repository, "commit", "-qm", "the task may commit")
    assert {
        "complete": True,
        "files_changed": 4,
        "lines_added": 5,
        "lines_removed": 2,
        "files": [
            {"path": "image.bin", "added": None, "removed": None},
            {"path": "src/a.py", "added": 2, "removed": 1},
            {"path": "untracked.txt", "added": 0, "removed": 1},
            {"path": "ñ new\tfile.py", "added": 3, "removed": 0},
        ],
    } == changed(recorded)
    assert names.CODE_CHANGES not in str([span.attributes for span in recorded.spans])
    assert "src/a.py" not in str([log.log_record.attributes for log in recorded.logs])


@pytest.mark.parametrize("told", [str, Path], ids=["text", "path"])
@pytest.mark.parametrize("by_id", [False, True])
def test_a_task_may_say_in_which_folder_it_works(
    recorded: Capture, repository: Path, monkeypatch: pytest.MonkeyPatch, told: Any, *, by_id: bool
) -> None:
    """The repository looked at is that around the task's folder, wherever the program runs; it is never sent."""
    monkeypatch.chdir(repository.parent)
    folder = told(repository / "src")
    if by_id:
        tachograph.start_task("t-1", folder=folder)
        (repository / "src" / "a.py").write_text("one\n")
        tachograph.end_task("t-1")
    else:
        with tachograph.task("t", folder=folder):
            (repository / "src" / "a.py").write_text("one\n")
    assert [{"path": "src/a.py", "added": 0, "removed": 2}] == changed(recorded)["files"]
    assert str(repository) not in str([span.attributes for span in recorded.spans])


def test_a_task_that_changes_nothing_says_so(recorded: Capture, repository: Path) -> None:
    """No change is not the same as not knowing."""
    with tachograph.agent("a"):
        pass
    assert {"complete": True, "files_changed": 0, "lines_added": 0, "lines_removed": 0, "files": []} == changed(
        recorded
    )


def test_the_repository_is_left_as_it_is(repository: Path) -> None:
    """Neither index nor objects nor anything else in the repository is written to, and nothing stays elsewhere."""
    (repository / "new.py").write_text("x\n")
    before = state(repository)
    snapshot = Snapshot.take(repository)
    assert snapshot is not None
    (folder,) = [snapshot._folder]
    assert 0 == snapshot.changes()["files_changed"]
    assert before == state(repository)
    del snapshot
    assert not folder.exists()


def test_only_the_outermost_is_looked_at(recorded: Capture, repository: Path) -> None:
    """What runs inside a task or run is part of its changes."""
    with tachograph.agent("a"), tachograph.agent("b"):
        (repository / "x.py").write_text("x\n")
    told = [
        json.loads(r.attributes[names.CODE_CHANGES])
        for r in recorded.ledger.records()
        if names.CODE_CHANGES in r.attributes
    ]
    assert [1] == [each["files_changed"] for each in told]


# ------------------------------------------------------------------------------------------------ odd repositories
def no_commits(root: Path) -> None:
    """A repository that has just been made."""
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")


def submodule(root: Path) -> None:
    """A repository in the repository, as a part of it."""
    inner = root.parent / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "b.py").write_text("b\n")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "inner")
    git(root, "submodule", "add", "-q", str(inner), "sub")
    git(root, "commit", "-qm", "sub")


def stranger(root: Path) -> None:
    """A repository in the repository, not a part of it, without a commit."""
    (root / "stranger").mkdir()
    git(root / "stranger", "init", "-q")
    (root / "stranger" / "c.py").write_text("c\n")


def locked(root: Path) -> None:
    """Somebody else is writing the index, or has died doing so."""
    (root / ".git" / "index.lock").write_text("")


def split(root: Path) -> None:
    """The index is in two parts."""
    git(root, "update-index", "--split-index")


def worktree(root: Path) -> None:
    """The folder is a second one of a repository that is elsewhere."""
    (root / ".git").rename(root.parent / "elsewhere.git")
    (root / ".git").write_text(f"gitdir: {root.parent / 'elsewhere.git'}\n")


def filters(root: Path) -> None:
    """The repository wants every file to be run through a program, which leaves a trace."""
    (root / ".gitattributes").write_text("*.py filter=lfs\n")
    git(root, "config", "filter.lfs.clean", f"touch {root.parent}/it-ran; cat")
    git(root, "config", "filter.lfs.required", "true")


@pytest.mark.parametrize("odd", [no_commits, submodule, locked, split, worktree, filters], ids=lambda odd: odd.__name__)
def test_odd_repositories_are_no_trouble(recorded: Capture, repository: Path, odd: Callable[[Path], None]) -> None:
    """Without a commit, with a submodule, locked, split, elsewhere, or with filters: changes are what they are."""
    odd(repository)
    with tachograph.task("t"):
        (repository / "src" / "a.py").write_text("one\n")
    found = changed(recorded)
    assert (True, 1, 0, 2) == tuple(found[k] for k in ("complete", "files_changed", "lines_added", "lines_removed"))
    assert not (repository.parent / "it-ran").exists()


def test_what_git_cannot_read_is_left_out_and_said(recorded: Capture, repository: Path) -> None:
    """Where git leaves something out the changes say that they are not complete."""
    stranger(repository)
    with tachograph.task("t"):
        (repository / "src" / "a.py").write_text("one\n")
    assert changed(recorded)["complete"] is False


def test_no_repository_no_changes(recorded: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a repository, without git, and in a folder that is gone nothing is said, and nothing fails."""
    monkeypatch.chdir(tmp_path)
    with tachograph.task("t"):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with tachograph.task("t"):
        pass
    monkeypatch.undo()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with tachograph.task("t"):
        pass
    monkeypatch.undo()
    assert [None] * 3 == [entry.get("code_changes") for entry in recorded.ledger.audit_log(event_type="task_completed")]


def test_a_huge_folder_takes_its_time_once(
    recorded: Capture, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A repository that git does not get through in time is left out and said to be, and not tried again."""
    slow = tmp_path / "bin"
    slow.mkdir()
    real = shutil.which("git")
    (slow / "git").write_text(f'#!/bin/sh\ncase "$*" in *add*) sleep 30;; esac\nexec {real} "$@"\n')
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(code_changes, "SECONDS", 0.3)
    began = time.monotonic()
    for _ in range(5):
        with tachograph.task("t"):
            pass
    assert time.monotonic() - began < 5
    assert {"unknown": "git did not get through in 0.3 s"} == changed(recorded)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_process_takes_nothing_away(repository: Path) -> None:
    """What the parent needs to compare is still there after a child that was forked off has ended."""
    snapshot = Snapshot.take(repository)
    assert snapshot is not None
    child = os.fork()
    if child == 0:
        snapshot._remove()
        os._exit(0)
    os.waitpid(child, 0)
    (repository / "x.py").write_text("x\n")
    assert 1 == snapshot.changes()["files_changed"]
