"""Modules are loaded, and processes forked, one after the other."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from support.programs import Programs
from tachograph import loading

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

STATE = """
import os
import threading

loading, forking = threading.Event(), threading.Event()
"""
PRICES = """
import time
from state import forking, loading

loading.set()
forking.wait(20)
time.sleep(0.3)  # so that who does not wait for this forks meanwhile


def get_snapshot():
    raise ImportError
"""
FORK = """
import os
import signal
import threading
import warnings

import tachograph
from state import forking, loading
from told import tell


def work():
    with tachograph.tool("t"):
        pass


warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # as Python 3.12 says wherever a thread is
tachograph.init(store="store.db")
os.register_at_fork(before=forking.set)
first = threading.Thread(target=work)
first.start()
loading.wait(20)
if os.fork() == 0:
    signal.alarm(20)
    work()
    tachograph.shutdown()
    os._exit(0)
status = os.wait()[1]
first.join()
tachograph.shutdown()
with_both = tachograph.read("store.db")
tell(status=status, calls=with_both.total().tool_calls)
with_both.close()
"""


def test_a_child_does_not_wait_for_what_its_parent_was_loading(tmp_path: Path) -> None:
    """Forked while another thread's first operation has prices loaded, a child records as any process does."""
    programs = Programs(tmp_path)
    programs.write("state.py", STATE)
    (tmp_path / "genai_prices").mkdir()
    (tmp_path / "genai_prices" / "__init__.py").touch()
    programs.write("genai_prices/data_snapshot.py", PRICES)
    done = programs.python(FORK)

    assert (0, "", {"status": 0, "calls": 2}) == (done.code, done.stderr, done.told)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_waits_no_longer_than_it_has_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever another thread loads and for how long: at last it is forked, and the child loads what it wants."""
    monkeypatch.setattr(loading, "_PATIENCE", 0.01)
    began, end = threading.Event(), threading.Event()

    def load() -> None:
        with loading.loading():
            began.set()
            end.wait()

    slow = threading.Thread(target=load)
    slow.start()
    began.wait()
    child = os.fork()
    if child == 0:
        with loading.loading():
            os._exit(7)
    assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    end.set()
    slow.join()
    with loading.loading():
        pass
