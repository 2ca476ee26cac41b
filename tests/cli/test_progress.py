"""Long work shows on a terminal how far it is, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import pty
import sys

import pytest

from tachograph.cli.progress import progress


def test_a_pipe_gets_nothing(capsys):
    """Where nobody looks nothing is written."""
    with progress("counting", 3) as more:
        for _ in range(3):
            more(1)

    assert ("", "") == tuple(capsys.readouterr())


@pytest.mark.parametrize("total", [3, None], ids=["known", "unknown"])
def test_a_terminal_sees_how_much_is_done(monkeypatch, total):
    """On a terminal there is a line with what is done, how much of how much, which is gone in the end."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("TERM", "xterm")
        with progress("counting", total) as more:
            more(2)
        monkeypatch.undo()
    shown = ""
    with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as other_end:  # ends with an error there
        while piece := other_end.read(65_536):
            shown += piece.decode()

    assert "counting" in shown
    assert ("2/3" if total else "2/?") in shown
    assert shown.rstrip("\r\n").endswith("\x1b[2K")
