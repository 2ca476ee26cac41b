"""Python runs this before the program that ``tachograph run`` was given. It starts recording and steps aside."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

_HERE = str(Path(__file__).parent)


def _step_aside() -> None:
    """The program's children are to start, and its own imports to go, as if this directory had never been there."""
    sys.path[:] = [place for place in sys.path if place != _HERE]
    places = [place for place in os.environ.get("PYTHONPATH", _HERE).split(os.pathsep) if place != _HERE]
    if places:
        os.environ["PYTHONPATH"] = os.pathsep.join(places)
    else:
        os.environ.pop("PYTHONPATH", None)
    # The environment may have a sitecustomize of its own, which this one has hidden.
    ours = sys.modules.pop(__name__)
    try:
        importlib.import_module(__name__)
    except ModuleNotFoundError as missing:
        sys.modules[__name__] = ours  # or Python, which is importing it, misses it
        if missing.name != __name__:
            raise


try:
    _step_aside()
finally:  # what its own one raises is Python's to report, and no reason not to record
    if os.environ.pop("TACHOGRAPH_RUN", None):
        from tachograph.cli.started import start

        start()
