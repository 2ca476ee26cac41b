"""Python runs this before the program that ``tachograph run`` was given. It starts recording and steps aside."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path

_HERE = str(Path(__file__).parent)


def _step_aside() -> None:
    """The program's children are to start, and its own imports to go, as if this directory had never been there."""
    sys.path[:] = [place for place in sys.path if place != _HERE]
    rest = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place not in ("", _HERE)]
    if rest:
        os.environ["PYTHONPATH"] = os.pathsep.join(rest)
    else:
        os.environ.pop("PYTHONPATH", None)
    # The environment may have a sitecustomize of its own, which this one has hidden.
    del sys.modules["sitecustomize"]
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")


_step_aside()
if os.environ.pop("TACHOGRAPH_RUN", None):
    from tachograph.cli.started import start

    start()
