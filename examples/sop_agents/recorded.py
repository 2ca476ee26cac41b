"""The command line's two tasks, recorded: `run.py`, not a line of it changed, by the settings of `tachograph.toml`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import recording

if __name__ == "__main__":
    recording.main(HERE / "run.py", sys.argv[1:])
