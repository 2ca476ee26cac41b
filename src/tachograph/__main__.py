"""``python -m tachograph``."""

from __future__ import annotations

from tachograph.cli import main

main()
