"""``import tachograph.auto``: record what agents do in this program. The only line it needs.

Hooks every supported framework that is installed, whether it is imported before or after this line, and writes
to whatever providers the program sets, before or after. Nothing here can fail the program: what is wrong is said
in one line on standard error.
"""

from __future__ import annotations

from tachograph import runtime

runtime.start(automatic=True)
